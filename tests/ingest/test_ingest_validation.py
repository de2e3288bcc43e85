"""Every rule of an ingest job, and the path at which it is told."""

import pytest

from ingest.models import IngestJob, Upload
from ingest.validation import fill_in, problems_of
from ops.models import Workflow
from tests.factories import make_connection
from workers.ids import new_run_id

LOCAL = {"source_type": "file_local", "config": {"file": {"path": "/inbox/orders.csv"}}}
DATABASE = {"source_type": "database", "config": {"db": {"connection": "erp", "table_name": "public.orders"}}}
API = {"source_type": "api", "format": "json", "config": {"api": {"url": "https://example.org/items"}}}


def job(shop, **fields):
    return IngestJob(**{"workflow": shop, "name": "orders", **LOCAL, **fields})


def faults(record):
    return {problem.attr: problem.code for problem in problems_of(record)}


def file_with(**options):
    return {"file": {"path": "/inbox/orders.csv", **options}}


def db_with(**options):
    return {"db": {"connection": "erp", **options}}


def api_with(**options):
    return {"api": {"url": "https://example.org/items", **options}}


@pytest.mark.parametrize("fields", [LOCAL, DATABASE, API], ids=["file", "database", "api"])
def test_a_minimal_job_is_sound(shop, fields):
    make_connection("erp")
    assert faults(job(shop, **fields)) == {}


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"config": {}}, "config.file"),
        ({"config": []}, "config"),
        ({"config": {"file": "orders.csv"}}, "config.file"),
        ({"config": {"file": {}}}, "config.file.path"),
        ({"config": {**LOCAL["config"], "db": {}}}, "config.db"),
        ({"config": {**LOCAL["config"], "ftp": {}}}, "config.ftp"),
        ({"config": file_with(paht="x")}, "config.file.paht"),
        ({"config": file_with(s3_uri="s3://bucket/a.csv")}, "config.file.s3_uri"),
        ({"config": file_with(csv={"delimiter": ""})}, "config.file.csv.delimiter"),
        ({"config": file_with(csv={"delimiter": "ab"})}, "config.file.csv.delimiter"),
        ({"config": file_with(csv={"delimiter": "\n"})}, "config.file.csv.delimiter"),
        ({"config": file_with(csv={"quote_char": "||"})}, "config.file.csv.quote_char"),
        ({"config": file_with(csv={"delimiter": ";", "quote_char": ";"})}, "config.file.csv"),
        ({"config": file_with(csv={"encoding": "klingon"})}, "config.file.csv.encoding"),
        ({"config": file_with(csv={"skip_rows": -1})}, "config.file.csv.skip_rows"),
        ({"config": file_with(csv={"skip_rows": "1"})}, "config.file.csv.skip_rows"),
        ({"config": file_with(csv={"has_header": "yes"})}, "config.file.csv.has_header"),
        ({"config": file_with(csv={"null_values": "NULL"})}, "config.file.csv.null_values"),
        ({"config": file_with(csv={"quote": "'"})}, "config.file.csv.quote"),
        ({"config": file_with(csv={}), "format": "ndjson"}, "config.file.csv"),
        ({"config": file_with(records_path="data")}, "config.file.records_path"),
        ({**DATABASE, "config": db_with()}, "config.db"),
        ({**DATABASE, "config": db_with(table_name="a", query="select 1")}, "config.db"),
        ({**DATABASE, "config": db_with(query="")}, "config.db.query"),
        ({**DATABASE, "config": {"db": {"table_name": "orders"}}}, "config.db.connection"),
        ({**DATABASE, "config": LOCAL["config"]}, "config.file"),
        ({**DATABASE, "format": "excel"}, "format"),
        ({**API, "config": api_with(url="file:///etc/passwd")}, "config.api.url"),
        ({**API, "config": api_with(method="PUT")}, "config.api.method"),
        ({**API, "config": api_with(body={"a": 1})}, "config.api"),
        ({**API, "config": api_with(auth={"type": "magic"})}, "config.api.auth.type"),
        ({**API, "config": api_with(auth={})}, "config.api.auth.type"),
        ({**API, "config": api_with(auth={"type": "basic", "username": "u"})}, "config.api.auth.password"),
        ({**API, "config": api_with(pagination={"type": "cursor"})}, "config.api.pagination"),
        ({**API, "config": api_with(pagination={"type": "page", "page_size": 0})}, "config.api.pagination.page_size"),
        ({**API, "config": api_with(watermark={})}, "config.api.watermark.param_name"),
        ({**API, "format": "excel"}, "format"),
        ({"source_type": "file_s3", "config": {"file": {"s3_uri": "http://x/y"}}}, "config.file.s3_uri"),
    ],
)
def test_config_is_refused_at_the_exact_path(shop, fields, attr):
    assert attr in faults(job(shop, **fields))


