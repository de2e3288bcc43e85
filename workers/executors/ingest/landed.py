"""Landed files that are not read into the table but compared with it: keys, and values of an older window."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from workers.errors import MissingColumns
from workers.lake.landing import Landed, LandedFile
from workers.lake.lattice import converted
from workers.lake.store import open_store
from workers.schema import type_name


def files_of(landed: Landed, role: str = "rows") -> tuple[LandedFile, ...]:
    """The landed files of one role: `rows`, `keys`, `late`."""
    return tuple(file for file in landed.files if file.role == role)


def scan_landed(file: LandedFile) -> pl.LazyFrame:
    """A landed Parquet file where it is."""
    options = open_store(file.uri.rpartition("/")[0]).storage_options
    return pl.scan_parquet(file.uri, glob=False, hive_partitioning=False, storage_options=options or None)


def converted_like(rows: pl.LazyFrame, wanted: Mapping[str, pl.DataType], renames: Mapping[str, str]) -> pl.LazyFrame:
    """The wanted columns of the source's, named and typed as the table has them. Raises `MissingColumns`."""
    schema = rows.collect_schema()
    spelled = {renames.get(name, name).lower(): name for name in schema}
    if missing := [name for name in wanted if name.lower() not in spelled]:
        raise MissingColumns(
            f"The source gives no {', '.join(missing)}. It has: {', '.join(schema)}.",
            hint="Correct key_columns or watermark_column.",
            missing=missing,
            present=list(schema),
        )

    def column(name: str, dtype: pl.DataType) -> pl.Expr:
        own = spelled[name.lower()]
        return converted(pl.col(own), type_name(schema[own]), type_name(dtype)).cast(dtype).alias(name)

    return rows.select(column(name, dtype) for name, dtype in wanted.items())
