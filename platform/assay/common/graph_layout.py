"""Where the nodes and edges of a layered graph go: pure geometry, no drawing.

Columns follow the lanes (source, landing, …), the order inside a column comes
from barycentre sweeps that keep the crossings low, the heights from
pool-adjacent-violators, which pulls each node towards its neighbours without
overlap. Edges over several columns bend around what stands between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[str, str]
Point = tuple[float, float]

ROW = 60.0  # from one node's middle to the next, in the same unit as the result
BEND = 22.0  # the same for the bend of an edge that passes a column
SWEEPS = 24
SETTLING = 16


@dataclass(frozen=True)
class Layout:
    """`points` holds column and height (from 0) of each node; `bends` those that each edge passes between its ends."""

    points: dict[str, Point]
    bends: dict[Edge, list[Point]]
    lane_columns: dict[int, tuple[int, int]]  # lane → its first column and how many it has
    height: float


def layout(nodes: Sequence[str], edges: Iterable[Edge], lane_of: Mapping[str, int]) -> Layout:
    """Place `nodes`; an edge that would close a cycle does not pull, and has no bends."""
    forward = _without_cycles(nodes, edges)
    columns, lane_columns = _columns(nodes, forward, lane_of)
    chains, above, below = _chains(forward, columns)
    levels = _levels(nodes, chains, columns)
    levels = _order(levels, above, below)
    heights = _heights(levels, above, below)
    points = {node: (columns[node], heights[node]) for node in nodes}
    bends = {edge: [(bend[2], heights[bend]) for bend in chain[1:-1]] for edge, chain in chains.items()}
    return Layout(points, bends, lane_columns, max(heights.values(), default=0.0))


def _without_cycles(nodes: Sequence[str], edges: Iterable[Edge]) -> list[Edge]:
    known = set(nodes)
    kept: list[Edge] = []
    out: dict[str, list[str]] = defaultdict(list)
    for source, target in dict.fromkeys(edges):
        if source in known and target in known and not _reaches(out, target, source):
            out[source].append(target)
            kept.append((source, target))
    return kept


def _reaches(out: Mapping[str, list[str]], start: str, goal: str) -> bool:
    seen, todo = {start}, [start]
    while todo:
        node = todo.pop()
        if node == goal:
            return True
        fresh = [other for other in out.get(node, ()) if other not in seen]
        seen.update(fresh)
        todo.extend(fresh)
    return False


def _columns(
    nodes: Sequence[str], edges: list[Edge], lane_of: Mapping[str, int]
) -> tuple[dict[str, int], dict[int, tuple[int, int]]]:
    """Each node's column: lanes stand side by side, and a lane is as wide as its longest chain."""
    lane = {node: lane_of[node] for node in nodes}
    depth = dict.fromkeys(nodes, 0)
    into: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        into[target].append(source)
    for node in _topological(nodes, edges):
        lane[node] = max([lane[node], *(lane[source] for source in into[node])])
        depth[node] = max([0, *(depth[source] + 1 for source in into[node] if lane[source] == lane[node])])
    lane_columns, first = {}, 0
    for number in sorted(set(lane.values()) | set(lane_of.values())):
        width = max([depth[node] + 1 for node in nodes if lane[node] == number], default=1)
        lane_columns[number] = (first, width)
        first += width
    return {node: lane_columns[lane[node]][0] + depth[node] for node in nodes}, lane_columns


def _topological(nodes: Sequence[str], edges: list[Edge]) -> list[str]:
    waiting = dict.fromkeys(nodes, 0)
    out: dict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        waiting[target] += 1
        out[source].append(target)
    order = [node for node in nodes if not waiting[node]]
    for node in order:  # grows while it is walked
        for target in out[node]:
            waiting[target] -= 1
            if not waiting[target]:
                order.append(target)
    return order


def _chains(edges: list[Edge], columns: Mapping[str, int]):
    """Each edge as a chain of neighbours in adjacent columns, with a bend `(source, target, column)` in between."""
    chains, above, below = {}, defaultdict(list), defaultdict(list)
    for source, target in edges:
        bends = [(source, target, column) for column in range(columns[source] + 1, columns[target])]
        chains[source, target] = chain = [source, *bends, target]
        for left, right in pairwise(chain):
            below[left].append(right)
            above[right].append(left)
    return chains, above, below


