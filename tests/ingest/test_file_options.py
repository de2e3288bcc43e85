"""What people may say of their files, and what a job reads of a real object store and of a workbook."""

import pytest

from ingest.models import IngestJob
from ingest.validation import problems_of
from tests.factories import make_connection, make_ingest_job
from tests.workers.workbooks import xlsx


def faults(shop, **options):
    fields = {"source_type": "file_local", **options.pop("fields", {})}
    config = {"file": {"path": "/inbox/a.csv", **options}}
    return {
        problem.attr: problem.code
        for problem in problems_of(IngestJob(workflow=shop, name="x", config=config, **fields))
    }


@pytest.mark.parametrize(
    "formats",
    [[], ["%d/%m/%y"], ["%Y%m%d", "%d.%m.%Y %H:%M:%S.%f"], ["%m/%d/%Y %I:%M %p"], ["%Y-%m-%dT%H:%M:%S%z"], ["%Y-%j"]],
)
def test_whole_dates_are_sound_formats(shop, formats):
    assert faults(shop, csv={"date_formats": formats}) == {}


@pytest.mark.parametrize(
    "fmt",
    [
        "",
        "today",
        "%d/%m",
        "%Y-%m",
        "%H:%M",
        "%Y-%m-%d %H",
        "%Y-%m-%d %I:%M",
        "%Y-%m-%d %M",
        "%Y-%m-%d %Q",
        "%Y-%m-%d %",
        "%Y-%Y-%m-%d",
        "%Y-%m-%d %H:%M:%S%f",
        "%c",
    ],
)
def test_a_format_that_tells_no_whole_date_is_refused(shop, fmt):
    assert "config.file.csv.date_formats" in faults(shop, csv={"date_formats": [fmt]})


@pytest.mark.parametrize(
    ("options", "attr"),
    [
        ({"csv": {"decimal": ";"}}, "config.file.csv.decimal"),
        ({"csv": {"date_formats": "%Y"}}, "config.file.csv.date_formats"),
        ({"excel": {"sheet": "Data"}}, "config.file.excel"),
        ({"excel": {"header_row": -1}, "fields": {"format": "excel"}}, "config.file.excel.header_row"),
        ({"excel": {"sheets": "x"}, "fields": {"format": "excel"}}, "config.file.excel.sheets"),
        ({"csv": {}, "fields": {"format": "excel"}}, "config.file.csv"),
    ],
)
def test_options_are_refused_at_their_path(shop, options, attr):
    assert attr in faults(shop, **options)


@pytest.mark.parametrize(
    ("file", "attr"),
    [
        ({}, "config.file"),
        ({"s3_uri": "s3://bucket"}, "config.file.s3_uri"),
        ({"s3_uri": "s3://Bucket/a.csv"}, "config.file.s3_uri"),
        ({"s3_uri": "s3://bucket/a.csv", "bucket": "bucket"}, "config.file"),
        ({"s3_uri": "s3://bucket/a.csv", "prefix": "b"}, "config.file"),
        ({"bucket": "b/c"}, "config.file.bucket"),
        ({"bucket": "bucket", "path": "/inbox/a.csv"}, "config.file.path"),
        ({"s3_uri": "s3://lake/secret/silver/hr/pay/*.parquet"}, "config.file.s3_uri"),
        ({"s3_uri": "s3://lake/*/silver/**"}, "config.file.s3_uri"),
        ({"bucket": "lake"}, "config.file.bucket"),
    ],
)
def test_an_address_of_objects_is_checked(shop, settings, file, attr):
    settings.ASSAY_LAKE_URL = "s3://lake/secret"
    job = IngestJob(workflow=shop, name="x", source_type="file_s3", config={"file": file})
    assert attr in {problem.attr for problem in problems_of(job)}


@pytest.fixture
def objects(s3_server, settings, engineer):
    """A connection to the store, and who puts objects there."""
    from workers.access import Connection
    from workers.network import NetworkPolicy
    from workers.s3 import s3_client

    settings.ASSAY_CONNECTIONS_ALLOW_PRIVATE = ["127.0.0.1"]
    endpoint = s3_server["ASSAY_S3_ENDPOINT_URL"]
    options = {"endpoint_url": endpoint}
    make_connection("store", kind="s3", username="lake", password="lake-secret", options=options)
    plain = Connection(name="store", kind="s3", username="lake", password="lake-secret", options=options)
    client = s3_client(plain, NetworkPolicy(allow=("127.0.0.1",)))
    return lambda key, content: client.put_object(Bucket="lake", Key=key, Body=content)


def test_a_job_reads_new_objects_of_a_store_through_its_connection(shop, objects, api):
    from tests.ingest.test_loaded_files import carry_out, ids, read

    objects("in/2026/a.csv", b"id\n1\n")
    job = make_ingest_job(
        shop,
        source_type="file_s3",
        write_mode="append",
        config={"file": {"bucket": "lake", "prefix": "in/**/*.csv", "connection": "store"}},
    )
    assert problems_of(job) == []
    assert api.post("/api/workflows/shop/ingest-jobs/orders/preview/").json()["rows"] == [{"id": 1}]
    assert read(carry_out(job)) == ["2026/a.csv"]
    objects("in/2027/a.csv", b"id\n2\n")
    assert read(carry_out(job)) == ["2027/a.csv"]
    assert ids(job) == [1, 2]


def test_a_workbook_is_previewed_and_loaded(shop, inbox, api):
    from tests.ingest.test_loaded_files import carry_out, ids

    (inbox / "orders.xlsx").write_bytes(xlsx(["About"], [], ["id", "name"], [1, "a"], [2, "b"]))
    job = make_ingest_job(
        shop, format="excel", config={"file": {"path": "/inbox/*.xlsx", "excel": {"sheet": "Data", "header_row": 3}}}
    )
    assert problems_of(job) == []
    answer = api.post("/api/workflows/shop/ingest-jobs/orders/preview/").json()
    assert answer["rows"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert [column["examples"] for column in answer["profile"]] == [["1", "2"], ["a", "b"]]
    carry_out(job)
    assert ids(job) == [1, 2]
