"""A source of each type is made, looked at and run by clicking, against a real server."""

from urllib.parse import urlsplit

import polars as pl
import psycopg
import pytest
from playwright.sync_api import expect

from catalog.models import Dataset
from ingest.models import IngestJob
from ops.connections.models import Connection
from ops.local import run_in_process
from ops.models import PipelineRun
from tests.factories import make_workflow
from tests.http_server import ApiServer

pytestmark = pytest.mark.django_db(transaction=True)

NEW = "/workflows/shop/ingest-jobs/new/"


@pytest.fixture
def shop():
    return make_workflow()


@pytest.fixture
def customers(settings):
    """An API that wants a token and answers in pages of two, below data.items."""
    settings.ASSAY_HTTP_ALLOW_PRIVATE = ["127.0.0.1"]
    address = {"city": "Bern", "zip": "3000"}
    records = [{"id": n, "name": f"Customer {n}", "changed": f"2026-11-0{n}", "address": address} for n in range(1, 6)]
    server = ApiServer(records=records, auth="bearer")
    yield server
    server.close()


@pytest.fixture
def warehouse(postgres_url):
    """A connection to a database with one table."""
    with psycopg.connect(postgres_url) as database:
        database.execute("create schema sales")
        database.execute(
            "create table sales.orders as select n as id, (n * 1.25)::numeric(10,2) as amount,"
            " timestamptz '2026-11-01 10:00+00' + n * interval '1 hour' as changed_at from generate_series(1, 40) n"
        )
    return _connect("warehouse", postgres_url)


def _connect(name, url):
    parts = urlsplit(url)
    connection = Connection(
        name=name,
        kind="postgresql",
        host=parts.hostname,
        port=parts.port,
        database=parts.path.strip("/"),
        username=parts.username,
        password=parts.password or "",
    )
    connection.full_clean()
    connection.save()
    return connection


def _choose(page, source):
    page.goto(NEW)
    page.locator(".as-choice", has_text=source).click()


def _save_and_run(page):
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator("#run-live")).to_have_attribute("data-status", "running")
    run_in_process(PipelineRun.objects.latest("id"))
    expect(page.locator("#run-live")).to_have_attribute("data-status", "success")


def test_an_api_is_tested_previewed_and_loaded(page, shop, customers):
    _choose(page, "HTTP API")
    page.locator("#id_api_url").fill(f"{customers.url}/page1")
    page.locator("#id_api_auth_type").select_option("bearer")
    page.locator("#id_api_auth_token").fill("b3arer-s3cret")
    page.locator("#id_api_pagination_type").select_option("page")
    page.locator("#id_api_pagination_page_size").fill("2")

    # The answer is no list: what could be the records is offered, and tried when it is chosen.
    page.get_by_role("button", name="Test request").click()
    page.get_by_role("button", name="data.items · 2").click()
    expect(page.locator("#id_api_records_path")).to_have_value("data.items")
    expect(page.locator("#request-result")).to_contain_text("2 records found")
    expect(page.locator("#request-result")).to_contain_text('"name": "Customer 1"')
    expect(page.locator("#request-result")).to_contain_text("page=2")
    expect(page.locator("#request-result")).not_to_contain_text("b3arer-s3cret")

    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("Customer 2")
    page.get_by_label("What becomes of address").select_option("flatten")
    expect(page.locator("#preview")).to_contain_text("address_city")
    page.locator("#id_name").fill("customers")
    _save_and_run(page)

    job = IngestJob.objects.get()
    assert Dataset.objects.get(name="bronze.shop.customers").rows == 5
    page.goto(f"/workflows/shop/ingest-jobs/{job.name}/edit/")
    expect(page.locator("#id_api_auth_token")).to_have_value("")
    expect(page.locator("#id_api_auth_token")).to_have_attribute("placeholder", "••••••••  (unchanged)")
    page.get_by_role("button", name="Test request").click()
    expect(page.locator("#request-result")).to_contain_text("2 records found")


def test_a_table_is_found_looked_at_and_loaded_incrementally(page, shop, warehouse):
    _choose(page, "Database")
    page.locator("#id_db_connection").select_option("warehouse")
    page.get_by_text("Look for a table").click()
    page.get_by_label("Find a table").fill("ord")
    page.locator("#tables li", has_text="sales.orders").get_by_role("button", name="Use").click()
    expect(page.locator("#id_db_table_name")).to_have_value("sales.orders")
    expect(page.locator("#id_name")).to_have_value("orders")
    expect(page.locator("#preview")).to_contain_text("decimal(10,2)")

    page.locator("#tables summary").first.click()
    page.locator("#tables tr", has_text="changed_at").get_by_role("button", name="watermark").click()
    expect(page.locator("#id_watermark_column")).to_have_value("changed_at")
    expect(page.locator("#id_write_mode")).to_have_value("append")
    _save_and_run(page)
    assert Dataset.objects.get(name="bronze.shop.orders").rows == 40

    page.goto("/workflows/shop/ingest-jobs/orders/")
    expect(page.get_by_role("main")).to_contain_text("loads only what is newer by changed_at")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#look")).to_contain_text("What the source has now")
    expect(page.locator("#look")).to_contain_text("15.00")
    page.locator("#watermark").scroll_into_view_if_needed()
    expect(page.locator("#watermark")).to_contain_text("2026-11-03T02:00:00+00:00")


