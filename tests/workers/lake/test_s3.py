"""The same road on a real S3 server."""

import io
from datetime import UTC, date, datetime

import polars as pl
import pytest

from workers.errors import AuditFailed, LakeUnavailable
from workers.lake.landing import Landing, land_files
from workers.lake.maintain import vacuum
from workers.lake.publish import publish, restore
from workers.lake.stage import Staging
from workers.lake.store import object_client, open_store
from workers.lake.table import open_table, table_exists
from workers.specs import Column, SourceFile, TableTarget

from .conftest import load, new_id, rows_of, run_of, start_writer, told_by

pytestmark = pytest.mark.s3
DAY_1, DAY_2 = date(2026, 11, 21), date(2026, 11, 22)


@pytest.fixture
def target(s3_lake):
    return TableTarget(dataset="bronze.shop.orders", uri=f"{s3_lake}/bronze/shop/orders", partition_by=("day",))


def test_every_way_of_publishing_works_on_s3(target):
    assert not table_exists(target.uri)
    run = new_id()
    load(target, {"id": [1, 2], "day": [DAY_1, None]}, run_id=run)
    assert load(target, {"id": [9], "day": [DAY_1]}, run_id=run).already
    load(target, {"id": [3], "day": [DAY_1], "note": ["new"]}, mode="overwrite_partition")
    assert rows_of(target) == [(2, None, None), (3, DAY_1, "new")]
    load(target, {"id": [7], "day": [DAY_2]}, mode="overwrite")
    assert restore(target, 0, new_id()).table_rows == 2
    assert rows_of(target) == [(1, DAY_1), (2, None)]
    assert "2026/11/21/day=2026-11-21/" in " ".join(open_table(target.uri).files())
    assert open_table(target.uri).history()[0].operation == "RESTORE"


def test_another_engines_files_are_adopted_on_s3(target):
    with Staging(target, new_id()) as staging:
        pl.DataFrame({"id": [1]}).write_parquet(
            f"{staging.folder}/day=2026-11-21/data_0.parquet", storage_options=open_store(target.uri).storage_options
        )
        staging.adopt(f"{staging.folder}/day=2026-11-21/data_0.parquet")
        columns = (Column(name="id", type="int64"), Column(name="day", type="date"))
        publish(target, staging.files, run_id=new_id(), mode="append", columns=columns)
    assert rows_of(target) == [(1, DAY_1)]


def test_landing_works_on_s3(s3_lake, tmp_path):
    content = b"id,name\n1,x\n" * 700_000
    (tmp_path / "orders.csv").write_bytes(content)
    files = (SourceFile(uri=str(tmp_path / "orders.csv"), name="orders.csv"),)
    at = datetime(2026, 11, 22, tzinfo=UTC)
    landing = f"{s3_lake}/landing/shop/orders"
    landed = land_files(files, Landing(landing, "run-1", at))
    store = open_store(landed.path)
    with store.open("orders.csv") as file:
        assert file.readall() == content
    assert sorted(entry.key for entry in store.list()) == ["manifest.json", "orders.csv"]
    assert Landing(landing, "run-1", at).landed() == landed


def test_a_write_that_breaks_off_leaves_no_object(s3_lake):
    class Broken(io.RawIOBase):
        def read(self, size=-1):
            raise OSError("the cable was pulled")

    store = open_store(s3_lake)
    with pytest.raises(OSError, match="cable"):
        store.write("half", Broken())
    assert not store.exists("half")


def test_a_missing_staged_object_is_refused(target):
    with Staging(target, new_id()) as staging:
        staging.sink(pl.LazyFrame({"id": [1], "day": [DAY_1]}))
        files = staging.files
        staging.discard()
        columns = (Column(name="id", type="int64"), Column(name="day", type="date"))
        with pytest.raises(AuditFailed, match="gone"):
            publish(target, files, run_id=new_id(), mode="append", columns=columns)


def test_vacuum_removes_orphans_and_unfinished_uploads(target):
    load(target, {"id": [1], "day": [DAY_1]})
    staging = Staging(target, new_id())
    staging.sink(pl.LazyFrame({"id": [2], "day": [DAY_1]}))
    staged = tuple(file.path for file in staging.files)
    store = open_store(target.uri)
    bucket, _, prefix = store.root.partition("/")
    object_client(store).create_multipart_upload(Bucket=bucket, Key=f"{prefix}/half.parquet")

    assert vacuum(target.uri, retention_hours=1).uploads == ()
    report = vacuum(target.uri, retention_hours=0)
    assert report.orphans == staged
    assert report.uploads == (f"{prefix}/half.parquet",)
    again = vacuum(target.uri, retention_hours=0)
    assert (again.orphans, again.uploads) == ((), ())
    assert rows_of(target) == [(1, DAY_1)]


def test_concurrent_writers_on_s3_all_land_once(s3_lake):
    flat = [TableTarget(dataset=f"bronze.shop.w{number}", uri=f"{s3_lake}/flat") for number in range(3)]
    runs = [[run_of(target, {"id": [number * 100 + n]}) for n in range(5)] for number, target in enumerate(flat)]
    writers = [start_writer(own) for own in runs]
    versions = [told["version"] for writer in writers for told in told_by(writer)]
    assert sorted(versions) == list(range(15))
    assert rows_of(flat[0]) == sorted(((number * 100 + n,) for number in range(3) for n in range(5)), key=repr)


def test_a_writer_killed_after_its_commit_on_s3_is_recognised(s3_lake):
    flat = TableTarget(dataset="bronze.shop.orders", uri=f"{s3_lake}/flat")
    run = run_of(flat, {"id": [1]})
    writer = start_writer([run], kill=["workers.lake.store", "Store.create", "after"])
    assert writer.wait(60) == -9
    assert load(flat, {"id": [1]}, run_id=run["run_id"]).already
    assert rows_of(flat) == [(1,)]


def test_an_unreachable_store_is_a_retryable_error(monkeypatch):
    monkeypatch.setenv("ASSAY_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("workers.lake.store.TIMEOUT_SECONDS", 1)
    with pytest.raises(LakeUnavailable):
        table_exists("s3://lake/nothing")
