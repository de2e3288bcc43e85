"""A file that is in the table is not loaded again: told by its content, whatever became of the database."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from assay.common.runs import RunStatus
from catalog import services as catalog
from catalog.models import Dataset
from ingest import loaded_files, watermarks
from ingest.models import IngestJob, IngestRun, LoadedFile
from ops import kinds
from tests.factories import make_ingest_job
from workers.progress import silent
from workers.results import StepResult

pytestmark = pytest.mark.django_db


@pytest.fixture
def job(shop) -> IngestJob:
    return make_ingest_job(shop, write_mode="append", config={"file": {"path": "/inbox/**/*.csv"}})


@pytest.fixture
def put(inbox):
    def put(name: str, content: str) -> None:
        path = inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)

    return put


def carry_out(job: IngestJob, *, is_recorded: bool = True, **fields) -> StepResult:
    """One run, as a worker does it; not recorded is what a worker leaves that dies behind the commit."""
    job.refresh_from_db()
    kind = kinds.get("ingest")
    run = IngestRun.objects.queue(job_id=job.pk, last_published=catalog.last_run_id(job.bronze_name))
    for name, value in fields.items():
        setattr(run, name, value)
    run.spec = kind.to_spec(run)
    run.save(update_fields=["spec", *fields])
    result = kind.execute(run.spec, silent)
    if is_recorded:
        kind.record(run, result)
    IngestRun.objects.filter(pk=run.pk).update(status=RunStatus.SUCCESS)
    return result


def ids(job: IngestJob) -> list[int]:
    return sorted(pl.read_delta(catalog.lake_uri(job.bronze_name))["id"].to_list())


def read(result: StepResult) -> list[str]:
    return [file.name for file in result.files if not file.loaded_by]


def test_only_new_files_are_loaded_and_the_others_are_named_with_their_run(job, put):
    put("a.csv", "id\n1\n")
    first = carry_out(job)
    put("b.csv", "id\n2\n")
    second = carry_out(job)
    assert ids(job) == [1, 2]
    assert (read(first), read(second)) == (["a.csv"], ["b.csv"])
    run = IngestRun.objects.order_by("pk").first()
    assert [(file.name, file.loaded_by) for file in second.files] == [("a.csv", str(run.pk)), ("b.csv", "")]


def test_the_same_content_under_another_name_is_loaded_once_also_within_a_run(job, put):
    put("a.csv", "id\n1\n")
    put("copy.csv", "id\n1\n")
    assert read(carry_out(job)) == ["a.csv"]
    put("sub/again.csv", "id\n1\n")
    assert read(carry_out(job)) == []
    assert ids(job) == [1]


def test_a_file_that_was_changed_is_loaded(job, put):
    put("a.csv", "id\n1\n")
    carry_out(job)
    put("a.csv", "id\n2\n")
    assert read(carry_out(job)) == ["a.csv"]
    assert ids(job) == [1, 2]


def test_a_run_with_nothing_new_succeeds_and_leaves_the_table_at_its_version(job, put):
    put("a.csv", "id\n1\n")
    first = carry_out(job)
    second = carry_out(job)
    assert (second.rows_read, second.rows_written, second.published.rows) == (0, 0, 0)
    assert second.published.version == first.published.version
    assert second.columns == first.columns
    assert LoadedFile.objects.count() == 1  # what is skipped over and over needs no row each time


def test_the_switch_and_an_overwrite_load_everything(job, put):
    put("a.csv", "id\n1\n")
    carry_out(job)
    IngestJob.objects.update(skip_loaded_files=False)
    carry_out(job)
    assert ids(job) == [1, 1]
    IngestJob.objects.update(skip_loaded_files=True, write_mode="overwrite")
    carry_out(job)
    assert ids(job) == [1]
    carry_out(job)
    assert ids(job) == [1]


def test_an_overwrite_forgets_the_files_before_it(job, put, inbox):
    put("a.csv", "id\n1\n")
    carry_out(job)
    (inbox / "a.csv").unlink()
    put("b.csv", "id\n2\n")
    IngestJob.objects.update(write_mode="overwrite")
    carry_out(job)
    IngestJob.objects.update(write_mode="append")
    put("a.csv", "id\n1\n")
    assert read(carry_out(job)) == ["a.csv"]
    assert ids(job) == [1, 2]


def test_a_run_whose_worker_died_behind_the_commit_has_loaded_its_files(job, put):
    put("a.csv", "id\n1\n")
    carry_out(job, is_recorded=False)
    assert not LoadedFile.objects.exists()
    put("b.csv", "id\n2\n")
    assert read(carry_out(job)) == ["b.csv"]
    assert ids(job) == [1, 2]
    assert set(LoadedFile.objects.values_list("name", "is_current")) == {("a.csv", True), ("b.csv", True)}


def test_a_database_that_lost_everything_gets_its_files_back_from_the_table(job, put):
    put("a.csv", "id\n1\n")
    carry_out(job)
    put("b.csv", "id\n2\n")
    carry_out(job)
    before = set(LoadedFile.objects.values_list("run", "name", "sha256", "mark", "is_current"))
    IngestRun.objects.all().delete()
    assert not LoadedFile.objects.exists()
    loaded_files.rebuild(job)
    after = set(LoadedFile.objects.filter(loaded_by=None).values_list("run", "name", "sha256", "mark", "is_current"))
    assert after == {row for row in before if row[1] in ("a.csv", "b.csv")}
    assert read(carry_out(job)) == []
    assert ids(job) == [1, 2]


def test_a_rollback_makes_its_files_loadable_again_and_back(job, put):
    for number in (1, 2, 3):
        put(f"{number}.csv", f"id\n{number}\n")
        carry_out(job)
    catalog.rollback(Dataset.objects.get(name=job.bronze_name), 0)
    loaded_files.catch_up(job)
    assert set(LoadedFile.objects.filter(is_current=True, loaded_by=None).values_list("name", flat=True)) == {"1.csv"}
    catalog.rollback(Dataset.objects.get(name=job.bronze_name), 1)  # nobody told the mirror
    assert read(carry_out(job)) == ["3.csv"]
    assert ids(job) == [1, 2, 3]


def test_a_rollback_also_takes_the_files_of_a_run_that_was_taken_for_failed(job, put):
    put("a.csv", "id\n1\n")
    carry_out(job)
    put("b.csv", "id\n2\n")
    carry_out(job, is_recorded=False)
    IngestRun.objects.filter(pk=IngestRun.objects.latest("pk").pk).update(status=RunStatus.FAILED)
    assert read(carry_out(job)) == []
    catalog.rollback(Dataset.objects.get(name=job.bronze_name), 0)
    assert read(carry_out(job)) == ["b.csv"]
    assert ids(job) == [1, 2]


def test_a_table_that_is_gone_has_loaded_nothing(job, put):
    import shutil

    put("a.csv", "id\n1\n")
    carry_out(job)
    shutil.rmtree(Path(catalog.lake_uri(job.bronze_name)))
    assert read(carry_out(job)) == ["a.csv"]
    assert ids(job) == [1]


def test_an_incremental_job_does_not_even_copy_what_it_knows(job, put, settings):
    IngestJob.objects.update(incremental_mode="incremental", watermark_column="id")
    put("day=1/a.csv", "id\n1\n")
    put("day=2/a.csv", "id\n2\n")
    assert carry_out(job).facts.get("known_files") is None
    put("day=3/a.csv", "id\n3\n")
    result = carry_out(job)
    assert (read(result), result.facts["known_files"]) == (["day=3/a.csv"], 2)
    assert [file.name for file in result.files] == ["day=3/a.csv"]
    nothing = carry_out(job)
    assert (nothing.rows_read, nothing.facts["known_files"], nothing.watermark) == (0, 3, 3)
    assert ids(job) == [1, 2, 3]


def test_a_rewind_has_all_files_read_again_and_doubles_no_row(job, put):
    IngestJob.objects.update(incremental_mode="incremental", watermark_column="id")
    put("a.csv", "id,n\n1,1\n,0\n")
    put("b.csv", "id,n\n2,2\n")
    carry_out(job)
    job.refresh_from_db()
    watermarks.rewind(job, 1)
    assert read(carry_out(job)) == ["a.csv", "b.csv"]
    assert sorted(pl.read_delta(catalog.lake_uri(job.bronze_name))["n"].to_list()) == [0, 1, 2]
    assert carry_out(job).facts["known_files"] == 2


def test_files_of_one_name_in_several_folders_are_told_apart(job, put):
    put("2026/a.csv", "id\n1\n")
    put("2027/a.csv", "id\n2\n")
    carry_out(job)
    rows = pl.read_delta(catalog.lake_uri(job.bronze_name)).sort("id")["_source_file"].to_list()
    assert rows == ["2026/a.csv", "2027/a.csv"]


def test_the_api_and_the_page_tell_the_files_of_a_job(job, put, api, client, engineer):
    put("a.csv", "id\n1\n")
    carry_out(job)
    put("copy.csv", "id\n1\n")
    carry_out(job)
    address = f"/api/workflows/shop/ingest-jobs/{job.name}/files/"
    told = api.get(address).json()
    run = str(IngestRun.objects.order_by("pk").first().pk)
    assert [(file["name"], file["loaded_by"], file["is_current"]) for file in told["results"]] == [
        ("copy.csv", run, True),
        ("a.csv", None, True),
    ]
    assert (told["count"], told["results"][1]["run"], told["results"][1]["size"]) == (2, run, 5)
    client.force_login(engineer)
    page = client.get(f"/workflows/shop/ingest-jobs/{job.name}/files/").content.decode()
    assert page.index("copy.csv") < page.index("skipped") < page.index("a.csv</td>")


def test_files_are_shown_in_few_queries_however_many_they_are(
    job, api, client, engineer, django_assert_max_num_queries
):
    run = IngestRun.objects.create(job=job)
    rows = [LoadedFile(job=job, run=run, name=f"{n}.csv", size=n, sha256=f"{n:064}") for n in range(60)]
    LoadedFile.objects.bulk_create(rows)
    client.force_login(engineer)
    with django_assert_max_num_queries(12):
        page = client.get(f"/workflows/shop/ingest-jobs/{job.name}/files/?page=2").content.decode()
    assert "26–50 of 60" in page
    with django_assert_max_num_queries(6):
        assert api.get(f"/api/workflows/shop/ingest-jobs/{job.name}/files/").json()["count"] == 60


def test_a_file_of_which_only_some_days_were_taken_is_still_to_be_loaded(job, put):
    IngestJob.objects.update(incremental_mode="incremental", watermark_column="day")
    put("a.csv", "id,day\n1,2026-11-01\n")
    carry_out(job)
    put("b.csv", "id,day\n2,2026-11-02\n3,2026-11-03\n")
    carry_out(job, window={"start_date": "2026-11-02", "end_date": "2026-11-02"})
    assert ids(job) == [1, 2]
    assert read(carry_out(job)) == ["b.csv"]
    assert ids(job) == [1, 2, 3]
