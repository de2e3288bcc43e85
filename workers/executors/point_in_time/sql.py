"""The same in SQL: what DuckDB runs, and what a person reads to see what is done.

Moments are timestamps in UTC. Of a feature's rows with the same key and the
same moment of becoming available the best is kept, then those which a better
one preceded are dropped, then `ASOF JOIN` finds the latest that was available.
"""

# ruff: noqa: S608 - names are quoted, and the one expression comes from a checked tree
from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from workers.engines.statement import quoted

from .examples import Moment, sort_columns
from .plan import SPLIT, SPLITS, Group, Plan, moment
from .split import WHOLE, thresholds

RUN_TIME = ":run_time"  # as people read it
LABELLED = "assay_kept"  # the step before the purge, where there is one


def statement(plan: Plan, when: Moment | None = None, *, states: bool = False, examples: str = "") -> str:
    """The query; with `states` one more column for each timed feature, `assay_state_{n}`.

    Without `when` it has `:run_time` in it and no dates. `examples` names a
    table that has the examples already.
    """
    parts = [] if examples else list(example_parts(plan, when))
    for group in plan.groups:
        parts += _feature_parts(plan, group, states=states)
    return f"{with_parts(parts)}\n{_final(plan, examples or 'assay_examples', states=states)}"


def with_parts(parts: list[tuple[str, str]]) -> str:
    return "WITH " + ",\n".join(f"{name} AS (\n  {text}\n)" for name, text in parts) if parts else ""


# --- examples ---------------------------------------------------------------------------


def example_parts(plan: Plan, when: Moment | None) -> Iterator[tuple[str, str]]:
    """The steps to `assay_examples`; each step's rows that the one before has not were dropped by its rule."""
    entity, alias = plan.entity, quoted(plan.entity.alias)
    own = names(*entity.key_columns, entity.as_of_column, *plan.carried)
    has_key = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in entity.key_columns)
    time = quoted(entity.as_of_column)
    yield (
        "assay_entity",
        f"SELECT {own}, CAST({time} AS TIMESTAMP) AS assay_time FROM {alias}\n"
        f"  WHERE {has_key} AND {time} IS NOT NULL{_days(when, f'CAST({time} AS TIMESTAMP)')}",
    )
    last = "assay_entity"
    if plan.label:
        for name, text in _label_parts(plan, when):
            last = name
            yield name, text
    if plan.split and plan.split.method == "time":
        yield from _cut_parts(plan, last)
    labelled = f"{last}{_where_labelled(plan)}"
    if plan.reach:
        yield LABELLED, f"SELECT * FROM {labelled}"
        labelled = f"{LABELLED} WHERE NOT ({_looks_ahead(plan)})"
    part = f", {_split(plan)} AS {SPLIT}" if plan.split else ""
    yield "assay_examples", f"SELECT *{part} FROM {labelled}"


def _where_labelled(plan: Plan) -> str:
    is_dropped = plan.label and plan.label.on_missing == "drop"
    return f" WHERE {quoted(plan.label.name)} IS NOT NULL" if is_dropped else ""


def _days(when: Moment | None, value: str) -> str:
    first, last = when.days if when else (None, None)
    told = f" AND CAST({value} AS DATE) >= DATE '{first}'" if first else ""
    return told + (f" AND CAST({value} AS DATE) <= DATE '{last}'" if last else "")


