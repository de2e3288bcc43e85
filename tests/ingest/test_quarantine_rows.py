"""Rows in quarantine, for people: by run and reason, on the page, through the API, and as files to take away."""

import csv
import io

import polars as pl
import pytest

from ingest import quarantine
from ops import services
from ops.local import run_in_process
from tests.factories import make_ingest_job

pytestmark = pytest.mark.django_db

FILE = "id,amount,note\n1,2.50,fine\n2,ten,=1+1\n3,,@home\n4,3.00,-\nx,4.00,+49\n"
API = "/api/workflows/shop/ingest-jobs/orders/quarantine/"
PAGE = "/workflows/shop/ingest-jobs/orders/quarantine/"


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def orders(shop, inbox):
    """A job that has run twice: first with three bad rows, then with one."""
    columns = [("id", "int64", False), ("amount", "decimal(10,2)", False), ("note", "string", True)]
    job = make_ingest_job(
        shop,
        config={"file": {"path": "orders.csv"}},
        schema_mode="user",
        user_schema=[{"name": name, "type": kind, "nullable": nullable} for name, kind, nullable in columns],
        error_handling="quarantine",
        quarantine_path="quarantine/shop/orders",
        bad_row_threshold=0.9,
    )
    _run(job, inbox, FILE)
    _run(job, inbox, "id,amount,note\n1,1.00,a\n2,many,b\n")
    return job


def _run(job, inbox, text):
    (inbox / "orders.csv").write_text(text)
    run = services.start_job_run("ingest", job, send=False)
    run_in_process(run)
    run.refresh_from_db()
    return run


def _first_run(job):
    return job.runs.order_by("created_at").first()


def test_the_api_gives_the_rows_of_all_runs_the_newest_first(api, orders):
    answer = api.get(API).json()
    assert answer["count"] == 4
    assert answer["results"][0]["_value"] == "many"
    assert {row["_run_id"] for row in answer["results"]} == {str(run.pk) for run in orders.runs.all()}


def test_the_api_gives_the_rows_of_one_run_for_one_reason(api, orders):
    run = _first_run(orders)
    rows = api.get(API, {"run": str(run.pk), "reason": "amount: type"}).json()["results"]
    assert [(row["_line"], row["_column"], row["_value"], row["_wanted_type"]) for row in rows] == [
        (3, "amount", "ten", "decimal(10,2)")
    ]
    assert run.quality["reasons"]["amount: type"] == 1


def test_the_api_gives_a_page_at_a_time(api, orders):
    answer = api.get(API, {"page_size": 3, "page": 2}).json()
    assert (answer["count"], len(answer["results"]), answer["next"]) == (4, 1, None)


@pytest.mark.parametrize("query", [{"run": "no-id"}, {"colour": "red"}])
def test_the_api_refuses_what_it_does_not_know(api, orders, query):
    answer = api.get(API, query)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["attr"] == next(iter(query))


def test_a_job_without_bad_rows_has_an_empty_quarantine(api, shop):
    make_ingest_job(shop)
    assert api.get(API).json()["results"] == []


def test_a_csv_file_has_every_row_and_nothing_that_a_spreadsheet_would_run(page, orders):
    answer = page.get(f"{PAGE}download/", {"format": "csv"})
    assert answer.headers["Content-Disposition"] == 'attachment; filename="shop-orders-quarantine.csv"'
    text = b"".join(answer.streaming_content).decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 4
    assert not [value for row in rows for value in row.values() if value[:1] in "=+-@\t\r" and value]


@pytest.mark.parametrize("value", ["=1+1", "+49", "-1", "@home", "\tx", "\rx"])
def test_what_looks_like_a_formula_is_made_harmless(value):
    assert quarantine._harmless(value) == f"'{value}"


def test_a_parquet_file_has_every_value_as_it_was(page, orders, tmp_path):
    answer = page.get(f"{PAGE}download/", {"format": "parquet", "run": str(_first_run(orders).pk)})
    rows = pl.read_parquet(io.BytesIO(b"".join(answer.streaming_content)))
    assert rows["_line"].sort().to_list() == [3, 4, 6]
    assert rows.schema["_line"] == pl.Int64
    assert sorted(filter(None, rows["_value"])) == ["ten", "x"]


def test_the_api_downloads_the_same_file(api, page, orders):
    of_api = b"".join(api.get(f"{API}download/?format=csv").streaming_content)
    assert of_api == b"".join(page.get(f"{PAGE}download/?format=csv").streaming_content)
    assert api.get(f"{API}download/?format=xls").status_code == 400


def test_the_page_shows_the_newest_run_and_offers_its_reasons(page, orders):
    text = page.get(PAGE).content.decode()
    assert "many" in text
    assert "ten" not in text.replace("written", "")
    assert 'value="amount: type"' in text


def test_the_page_shows_the_run_and_the_reason_that_were_chosen(page, orders):
    text = page.get(PAGE, {"run": str(_first_run(orders).pk), "reason": "id: type"}).content.decode()
    assert "First 1 of 1 rows" in text
    text = page.get(PAGE, {"run": ""}).content.decode()
    assert "First 4 of 4 rows" in text


def test_rows_of_a_run_that_failed_because_there_were_too_many_are_shown_too(page, orders, inbox):
    orders.bad_row_threshold = 0.1
    orders.save()
    assert _run(orders, inbox, FILE).status == "failed"
    text = page.get(PAGE).content.decode()
    assert "(failed)" in text
    assert "First 3 of 3 rows" in text


def test_a_file_that_is_gone_is_said_in_words(page, orders, settings, api):
    from pathlib import Path

    run = orders.runs.first()
    (Path(settings.ASSAY_LAKE_URL) / run.quarantine_path).unlink()
    assert "is no longer in the lake" in page.get(PAGE).content.decode()
    assert api.get(API, {"run": str(run.pk)}).status_code == 409
    assert api.get(API).json()["count"] == 3  # of the other run


def test_every_row_that_leaves_goes_through_the_policy(api, page, orders, monkeypatch):
    """Whoever may not see a value sees none of it: on the page, in the API, in both files."""

    def nothing(user, dataset, rows):
        assert dataset == "bronze.shop.orders"
        return ({name: None if name in ("_raw", "_value", "_reason") else row[name] for name in row} for row in rows)

    monkeypatch.setattr(quarantine, "visible_rows", nothing)
    answers = [page.get(PAGE).content, api.get(API).content]
    answers += [b"".join(page.get(f"{PAGE}download/?format={kind}").streaming_content) for kind in ("csv", "parquet")]
    assert not [answer for answer in answers if b"many" in answer]


def test_nobody_downloads_without_a_log_in(client, orders):
    assert client.get(f"{PAGE}download/").url.startswith("/admin/login/")