def test_a_query_is_written_in_the_editor(page, shop, warehouse):
    _choose(page, "Database")
    page.locator("#id_db_connection").select_option("warehouse")
    page.get_by_label("A query").check()
    page.evaluate("ace.edit(document.querySelector('.as-ace')).setValue('select id * 2 as twice from sales.orders', 1)")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview")).to_contain_text("twice")
    page.locator("#id_name").fill("doubled")
    _save_and_run(page)
    assert IngestJob.objects.get().config["db"]["query"] == "select id * 2 as twice from sales.orders"


def test_objects_of_s3_are_loaded_by_a_pattern(page, shop, s3_server):
    endpoint = s3_server["ASSAY_S3_ENDPOINT_URL"]
    for day in (1, 2):
        frame = pl.DataFrame({"id": [day], "amount": [day * 1.5]})
        frame.write_parquet(
            f"s3://lake/from/orders-{day}.parquet",
            storage_options={
                "aws_access_key_id": "lake",
                "aws_secret_access_key": "lake-secret",
                "aws_region": "us-east-1",
                "aws_endpoint_url": endpoint,
                "aws_allow_http": "true",
            },
        )
    connection = Connection(name="bucket", kind="s3", username="lake", password="lake-secret")
    connection.options = {"endpoint_url": endpoint, "region": "us-east-1"}
    connection.full_clean()
    connection.save()

    _choose(page, "S3")
    page.locator("#id_connection").select_option("bucket")
    page.locator("#id_s3_uri").fill("s3://lake/from/orders-*.parquet")
    page.locator("#id_s3_uri").press("Tab")
    expect(page.locator("#id_format")).to_have_value("parquet")
    expect(page.locator("#preview")).to_contain_text("amount")
    page.locator("#id_name").fill("orders")
    _save_and_run(page)
    assert Dataset.objects.get(name="bronze.shop.orders").rows == 2
    page.goto("/workflows/shop/ingest-jobs/orders/")
    page.locator("#files").scroll_into_view_if_needed()
    expect(page.locator("#files")).to_contain_text("orders-2.parquet")


def test_a_workbook_in_a_folder_is_read_from_the_sheet_that_was_chosen(page, shop, settings):
    from openpyxl import Workbook

    book = Workbook()
    book.active.append(["nothing"])
    sheet = book.create_sheet("Sales")
    for row in (["Report of 2026"], ["id", "amount"], [1, 2.5], [2, 3.5]):
        sheet.append(row)
    book.save(settings.ASSAY_LOCAL_SOURCE_ROOTS[0] / "sales.xlsx")

    _choose(page, "Folder on the server")
    page.locator("#id_path").fill("sales.xlsx")
    page.locator("#id_path").press("Tab")
    expect(page.locator("#id_format")).to_have_value("excel")
    page.locator("#id_sheet").fill("Sales")
    page.locator("#id_header_row").fill("2")
    page.locator("#id_header_row").press("Tab")
    expect(page.locator("#preview")).to_contain_text("3.5")
    page.locator("#id_name").fill("sales")
    _save_and_run(page)
    assert Dataset.objects.get(name="bronze.shop.sales").rows == 2


def test_changing_the_source_loses_nothing_that_was_typed(page, shop):
    _choose(page, "HTTP API")
    page.locator("#id_api_url").fill("https://api.example.com/orders")
    page.locator(".as-choice", has_text="Folder on the server").click()
    expect(page.locator("#id_api_url")).to_be_hidden()
    page.locator("#id_path").fill("orders.csv")
    page.locator(".as-choice", has_text="HTTP API").click()
    expect(page.locator("#id_api_url")).to_have_value("https://api.example.com/orders")
    page.locator(".as-choice", has_text="Folder on the server").click()
    expect(page.locator("#id_path")).to_have_value("orders.csv")


def test_the_tiles_can_be_chosen_by_the_keyboard(page, shop):
    page.goto(NEW)
    page.locator("[name=source_type]").first.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#id_db_connection")).to_be_visible()


@pytest.mark.parametrize("source", ["Uploaded file", "S3", "Database", "HTTP API"])
def test_the_form_fits_a_narrow_screen(visit, shop, source):
    page = visit(viewport={"width": 390, "height": 844})
    _choose(page, source)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
