"""The queries of `conform_sources`: the records that come out, and two that count what became of those that went in."""

from __future__ import annotations

from workers.engines.sql.guard import parse
from workers.engines.statement import quoted
from workers.errors import InvalidConfig, SqlRejected
from workers.schema import duckdb_type, parse_type

from .config import Plan, Rule, Source

# The name of each step says what it holds: assay_records every record, assay_latest those with a key, a source's
# newest of it at place 1, assay_ranked one for each source and key, the winner at rank 1.


def records_sql(plan: Plan) -> str:
    """The SELECT that makes one record for each key."""
    names = ", ".join(quoted(name) for name in [*_result(plan), plan.system_column])
    if not plan.rules:
        return f"WITH {_ranked(plan)} SELECT {names} FROM assay_ranked WHERE assay_rank = 1"  # noqa: S608 - checked parts
    columns = ", ".join([*(_value(plan, name) for name in _result(plan)), quoted(plan.system_column), "assay_rank"])
    best = f"assay_best AS (SELECT {columns} FROM assay_chosen)"  # noqa: S608 - made from checked parts
    return f"WITH {_ranked(plan)}, {_chosen_step(plan)}, {best} SELECT {names} FROM assay_best WHERE assay_rank = 1"  # noqa: S608


def rows_sql(plan: Plan) -> str:
    """Records of each source (`assay_source`), and how many of them have no key."""
    missing = " OR ".join(f"{quoted(key)} IS NULL" for key in plan.keys)
    counted = f"COUNT(*) AS records, SUM(CASE WHEN {missing} THEN 1 ELSE 0 END) AS without_key"
    return f"WITH {_records(plan)} SELECT assay_source, {counted} FROM assay_records GROUP BY assay_source"  # noqa: S608


def keys_sql(plan: Plan) -> tuple[str, ...]:
    """Queries of one row each that count over the keys; several where one would be longer than a query may be.

    `found`, `several`; of each source (n) `has_n`, `won_n`, `only_n`; of each
    compared column (m) `differs_m`, and where it has a rule `from_m_n`.
    Raises `InvalidConfig` for a configuration that is too large altogether.
    """
    size = max(len(plan.compared), 1)
    while True:
        parts = [range(start, min(start + size, len(plan.compared))) for start in range(0, len(plan.compared), size)]
        queries = tuple(_counts(plan, part, is_first=not n) for n, part in enumerate(parts or [range(0)]))
        if all(_fits(plan, query) for query in queries):
            return queries
        if size == 1:
            message = "There are more sources and columns than one query can hold."
            problem = {"field": "config.sources", "message": message, "hint": "Conform them in two jobs."}
            raise InvalidConfig(message, hint=problem["hint"], field=problem["field"], problems=[problem])
        size = -(-size // 2)


def _fits(plan: Plan, query: str) -> bool:
    try:
        parse(query, [source.alias for source in plan.sources])
    except SqlRejected:
        return False
    return True


def _counts(plan: Plan, part: range, *, is_first: bool) -> str:
    """The query of these of the compared columns; the first one also counts the keys themselves."""
    numbers, compared = range(len(plan.sources)), {m: plan.compared[m] for m in part}
    ruled = {m: name for m, name in compared.items() if name in plan.rules}
    per_key = [
        f"CASE WHEN MIN({quoted(name)}) <> MAX({quoted(name)}) THEN 1 ELSE 0 END AS differs_{m}"
        for m, name in compared.items()
    ]
    per_key += [
        f"MAX(CASE WHEN {_is_chosen(plan, name)} THEN assay_source END) AS from_{m}" for m, name in ruled.items()
    ]
    totals = ["COUNT(*) AS found", *(f"SUM(differs_{m}) AS differs_{m}" for m in compared)]
    totals += [_sum(f"from_{m} = {n}", f"from_{m}_{n}") for m in ruled for n in numbers]
    if is_first:
        per_key += ["COUNT(*) AS n", "MIN(CASE WHEN assay_rank = 1 THEN assay_source END) AS winner"]
        per_key += [f"MAX(CASE WHEN assay_source = {n} THEN 1 ELSE 0 END) AS has_{n}" for n in numbers]
        totals += [_sum("n > 1", "several"), *(f"SUM(has_{n}) AS has_{n}" for n in numbers)]
        totals += [_sum(f"winner = {n}", f"won_{n}") for n in numbers]
        totals += [_sum(f"winner = {n} AND n = 1", f"only_{n}") for n in numbers]
    steps = f"{_ranked(plan)}, {_chosen_step(plan)}" if plan.rules else _ranked(plan)
    source, keys = "assay_chosen" if plan.rules else "assay_ranked", ", ".join(quoted(key) for key in plan.keys)
    grouped = f"assay_keys AS (SELECT {', '.join(per_key)} FROM {source} GROUP BY {keys})"  # noqa: S608
    return f"WITH {steps}, {grouped} SELECT {', '.join(totals)} FROM assay_keys"  # noqa: S608 - made from checked parts


def _sum(condition: str, name: str) -> str:
    return f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END) AS {name}"


