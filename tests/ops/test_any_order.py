"""Whatever is lost, doubled, late, killed or taken over, in whatever order: a run ends right."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.common.runs import ENDED, RunStatus
from datasets.models import DatasetRun
from ops import reaper, services
from ops.execution import execute_step
from ops.models import PipelineRun, Step
from ops.orchestrator import claim_ready
from workers.errors import SourceMissing, SourceUnavailable


class Killed(BaseException):
    """kill -9: nothing after it happens."""


@st.composite
def graphs(draw) -> list[list[int]]:
    """For each job the earlier ones that it reads from."""
    size = draw(st.integers(1, 7))
    return [sorted(draw(st.sets(st.integers(0, job - 1), max_size=3))) if job else [] for job in range(size)]


class World:
    """Messages that arrive in any order and more than once, workers that die or come back from the dead."""

    def __init__(self, kind, run: PipelineRun, chance) -> None:
        self.kind, self.run, self.chance = kind, run, chance
        self.mail: list[tuple[int, str]] = []
        self.depth = 0
        self.kills = 0
        kind.script = {step.job_name: self.execute for step in run.steps.all()}

    def execute(self, spec, progress):
        """A step at work, in the midst of which anything may happen to it."""
        step = Step.objects.get(run_id=spec["run_id"])
        assert all(above.status == RunStatus.SUCCESS for above in step.upstream.all())
        assert Step.objects.active().filter(kind=step.kind, job_id=step.job_id).count() == 1
        if self.depth < 2:
            for _ in range(self.chance.choice([0, 0, 2, 8])):
                self.something_happens()
        fate = self.chance.random()
        if fate < 0.1 and self.kills < 5:
            self.kills += 1
            raise Killed
        if fate < 0.2:
            raise SourceUnavailable("try again")
        if fate < 0.27:
            raise SourceMissing("never")
        if fate < 0.6:
            progress("publish")  # else a zombie does not notice that it is one

    def something_happens(self) -> None:
        self.depth += 1
        self.chance.choice([self.deliver, self.deliver, self.deliver, self.advance, self.reap, self.silence])()
        self.depth -= 1

    def deliver(self) -> None:
        """Any message that was ever sent: the first time, or again."""
        if self.mail:
            with suppress(Killed):
                execute_step(*self.chance.choice(self.mail[-3:] * 3 + self.mail))

    def advance(self) -> None:
        self.keep(claim_ready(self.run.pk))

    def reap(self) -> None:
        reaper.reap(self.keep)

    def silence(self) -> None:
        """A worker is cut off from the database for longer than its lease. It may be alive."""
        long_ago = timezone.now() - timedelta(hours=1)
        Step.objects.filter(status=RunStatus.RUNNING).update(heartbeat_at=long_ago)

    def keep(self, claims) -> None:
        # One message in five is lost.
        self.mail += [(claim.step_id, claim.token) for claim in claims if self.chance.random() < 0.8]

    def calm_down(self) -> None:
        """From now on messages arrive; the run must come to its end by itself."""
        for _ in range(200):
            self.silence()
            Step.objects.filter(status=RunStatus.QUEUED).update(heartbeat_at=timezone.now() - timedelta(hours=1))
            reaper.reap(lambda claims: self.mail.extend((claim.step_id, claim.token) for claim in claims))
            for message in self.mail:
                with suppress(Killed):
                    execute_step(*message)
            self.mail.clear()
            self.run.refresh_from_db()
            if self.run.has_ended:
                return
        raise AssertionError(f"It does not end: {list(self.run.steps.values_list('job_name', 'status'))}")


def check_end(run: PipelineRun, kind) -> None:
    steps = list(run.steps.prefetch_related("upstream"))
    for step in steps:
        above = {one.status for one in step.upstream.all()}
        assert step.status in ENDED
        assert (step.status == RunStatus.SKIPPED) == bool(above - {RunStatus.SUCCESS}), step
        assert kind.recorded.count(step.job_name) == (step.status == RunStatus.SUCCESS)
        assert step.attempt <= step.max_attempts
        assert (step.error is None) == (step.status == RunStatus.SUCCESS)
        tries = list(DatasetRun.objects.filter(step_id=step.pk).order_by("pk"))
        assert {one.status for one in tries[:-1]} <= {RunStatus.FAILED}
        assert [one.status for one in tries[-1:]] == ([step.status] if step.run_id else [])
    failed = any(step.status == RunStatus.FAILED for step in steps)
    assert run.status == (RunStatus.FAILED if failed else RunStatus.SUCCESS)


@pytest.mark.django_db
@given(graph=graphs(), seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_run_ends_right_whatever_happens_on_the_way(workflow, add_job, kind, settings, graph, seed):
    settings.ASSAY_RETRY_SECONDS = 0
    kind.recorded.clear()
    chance = random.Random(seed)
    with transaction.atomic():
        for job, above in enumerate(graph):
            add_job(f"j{job}", *(f"j{one}" for one in above))
        world = World(kind, services.start_run(workflow, send=False), chance)
        for _ in range(chance.randint(0, 40)):
            world.something_happens()
        world.calm_down()
        check_end(world.run, kind)
        transaction.set_rollback(True)
