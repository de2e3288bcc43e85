"""What is told to workers. A message is a hint: it may be lost, late or doubled, and nothing depends on it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from celery import chain
from django.conf import settings

from assay.common.home import NO_BROKER
from workers.celery import app

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """A step that was put into the queue, and the token that its worker must show."""

    step_id: int
    token: str
    pipeline_run_id: int


def send_steps(claims: Iterable[Claim]) -> None:
    """To each worker: execute this step, then look what its run can do next."""
    _send([chain(_run_step(claim), _advance(claim.pipeline_run_id)) for claim in claims])


def send_advances(pipeline_run_ids: Iterable[int]) -> None:
    _send([_advance(run_id) for run_id in pipeline_run_ids])


def _run_step(claim: Claim):
    return app.signature("ops.tasks.run_step", args=(claim.step_id, claim.token), immutable=True)


def _advance(pipeline_run_id: int):
    return app.signature("ops.tasks.advance", args=(pipeline_run_id,), immutable=True)


def _send(signatures: list) -> None:
    """Never raises: the rows are written, and the reaper sends again what did not arrive."""
    if settings.CELERY_BROKER_URL == NO_BROKER or not signatures:
        return
    try:
        with app.producer_or_acquire() as producer:
            for signature in signatures:
                signature.apply_async(producer=producer, retry=False)
    except Exception:  # each transport has errors of its own
        logger.warning("the broker did not take a message; the reaper will send it again", exc_info=True)
