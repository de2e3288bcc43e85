"""The lake lets no earlier run publish after a later one, so ids are in the order of the runs, whatever clocks say."""

from uuid import UUID

import pytest

from catalog import services as catalog
from catalog.models import Dataset
from ingest.models import IngestRun
from ops import services
from ops.models import Step
from tests.factories import make_ingest_job
from workers.ids import sequence_of
from workers.lake.table import open_table

FROM_A_CLOCK_AHEAD = UUID("03bb2cc3-d800-7000-8000-000000000000")  # January 2100


@pytest.fixture
def orders(shop, inbox):
    (inbox / "orders-1.csv").write_text("id\n1\n")
    return make_ingest_job(shop)


def carry_out(job) -> UUID:
    run = services.start_job_run("ingest", job, send=False)
    assert services.run_in_process(run).status == "success"
    return run.steps.get().run_id


@pytest.mark.django_db
def test_a_run_comes_after_the_jobs_last_one_although_the_clock_of_its_host_is_behind(orders):
    IngestRun.objects.create(id=FROM_A_CLOCK_AHEAD, job=orders, status="failed")
    first = carry_out(orders)
    second = carry_out(orders)
    assert sequence_of(FROM_A_CLOCK_AHEAD) < sequence_of(first) < sequence_of(second)
    assert open_table(catalog.lake_uri(orders.bronze_name)).version == 1


@pytest.mark.django_db
def test_a_rollback_comes_after_the_run_before_it_and_holds_up_none_that_follows(orders):
    IngestRun.objects.create(id=FROM_A_CLOCK_AHEAD, job=orders, status="failed")
    carry_out(orders)
    carry_out(orders)
    rollback = catalog.rollback(Dataset.objects.get(name=orders.bronze_name), 0)
    assert sequence_of(rollback.run_id) > sequence_of(Step.objects.latest("pk").run_id)
    assert sequence_of(carry_out(orders)) > sequence_of(rollback.run_id)
    assert open_table(catalog.lake_uri(orders.bronze_name)).version == 3
