"""The form of a source: every type of source on one page, what is typed becomes config, and comes back from it."""

import re

import pytest
from django.contrib.auth.models import Group, Permission

from ingest.models import IngestJob
from ingest.sources import SOURCES
from ops.connections.models import Connection
from tests.factories import make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db

NEW = "/workflows/shop/ingest-jobs/new/"
EDIT = "/workflows/shop/ingest-jobs/returns/edit/"


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def shop():
    workflow = make_workflow()
    make_ingest_job(workflow)
    return workflow


def _fields(source_type, **more):
    fields = {"name": "returns", "source_type": source_type, "schema_mode": "infer", "error_handling": "fail"}
    fields |= {"partition_mode": "date", "partition_pattern": "yyyy/MM/dd", "compression": "snappy", "enabled": "on"}
    return {**fields, "incremental_mode": "full", "write_mode": "overwrite", **more}


def _api(**more):
    return _fields("api", api_url="https://api.example.com/orders", api_method="GET", api_format="json", **more)


def _save(page, fields, address=NEW):
    answer = page.post(address, fields)
    assert answer.status_code == 302, answer.context["form"].errors
    return IngestJob.objects.get(name="returns")


def _errors(page, fields):
    return page.post(NEW, fields).context["form"].errors


def _as_sent(page, address=EDIT):
    """What a browser sends of the form as it was served: every field with its value, secrets empty."""
    form = page.get(address).context["form"]
    sent = {f"nested_{name}": [row.get(name, "") for row in form.nested] for name in ("path", "keep_as", "type")}
    for field in form:
        value = field.value()
        if isinstance(value, dict):
            pairs = [(name, each) for name, one in value.items() for each in (one if isinstance(one, list) else [one])]
            sent |= {f"{field.name}_key": [k for k, _ in pairs], f"{field.name}_value": [v for _, v in pairs]}
        elif value is not False and not field.field.disabled:
            sent[field.name] = "" if value is None or field.widget_type == "password" else value
    return sent


def test_every_type_of_source_can_be_chosen(page, shop):
    text = page.get(NEW).content.decode()
    tiles = re.findall(r'<input type="radio" name="source_type" value="(\w+)"( disabled)?', text)
    assert tiles == [(name, "") for name in ("file_upload", "file_local", "file_s3", "database", "api")]


def test_every_option_that_a_source_declares_has_a_field(page, shop):
    """Secrets, too; the nested values have an editor of their own."""
    names = set(re.findall(r' name="(\w+)"', page.get(NEW).content.decode()))
    assert {"s3_uri", "connection", "sheet", "header_row", "decimal", "date_formats"} <= names
    for option in SOURCES["database"].options.model_fields:
        assert f"db_{option}" in names
    for option in set(SOURCES["api"].options.model_fields) - {"nested"}:
        assert [name for name in names if name.startswith(f"api_{option}")], option
    assert {"api_auth_password", "api_auth_token", "api_auth_value", "api_auth_client_secret"} <= names


def test_an_api_is_saved_with_what_was_filled_in_and_nothing_else(page, shop):
    pairs = {"api_params_key": ["status", "page", ""], "api_params_value": ["open", "7", ""]}
    pairs |= {"api_headers_key": ["Accept-Language"], "api_headers_value": ["de"]}
    job = _save(page, _api(**pairs, api_records_path="data.items", api_pagination_type="none", api_auth_type="none"))
    assert job.format == "json"
    assert job.config == {
        "api": {
            "url": "https://api.example.com/orders",
            "records_path": "data.items",
            "params": {"status": "open", "page": "7"},
            "headers": {"Accept-Language": "de"},
        }
    }


def test_only_the_chosen_way_of_paging_counts(page, shop):
    """What was typed for another way is sent as well, since its fields are only hidden."""
    more = {"api_pagination_type": "cursor", "api_pagination_next_token_path": "meta.next"}
    more |= {"api_pagination_page_param": "p", "api_pagination_page_size": "7", "api_pagination_first_page": "3"}
    assert _save(page, _api(**more)).config["api"]["pagination"] == {"type": "cursor", "next_token_path": "meta.next"}


