"""A run from its start to its end, in this process: what is done, what is skipped, repeated, cancelled."""

from datetime import timedelta

import pytest
from django.utils import timezone

from assay.common.runs import RunStatus
from datasets.models import DatasetRun
from ops import reaper, services
from ops.execution import execute_step
from ops.graph import GraphError
from ops.models import PipelineRun, Step, StepLog, Workflow
from workers.errors import OutcomeUnknown, SourceMissing, SourceUnavailable

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_waiting(settings):
    settings.ASSAY_RETRY_SECONDS = 0


def run(workflow, **options) -> PipelineRun:
    return services.run_in_process(services.start_run(workflow, **options))


def statuses(run) -> dict[str, str]:
    return dict(run.steps.values_list("job_name", "status"))


def fail_with(error):
    def do(spec, progress):
        raise error

    return do


def test_every_step_runs_once_and_after_what_it_reads(workflow, diamond, kind):
    ended = run(workflow)
    assert ended.status == RunStatus.SUCCESS
    assert kind.executed[0] == "a"
    assert sorted(kind.executed[1:3]) == ["b", "c"]
    assert kind.executed[3:] == ["d"]
    assert ended.end_time >= ended.start_time


def test_counts_and_times_are_on_the_step_and_on_the_jobs_run(workflow, add_job, kind):
    add_job("a")
    kind.script["a"] = lambda spec, progress: kind.result(7)
    step = run(workflow).steps.get()
    job_run = DatasetRun.objects.get(pk=step.run_id)
    assert (step.rows_written, job_run.rows_written) == (7, 7)
    assert job_run.status == RunStatus.SUCCESS
    assert job_run.spec == {"job": "a", "run_id": str(step.run_id)}
    assert job_run.end_time
    assert step.attempt == 1


def test_the_log_says_where_a_step_ran_and_what_it_published(workflow, add_job, kind):
    add_job("a")
    kind.script["a"] = lambda spec, progress: kind.result(7)
    first, last = run(workflow).steps.get().logs.values_list("message", flat=True)
    assert first.startswith("Attempt 1 of 3, on ")
    assert "7 published as version" in last


def test_what_hangs_on_a_failed_step_is_skipped_and_the_rest_goes_on(workflow, diamond, add_job, kind):
    add_job("after_c", "c")
    add_job("below_d", "d")
    kind.script["b"] = fail_with(SourceMissing("There is no file orders.csv.", hint="Upload it."))
    ended = run(workflow)
    assert statuses(ended) == {
        "a": "success",
        "b": "failed",
        "c": "success",
        "d": "skipped",
        "after_c": "success",
        "below_d": "skipped",
    }
    assert ended.status == RunStatus.FAILED
    assert ended.error["code"] == "source_missing"
    assert "b: There is no file" in ended.error["message"]
    skipped = ended.steps.get(job_name="below_d")
    assert "d, which it reads from, is skipped" in skipped.error["message"]


def test_a_failure_says_what_to_do_and_is_logged_for_people(workflow, add_job, kind):
    add_job("a")
    kind.script["a"] = fail_with(SourceMissing("There is no file orders.csv.", hint="Upload it."))
    step = run(workflow).steps.get()
    assert step.error == {
        "code": "source_missing",
        "message": "There is no file orders.csv.",
        "hint": "Upload it.",
        "facts": {},
    }
    assert DatasetRun.objects.get(pk=step.run_id).error == step.error
    assert "There is no file orders.csv. Upload it." in list(step.logs.values_list("message", flat=True))


def test_a_job_that_cannot_even_be_specified_fails_with_a_start_and_an_end(workflow, add_job, kind, monkeypatch):
    add_job("a")
    fail = fail_with(SourceMissing("There is no file."))
    monkeypatch.setattr(kind, "to_spec", lambda run: fail(run, None))
    found = DatasetRun.objects.get(pk=run(workflow).steps.get().run_id)
    assert found.status == "failed"
    assert found.created_at <= found.start_time <= found.end_time


def test_a_bug_is_shown_as_a_reference_and_never_as_its_text(workflow, add_job, kind, caplog):
    add_job("a")
    kind.script["a"] = fail_with(ZeroDivisionError("the secret inside"))
    step = run(workflow).steps.get()
    assert step.error["code"] == "internal"
    assert "the secret inside" not in str(step.error) + str(list(StepLog.objects.values()))
    record = next(record for record in caplog.records if record.message == "step failed" and record.exc_info)
    assert record.reference in step.error["message"]


