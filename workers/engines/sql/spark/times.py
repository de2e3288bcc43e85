"""Dates and times, where Spark's functions differ from DuckDB's."""

from __future__ import annotations

from sqlglot import exp

from ..trees import INTEGER, PLAIN_TIMESTAMP, TEMPORAL, cast, function, kind, literal, refuse, typed
from . import grammar

# Of each part: Spark's function, and what is added so that it counts as DuckDB's does.
_PARTS = {
    "YEAR": ("YEAR", 0), "MONTH": ("MONTH", 0), "DAY": ("DAYOFMONTH", 0), "HOUR": ("HOUR", 0),
    "MINUTE": ("MINUTE", 0), "SECOND": ("SECOND", 0), "QUARTER": ("QUARTER", 0), "WEEK": ("WEEKOFYEAR", 0),
    "DOW": ("DAYOFWEEK", -1), "DAYOFWEEK": ("DAYOFWEEK", -1), "ISODOW": ("WEEKDAY", 1), "DOY": ("DAYOFYEAR", 0),
    "DAYOFYEAR": ("DAYOFYEAR", 0),
}  # fmt: skip
_CLASSES = {
    exp.DayOfWeek: "DOW", exp.DayOfMonth: "DAY", exp.DayOfYear: "DOY", exp.DayOfWeekIso: "ISODOW", exp.Year: "YEAR",
    exp.WeekOfYear: "WEEK", exp.Month: "MONTH", exp.Day: "DAY", exp.Quarter: "QUARTER", exp.Week: "WEEK",
    exp.Hour: "HOUR", exp.Minute: "MINUTE", exp.Second: "SECOND",
}  # fmt: skip
_MONTHS = {"month": 12, "quarter": 4, "year": 1}
_MICROSECONDS = {"second": 1_000_000, "minute": 60_000_000, "hour": 3_600_000_000}


def part(name: str, when: exp.Expression) -> exp.Expression:
    """A part of a date or time, a BIGINT as on DuckDB."""
    name = name.upper()
    if name == "EPOCH":
        return _epoch(when)
    if name not in _PARTS:
        raise refuse(f"the part {name.lower()} of a time is not known there")
    spark, more = _PARTS[name]
    found: exp.Expression = function(spark, when.copy())
    if more:
        found = (
            exp.Add(this=found, expression=literal(more))
            if more > 0
            else exp.Sub(this=found, expression=literal(-more))
        )
    return typed(cast(found, "bigint"), exp.DType.BIGINT)


def _epoch(when: exp.Expression) -> exp.Expression:
    if kind(when) == exp.DType.TIME:
        raise refuse("a time of day has no epoch there")
    micros = cast(function("UNIX_MICROS", cast(when.copy(), "timestamptz")), "double")
    return typed(exp.paren(exp.Div(this=micros, expression=exp.Literal.number("1e6"))), exp.DType.DOUBLE)


def _extract(node: exp.Extract) -> exp.Expression:
    return part(node.this.name, node.expression)


def _part_of(node: exp.Func) -> exp.Expression:
    return part(_CLASSES[type(node)], node.this)


def named(name: str, values: list[exp.Expression]) -> exp.Expression | None:
    """`date_part('year', x)`, `isodow(x)`, `dayname(x)`, which the parser has no class for."""
    if name in ("date_part", "datepart"):
        if not (isinstance(values[0], exp.Literal) and values[0].is_string):
            raise refuse("date_part() takes a constant part there")
        return part(values[0].this, values[1])
    if name == "isodow":
        return part(name, values[0])
    if name in ("dayname", "monthname"):
        return _name(values[0], name)
    return None


def _name(when: exp.Expression, name: str) -> exp.Expression:
    pattern = "EEEE" if name == "dayname" else "MMMM"
    return typed(function("DATE_FORMAT", when.copy(), exp.Literal.string(pattern)), exp.DType.VARCHAR)


