"""A run whose commit stands, and whose last worker died before it could say so, is recorded and not loaded again."""

from datetime import timedelta

import pytest
from django.utils import timezone

from assay.common.runs import RunStatus
from catalog import services as catalog
from catalog.models import Dataset
from ingest.models import IngestRun, LoadedFile
from ops import kinds, reaper, services
from ops.models import Step
from tests.factories import make_ingest_job
from workers.lake.table import open_table
from workers.progress import silent

pytestmark = pytest.mark.django_db


@pytest.fixture
def orders(shop, inbox):
    (inbox / "orders-1.csv").write_text("id\n1\n2\n")
    return make_ingest_job(shop, write_mode="append")


def die_after_publishing(job) -> Step:
    """As kill -9 right behind the commit of the last attempt leaves it."""
    step = services.start_job_run("ingest", job, send=False).steps.get()
    kind = kinds.get("ingest")
    run = kind.run_of(step.run_id)
    spec = kind.to_spec(run)
    kind.execute(spec, silent)
    long_ago = timezone.now() - timedelta(hours=1)
    IngestRun.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING, spec=spec, start_time=long_ago)
    Step.objects.filter(pk=step.pk).update(
        status=RunStatus.RUNNING, attempt=step.max_attempts, start_time=long_ago, heartbeat_at=long_ago
    )
    return step


def test_what_was_published_is_recorded_and_loads_once(orders):
    step = die_after_publishing(orders)
    reaper.reap(lambda claims: None)
    run = IngestRun.objects.get(pk=step.run_id)
    assert (run.status, run.rows_written, run.table_version) == (RunStatus.SUCCESS, 2, 0)
    assert Dataset.objects.get(name=orders.bronze_name).versions.count() == 1
    assert LoadedFile.objects.filter(run=run).count() == 1
    again = services.start_job_run("ingest", orders, send=False)
    assert services.run_in_process(again).status == RunStatus.SUCCESS
    assert open_table(catalog.lake_uri(orders.bronze_name)).rows == 2