def test_a_parameter_that_is_named_twice_has_both_values(page, shop):
    pairs = {"api_params_key": ["tag", "tag"], "api_params_value": ["a", "b"]}
    assert _save(page, _api(**pairs)).config["api"]["params"] == {"tag": ["a", "b"]}


def test_a_body_is_only_sent_where_one_can_be(page, shop):
    job = _save(page, _api(api_body='{"since": 1}'))
    assert "body" not in job.config["api"]
    job = _save(page, {**_api(api_body='{"since": 1}'), "api_method": "POST"}, EDIT)
    assert job.config["api"]["body"] == {"since": 1}


def test_a_secret_is_kept_encrypted_and_never_shown_again(page, shop):
    job = _save(page, _api(api_auth_type="bearer", api_auth_token="very-secret"))
    assert "very-secret" not in str(job.config)
    assert "very-secret" in str(job.secrets)
    form = page.get(EDIT).content.decode()
    assert "very-secret" not in form
    assert "unchanged" in form


def test_a_secret_that_is_left_empty_stays_and_one_that_is_typed_takes_its_place(page, shop):
    _save(page, _api(api_auth_type="bearer", api_auth_token="very-secret"))
    job = _save(page, {**_api(api_auth_type="bearer", api_auth_token=""), "description": "changed"}, EDIT)
    assert (job.description, list(job.secrets.values())) == ("changed", ["very-secret"])
    job = _save(page, _api(api_auth_type="bearer", api_auth_token="new-one"), EDIT)
    assert list(job.secrets.values()) == ["new-one"]


def test_a_kept_secret_is_not_sent_to_another_server_not_even_to_test_it(page, shop):
    _save(page, _api(api_auth_type="bearer", api_auth_token="very-secret"))
    elsewhere = {**_api(api_auth_type="bearer", api_auth_token=""), "api_url": "https://elsewhere.example.com/x"}
    for part in ("ingest-form/request/", "ingest-jobs/preview/"):
        text = page.post(f"/workflows/shop/{part}?job=returns", elsewhere).content.decode()
        assert "Enter the secret again" in text


def test_a_refused_form_does_not_show_the_secret_that_was_typed(page, shop):
    fields = {**_api(api_auth_type="bearer", api_auth_token="very-secret"), "api_url": "nowhere"}
    answer = page.post(NEW, fields)
    assert answer.status_code == 200
    assert "very-secret" not in answer.content.decode()


def test_how_runs_load_is_saved(page, shop):
    fields = _api(
        incremental_mode="incremental",
        watermark_column="updated_at",
        watermark_start="2026-01-01",
        watermark_lag="2h",
        write_mode="merge",
        key_columns="country, id",
        delete_detection="off",
        api_watermark_param_name="since",
    )
    job = _save(page, fields)
    assert (job.incremental_mode, job.watermark_column, job.watermark_lag) == ("incremental", "updated_at", "2h")
    assert job.last_watermark_value == "2026-01-01"
    assert (job.write_mode, job.key_columns) == ("merge", ["country", "id"])
    assert job.config["api"]["watermark"] == {"param_name": "since"}


@pytest.mark.parametrize(
    ("typed", "value"), [("1000", 1000), ("1.5", 1.5), ("007", "007"), ("true", "true"), (" ", None)]
)
def test_the_first_watermark_is_a_number_where_it_is_written_like_one(page, shop, typed, value):
    fields = _api(incremental_mode="incremental", watermark_column="id", write_mode="append", watermark_start=typed)
    assert _save(page, fields).last_watermark_value == value


def test_a_watermark_that_runs_have_moved_is_not_changed_by_the_form(page, shop):
    fields = _api(incremental_mode="incremental", watermark_column="id", write_mode="append", watermark_start="5")
    job = _save(page, fields)
    IngestJob.objects.filter(pk=job.pk).update(last_watermark_value=900)
    assert _save(page, fields, EDIT).last_watermark_value == 900