def _unit(node: exp.Expression) -> str:
    unit = node.args.get("unit")
    name = unit.name.lower() if unit is not None else "day"
    if name not in grammar.UNITS:
        raise refuse(f"times are not cut at the {name} there")
    return name


def _trunc(node: exp.TimestampTrunc | exp.DateTrunc) -> exp.Expression:
    """DuckDB's is a timestamp, with a zone only where its argument has one."""
    if node.args.get("zone"):
        raise refuse("date_trunc() takes no zone there")
    cut = function("DATE_TRUNC", exp.Literal.string(_unit(node)), node.this.copy())
    if kind(node.this) == exp.DType.TIMESTAMPTZ:
        return typed(cut, exp.DType.TIMESTAMPTZ)
    return typed(cast(cut, "timestamp"), exp.DType.TIMESTAMP)


def _move(node: exp.Add | exp.Sub) -> exp.Expression | None:
    """Dates and times plus and minus days, intervals and each other."""
    left, right = node.left, node.right
    if isinstance(left, exp.Interval) and isinstance(node, exp.Add):
        left, right = right, left
    if isinstance(right, exp.Interval):
        return type(node)(this=_moment(left), expression=_checked(right).copy())
    if isinstance(left, exp.Interval):
        raise refuse("an interval is only added to a date or time there")
    if isinstance(node, exp.Sub) and {kind(left), kind(right)} <= TEMPORAL:
        if not kind(left) == kind(right) == exp.DType.DATE:
            raise refuse("two times are not subtracted there; write date_diff('second', a, b)")
        return _days(right, left)
    if isinstance(node, exp.Add) and kind(right) == exp.DType.DATE:
        left, right = right, left
    if kind(left) == exp.DType.DATE and kind(right) in INTEGER:
        name = "DATE_ADD" if isinstance(node, exp.Add) else "DATE_SUB"
        return typed(function(name, left.copy(), cast(right.copy(), "int")), exp.DType.DATE)
    return None


def _moment(when: exp.Expression) -> exp.Expression:
    """A date plus an interval is a timestamp."""
    if kind(when) == exp.DType.TIMESTAMPTZ or kind(when) in PLAIN_TIMESTAMP:
        return when.copy()
    return cast(when.copy(), "timestamp")


def _checked(interval: exp.Interval) -> exp.Interval:
    count, unit = interval.this, interval.args.get("unit")
    if not isinstance(count, exp.Literal) or not count.this.lstrip("-").isdigit() or not isinstance(unit, exp.Var):
        raise refuse("an interval is a constant whole number of one unit there")
    if unit.name.upper().rstrip("S") not in grammar.INTERVALS:
        raise refuse(f"an interval counts no {unit.name.lower()} there")
    return interval


def _interval(node: exp.Interval) -> None:
    if not isinstance(node.parent, exp.Add | exp.Sub | exp.DateAdd):
        raise refuse("an interval is only added to a date or time there")


def _date_add(node: exp.DateAdd) -> exp.Expression:
    if not isinstance(node.expression, exp.Interval):
        raise refuse("date_add() takes an interval there")
    return exp.paren(exp.Add(this=_moment(node.this), expression=_checked(node.expression).copy()))


def _days(start: exp.Expression, end: exp.Expression) -> exp.Expression:
    days = function("DATEDIFF", cast(end.copy(), "date"), cast(start.copy(), "date"))
    return typed(cast(days, "bigint"), exp.DType.BIGINT)


def _whole(value: exp.Expression, by: int) -> exp.Expression:
    return typed(exp.paren(exp.IntDiv(this=value, expression=literal(by))), exp.DType.BIGINT)


