"""The command: no broker, threads with their own connections, an exit code that scripts can trust."""

import io
import threading

import pytest
from django.core.management import CommandError, call_command
from rich.console import Console

from ops import services
from ops.models import PipelineRun
from ops.terminal import run_and_show
from workers.errors import SourceMissing

pytestmark = pytest.mark.django_db(transaction=True)


def output_of(*args: str) -> str:
    out = io.StringIO()
    call_command("run_workflow", *args, stdout=out)
    return out.getvalue()


def test_it_runs_the_workflow_and_says_how_each_step_ended(workflow, diamond, kind):
    kind.script["a"] = lambda spec, progress: kind.result(1234)
    text = output_of("shop")
    assert "a: success, 1,234 rows" in text
    assert "success in" in text
    assert PipelineRun.objects.get().status == "success"


def test_steps_that_do_not_wait_for_each_other_run_at_the_same_time(workflow, add_job, kind):
    both = threading.Barrier(2, timeout=60)
    for name in ("a", "b"):
        add_job(name)
        kind.script[name] = lambda spec, progress: both.wait() and None
    output_of("shop")
    assert PipelineRun.objects.get().status == "success"


def test_a_failed_run_is_told_with_its_remedy_and_by_the_exit_code(workflow, diamond, kind, capsys):
    def fail(spec, progress):
        raise SourceMissing("There is no file orders.csv.", hint="Upload it.")

    kind.script["b"] = fail
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("run_workflow", "shop", stdout=out)
    assert caught.value.returncode == 1
    for text in ("b: failed", "There is no file orders.csv.", "Upload it.", "d: skipped"):
        assert text in out.getvalue()


def test_only_and_the_window_reach_the_run(workflow, diamond):
    output_of("shop", "--only", "a", "b", "--from", "2026-01-01", "--to", "2026-01-31")
    run = PipelineRun.objects.get()
    assert [step.job_name for step in run.steps.all()] == ["a", "b"]
    assert (str(run.start_date), str(run.end_date)) == ("2026-01-01", "2026-01-31")


@pytest.mark.parametrize(("args", "message"), [(["nope"], "no workflow “nope”"), (["shop"], "nothing to run")])
def test_what_cannot_run_is_said_in_one_line(workflow, args, message):
    with pytest.raises(CommandError, match=message):
        output_of(*args)


def test_ctrl_c_cancels_the_run_and_waits_for_its_steps(workflow, diamond, kind, settings):
    settings.ASSAY_HEARTBEAT_SECONDS = 0.05
    stopped = threading.Event()

    def until_it_is_told(spec, progress):
        try:
            while True:
                progress("read")
                stopped.wait(0.01)
        finally:
            stopped.set()

    class Interrupting(Console):
        """Ctrl-C as soon as the first step is seen to run."""

        def print(self, *values, **options):
            super().print(*values, **options)
            if "a: running" in str(values[0]):
                raise KeyboardInterrupt

    kind.script["a"] = until_it_is_told
    run = services.start_run(workflow, send=False)
    ended = run_and_show(run, Interrupting(file=io.StringIO()))
    assert ended.status == "cancelled"
    assert stopped.wait(5)


def test_on_a_terminal_the_steps_are_a_table(workflow, diamond, kind):
    kind.script["d"] = lambda spec, progress: progress("publish", done=1, total=4)
    screen = io.StringIO()
    run = services.start_run(workflow, send=False)
    run_and_show(run, Console(file=screen, force_terminal=True, width=100))
    assert "✔ success" in screen.getvalue()
    assert "job" in screen.getvalue()