def _label_parts(plan: Plan, when: Moment | None) -> Iterator[tuple[str, str]]:
    label, source = plan.label, "assay_entity"
    if plan.window is not None:
        yield "assay_horizon", f"SELECT {_horizon(plan, when)} AS assay_until"
        source = "assay_ready"
        until = "(SELECT assay_until FROM assay_horizon)"
        yield source, f"SELECT * FROM assay_entity WHERE assay_time + {interval(plan.window)} <= {until}"
    zero = "false" if plan.label_type == "boolean" else "0"

    def filled(value: str) -> str:
        return f"COALESCE({value}, {zero})" if label.on_missing == "zero" else value

    name = quoted(label.name)
    if label.column:
        value = filled(quoted(label.column))
        others = "*" if label.name != label.column else f"* EXCLUDE ({quoted(label.column)})"
        yield "assay_labelled", f"SELECT {others}, {value} AS {name} FROM {source}"
        return
    keys = plan.entity.key_columns
    yield "assay_outcomes", _outcomes(plan, source)
    nothing = f"(SELECT {plan.label_sql} FROM {quoted(label.alias)} WHERE false)"
    same = " AND ".join(f"o.assay_key_{n} = e.{quoted(key)}" for n, key in enumerate(keys))
    value = filled(f"CASE WHEN o.assay_at IS NULL THEN {nothing} ELSE o.assay_outcome END")
    yield (
        "assay_labelled",
        f"SELECT e.*, {value} AS {name}\n"
        f"  FROM {source} AS e LEFT JOIN assay_outcomes AS o ON {same} AND o.assay_at = e.assay_time",
    )


def _horizon(plan: Plan, when: Moment | None) -> str:
    run_time = f"TIMESTAMP '{_utc(when.run_time)}'" if when else f"CAST({RUN_TIME} AS TIMESTAMP)"
    if plan.label.column:
        return run_time
    time, alias = quoted(plan.label.time_column), quoted(plan.label.alias)
    last = f"(SELECT max(CAST({time} AS TIMESTAMP)) FROM {alias})"
    return f"CASE WHEN {last} < {run_time} THEN {last} WHEN {last} IS NOT NULL THEN {run_time} END"


def _outcomes(plan: Plan, source: str) -> str:
    label, keys = plan.label, plan.entity.key_columns
    same = [f"l.{quoted(there)} = m.{quoted(own)}" for there, own in zip(label.key_columns, keys, strict=True)]
    if plan.window is not None:
        at = f"CAST(l.{quoted(label.time_column)} AS TIMESTAMP)"
        same += [f"{at} > m.assay_time", f"{at} <= m.assay_time + {interval(plan.window)}"]
    ours = ", ".join(f"m.{quoted(key)} AS assay_key_{n}" for n, key in enumerate(keys))
    grouped = ", ".join([*(f"assay_key_{n}" for n in range(len(keys))), "assay_at"])
    return (
        f"SELECT {grouped}, {plan.label_sql} AS assay_outcome\n"
        f"  FROM (SELECT {ours}, m.assay_time AS assay_at, l.*\n"
        f"        FROM (SELECT DISTINCT {names(*keys)}, assay_time FROM {source}) AS m\n"
        f"        JOIN {quoted(label.alias)} AS l ON {' AND '.join(same)}) AS {quoted(label.alias)}\n"
        f"  GROUP BY {grouped}"
    )


def _cut_parts(plan: Plan, source: str) -> Iterator[tuple[str, str]]:
    split = plan.split
    if split.validation_from:
        cuts = (f"TIMESTAMP '{moment(text)}'" for text in (split.validation_from, split.test_from))
        yield "assay_cuts", "SELECT {} AS validation_from, {} AS test_from".format(*cuts)
        return
    row = "row_number() OVER (ORDER BY assay_time) - 1 AS n, count(*) OVER () AS total"
    cut = "min(assay_time) FILTER (WHERE n >= {share!r} * total - 1e-9) AS {name}"
    shares = {"validation_from": split.train, "test_from": split.train + split.validation}
    found = ", ".join(cut.format(share=share, name=name) for name, share in shares.items())
    yield (
        "assay_cuts",
        f"SELECT {found}\n  FROM (SELECT assay_time, {row} FROM {source}{_where_labelled(plan)}) AS ordered",
    )


def _looks_ahead(plan: Plan) -> str:
    cuts = (f"(SELECT {name} FROM assay_cuts)" for name in ("validation_from", "test_from"))
    reaches = (f"COALESCE(assay_time < {cut} AND assay_time > {cut} - {interval(plan.reach)}, false)" for cut in cuts)
    return "\n    OR ".join(reaches)


