"""From a CSV file on somebody's disk to the table's sample, by clicking."""

import pytest
from playwright.sync_api import expect

from ops.local import run_in_process
from ops.models import PipelineRun

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS = "order_id,country,amount,ordered_on\n" + "".join(
    f"{number},{'DE' if number % 2 else 'FR'},{number}.50,2026-11-{number % 28 + 1:02d}\n" for number in range(1, 101)
)


def test_a_person_loads_a_csv_file_and_looks_at_the_table(page, tmp_path):
    file = tmp_path / "Orders 2026.csv"
    file.write_text(ORDERS + "101,DE,n/a,2026-11-01\n")
    page.get_by_role("main").get_by_role("link", name="New workflow").click()
    page.get_by_label("Name").fill("Web shop")
    expect(page.get_by_label("Address")).to_have_value("web_shop")
    page.get_by_role("button", name="Save").click()

    page.get_by_role("link", name="Add a source").click()
    page.get_by_label("File to upload").set_input_files(file)
    expect(page.locator("#upload-state")).to_contain_text("Orders 2026.csv")
    expect(page.locator("#preview")).to_contain_text("order_id")
    expect(page.locator("#preview")).to_contain_text("1.5")
    expect(page.locator("#id_name")).to_have_value("orders_2026")
    types = page.locator("#columns-editor").get_by_label("Type of the column")
    expect(types.first).to_have_value("int64")

    # Declared as numbers, the last row's amount does not fit, and is set aside.
    types.nth(2).fill("decimal(10,2)")
    types.nth(2).press("Tab")
    expect(page.locator("[name=schema_mode]")).to_have_value("user")
    expect(page.locator("#preview")).to_contain_text("n/a")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", name="orders_2026")).to_be_visible()
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#run-live")).to_have_attribute("data-status", "running")
    run_in_process(PipelineRun.objects.get())
    expect(page.locator("#run-live")).to_have_attribute("data-status", "success")
    expect(page.locator("#run-live")).to_contain_text("101 rows in · 100 out · 1 quarantined")
    page.get_by_label("Details of orders_2026").click()
    expect(page.locator("#run-live")).to_contain_text("version 0")

    page.get_by_role("link", name="orders_2026").first.click()
    expect(page.locator("#sample")).to_contain_text("50.50")
    expect(page.locator("#quarantine")).to_contain_text("n/a")


def test_a_refused_form_says_what_is_wrong_where_it_is_wrong(page):
    page.goto("/workflows/new/")
    page.get_by_label("Name").fill("Shop")
    page.get_by_label("Run on a schedule").check()
    page.get_by_label("When (cron)").fill("every day")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("This cannot be saved yet")
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.locator(".as-field.invalid")).to_contain_text("is no cron line")
