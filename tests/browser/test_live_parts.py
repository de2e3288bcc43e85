"""What a person does in a part of a page that is drawn anew every second or two outlives it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from assay.common.runs import RunStatus
from datasets.models import DatasetRun
from ingest.models import IngestJob
from ops.models import Step
from tests.factories import make_dataset_job, make_ingest_job, make_run, make_step, make_workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop():
    workflow = make_workflow()
    make_ingest_job(workflow)
    return workflow


@pytest.fixture
def orders_fact(shop):
    """A job with three runs, of which the last one goes on."""
    job = make_dataset_job(shop)
    for status in (RunStatus.SUCCESS, RunStatus.SUCCESS, RunStatus.RUNNING):
        DatasetRun.objects.create(job=job, status=status)
    return job


def test_the_focus_stays_on_a_link_while_runs_are_added_above_it(shop, page):
    first = make_run(shop, status="running")
    page.goto("/runs/")
    link = page.get_by_role("link", name=f"#{first.pk}", exact=True)
    link.focus()
    second = make_run(shop, status="running")
    expect(page.get_by_role("link", name=f"#{second.pk}", exact=True)).to_be_visible()
    expect(link).to_be_focused()


def test_a_press_that_began_before_an_answer_came_still_counts(shop, page):
    run = make_run(shop, status="running")
    step = make_step(run, IngestJob.objects.get(), status="running")
    page.goto(f"/runs/{run.pk}/")
    page.get_by_label("Details of orders").hover()
    page.mouse.down()
    Step.objects.filter(pk=step.pk).update(rows_read=777)
    expect(page.locator(f"#step-{step.pk}")).to_contain_text("777")
    page.mouse.up()
    expect(page.locator("#run-live")).to_contain_text("Nothing was logged yet")
    expect(page).to_have_url(re.compile(rf"\?step={step.pk}$"))


def test_runs_that_were_ticked_stay_ticked_while_others_are_added_and_when_the_last_one_ends(orders_fact, page):
    page.goto("/workflows/shop/silver-jobs/orders_fact/")
    runs = page.locator("#job-runs")
    for number in (1, 2):
        runs.get_by_role("checkbox").nth(number).check()
    DatasetRun.objects.create(job=orders_fact, status=RunStatus.RUNNING)
    expect(runs.get_by_role("checkbox")).to_have_count(4)
    expect(runs.locator("input:checked")).to_have_count(2)
    DatasetRun.objects.update(status=RunStatus.SUCCESS)
    expect(runs).not_to_have_attribute("hx-get", re.compile("."))
    expect(runs.locator("input:checked")).to_have_count(2)
    expect(runs.get_by_role("checkbox").nth(0)).not_to_be_checked()