def _split(plan: Plan) -> str:
    train, validation, test = (f"'{name}'" for name in SPLITS)
    if plan.split.method == "time":
        first, second = (f"(SELECT {name} FROM assay_cuts)" for name in ("validation_from", "test_from"))
        return (
            f"CASE WHEN {first} IS NULL OR assay_time < {first} THEN {train}\n"
            f"    WHEN {second} IS NULL OR assay_time < {second} THEN {validation} ELSE {test} END"
        )
    text = " || chr(31) || ".join(_text(plan, name) for name in plan.split_key)
    share = f"CAST('0x' || substr(sha256('{plan.split.seed}:' || {text}), 1, 8) AS BIGINT)"
    one, two = thresholds(plan.split)
    part = f"CASE WHEN {share} < {one} THEN {train}"
    part += f"\n    WHEN {share} < {two} THEN {validation}" if two > one else ""
    return f"{part} ELSE {test} END" if two < WHOLE else f"{part} ELSE {validation if two > one else train} END"


def _text(plan: Plan, name: str) -> str:
    kind, value = plan.type_of(plan.entity.alias, name), quoted(name)
    if kind in ("timestamp", "timestamptz"):
        value = f"strftime(CAST({value} AS TIMESTAMP), '%Y-%m-%d %H:%M:%S.%f')"
    return f"COALESCE(CAST({value} AS VARCHAR), '')"


# --- features ---------------------------------------------------------------------------


def _feature_parts(plan: Plan, group: Group, *, states: bool) -> Iterator[tuple[str, str]]:
    feature, n = group.feature, group.number
    keys = [f"assay_key_{place}" for place in range(len(feature.key_columns))]
    selected = [f"{quoted(name)} AS {key}" for name, key in zip(feature.key_columns, keys, strict=True)]
    needed = [f"{quoted(name)} IS NOT NULL" for name in feature.key_columns]
    for option, called in (("time_column", "event"), ("knowledge_column", "known"), ("valid_to_column", "until")):
        if name := getattr(feature, option):
            selected.append(f"CAST({quoted(name)} AS TIMESTAMP) AS assay_{called}")
            if called == "event" or (called == "known" and group.is_timed):
                needed.append(f"{quoted(name)} IS NOT NULL")
    selected += [f"{quoted(name)} AS {quoted(column.name)}" for name, column in group.outputs]
    from_rows = f"SELECT {', '.join(selected)}\n  FROM {quoted(group.alias)} WHERE {' AND '.join(needed)}"
    yield f"assay_rows_{n}", from_rows
    if not group.is_timed:
        return
    yield f"assay_best_{n}", _best(group, keys)
    if feature.knowledge_column:
        late = f"max(assay_event) OVER (PARTITION BY {', '.join(keys)} ORDER BY assay_available)"
        yield f"assay_history_{n}", f"SELECT * FROM assay_best_{n} QUALIFY assay_event >= {late}"
        if states:
            first = f"SELECT {', '.join(keys)}, min(assay_event) AS assay_first FROM assay_rows_{n}"
            yield f"assay_first_{n}", f"{first} GROUP BY {', '.join(keys)}"


def _best(group: Group, keys: list[str]) -> str:
    """One row for each key and moment of becoming available."""
    feature, n = group.feature, group.number
    available = "greatest(assay_event, assay_known)" if feature.knowledge_column else "assay_event"
    order = ["assay_event DESC", *(["assay_known DESC"] if feature.knowledge_column else [])]
    order += ["assay_until DESC NULLS LAST"] if feature.valid_to_column else []
    for _, column in group.outputs:
        order.append(f"{quoted(column.name)} DESC NULLS LAST")
        if column.type.startswith("float"):
            order.append(f"signbit({quoted(column.name)})")  # 0.0 and -0.0 are equal, and yet other bytes
    within = f"PARTITION BY {', '.join(keys)}, {available} ORDER BY {', '.join(order)}"
    return f"SELECT *, {available} AS assay_available FROM assay_rows_{n}\n  QUALIFY row_number() OVER ({within}) = 1"


