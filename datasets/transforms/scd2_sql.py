"""A dimension told in SQL: what its timeline comes to, for people to read. Runs do it in parts."""

# ruff: noqa: S608 - every name is quoted, and nothing here is run

from __future__ import annotations

from collections.abc import Sequence

from workers.engines.statement import quoted


def scd2_sql(
    alias: str,
    *,
    keys: Sequence[str],
    values: Sequence[str],
    tracked: Sequence[str],
    time: str,
    time_type: str,
    marker: str = "",
    marker_type: str = "",
) -> str:
    """DuckDB SQL that makes the whole dimension from all observations in the input.

    What only a run can see is not in it: rows that the input had once, and
    keys that it no longer has.
    """
    listed = ", ".join(map(quoted, (*keys, *values)))
    place, kept = ", ".join([*map(quoted, keys), "effective_from"]), list(map(quoted, values))
    order = ", ".join(["is_gone DESC", *(f"{name} DESC NULLS LAST" for name in kept)])
    history = f"PARTITION BY {', '.join(map(quoted, keys))} ORDER BY effective_from"
    before = [f"LAG({quoted(name)}) OVER history" for name in tracked]
    changes = ["is_gone IS DISTINCT FROM LAG(is_gone) OVER history"]
    changes += [f"{quoted(name)} IS DISTINCT FROM {was}" for name, was in zip(tracked, before, strict=True)]
    return f"""
WITH {_observed(alias, keys, values, time, time_type, marker, marker_type)}, told AS (
  SELECT * FROM observed QUALIFY ROW_NUMBER() OVER (PARTITION BY {place} ORDER BY {order}) = 1
), marked AS (
  SELECT *, {" OR ".join(changes)} AS begins FROM told WINDOW history AS ({history})
), begun AS (
  SELECT *, LEAD(effective_from) OVER ({history}) AS effective_to FROM marked WHERE begins
)
SELECT {listed}, effective_from, effective_to, effective_to IS NULL AS is_current FROM begun WHERE NOT is_gone
""".strip()


def _observed(
    alias: str, keys: Sequence[str], values: Sequence[str], time: str, time_type: str, marker: str, marker_type: str
) -> str:
    """The input's rows as `observed`: (keys, values, effective_from, is_gone); values of what is gone do not count."""
    names, source, at = ", ".join(map(quoted, (*keys, *values))), quoted(alias), quoted(time)
    if not marker or marker_type == "boolean":
        gone = f"COALESCE({quoted(marker)}, FALSE)" if marker else "FALSE"
        return f"observed AS (SELECT {names}, {at} AS effective_from, {gone} AS is_gone FROM {source})"
    return f"""given AS (
  SELECT {names}, {at} AS effective_from, {_ended(quoted(marker), marker_type, time_type)} AS gone_from FROM {source}
), observed AS (
  SELECT {names}, effective_from, COALESCE(gone_from <= effective_from, FALSE) AS is_gone FROM given
  UNION ALL SELECT {names}, gone_from, TRUE FROM given WHERE gone_from IS NOT NULL
)"""


def _ended(marker: str, marker_type: str, time_type: str) -> str:
    """The time of deletion in the type of the effective time; a time without a zone is UTC."""
    from workers.schema import duckdb_type

    if marker_type == time_type:
        return marker
    plain = f"timezone('UTC', {marker})" if marker_type == "timestamptz" else marker
    if time_type == "timestamptz":
        return f"timezone('UTC', CAST({plain} AS TIMESTAMP))"
    return f"CAST({plain} AS {duckdb_type(time_type)})"