def _date_diff(node: exp.DateDiff) -> exp.Expression:
    """Count the borders between two times, as DuckDB does; Spark's counts whole units that have passed."""
    unit, start, end = _unit(node), node.expression, node.this
    if unit == "day":
        return _days(start, end)
    if unit == "week":
        return _whole(_days(start, end), 7)
    if unit in _MONTHS:
        return typed(exp.paren(exp.Sub(this=_count(end, unit), expression=_count(start, unit))), exp.DType.BIGINT)
    until, since = (
        function("UNIX_MICROS", function("DATE_TRUNC", exp.Literal.string(unit), cast(each.copy(), "timestamptz")))
        for each in (end, start)
    )
    return _whole(exp.paren(exp.Sub(this=until, expression=since)), _MICROSECONDS[unit])


def _count(when: exp.Expression, unit: str) -> exp.Expression:
    """Months, quarters or years since year 0."""
    year = part("year", when)
    if unit == "year":
        return year
    return exp.paren(exp.Add(this=exp.Mul(this=year, expression=literal(_MONTHS[unit])), expression=part(unit, when)))


def _format(node: exp.Expression) -> exp.Expression:
    """strftime's format in Java's letters; every other letter quoted."""
    told = node.args.get("format")
    if not (isinstance(told, exp.Literal) and told.is_string):
        raise refuse("the format of a time is a constant there")
    made, rest = [], told.this
    while rest:
        if rest[0] == "%":
            code = rest[1:3] if rest[1:2] == "-" else rest[1:2]
            if code not in grammar.TIME_CODES:
                raise refuse(f"the format %{code} of a time is not known there")
            made.append(grammar.TIME_CODES[code])
            rest = rest[1 + len(code) :]
            continue
        made.append(f"'{rest[0]}'" if rest[0].isalpha() or rest[0] in "#{}[]" else rest[0].replace("'", "''"))
        rest = rest[1:]
    return exp.Literal.string("".join(made))


def _strftime(node: exp.TimeToStr) -> exp.Expression:
    return typed(function("DATE_FORMAT", node.this.copy(), _format(node)), exp.DType.VARCHAR)


def _strptime(node: exp.StrToTime) -> exp.Expression:
    return typed(function("TO_TIMESTAMP_NTZ", node.this.copy(), _format(node)), exp.DType.TIMESTAMP)


def _at_zone(node: exp.AtTimeZone) -> exp.Expression:
    """The clock in a zone of an instant, or the instant of a zone's clock."""
    zone = node.args["zone"]
    if not (isinstance(zone, exp.Literal) and zone.is_string):
        raise refuse("AT TIME ZONE takes a constant zone there")
    utc = exp.Literal.string("UTC")
    if kind(node.this) == exp.DType.TIMESTAMPTZ:
        clock = function("CONVERT_TIMEZONE", utc, zone.copy(), cast(node.this.copy(), "timestamp"))
        return typed(clock, exp.DType.TIMESTAMP)
    if kind(node.this) in PLAIN_TIMESTAMP | {exp.DType.DATE}:
        instant = function("CONVERT_TIMEZONE", zone.copy(), utc, cast(node.this.copy(), "timestamp"))
        return typed(cast(instant, "timestamptz"), exp.DType.TIMESTAMPTZ)
    raise refuse("AT TIME ZONE takes a timestamp there")


def _month_name(node: exp.Monthname | exp.Dayname) -> exp.Expression:
    return _name(node.this, "dayname" if isinstance(node, exp.Dayname) else "monthname")


CHANGES = {
    exp.Extract: _extract, **dict.fromkeys(_CLASSES, _part_of), exp.TimeToUnix: lambda node: _epoch(node.this),
    exp.TimestampTrunc: _trunc, exp.DateTrunc: _trunc, exp.Add: _move, exp.Sub: _move, exp.Interval: _interval,
    exp.DateAdd: _date_add, exp.DateDiff: _date_diff, exp.TimeToStr: _strftime, exp.StrToTime: _strptime,
    exp.AtTimeZone: _at_zone, exp.Monthname: _month_name, exp.Dayname: _month_name,
}  # fmt: skip
