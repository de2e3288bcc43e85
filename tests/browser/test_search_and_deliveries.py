"""The pages of an index and of a feed in a browser: searching, rebuilding, deliveries."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from datasets.models import DatasetJob
from ops.local import run_in_process
from ops.models import PipelineRun
from ops.services import start_job_run
from tests.vector_jobs import GOLD, JOB, make_help_centre

pytestmark = pytest.mark.django_db(transaction=True)
FEED = {
    "name": "feed",
    "dataset_type": "export_feed",
    "transform_type": "export_feed",
    "inputs": [{"dataset": "silver.help.articles", "alias": "articles"}],
    "config": {
        "format": "csv",
        "destination": "feeds/partner/help-centre",
        "file_name": "articles-{date}-{run_id}.csv",
        "max_rows_per_file": 1,
    },
}
SCREENS = [{}, {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}}]


def run(name: str) -> None:
    run_in_process(start_job_run("gold", DatasetJob.objects.get(name=name), send=False))


@pytest.fixture
def centre(api):
    make_help_centre()
    for job in (JOB, FEED):
        assert api.post(GOLD, job, format="json").status_code == 201


def fits(page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("screen", SCREENS, ids=["wide", "narrow"])
def test_an_index_is_searched_on_the_page_of_its_job(visit, centre, screen):
    run("search")
    page = visit(**screen)
    page.goto("/workflows/help/gold-jobs/search/")
    card = page.locator("#search")
    expect(card.locator("footer")).to_contain_text("4 documents")
    page.get_by_label("Question").fill("how can goods be sent back")
    page.keyboard.press("Enter")
    expect(card.locator(".as-hits li").first).to_contain_text("thirty days")
    expect(card.locator("mark").first).to_have_text("Goods")
    card.get_by_text("Only where …").click()
    stars = card.get_by_label("stars")
    expect(stars).to_have_attribute("placeholder", "10, or 10..20")
    stars.fill("many")
    stars.press("Enter")
    expect(card.get_by_role("alert").or_(card.locator("#search-results"))).to_contain_text("stars is int64")
    stars.fill("77..")
    stars.press("Enter")
    expect(card.locator("#search-results")).to_contain_text("Nothing that you may see fits these filters.")
    assert fits(page)


def test_an_index_without_a_run_says_what_to_do(page, centre):
    page.goto("/workflows/help/gold-jobs/search/")
    expect(page.locator("#search footer")).to_contain_text("run the job first")
    expect(page.get_by_role("button", name="Rebuild …")).to_have_count(0)


def test_an_index_is_rebuilt_only_by_who_confirms(page, centre):
    run("search")
    page.goto("/workflows/help/gold-jobs/search/")
    asked = []

    def answer(dialog):
        asked.append(dialog.message)
        dialog.accept() if len(asked) > 1 else dialog.dismiss()

    page.on("dialog", answer)
    page.get_by_role("button", name="Rebuild …").click()
    assert len(asked) == PipelineRun.objects.count() == 1
    page.get_by_role("button", name="Rebuild …").click()
    page.wait_for_url("**/runs/*/")
    assert "4 chunks" in asked[0]
    assert PipelineRun.objects.latest("pk").options == {"rebuild": True}


@pytest.mark.parametrize("screen", SCREENS, ids=["wide", "narrow"])
def test_the_files_of_deliveries_are_folded_up_and_given_away(visit, centre, screen):
    page = visit(**screen)
    page.goto("/workflows/help/gold-jobs/feed/")
    expect(page.locator("#deliveries")).to_contain_text("Nothing was delivered yet")
    run("feed")
    run("feed")
    page.reload()
    folded = page.locator("#deliveries details")
    expect(folded).to_have_count(2)
    folded.last.locator("summary").click()
    file = folded.last.get_by_role("link", name="-0005.csv")
    expect(file).to_be_visible()
    with page.expect_download() as taken:
        file.click()
    assert taken.value.suggested_filename.endswith("-0005.csv")
    assert fits(page)