def test_files_of_an_object_store_with_all_options_of_csv(page, shop):
    csv = {"delimiter": ";", "quote_char": '"', "has_header": "on", "encoding": "windows-1252", "decimal": ","}
    csv |= {"null_values": "NA", "skip_rows": "0", "date_formats": "%d.%m.%Y, %Y%m%d"}
    job = _save(page, _fields("file_s3", format="csv", s3_uri="s3://bucket/in/*.csv", **csv))
    assert job.config["file"]["s3_uri"] == "s3://bucket/in/*.csv"
    assert job.config["file"]["csv"] == {
        "delimiter": ";",
        "encoding": "windows-1252",
        "decimal": ",",
        "null_values": ["", "NA"],
        "date_formats": ["%d.%m.%Y", "%Y%m%d"],
    }
    assert job.skip_loaded_files is False  # the box was not ticked


def test_nested_values_are_saved_where_somebody_chose(page, shop):
    nested = {"nested_path": ["customer", "lines"], "nested_keep_as": ["flatten", ""], "nested_type": ["struct<>", ""]}
    assert _save(page, _api(**nested)).config["api"]["nested"] == [{"path": "customer", "keep_as": "flatten"}]


def test_only_json_has_a_choice_of_what_becomes_of_nested_values(page, shop, settings):
    nested = {"nested_path": ["customer"], "nested_keep_as": ["json"], "nested_type": ["json"]}
    job = _save(page, _fields("file_local", path="a.csv", format="csv", **nested))
    assert "nested" not in job.config["file"]
    (settings.ASSAY_LOCAL_SOURCE_ROOTS[0] / "a.ndjson").write_text('{"id": 1, "customer": {"city": {"zip": 1}}}\n')
    fields = _fields("file_local", path="a.ndjson", format="ndjson", **nested)
    text = page.post("/workflows/shop/ingest-jobs/preview/", fields).content.decode()
    assert 'name="nested_path" value="customer"' in text
    assert '<option value="json" selected>' in text


def test_what_is_wrong_with_a_nested_value_is_said_where_it_can_be_changed(page, shop):
    nested = {"nested_path": ["lines"], "nested_keep_as": ["child_table"], "nested_type": ["list<string>"]}
    assert "Child tables need" in str(_errors(page, _api(**nested))["key_columns"])
    nested = {"nested_path": ["*.x"], "nested_keep_as": ["json"], "nested_type": ["json"]}
    assert "stands alone" in str(_errors(page, _api(**nested))["nested_values"])


MADE_BY_API = {
    "api": {
        "source_type": "api",
        "format": "json",
        "config": {
            "api": {
                "url": "https://api.example.com/orders",
                "method": "POST",
                "params": {"tag": ["a", "b"]},
                "body": {"filter": {"open": True}},
                "auth": {
                    "type": "oauth2_client_credentials",
                    "token_url": "https://id.example.com/token",
                    "client_id": "me",
                    "client_secret": "env:SECRET",
                },
                "pagination": {"type": "offset", "page_param": "skip", "page_size": 50, "send_in": "body"},
                "limits": {"rate_limit_per_minute": 30.0, "max_retries": 2},
                "nested": [{"path": "lines", "keep_as": "json"}],
            }
        },
    },
    "csv": {
        "source_type": "file_local",
        "format": "csv",
        "config": {
            "file": {"path": "a-*.csv", "csv": {"quote_char": "", "has_header": False, "null_values": ["", "-"]}}
        },
    },
    "excel": {
        "source_type": "file_local",
        "format": "excel",
        "config": {"file": {"path": "a.xlsx", "excel": {"sheet": "Sales", "header_row": 3}}},
    },
}


@pytest.mark.parametrize("what", MADE_BY_API)
def test_a_job_made_through_the_api_is_the_same_after_the_form_was_opened_and_saved(page, api, shop, what, monkeypatch):
    monkeypatch.setenv("SECRET", "from-outside")
    made = api.post("/api/workflows/shop/ingest-jobs/", {"name": "returns", **MADE_BY_API[what]}, format="json")
    assert made.status_code == 201, made.json()
    before = IngestJob.objects.get(name="returns").config
    assert _save(page, _as_sent(page), EDIT).config == before


