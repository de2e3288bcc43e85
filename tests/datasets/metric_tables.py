"""`silver.shop.orders` as a table in the lake, small enough to add up by hand."""

from __future__ import annotations

from datetime import date

import polars as pl

from assay.common.runs import RunStatus
from catalog import services as catalog
from datasets.kind import GoldKind
from datasets.models import DatasetJob, DatasetRun
from ops.models import PipelineRun
from tests.factories import make_step
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.progress import silent
from workers.schema import columns_of
from workers.specs import TableTarget

ORDERS = [
    # ordered_on, country, status, amount
    (date(2024, 1, 1), "DE", "paid", 10.0),
    (date(2024, 1, 1), "DE", "open", 5.0),
    (date(2024, 1, 2), "FR", "paid", 7.0),
    (date(2024, 2, 10), None, "paid", 3.0),
    (date(2024, 2, 10), "DE", "returned", 4.0),
    (date(2024, 3, 1), "FR", "paid", 2.0),
    (date(2024, 3, 20), "DE", "returned", 1.0),
    (date(2024, 3, 20), "DE", "paid", 8.0),
]
SCHEMA = {"ordered_on": pl.Date, "country": pl.String, "status": pl.String, "amount": pl.Float64}


def publish_orders(rows=ORDERS, name="silver.shop.orders"):
    """Publish the rows as the dataset, and tell the catalog."""
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").with_columns(order_id=pl.int_range(len(rows)))
    columns = columns_of(frame.schema)
    layer, workflow, short = name.split(".")
    target = TableTarget(dataset=name, uri=catalog.lake_uri(name))
    run_id = str(new_run_id())
    with Staging(target, run_id) as staging:
        staging.sink(frame.lazy())
        published = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
    path = f"{layer}/{workflow}/{short}"
    catalog.declare(name, layer=layer, workflow=workflow, type="fact", path=path, columns=columns, job=short)
    catalog.record_version(name, run_id=run_id, published=published, columns=columns)
    return frame


def run_job(name="daily", **window) -> DatasetRun:
    """What a worker does for one step of this Gold job, here and now; `start_date` and `end_date` are its window."""
    job, kind = DatasetJob.objects.get(name=name), GoldKind()
    pipeline_run = PipelineRun.objects.create(workflow=job.workflow, status=RunStatus.RUNNING, **window)
    step = make_step(pipeline_run, job, kind="gold", layer="gold")
    run = DatasetRun.objects.create(job=job, step_id=step.pk, status=RunStatus.RUNNING)
    run.spec = kind.to_spec(run)
    result = kind.execute(run.spec, silent)
    run.status = RunStatus.SUCCESS
    run.save()
    kind.record(run, result)
    return run
