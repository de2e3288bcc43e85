"""One run of a dimension: which rows of the input are new to it, and what of the table changes for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from workers.lake.publish import Change
from workers.lake.stage import Staging
from workers.lake.table import Table
from workers.specs import Column
from workers.template_specs import Scd2Spec

from .evidence import Evidence
from .known import Known
from .observations import check_places, input_rows, may_lack_places, observations, shape_of
from .reading import Reading, reading_of
from .timeline import Shape
from .work import Counts, Work

Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class Scd2Change:
    """Asked by `publish` what becomes of a version of the table; asked again when another commit came between."""

    spec: Scd2Spec
    source: Table
    staging: Staging | None  # None: nothing is written
    say: Say
    shape: Shape = field(init=False)
    written: list[Evidence] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shape = shape_of(self.spec)

    def __call__(self, table: Table | None, columns: tuple[Column, ...]) -> Change:
        work, rows = self.work(table, columns)
        reading = work.reading
        self.say(f"{len(reading.files)} of {len(self.source.data_files)} files of the input: {reading.why}")
        return work.build(rows, table) if reading.how in ("first", "anew") else work.update(rows)

    def work(self, table: Table | None, columns: tuple[Column, ...]) -> tuple[Work, pl.LazyFrame]:
        """What there is to do for a version of the table, and the observations it begins with."""
        reading = reading_of(self.spec, self.source, table)
        known = None
        if table is not None and reading.state is not None and reading.known_shape is not None:
            files = reading.state.evidence
            evidence = Evidence(self.spec.target, self.spec.run_id, files, reading.known_shape)
            evidence.check()
            known = Known(table=table, columns=columns, evidence=evidence, shape=reading.known_shape)
        return Work(self, reading, known, Counts()), self._read(reading)

    def _read(self, reading: Reading) -> pl.LazyFrame:
        """The observations of the files, once they all are known to have a key and a time."""
        rows = input_rows(self.source, None if len(reading.files) == len(self.source.data_files) else reading.files)
        if may_lack_places(reading.files, self.spec):
            check_places(rows, self.spec)
        return observations(rows, self.spec, self.shape)

    def every_observation(self) -> pl.LazyFrame:
        rows = input_rows(self.source)
        if may_lack_places(self.source.data_files, self.spec):
            check_places(rows, self.spec)
        return observations(rows, self.spec, self.shape)

    def discard(self) -> None:
        for evidence in self.written:
            evidence.discard()
