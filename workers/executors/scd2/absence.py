"""Deletions that nobody reports: a key that the input, which holds all records there are, no longer has."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from workers.errors import TooManyDeletes
from workers.lake.merge import FEW_ROWS, MOST_DELETED
from workers.template_specs import Scd2Spec

from .known import Known
from .observations import later, moment
from .timeline import FROM, GONE, Shape, gone_observations, winners


def is_told_by_absence(spec: Scd2Spec) -> bool:
    return spec.delete_mode == "close" and not spec.deleted_column


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """Keys that are gone from the input, and those it has although the dimension has no current version of them."""

    spec: Scd2Spec
    shape: Shape
    absent: pl.DataFrame
    back: pl.DataFrame

    def completed(self, seen: pl.DataFrame, present: pl.DataFrame) -> pl.DataFrame:
        """All observations of some keys, so that absent ones end gone and present ones do not.

        A key is gone as of the run, or as of what was observed of it last,
        should that be later. One that is back has the values of its latest row
        in the input, from the run on.
        """
        names, dtype = list(self.shape.keys), self.shape.schema[FROM]
        at = pl.lit(moment(self.spec.run_time, dtype), dtype=dtype)
        last = winners(seen, self.shape).unique(names, keep="last", maintain_order=True).select(*names, FROM, GONE)
        open_still = last.filter(~pl.col(GONE)).join(self.absent, on=names, how="semi")
        ends = gone_observations(open_still.select(*names, pl.max_horizontal(FROM, at).alias(FROM)), self.shape)
        closed = last.filter(GONE).join(self.back, on=names, how="semi")
        starts = closed.select(*names, pl.max_horizontal(pl.col(FROM) + later(dtype), at).alias(FROM))
        newest = winners(present.filter(~pl.col(GONE)), self.shape).unique(names, keep="last", maintain_order=True)
        again = starts.join(newest.drop(FROM), on=names).select(seen.columns)
        return pl.concat([seen, ends, again])

    def rows(self, everything: pl.LazyFrame) -> pl.LazyFrame:
        """What these keys add to a batch: that the absent are gone, and the input's rows of those that are back."""
        dtype = self.shape.schema[FROM]
        at = pl.lit(moment(self.spec.run_time, dtype), dtype=dtype).alias(FROM)
        gone = gone_observations(self.absent.with_columns(at), self.shape)
        rows = everything.join(self.back.lazy(), on=list(self.shape.keys), how="semi")
        return pl.concat([gone.lazy(), rows])


def absence_in(spec: Scd2Spec, shape: Shape, everything: pl.LazyFrame, known: Known) -> Absence:
    """Compare all of the input with the current versions. Raises `TooManyDeletes`."""
    names, files = list(shape.keys), known.files(current=True)
    current, present = known.scan(files, current=True).select(names), everything.select(names)
    absent = current.join(present, on=names, how="anti").collect(engine="streaming")
    check_share(absent.height, sum(file.rows for file in files))
    back = present.join(current, on=names, how="anti").unique().collect(engine="streaming")
    return Absence(spec=spec, shape=shape, absent=absent, back=back)


def absence_between(spec: Scd2Spec, shape: Shape, before: pl.DataFrame, present: pl.DataFrame) -> Absence:
    """The same of observations that are all in memory."""
    names = list(shape.keys)
    known, held = before.select(names).unique(), present.select(names).unique()
    return Absence(spec=spec, shape=shape, absent=known.join(held, on=names, how="anti"), back=held)


def check_share(gone: int, rows: int) -> None:
    """Raises `TooManyDeletes` when most of the keys, or all, would be closed."""
    if not gone or (gone < rows and (rows < FEW_ROWS or gone <= MOST_DELETED * rows)):
        return
    raise TooManyDeletes(
        f"{gone:,} of the dimension's {rows:,} current keys are not in the input; more than half of them, or all, "
        "is more likely a fault of the input than a deletion.",
        hint="Nothing was published. The input must hold all records, not only changed ones: check it. If the records "
        "are really gone, run once with delete_mode ignore and mark them in a deleted_column.",
        gone=gone,
        rows=rows,
    )
