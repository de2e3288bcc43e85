"""The forms of jobs: what people fill in becomes the model's JSON, and what is wrong is said at its field."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from catalog.models import Dataset
from datasets.models import DatasetJob
from ingest.models import IngestJob
from tests.factories import make_dataset_job, make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db

COLUMNS = [
    {"name": "order_id", "type": "int64"},
    {"name": "country", "type": "string"},
    {"name": "day", "type": "date"},
]


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def shop():
    workflow = make_workflow()
    make_ingest_job(workflow)
    Dataset.objects.filter(name="bronze.shop.orders").update(
        columns=[{**column, "nullable": True} for column in COLUMNS]
    )
    return workflow


def _ingest(**changes):
    fields = {
        "name": "returns",
        "source_type": "file_local",
        "path": "returns.csv",
        "format": "csv",
        "delimiter": ";",
        "quote_char": '"',
        "has_header": "on",
        "encoding": "utf-8",
        "null_values": "NA, NULL",
        "skip_rows": "2",
        "schema_mode": "infer",
        "write_mode": "overwrite",
        "error_handling": "quarantine",
        "bad_row_percent": "2.5",
        "partition_mode": "date",
        "partition_pattern": "yyyy/MM/dd",
        "compression": "snappy",
        "enabled": "on",
    }
    return {**fields, **changes}


def test_a_source_is_saved_with_its_options_where_the_api_has_them(page, shop):
    response = page.post("/workflows/shop/ingest-jobs/new/", _ingest())
    assert response.url == "/workflows/shop/ingest-jobs/returns/"
    job = IngestJob.objects.get(name="returns")
    assert job.config["file"]["path"] == "returns.csv"
    assert job.config["file"]["csv"]["delimiter"] == ";"
    assert job.config["file"]["csv"]["null_values"] == ["", "NA", "NULL"]
    assert job.config["file"]["csv"]["skip_rows"] == 2
    assert job.quarantine_path == "quarantine/shop/returns"
    assert job.bad_row_threshold == 0.025


def test_a_file_may_come_with_the_form_itself(page, shop, tmp_path):
    file = tmp_path / "returns.csv"
    file.write_text("id\n1\n")
    with file.open("rb") as opened:
        page.post("/workflows/shop/ingest-jobs/new/", _ingest(source_type="file_upload", file=opened))
    job = IngestJob.objects.get(name="returns")
    assert (tmp_path / "home" / "uploads" / job.config["file"]["upload"] / "returns.csv").read_text() == "id\n1\n"


def test_a_file_that_is_too_large_is_refused_in_words(page, shop, settings, tmp_path):
    settings.ASSAY_MAX_UPLOAD_BYTES = 3
    file = tmp_path / "returns.csv"
    file.write_text("id\n1\n")
    with file.open("rb") as opened:
        response = page.post("/workflows/shop/ingest-jobs/new/", _ingest(source_type="file_upload", file=opened))
    assert "is larger than 3 bytes" in response.content.decode()
    with file.open("rb") as opened:
        response = page.post("/workflows/shop/ingest-jobs/upload/", {"file": opened})
    assert "is larger than 3 bytes" in response.content.decode()


def test_declared_columns_are_kept_only_where_types_are_as_declared(page, shop):
    columns = {"column_name": ["id", "", "amount"], "column_type": ["int64", "string", "decimal(10,2)"]}
    columns["column_nullable"] = ["no", "yes", "yes"]
    page.post("/workflows/shop/ingest-jobs/new/", _ingest(schema_mode="user", **columns))
    assert IngestJob.objects.get(name="returns").user_schema == [
        {"name": "id", "type": "int64", "nullable": False},
        {"name": "amount", "type": "decimal(10,2)", "nullable": True},
    ]
    page.post("/workflows/shop/ingest-jobs/new/", _ingest(name="again", **columns))
    assert IngestJob.objects.get(name="again").user_schema == []


WRONG = [
    ({"path": "../secrets.csv"}, "path", "must not contain"),
    ({"name": "orders"}, "name", "has a job"),
    ({"name": "Orders!"}, "name", "lower-case"),
    ({"partition_pattern": "dd.MM"}, "partition_pattern", "yyyy"),
    ({"quarantine_path": "bronze/x"}, "quarantine_path", "holds tables"),
    ({"encoding": "klingon"}, "encoding", "no known encoding"),
]


@pytest.mark.parametrize(("changes", "field", "words"), WRONG, ids=[field for _, field, _ in WRONG])
def test_what_is_wrong_is_said_at_the_field_that_a_person_can_change(page, shop, changes, field, words):
    response = page.post("/workflows/shop/ingest-jobs/new/", _ingest(**changes))
    assert response.status_code == 200
    assert words in str(response.context["form"].errors[field])
    assert not IngestJob.objects.filter(name="returns").exists()


def test_a_wrong_type_names_its_column(page, shop):
    columns = {"column_name": "amount", "column_type": "money", "column_nullable": "yes"}
    response = page.post("/workflows/shop/ingest-jobs/new/", _ingest(schema_mode="user", **columns))
    assert "Column “amount”: “money” is no column type." in str(response.context["form"].non_field_errors())


def test_editing_shows_what_was_saved_and_keeps_the_name(page, shop):
    page.post("/workflows/shop/ingest-jobs/new/", _ingest())
    form = page.get("/workflows/shop/ingest-jobs/returns/edit/").context["form"]
    assert form["delimiter"].value() == ";"
    assert form["null_values"].value() == "NA, NULL"
    page.post("/workflows/shop/ingest-jobs/returns/edit/", _ingest(name="other", description="sent back"))
    assert IngestJob.objects.get(name="returns").description == "sent back"


def test_the_preview_shows_the_rows_and_writes_nothing(page, shop, settings):
    inbox = settings.ASSAY_LOCAL_SOURCE_ROOTS[0]
    (inbox / "returns.csv").write_text("id;amount\n1;2.5\n2;NA\n")
    text = page.post("/workflows/shop/ingest-jobs/preview/", _ingest(name="", skip_rows="0")).content.decode()
    assert 'value="float64"' in text
    assert "2.5" in text
    assert not IngestJob.objects.filter(name="returns").exists()


def test_the_preview_says_which_path_is_wrong(page, shop):
    text = page.post("/workflows/shop/ingest-jobs/preview/", _ingest(path="../x")).content.decode()
    assert "must not contain" in text


# --- Silver and Gold --------------------------------------------------------------------


def _silver(**changes):
    fields = {
        "name": "per_country",
        "dataset_type": "fact",
        "transform_type": "sql",
        "engine": "default",
        "enabled": "on",
        "sql_text": "select country, count(*) as orders from orders group by country",
        "types_from": "query",
        "inputs.0.dataset": "bronze.shop.orders",
        "inputs.0.alias": "",
        "refresh_mode": "full_refresh",
        "compression": "zstd",
        "partition_by": "",
    }
    return {**fields, **changes}


def _gold(**changes):
    fields = _silver(dataset_type="metric_table", transform_type="metrics_aggregate", sql_text="left over")
    config = {"base": "orders", "time_column": "day", "time_grain": "month", "dimensions": "country"}
    config |= {"metrics.0.v0.name": "orders", "metrics.0.v0.expression": "count(*)", "metrics.0.v0.filter": ""}
    config |= {"metrics.1.v0.name": "", "metrics.1.v0.expression": "", "metrics.1.v0.filter": ""}
    return {**fields, **{f"metrics_aggregate.{name}": value for name, value in config.items()}, **changes}


def test_a_silver_job_gets_its_alias_and_its_types_from_the_query(page, shop):
    response = page.post("/workflows/shop/silver-jobs/new/", _silver())
    assert response.url == "/workflows/shop/silver-jobs/per_country/"
    job = DatasetJob.objects.get(name="per_country")
    assert job.inputs == [{"dataset": "bronze.shop.orders", "alias": "orders"}]
    assert [(column["name"], column["type"]) for column in job.target_schema] == [
        ("country", "string"),
        ("orders", "int64"),
    ]


def test_a_gold_job_is_made_from_the_rows_of_the_metrics_form(page, shop):
    page.post("/workflows/shop/gold-jobs/new/", _gold())
    job = DatasetJob.objects.get(name="per_country")
    assert job.config["metrics"] == [{"name": "orders", "expression": "count(*)"}]
    assert job.config["dimensions"] == ["country"]
    assert job.sql_text == ""
    text = page.get("/workflows/shop/gold-jobs/per_country/sql/").content.decode()
    assert "What duckdb runs" in text


WRONG_SQL = [
    ({"sql_text": "select nothing from orders"}, "sql_text", "nothing"),
    ({"sql_text": "drop table orders"}, "sql_text", ""),
    ({"inputs.0.dataset": "bronze.shop.unknown"}, "inputs", "no dataset"),
    ({"refresh_mode": "overwrite_partition"}, "partition_by", "partitions"),
]


@pytest.mark.parametrize(("changes", "field", "words"), WRONG_SQL, ids=["column", "statement", "input", "partition"])
def test_what_is_wrong_with_a_query_is_said_where_it_is(page, shop, changes, field, words):
    response = page.post("/workflows/shop/silver-jobs/new/", _silver(**changes))
    assert response.status_code == 200
    assert words in str(response.context["form"].errors[field])


def test_a_wrong_metric_is_said_at_its_very_field(page, shop):
    text = page.post("/workflows/shop/gold-jobs/new/", _gold(**{"metrics_aggregate.metrics.0.v0.expression": ""}))
    assert "Metrics · metric 1 · Expression</a>: This is needed." in text.content.decode()


def test_checking_shows_the_generated_sql_before_anything_is_saved(page, shop):
    text = page.post("/workflows/shop/gold-form/check/", _gold(name="")).content.decode()
    assert "panel-duckdb" in text
    assert "Still needed: Name." in text
    assert not DatasetJob.objects.exists()


def test_a_job_that_exists_can_be_checked_again_under_its_name(page, shop):
    make_dataset_job(shop, "per_country")
    text = page.post("/workflows/shop/silver-form/check/?job=per_country", _silver()).content.decode()
    assert "This can be saved." in text


def test_an_upload_comes_back_with_a_guess_at_how_it_is_written(page, shop):
    file = SimpleUploadedFile("Preise.csv", "id;preis\n1;1,50\n".encode("latin-1"))
    text = page.post("/workflows/shop/ingest-jobs/upload/", {"file": file}).content.decode()
    assert "data-guessed=" in text
    assert "&quot;delimiter&quot;: &quot;;&quot;" in text


def test_a_metrics_form_with_nothing_in_it_is_refused_in_plain_words(page, shop):
    fields = {"name": "sales", "dataset_type": "fact_aggregate", "transform_type": "metrics_aggregate"}
    fields["metrics_aggregate.base"] = "1st"
    text = page.post("/workflows/shop/gold-jobs/new/", fields).content.decode()
    assert "This is needed." in text
    assert "At least one is needed." in text
    assert "Give a name of letters, digits and _" in text
    assert "String should" not in text
