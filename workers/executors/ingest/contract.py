"""Differences between source and table that a person decides about: found in what was refused, told in errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher
from typing import Any

import polars as pl

from workers.lake.table import open_table, table_exists
from workers.readers.casts import ColumnPlan
from workers.readers.infer import infer
from workers.results import ContractChange
from workers.specs import CsvOptions

EXAMPLES = 5
LOOKED_AT = 10_000  # values of a column, to tell what they are
ALIKE = 0.6  # how much of two names must be the same, 0..1
FEWEST_VALUES, SHARED = 5, 0.5  # different ones, and the share of them that another column must have
NESTED = r"^[\[{]"  # how the text of an object or a list begins
DECIDE = "or decide on the job's page whether the table follows"


@dataclass(frozen=True, slots=True)
class Misfits:
    """The rows that were refused because a value is none of its column's type."""

    rows: int
    values: pl.Series  # the first of them, as text of up to 200 characters


def misfits_of(refused: pl.LazyFrame) -> dict[str, Misfits]:
    """The misfits by column."""
    rows = refused.filter(pl.col("_rule") == "type", pl.col("_column").is_not_null(), pl.col("_value").is_not_null())
    counts = rows.group_by("_column").agg(pl.len(), pl.col("_value").head(LOOKED_AT)).collect()
    return {column: Misfits(rows, pl.Series(column, values)) for column, rows, values in counts.iter_rows()}


def with_refused(
    contract: Sequence[ContractChange],
    refused: pl.LazyFrame,
    plans: Sequence[ColumnPlan],
    rows_read: int,
    tolerance: float,
) -> tuple[ContractChange, ...]:
    """What a person has to decide, once all rows are read.

    A column that more rows were refused for than may be mere misfits (a share
    of `tolerance`) has changed; so has one of which it was known before.
    """
    known = {change.column: change for change in contract}
    by_name = {plan.name: plan for plan in plans}
    for column, rule, rows, values in _counted(refused):
        plan, before = by_name.get(column), known.get(column)
        if plan is None or (before is None and rows <= tolerance * rows_read):
            continue
        if before is None:
            before = _change(plan, rule, pl.Series(column, values))
        known[column] = replace(before, rows=before.rows + rows, examples=before.examples or _examples(values))
    return tuple(known.values())


def _counted(refused: pl.LazyFrame) -> Iterable[tuple[str, str, int, list[str]]]:
    told = refused.filter(pl.col("_rule").is_in(["type", "not_null"]), pl.col("_column").is_not_null())
    counts = told.group_by("_column", "_rule").agg(pl.len(), pl.col("_value").head(LOOKED_AT))
    return counts.sort("_column", "_rule").collect().iter_rows()


def _change(plan: ColumnPlan, rule: str, values: pl.Series) -> ContractChange:
    if rule == "not_null":
        return ContractChange(column=plan.name, change="required", old=f"{plan.type}, required", new=plan.type)
    if plan.is_nested or values.str.contains(NESTED).any():
        return ContractChange(column=plan.name, change="type", old=plan.type, new="json")
    found = infer(values, 0.2, CsvOptions(decimal=plan.decimal)).type
    # Text of the wanted type, in a form that it is not read in: another format of dates.
    return ContractChange(column=plan.name, change="type", old=plan.type, new="string" if found == plan.type else found)


def _examples(values: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value is not None))[:EXAMPLES]


def as_facts(changes: Iterable[ContractChange]) -> list[dict[str, Any]]:
    """The changes as an error or a commit carries them."""
    return [asdict(change) | {"examples": list(change.examples)} for change in changes]


def from_facts(facts: Iterable[dict[str, Any]]) -> tuple[ContractChange, ...]:
    return tuple(ContractChange(**fact | {"examples": tuple(fact["examples"])}) for fact in facts)


def similar(name: str, others: Iterable[str]) -> str | None:
    """The name that looks most like this one: `cust_name` for `customer_name`; None where none does."""
    scores = {other: SequenceMatcher(None, _plain(name), _plain(other)).ratio() for other in others}
    best = max(scores, key=scores.__getitem__, default=None)
    return best if best is not None and scores[best] >= ALIKE else None


def some_values(uri: str, column: str) -> set[str]:
    """Texts that the table's column has, of its first rows; none where it has no such column of text."""
    if not table_exists(uri):
        return set()
    table = open_table(uri)
    if not any(held.name == column and held.type == "string" for held in table.columns):
        return set()
    return set(table.scan().select(column).head(LOOKED_AT).collect().to_series().drop_nulls())


def overlapping(held: set[str], others: Mapping[str, pl.Series]) -> str | None:
    """The column of which most values are among those held; None where there are too few to tell."""
    values = {name: set(texts.drop_nulls()) for name, texts in others.items()}
    shares = {name: len(own & held) / len(own) for name, own in values.items() if len(own) >= FEWEST_VALUES}
    best = max(shares, key=shares.__getitem__, default=None)
    return best if best is not None and shares[best] >= SHARED else None


def _plain(name: str) -> str:
    return "".join(char for char in name.lower() if char.isalnum())
