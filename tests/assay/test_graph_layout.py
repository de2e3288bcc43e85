"""The drawing of graphs and of runs: lanes, order, bends, and what must not break them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from assay.common.gantt import gantt
from assay.common.graph import WIDTH, Node, draw
from assay.common.graph_layout import ROW, layout
from assay.common.sql_highlight import highlight_sql

LANES = {"source": 0, "bronze": 1, "silver": 2, "gold": 3}


def _nodes(*ids):
    return [Node(name, name.split(".")[0], name) for name in ids]


def test_lanes_stand_side_by_side_and_a_chain_inside_one_makes_it_wider():
    nodes = ["bronze.a", "silver.b", "silver.c", "gold.d"]
    placed = layout(nodes, [("bronze.a", "silver.b"), ("silver.b", "silver.c"), ("silver.c", "gold.d")], _lanes(nodes))
    assert [placed.points[node][0] for node in nodes] == [0, 1, 2, 3]
    assert placed.lane_columns[2] == (1, 2)


def _lanes(nodes):
    return {node: LANES[node.split(".")[0]] for node in nodes}


def test_no_two_nodes_of_a_column_overlap():
    nodes = [f"bronze.{number}" for number in range(20)] + [f"silver.{number}" for number in range(20)]
    edges = [(f"bronze.{a}", f"silver.{(a * 7 + b) % 20}") for a in range(20) for b in (0, 3)]
    placed = layout(nodes, edges, _lanes(nodes))
    for column in (0, 1):
        heights = sorted(y for x, y in placed.points.values() if x == column)
        assert all(below - above >= ROW - 1e-6 for above, below in pairwise(heights))


def test_crossings_are_untangled():
    nodes = ["bronze.a", "bronze.b", "silver.a", "silver.b"]
    placed = layout(nodes, [("bronze.a", "silver.b"), ("bronze.b", "silver.a")], _lanes(nodes))
    upper = [name for name in ("bronze.a", "bronze.b") if placed.points[name][1] == 0]
    partner = {"bronze.a": "silver.b", "bronze.b": "silver.a"}[upper[0]]
    assert placed.points[partner][1] == min(placed.points["silver.a"][1], placed.points["silver.b"][1])


def test_an_edge_over_several_columns_goes_around_what_stands_between():
    nodes = _nodes("source.x", "bronze.a", "silver.b", "gold.c")
    drawing = draw(
        nodes, [("source.x", "bronze.a"), ("bronze.a", "silver.b"), ("silver.b", "gold.c"), ("bronze.a", "gold.c")]
    )
    long = next(line for line in drawing.lines if (line.source, line.target) == ("bronze.a", "gold.c"))
    assert "H" in long.path


def test_a_cycle_is_still_drawn():
    drawing = draw(_nodes("silver.a", "silver.b"), [("silver.a", "silver.b"), ("silver.b", "silver.a")])
    assert len(drawing.lines) == 2
    assert drawing.nodes[1].x - drawing.nodes[0].x > WIDTH


def test_two_hundred_nodes_are_placed():
    nodes = _nodes(*(f"{lane}.{number}" for lane in LANES for number in range(50)))
    edges = [(f"silver.{a}", f"gold.{(a * 3) % 50}") for a in range(50)]
    assert len(draw(nodes, edges).nodes) == 200


def test_nothing_makes_an_empty_drawing():
    assert draw([], []).nodes == []


@dataclass
class _Step:
    status: str
    queued_at: datetime | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None


def test_bars_are_shares_of_the_run_and_show_the_wait():
    start = datetime(2026, 11, 22, tzinfo=UTC)
    step = _Step("success", start, start + timedelta(seconds=10), start + timedelta(seconds=30))
    (bar,) = gantt([step], start, start + timedelta(seconds=40)).bars
    assert (bar.wait_x, bar.wait_width, bar.x, bar.width) == (0, 25, 25, 50)


def test_a_step_that_has_not_begun_has_no_bar():
    start = datetime(2026, 11, 22, tzinfo=UTC)
    (bar,) = gantt([_Step("pending")], start, start + timedelta(seconds=1)).bars
    assert bar.width == 0


def test_sql_is_escaped_before_it_is_coloured():
    text = highlight_sql("select '<b>' as x -- <script>\nfrom t where a < 1")
    assert "<b>" not in text
    assert "<script>" not in text
    assert '<span class="sql-keyword">select</span>' in text
