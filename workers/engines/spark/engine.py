"""A checked query on Spark: views over the pinned files, rows cast to the target, Parquet into staging."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

import polars as pl

from workers.engines.base import Limits
from workers.engines.statement import CheckedSql
from workers.errors import EngineMissing, EngineUnavailable
from workers.lake.stage import ROWS_PER_FILE, Staging
from workers.lake.store import open_store
from workers.lake.table import Table
from workers.progress import Progress, silent
from workers.schema import polars_schema

from . import failures
from .reading import add_views
from .session import Running, SparkSettings, running
from .types import as_target

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Made = TypeVar("Made")
COMPRESSIONS = {"none": "uncompressed", "lz4": "lz4_raw"}  # its lz4 is Hadoop's, which few can read
POLL_SECONDS = 0.2
CANCEL_SECONDS = 5
NO_EXECUTOR_SECONDS = 60
BYTES_PER_PARTITION = 16 << 20  # of compressed files
MOST_PARTITIONS = 2000


class SparkEngine:
    name = "spark"

    def run(
        self,
        checked: CheckedSql,
        tables: Mapping[str, Table],
        staging: Staging,
        limits: Limits,
        progress: Progress = silent,
    ) -> None:
        target, store = staging.target, open_store(staging.target.uri)

        def write(rows: DataFrame, folder: str) -> None:
            written = staging.folder if store.is_local else f"{folder}/result"
            writer = rows.write.option("compression", COMPRESSIONS.get(target.compression, target.compression))
            writer = writer.option("maxRecordsPerFile", ROWS_PER_FILE)
            writer.partitionBy(*target.partition_by).parquet(f"file://{written}")

        with _ready(checked, tables, limits, progress, writes_to=staging) as (rows, folder, work):
            work(lambda: write(rows, folder))
            if store.is_local:
                staging.adopt(*map(str, _data_files(Path(staging.folder))))
                shutil.rmtree(staging.folder)  # empty folders and checksums: the files have moved
            else:
                _upload(staging, Path(folder) / "result")

    def first_rows(self, checked: CheckedSql, tables: Mapping[str, Table], limit: int, limits: Limits) -> pl.DataFrame:
        with _ready(checked, tables, limits, silent) as (rows, _, work):
            found = pl.from_arrow(work(lambda: rows.limit(limit).toArrow()))
        wanted = polars_schema(checked.columns)
        times = [name for name, dtype in wanted.items() if dtype == pl.Time]
        return found.with_columns(pl.col(times).str.to_time("%H:%M:%S%.f")).cast(dict(wanted))


Work = Callable[[Callable[[], Made]], Made]


@contextmanager
def _ready(
    checked: CheckedSql,
    tables: Mapping[str, Table],
    limits: Limits,
    progress: Progress,
    writes_to: Staging | None = None,
) -> Iterator[tuple[DataFrame, str, Work]]:
    """The query's rows, not computed yet; a folder for this query; and what computes: it can be cancelled."""
    used = {alias: tables[alias] for alias in checked.inputs_used}
    settings = SparkSettings.of(limits.settings, limits.memory_mb)
    _check_reach(settings, [*(t.uri for t in used.values()), *([writes_to.target.uri] if writes_to else [])])
    engine = running(settings)
    target = writes_to.target.dataset if writes_to else ""
    folder = tempfile.mkdtemp(prefix="query-", dir=engine.folder)
    try:
        with _failing_clearly(engine, target):
            session = engine.session.newSession()
            _set_partitions(session, used, limits)
            add_views(session, used, folder)
            rows = _cast_all(session.sql(checked.statement), checked, writes_to)
            yield rows, folder, lambda make: _watched(engine, make, progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _check_reach(settings: SparkSettings, uris: list[str]) -> None:
    """One machine copies what lies in an object store; the executors of a cluster would need Hadoop's client."""
    far = [uri for uri in uris if not open_store(uri).is_local]
    if far and not settings.is_local:
        raise EngineMissing(
            f"The Spark cluster cannot reach {far[0]}: Spark comes without hadoop-aws, its client for S3.",
            hint="Keep the lake on a path that all workers share, set ASSAY_SPARK_MASTER=local[*], "
            "or choose the engine duckdb.",
        )


def _set_partitions(session: SparkSession, tables: Mapping[str, Table], limits: Limits) -> None:
    """As many parts of a shuffle as the inputs' size asks for, unless an option says how many."""
    told = (limits.settings.get("spark") or {}).get("options") or {}
    if "spark.sql.shuffle.partitions" not in told:
        parts = sum(table.bytes for table in tables.values()) // BYTES_PER_PARTITION
        session.conf.set("spark.sql.shuffle.partitions", str(max(2, min(parts, MOST_PARTITIONS))))


def _cast_all(rows: DataFrame, checked: CheckedSql, staging: Staging | None) -> DataFrame:
    found = {field.name.lower(): field.dataType.simpleString() for field in rows.schema.fields}
    partitions = staging.target.partition_by if staging else ()
    return rows.selectExpr(
        *(as_target(c, found[c.name.lower()], is_partition=c.name in partitions) for c in checked.columns)
    )


def _watched(engine: Running, make: Callable[[], Made], progress: Progress) -> Made:
    """Compute in a thread of its own, asking meanwhile whether to go on, and whether anybody computes at all."""
    context, group = engine.session.sparkContext, f"assay-{uuid4().hex}"
    answer: dict[str, object] = {}

    def compute() -> None:
        try:
            context.setJobGroup(group, "a step of Assay", interruptOnCancel=True)
            answer["made"] = make()
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            answer["error"] = error

    thread = Thread(target=compute, name=group, daemon=True)
    thread.start()
    alone = 0.0
    try:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            progress("read")
            alone = 0.0 if _has_executors(engine) else alone + POLL_SECONDS
            if alone > NO_EXECUTOR_SECONDS:
                raise EngineUnavailable(
                    f"The Spark master {engine.settings.master} has given no worker for {NO_EXECUTOR_SECONDS} seconds.",
                    hint="Check that workers are up, and have as much memory as ASSAY_SPARK_MEMORY_MB.",
                )
    except BaseException:
        _cancel(engine, thread, group)
        raise
    if "error" in answer:
        raise answer["error"]
    return answer["made"]


def _cancel(engine: Running, thread: Thread, group: str) -> None:
    """A loop inside a task hears no cancel, and would keep its core for as long as it takes: then the JVM goes."""
    deadline = time.monotonic() + CANCEL_SECONDS
    while thread.is_alive() or _running_tasks(engine):
        if time.monotonic() > deadline:
            engine.kill()
            break
        with suppress(Exception):
            engine.session.sparkContext.cancelJobGroup(group)  # again: the next stage may be a job of its own
        time.sleep(POLL_SECONDS)
    thread.join(CANCEL_SECONDS)


def _running_tasks(engine: Running) -> int:
    try:
        told = engine.session.sparkContext._jsc.sc().statusTracker().getExecutorInfos()
        return sum(each.numRunningTasks() for each in told)
    except Exception:  # noqa: BLE001 - a JVM that does not answer runs nothing
        return 0


def _has_executors(engine: Running) -> bool:
    if engine.settings.is_local:
        return True
    try:
        return engine.session.sparkContext._jsc.sc().getExecutorMemoryStatus().size() > 1
    except Exception:  # noqa: BLE001 - the computing thread tells what is wrong
        return True


def _data_files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*.parquet") if not p.name.startswith((".", "_")))


def _upload(staging: Staging, folder: Path) -> None:
    """Into the staging folder of an object store, then taken in from there."""
    store, paths = open_store(staging.target.uri), []
    for path in _data_files(folder):
        uri = f"{staging.folder}/{path.relative_to(folder)}"
        with path.open("rb") as source:
            store.write(store.key_of(uri), source)
        paths.append(uri)
    staging.adopt(*paths)


@contextmanager
def _failing_clearly(engine: Running, target: str) -> Iterator[None]:
    from py4j.protocol import Py4JError, Py4JNetworkError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError, ConnectionError) as error:
        memory_mb = engine.settings.memory_mb
        if isinstance(error, Py4JNetworkError | ConnectionError) or not engine.is_alive:
            raise _jvm_ended(engine) from error
        raise failures.told(error, memory_mb, target) from error


def _jvm_ended(engine: Running) -> Exception:
    process = engine.session.sparkContext._gateway.proc
    with suppress(Exception):
        process.wait(timeout=5)
    if process.poll() == 3:  # -XX:+ExitOnOutOfMemoryError
        return failures.out_of_memory(engine.settings.memory_mb)
    return EngineUnavailable(
        "Spark's driver ended in the middle of the query.",
        hint="It is started anew and tried again. If it ends again, the machine may have less memory than "
        "ASSAY_SPARK_MEMORY_MB asks for.",
    )