def test_a_failure_that_may_pass_is_tried_again_as_a_new_run(workflow, add_job, kind):
    add_job("a")
    outcomes = [SourceUnavailable("busy"), None]

    def do(spec, progress):
        if error := outcomes.pop(0):
            raise error

    kind.script["a"] = do
    ended = run(workflow)
    assert ended.status == RunStatus.SUCCESS
    tries = DatasetRun.objects.order_by("pk")
    assert [one.status for one in tries] == ["failed", "success"]
    step = ended.steps.get()
    assert (step.attempt, step.run_id, step.error) == (2, tries[1].pk, None)


def test_a_run_whose_commit_may_stand_is_tried_again_as_the_same_run(workflow, add_job, kind, settings):
    settings.ASSAY_LEASE_SECONDS = 100
    add_job("a")
    outcomes, run_ids = [OutcomeUnknown("The lake broke off."), None], []

    def do(spec, progress):
        run_ids.append(spec["run_id"])
        if error := outcomes.pop(0):
            raise error

    kind.script["a"] = do
    started = services.start_run(workflow)
    step = started.steps.get()
    execute_step(step.pk, step.token)
    step.refresh_from_db()
    assert (step.status, DatasetRun.objects.get().status) == ("running", "running")
    settings.ASSAY_LEASE_SECONDS = 0
    reaper.reap()
    step.refresh_from_db()
    execute_step(step.pk, step.token)
    step.refresh_from_db()
    assert (step.status, DatasetRun.objects.get().status) == ("success", "success")
    assert len(run_ids) == 2
    assert len(set(run_ids)) == 1


def test_a_failure_that_does_not_pass_ends_after_the_last_attempt(workflow, add_job, kind, settings):
    settings.ASSAY_STEP_MAX_ATTEMPTS = 3
    add_job("a")
    kind.script["a"] = fail_with(SourceUnavailable("busy"))
    ended = run(workflow)
    assert ended.status == RunStatus.FAILED
    assert kind.executed == ["a"] * 3


def test_a_retry_waits_until_it_is_due(workflow, add_job, kind, settings):
    settings.ASSAY_RETRY_SECONDS = 100
    add_job("a")
    kind.script["a"] = fail_with(SourceUnavailable("busy"))
    started = services.start_run(workflow)
    step = started.steps.get()
    execute_step(step.pk, step.token)
    step.refresh_from_db()
    assert step.status == RunStatus.PENDING
    assert timedelta(seconds=40) < step.not_before - timezone.now() <= timedelta(seconds=150)
    reaper.reap()
    assert kind.executed == ["a"]


def test_lines_and_progress_reach_the_step(workflow, add_job, kind):
    add_job("a")

    def do(spec, progress):
        progress("land", done=10, total=20, message="10 of 20 bytes; password=hunter2")

    kind.script["a"] = do
    step = run(workflow).steps.get()
    assert step.progress == {"phase": "land", "done": 10, "total": 20}
    assert "10 of 20 bytes; password=•••" in list(step.logs.values_list("message", flat=True))


# --- one run at a time -----------------------------------------------------------------


def test_a_job_alone_runs_as_a_run_with_one_step(workflow, diamond, kind, engineer):
    job = kind.jobs(workflow).get(name="a")
    started = services.start_job_run("silver", job, user=engineer)
    step = started.steps.get()
    assert kind.run_of(step.run_id).status == RunStatus.QUEUED
    assert services.run_in_process(started).status == RunStatus.SUCCESS
    assert started.started_by == engineer


def test_a_job_that_is_running_cannot_be_started_again(workflow, add_job, kind):
    job = add_job("a")
    services.start_job_run("silver", job)
    with pytest.raises(services.JobIsRunning):
        services.start_job_run("silver", job)
    assert PipelineRun.objects.count() == 1


def test_a_run_waits_for_a_job_that_another_run_has(workflow, diamond, kind):
    alone = services.start_job_run("silver", kind.jobs(workflow).get(name="a"))
    whole = services.start_run(workflow)
    assert statuses(whole)["a"] == "pending"
    assert whole.status == RunStatus.RUNNING
    services.run_in_process(alone)
    assert services.run_in_process(whole).status == RunStatus.SUCCESS
    assert kind.executed == ["a", "a", *kind.executed[2:]]


def test_runs_of_a_workflow_wait_for_each_other(workflow, add_job, kind):
    add_job("a")
    first, second, third = (services.start_run(workflow) for _ in range(3))
    assert [first.status, second.status, third.status] == ["running", "pending", "pending"]
    services.run_in_process(first)
    reaper.reap(lambda claims: None)
    second.refresh_from_db()
    third.refresh_from_db()
    assert [second.status, third.status] == ["running", "pending"]


def test_runs_that_wait_their_turn_cost_the_reaper_nothing(workflow, add_job, kind):
    add_job("a")
    add_job("b")
    first, second, third = (services.start_run(workflow) for _ in range(3))
    assert reaper.runs_to_nudge(timezone.now()) == []
    services.cancel_run(first)
    assert reaper.runs_to_nudge(timezone.now()) == [second.pk]
    assert third.pk not in reaper.runs_to_nudge(timezone.now())


