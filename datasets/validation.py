"""What is wrong with a job: one list for API, admin, pages and `apply`."""

from __future__ import annotations

from assay.common.problems import Problem


def problems_of(job) -> list[Problem]:
    return []
