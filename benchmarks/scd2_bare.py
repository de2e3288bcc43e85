"""The same change of a dimension without Assay: Polars on a Delta table, and the MERGE of delta-rs.

Both know the columns, the batch and the table beforehand, and neither checks,
counts or remembers anything. Late rows, several versions of a key and
deletions are handled by the Polars side only.
"""

from __future__ import annotations

import time
import uuid
from datetime import datetime
from pathlib import Path

import polars as pl
from deltalake import CommitProperties, DeltaTable
from deltalake.transaction import AddAction, RemoveAction

KEY = "customer_id"
VALUES = ["name", "city", "segment", "credit", "email"]
MOMENT = pl.Datetime("us")


def by_polars(table: str, batch: str) -> None:
    """Rewrite the current versions, append those that ended, rewrite history where a late row falls into it."""
    delta = DeltaTable(table)
    files = {"true": [], "false": []}
    for row in pl.DataFrame(delta.get_add_actions(flatten=True)).iter_rows(named=True):
        files["true" if row["partition.is_current"] else "false"].append(row)
    columns = [KEY, *VALUES, "effective_from", "effective_to"]
    current = _scan(table, files["true"], columns)
    seen = pl.read_parquet(batch).with_columns(effective_from=pl.col("updated_at"), gone=pl.col("is_deleted"))
    seen = seen.select(KEY, *VALUES, "effective_from", "gone").unique([KEY, "effective_from"], keep="last")
    keys = seen.select(KEY).unique()
    now = current.join(keys.lazy(), on=KEY, how="semi").collect(engine="streaming")
    firsts = seen.group_by(KEY).agg(pl.col("effective_from").min().alias("first"))
    late = firsts.join(now, on=KEY).filter(pl.col("first") <= pl.col("effective_from")).select(KEY)
    late = pl.concat([late, keys.join(now, on=KEY, how="anti")])
    history, touched = _history(table, files["false"], columns, late)
    versions = _timeline(pl.concat([now, history]), seen)
    is_current = pl.col("effective_to").is_null()
    rest = current.join(keys.lazy(), on=KEY, how="anti")
    kept = [_scan(table, touched, columns).join(late.lazy(), on=KEY, how="anti")] if touched else []
    added = [
        _write(table, "true", pl.concat([rest, versions.lazy().filter(is_current)])),
        _write(table, "false", pl.concat([*kept, versions.lazy().filter(~is_current)])),
    ]
    removed = [_removal(row) for row in [*files["true"], *touched]]
    delta.create_write_transaction([*added, *removed], "append", delta.schema(), ["is_current"])


def _scan(table: str, files: list[dict], columns: list[str]) -> pl.LazyFrame:
    if not files:
        floats = {"credit": pl.Float64, KEY: pl.Int64, "effective_from": MOMENT, "effective_to": MOMENT}
        return pl.LazyFrame(schema={name: floats.get(name, pl.String) for name in columns})
    return pl.scan_parquet([f"{table}/{row['path']}" for row in files], hive_partitioning=False).select(columns)


def _history(table: str, files: list[dict], columns: list[str], late: pl.DataFrame) -> tuple[pl.DataFrame, list[dict]]:
    if not files:
        return _scan(table, [], columns).collect(), []
    paths = [f"{table}/{row['path']}" for row in files]
    rows = pl.scan_parquet(paths, hive_partitioning=False, include_file_paths="path")
    hit = rows.join(late.lazy(), on=KEY, how="semi").collect(engine="streaming")
    found = set(hit["path"])
    return hit.select(columns), [row for row, path in zip(files, paths, strict=True) if path in found]


def _timeline(old: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    old = old.with_columns(gone=pl.lit(False))
    ends = old.filter(pl.col("effective_to").is_not_null())
    nothing = (pl.lit(None, dtype=old.schema[name]).alias(name) for name in VALUES)
    gaps = ends.select(KEY, *nothing, pl.col("effective_to").alias("effective_from"), pl.lit(True).alias("gone"))
    rows = pl.concat([gaps, old.select(gaps.columns), seen.select(gaps.columns)])
    rows = rows.unique([KEY, "effective_from"], keep="last", maintain_order=True).sort(KEY, "effective_from")
    values = pl.struct(*VALUES, "gone").hash()
    begins = (values != values.shift(1)) | (pl.col(KEY) != pl.col(KEY).shift(1))
    rows = rows.filter(begins.fill_null(True))
    end = pl.when(pl.col(KEY) == pl.col(KEY).shift(-1)).then(pl.col("effective_from").shift(-1))
    return rows.with_columns(effective_to=end).filter(~pl.col("gone")).drop("gone")


def _write(table: str, is_current: str, rows: pl.LazyFrame) -> AddAction:
    path = f"is_current={is_current}/{uuid.uuid4()}.parquet"
    rows.sink_parquet(f"{table}/{path}", compression="zstd", mkdir=True)
    size = Path(table, path).stat().st_size
    return AddAction(path, size, {"is_current": is_current}, int(time.time() * 1000), True, "{}")


def _removal(row: dict) -> RemoveAction:
    values = {"is_current": "true" if row["partition.is_current"] else "false"}
    return RemoveAction(
        path=row["path"],
        data_change=True,
        deletion_timestamp=int(time.time() * 1000),
        size=row["size_bytes"],
        partition_values=values,
    )


def by_merge(table: str, batch: str) -> None:
    """Close and insert in one MERGE: the usual form, in which every key comes twice."""
    delta = DeltaTable(table)
    rows = pl.read_parquet(batch).sort("updated_at").unique(KEY, keep="last")
    current = pl.scan_delta(table).filter(pl.col("is_current")).select(KEY, "effective_from")
    known = current.collect(engine="streaming")
    late = rows.join(known, on=KEY).filter(pl.col("updated_at") <= pl.col("effective_from")).select(KEY)
    rows = rows.join(late, on=KEY, how="anti")
    closing = rows.join(known, on=KEY, how="semi").with_columns(match=pl.lit(None, dtype=pl.Int64))
    inserts = closing.filter(~pl.col("is_deleted"))
    source = pl.concat([rows.with_columns(match=pl.col(KEY)), inserts])
    inserted = {name: f"s.{name}" for name in [KEY, *VALUES]}
    inserted |= {"effective_from": "s.updated_at", "effective_to": "null", "is_current": "true"}
    changed = " or ".join(f"(t.{name} is distinct from s.{name})" for name in VALUES)
    delta.merge(
        source,
        predicate=f"t.{KEY} = s.match and t.is_current = true",
        source_alias="s",
        target_alias="t",
        commit_properties=CommitProperties(),
    ).when_matched_update(
        updates={"is_current": "false", "effective_to": "s.updated_at"}, predicate=f"s.is_deleted or {changed}"
    ).when_not_matched_insert(updates=inserted, predicate="not s.is_deleted").execute()


FIRST_DAY = datetime(2026, 1, 1)  # noqa: DTZ001
