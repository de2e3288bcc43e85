from datetime import UTC, datetime

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from assay.common.runs import RunStatus
from ops import services
from ops.models import PipelineRun, Workflow
from ops.schedule import next_time

pytestmark = pytest.mark.django_db


def scheduled(cron: str, zone: str = "UTC", **fields) -> Workflow:
    return Workflow(
        slug="shop", name="Shop", schedule_cron=cron, schedule_timezone=zone, schedule_enabled=True, **fields
    )


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        ("0 6 * * *", "UTC", "2026-01-01T06:00", "2026-01-02T06:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-01-01T04:59", "2026-01-01T05:00"),
        ("0 6 * * *", "Europe/Berlin", "2026-07-01T00:00", "2026-07-01T04:00"),
        ("0 6 * * 1-5", "UTC", "2026-11-20T06:00", "2026-11-23T06:00"),
        ("*/15 * * * *", "Asia/Kathmandu", "2026-01-01T00:01", "2026-01-01T00:15"),
        ("30 18 * * *", "Asia/Kolkata", "2026-01-01T12:59", "2026-01-01T13:00"),
        # Berlin's clock jumps from 02:00 to 03:00 on 29 March 2026, and from 03:00 back to 02:00 on 25 October.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:30", "2026-03-30T00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T00:00", "2026-10-25T01:00"),
        ("0 * * * *", "Europe/Berlin", "2026-10-25T01:00", "2026-10-25T02:00"),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:30", "2026-03-29T01:00"),
        ("@daily", "America/New_York", "2026-01-01T00:00", "2026-01-01T05:00"),
    ],
)
def test_the_next_time_is_read_on_the_clock_of_the_zone(cron, zone, after, expected):
    assert next_time(scheduled(cron, zone), utc(after)) == utc(expected)


@pytest.mark.parametrize(
    ("cron", "zone", "field", "code"),
    [
        ("every morning", "UTC", "schedule_cron", "invalid_cron"),
        ("0 6 * *", "UTC", "schedule_cron", "invalid_cron"),
        ("61 * * * *", "UTC", "schedule_cron", "invalid_cron"),
        ("0 0 30 2 *", "UTC", "schedule_cron", "invalid_cron"),
        ("* * * * * *", "UTC", "schedule_cron", "invalid_cron"),
        ("0 6 * * *", "Europe/Atlantis", "schedule_timezone", "invalid_timezone"),
        ("", "UTC", "schedule_cron", "required"),
    ],
)
def test_a_schedule_that_cannot_be_read_is_refused(cron, zone, field, code):
    with pytest.raises(ValidationError) as caught:
        scheduled(cron, zone).full_clean()
    assert caught.value.error_dict[field][0].code == code


def make_due(workflow: Workflow) -> None:
    Workflow.objects.filter(pk=workflow.pk).update(next_run_at=utc("2026-01-01T06:00"))


def test_a_new_schedule_waits_for_its_first_time(workflow, add_job):
    add_job("a")
    workflow.schedule_cron, workflow.schedule_enabled = "0 6 * * *", True
    workflow.save()
    assert workflow.next_run_at > timezone.now()
    assert services.start_scheduled_runs() == []


def test_a_time_that_has_come_starts_one_run_however_many_were_missed(workflow, add_job):
    add_job("a")
    workflow.schedule_cron, workflow.schedule_enabled = "* * * * *", True
    workflow.save()
    make_due(workflow)
    runs = services.start_scheduled_runs() + services.start_scheduled_runs()
    assert [run.trigger for run in runs] == ["schedule"]
    workflow.refresh_from_db()
    assert workflow.next_run_at > timezone.now()


def test_of_two_beats_only_one_starts_the_run(workflow, add_job, monkeypatch):
    add_job("a")
    workflow.schedule_cron, workflow.schedule_enabled = "0 6 * * *", True
    workflow.save()
    make_due(workflow)
    start_run, others = services.start_run, []

    def start_while_another_beat_looks(*args, **options):
        others.extend(services.start_scheduled_runs())
        return start_run(*args, **options)

    monkeypatch.setattr(services, "start_run", start_while_another_beat_looks)
    assert len(services.start_scheduled_runs()) == 1
    assert others == []


def test_saving_something_else_keeps_a_time_that_is_due(workflow, add_job):
    add_job("a")
    workflow.schedule_cron, workflow.schedule_enabled = "0 6 * * *", True
    workflow.save()
    make_due(workflow)
    workflow.refresh_from_db()
    workflow.description = "new words"
    workflow.save()
    assert len(services.start_scheduled_runs()) == 1


def test_a_schedule_that_is_switched_off_starts_nothing(workflow, add_job):
    add_job("a")
    workflow.schedule_cron, workflow.schedule_enabled = "0 6 * * *", True
    workflow.save()
    make_due(workflow)
    workflow.refresh_from_db()
    workflow.schedule_enabled = False
    workflow.save()
    assert workflow.next_run_at is None
    assert services.start_scheduled_runs() == []


def test_a_scheduled_run_that_cannot_start_is_seen_as_a_failed_run(workflow):
    workflow.schedule_cron, workflow.schedule_enabled = "0 6 * * *", True
    workflow.save()
    make_due(workflow)
    services.start_scheduled_runs()
    run = PipelineRun.objects.get()
    assert run.status == RunStatus.FAILED
    assert run.error["code"] == "no_jobs"
