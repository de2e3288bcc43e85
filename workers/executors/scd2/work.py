"""What one version of a dimension becomes: all of it made anew, or only the versions of keys that are concerned."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from workers.errors import AuditFailed
from workers.lake.maintain import BESIDE
from workers.lake.publish import Change
from workers.lake.rewrite import PATH
from workers.lake.stage import StagedFile
from workers.lake.table import Table
from workers.specs import to_json

from .absence import Absence, absence_between, absence_in, is_told_by_absence
from .evidence import STATE, Evidence, State
from .known import FIRST, Known, in_range, late_news
from .reading import Reading, config_of
from .restate import Scope, scope_of
from .rewrite import Rewriting, sink
from .timeline import FROM, GONE, IS_CURRENT, TO, Shape, Timeline, differs, overlaps, timeline

if TYPE_CHECKING:
    from .change import Scd2Change

BATCH_ROWS = 500_000  # observations that are looked at at a time, in memory
SAMPLE = 16  # of so many keys one tells where to cut


@dataclass(slots=True)
class Counts:
    """What the run did, for the run's page."""

    observations: int = 0
    keys: int = 0
    late_keys: int = 0
    added: int = 0
    removed: int = 0
    closed: int = 0
    gone_keys: int = 0
    evidence: int = 0


@dataclass(slots=True)
class Part:
    """What the observations of some keys change."""

    added: pl.DataFrame | pl.LazyFrame
    removed: pl.DataFrame | pl.LazyFrame  # with PATH
    evidence: pl.DataFrame | pl.LazyFrame  # what is to be written
    keys: pl.DataFrame | None = None  # that were restated

    def spilled(self, folder: Path, number: int, shape: Shape) -> Part:
        """What is still needed when history is written, on disk."""
        return replace(
            self,
            added=_spilled(self.added.filter(IS_CURRENT), folder / f"{number}-added.parquet"),
            removed=_spilled(self.removed.select(*shape.place, PATH), folder / f"{number}-removed.parquet"),
            evidence=_spilled(self.evidence, folder / f"{number}-evidence.parquet"),
        )


