"""A graph of datasets or jobs as numbers that `assay/partials/graph.html` draws as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .graph_layout import Edge, Layout, Point, layout

LANES = ("source", "landing", "bronze", "silver", "gold")
WIDTH, HEIGHT = 188, 44  # of a node
COLUMN = 248  # from one column's left side to the next
MARGIN, TOP = 22, 58  # the lanes' names stand above


@dataclass(frozen=True)
class Node:
    id: str
    lane: str
    name: str
    detail: str = ""
    status: str = ""
    url: str = ""
    is_current: bool = False  # the one that the page is about
    x: float = 0
    y: float = 0

    @property
    def label(self) -> str:
        """What a screen reader says."""
        return ", ".join(part for part in (f"{self.lane} {self.name}", self.detail, self.status) if part)


@dataclass(frozen=True)
class Line:
    source: str
    target: str
    path: str


@dataclass(frozen=True)
class Band:
    """A lane's background."""

    name: str
    x: float
    width: float


@dataclass(frozen=True)
class Drawing:
    nodes: list[Node] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    width: float = 0
    height: float = 0


def draw(nodes: Sequence[Node], edges: Iterable[Edge]) -> Drawing:
    """Place nodes and edges; every lane is shown, so that an empty one is seen to be empty."""
    if not nodes:
        return Drawing()
    edges = list(dict.fromkeys(edges))
    lanes = {node.id: LANES.index(node.lane) for node in nodes}
    placed = layout([node.id for node in nodes], edges, lanes)
    at = {name: (MARGIN + column * COLUMN, TOP + y) for name, (column, y) in placed.points.items()}
    drawn = [_moved(node, at[node.id]) for node in nodes]
    lines = [Line(*edge, _path(edge, at, placed)) for edge in edges if edge[0] in at and edge[1] in at]
    bands = [
        Band(LANES[lane], MARGIN - 14 + first * COLUMN, count * COLUMN - (COLUMN - WIDTH) + 28)
        for lane, (first, count) in placed.lane_columns.items()
    ]
    right = max(band.x + band.width for band in bands)
    return Drawing(drawn, lines, bands, right + MARGIN - 14, TOP + placed.height + HEIGHT + MARGIN)


def _moved(node: Node, at: Point) -> Node:
    return replace(node, x=round(at[0], 1), y=round(at[1], 1))


def _path(edge: Edge, at: dict[str, Point], placed: Layout) -> str:
    """From the right side of one node to the left side of the next, level where it passes a column."""
    source, target = edge
    middle = HEIGHT / 2
    x, y = at[source][0] + WIDTH, at[source][1] + middle
    parts = [f"M{x:.1f},{y:.1f}"]
    for column, height in placed.bends.get(edge, []):
        left, level = MARGIN + column * COLUMN, TOP + height + middle
        parts += [_curve((x, y), (left, level)), f"H{left + WIDTH:.1f}"]
        x, y = left + WIDTH, level
    parts.append(_curve((x, y), (at[target][0], at[target][1] + middle)))
    return "".join(parts)


def _curve(start: Point, end: Point) -> str:
    half = (end[0] - start[0]) / 2
    return f"C{start[0] + half:.1f},{start[1]:.1f} {end[0] - half:.1f},{end[1]:.1f} {end[0]:.1f},{end[1]:.1f}"
