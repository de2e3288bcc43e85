"""Whatever is lost, doubled or late, messages and workers alike, the run ends right."""

from datetime import timedelta

import pytest
from django.utils import timezone

from assay.common.runs import RunStatus
from datasets.models import DatasetRun
from ops import reaper, services
from ops.execution import execute_step
from ops.models import PipelineRun, Step
from workers.errors import OutcomeUnknown

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_waiting(settings):
    settings.ASSAY_RETRY_SECONDS = 0


# --- messages that come twice, or too late ------------------------------------------


def test_a_doubled_message_runs_the_step_once(workflow, add_job, kind):
    add_job("a")
    step = services.start_run(workflow).steps.get()
    execute_step(step.pk, step.token)
    execute_step(step.pk, step.token)
    assert kind.executed == ["a"]


def test_a_message_with_an_old_token_does_nothing(workflow, add_job, kind):
    add_job("a")
    step = services.start_run(workflow).steps.get()
    execute_step(step.pk, "0" * 32)
    assert kind.executed == []


def test_a_worker_that_was_replaced_while_it_ran_cannot_end_the_step(workflow, add_job, kind):
    add_job("a")
    Step.objects.update(heartbeat_at=None)

    def taken_over_meanwhile(spec, progress):
        Step.objects.update(token="somebody else's", status="running")

    kind.script["a"] = taken_over_meanwhile
    step = services.start_run(workflow).steps.get()
    execute_step(step.pk, step.token)
    step.refresh_from_db()
    assert step.status == RunStatus.RUNNING
    assert kind.recorded == []


# --- the reaper ------------------------------------------------------------------------


def lose_the_worker(step: Step, attempt: int = 1) -> None:
    """As kill -9 leaves it: running, and silent for longer than the lease."""
    long_ago = timezone.now() - timedelta(hours=1)
    Step.objects.filter(pk=step.pk).update(status="running", attempt=attempt, heartbeat_at=long_ago)
    DatasetRun.objects.filter(pk=step.run_id).update(status="running")


def carried_out(claims) -> None:
    for claim in claims:
        execute_step(claim.step_id, claim.token)


def test_a_lost_workers_step_is_taken_over_under_the_same_run_id(workflow, add_job, kind):
    add_job("a")
    started = services.start_run(workflow)
    before = started.steps.get()
    lose_the_worker(before)
    reaper.reap(carried_out)
    after = started.steps.get()
    assert (after.status, after.run_id, after.attempt) == (RunStatus.SUCCESS, before.run_id, 2)
    assert after.token != before.token
    assert DatasetRun.objects.get().status == RunStatus.SUCCESS


def test_a_step_that_was_taken_over_does_what_it_was_begun_with(workflow, add_job, kind):
    add_job("a")
    step = services.start_run(workflow).steps.get()
    lose_the_worker(step)
    DatasetRun.objects.update(spec={"job": "as pinned before"})
    reaper.reap(carried_out)
    assert kind.executed == ["as pinned before"]


def test_a_step_that_loses_every_worker_fails_with_a_remedy(workflow, add_job, kind):
    add_job("a")
    started = services.start_run(workflow)
    step = started.steps.get()
    lose_the_worker(step, attempt=step.max_attempts)
    reaper.reap(carried_out)
    reaper.reap(carried_out)
    started.refresh_from_db()
    assert started.status == RunStatus.FAILED
    assert started.error["code"] == "worker_lost"
    assert "memory" in started.error["hint"]
    assert DatasetRun.objects.get().status == RunStatus.FAILED


def test_a_step_that_had_published_before_its_last_worker_was_lost_is_a_success(workflow, add_job, kind):
    add_job("a")
    started = services.start_run(workflow)
    step = started.steps.get()
    lose_the_worker(step, attempt=step.max_attempts)
    kind.committed.add("a")
    reaper.reap(carried_out)
    reaper.reap(carried_out)
    started.refresh_from_db()
    assert started.status == RunStatus.SUCCESS
    assert DatasetRun.objects.get().status == RunStatus.SUCCESS
    assert kind.recorded == ["a"]


def test_a_step_that_had_published_before_it_was_cancelled_is_a_success(workflow, add_job, kind, settings):
    add_job("a")
    started = services.start_run(workflow)
    lose_the_worker(started.steps.get())
    kind.committed.add("a")
    services.cancel_run(started)
    long_ago = timezone.now() - timedelta(seconds=settings.ASSAY_CANCEL_SECONDS + 1)
    PipelineRun.objects.update(cancel_requested_at=long_ago)
    reaper.reap(carried_out)
    assert started.steps.get().status == RunStatus.SUCCESS
    assert DatasetRun.objects.get().status == RunStatus.SUCCESS


def test_a_commit_whose_last_answer_was_lost_is_a_success_once_the_lake_tells(workflow, add_job, kind):
    add_job("a")

    def committed_but_unheard(spec, progress):
        kind.committed.add("a")
        raise OutcomeUnknown("The lake broke off.")

    kind.script["a"] = committed_but_unheard
    step = services.start_run(workflow).steps.get()
    Step.objects.update(attempt=step.max_attempts - 1)
    execute_step(step.pk, step.token)
    step.refresh_from_db()
    assert step.status == RunStatus.SUCCESS
    assert kind.recorded == ["a"]


def test_a_step_with_a_heartbeat_is_left_alone(workflow, add_job, kind):
    add_job("a")
    step = services.start_run(workflow).steps.get()
    lose_the_worker(step)
    Step.objects.update(heartbeat_at=timezone.now())
    reaper.reap(carried_out)
    assert kind.executed == []


def test_a_lost_message_is_sent_again_and_then_more_and_more_rarely(workflow, add_job, kind, settings):
    add_job("a")
    services.start_run(workflow)
    now = timezone.now()
    lease = timedelta(seconds=settings.ASSAY_LEASE_SECONDS)
    sent_at = [
        second for second in range(0, 3600, 3) if reaper.find_unheard(now + lease / 2 + timedelta(seconds=second))
    ]
    assert sent_at[0] <= settings.ASSAY_LEASE_SECONDS
    assert len(sent_at) < 20
    assert sent_at[1] - sent_at[0] < sent_at[-1] - sent_at[-2] <= 603


def test_what_could_not_be_recorded_is_taken_over_later(workflow, add_job, kind):
    add_job("a")

    def refuse(run):
        raise RuntimeError("disk full")

    kind.on_record = refuse
    started = services.start_run(workflow)
    step = started.steps.get()
    with pytest.raises(RuntimeError):
        execute_step(step.pk, step.token)
    assert started.steps.get().status == RunStatus.RUNNING
    kind.on_record = None
    lose_the_worker(step)
    reaper.reap(carried_out)
    assert started.steps.get().run_id == step.run_id
    assert kind.recorded == ["a"]


def test_a_run_whose_advance_was_lost_goes_on(workflow, diamond, kind):
    started = services.start_run(workflow)
    for _ in range(5):
        reaper.reap(carried_out)
        for step in started.steps.filter(status="queued"):
            execute_step(step.pk, step.token)
    started.refresh_from_db()
    assert started.status == RunStatus.SUCCESS


def test_a_run_in_this_process_first_finishes_what_a_killed_one_left_behind(workflow, add_job, kind, monkeypatch):
    monkeypatch.setattr("ops.local.REAP_SECONDS", 0)
    add_job("a")
    left_behind = services.start_run(workflow)
    lose_the_worker(left_behind.steps.get())
    assert services.run_in_process(services.start_run(workflow)).status == RunStatus.SUCCESS
    left_behind.refresh_from_db()
    assert left_behind.status == RunStatus.SUCCESS
