"""Run ids: UUID version 7 (RFC 9562), so that they sort by the time they were made."""

from __future__ import annotations

import secrets
import time
import uuid


def new_run_id() -> uuid.UUID:
    """48 bits of milliseconds since 1970, then 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def sequence_of(run_id: str | uuid.UUID) -> int:
    """The run's place among the runs of its job: the id's milliseconds.

    It is the version of the Delta app transaction. One job has one run at a
    time, so two runs of one job never share a millisecond.
    """
    return uuid.UUID(str(run_id)).int >> 80
