"""The card of a training or feature set: what is in it, what is missing and why, and what looks too good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import polars as pl

from workers.engines.preview import json_rows
from workers.errors import RowsDoNotBalance
from workers.lake.stage import Staging
from workers.lake.store import open_store
from workers.template_specs import PointInTimeSpec

from .plan import SPLIT, SPLITS, Group, Plan, is_number
from .polars import Told, micros
from .split import Cuts, looks_ahead
from .suspicion import suspicions

TOP = 5  # most frequent values of a feature
CLASSES = 20  # so many different values at most make a label a class
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}
MISSING = ("never_known", "not_yet_known", "expired", "ended")
MOST = 0.5  # a share of examples: more of them without a value is worth a warning
_CHUNK = 1 << 20


def card_of(spec: PointInTimeSpec, plan: Plan, staging: Staging, told: Told, cuts: Cuts | None) -> dict[str, Any]:
    """JSON. Rows are counted in the staged files; why a value is missing comes from the join."""
    rows = staging.scan()
    facts = _overview(plan, rows)
    card = {
        "kind": "training set" if plan.label else "feature set",
        "rows": facts["rows"],
        "entities": facts["entities"],
        "entity": {
            "alias": plan.entity.alias,
            "key_columns": list(plan.entity.key_columns),
            "as_of_column": plan.entity.as_of_column,
            "from": facts["from"],
            "to": facts["to"],
        },
        "read": told.read,
        "dropped": dict(sorted(told.dropped.items())),
        "label": _label(plan, rows) if plan.label else None,
        "split": _split(plan, rows, cuts) if plan.split else None,
        "features": _features(plan, rows, facts, told),
        "inputs": [{"dataset": each.dataset, "alias": each.alias, "version": each.version} for each in spec.inputs],
        "engine": spec.engine,
        "run_time": spec.run_time.isoformat(),
    }
    warnings = [*_join_warnings(plan, told, facts["rows"]), *_split_warnings(plan, rows, cuts), *suspicions(plan, rows)]
    return {**card, "warnings": warnings}


def balance_check(card: Mapping[str, Any]) -> dict[str, Any]:
    """Rows read = rows in the set + rows left out by a rule. Raises `RowsDoNotBalance`."""
    told = ", ".join(f"{count:,} {rule.replace('_', ' ')}" for rule, count in card["dropped"].items())
    detail = f"{card['read']:,} rows of {card['entity']['alias']} = {card['rows']:,} in the set"
    detail += f" + left out: {told}" if told else ""
    if card["read"] != card["rows"] + sum(card["dropped"].values()):
        raise RowsDoNotBalance(f"{detail}. Nothing was published.")
    return {"name": "rows_balance", "passed": True, "detail": detail}


def digest_of(staging: Staging) -> str:
    """The SHA-256 of the files' own, sorted: equal for equal bytes, whatever the files are called."""
    store, found = open_store(staging.target.uri), []
    for file in staging.files:
        digest = sha256()
        with store.open(file.path) as source:
            while chunk := source.read(_CHUNK):
                digest.update(chunk)
        found.append(digest.hexdigest())
    return sha256("\n".join(sorted(found)).encode()).hexdigest()


# --- in one pass -----------------------------------------------------------------------


def _overview(plan: Plan, rows: pl.LazyFrame) -> dict[str, Any]:
    """Counts of the whole set, and of each feature its nulls and, where it has an order, its bounds."""
    entity, schema = plan.entity, rows.collect_schema()
    keys = list(entity.key_columns)
    wanted = [
        pl.len().alias("rows"),
        (pl.struct(keys) if len(keys) > 1 else pl.col(keys[0])).n_unique().alias("entities"),
        pl.col(entity.as_of_column).min().alias("from"),
        pl.col(entity.as_of_column).max().alias("to"),
    ]
    for n, name in enumerate(plan.feature_names):
        wanted.append(pl.col(name).null_count().alias(f"nulls {n}"))
        if schema[name].is_numeric() or schema[name].is_temporal():
            wanted += [pl.col(name).min().alias(f"min {n}"), pl.col(name).max().alias(f"max {n}")]
        if schema[name].is_numeric():
            wanted.append(pl.col(name).cast(pl.Float64).mean().alias(f"mean {n}"))
    return json_rows(rows.select(wanted).collect(engine="streaming"))[0]


def _features(plan: Plan, rows: pl.LazyFrame, facts: Mapping[str, Any], told: Told) -> list[dict[str, Any]]:
    found, n = [], 0
    for group in plan.groups:
        states = told.states.get(group.number, Counter())
        for source, column in group.outputs:
            nulls = facts[f"nulls {n}"]
            missing = {state: states[state] for state in MISSING if states[state]}
            told_of = {
                "name": column.name,
                "type": column.type,
                **_origin(group, source),
                "nulls": nulls,
                "null_share": round(nulls / facts["rows"], 6) if facts["rows"] else 0.0,
                "missing": {**missing, **_null_at_source(nulls, missing)},
            }
            for bound in ("min", "max", "mean"):
                if f"{bound} {n}" in facts:
                    told_of[bound] = facts[f"{bound} {n}"]
            if column.type in ("string", "boolean", "json"):
                told_of["top"] = _top(rows, column.name)
            found.append(told_of)
            n += 1
    return found


def _origin(group: Group, source: str) -> dict[str, Any]:
    feature = group.feature
    told = {"alias": group.alias, "column": source, "time_column": feature.time_column}
    others = ("knowledge_column", "valid_to_column", "ttl")
    return {**told, **{name: getattr(feature, name) for name in others if getattr(feature, name)}}


