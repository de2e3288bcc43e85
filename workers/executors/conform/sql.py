"""The queries of `conform_sources`: the records that come out, and those that count what became of what went in.

A run reads its sources in two of them: `rows_sql` only their keys, `ranked_sql` all. It keeps what `ranked_sql` gives
under the name `assay_ranked`, and asks the others of that. `records_sql` is the same in one, for people.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from workers.engines.sql.guard import parse
from workers.engines.statement import quoted
from workers.errors import InvalidConfig, SqlRejected
from workers.schema import duckdb_type, parse_type
from workers.template_specs import ConformedSource, ConformSpec

from .config import Plan, Rule, Source

RANKED = "assay_ranked"

# The name of each step says what it holds: assay_records every record, assay_latest those with a key, a source's
# newest of it at place 1, assay_ranked one for each source and key, the winner at rank 1.


def spec_of(plan: Plan, **common: Any) -> ConformSpec:
    """What a run of the plan is told. `common` is what the plan does not say: `sql`, inputs, columns, target, …"""
    return ConformSpec(
        sources=tuple(
            ConformedSource(alias=each.alias, source_system=each.system, priority=each.priority)
            for each in plan.sources
        ),
        rows_sql=rows_sql(plan),
        ranked_sql=ranked_sql(plan),
        winners_sql=winners_sql(plan),
        keys_sql=keys_sql(plan),
        compared=tuple(plan.compared),
        ruled=tuple(plan.rules),
        **common,
    )


def records_sql(plan: Plan) -> str:
    """The SELECT that makes one record for each key out of the sources."""
    return _with(_ranked(plan), *_best(plan)) + _winners(plan)


def ranked_sql(plan: Plan) -> str:
    """One record for each source and key, with its ranks."""
    return f"{_with(_ranked(plan))}SELECT * FROM {RANKED}"  # noqa: S608 - made from checked parts


def winners_sql(plan: Plan) -> str:
    """What `records_sql` gives, out of `assay_ranked`."""
    return _with(*_best(plan)) + _winners(plan)


def rows_sql(plan: Plan) -> str:
    """Of each source (`assay_source`) its records, how many of them have no key, and how many keys the others have."""
    keys = ", ".join(quoted(key) for key in plan.keys)
    missing = " OR ".join(f"{quoted(key)} IS NULL" for key in plan.keys)
    grouped = f"SELECT assay_source, {keys}, COUNT(*) AS n FROM assay_records GROUP BY assay_source, {keys}"  # noqa: S608
    counts = [
        "SUM(n) AS records",
        f"SUM(CASE WHEN {missing} THEN n ELSE 0 END) AS without_key",
        _sum(f"NOT ({missing})", "keys"),
    ]
    steps = _with(_records(plan, plan.keys), f"assay_grouped AS ({grouped})")
    return f"{steps}SELECT assay_source, {', '.join(counts)} FROM assay_grouped GROUP BY assay_source"  # noqa: S608


def keys_sql(plan: Plan) -> tuple[str, ...]:
    """Queries of one row each that count over the keys of `assay_ranked`; several where one would be too long.

    `found`, `several`; of each source (n) `has_n`, `won_n`, `only_n`; of each
    compared column (m) `differs_m`, and where it has a rule `from_m_n`.
    Raises `InvalidConfig` for a configuration that is too large altogether.
    """
    size = max(len(plan.compared), 1)
    while True:
        parts = [range(start, min(start + size, len(plan.compared))) for start in range(0, len(plan.compared), size)]
        queries = tuple(_counts(plan, part, is_first=not n) for n, part in enumerate(parts or [range(0)]))
        if all(_fits(query) for query in queries):
            return queries
        if size == 1:
            message = "There are more sources and columns than one query can hold."
            problem = {"field": "config.sources", "message": message, "hint": "Conform them in two jobs."}
            raise InvalidConfig(message, hint=problem["hint"], field=problem["field"], problems=[problem])
        size = -(-size // 2)


def _fits(query: str) -> bool:
    try:
        parse(query, [RANKED])
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
    source, keys = "assay_chosen" if plan.rules else RANKED, ", ".join(quoted(key) for key in plan.keys)
    grouped = f"assay_keys AS (SELECT {', '.join(per_key)} FROM {source} GROUP BY {keys})"  # noqa: S608
    return f"{_with(*_chosen(plan), grouped)}SELECT {', '.join(totals)} FROM assay_keys"  # noqa: S608 - checked parts


def _sum(condition: str, name: str) -> str:
    return f"SUM(CASE WHEN {condition} THEN 1 ELSE 0 END) AS {name}"


def _result(plan: Plan) -> list[str]:
    return [name for name in plan.types if not name.startswith("assay_")]


# --- the steps ------------------------------------------------------------------------


def _with(*steps: str) -> str:
    return f"WITH {', '.join(steps)} " if steps else ""


def _records(plan: Plan, names: Iterable[str]) -> str:
    names = list(names)
    parts = (_one(plan, number, source, names) for number, source in enumerate(plan.sources))
    return f"assay_records AS ({' UNION ALL '.join(parts)})"


def _one(plan: Plan, number: int, source: Source, names: list[str]) -> str:
    columns = [f"{_typed(plan, source, name)} AS {quoted(name)}" for name in names]
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
    return f"{_records(plan, plan.types)}, assay_latest AS ({latest}), {RANKED} AS ({ranked})"


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


def _winners(plan: Plan) -> str:
    names = ", ".join(quoted(name) for name in [*_result(plan), plan.system_column])
    return f"SELECT {names} FROM {'assay_best' if plan.rules else RANKED} WHERE assay_rank = 1"  # noqa: S608 - checked


def _best(plan: Plan) -> list[str]:
    """The winners with the values that rules give them; no steps where there are no rules."""
    if not plan.rules:
        return []
    columns = ", ".join([*(_value(plan, name) for name in _result(plan)), quoted(plan.system_column), "assay_rank"])
    return [*_chosen(plan), f"assay_best AS (SELECT {columns} FROM assay_chosen)"]  # noqa: S608 - checked parts


def _chosen(plan: Plan) -> list[str]:
    """Beside each record, for each ruled column, the rank of the first that has a value."""
    if not plan.rules:
        return []
    keys = ", ".join(quoted(key) for key in plan.keys)
    firsts = [
        f"MIN(CASE WHEN {quoted(name)} IS NOT NULL THEN {_rank_of(plan, name)} END) OVER (PARTITION BY {keys}) "
        f"AS assay_first_{number}"
        for number, name in enumerate(plan.rules)
    ]
    ranks = [_rank(number) for number in range(len(_orders(plan)))]
    names = [*(quoted(name) for name in plan.types), quoted(plan.system_column), "assay_source", *ranks]
    return [f"assay_chosen AS (SELECT {', '.join([*names, *firsts])} FROM {RANKED})"]  # noqa: S608 - checked parts


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