def test_a_workflow_that_skips_overlaps_does_not_start_a_second_run(workflow, add_job, kind):
    add_job("a")
    Workflow.objects.update(on_overlap="skip")
    services.start_run(workflow)
    second = services.start_run(workflow)
    assert second.status == RunStatus.SKIPPED
    assert second.error["code"] == "overlap"


# --- cancel and retry ---------------------------------------------------------------------


def test_cancelling_ends_waiting_steps_at_once(workflow, diamond, kind):
    started = services.start_run(workflow)
    services.cancel_run(started)
    assert started.status == RunStatus.CANCELLED
    assert set(statuses(started).values()) == {"cancelled"}
    assert DatasetRun.objects.get().status == RunStatus.CANCELLED
    assert kind.executed == []


def test_a_running_step_stops_at_its_next_sign_of_life(workflow, diamond, kind):
    started = services.start_run(workflow)

    def cancelled_meanwhile(spec, progress):
        progress("read")
        services.cancel_run(started)
        progress("publish")
        raise AssertionError("it went on")

    kind.script["a"] = cancelled_meanwhile
    ended = services.run_in_process(started)
    assert ended.status == RunStatus.CANCELLED
    assert set(statuses(ended).values()) == {"cancelled"}
    assert DatasetRun.objects.get().status == RunStatus.CANCELLED


def test_a_step_that_had_done_its_work_when_it_was_cancelled_is_recorded(workflow, diamond, kind):
    started = services.start_run(workflow)
    kind.script["a"] = lambda spec, progress: services.cancel_run(started) and None
    ended = services.run_in_process(started)
    assert ended.status == RunStatus.CANCELLED
    assert statuses(ended)["a"] == "success"
    assert kind.recorded == ["a"]


def test_a_step_that_does_not_stop_is_cut_off(workflow, add_job, kind, settings):
    settings.ASSAY_CANCEL_SECONDS = 0
    add_job("a")
    started = services.start_run(workflow)
    step = started.steps.get()
    Step.objects.update(status="running", heartbeat_at=timezone.now())
    services.cancel_run(started)
    assert started.status == RunStatus.RUNNING
    reaper.reap(send=lambda claims: None)
    started.refresh_from_db()
    assert started.status == RunStatus.CANCELLED
    assert Step.objects.get(pk=step.pk).token == ""


def test_cancelling_a_run_that_waits_its_turn_ends_it(workflow, add_job, kind):
    add_job("a")
    services.start_run(workflow)
    second = services.cancel_run(services.start_run(workflow))
    assert second.status == RunStatus.CANCELLED
    assert second.error is None


def test_an_ended_run_stays_as_it_is_when_it_is_cancelled(workflow, add_job, kind):
    add_job("a")
    ended = services.cancel_run(run(workflow))
    assert ended.status == RunStatus.SUCCESS
    assert not ended.cancel_requested


def test_a_retry_does_only_what_did_not_succeed(workflow, diamond, kind, engineer):
    kind.script["c"] = fail_with(SourceMissing("gone"))
    failed = run(workflow)
    del kind.script["c"]
    kind.executed.clear()
    again = services.run_in_process(services.retry_run(failed, engineer))
    assert again.status == RunStatus.SUCCESS
    assert again.retry_of == failed
    assert kind.executed == ["c", "d"]


def test_from_failed_goes_on_from_the_last_run(workflow, diamond, kind):
    kind.script["b"] = fail_with(SourceMissing("gone"))
    run(workflow)
    del kind.script["b"]
    kind.executed.clear()
    assert run(workflow, from_failed=True).status == RunStatus.SUCCESS
    assert kind.executed == ["b", "d"]


def test_there_is_nothing_to_retry_in_a_success_or_in_a_run_that_goes_on(workflow, add_job, kind):
    add_job("a")
    started = services.start_run(workflow)
    with pytest.raises(services.NothingToRetry, match="has not ended"):
        services.retry_run(started)
    services.run_in_process(started)
    with pytest.raises(services.NothingToRetry):
        services.retry_run(started)


def test_a_run_that_cannot_be_planned_leaves_no_row(workflow, kind):
    with pytest.raises(GraphError):
        services.start_run(workflow)
    assert not PipelineRun.objects.exists()


def test_a_job_that_was_deleted_after_the_start_fails_its_step_only(workflow, diamond, kind):
    started = services.start_run(workflow)
    kind.jobs(workflow).filter(name="b").delete()
    ended = services.run_in_process(started)
    assert statuses(ended) == {"a": "success", "b": "failed", "c": "success", "d": "skipped"}
    assert ended.error["code"] == "job_deleted"
