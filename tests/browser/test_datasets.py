"""Silver datasets are made by their forms, by keyboard alone: what is typed is checked and becomes SQL beside it."""

import pytest
from playwright.sync_api import expect

from catalog.models import Dataset
from datasets.models import DatasetJob
from tests.factories import make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)

EDITOR = ".as-ace > .ace_text-input"
NEW = "/workflows/shop/silver-jobs/new/"
CRM = {"customer_no": "int64", "mail": "string", "town": "string", "changed_at": "timestamptz"}
WEB = {"id": "int64", "email": "string", "city": "string", "seen_at": "timestamptz"}


@pytest.fixture
def shop():
    workflow = make_workflow()
    for name, columns in (("crm", CRM), ("web", WEB)):
        make_ingest_job(workflow, name)
        known = [{"name": column, "type": kind, "nullable": True} for column, kind in columns.items()]
        Dataset.objects.filter(name=f"bronze.shop.{name}").update(columns=known)
    return workflow


def _type(page, where, *keys):
    """Focus a field and go on by keyboard: texts are typed, the names of keys pressed."""
    page.locator(where).focus()
    for key in keys:
        if key in ("Tab", "Enter", "Space", "ArrowRight", "Control+a", "Backspace"):
            page.keyboard.press(key)
        else:
            page.keyboard.type(key)


def _choose_template(page, value):
    _type(page, f"[name=transform_type][value={value}]", "Space")


def _save(page, name):
    expect(page.locator("#check")).to_contain_text("This can be saved.")
    page.get_by_role("button", name="Save").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/silver-jobs/{name}/")


def test_a_history_is_made_by_keyboard_and_faults_stand_at_their_fields(page, shop):
    page.goto(NEW)
    _choose_template(page, "scd2_dimension")
    expect(page.locator("#id_dataset_type")).to_have_value("dim")
    _type(page, "#id_inputs-0-dataset", "bronze.shop.crm")
    expect(page.locator("#id_inputs-0-alias")).to_have_value("crm")
    _type(page, "#id_scd2_dimension-business_key_columns", "customer_no", "Enter", "Tab", "town,mail,")
    expect(page.locator(".as-chip:visible")).to_have_text(["customer_no×", "town×", "mail×"])

    time = page.locator("#id_scd2_dimension-effective_time_column")
    place = "[data-place='scd2_dimension.effective_time_column']"
    _type(page, "#id_scd2_dimension-effective_time_column", "when")
    expect(page.locator("[data-place='scd2_dimension.effective_time_column'] .fault")).to_contain_text(
        "no column “when”"
    )
    expect(time).to_have_attribute("aria-invalid", "true")
    _type(page, "#id_scd2_dimension-effective_time_column", "Control+a", "changed_at")
    expect(page.locator(f"{place} .fault")).to_have_count(0)
    expect(page.locator("#check")).to_contain_text("Still needed: Name.")
    expect(page.locator("#said[aria-live=polite]")).to_have_text("Still needed: Name.")
    expect(page.locator("#check")).to_contain_text("the history of crm by customer_no, from changed_at on")
    expect(page.locator("#panel-made")).to_contain_text("effective_from")
    expect(page.locator("#columns-editor [name=column_name]").last).to_have_value("is_current")

    _type(page, "#id_name", "customer_history")
    _save(page, "customer_history")
    job = DatasetJob.objects.get()
    assert job.config == {
        "business_key_columns": ["customer_no"],
        "change_detection_columns": ["town", "mail"],
        "effective_time_column": "changed_at",
    }
    assert job.inputs == [{"dataset": "bronze.shop.crm", "alias": "crm"}]
    expect(page.get_by_role("main")).to_contain_text("the history of crm by customer_no")


def test_two_systems_are_conformed_by_keyboard(page, shop):
    page.goto(NEW)
    _choose_template(page, "conform_sources")
    _type(page, "#id_inputs-0-dataset", "bronze.shop.crm")
    _type(page, "[data-inputs] [data-add-item]", "Enter", "bronze.shop.web")
    expect(page.locator("#id_inputs-1-alias")).to_have_value("web")
    _type(page, "#id_conform_sources-key_columns", "email", "Enter")

    source = "#id_conform_sources-sources-0"
    _type(page, f"{source}-source_system", "crm")
    _type(page, f"{source}-mappings-0-key", "email", "Tab", "lower(mail)")
    more = "[data-place='conform_sources.sources.{}.mappings'] [data-add-item]"
    _type(page, more.format(0), "Enter", "city", "Tab", "upper(town")
    _type(page, "[data-place='conform_sources.sources'] > div > [data-add-item]", "Enter")
    source = "#id_conform_sources-sources-1"
    expect(page.locator(f"{source}-alias")).to_have_value("web")
    _type(page, f"{source}-source_system", "web")
    _type(page, f"{source}-mappings-0-key", "email", "Tab", "lower(email)")
    _type(page, more.format(1), "Enter", "city", "Tab", "city")

    expect(page.locator("[data-place='conform_sources.sources.0.mappings.1.value'] .fault")).not_to_have_count(0)
    _type(page, "[name='conform_sources.sources.0.mappings.1.value']", "Control+a", "upper(town)")
    expect(page.locator("#panel-made")).to_contain_text("UPPER(town)")
    _type(page, "#tab-made", "ArrowRight", "ArrowRight")
    expect(page.get_by_role("tab", name="DuckDB")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#panel-duckdb")).to_be_visible()
    _type(page, "#id_name", "customers")
    _save(page, "customers")
    assert DatasetJob.objects.get().config == {
        "key_columns": ["email"],
        "sources": [
            {"alias": "crm", "source_system": "crm", "mappings": {"email": "lower(mail)", "city": "upper(town)"}},
            {"alias": "web", "source_system": "web", "mappings": {"email": "lower(email)", "city": "city"}},
        ],
    }


def test_a_query_that_merges_is_made_by_keyboard(page, shop):
    page.goto(NEW)
    _type(page, "#id_inputs-0-dataset", "bronze.shop.crm")
    _type(page, EDITOR, "select customer_no, lower(mial) as email from crm")
    expect(page.locator("#check")).to_contain_text("mial")
    expect(page.locator(".ace_gutter-cell.ace_error")).to_have_count(1)
    page.locator(EDITOR).focus()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("select customer_no, lower(mail) as email from crm")
    expect(page.locator("#panel-polars")).to_contain_text("mail")
    expect(page.locator("#check")).to_contain_text("replaces the whole table")

    page.locator("#id_refresh_mode").select_option("merge")
    expect(page.locator("#check")).to_contain_text("Still needed: Merge by, Name.")
    _type(page, "#id_merge_keys", "customer_no", "Enter")
    expect(page.locator("#check")).to_contain_text("adds rows whose customer_no is new")
    _type(page, "#id_name", "emails")
    _save(page, "emails")
    job = DatasetJob.objects.get()
    assert (job.refresh_mode, job.merge_keys) == ("merge", ["customer_no"])
    assert [(column["name"], column["type"]) for column in job.target_schema] == [
        ("customer_no", "int64"),
        ("email", "string"),
    ]
