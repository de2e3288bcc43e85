"""What workers do. Every task may be lost, late or doubled: each asks the rows first."""

from __future__ import annotations

from celery.signals import worker_process_init
from django.db import connections

from workers.celery import app

from . import execution, orchestrator, reaper, services


@worker_process_init.connect
def _keep_connections(**_: object) -> None:
    """A process works on one task after another: one database connection serves them all."""
    for settings in connections.settings.values():
        settings["CONN_MAX_AGE"] = None


@app.task
def run_step(step_id: int, token: str) -> None:
    execution.execute_step(step_id, token)


@app.task
def advance(pipeline_run_id: int) -> None:
    orchestrator.advance(pipeline_run_id)


@app.task
def reap() -> None:
    reaper.reap()


@app.task
def start_scheduled_runs() -> None:
    services.start_scheduled_runs()
