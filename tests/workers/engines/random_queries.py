"""Random queries of the documented dialect, typed so that most of them pass the check, over two small odd tables.

An expression is made from a template whose `{kind}` places are filled again.
Floats in the tables are sums of powers of two, so that no order of additions
shows in a last digit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

NAN, INF = math.nan, math.inf
TIMES = [
    time and datetime.fromisoformat(time)
    for time in ("2024-12-31T23:59:59.999999", "2025-01-01", "1969-12-31T23:00:00.000001", None, "2024-02-29T12:30",
                 "1900-03-01T04:05:06", "2025-01-01", "2000-06-15T00:00:01", "2024-03-31T01:30", None)
]  # fmt: skip
PRICES = ["2.50", "-2.50", "0.05", "99999.99", "1.25", "0.00", "2.50", "-0.01", "10.00", None]
A = pl.DataFrame(
    {
        "id": range(10),
        "n": [7, -7, 0, None, 2_000_000_000, 3, 3, None, -2_000_000_000, 1],
        "big": [1, -1, 2**62, -(2**62), None, 0, 5, 12, 2**53 + 1, None],
        "f": [2.5, -2.5, 0.0, None, 0.125, NAN, -0.5, 1024.0, NAN, 3.5],
        "p": [price and Decimal(price) for price in PRICES],
        "s": ["a-b-c", "", "Ä.ö", None, "it's 100%_x", "aXa1b22", " 12 ", "2024-02-29", "-3.5", "ß\u03a3 😀"],
        "d": [time and time.date() for time in TIMES],
        "at": TIMES[5:] + TIMES[:5],
        "utc": [time and time.replace(tzinfo=UTC) for time in TIMES],
        "flag": [True, False, None, True, False, True, None, False, True, False],
        "l": [[3, 1, 2], [], [None, 5], None, [9], [1, 1], [0], [], [7, None], [2]],
        "w": [{"x": 1, "y": "u"}, {"x": None, "y": ""}, None, {"x": 3, "y": None}, {"x": -1, "y": "z"}] * 2,
    },
    schema_overrides={"n": pl.Int32, "p": pl.Decimal(12, 2), "l": pl.List(pl.Int64)},
)
C = pl.DataFrame(
    {
        "id": [0, 1, 1, 3, None, 7, 12],
        "n": [3, None, 0, 7, 3, -7, 1],
        "f": [NAN, 2.5, None, -0.0, 64.0, 0.125, -2.5],
        "p": [Decimal("2.500"), None, Decimal("-0.005"), Decimal("1.250"), Decimal("0"), Decimal("7.777"), None],
        "s": ["a-b-c", None, "", "x", "aXa1b22", "Z", "1e3"],
        "d": [date(2024, 12, 31), None, date(2025, 1, 1), date(2024, 2, 29), date(1000, 1, 1), date(9000, 1, 1), None],
        "flag": [None, True, False, True, None, False, True],
    },
    schema_overrides={"n": pl.Int32, "p": pl.Decimal(9, 3)},
)
KINDS = {"id": "int", "n": "int", "big": "int", "f": "float", "p": "dec", "s": "text", "d": "date", "at": "ts",
         "utc": "tz", "flag": "bool", "l": "list", "w": "struct"}  # fmt: skip
TABLES = {"a": A, "c": C}
PLAIN = ("int", "float", "dec", "text", "date", "ts", "tz", "bool")

LITERALS = {
    "int": ["0", "1", "-3", "7", "2147483647", "null"],
    "float": ["0.5e0", "-2e0", "0e0", "1024e0"],
    "dec": ["0.5", "2.50", "-0.05", "100.00"],
    "text": ["''", "'a'", "'Ä'", "'it''s'", "'12'", "cast(null as varchar)"],
    "date": ["date '2024-12-31'", "date '2000-02-29'", "current_date"],
    "ts": ["timestamp '2024-12-31 23:59:59'", "timestamp '1970-01-01 00:00:00'"],
    "tz": [":run_time", "timestamptz '2024-12-31 23:00:00+00'"],
    "bool": ["true", "false", "cast(null as boolean)"],
    "search": ["'a'", "'-'", "'ö'", "'zz'"],
}

ANY_KIND = [
    "case when {bool} then {K} else {K} end", "coalesce({K}, {K})", "if({bool}, {K}, {K})", "nullif({K}, {K})",
    "case when {bool} then {K} when {bool} then {K} end",
]  # fmt: skip
TEMPLATES = {
    "int": """
        {int} + {int}; {int} - {int}; {int} * {int}; {int} // {int}; {int} % {int}; -{int}; abs({int}); length({text});
        strpos({text}, {search}); year({date}); month({ts}); day({tz}); hour({ts}); minute({tz}); quarter({date});
        week({date}); dayofweek({ts}); isodow({date}); dayofyear({date}); extract(second from {ts}); {date} - {date};
        date_diff('day', {date}, {date}); date_diff('month', {ts}, {ts}); date_diff('hour', {ts}, {ts});
        date_diff('week', {date}, {date}); date_diff('year', {tz}, {tz}); cast({float} as bigint); cast({dec} as int);
        try_cast({text} as int); try_cast({float} as int); sign({float}); cast({bool} as int); greatest({int}, {int});
        least({int}, {int}); mod({int}, {int}); round({int}, 1); {list}[1]; {list}[-1]; len({list}); {struct}.x;
        date_part('year', {date})
        """,
    "float": """
        {float} + {float}; {float} * {float}; {int} / {int}; {dec} / {int}; {float} / {float}; round({float});
        round({float}, 1); floor({float}); ceil({float}); abs({float}); cast({dec} as double); cast({int} as double);
        try_cast({text} as double); greatest({float}, {float}); least({float}, {float}); {float} - {int};
        {dec} * {float}; epoch({ts}); power({int}, 2); trunc({float})
        """,
    "dec": """
        {dec} + {dec}; {dec} - {dec}; {dec} + {int}; round({dec}, 1); abs({dec}); cast({int} as decimal(18, 2));
        cast({float} as decimal(18, 1)); cast({dec} as decimal(18, 1)); try_cast({text} as decimal(9, 2));
        greatest({dec}, {dec}); least({dec}, {dec}); -{dec}; round({dec})
        """,
    "text": """
        {text} || {text}; concat({text}, {int}, {text}); concat_ws('-', {text}, {text}); upper({text}); lower({text});
        trim({text}); ltrim({text}); rtrim({text}, 'c '); substring({text}, 2); substring({text}, 2, 3);
        substring({text}, -2); left({text}, 2); right({text}, 2); left({text}, {int} % 3); reverse({text});
        replace({text}, {search}, 'zz'); split_part({text}, '-', 2); regexp_replace({text}, '[a-z]+', '#');
        regexp_replace({text}, '\\d', '<>', 'g'); cast({int} as varchar); cast({date} as varchar);
        cast({ts} as varchar); cast({tz} as varchar); cast({dec} as varchar); cast({bool} as varchar); {struct}.y;
        strftime({ts}, '%Y-%m-%d %H:%M:%S.%f'); strftime({date}, '%d.%m.%y %j %a'); {text} || {ts}; {int} || {text};
        substring({text}, 1, {int} % 5); substring({text}, {int} % 4); substring({text}, strpos({text}, {search}) + 1);
        regexp_extract({text}, '[a-z]+'); regexp_extract({text}, '-(\\w)(\\d)?', 2); dayname({date}); monthname({ts})
        """,
    "date": """
        {date} + ({int} % 1000); {date} - ({int} % 50); cast({ts} as date); cast({tz} as date);
        cast(date_trunc('month', {date}) as date); cast(date_trunc('week', {date}) as date); try_cast({text} as date);
        last_day({ts});
        greatest({date}, {date}); least({date}, {date})
        """,
    "ts": """
        {date} + interval 1 month; {date} + interval 36 hour; {ts} - interval 1 day; {ts} + interval 90 minute;
        cast({date} as timestamp); cast({tz} as timestamp); date_trunc('hour', {ts}); date_trunc('quarter', {ts});
        try_cast({text} as timestamp); {ts} - interval 1 month
        """,
    "tz": "{tz} + interval 1 day; cast({ts} as timestamptz); date_trunc('day', {tz}); cast({date} as timestamptz)",
    "bool": """
        {K} = {K}; {K} <> {K}; {K} < {K}; {K} >= {K}; {K} is distinct from {K}; {K} is not distinct from {K};
        {K} is null; {K} is not null; {K} in ({K}, {K}); {K} not in ({K}, {K}); {K} between {K} and {K};
        {K} not between {K} and {K}; {bool} and {bool}; {bool} or {bool}; not {bool}; {bool} is true;
        {bool} is not true; {bool} is false; {text} like 'a%'; {text} like '%_b%'; {text} ilike '%Ä%';
        {text} not like '%\\%'; starts_with({text}, {search}); contains({text}, {search}); ends_with({text}, {search});
        regexp_matches({text}, '\\d'); regexp_matches({text}, '^[[:alpha:]]'); regexp_matches({text}, '\\bx');
        {int} > {float}; {dec} < {int}; {dec} = {float}; {ts} < {tz}; {date} = {ts}; {date} < {tz};
        isnan({float}); isinf({float}); {date} > '2024-06-01'; {list} is null; list_contains({list}, 1); {exists}; {in}
        """,
}  # fmt: skip
TEMPLATES = {kind: [each.strip() for each in text.split(";")] for kind, text in TEMPLATES.items()}
AGGREGATES = {
    "int": "count(*); count({P}); count(distinct {P}); sum({int}); sum(distinct {int}); min({int}); max({int});"
    "count_if({bool}); sum(case when {bool} then 1 else 0 end); sum({int}) + count(*); max({int}) - min({int});"
    "length(string_agg({text}, ',')); cast(avg({int}) as bigint)",
    "float": "avg({int}); avg({dec}); min({float}); max({float}); median({int}); sum(f); avg(f); stddev(n);"
    "median(cast(p as double));"
    "quantile_cont(n, 0.25); sum({int}) / count(*); max(case when {bool} then {float} end); round(avg({dec}), 2)",
    "dec": "sum({dec}); min({dec}); max({dec}); sum(distinct p); sum(case when {bool} then {dec} else 0 end)",
    "text": "min({text}); max({text}); string_agg(s, ',' order by {order}); max(upper({text}))",
    "date": "min({date}); max({date})",
    "ts": "min({ts}); max({ts})",
    "tz": "min({tz}); max({tz})",
    "bool": "bool_and({bool}); bool_or({bool}); count(*) > 1; min({int}) < 3; max({float}) > 2",
}
AGGREGATES = {kind: [each.strip() for each in text.split(";")] for kind, text in AGGREGATES.items()}
WINDOWS = {
    "int": "row_number() over ({part} order by {order}); rank() over ({part} order by {P}); count({P}) over ({part});"
    "dense_rank() over ({part} order by {P} desc); sum({int}) over ({part} order by {order}); ntile(3) over (order by "
    "{order}); lag({int}) over ({part} order by {order}); lead({int}, 2, 0) over ({part} order by {order});"
    "sum({int}) over ({part}); first_value({int}) over ({part} order by {order}); count(*) over ({part});"
    "sum({int}) over ({part} order by {order} rows between unbounded preceding and current row);"
    "sum(n) over ({part} order by {P}); last_value({int}) over ({part} order by {order});"
    "nth_value({int}, 2) over ({part} order by {order}); count(*) filter (where {bool}) over ({part});"
    "max({int}) over ({part} order by {order} rows between current row and unbounded following)",
    "float": "avg({int}) over ({part}); max({float}) over ({part}); max({float}) over ({part} order by {order});"
    "percent_rank() over (order by {P}); cume_dist() over ({part} order by {P}); sum(f) over ({part} order by {order})",
    "dec": "sum({dec}) over ({part} order by {order}); min({dec}) over ({part}); avg(p) over ({part} order by {order})",
    "text": "lag({text}, 1, '?') over ({part} order by {order}); min({text}) over ({part} order by {order})",
    "date": "max({date}) over ({part}); lead({date}) over ({part} order by {order})",
}
WINDOWS = {kind: [each.strip() for each in text.split(";")] for kind, text in WINDOWS.items()}
JOINS = ["join", "left join", "right join", "full join", "semi join", "anti join", "join", "left join"]
CONDITIONS = ["x.id = y.id", "x.n = y.n", "x.s = y.s", "x.d = y.d", "x.id = y.n and x.flag", "x.flag = y.flag",
              "x.id = y.id and y.n > 0", "x.n = y.n and x.id < y.id", "x.p = cast(y.p as decimal(12, 2))",
              "x.f is not distinct from y.f", "x.id = y.id and x.s <> y.s", "x.id + 1 = y.id", "x.f = y.f"]  # fmt: skip

Columns = list[tuple[str, str]]  # (how it is written, its kind)


_BARE = r"(?<![{.'])\b([nfps])\b(?![}(])"  # a column of the tables that a template names itself


def _qualified(template: str) -> str:
    return re.sub(_BARE, r"x.\1", template)


class Maker:
    """Draws the parts of one query."""

    def __init__(self, draw: Callable[[st.SearchStrategy], Any]) -> None:
        self.draw = draw
        self.nested = 0  # queries inside queries

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def often(self) -> bool:
        return self.draw(st.integers(0, 3)) > 0

    def rarely(self) -> bool:
        return not self.often()

    # --- expressions -------------------------------------------------------------

    def value(self, kind: str, columns: Columns, depth: int = 2) -> str:
        own = [name for name, of in columns if of == kind]
        if kind not in PLAIN or depth <= 0 or self.rarely():
            return self.pick(own) if own and (self.often() or kind not in LITERALS) else self.pick(LITERALS[kind])
        held = {of for _, of in columns}
        lacking = re.compile("|".join({r"\{list\}", r"\{struct\}"} - {rf"\{{{of}\}}" for of in held}) or "!")
        options = [each for each in TEMPLATES[kind] + ANY_KIND if not lacking.search(each)]
        return f"({self.fill(self.pick(options), columns, depth - 1, kind)})"

    def fill(self, template: str, columns: Columns, depth: int = 1, kind: str = "int") -> str:
        # In a comparison {K} is one kind, whichever; elsewhere the kind of the whole.
        same = self.pick(PLAIN) if template in TEMPLATES["bool"] else kind

        def put(found: re.Match[str]) -> str:
            name = found[1]
            special = {"exists": self.exists, "in": self.in_query, "order": self.total_order, "part": self.part}
            if name in special:
                return special[name](columns)
            return self.value({"K": same, "P": self.pick(PLAIN)}.get(name, name), columns, depth)

        return re.sub(r"\{(\w+)\}", put, template)

    def total_order(self, columns: Columns) -> str:
        """An order that leaves no two different rows at one place."""
        keys = [name for name, kind in columns if kind in PLAIN]
        return ", ".join(f"{key}{self.pick(['', ' desc', ' desc nulls first', ' nulls first'])}" for key in keys)

    def part(self, columns: Columns) -> str:
        return f"partition by {self.value(self.pick(PLAIN), columns, 1)}" if self.often() else ""

    def exists(self, columns: Columns) -> str:
        if self.nested > 1:
            return "true"
        outer = self.pick([name for name, kind in columns if kind == "int"] or ["1"])
        compare = self.pick(["=", "=", "="])
        return f"{self.pick(['', 'not '])}exists (select 1 from c z where z.id {compare} {outer} and z.n > 0)"

    def in_query(self, columns: Columns) -> str:
        if self.nested > 1:
            return "true"
        kind, column = self.pick([("int", "id"), ("int", "n"), ("text", "s"), ("date", "d"), ("bool", "flag")])
        some = self.pick(["", f" where z.{column} is not null", " where z.id > 5", " where false"])
        return f"{self.value(kind, columns, 0)} {self.pick(['in', 'not in'])} (select z.{column} from c z{some})"

    # --- queries -----------------------------------------------------------------

    def source(self) -> tuple[str, Columns]:
        """What stands behind FROM, and the columns that it gives."""
        if self.nested < 2 and self.rarely():
            self.nested += 1
            kinds = self.draw(st.lists(st.sampled_from(PLAIN), min_size=2, max_size=3))
            text = f"({self.query(kinds)}) as x"
            return text, [(f"x.c{number}", kind) for number, kind in enumerate(kinds)]
        one, two = self.pick([("a", "c"), ("c", "a"), ("a", "a")])
        left = [(f"x.{name}", KINDS[name]) for name in TABLES[one].columns]
        if self.often():
            return f"{one} as x", left
        join = self.pick(JOINS)
        right = (
            [] if join in ("semi join", "anti join") else [(f"y.{name}", KINDS[name]) for name in TABLES[two].columns]
        )
        return f"{one} as x {join} {two} as y on {self.pick(CONDITIONS)}", left + right

    def query(self, kinds: Sequence[str]) -> str:
        """A query whose columns c0, c1, … have these kinds."""
        make = self.pick([self.plain, self.plain, self.grouped, self.windowed, self.united])
        text = make(kinds)
        if self.rarely():
            names = ", ".join(f"c{number}{self.pick(['', ' desc', ' nulls first'])}" for number in range(len(kinds)))
            text += f" order by {names} limit {self.pick([0, 1, 3, 5])}"
            text += self.pick(["", " offset 2"])
        return text

    def where(self, columns: Columns) -> str:
        return f" where {self.value('bool', columns)}" if self.often() else ""

    def plain(self, kinds: Sequence[str]) -> str:
        source, columns = self.source()
        listed = ", ".join(f"{self.value(kind, columns)} as c{number}" for number, kind in enumerate(kinds))
        return f"select {self.pick(['', '', 'distinct '])}{listed} from {source}{self.where(columns)}"

    def grouped(self, kinds: Sequence[str]) -> str:
        source, columns = self.source()
        count = self.draw(st.integers(0, len(kinds) - 1))
        keys = [self.value(kind, columns, 1) for kind in kinds[:count]]
        values = [self.aggregate(kind, columns) for kind in kinds[count:]]
        listed = ", ".join(f"{value} as c{number}" for number, value in enumerate([*keys, *values]))
        by = f" group by {', '.join(map(str, range(1, count + 1)))}" if count else ""
        having = f" having {self.aggregate('bool', columns)}" if self.rarely() else ""
        return f"select {listed} from {source}{self.where(columns)}{by}{having}"

    def aggregate(self, kind: str, columns: Columns) -> str:
        names = {name.partition(".")[2] for name, _ in columns}
        fitting = [
            each for each in AGGREGATES[kind] if set(re.findall(r"\b[nfps]\b", re.sub(r"\{.*?\}", "", each))) <= names
        ]
        template = re.sub(r"(?<!\{)\b([nfps])\b(?!\}|\()", r"x.\1", self.pick(fitting))
        return self.fill(template, columns, 1, kind)

    def windowed(self, kinds: Sequence[str]) -> str:
        columns: Columns = []
        while not any(name == "x.n" for name, _ in columns):
            source, columns = self.source()
        values = []
        for number, kind in enumerate(kinds):
            if kind in WINDOWS and self.often():
                value = self.fill(_qualified(self.pick(WINDOWS[kind])), columns, 1, kind)
                values.append(f"{value} as c{number}")
            else:
                values.append(f"{self.value(kind, columns)} as c{number}")
        order = self.total_order(columns)
        only = f" qualify row_number() over ({self.part(columns)} order by {order}) <= 2" if self.rarely() else ""
        return f"select {', '.join(values)} from {source}{self.where(columns)}{only}"

    def united(self, kinds: Sequence[str]) -> str:
        if self.nested > 1:
            return self.plain(kinds)
        self.nested += 1
        words = ["union", "union all", "intersect", "except"]
        sides = [self.plain(kinds), self.pick(words), self.plain(kinds)]
        if self.rarely():
            sides += [self.pick(words[:2]), self.plain(kinds)]
        return " ".join(sides)


@st.composite
def queries(draw: Callable[[st.SearchStrategy], Any]) -> str:
    maker = Maker(draw)
    kinds = draw(st.lists(st.sampled_from(PLAIN), min_size=1, max_size=3))
    text = maker.query(kinds)
    if maker.rarely() and " z" not in text:
        text = f"with q as ({text}) select * from q"
    return text
