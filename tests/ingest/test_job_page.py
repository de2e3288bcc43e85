"""The page of an ingest job: what it says, which parts it loads, and that more rows cost no more queries."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ingest.words import in_words
from tests.factories import make_ingest_job, make_run, make_step, make_workflow

pytestmark = pytest.mark.django_db

PAGE = "/workflows/shop/ingest-jobs/orders/"


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


@pytest.fixture
def job():
    return make_ingest_job(make_workflow())


def _ran(job, **facts):
    step = make_step(make_run(job.workflow), job)
    return job.runs.create(step_id=step.pk, status="success", **facts)


def _parts(text):
    return re.findall(r'<div class="as-lazy" hx-get="([^"]+)"', text)


def test_every_part_of_the_page_answers_for_a_job_that_never_ran(page, job):
    parts = _parts(page.get(PAGE).content.decode())
    assert [part.removeprefix(PAGE) for part in parts] == [
        *("quarantine/", "files/", "schema-history/", "contract-changes/")
    ]
    for part in parts:
        answer = page.get(part, headers={"HX-Request": "true"})
        assert answer.status_code == 200, part
        assert "<html" not in answer.content.decode()


def test_a_job_that_loads_what_is_new_shows_how_far_it_is_and_how_late_rows_come(page, job):
    type(job).objects.update(incremental_mode="incremental", watermark_column="changed")
    parts = _parts(page.get(PAGE).content.decode())
    assert parts[:2] == [f"{PAGE}watermarks/", f"{PAGE}late-rows/"]
    assert [page.get(part).status_code for part in parts] == [200] * len(parts)


def test_a_source_without_files_shows_no_files(page, job):
    type(job).objects.update(source_type="api", config={"api": {"url": "https://api.example.com"}})
    assert f"{PAGE}files/" not in _parts(page.get(PAGE).content.decode())


def test_what_waits_for_a_decision_stands_on_top(page, job):
    job.contract_changes.create(column="amount", change="type", old="int64", new="string")
    assert _parts(page.get(PAGE).content.decode())[0] == f"{PAGE}contract-changes/"


def test_runs_tell_what_was_left_out_by_which_rule_and_what_was_deleted(page, job):
    _ran(job, rows_read=10, rows_written=10, skipped={"already_loaded": 1200, "unchanged": 34}, deleted_rows=5)
    text = page.get(PAGE).content.decode()
    assert 'title="already loaded: 1,200, unchanged: 34">1,234<' in text
    assert "−5 deleted" in text


def test_a_run_of_some_days_says_which(page, job):
    _ran(job, window={"start_date": "2026-11-01", "end_date": "2026-11-02"})
    assert "2026-11-01 to 2026-11-02" in page.get(PAGE).content.decode()


def test_the_live_part_is_the_table_of_runs(page, job):
    _ran(job)
    text = page.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert text.lstrip().startswith('<div id="job-runs"')
    assert "hx-trigger" not in text
    job.runs.create(status="running")
    assert 'hx-trigger="every 2s"' in page.get(PAGE, headers={"HX-Request": "true"}).content.decode()


def test_a_run_of_some_days_needs_both_days_and_a_watermark(page, job):
    run = f"{PAGE}run/"
    text = page.post(run, {"start_date": "2026-11-01", "end_date": "2026-11-02"}, follow=True).content.decode()
    assert "this one loads in full" in text
    type(job).objects.update(incremental_mode="incremental", watermark_column="day")
    assert "Give both days" in page.post(run, {"start_date": "2026-11-01"}, follow=True).content.decode()
    assert not job.workflow.pipeline_runs.exists()
    page.post(run, {"start_date": "2026-11-01", "end_date": "2026-11-02"})
    assert str(job.workflow.pipeline_runs.get().end_date) == "2026-11-02"


PARTS = ["", *("quarantine/", "files/", "schema-history/", "contract-changes/", "watermarks/", "late-rows/")]


@pytest.mark.parametrize("part", PARTS)
def test_the_number_of_queries_does_not_grow_with_what_is_shown(page, job, part):
    def fill():
        run = _ran(
            job,
            quarantined_rows=3,
            quarantine_path="quarantine/shop/orders/x.parquet",
            quality={"reasons": {"amount: type": 3}},
            schema_changes=[{"column": "a", "change": "added", "old": None, "new": "int64"}],
        )
        job.loaded_files.create(run=run, name="a.csv", size=1, sha256="0" * 64)
        job.contract_changes.create(run=run, column="b", change="type", old="int64", new="string")
        job.watermarks.create(run=run, value=1, cause="run")

    fill()
    page.get(PAGE + part)
    with CaptureQueriesContext(connection) as few:
        page.get(PAGE + part)
    for _ in range(6):
        fill()
    with CaptureQueriesContext(connection) as many:
        page.get(PAGE + part)
    assert len(many) == len(few)


def test_a_look_shows_what_the_source_has_and_writes_nothing(page, job, settings):
    (settings.ASSAY_LOCAL_SOURCE_ROOTS[0] / "orders-1.csv").write_text("id,amount\n1,2.50\n")
    text = page.post(f"{PAGE}look/").content.decode()
    assert "2.5" in text
    assert not job.runs.exists()
    assert page.get(f"{PAGE}look/").status_code == 405


def test_a_look_at_a_source_that_is_not_there_says_so(page, job):
    assert "No file matches" in page.post(f"{PAGE}look/").content.decode()


WORDS = [
    (
        {"source_type": "database", "config": {"db": {"connection": "erp", "table_name": "public.orders"}}},
        {"Source": "the table public.orders, by the connection erp"},
    ),
    (
        {
            "source_type": "api",
            "format": "json",
            "config": {
                "api": {
                    "url": "https://api.example.com/v1/orders?key=1",
                    "records_path": "data",
                    "auth": {"type": "bearer", "token": "env:T"},
                    "pagination": {"type": "cursor", "next_token_path": "next"},
                }
            },
        },
        {
            "Source": "GET https://api.example.com/v1/orders: pages by cursor, records at data, "
            "asked with a bearer token"
        },
    ),
    (
        {"source_type": "file_s3", "config": {"file": {"s3_uri": "s3://b/a.csv", "csv": {"decimal": ","}}}},
        {
            "Source": "objects that match s3://b/a.csv",
            "Format": "CSV: fields separated by comma, names in the first row, utf-8, decimal commas",
        },
    ),
    (
        {
            "incremental_mode": "incremental",
            "watermark_column": "changed",
            "watermark_lag": "2h",
            "write_mode": "merge",
            "key_columns": ["id"],
        },
        {
            "Each run": "loads only what is newer by changed, which is not set yet, "
            "looking 2h back for rows that came late",
            "The rows": "update the rows with the same id, and add those that are new",
        },
    ),
    (
        {"delete_detection": "soft", "key_columns": ["country", "id"]},
        {"Gone at the source": "a row whose country, id the source no longer has is marked with _deleted_at"},
    ),
    (
        {"write_mode": "append"},
        {"The rows": "are added to the table", "Loaded files": "are skipped, told by their content"},
    ),
]


@pytest.mark.parametrize(("fields", "words"), WORDS, ids=[", ".join(words) for _, words in WORDS])
def test_the_configuration_is_told_in_words(fields, words):
    told = dict(in_words(make_ingest_job(make_workflow(), **fields)))
    assert {heading: told[heading] for heading in words} == words
