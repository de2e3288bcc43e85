"""A dimension's page in a browser: the timeline of a key, and what a restatement would change."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from datasets.models import DatasetJob
from tests.datasets.test_scd2_jobs import CORRECTED, JOB, SILVER, customers, put, run_of  # noqa: F401  (fixture)

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_key_is_looked_up_and_a_restatement_looked_at_before_it_is_made(visit, customers, api):  # noqa: F811
    assert api.post(SILVER, JOB, format="json").status_code == 201
    job = DatasetJob.objects.get(name="customers")
    run_of(job)
    put(CORRECTED, "overwrite")
    page = visit()
    page.goto("/workflows/shop/silver-jobs/customers/")
    page.get_by_label("id", exact=True).fill("1")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".as-timeline rect.version")).to_have_count(3)
    expect(page.locator("#timeline-version-2 ins")).to_have_text("Oslo")
    page.locator(".as-timeline a").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#timeline-version-1")).to_be_in_viewport()

    page.get_by_role("button", name="Restate …").click()
    page.get_by_label("Keys").fill("1")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#restate-preview ins")).to_have_text("Lima")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