def test_null_for_a_part_of_config_is_the_same_as_leaving_it_out(shop):
    assert faults(job(shop, config={**LOCAL["config"], "db": None, "api": None})) == {}


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"incremental_mode": "incremental"}, "watermark_column"),
        ({"incremental_mode": "incremental", "watermark_column": "  "}, "watermark_column"),
        ({"last_watermark_value": "2026-01-01"}, "last_watermark_value"),
        (
            {"incremental_mode": "incremental", "watermark_column": "at", "last_watermark_value": {"a": 1}},
            "last_watermark_value",
        ),
        ({"error_handling": "quarantine"}, "quarantine_path"),
        ({"error_handling": "quarantine", "quarantine_path": ""}, "quarantine_path"),
        ({"quarantine_path": "/etc"}, "quarantine_path"),
        ({"quarantine_path": "quarantine/../../etc"}, "quarantine_path"),
        ({"quarantine_path": "s3://elsewhere/x"}, "quarantine_path"),
        ({"quarantine_path": "quarantine//x"}, "quarantine_path"),
        ({"quarantine_path": "bronze/shop/orders"}, "quarantine_path"),
        ({"schema_mode": "user"}, "user_schema"),
        ({"user_schema": {}}, "user_schema"),
        ({"user_schema": ["id"]}, "user_schema.0"),
        ({"user_schema": [{"name": "id"}]}, "user_schema.0.type"),
        ({"user_schema": [{"name": "id", "type": "uuid"}]}, "user_schema.0.type"),
        ({"user_schema": [{"name": "id", "type": "decimal(40,2)"}]}, "user_schema.0.type"),
        ({"user_schema": [{"name": "", "type": "int64"}]}, "user_schema.0.name"),
        ({"user_schema": [{"name": " id", "type": "int64"}]}, "user_schema.0.name"),
        ({"user_schema": [{"name": "_ingested_at", "type": "date"}]}, "user_schema.0.name"),
        ({"user_schema": [{"name": "id", "type": "int64", "nullable": "no"}]}, "user_schema.0.nullable"),
        ({"user_schema": [{"name": "id", "type": "int64", "pk": True}]}, "user_schema.0.pk"),
        ({"user_schema": [{"name": "id", "type": "int64"}, {"name": "ID", "type": "int64"}]}, "user_schema.1.name"),
        ({"partition_pattern": "yyyy/mm/dd"}, "partition_pattern"),
        ({"partition_pattern": "/yyyy"}, "partition_pattern"),
        ({"partition_pattern": "yyyy/../.."}, "partition_pattern"),
        ({"partition_pattern": "yyyy/yyyy"}, "partition_pattern"),
        ({"name": "new"}, "name"),
    ],
)
def test_a_field_is_refused_at_its_path(shop, fields, attr):
    assert attr in faults(job(shop, **fields))


@pytest.mark.parametrize("pattern", ["yyyy/MM/dd", "yyyy/MM", "yyyy-MM-dd/HH", "yyyyMMdd", "yyyy"])
def test_patterns_of_the_tokens_are_sound(shop, pattern):
    assert faults(job(shop, partition_pattern=pattern)) == {}


