"""The default engine and the size of a job's inputs: what keeps more rows than a step may goes to DuckDB."""

import polars as pl
import pytest

from catalog import services as catalog
from datasets import services
from datasets.models import DatasetRun
from datasets.words import in_words
from tests.factories import make_dataset_job
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.schema import columns_of
from workers.specs import TableTarget


@pytest.fixture
def job(shop, orders):
    """`orders` with 200,000 rows, some 600 KB in files; and a job that sorts them."""
    rows = pl.DataFrame({"order_id": range(200_000)}).select(
        pl.col("order_id").cast(pl.Int64),
        amount=pl.lit("1.00").cast(pl.Decimal(10, 2)),
        country=pl.format("country {}", pl.col("order_id") * 7919 % 200_000),
        ordered_on=pl.lit("2026-01-01").str.to_date(),
    )
    target = TableTarget(dataset=orders.name, uri=catalog.lake_uri(orders.name))
    run_id = str(new_run_id())
    with Staging(target, run_id) as staging:
        staging.sink(rows.lazy())
        publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns_of(rows.schema))
    sql = "select order_id, country from orders order by country"
    return make_dataset_job(
        shop, sql_text=sql, target_schema=[{"name": "order_id", "type": "int64", "nullable": True},
                                                        {"name": "country", "type": "string", "nullable": True}]
    )  # fmt: skip


def chosen(job) -> tuple[str, str]:
    spec = services.spec_of(job, str(new_run_id()))
    return spec.engine, spec.settings.get("engine_chosen", "")


def test_what_fits_stays_with_polars(job):
    engine, why = chosen(job)
    assert engine == "polars"
    assert why.startswith("its inputs fit into memory: about")


def test_what_may_not_fit_goes_to_duckdb_and_the_spec_says_why(job, settings):
    settings.ASSAY_STEP_MEMORY_MB = 2
    engine, why = chosen(job)
    assert engine == "duckdb"
    assert "a step has 2: DuckDB works on disk" in why


def test_a_query_that_keeps_no_rows_or_a_job_that_names_its_engine_is_left_alone(job, settings):
    settings.ASSAY_STEP_MEMORY_MB = 2
    job.engine = "polars"
    assert chosen(job) == ("polars", "")
    job.engine, job.sql_text = "default", "select order_id, country from orders where order_id > 7"
    assert chosen(job) == ("polars", "")


def test_the_page_says_which_engine_the_last_run_took_and_why(job, settings):
    assert ("Engine", "polars (the default)") in in_words(job)
    settings.ASSAY_STEP_MEMORY_MB = 2
    spec = services.spec_of(job, str(new_run_id()))
    DatasetRun.objects.create(job=job, spec=services.to_json(spec))
    told = dict(in_words(job))["Engine"]
    assert told.startswith("duckdb (the default; its inputs may need")
