"""Dates and times, where Polars' functions differ from DuckDB's."""

from __future__ import annotations

from sqlglot import exp

from ..translate import Change
from ..trees import PLAIN_TIMESTAMP, cast, function, kind, literal, refuse, typed
from . import grammar
from .dialect import PART_NAMES
from .texts import checked_codes

_DAY_MICROSECONDS = 86_400_000_000
_MONTHS = {"month": 12, "quarter": 4, "year": 1}
_MICROSECONDS = {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000}
_CUTS = frozenset({"year", "quarter", "month", "week", "day", "hour", "minute", "second"})


def move(node: exp.Add | exp.Sub) -> exp.Expression | None:
    """Dates and times plus and minus intervals and each other."""
    left, right = node.left, node.right
    if isinstance(left, exp.Interval):
        left, right = right, left
    if isinstance(right, exp.Interval):
        return type(node)(this=_moment(left), expression=right.copy())
    if isinstance(node, exp.Sub) and kind(left) == kind(right) == exp.DType.DATE:
        return _days(right, left)
    return None


def _moment(when: exp.Expression) -> exp.Expression:
    """A date plus an interval is a timestamp."""
    return cast(when.copy(), "timestamp") if kind(when) == exp.DType.DATE else when.copy()


def _date_add(node: exp.DateAdd) -> exp.Expression:
    if not isinstance(node.expression, exp.Interval):
        raise refuse("date_add() takes an interval there")
    return exp.paren(exp.Add(this=_moment(node.this), expression=node.expression.copy()))


def _days(start: exp.Expression, end: exp.Expression) -> exp.Expression:
    elapsed = exp.Sub(this=cast(end.copy(), "date"), expression=cast(start.copy(), "date"))
    return _whole(cast(exp.paren(elapsed), "bigint"), _DAY_MICROSECONDS)


def _whole(value: exp.Expression, by: int) -> exp.Expression:
    return typed(exp.paren(exp.IntDiv(this=value, expression=literal(by))), exp.DType.BIGINT)


def _date_diff(node: exp.DateDiff) -> exp.Expression:
    """Count the borders between two times, as DuckDB does; Polars has no date_diff."""
    unit = (node.args["unit"].name if node.args.get("unit") else "day").lower()
    start, end = node.expression, node.this
    if unit == "day":
        return _days(start, end)
    if unit == "week":  # for DuckDB seven days, wherever the week begins
        return _whole(_days(start, end), 7)
    if unit in _MONTHS:
        return typed(exp.paren(exp.Sub(this=_count(end, unit), expression=_count(start, unit))), exp.DType.BIGINT)
    if unit in _MICROSECONDS:
        until, since = (
            cast(function("DATE_TRUNC", exp.Literal.string(unit), each.copy()), "timestamp") for each in (end, start)
        )
        return _whole(cast(exp.paren(exp.Sub(this=until, expression=since)), "bigint"), _MICROSECONDS[unit])
    raise refuse(f"date_diff() counts no {unit} there")


def _count(when: exp.Expression, unit: str) -> exp.Expression:
    """Months, quarters or years since year 0."""
    year = exp.Extract(this=exp.var("YEAR"), expression=when.copy())
    if unit == "year":
        return year
    part = exp.Extract(this=exp.var(unit.upper()), expression=when.copy())
    return exp.paren(exp.Add(this=exp.Mul(this=year, expression=literal(_MONTHS[unit])), expression=part))


def _part(name: str, when: exp.Expression) -> exp.Expression | None:
    """None: the part is counted alike."""
    if name.lower() not in grammar.PARTS:
        raise refuse(f"the part {name.lower()} of a time is not known there")
    if name.lower() == "epoch":
        return _epoch(when)
    if name.lower() in _MICROSECONDS and kind(when) == exp.DType.DATE:
        return exp.Extract(this=exp.var(name), expression=cast(when.copy(), "timestamp"))
    return None


def _epoch(when: exp.Expression) -> exp.Expression:
    """From whole microseconds: Polars' own lets the last digits go, and ends in 1677."""
    if kind(when) == exp.DType.TIME:
        raise refuse("a time of day has no epoch there")
    microseconds = cast(cast(when.copy(), "timestamp"), "bigint")
    return typed(exp.paren(exp.Div(this=microseconds, expression=exp.Literal.number("1e6"))), exp.DType.DOUBLE)


def _extract(node: exp.Extract) -> exp.Expression | None:
    return _part(node.this.name, node.expression)


def _part_of(node: exp.Func) -> exp.Expression | None:
    return _part(PART_NAMES[type(node)], node.this)


def _trunc(node: exp.TimestampTrunc | exp.DateTrunc) -> exp.Expression | None:
    unit = node.args["unit"].name.lower() if node.args.get("unit") else "day"
    if unit not in _CUTS or node.args.get("zone"):
        raise refuse(f"times are not cut at the {unit} there")
    return None


def _strftime(node: exp.TimeToStr) -> exp.Expression:
    codes = checked_codes(node.args.get("format"), grammar.TIME_CODES)
    return typed(function("STRFTIME", _moment(node.this), codes), exp.DType.VARCHAR)


def _last_day(node: exp.LastDay) -> exp.Expression:
    if node.args.get("unit"):
        raise refuse("last_day() takes a date alone there")
    month = cast(function("DATE_TRUNC", exp.Literal.string("month"), cast(node.this.copy(), "date")), "timestamp")
    for step, unit in ((exp.Add, "month"), (exp.Sub, "day")):
        interval = exp.Interval(this=exp.Literal.string("1"), unit=exp.var(unit))
        month = exp.paren(step(this=month, expression=interval))
    return cast(month, "date")


def _name(code: str) -> Change:
    def change(node: exp.Func) -> exp.Expression:
        return typed(function("STRFTIME", _moment(node.this), exp.Literal.string(code)), exp.DType.VARCHAR)

    return change


def _strptime(node: exp.StrToTime) -> exp.Expression:
    codes = checked_codes(node.args.get("format"), grammar.PARSED_CODES)
    return typed(function("STRPTIME", node.this.copy(), codes), exp.DType.TIMESTAMP)


def named(name: str, values: list[exp.Expression]) -> exp.Expression | None:
    """`date_part('year', x)`, which the parser has no class for."""
    if name not in ("date_part", "datepart"):
        return None
    if not (isinstance(values[0], exp.Literal) and values[0].is_string):
        raise refuse("date_part() takes a constant part there")
    return _part(values[0].this, values[1])


def one_zone(node: exp.Expression, names: tuple[str, ...]) -> None:
    """A time without a zone is meant in UTC; Polars compares it with no time that has one."""
    sides = [node.args[name] for name in names]
    if exp.DType.TIMESTAMPTZ in map(kind, sides):
        for side in sides:
            if kind(side) in PLAIN_TIMESTAMP | {exp.DType.DATE}:
                side.replace(cast(side.copy(), "timestamptz"))


CHANGES = {
    exp.DateAdd: _date_add, exp.DateDiff: _date_diff, exp.Extract: _extract, exp.TimestampTrunc: _trunc,
    exp.DateTrunc: _trunc, exp.TimeToStr: _strftime, exp.StrToTime: _strptime,
    exp.LastDay: _last_day, exp.Dayname: _name("%A"), exp.Monthname: _name("%B"),
    exp.TimeToUnix: lambda node: _epoch(node.this), **dict.fromkeys(PART_NAMES, _part_of),
}  # fmt: skip