def test_user_schema_may_have_nested_types(shop):
    columns = [{"name": "items", "type": "list<struct<sku: string, price: decimal(10,2)>>", "nullable": False}]
    assert faults(job(shop, schema_mode="user", user_schema=columns)) == {}


# --- names ---------------------------------------------------------------------------


def test_a_name_never_changes(shop):
    record = job(shop)
    record.save()
    record.name = "sales"
    assert faults(record) == {"name": "immutable"}


def test_a_name_is_taken_by_a_job_of_any_kind_in_the_workflow(shop):
    from datasets.models import DatasetJob

    DatasetJob.objects.create(workflow=shop, name="orders", layer="silver", dataset_type="fact")
    assert faults(job(shop)) == {"name": "unique"}
    assert faults(job(Workflow.objects.create(slug="other", name="Other"))) == {}


def test_a_saved_job_does_not_stand_in_its_own_way(shop):
    record = job(shop)
    record.save()
    assert faults(record) == {}


# --- sources ---------------------------------------------------------------------------


def test_an_upload_must_exist(shop):
    upload = Upload.objects.create(name="orders.csv", size=1, sha256="0" * 64)
    fields = {"source_type": "file_upload"}
    assert faults(job(shop, **fields, config={"file": {"upload": str(upload.pk)}})) == {}
    for unknown in (str(new_run_id()), "orders.csv", ""):
        assert faults(job(shop, **fields, config={"file": {"upload": unknown}})) == {
            "config.file.upload": "unknown_upload"
        }


@pytest.mark.parametrize("path", ["/inbox/orders-*.csv", "orders.csv", "2026/*/orders.csv", "/inbox/**/*.csv"])
def test_a_path_in_a_source_root_is_sound(shop, path):
    assert faults(job(shop, config={"file": {"path": path}})) == {}


def test_a_real_path_in_a_source_root_is_sound(shop, inbox):
    assert faults(job(shop, config={"file": {"path": f"{inbox}/orders.csv"}})) == {}


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../secret.csv", "/inbox/../../etc/passwd", "/inboxes/a.csv", "/inbox", "a\0b"]
)
def test_a_path_outside_the_source_roots_is_refused(shop, path):
    assert faults(job(shop, config={"file": {"path": path}})) == {"config.file.path": "outside_source_roots"}


def test_a_link_that_leads_out_of_the_root_is_refused(shop, inbox, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("a\n1\n")
    (inbox / "folder").symlink_to(outside)
    (inbox / "link.csv").symlink_to(outside / "secret.csv")
    for path in ("folder/secret.csv", "/inbox/folder/*.csv", "link.csv", "*.csv", "**/*.csv"):
        found = faults(job(shop, config={"file": {"path": path}}))
        assert found == {"config.file.path": "outside_source_roots"}, path


def test_a_link_inside_the_root_is_sound(shop, inbox):
    (inbox / "real.csv").write_text("a\n1\n")
    (inbox / "link.csv").symlink_to(inbox / "real.csv")
    assert faults(job(shop, config={"file": {"path": "link.csv"}})) == {}


# --- defaults that hang on other fields ------------------------------------------------


@pytest.mark.parametrize(("mode", "write_mode"), [("full", "overwrite"), ("incremental", "append")])
def test_write_mode_follows_the_incremental_mode(shop, mode, write_mode):
    record = job(shop, incremental_mode=mode, watermark_column="at")
    fill_in(record, given=())
    assert record.write_mode == write_mode


def test_a_given_write_mode_stays(shop):
    record = job(shop, write_mode="append")
    fill_in(record, given=("write_mode",))
    assert record.write_mode == "append"


def test_a_quarantine_path_is_made_only_where_rows_are_set_aside(shop):
    record = job(shop, error_handling="quarantine")
    fill_in(record, given=())
    assert record.quarantine_path == "quarantine/shop/orders"
    record = job(shop)
    fill_in(record, given=())
    assert record.quarantine_path is None