def _levels(nodes: Sequence[str], chains: Mapping, columns: Mapping[str, int]) -> list[list]:
    levels: list[list] = [[] for _ in range(max(columns.values(), default=-1) + 1)]
    for node in nodes:
        levels[columns[node]].append(node)
    for chain in chains.values():
        for bend in chain[1:-1]:
            levels[bend[2]].append(bend)
    return levels


# --- the order inside each column -------------------------------------------------


def _order(levels: list[list], above: Mapping, below: Mapping) -> list[list]:
    best, fewest = [level[:] for level in levels], _all_crossings(levels, below)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        _sweep(levels, above if sweep % 2 == 0 else below, rightwards=sweep % 2 == 0)
        crossings = _all_crossings(levels, below)
        if crossings < fewest:
            best, fewest = [level[:] for level in levels], crossings
    return best


def _sweep(levels: list[list], neighbours: Mapping, *, rightwards: bool) -> None:
    """Sort each column by the mean position of its neighbours in the column before."""
    order = range(1, len(levels)) if rightwards else range(len(levels) - 2, -1, -1)
    for number in order:
        place = {node: i for i, node in enumerate(levels[number + (-1 if rightwards else 1)])}
        own = {node: float(i) for i, node in enumerate(levels[number])}

        def key(node, place=place, own=own):
            near = [place[other] for other in neighbours.get(node, ()) if other in place]
            return (sum(near) / len(near) if near else own[node], own[node])

        levels[number].sort(key=key)


def _all_crossings(levels: list[list], below: Mapping) -> int:
    return sum(_crossings(left, right, below) for left, right in pairwise(levels))


def _crossings(left: list, right: list, below: Mapping) -> int:
    """Inversions in the edges' right ends, counted with a Fenwick tree."""
    place = {node: i for i, node in enumerate(right)}
    tree, total, seen = [0] * (len(right) + 1), 0, 0
    for node in left:
        for end in sorted(place[other] for other in below.get(node, ())):
            smaller, i = 0, end + 1
            while i:
                smaller += tree[i]
                i &= i - 1
            total += seen - smaller
            seen, i = seen + 1, end + 1
            while i <= len(right):
                tree[i] += 1
                i += i & -i
    return total


# --- heights ----------------------------------------------------------------------


def _heights(levels: list[list], above: Mapping, below: Mapping) -> dict:
    heights = _stacked(levels)
    for turn in range(SETTLING):
        for level in levels if turn % 2 == 0 else reversed(levels):
            wanted, weights = [], []
            for node in level:
                height, weight = _pull(node, [*above.get(node, ()), *below.get(node, ())], heights)
                wanted.append(height)
                weights.append(weight)
            gaps = [_gap(upper, lower) for upper, lower in pairwise(level)]
            heights.update(zip(level, _settle(wanted, gaps, weights), strict=True))
    lowest = min(heights.values(), default=0.0)
    return {node: height - lowest for node, height in heights.items()}


def _stacked(levels: list[list]) -> dict:
    """Every column stacked without holes and centred on the tallest."""
    heights, tallest = {}, 0.0
    for level in levels:
        top = 0.0
        for i, node in enumerate(level):
            top += _gap(level[i - 1], node) if i else 0.0
            heights[node] = top
        tallest = max(tallest, top)
    for level in levels:
        if level:
            shift = (tallest - heights[level[-1]]) / 2
            heights.update({node: heights[node] + shift for node in level})
    return heights


def _pull(node, neighbours: list, heights: Mapping) -> tuple[float, float]:
    """Where the neighbours want the node, and how much. Bends of one edge hold together, so that it runs straight."""
    if not neighbours:
        return heights[node], 0.2
    weights = [4 if isinstance(node, tuple) and isinstance(other, tuple) else 1 for other in neighbours]
    total = sum(weights)
    return sum(heights[o] * w for o, w in zip(neighbours, weights, strict=True)) / total, total


def _gap(upper, lower) -> float:
    return sum(BEND if isinstance(node, tuple) else ROW for node in (upper, lower)) / 2


def _settle(wanted: list[float], gaps: list[float], weights: list[float]) -> list[float]:
    """The heights nearest to `wanted` (weighted squares) with at least `gaps` between them."""
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[tuple[float, float, int]] = []  # mean, weight, members
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        mean, total, members = want - offset, weight, 1
        while blocks and blocks[-1][0] >= mean:
            other, other_total, other_members = blocks.pop()
            mean = (mean * total + other * other_total) / (total + other_total)
            total, members = total + other_total, members + other_members
        blocks.append((mean, total, members))
    means = [mean for mean, _, members in blocks for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
