"""`…/search/?q=` over HTTP, and the search box: who may see what, and what is refused with which words."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from assay.common import policy
from catalog import services as catalog
from catalog.models import Dataset
from catalog.search import services as search
from tests.vector_jobs import ARTICLES, GOLD, JOB, make_help_centre, make_index, publish_articles, run_job

pytestmark = pytest.mark.django_db
URL = "/api/catalog/datasets/gold.help.search/search/"
PAGE = "/datasets/gold.help.search/search/"


@pytest.fixture
def index(api):
    search.indexes.cache_clear()
    make_help_centre()
    return make_index(api)


@pytest.fixture
def browser(client, engineer):
    client.force_login(engineer)
    return client


def found(answer) -> list[int]:
    assert answer.status_code == 200, answer.json()
    return [result["document_id"] for result in answer.json()["results"]]


def refusal(answer, status=400) -> tuple[str, str]:
    assert answer.status_code == status, answer.json()
    error = answer.json()["errors"][0]
    return error["code"], error["attr"]


def test_a_search_answers_as_the_contract_says(index, api):
    body = api.get(URL, {"q": "parcel number", "k": 2}).json()
    assert set(body) == {"results", "model", "version", "took_ms"}
    assert (len(body["results"]), body["model"], body["version"]) == (2, "embedded:hash", 0)
    first = body["results"][0]
    assert set(first) == {"document_id", "chunk_id", "text", "score", "metadata"}
    assert (first["document_id"], first["chunk_id"]) == (2, "2#0")
    assert first["metadata"] == {"lang": "en", "stars": 3}
    assert first["score"] > body["results"][1]["score"]


def test_filters_are_equal_one_of_or_a_range(index, api):
    assert found(api.get(URL, {"q": "goods", "filter.lang": "de"})) == [3]
    assert set(found(api.get(f"{URL}?q=goods&filter.stars=5&filter.stars=4"))) == {1, 3}
    assert set(found(api.get(URL, {"q": "goods", "filter.stars": "3..4"}))) == {2, 3}
    assert found(api.get(URL, {"q": "goods", "filter.stars": "..1", "filter.lang": "en"})) == [4]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ("required", "q")),
        ({"q": ""}, ("blank", "q")),
        ({"q": "  "}, ("blank", "q")),
        ({"q": "x" * 1001}, ("max_length", "q")),
        ({"q": "x", "k": "0"}, ("min_value", "k")),
        ({"q": "x", "k": "101"}, ("max_value", "k")),
        ({"q": "x", "colour": "red"}, ("unknown_field", "colour")),
        ({"q": "x", "filter.colour": "red"}, ("bad_filter", "filter.colour")),
        ({"q": "x", "filter.stars": "many"}, ("bad_filter", "filter.stars")),
    ],
)
def test_what_means_nothing_is_refused_at_its_parameter(index, api, asked, expected):
    assert refusal(api.get(URL, asked)) == expected


def test_a_dataset_without_vectors_is_refused(index, api):
    answer = api.get("/api/catalog/datasets/silver.help.articles/search/", {"q": "goods"})
    assert refusal(answer) == ("no_vector_index", None)


def test_an_index_that_was_never_made_says_what_to_do(api):
    make_help_centre()
    api.post(GOLD, JOB)
    assert refusal(api.get(URL, {"q": "goods"}), 409) == ("table_missing", None)


def test_an_index_of_a_model_that_is_not_here_is_refused(index, api, monkeypatch):
    from workers.embeddings import _embedded as cached
    from workers.embeddings import hashed, load

    monkeypatch.setattr(hashed, "VERSION", "other")
    cached.cache_clear()
    try:
        code, _ = refusal(api.get(URL, {"q": "goods"}), 409)
    finally:
        cached.cache_clear()
    assert code == "embedding_model_changed"
    monkeypatch.undo()
    assert load("embedded:hash").key == "embedded:hash@" + load("embedded:hash").fingerprint[:16]


def test_strangers_and_the_invisible_get_nothing(index, api, monkeypatch):
    assert APIClient().get(URL, {"q": "goods"}).status_code in (401, 403)
    hidden = policy.VisibleQuerySet.visible_to
    monkeypatch.setattr(
        policy.VisibleQuerySet, "visible_to", lambda self, user: hidden(self, user).exclude(name="gold.help.search")
        if self.model is Dataset else hidden(self, user),
    )  # fmt: skip
    assert api.get(URL, {"q": "goods"}).status_code == 404


def test_rows_are_shown_as_the_policy_says(index, api, monkeypatch):
    def english_only(user, dataset, rows):
        return (row | {"stars": "***"} for row in rows if row["lang"] == "en")

    monkeypatch.setattr(search, "visible_rows", english_only)
    body = api.get(URL, {"q": "Rechnungen bezahlt", "k": 3}).json()
    assert {result["document_id"] for result in body["results"]} == {1, 2, 4}
    assert {result["metadata"]["stars"] for result in body["results"]} == {"***"}
    assert found(api.get(URL, {"q": "goods", "filter.stars": "5"})) == []


def test_a_search_takes_few_queries(index, api):
    with CaptureQueriesContext(
        connection,
    ) as queries:
        api.get(URL, {"q": "goods"})
    assert len(queries) == 1


def test_a_new_version_is_searched_at_once(index, api):
    assert found(api.get(URL, {"q": "warehouse", "k": 1})) != [6]
    publish_articles([*ARTICLES, {"id": 6, "title": "", "body": "The warehouse is open.", "lang": "en", "stars": 2}])
    run_job(index)
    assert found(api.get(URL, {"q": "warehouse", "k": 1})) == [6]


def test_an_empty_index_finds_nothing(api):
    search.indexes.cache_clear()
    make_help_centre()
    publish_articles([ARTICLES[4] | {"body": None, "stars": 1, "title": ""}, ARTICLES[0] | {"body": " "}])
    make_index(api)
    body = api.get(URL, {"q": "goods"}).json()
    assert (body["results"], body["model"]) == ([], "")


# --- the box -----------------------------------------------------------------------


def test_the_box_tells_how_much_is_covered(index, browser):
    told = " ".join(browser.get(PAGE).content.decode().split())
    assert "4 documents, 4 chunks" in told
    assert "built from version 0 of" in told
    assert "up to date" in told


def test_the_box_tells_how_far_the_index_is_behind(index, browser):
    publish_articles()
    told = browser.get(PAGE).content.decode()
    assert "1 version behind" in told
    assert "up to date" not in told


def test_a_rolled_back_index_tells_of_the_version_it_has(index, engineer):
    publish_articles()
    run_job(index)
    dataset = Dataset.objects.get(name="gold.help.search")
    assert search.coverage(dataset, engineer).is_up_to_date
    catalog.rollback(dataset, 0)
    dataset.refresh_from_db()
    assert search.coverage(dataset, engineer).sources[0].behind == 1


def test_an_input_that_may_not_be_seen_is_not_named(index, engineer, monkeypatch):
    hidden = policy.VisibleQuerySet.visible_to
    monkeypatch.setattr(
        policy.VisibleQuerySet, "visible_to", lambda self, user: hidden(self, user).exclude(name="silver.help.articles")
        if self.model is Dataset else hidden(self, user),
    )  # fmt: skip
    covered = search.coverage(Dataset.objects.get(name="gold.help.search"), engineer)
    assert (covered.sources, covered.hidden_sources) == ((), 1)


def test_results_are_marked_and_nothing_of_a_text_becomes_markup(index, browser):
    told = browser.get(PAGE, {"q": "goods <b>"}).content.decode()
    assert "<mark>Goods</mark> can be sent back" in told
    assert "&lt;script&gt;alert(&#x27;<mark>goods</mark>&#x27;)" in told
    assert "<script>alert" not in told
    assert "<b>bold" not in told


def test_empty_filter_fields_ask_for_nothing(index, browser):
    told = browser.get(PAGE, {"q": "goods", "filter.lang": "", "filter.stars": "5"}).content.decode()
    assert "chunk 1#0" in told
    assert "chunk 2#0" not in told


def test_faults_are_told_in_the_box(index, browser):
    assert "no column “colour”" in browser.get(PAGE, {"q": "goods", "filter.colour": "x"}).content.decode()
    assert "at most 1,000 characters" in browser.get(PAGE, {"q": "x" * 1001}).content.decode()
    assert "fits these filters" in browser.get(PAGE, {"q": "goods", "filter.lang": "xx"}).content.decode()


def test_the_box_stands_on_the_pages_of_the_dataset_and_of_its_job(index, browser):
    page = browser.get("/datasets/gold.help.search/").content.decode()
    assert 'name="filter.lang"' in page
    assert f'hx-get="{PAGE}"' in page
    assert f'hx-get="{PAGE}box/"' in browser.get("/workflows/help/gold-jobs/search/").content.decode()
    assert 'role="search"' in browser.get(f"{PAGE}box/").content.decode()
    assert 'id="search"' not in browser.get("/datasets/silver.help.articles/").content.decode()


def test_other_datasets_have_no_box(index, browser, client):
    assert browser.get("/datasets/silver.help.articles/search/").status_code == 404
    assert browser.get("/datasets/gold.help.nothing/search/").status_code == 404
    client.logout()
    assert client.get(PAGE).status_code == 302
