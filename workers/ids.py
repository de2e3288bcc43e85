"""Run ids: UUID version 7 (RFC 9562), so that they sort by the time they were made."""

from __future__ import annotations

import secrets
import time
import uuid


def new_run_id(after: uuid.UUID | None = None) -> uuid.UUID:
    """48 bits of milliseconds since 1970, then 74 random bits.

    The id comes after `after`, the last run of the same job, whatever the
    clock says: of two hosts, one may be behind, and the lake lets no earlier
    run publish after a later one.
    """
    milliseconds = time.time_ns() // 1_000_000
    if after is not None:
        milliseconds = max(milliseconds, sequence_of(after) + 1)
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def sequence_of(run_id: str | uuid.UUID) -> int:
    """The run's place among the runs of its job: the id's milliseconds.

    It is the version of the Delta app transaction. No two runs of one job
    share a millisecond: each is made after the last one.
    """
    return uuid.UUID(str(run_id)).int >> 80
