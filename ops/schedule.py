"""When a workflow starts by itself: a cron line in a time zone, and the next time it names."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterBadDateError, croniter

from assay.common.problems import Problem

if TYPE_CHECKING:
    from .models import Workflow


def problems_of(workflow: Workflow) -> list[Problem]:
    """What is wrong with the schedule; an empty cron line is a workflow without one."""
    cron, zone = workflow.schedule_cron, workflow.schedule_timezone
    problems = []
    if cron and not _is_cron(cron):
        detail = f"“{cron}” is no cron line. Write minute hour day month weekday, as in 0 6 * * 1-5."
        problems.append(Problem("schedule_cron", detail, "invalid_cron"))
    if zone not in available_timezones():
        detail = f"There is no time zone “{zone}”. Use a name such as Europe/Berlin or UTC."
        problems.append(Problem("schedule_timezone", detail, "invalid_timezone"))
    if workflow.schedule_enabled and not cron:
        problems.append(Problem("schedule_cron", "An enabled schedule needs a cron line.", "required"))
    return problems


def _is_cron(line: str) -> bool:
    # Six and seven fields are croniter's own (seconds, years); shortcuts such as @daily are one.
    if not (len(line.split()) == 5 or line.startswith("@")) or not croniter.is_valid(line):
        return False
    try:
        croniter(line, datetime(2024, 1, 1)).get_next(datetime)  # noqa: DTZ001  (a wall clock's)
    except CroniterBadDateError:  # the 30th of February
        return False
    return True


def next_time(workflow: Workflow, after: datetime) -> datetime | None:
    """The first time after `after` (aware), in UTC; None without an enabled, valid schedule.

    The cron line is read on the clock of its zone. A time that the clock
    skips in spring comes an hour later; one that it shows twice in autumn
    counts once, the first time. Lines for every hour go on through both.
    """
    if not (workflow.schedule_enabled and workflow.schedule_cron) or problems_of(workflow):
        return None
    local = after.astimezone(ZoneInfo(workflow.schedule_timezone))
    zone = timezone(local.utcoffset()) if _is_hourly(workflow.schedule_cron) else local.tzinfo
    # The line is walked on a plain wall clock, from before any jump of it: that knows no skipped or doubled hour.
    walk = croniter(workflow.schedule_cron, local.replace(tzinfo=None) - timedelta(hours=3))
    while True:
        moment = walk.get_next(datetime).replace(tzinfo=zone).astimezone(UTC)
        if moment > after:
            return moment


def _is_hourly(line: str) -> bool:
    return line == "@hourly" or line.split()[1:2] == ["*"]