def _result(plan: Plan) -> list[str]:
    return [name for name in plan.types if not name.startswith("assay_")]


# --- the steps ------------------------------------------------------------------------


def _records(plan: Plan) -> str:
    return f"assay_records AS ({' UNION ALL '.join(_one(plan, n, source) for n, source in enumerate(plan.sources))})"


def _one(plan: Plan, number: int, source: Source) -> str:
    columns = [f"{_typed(plan, source, name)} AS {quoted(name)}" for name in plan.types]
    columns += [f"{_text(source.system)} AS {quoted(plan.system_column)}", f"{number} AS assay_source"]
    return f"SELECT {', '.join(columns)} FROM {quoted(source.alias)}"  # noqa: S608 - made from checked parts


def _typed(plan: Plan, source: Source, name: str) -> str:
    """The source's value in the column's type. Engines give the numbers that an expression makes different widths."""
    mapped, kind = source.mapped.get(name), plan.types[name]
    if mapped and mapped.type == kind and (mapped.is_plain or not parse_type(kind).is_numeric()):
        return mapped.sql
    if not mapped and not plan.is_scalar(name):
        return "NULL"  # not every engine can cast to a list; beside the other sources' it gets their type
    return f"CAST({mapped.sql if mapped else 'NULL'} AS {duckdb_type(kind)})"


def _ranked(plan: Plan) -> str:
    keys = ", ".join(quoted(key) for key in plan.keys)
    has_key = " AND ".join(f"{quoted(key)} IS NOT NULL" for key in plan.keys)
    newest = [f"{quoted(plan.updated_at)} DESC NULLS LAST"] if plan.updated_at else []
    # Of records that are equally new the first by its values: the same one on every engine, in every run.
    rest = [n for n in plan.types if n not in plan.keys and n != plan.updated_at and plan.is_scalar(n)]
    newest += [f"{quoted(name)} ASC NULLS LAST" for name in rest] or ([] if newest else ["assay_source"])
    places = f"ROW_NUMBER() OVER (PARTITION BY {keys}, assay_source ORDER BY {', '.join(newest)}) AS assay_place"
    ranks = [
        f"ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {_by(plan, Rule(is_latest=plan.is_latest))}) AS assay_rank"
    ]
    ranks += [
        f"ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {by}) AS assay_rank_{number}"
        for number, by in enumerate(_orders(plan))
        if number
    ]
    names = ", ".join([*(quoted(name) for name in plan.types), quoted(plan.system_column), "assay_source"])
    latest = f"SELECT {names}, {places} FROM assay_records WHERE {has_key}"  # noqa: S608 - made from checked parts
    ranked = f"SELECT {names}, {', '.join(ranks)} FROM assay_latest WHERE assay_place = 1"  # noqa: S608
    return f"{_records(plan)}, assay_latest AS ({latest}), assay_ranked AS ({ranked})"


def _by(plan: Plan, rule: Rule) -> str:
    """In which order the sources are asked for a value."""
    if rule.is_latest:
        return f"{quoted(plan.updated_at)} DESC NULLS LAST, assay_source"
    if not rule.order:
        return "assay_source"
    cases = " ".join(f"WHEN assay_source = {number} THEN {place}" for place, number in enumerate(rule.order))
    return f"CASE {cases} ELSE {len(rule.order)} END, assay_source"


def _orders(plan: Plan) -> list[str]:
    """The different orders, that of the whole record first."""
    rules = [Rule(is_latest=plan.is_latest), *plan.rules.values()]
    return list(dict.fromkeys(_by(plan, rule) for rule in rules))


def _rank_of(plan: Plan, name: str) -> str:
    return _rank(_orders(plan).index(_by(plan, plan.rules[name])))


def _rank(order: int) -> str:
    return f"assay_rank_{order}" if order else "assay_rank"  # the first is that of the whole record


def _chosen_step(plan: Plan) -> str:
    """Beside each record, for each ruled column, the rank of the first that has a value."""
    keys = ", ".join(quoted(key) for key in plan.keys)
    firsts = [
        f"MIN(CASE WHEN {quoted(name)} IS NOT NULL THEN {_rank_of(plan, name)} END) OVER (PARTITION BY {keys}) "
        f"AS assay_first_{number}"
        for number, name in enumerate(plan.rules)
    ]
    ranks = [_rank(number) for number in range(len(_orders(plan)))]
    names = [*(quoted(name) for name in plan.types), quoted(plan.system_column), "assay_source", *ranks]
    return f"assay_chosen AS (SELECT {', '.join([*names, *firsts])} FROM assay_ranked)"  # noqa: S608 - checked parts


def _is_chosen(plan: Plan, name: str) -> str:
    return f"{_rank_of(plan, name)} = assay_first_{list(plan.rules).index(name)}"


def _value(plan: Plan, name: str) -> str:
    if name not in plan.rules:
        return quoted(name)
    keys = ", ".join(quoted(key) for key in plan.keys)
    chosen = f"CASE WHEN {_is_chosen(plan, name)} THEN {quoted(name)} END"
    return f"MAX({chosen}) OVER (PARTITION BY {keys}) AS {quoted(name)}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
