"""A broker that does not answer costs time, never a run."""

import pytest

from ops import reaper, services
from ops.execution import execute_step
from tests.ports import closed_port
from workers.celery import app


@pytest.fixture
def dead_broker(settings):
    """An address at which nobody listens."""
    before = app.conf.broker_url
    with closed_port() as port:
        settings.CELERY_BROKER_URL = app.conf.broker_url = f"redis://127.0.0.1:{port}/0"
        app.pool.force_close_all()
        app.amqp._producer_pool = app._pool = None
        yield
    app.conf.broker_url = before
    app.amqp._producer_pool = app._pool = None


@pytest.mark.django_db(transaction=True)
def test_a_run_starts_while_the_broker_is_away_and_goes_on_without_its_messages(
    dead_broker, workflow, add_job, kind, caplog
):
    add_job("a")
    run = services.start_run(workflow)
    assert "the broker did not take a message" in caplog.text
    step = run.steps.get()
    assert step.status == "queued"
    execute_step(step.pk, step.token)
    reaper.reap()
    run.refresh_from_db()
    assert run.status == "success"
