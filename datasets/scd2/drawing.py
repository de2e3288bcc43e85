"""The timeline of a key as boxes on a line: what the page's SVG is drawn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

WIDTH, HEIGHT = 1000, 44  # of the drawing's own units; it is stretched to the card
LEAST_WIDTH = 6.0  # of a version: one that is short must be seen, too
OPEN_SHARE = 0.12  # of the line, for the version that has no end
MOST_DRAWN = 200


@dataclass(frozen=True, slots=True)
class Box:
    number: int  # of the version, from 1
    left: float
    width: float
    is_current: bool
    title: str


def boxes(versions: list[dict[str, Any]]) -> list[Box]:
    """A box for each of the last versions, as wide as it was in effect; the current one has a fixed width."""
    shown = versions[-MOST_DRAWN:]
    if not shown:
        return []
    first = len(versions) - len(shown) + 1
    starts, ends = [_moment(v["effective_from"]) for v in shown], [_moment(v["effective_to"]) for v in shown]
    known = [moment for moment in (*starts, *ends) if moment is not None]
    low, high = min(known), max(known)
    line = WIDTH * (1 - OPEN_SHARE) if ends[-1] is None else WIDTH
    span = (high - low).total_seconds()

    def place(moment: datetime | None) -> float:
        if moment is None:
            return WIDTH
        return line * ((moment - low).total_seconds() / span) if span else 0.0

    return list(_without_overlap(shown, [(place(a), place(b)) for a, b in zip(starts, ends, strict=True)], first))


def _without_overlap(versions: list[dict], places: list[tuple[float, float]], first: int) -> Iterator[Box]:
    """Short versions are widened to what can be seen and move the next ones along, within the drawing."""
    after = 0.0
    for position, (version, (start, end)) in enumerate(zip(versions, places, strict=True)):
        room = WIDTH - LEAST_WIDTH * (len(versions) - position)
        left = round(min(max(start, after), max(room, after)), 1)
        width = round(max(end - left - 1.5, min(LEAST_WIDTH, WIDTH / len(versions))), 1)
        after = left + width
        ends = version["effective_to"] or "now"
        yield Box(first + position, left, width, version["is_current"], f"{version['effective_from']} – {ends}")


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
