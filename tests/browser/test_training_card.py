"""The dataset card on the page of a training set, as somebody sees it."""

import pytest
from playwright.sync_api import expect

from datasets.models import DatasetJob
from tests.training_jobs import CONFIG, GOLD, JOB, make_shop, run_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def churn(api):
    make_shop()
    config = CONFIG | {"label": {**CONFIG["label"], "window": "10 days", "name": "churned"}}
    assert api.post(GOLD, JOB | {"config": config}).status_code == 201
    job = DatasetJob.objects.get(name="churn")
    run_of(job)
    return job


def test_the_card_of_a_training_set_fits_every_screen(churn, visit):
    for width, theme in ((1440, "light"), (390, "dark")):
        page = visit(viewport={"width": width, "height": 900}, color_scheme=theme)
        page.goto("/workflows/shop/gold-jobs/churn/")
        card = page.locator("#card")
        expect(card).to_contain_text("leak test passed")
        expect(card.locator(".as-balance")).to_have_count(4)
        expect(card.locator("tbody tr")).to_have_count(2)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
