"""Any order of changes at the source, runs, crashes, rollbacks and rewinds ends in what a plain model says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from workers.errors import AuditFailed, TooManyDeletes
from workers.executors.ingest import change
from workers.executors.ingest.run import run_ingest
from workers.lake.table import open_table, table_exists
from workers.specs import Watermark

from .conftest import Loading

LAG = 20
COLUMNS = {"id": "int64", "at": "int64", "note": "string"}
Row = tuple[int, int | None, str]


class Broken(AuditFailed):
    """A crash, as far as one process can have one: nothing behind it happens."""


class Source(RuleBasedStateMachine):
    """A source that changes, a job that loads it, and beside it what the table must hold, version by version."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = TemporaryDirectory()
        self.rows: list[Row] = []
        self.clock = self.number = 0
        self.versions: list[tuple[Counter, int | None]] = []  # the model: rows and watermark of each version

    @initialize(is_merge=st.booleans(), deletes=st.booleans(), has_lag=st.booleans())
    def begin(self, is_merge: bool, deletes: bool, has_lag: bool) -> None:
        self.is_merge, self.deletes = is_merge, is_merge and deletes
        self.is_full = self.deletes  # a file tells all keys only when it is loaded in full
        changes = {"write_mode": "merge", "key_columns": ("id",)} if is_merge else {}
        if self.deletes:
            changes["delete_detection"] = "hard"
        self.lag = LAG if has_lag else 0
        self.job = Loading(
            Path(self._folder.name), COLUMNS, "at" if not self.is_full else None, str(LAG) * has_lag, changes=changes
        )

    def teardown(self) -> None:
        self._folder.cleanup()

    # --- the source -------------------------------------------------------------

    @rule(rows=st.integers(1, 4), late=st.sampled_from([0, 0, 0, 3, LAG - 1]), is_null=st.booleans())
    def insert(self, rows: int, late: int, is_null: bool) -> None:
        for _ in range(rows):
            self.number, self.clock = self.number + 1, self.clock + 1
            self.rows.append((self.number, max(self.clock - late, 0), "new"))
        if is_null and not self.is_merge:
            self.number += 1
            self.rows.append((self.number, None, "no time"))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def repeat(self, data) -> None:
        """A second row that is equal to one there is, or, where rows have keys, a newer state of it."""
        row = data.draw(st.sampled_from(self.rows))
        if not self.is_merge:
            self.rows.append(row)
            return
        self.clock += 1
        self.rows = [one for one in self.rows if one[0] != row[0]] + [(row[0], self.clock, f"changed at {self.clock}")]

    @precondition(lambda self: self.rows and self.deletes)
    @rule(data=st.data())
    def delete(self, data) -> None:
        self.rows.remove(data.draw(st.sampled_from(self.rows)))

    # --- the job -----------------------------------------------------------------

    @property
    def now(self) -> tuple[Counter, int | None]:
        return self.versions[-1] if self.versions else (Counter(), None)

    def expected(self) -> tuple[Counter, int | None] | None:
        """What a run makes of the table; None where it must refuse."""
        held, last = self.now
        lower = None if last is None else last - self.lag
        seen = [row for row in self.rows if lower is None or row[1] is None or row[1] >= lower or self.is_full]
        if not self.is_merge:
            return held | Counter(seen), max([last, *(row[1] for row in seen)], key=lambda v: -1 if v is None else v)
        table = {row[0]: row for row in held}
        for row in seen:
            known = table.get(row[0])
            if self.is_full or known is None or row[1] >= known[1]:
                table[row[0]] = row
        if self.deletes:
            gone = table.keys() - {row[0] for row in self.rows}
            # Kept small, so that only a source that is empty all at once is refused.
            if gone and len(gone) == len(held):
                return None
            table = {key: row for key, row in table.items() if key not in gone}
        top = max([last, *(row[1] for row in seen)], key=lambda v: -1 if v is None else v)
        return Counter(table.values()), None if self.is_full else top

    @rule()
    def run(self) -> None:
        expected = self.expected()
        if expected is None:
            self._refused()
            return
        result = self.job.run(self.rows)
        received = result.rows_read + sum(result.skipped.values())
        assert received == len(self.rows)
        assert result.rows_read == result.rows_written + result.quarantined_rows
        self.versions.append(expected)
        self.compare()

    def _refused(self) -> None:
        try:
            self.job.run(self.rows)
        except TooManyDeletes:
            return
        raise AssertionError("everything was deleted")

    @rule(is_repeated=st.booleans(), step=st.sampled_from(["check_balance", "next"]))
    def crash(self, is_repeated: bool, step: str) -> None:
        """A run breaks off before its commit, or when it has committed; perhaps it is tried again."""
        expected = self.expected()
        if expected is None:
            return
        spec = self.job.spec(self.rows)
        if step == "next":
            run_ingest(spec)
            self.versions.append(expected)
        else:
            self._break(spec)
        self.compare()
        if is_repeated:
            again = run_ingest(spec)
            if step == "next":
                assert again.published.already
            else:
                self.versions.append(expected)
            self.compare()

    def _break(self, spec) -> None:
        original = change.check_balance

        def broken(*_: object) -> None:
            raise Broken("crash")

        change.check_balance = broken
        try:
            run_ingest(spec)
        except Broken:
            pass
        finally:
            change.check_balance = original

    @precondition(lambda self: self.versions)
    @rule(data=st.data())
    def roll_back(self, data) -> None:
        version = data.draw(st.integers(0, len(self.versions) - 1))
        self.job.roll_back(version)
        self.versions.append(self.versions[version])
        self.compare()

    @precondition(lambda self: self.versions and not self.is_full)
    @rule(data=st.data())
    def rewind(self, data) -> None:
        value = data.draw(st.none() | st.integers(0, self.now[1] or 0))
        self.job.set_watermark(value)
        self.versions.append((self.now[0], value))
        self.compare()

    def compare(self) -> None:
        if not table_exists(self.job.target.uri):
            assert not self.versions
            return
        rows, watermark = self.now
        held = open_table(self.job.target.uri).scan().select(*COLUMNS).collect()
        assert Counter(held.rows()) == +rows
        assert open_table(self.job.target.uri).version == len(self.versions) - 1
        if not self.is_full:
            assert self.job.last == watermark
            assert self.job.spec(self.rows).watermark == Watermark(column="at", last=watermark, lag=self.job.lag)


TestAnyOrder = Source.TestCase
TestAnyOrder.settings = settings(
    max_examples=12,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)
