"""A shop with a job that makes a training set, and runs of it as a worker makes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl

from assay.common.runs import RunStatus
from catalog import services as catalog
from datasets.kind import GoldKind
from datasets.models import DatasetRun
from ops.models import PipelineRun, Workflow
from tests.factories import make_step
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.progress import silent
from workers.schema import columns_of
from workers.specs import TableTarget

GOLD = "/api/workflows/shop/gold-jobs/"
START = datetime(2026, 3, 1, tzinfo=UTC)
CONFIG = {
    "entity": {"alias": "snapshots", "key_columns": ["customer_id"], "as_of_column": "as_of"},
    "label": {"alias": "orders", "expression": "count(*) = 0", "window": "30 days"},
    "features": [
        {"alias": "orders", "columns": ["amount"], "time_column": "ordered_at", "ttl": "30 days"},
        {"alias": "customers", "columns": ["segment"], "key_columns": ["id"]},
    ],
}
JOB = {
    "name": "churn",
    "dataset_type": "ml_training_set",
    "transform_type": "ml_training_set",
    "inputs": [
        {"dataset": "silver.shop.snapshots"},
        {"dataset": "bronze.shop.orders"},
        {"dataset": "silver.shop.customers"},
    ],
    "config": CONFIG,
}


def publish_table(name: str, rows: pl.DataFrame) -> None:
    layer, workflow, short = name.split(".")
    target, run_id, columns = (
        TableTarget(dataset=name, uri=catalog.lake_uri(name)),
        str(new_run_id()),
        columns_of(rows.schema),
    )
    with Staging(target, run_id) as staging:
        staging.sink(rows.lazy())
        done = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
    path = f"{layer}/{workflow}/{short}"
    catalog.declare(name, layer=layer, workflow=workflow, type="fact", path=path, columns=columns, job=short)
    catalog.record_version(name, run_id=run_id, published=done, columns=columns)


def make_shop() -> None:
    """A shop whose orders, snapshots and customers are in the lake, and a workflow for its jobs."""
    Workflow.objects.create(slug="shop", name="Shop")
    day, number = timedelta(days=1), range(40)
    publish_table(
        "silver.shop.snapshots",
        pl.DataFrame(
            {"customer_id": [n % 20 for n in number], "as_of": [START + 10 * (n // 20) * day for n in number]}
        ),
    )
    publish_table(
        "bronze.shop.orders",
        pl.DataFrame(
            {
                "customer_id": [n % 10 for n in number],
                "ordered_at": [START + (n - 5) * day for n in number],
                "amount": [float(n) for n in number],
                "_ingested_at": [START + (n - 4) * day for n in number],
            }
        ),
    )
    publish_table(
        "silver.shop.customers", pl.DataFrame({"id": range(20), "segment": [f"s<{n % 2}>" for n in range(20)]})
    )


def run_of(job, **facts) -> DatasetRun:
    """What a worker does for one step of the job, here and now."""
    kind = GoldKind()
    pipeline_run = PipelineRun.objects.create(workflow=job.workflow, status=RunStatus.RUNNING)
    step = make_step(pipeline_run, job, kind="gold", layer="gold")
    run = DatasetRun.objects.create(job=job, step_id=step.pk, status=RunStatus.RUNNING, **facts)
    run.spec = kind.to_spec(run)
    result = kind.execute(run.spec, silent)
    run.status = RunStatus.SUCCESS
    run.save()
    kind.record(run, result)
    return run
