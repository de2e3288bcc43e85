"""Any sequence of publishing equals the same sequence on a list of rows in memory."""

from dataclasses import dataclass, field

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.errors import StaleRun
from workers.lake.publish import restore
from workers.lake.table import open_table
from workers.specs import TableTarget

from .conftest import load, new_id

ROWS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["a", "b/ü %", None])), max_size=4)
STEP = st.one_of(
    st.tuples(st.sampled_from(["append", "overwrite", "overwrite_partition"]), ROWS),
    st.tuples(st.just("again"), st.integers(0, 20)),
    st.tuples(st.just("late"), ROWS),
    st.tuples(st.just("restore"), st.integers(0, 20)),
)


@dataclass
class Model:
    versions: list[list[tuple]] = field(default_factory=list)
    published: dict[str, int] = field(default_factory=dict)

    def apply(self, mode: str, rows: list[tuple]) -> None:
        old = self.versions[-1] if self.versions else []
        replaced = {part for _, part in rows}
        kept = {
            "append": old,
            "overwrite": [],
            "overwrite_partition": [row for row in old if row[1] not in replaced],
        }[mode]
        self.versions.append(kept + rows)


def frame(rows):
    return pl.DataFrame(rows, schema={"id": pl.Int64, "part": pl.String}, orient="row")


def perform(target: TableTarget, model: Model, kind: str, given) -> None:
    if kind == "again" and model.published:
        run = list(model.published)[given % len(model.published)]
        again = load(target, frame([(99, "a")]), run_id=run)
        assert (again.already, again.version) == (True, model.published[run])
    elif kind == "restore" and model.versions:
        version = given % len(model.versions)
        run = new_id()
        model.published[run] = restore(target, version, run).version
        model.versions.append(model.versions[version])
    elif kind in ("append", "overwrite", "overwrite_partition"):
        run = new_id()
        published = load(target, frame(given), mode=kind, run_id=run)
        model.apply(kind, given)
        model.published[run] = published.version
        assert (published.rows, published.table_rows) == (len(given), len(model.versions[-1]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=1, max_size=7))
def test_any_sequence_of_publishing_equals_the_same_on_a_list(tmp_path, steps):
    target = TableTarget(dataset="gold.shop.x", uri=str(tmp_path / new_id()), partition_by=("part",))
    model = Model()
    for kind, given_ in steps:
        stale = new_id()  # began before the step, publishes after it
        perform(target, model, kind, given_)
        if kind == "late" and model.versions:
            load(target, frame([(1, "a")]))
            model.apply("append", [(1, "a")])
            try:
                load(target, frame(given_), run_id=stale)
            except StaleRun:
                continue
            raise AssertionError("a run that had been overtaken published")
    assert len(model.versions) == (open_table(target.uri).version + 1 if model.versions else 0)
    for version, wanted in enumerate(model.versions):
        table = open_table(target.uri, version)
        rows = table.scan().collect().rows()
        assert sorted(rows, key=repr) == sorted(wanted, key=repr)
        assert (table.rows, sum(file.rows for file in table.data_files)) == (len(wanted), len(wanted))
