"""The rows that runs set aside: to look at, to filter by run and reason, and to take away as a file."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from assay.common.policy import visible_rows
from workers.errors import TableMissing

from .models import IngestJob, IngestRun

if TYPE_CHECKING:
    import polars as pl

    from workers.lake.store import Store

RUNS = 100  # the newest of a job that are looked at
BATCH_ROWS = 5_000
NUMBERS = ("_line", "_offset")
COLUMNS = (
    *("_line", "_column", "_reason", "_value", "_wanted_type", "_raw", "_source_file"),
    *("_rule", "_offset", "_run_id"),
)
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: of this run, or of all; for this reason, as `column: rule` or a rule, or for any."""

    run: UUID | None = None
    reason: str = ""

    @classmethod
    def asked(cls, run: str, reason: str) -> Wanted:
        """As an address has them. Raises ValueError for a run that is no id."""
        return cls(run=UUID(run) if run else None, reason=reason)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The wanted rows, not read yet. What is read of them goes through the policy."""

    dataset: str
    lake: Store
    keys: list[str]  # of the files, the newest run's first
    reason: str = ""

    def count(self) -> int:
        import polars as pl

        return self._scan().select(pl.len()).collect(engine="streaming").item()

    def rows(self, user, *, offset: int = 0, limit: int = 50) -> list[dict[str, Any]]:
        """JSON-able, newest run first, within it as the files have them; long texts cut."""
        from workers.engines.preview import json_rows

        found = self._scan().slice(offset, limit).collect(engine="streaming")
        return list(visible_rows(user, self.dataset, json_rows(found)))

    def _scan(self) -> pl.LazyFrame:
        import polars as pl

        schema = {name: pl.Int64 if name in NUMBERS else pl.String for name in COLUMNS}
        if not self.keys:
            return pl.LazyFrame(schema=schema)
        rows = pl.scan_parquet(
            [self.lake.uri_of(key) for key in self.keys],
            glob=False,
            schema=schema,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=self.lake.storage_options or None,
        )
        return rows.filter(_reason_column() == self.reason) if self.reason else rows

    def batches(self, user) -> Iterator[list[dict[str, Any]]]:
        """All of them, whole, some thousands at a time.

        By PyArrow: Polars reads so far ahead that memory would grow with the file.
        """
        import pyarrow.parquet as pq

        for key in self.keys:
            with self.lake.open(key) as file:
                for batch in pq.ParquetFile(file).iter_batches(BATCH_ROWS):
                    rows = ({name: row.get(name) for name in COLUMNS} for row in batch.to_pylist())
                    wanted = (row for row in rows if self.reason in ("", _reason_of(row)))
                    yield list(visible_rows(user, self.dataset, wanted))


def _reason_of(row: dict[str, Any]) -> str:
    """As `quality.reasons` of a run has it."""
    return f"{row['_column']}: {row['_rule']}" if row["_column"] else row["_rule"]


def _reason_column() -> pl.Expr:
    """The same, of a whole column."""
    import polars as pl

    column, rule = pl.col("_column"), pl.col("_rule")
    has_column = column.is_not_null() & (column != "")
    return pl.when(has_column).then(column + ": " + rule).otherwise(rule)


def runs_of(job: IngestJob) -> QuerySet[IngestRun]:
    """Runs that set rows aside, the newest first; also those that failed because they were too many."""
    return job.runs.filter(~Q(quarantine_path="") | Q(error__facts__quarantine_path__isnull=False))


def rows_of(run: IngestRun) -> int:
    return run.quarantined_rows or _facts(run).get("quarantined_rows", 0)


def reasons_of(run: IngestRun) -> dict[str, int]:
    """How many rows of the run for each reason; of one that failed only the most frequent are known."""
    return run.quality.get("reasons") or _facts(run).get("reasons", {})


def reasons(runs: list[IngestRun], wanted: UUID | None = None) -> dict[str, int]:
    """The reasons of one of the runs, or of all of them together, the most frequent first."""
    counts: dict[str, int] = {}
    for run in runs:
        if wanted in (None, run.pk):
            for reason, count in reasons_of(run).items():
                counts[reason] = counts.get(reason, 0) + count
    return dict(sorted(counts.items(), key=lambda each: -each[1]))


def _facts(run: IngestRun) -> dict[str, Any]:
    return (run.error or {}).get("facts") or {}


def select(job: IngestJob, wanted: Wanted) -> Quarantined:
    """The rows of the newest runs that set any aside; none where there is no such run.

    Raises `TableMissing` where the file of the run that was asked for is gone, `LakeUnavailable`.
    """
    from workers.lake.store import open_store, reaching

    lake = open_store(settings.ASSAY_LAKE_URL)
    runs = runs_of(job)
    if wanted.run:
        runs = runs.filter(pk=wanted.run)
    keys = [_key(run, lake) for run in runs[:RUNS]]
    with reaching(lake.uri):
        there = [key for key, size in lake.sizes(keys).items() if size is not None]
    if wanted.run and keys and not there:
        raise TableMissing(f"{keys[0]} is no longer in the lake.", hint="Run the job again.")
    return Quarantined(job.bronze_name, lake, there, wanted.reason)


def _key(run: IngestRun, lake: Store) -> str:
    return run.quarantine_path or lake.key_of(_facts(run)["quarantine_path"])


# --- as a file -----------------------------------------------------------------------


def as_csv(rows: Quarantined, user) -> Iterator[str]:
    """The lines of a CSV file that no spreadsheet runs anything of."""
    yield _line(COLUMNS)
    for batch in rows.batches(user):
        yield "".join(_line([_harmless(row[name]) for name in COLUMNS]) for row in batch)


def _line(values) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue()


def _harmless(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe in front, which it hides."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def as_parquet(rows: Quarantined, user) -> IO[bytes]:
    """A temporary file, at its beginning; it is gone once it is closed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.int64() if name in NUMBERS else pa.string()) for name in COLUMNS])
    file = tempfile.TemporaryFile()  # noqa: SIM115  (whoever sends it closes it)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in rows.batches(user):
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema=schema))
    file.seek(0)
    return file