def _null_at_source(nulls: int, missing: Mapping[str, int]) -> dict[str, int]:
    rest = nulls - sum(missing.values())
    return {"null_in_input": rest} if rest > 0 else {}


def _top(rows: pl.LazyFrame, name: str) -> list[dict[str, Any]]:
    counted = rows.select(pl.col(name).alias("value")).drop_nulls().group_by("value").len("rows")
    return json_rows(counted.sort(["rows", "value"], descending=[True, False]).head(TOP).collect(engine="streaming"))


# --- the label and the parts -----------------------------------------------------------


def _label(plan: Plan, rows: pl.LazyFrame) -> dict[str, Any]:
    label = plan.label
    told = {
        "name": label.name,
        "type": plan.label_type,
        "alias": label.alias,
        "definition": label.column or plan.label_sql,
        "time_column": label.time_column,
        "window": label.window,
        "on_missing": label.on_missing,
    }
    by = [SPLIT] if plan.split else []
    values = rows.select(*by, pl.col(label.name).alias("value"))
    distinct = values.select(pl.col("value").n_unique()).collect(engine="streaming").item()
    if not is_number(plan.label_type) or (plan.label_type.startswith("int") and distinct <= CLASSES):
        counted = values.group_by(*by, "value").len("rows").sort(*by, "value").collect(engine="streaming")
        return {**told, "kind": "class", "classes": distinct, "balance": _balance(counted)}
    return {**told, "kind": "number", "quantiles": _quantiles(values, by)}


def _balance(counted: pl.DataFrame) -> list[dict[str, Any]]:
    """`{split, rows, classes: [{value, rows, share}]}` of all rows, then of each part."""
    parts = {"all": counted.group_by("value").agg(pl.col("rows").sum()).sort("rows", "value", descending=[True, False])}
    if SPLIT in counted.columns:
        parts |= {name: counted.filter(pl.col(SPLIT) == name).drop(SPLIT) for name in SPLITS}
    order = {str(value): place for place, value in enumerate(parts["all"]["value"].to_list())}
    told = []
    for name, part in parts.items():
        total = int(part["rows"].sum())
        classes = [{**row, "share": round(row["rows"] / total, 6)} for row in json_rows(part)]
        classes = sorted(classes, key=lambda row: order.get(str(row["value"]), 0))[:CLASSES]
        told.append({"split": name, "rows": total, "classes": classes})
    return told


def _quantiles(values: pl.LazyFrame, by: list[str]) -> list[dict[str, Any]]:
    value = pl.col("value").cast(pl.Float64)
    wanted = [pl.len().alias("rows"), value.min().alias("min"), value.max().alias("max"), value.mean().alias("mean")]
    wanted += [value.quantile(share, "nearest").alias(name) for name, share in QUANTILES.items()]
    told = [{"split": "all", **json_rows(values.select(wanted).collect())[0]}]
    if by:
        found = {row[SPLIT]: row for row in json_rows(values.group_by(SPLIT).agg(wanted).collect())}
        told += [found.get(name, {"split": name, "rows": 0}) for name in SPLITS]
    return told


def _split(plan: Plan, rows: pl.LazyFrame, cuts: Cuts | None) -> dict[str, Any]:
    split = plan.split
    counted = dict(rows.select(SPLIT).group_by(SPLIT).len().collect(engine="streaming").iter_rows())
    told: dict[str, Any] = {
        "method": split.method,
        "seed": split.seed,
        "key": list(plan.split_key),
        "shares": {name: getattr(split, name) for name in SPLITS},
        "rows": {name: counted.get(name, 0) for name in SPLITS},
    }
    if cuts:
        names = ("validation_from", "test_from")
        told |= {name: _iso(cut) for name, cut in zip(names, cuts, strict=True)}
        told |= {"purge": split.purge, "gap": split.gap}
    return told


def _iso(cut: int | None) -> str | None:
    return None if cut is None else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=cut)).isoformat()


def _split_warnings(plan: Plan, rows: pl.LazyFrame, cuts: Cuts | None) -> list[dict[str, str]]:
    """What of a later part the labels of an earlier one may tell, when the split goes by time."""
    if not (cuts and plan.label):
        return []
    if plan.window is None and not plan.reach:
        text = "The label has no window, so nothing could be purged. If it looks ahead, say how far as the split's gap."
        return [{"code": "not_purged", "text": text}]
    entity = plan.entity
    time = micros(entity.as_of_column, plan.type_of(entity.alias, entity.as_of_column)).alias("assay_time")
    ahead = rows.select(time).select(looks_ahead(cuts, plan.window or plan.reach).sum())
    if not (count := ahead.collect(engine="streaming").item()):
        return []
    text = f"The labels of {count:,} rows look into the next part, which should tell nothing before. Purge the split."
    return [{"code": "not_purged", "text": text}]


def _join_warnings(plan: Plan, told: Told, rows: int) -> list[dict[str, str]]:
    found = []
    for group in plan.groups:
        states = told.states.get(group.number, Counter())
        if rows and states["not_yet_known"] > MOST * rows:
            column = group.feature.knowledge_column
            text = (
                f"For {states['not_yet_known']:,} of {rows:,} rows {group.alias} had happened, but was known only "
                f"later, by its {column}. Was its history loaded afterwards? Then set knowledge_column to null, "
                f"and {group.feature.time_column or 'nothing'} alone counts."
            )
            found.append({"code": "known_later", "alias": group.alias, "text": text})
        if told.without_time[group.number]:
            text = f"{told.without_time[group.number]:,} rows of {group.alias} have no time, and were never known."
            found.append({"code": "without_time", "alias": group.alias, "text": text})
    return found