class Work:
    """One answer to `publish`."""

    def __init__(self, run: Scd2Change, reading: Reading, known: Known | None, counts: Counts) -> None:
        self.run, self.reading, self.known, self.counts = run, reading, known, counts
        self.spec, self.shape, self.staging = run.spec, run.shape, run.staging
        self.absence: Absence | None = None
        self.scope: Scope | None = scope_of(self.spec.restatement, self.shape) if self.spec.restatement else None

    # --- everything anew ---------------------------------------------------------------

    def build(self, rows: pl.LazyFrame, table: Table | None) -> Change:
        """All versions from all observations, a range of keys at a time."""
        before = len(self.staging.files)
        places = [rows.select(self.shape.keys[0])]
        if self.known:
            places += [self.known.scan(self.known.files(current=kind), current=kind) for kind in (True, False)]
            places = [each.select(self.shape.keys[0]) for each in places]
        told = []
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
            for number, (low, high) in enumerate(self._ranges(pl.concat(places))):
                line = self._built(rows, low, high)
                for current in (False, True):
                    sink(line.versions.filter(pl.col(IS_CURRENT) == current), self.staging, current=current)
                told.append(_spilled(line.evidence, Path(scratch, f"{number}.parquet")))
            evidence = self._evidence(pl.concat(told) if told else None, instead=True)
        files = self.staging.files[before:]
        replaced = table.data_files if table is not None else ()
        self.counts.removed = sum(file.rows for file in replaced)
        return Change(files=files, replaced=tuple(replaced), metadata=self._told(evidence, files, replaced))

    def _built(self, rows: pl.LazyFrame, low: Any, high: Any) -> Timeline:
        key = self.shape.keys[0]
        inside = in_range(key, self.shape.schema[key], low, high)
        seen = rows.filter(inside).collect(engine="streaming")
        self.counts.observations += seen.height
        if self.known:
            before = _in_shape(self.known.between(low, high), self.shape)
            if self.scope:
                before = self.scope.without(before, self.shape)
            everything = pl.concat([before, seen])
            if is_told_by_absence(self.spec):
                absence = absence_between(self.spec, self.shape, before, seen)
                everything = absence.completed(everything, present=seen)
            seen = everything
        line = timeline(seen, self.shape)
        self._look_at(line.versions)
        self.counts.keys += seen.select(pl.struct(self.shape.keys).n_unique()).item() if seen.height else 0
        self.counts.added += line.versions.height
        self.counts.evidence += line.evidence.height
        return line

    def _ranges(self, keys: pl.LazyFrame) -> Iterator[tuple[Any, Any]]:
        """Bounds of the first key between which there are about so many rows as fit into memory."""
        sample = keys.gather_every(SAMPLE).collect(engine="streaming").to_series().sort()
        step = max(BATCH_ROWS // SAMPLE, 1)
        cuts = sample.gather_every(step, offset=step).unique(maintain_order=True).to_list()
        yield from zip([None, *cuts], [*cuts, None], strict=True)

    # --- what is new -------------------------------------------------------------------

    def update(self, rows: pl.LazyFrame) -> Change:
        """Only the versions of keys of which something new was observed."""
        before = len(self.staging.files)
        batch = self.batch(rows)
        ranges = list(self._ranges(self._keys(batch)))
        with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
            parts = []
            for number, (low, high) in enumerate(ranges):
                part = self._updated(batch, low, high)
                sink(part.added.filter(~pl.col(IS_CURRENT)), self.staging, current=False)
                parts.append(part if len(ranges) == 1 else part.spilled(Path(scratch), number, self.shape))
            return self._changed(parts, self.staging.files[before:])

    def parts(self, rows: pl.LazyFrame) -> Iterator[Part]:
        """The same with nothing written: what changes, a range of keys at a time."""
        batch = self.batch(rows)
        for low, high in self._ranges(self._keys(batch)):
            yield self._updated(batch, low, high)

    def batch(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """The observations to look at: new ones, those in scope of a restatement, and who is gone."""
        if is_told_by_absence(self.spec):
            everything = self.run.every_observation()
            self.absence = absence_in(self.spec, self.shape, everything, self.known)
            self.counts.gone_keys = self.absence.absent.height
            rows = pl.concat([rows, self.absence.rows(everything)])
        if self.scope:
            return pl.concat([rows, self.scope.of(self.run.every_observation())])
        # Rows that do not all fit into memory are read once for each range of keys.
        is_large = sum(file.rows for file in self.reading.files) > BATCH_ROWS
        return rows if is_large else rows.collect(engine="streaming").lazy()

    def _keys(self, several: pl.LazyFrame) -> pl.LazyFrame:
        keys = [several.select(self.shape.keys[0])]
        if self.scope:
            held = [self.known.scan(self.known.files(current=kind), current=kind) for kind in (True, False)]
            keys += [each.select(self.shape.keys[0]) for each in held]
        return pl.concat(keys)

    def _updated(self, several: pl.LazyFrame, low: Any, high: Any) -> Part:
        key, names = self.shape.keys[0], list(self.shape.keys)
        inside = in_range(key, self.shape.schema[key], low, high)
        batch = several.filter(inside).collect(engine="streaming")
        self.counts.observations += batch.height
        if self.scope:
            return self._restated(batch, inside)
        current = self.known.versions(batch.select(names).unique(), current=True)
        batch = self._fresh(batch, current)
        firsts = batch.group_by(names).agg(pl.col(FROM).min().alias(FIRST))
        late = self.known.late(firsts, current)
        if self.absence:
            # Whether a key is back is told by what was known of it last.
            late = pl.concat([late, firsts.select(names).join(self.absence.back, on=names, how="semi")]).unique()
        return self._compared(batch, firsts.select(names), late, current)

    def _fresh(self, batch: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
        fresh = self.known.unknown(batch, current)
        if not self.absence:
            return fresh
        # Of keys that are back every row is needed: it may be the one that tells their values.
        back = batch.join(self.absence.back, on=list(self.shape.keys), how="semi")
        return pl.concat([fresh, back])

    def _restated(self, batch: pl.DataFrame, inside: pl.Expr) -> Part:
        """All keys in scope are looked at as if something late had come for them."""
        names = list(self.shape.keys)
        told = [self.known.scan(self.known.files(current=kind), current=kind).filter(inside) for kind in (True, False)]
        held = [pl.concat(told).select(names), self.known.evidence.scan().filter(inside).select(names)]
        everyone = pl.concat(held)
        if self.scope.keys is not None:
            everyone = everyone.join(self.scope.keys.lazy(), on=names, how="semi")
        keys = pl.concat([everyone, batch.lazy().select(names)]).unique().collect(engine="streaming")
        return self._compared(batch, keys, keys, self.known.versions(keys, current=True))

    def _compared(self, batch: pl.DataFrame, keys: pl.DataFrame, late: pl.DataFrame, current: pl.DataFrame) -> Part:
        """What the keys' timelines were and what they are now. `late` are keys of which all has to be known."""
        names = list(self.shape.keys)
        before = pl.concat([current.join(keys, on=names, how="semi"), self.known.versions(late, current=False)])
        told = self.known.evidence.of(late).unique(self.shape.place, keep="last", maintain_order=True)
        seen = self.known.observations(before, told)
        if late.height:
            late_rows = batch.join(late, on=names, how="semi")
            self.counts.late_keys += late_news(late_rows, seen, self.shape).height
        if self.scope:
            seen = self.scope.without(seen, self.shape)
        everything = pl.concat([seen, batch])
        if self.absence:
            everything = self.absence.completed(everything, present=batch)
        line = timeline(everything, self.shape)
        self._look_at(line.versions)
        kept = _kept(before, line.versions, self.shape)
        part = Part(
            added=line.versions.join(kept, on=self.shape.place, how="anti", maintain_order="left"),
            removed=before.join(kept, on=self.shape.place, how="anti"),
            evidence=line.evidence if self.scope else _new_evidence(line.evidence, told, self.shape),
            keys=keys if self.scope else None,
        )
        self._count(part, keys)
        return part

    def _count(self, part: Part, keys: pl.DataFrame) -> None:
        counts, place = self.counts, self.shape.place
        counts.keys += keys.height
        counts.added += part.added.height
        counts.removed += part.removed.height
        counts.evidence += part.evidence.height
        were_open = part.removed.filter(pl.col(TO).is_null()).select(place)
        counts.closed += part.added.filter(pl.col(TO).is_not_null()).join(were_open, on=place, how="semi").height

    def _changed(self, parts: list[Part], history: tuple[StagedFile, ...]) -> Change:
        """The answer, from what all parts change."""
        rewriting = Rewriting(
            known=self.known,
            shape=self.shape,
            staging=self.staging,
            removed=pl.concat([part.removed.lazy().select(*self.shape.place, PATH) for part in parts]),
            added=pl.concat([part.added.lazy().filter(IS_CURRENT) for part in parts]),
        )
        change = rewriting.change()
        looked_at = [part.keys for part in parts if part.keys is not None]
        told = pl.concat([part.evidence.lazy() for part in parts])
        evidence = self._evidence(told, looked_at=pl.concat(looked_at) if looked_at else None)
        metadata = self._told(evidence, (*history, *change.kept), change.replaced)
        return Change(files=history, kept=change.kept, replaced=change.replaced, metadata=metadata)

    # --- both --------------------------------------------------------------------------

    def _look_at(self, versions: pl.DataFrame) -> None:
        """Raises `AuditFailed` when a version reaches into another one of its key."""
        if wrong := overlaps(versions, self.shape):
            raise AuditFailed(
                f"{wrong} versions overlap another version of their key. Nothing was published.",
                hint="This is a bug in Assay: please report it.",
            )

    def _evidence(
        self, rows: pl.LazyFrame | None, *, instead: bool = False, looked_at: pl.DataFrame | None = None
    ) -> tuple[Any, ...]:
        """Write the new evidence; of keys that were restated nothing else stays."""
        files = () if instead or self.known is None else self.known.evidence.files
        evidence = Evidence(self.spec.target, self.spec.run_id, files, self.shape)
        self.run.written.append(evidence)
        if looked_at is not None:
            others = evidence.scan().join(looked_at.lazy(), on=list(self.shape.keys), how="anti", maintain_order="left")
            return evidence.instead(pl.concat([others, rows.select(list(evidence.schema))]))
        has_rows = rows is not None and rows.select(pl.len()).collect(engine="streaming").item()
        return evidence.with_rows(rows if has_rows else None)

    def _told(self, evidence: tuple[Any, ...], files: tuple[Any, ...], replaced: Any) -> dict[str, Any]:
        """What the commit says of the run."""
        config = config_of(self.spec)
        inputs = {self.spec.inputs[0].dataset: self.run.source.version}
        state = State(evidence=evidence, inputs=inputs, config=config)
        counts, gone = self.counts, sum(file.size for file in replaced)
        table = self.known.table.bytes if self.known else gone
        facts = {
            "read": self.reading.why,
            "input_files": len(self.reading.files),
            "observations": counts.observations,
            "keys": counts.keys,
            "late_keys": counts.late_keys,
            "gone_keys": counts.gone_keys,
            "versions_added": counts.added,
            "versions_removed": counts.removed,
            "versions_closed": counts.closed,
            "evidence": counts.evidence,
            "bytes_replaced": gone,
            "bytes_before": table,
        }
        if self.spec.restatement:
            facts["restatement"] = to_json(self.spec.restatement)
        held = sum(file.rows for file in files)
        checks = [
            {"name": "one_current", "passed": True, "detail": f"at most one current version of {counts.keys:,} keys"},
            {"name": "no_overlap", "passed": True, "detail": "versions follow one another; gaps come from deletions"},
            {"name": "balance", "passed": True, "detail": f"{held:,} versions in {len(files)} files, old and new"},
        ]
        told = {"rows": counts.added, "facts": facts, "checks": checks}
        return {**told, BESIDE: [file.path for file in evidence], STATE: state.to_json()}


def _spilled(rows: pl.DataFrame, path: Path) -> pl.LazyFrame:
    rows.write_parquet(path, compression="lz4")
    return pl.scan_parquet(path, glob=False)


def _in_shape(rows: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """Observations of an older configuration with the columns of this one."""
    missing = (pl.lit(None, dtype=dtype).alias(name) for name, dtype in shape.observed.items() if name not in rows)
    return rows.with_columns(missing).select(pl.col(name).cast(dtype) for name, dtype in shape.observed.items())


def _kept(before: pl.DataFrame, versions: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The places of versions that stay as they are."""
    places = before.select(shape.place)
    if places.is_duplicated().any():
        return places.clear()
    pairs = versions.join(before.select(*shape.place, *shape.values, TO), on=shape.place, suffix="__was")
    same = [~differs(name, shape.schema[name], f"{name}__was") for name in (*shape.values, TO)]
    return pairs.filter(pl.all_horizontal(same)).select(shape.place)


def _new_evidence(evidence: pl.DataFrame, told: pl.DataFrame, shape: Shape) -> pl.DataFrame:
    """The evidence that is not written down yet."""
    names = [GONE, *shape.untracked]
    pairs = evidence.join(told, on=shape.place, how="left", suffix="__told", maintain_order="left")
    same = [~differs(name, evidence.schema[name], f"{name}__told") for name in names]
    return pairs.filter(~pl.all_horizontal(same)).select(evidence.columns)
