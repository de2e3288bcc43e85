"""Jobs of the transform type vector_index: what is refused when they are saved, what they declare, how they run."""

from __future__ import annotations

import pytest

from assay.common import policy
from catalog.models import Dataset
from datasets import services
from datasets.models import DatasetJob
from datasets.transforms import TRANSFORMS
from datasets.transforms.vector_index import MINILM_TOKENS
from ops.local import run_in_process
from ops.models import PipelineRun
from ops.services import start_job_run
from tests.vector_jobs import CONFIG, GOLD, JOB, make_help_centre, make_index, run_job
from workers.embeddings.minilm import MAX_TEXT_TOKENS
from workers.errors import InvalidSpec
from workers.ids import new_run_id

pytestmark = pytest.mark.django_db


@pytest.fixture
def centre():
    make_help_centre()


def refused(api, config=None, **changes) -> dict[str, str]:
    answer = api.post(GOLD, JOB | {"config": CONFIG | (config or {})} | changes)
    assert answer.status_code == 400, answer.json()
    return {error["attr"]: error["detail"] for error in answer.json()["errors"]}


def test_a_job_declares_the_columns_of_its_index(centre, api):
    body = api.post(GOLD, JOB).json()
    assert [(column["name"], column["type"]) for column in body["target_schema"]] == [
        ("chunk_id", "string"),
        ("document_id", "int64"),
        ("chunk_index", "int32"),
        ("text", "string"),
        ("content_hash", "string"),
        ("embedding", "list<float32>"),
        ("embedding_model", "string"),
        ("lang", "string"),
        ("stars", "int64"),
    ]
    assert Dataset.objects.get(name="gold.help.search").type == "vector_index"


@pytest.mark.parametrize(
    ("config", "attr", "words"),
    [
        ({"embedding_model": "embedded:minilm", "chunk_size": 300}, "chunk_size", "at most 254, not 300"),
        ({"chunk_overlap": 200}, "chunk_overlap", "Must be smaller than chunk_size"),
        ({"embedding_model": "gpt"}, "embedding_model", "no embedding model “gpt”"),
        ({"id_column": "nr"}, "id_column", "no column “nr”"),
        ({"text_column": "stars"}, "text_column", "stars is int64; texts are needed"),
        ({"metadata_columns": ["lang", "colour"]}, "metadata_columns.1", "no column “colour”"),
        ({"metadata_columns": ["lang", "lang"]}, "metadata_columns.1", "named twice"),
        ({"chunk_by": "pages"}, "chunk_by", ""),
    ],
)
def test_a_config_that_cannot_work_is_refused_at_its_field(centre, api, config, attr, words):
    told = refused(api, config)
    place = f"config.{attr}" if attr else "config"
    assert words in told[place]


def test_sizes_in_characters_may_be_larger_than_the_model_reads(centre, api):
    config = CONFIG | {"embedding_model": "embedded:minilm", "chunk_by": "characters", "chunk_size": 1000}
    assert api.post(GOLD, JOB | {"config": config}).status_code == 201


def test_the_number_that_is_told_is_the_models():
    assert MINILM_TOKENS == MAX_TEXT_TOKENS


def test_an_index_runs_on_polars_and_is_maintained(centre, api):
    assert "does not run on duckdb" in refused(api, engine="duckdb")["engine"]
    assert "cannot be refreshed by append" in refused(api, refresh_mode="append")["refresh_mode"]
    assert TRANSFORMS["vector_index"].refresh_modes == ("full_refresh", "merge")


def test_an_index_is_partitioned_by_metadata_only(centre, api):
    assert "metadata columns only" in str(refused(api, partition_by=["document_id"]))
    assert api.post(GOLD, JOB | {"partition_by": ["lang"]}).status_code == 201


def test_merge_and_full_refresh_leave_the_same_index(centre, api):
    job = make_index(api, refresh_mode="merge", merge_keys=["chunk_id"])
    assert run_job(job).facts["unchanged_documents"] == 4
    DatasetJob.objects.filter(pk=job.pk).update(refresh_mode="full_refresh", merge_keys=[])
    job.refresh_from_db()
    result = run_job(job)
    assert (result.facts["unchanged_documents"], result.facts["embedded_chunks"]) == (4, 0)


def test_a_run_can_be_told_to_rebuild(centre, api):
    job = make_index(api)
    spec = services.spec_of(job, str(new_run_id()))
    transform = TRANSFORMS["vector_index"]
    assert transform.with_options(spec, {"rebuild": True}).rebuild
    assert not transform.with_options(spec, {}).rebuild
    for wrong in ({"other": 1}, {"rebuild": "yes"}):
        with pytest.raises(InvalidSpec):
            transform.with_options(spec, wrong)


REBUILD = f"{GOLD}search/rebuild/"
PAGE = "/workflows/help/gold-jobs/search/"


def searched_version(api) -> int:
    return api.get("/api/catalog/datasets/gold.help.search/search/?q=goods").json()["version"]


def started() -> list[dict]:
    """The options of the runs that were started, the newest first."""
    return list(PipelineRun.objects.order_by("-pk").values_list("options", flat=True))


