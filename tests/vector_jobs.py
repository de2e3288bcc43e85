"""A help centre with an index over its articles, made as a run of its job makes it."""

from __future__ import annotations

import polars as pl

from catalog import services as catalog
from datasets import services
from datasets.models import DatasetJob
from tests.factories import make_workflow
from workers.executors import run_dataset
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.results import StepResult
from workers.schema import columns_of
from workers.specs import TableTarget, to_json

ARTICLES = [
    {"id": 1, "title": "Returns", "body": "Goods can be sent back within thirty days.", "lang": "en", "stars": 5},
    {"id": 2, "title": "Parcels", "body": "The number of a parcel tells where it is.", "lang": "en", "stars": 3},
    {"id": 3, "title": "Zahlung", "body": "Rechnungen werden in 14 Tagen bezahlt.", "lang": "de", "stars": 4},
    {"id": 4, "title": "Danger", "body": "<script>alert('goods')</script> <b>goods</b>", "lang": "en", "stars": 1},
    {"id": 5, "title": "Nothing", "body": None, "lang": "en", "stars": None},
]
CONFIG = {
    "id_column": "id",
    "text_column": "body",
    "metadata_columns": ["lang", "stars"],
    "embedding_model": "embedded:hash",
}
GOLD = "/api/workflows/help/gold-jobs/"
JOB = {
    "name": "search",
    "dataset_type": "vector_index",
    "transform_type": "vector_index",
    "inputs": [{"dataset": "silver.help.articles", "alias": "articles"}],
    "config": CONFIG,
}


def publish_articles(rows=ARTICLES) -> None:
    """A new version of `silver.help.articles`."""
    frame = pl.DataFrame(rows, infer_schema_length=None)
    name, columns = "silver.help.articles", columns_of(frame.schema)
    target, run_id = TableTarget(dataset=name, uri=catalog.lake_uri(name)), str(new_run_id())
    catalog.declare(
        name, layer="silver", workflow="help", type="fact", path="silver/help/articles", columns=columns, job="articles"
    )
    with Staging(target, run_id) as staging:
        staging.sink(frame.lazy())
        done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
    catalog.record_version(name, run_id=run_id, published=done, columns=columns)


def run_job(job: DatasetJob) -> StepResult:
    spec = to_json(services.spec_of(job, str(new_run_id())))
    result = run_dataset(spec, access=services.access_for(spec))
    catalog.record_version(job.dataset_name, run_id=spec["run_id"], published=result.published, columns=result.columns)
    return result


def make_help_centre() -> None:
    make_workflow("help")
    publish_articles()


def make_index(api, **changes) -> DatasetJob:
    answer = api.post(GOLD, JOB | changes)
    assert answer.status_code == 201, answer.json()
    job = DatasetJob.objects.get(name="search")
    run_job(job)
    return job