WRONG = [
    (_api(api_pagination_type="cursor"), "api_pagination_type", "next_token_path"),
    (_api(api_auth_type="bearer"), "api_auth_token", "needed"),
    (_api(api_params_key=["a"], api_params_value=["{nothing}"]), "api_params", "nothing"),
    ({**_api(), "api_url": ""}, "api_url", ""),
    (_fields("file_s3", format="csv", s3_uri="http://x"), "s3_uri", ""),
    (_fields("file_local", format="csv", path="../x"), "path", "must not contain"),
    (_fields("database", db_reads="table"), "db_connection", ""),
    (_api(incremental_mode="incremental"), "watermark_column", "needs"),
    (_api(write_mode="merge"), "key_columns", "key"),
]


@pytest.mark.parametrize(("fields", "field", "words"), WRONG, ids=[f"{f['source_type']}-{n}" for f, n, _ in WRONG])
def test_what_is_wrong_is_said_at_its_field(page, shop, fields, field, words):
    errors = _errors(page, fields)
    assert words in str(errors[field])
    assert not IngestJob.objects.filter(name="returns").exists()


def test_the_path_of_the_files_is_shown_while_it_is_written(page, shop):
    query = {"name": "returns", "partition_mode": "date", "partition_pattern": "yyyyMM"}
    text = page.get("/workflows/shop/ingest-form/path/", query).content.decode()
    assert text.startswith("bronze/shop/returns/20")
    assert "_ingest_date=" in text
    text = page.get("/workflows/shop/ingest-form/path/", {**query, "partition_mode": "none"}).content.decode()
    assert text == "bronze/shop/returns/….parquet"


# --- connections ------------------------------------------------------------------------


@pytest.fixture
def warehouse(db):
    """A connection that only one group may use."""
    connection = Connection(name="warehouse", kind="postgresql", host="127.0.0.1", database="test", username="postgres")
    connection.full_clean()
    connection.save()
    connection.groups.add(Group.objects.create(name="finance"))
    return connection


@pytest.fixture
def builder(client, django_user_model):
    """Somebody who may make and change jobs, and belongs to no group."""
    person = django_user_model.objects.create_user("ada", password="secret")
    names = ("add_ingestjob", "change_ingestjob", "add_upload")
    person.user_permissions.add(*Permission.objects.filter(codename__in=names))
    client.force_login(person)
    return client


DATABASE = _fields("database", db_connection="warehouse", db_reads="table", db_table_name="public.orders")


def test_a_table_of_a_database_is_saved_and_the_query_that_was_typed_as_well_is_not(page, shop, warehouse):
    job = _save(page, {**DATABASE, "db_query": "select 1"})
    assert job.config == {"db": {"connection": "warehouse", "table_name": "public.orders"}}
    job = _save(page, {**DATABASE, "db_reads": "query", "db_query": "select 1 as id"}, EDIT)
    assert job.config == {"db": {"connection": "warehouse", "query": "select 1 as id"}}


def test_only_connections_that_a_person_may_use_are_offered_and_taken(builder, shop, warehouse):
    assert "warehouse" not in builder.get(NEW).content.decode()
    assert "may not use" in str(_errors(builder, DATABASE)["db_connection"])
    text = builder.post("/workflows/shop/ingest-jobs/preview/", DATABASE).content.decode()
    assert "may not use" in text
    query = {"db_connection": "warehouse"}
    assert builder.get("/workflows/shop/ingest-form/tables/", query).status_code == 404


def test_a_connection_that_was_made_meanwhile_is_offered(page, shop, warehouse):
    query = {"field": "db_connection", "db_connection": "warehouse"}
    text = page.get("/workflows/shop/ingest-form/connections/", query).content.decode()
    assert '<option value="warehouse" selected>' in text
    text = page.get("/workflows/shop/ingest-form/connections/", {"field": "connection"}).content.decode()
    assert "warehouse" not in text  # it is no S3


def test_an_address_that_may_not_be_reached_is_told_where_it_was_asked_for(page, shop):
    fields = {**_api(), "api_url": "http://169.254.169.254/latest/meta-data/"}
    text = page.post("/workflows/shop/ingest-form/request/", fields).content.decode()
    assert "address_refused" in text