def test_an_index_is_rebuilt_over_the_api(centre, api):
    make_index(api)
    answer = api.post(REBUILD)
    assert answer.status_code == 202, answer.json()
    assert (answer.json()["job"], answer.json()["options"]) == ("search", {"rebuild": True})
    again = api.post(REBUILD)
    assert (again.status_code, again.json()["errors"][0]["code"]) == (409, "job_is_running")


def test_a_rebuild_waits_for_its_end_as_a_run_does_and_a_wait_that_is_none_starts_nothing(centre, api):
    make_index(api)
    assert api.post(f"{REBUILD}?wait=long").json()["errors"][0]["attr"] == "wait"
    assert started() == []
    assert api.post(f"{REBUILD}?wait=0.05").status_code == 202  # nobody runs it here


def test_the_run_of_a_rebuild_embeds_everything_and_searches_find_the_old_index_until_its_end(centre, api):
    job = make_index(api)
    run_id = api.post(REBUILD).json()["id"]
    assert searched_version(api) == 0
    run_in_process(PipelineRun.objects.get())
    run = job.runs.get(pk=run_id)
    assert (run.status, run.facts["embedded_chunks"]) == ("success", 4)
    assert run.facts["rebuilt"] == "the run was started with rebuild"
    assert searched_version(api) == 1


def test_only_an_index_is_rebuilt_and_nothing_is_asked_with_it(centre, api, monkeypatch):
    make_index(api)
    assert api.post(REBUILD, {"model": "other"}, format="json").status_code == 400
    assert api.get(REBUILD).status_code == 405
    plain = JOB | {"name": "plain", "dataset_type": "mart", "transform_type": "sql", "config": {}}
    answer = api.post(GOLD, plain | {"sql_text": "select id from articles"}, format="json")
    assert answer.status_code == 201, answer.json()
    assert api.post(f"{GOLD}plain/rebuild/").status_code == 404
    hidden = policy.VisibleQuerySet.visible_to
    monkeypatch.setattr(
        policy.VisibleQuerySet,
        "visible_to",
        lambda self, user: self.none() if self.model is Dataset else hidden(self, user),
    )
    assert api.post(REBUILD).status_code == 404
    assert started() == []


def test_the_page_has_a_button_that_asks_before_it_rebuilds(centre, api, client, engineer):
    run_in_process(start_job_run("gold", make_index(api), send=False))
    client.force_login(engineer)
    shown = client.get(PAGE).content.decode()
    assert f'action="{PAGE}rebuild/"' in shown
    assert "4 chunks are all embedded anew by embedded:hash" in shown
    answer = client.post(f"{PAGE}rebuild/")
    assert answer.status_code == 302
    assert started()[0] == {"rebuild": True}
    assert "is running already" in client.post(f"{PAGE}rebuild/", follow=True).content.decode()


def test_whoever_may_only_look_rebuilds_nothing(centre, api, client, django_user_model):
    make_index(api)
    client.force_login(django_user_model.objects.create_user("guest"))
    assert client.post(f"{PAGE}rebuild/").status_code == 403
    assert "Rebuild" not in client.get(PAGE).content.decode()
    assert started() == []


def test_the_sql_of_an_index_tells_what_it_reads(centre, api):
    make_index(api)
    told = api.get(f"{GOLD}search/sql/").json()
    assert '"body"' in told["sql"] or "body" in told["sql"]


def test_a_preview_shows_chunks_and_saves_nothing(centre, api):
    api.post(GOLD, JOB)
    answer = api.post(f"{GOLD}search/preview/")
    assert answer.status_code == 200, answer.json()
    assert [row["chunk_id"] for row in answer.json()["rows"]] == ["1#0", "2#0", "3#0", "4#0"]
    assert Dataset.objects.get(name="gold.help.search").version is None


def test_the_connection_of_a_model_is_in_the_spec_and_its_secret_is_not(centre, api, settings):
    from tests.factories import make_connection

    make_connection("models", "http", password="s3cret")
    api.post(GOLD, JOB | {"config": CONFIG | {"embedding_model": "http:models/small"}})
    spec = services.spec_of(DatasetJob.objects.get(name="search"), str(new_run_id()))
    access = services.access_for_model("gold.help.search", "http:models/small")
    assert spec.connection == "models"
    assert access.connection("models").name == "models"
    assert "s3cret" not in repr(spec)


def test_a_model_that_only_the_rows_name_is_not_given_a_connection(centre, api):
    """Any query can write `http:models/small@…` into a column; the saver of the job was asked, the query was not."""
    from tests.factories import make_connection

    make_connection("models", "http", password="s3cret")
    make_index(api)  # by embedded:hash
    assert not services.access_for_model("gold.help.search", "http:models/small").connections
    assert not services.access_for_model("silver.help.articles", "http:models/small").connections


def test_a_check_tells_what_is_missing_of_the_model_and_what_to_use_instead(monkeypatch):
    from assay.common.checks import check_embedding_model
    from workers.embeddings import files

    assert check_embedding_model(None) == []
    monkeypatch.setattr(files, "TOKENIZER", ("no_such_package", "tokenizer.json", ""))
    (told,) = check_embedding_model(None)
    assert "no_such_package/tokenizer.json" in told.msg
    assert "embedded:hash" in told.hint