def _final(plan: Plan, examples: str, *, states: bool) -> str:
    entity = plan.entity
    selected = [f"e.{quoted(name)}" for name in (*entity.key_columns, entity.as_of_column, *entity.columns)]
    joins = []
    for group in plan.groups:
        selected += [_value(group, column.name) for _, column in group.outputs]
        joins += _joins(plan, group, states=states)
    selected += [f"e.{quoted(plan.label.name)}"] if plan.label else []
    selected += [f"e.{SPLIT}"] if plan.split else []
    selected += [f"{_state(group)} AS assay_state_{group.number}" for group in plan.groups] if states else []
    lines = "\n".join(joins)
    columns = ",\n  ".join(selected)
    return f"SELECT\n  {columns}\nFROM {examples} AS e\n{lines}\nORDER BY {order_by(plan)}"


def order_by(plan: Plan, table: str = "e.") -> str:
    return ", ".join(f"{table}{quoted(name)} NULLS FIRST" for name in sort_columns(plan))


def _joins(plan: Plan, group: Group, *, states: bool) -> Iterator[str]:
    n = group.number
    same = " AND ".join(
        f"h{n}.assay_key_{place} = e.{quoted(key)}" for place, key in enumerate(plan.entity.key_columns)
    )
    if not group.is_timed:
        yield f"LEFT JOIN assay_rows_{n} AS h{n} ON {same}"
        return
    history = f"assay_history_{n}" if group.feature.knowledge_column else f"assay_best_{n}"
    yield f"ASOF LEFT JOIN {history} AS h{n} ON {same} AND e.assay_time >= h{n}.assay_available"
    if states and group.feature.knowledge_column:
        first = same.replace(f"h{n}.", f"f{n}.")
        yield f"LEFT JOIN assay_first_{n} AS f{n} ON {first}"


def _value(group: Group, name: str) -> str:
    n, conditions = group.number, []
    if not group.is_timed and group.feature.knowledge_column:
        conditions.append(f"h{n}.assay_known <= e.assay_time")
    if group.ttl is not None:
        conditions.append(f"h{n}.assay_event >= e.assay_time - {interval(group.ttl)}")
    if group.feature.valid_to_column:
        conditions.append(f"(h{n}.assay_until IS NULL OR h{n}.assay_until > e.assay_time)")
    value = f"h{n}.{quoted(name)}"
    value = f"CASE WHEN {' AND '.join(conditions)} THEN {value} END" if conditions else value
    return f"{value} AS {quoted(name)}"


def _state(group: Group) -> str:
    n, cases = group.number, []
    if not group.is_timed:
        cases.append(f"WHEN h{n}.assay_key_0 IS NULL THEN 'never_known'")
        if group.feature.knowledge_column:
            cases.append(f"WHEN h{n}.assay_known IS NULL OR h{n}.assay_known > e.assay_time THEN 'not_yet_known'")
        return f"CASE {' '.join(cases)} ELSE 'found' END"
    if group.feature.knowledge_column:
        first = f"f{n}.assay_first <= e.assay_time"
        cases.append(f"WHEN h{n}.assay_event IS NULL AND {first} THEN 'not_yet_known'")
    cases.append(f"WHEN h{n}.assay_event IS NULL THEN 'never_known'")
    if group.ttl is not None:
        cases.append(f"WHEN h{n}.assay_event < e.assay_time - {interval(group.ttl)} THEN 'expired'")
    if group.feature.valid_to_column:
        cases.append(f"WHEN h{n}.assay_until <= e.assay_time THEN 'ended'")
    return f"CASE {' '.join(cases)} ELSE 'found' END"


# --- words ------------------------------------------------------------------------------


def names(*columns: str) -> str:
    return ", ".join(quoted(name) for name in columns)


def interval(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    for unit, size in (("DAY", 86_400), ("HOUR", 3_600), ("MINUTE", 60)):
        if seconds % size == 0:
            return f"INTERVAL '{seconds // size}' {unit}"
    return f"INTERVAL '{seconds}' SECOND"


def _utc(when: datetime) -> str:
    return str(when.astimezone(UTC).replace(tzinfo=None))
