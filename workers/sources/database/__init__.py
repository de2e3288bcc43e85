"""Databases: a table or a query, read in one read-only transaction and landed as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...access import Access, Connection
from ...errors import SourceMissing
from ...lake.landing import Landed, LandedFile, Landing
from ...network import NetworkPolicy
from ...progress import Progress
from ...specs import DatabaseSource, IngestSpec
from ...watermark import json_value, lag_of, lower_bound, python_value
from .base import Condition, DbColumn, Reader, Road, column_named
from .files import ParquetFiles, land_files
from .queries import label

# By the kind of a connection; the others go over SQLAlchemy. Imported when needed: each stands on a driver.
ROADS = {"postgresql": "postgresql", "mysql": "mysql", "sqlite": "sqlite"}
SAMPLE_ROWS = 2_000
SAMPLE_SECONDS = 10
LATE_ROWS = 1_000_000
LATE_LAGS = 10  # so many lags behind the watermark the late-row meter looks
SHORTEST_LAG = timedelta(hours=1)
LISTED_TABLES = 500


def land(spec: IngestSpec, landing: Landing, access: Access, progress: Progress) -> Landed:
    """Read the source's rows, and with them, from the same moment, its keys and what came late if a run needs them.

    Files have the role `rows`, `keys` or `late`. The facts say `source`,
    `rows`, and of incremental runs `null_watermarks`, `watermark_precision`
    and `late_window`.
    """
    source, connection = spec.source, access.connection(spec.source.connection)
    where = f"{_address(connection)} · {label(source)}"
    facts: dict[str, Any] = {"source": where}
    with (
        TemporaryDirectory(prefix="assay-database-") as folder,
        road_of(connection.kind).reading(connection, access.services, source) as reader,
    ):
        errand = _Errand(spec=spec, reader=reader, landing=landing, folder=Path(folder), where=where, progress=progress)
        watermark = _watermark_column(spec, reader)
        if watermark:
            facts["null_watermarks"] = reader.count([Condition(column=watermark, op="is null")])
            if warning := _precision_warning(spec, watermark):
                facts["watermark_precision"] = warning
        facts["rows"] = errand.fetch("rows", reader.columns, _bounds(spec, watermark))
        if spec.delete_detection != "off":
            errand.fetch("keys", _key_columns(spec, reader))
        if watermark and (window := _late_window(spec, watermark)):
            columns = list(dict.fromkeys([*_key_columns(spec, reader), watermark]))
            errand.fetch("late", columns, _between(watermark, *window), LATE_ROWS)
            facts["late_window"] = {"from": json_value(window[0]), "to": json_value(window[1])}
    return landing.finish(**facts)


def sample(spec: IngestSpec, folder: Path, access: Access) -> list[LandedFile]:
    """The first rows as a local Parquet file."""
    source = spec.source
    connection = access.connection(source.connection)
    quick = DatabaseSource(
        connection=source.connection,
        kind=source.kind,
        table_name=source.table_name,
        query=source.query,
        batch_rows=SAMPLE_ROWS,
        statement_timeout_seconds=min(source.statement_timeout_seconds, SAMPLE_SECONDS),
    )
    with (
        road_of(connection.kind).reading(connection, access.services, quick) as reader,
        ParquetFiles(folder, "sample", reader.columns) as files,
    ):
        for batch in reader.batches(reader.columns, limit=SAMPLE_ROWS):
            files.write(batch)
    return [LandedFile(uri=str(path), name=f"{label(source)}.parquet", size=0, sha256="") for path in files.paths]


def check_connection(connection: Connection, policy: NetworkPolicy) -> str:
    """What the server says it is. Raises `SourceUnavailable` and `SourceMissing`, whose messages hold no secret."""
    return road_of(connection.kind).version(connection, policy)


def list_tables(connection: Connection, policy: NetworkPolicy, search: str = "") -> list[dict[str, Any]]:
    """Up to 500 tables and views: `{schema, name, kind, rows, columns: [{name, type, nullable}]}`.

    `rows` is an estimate, or None where the database has none at hand.
    """
    return road_of(connection.kind).tables(connection, policy, search, LISTED_TABLES)


def road_of(kind: str) -> Road:
    return import_module(f".{ROADS.get(kind, 'generic')}", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """Fetching rows of an open reader into Landing."""

    spec: IngestSpec
    reader: Reader
    landing: Landing
    folder: Path
    where: str
    progress: Progress

    def fetch(
        self, role: str, columns: Sequence[DbColumn], where: Sequence[Condition] = (), limit: int | None = None
    ) -> int:
        """Land the columns of the rows, and say how many rows there were."""
        with ParquetFiles(self.folder, role, columns) as files:
            for batch in self.reader.batches(columns, where, limit):
                files.write(batch)
                self.progress("land", done=files.rows, message="")
        name = label(self.spec.source) if role == "rows" else f"{label(self.spec.source)}-{role}"
        land_files(files, self.landing, label=name, source=self.where, role=role)
        return files.rows


def _address(connection: Connection) -> str:
    if connection.kind == "sqlite":
        return f"sqlite:///{Path(connection.database).name}"
    user = f"{connection.username}@" if connection.username else ""
    port = f":{connection.port}" if connection.port else ""
    return f"{connection.kind}://{user}{connection.host}{port}/{connection.database}"


# --- which rows ----------------------------------------------------------------------


def _watermark_column(spec: IngestSpec, reader: Reader) -> DbColumn | None:
    return _column(spec, reader, spec.watermark.column, "watermark") if spec.watermark else None


def _key_columns(spec: IngestSpec, reader: Reader) -> list[DbColumn]:
    """The columns at the source of what the job names as the table calls it."""
    names = {table: source for source, table in spec.renames.items()}
    return [_column(spec, reader, names.get(name, name), "key") for name in spec.key_columns]


def _column(spec: IngestSpec, reader: Reader, name: str, purpose: str) -> DbColumn:
    if found := column_named(reader.columns, name):
        return found
    present = ", ".join(column.name for column in reader.columns)
    raise SourceMissing(
        f"{label(spec.source)} has no column {name}, the {purpose} of this job. It has: {present}.",
        hint="Correct the job's columns, its table or its query.",
    )


def _bounds(spec: IngestSpec, watermark: DbColumn | None) -> list[Condition]:
    """The days of the run's window, or all from the watermark's lower bound on."""
    if watermark is None:
        return []
    start, end = spec.window.start_date, spec.window.end_date
    if start or end:
        low = python_value(start, watermark.type, watermark.name)
        last = python_value(end, watermark.type, watermark.name)
        return _between(watermark, low, None if last is None else last + timedelta(days=1))
    return _between(watermark, python_value(lower_bound(spec.watermark), watermark.type, watermark.name), None)


def _between(column: DbColumn, low: Any, high: Any) -> list[Condition]:
    """From `low`, included, to `high`, excluded; None is no bound."""
    bounds = ((">=", low), ("<", high))
    return [Condition(column=column, op=op, value=value) for op, value in bounds if value is not None]


def _late_window(spec: IngestSpec, watermark: DbColumn) -> tuple[Any, Any] | None:
    """Where the late-row meter looks: what this run no longer reads, ten lags (at least ten hours) deep."""
    if spec.watermark.last is None or spec.window.start_date or spec.window.end_date:
        return None
    last = python_value(spec.watermark.last, watermark.type, watermark.name)
    end = python_value(lower_bound(spec.watermark), watermark.type, watermark.name)
    lag = lag_of(spec.watermark.lag) or None
    if watermark.type in ("date", "timestamp", "timestamptz"):
        depth = max(lag if isinstance(lag, timedelta) else timedelta(), SHORTEST_LAG) * LATE_LAGS
        depth = timedelta(days=-(-depth // timedelta(days=1))) if watermark.type == "date" else depth
        return (last - depth, end) if end is not None else None
    return (last - type(last)(lag * LATE_LAGS), end) if isinstance(lag, float) and not isinstance(last, str) else None


def _precision_warning(spec: IngestSpec, watermark: DbColumn) -> str:
    """What to know when the table keeps the watermark less exactly than the source does."""
    if watermark.fraction_digits > 6:
        return (
            f"{watermark.name} has {watermark.fraction_digits} digits of a second at the source, the table 6: "
            "rows of one microsecond are read again by every run and told apart by their other values."
        )
    wanted = spec.renames.get(watermark.name, watermark.name)
    declared = next((column.type for column in spec.columns if column.name.lower() == wanted.lower()), watermark.type)
    ranks = ("date", "timestamp", "timestamptz")
    if declared == "date" and watermark.type in ranks[1:]:
        return (
            f"{watermark.name} is a {watermark.type} at the source and a date in the table: each run reads a day again."
        )
    return ""
