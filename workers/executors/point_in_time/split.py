"""Train, validation and test: the same rows in the same part, whenever and wherever it is worked out.

By hash: the first eight hexadecimal digits of `sha256("{seed}:{key}")`, as a
share of 2³². A key of several columns is joined by U+001F; dates and times are
written as in ISO 8601 with a blank and six digits (UTC). Anybody can work it
out again, and no library's own hash, which may change, has a part in it.
"""

from __future__ import annotations

import math
from datetime import timedelta
from hashlib import sha256

import numpy as np
import polars as pl

from workers.template_specs import Split

from .plan import SPLITS, Plan, moment

SEPARATOR = "\x1f"
WHOLE = 2**32
TIME_FORMAT = "%Y-%m-%d %H:%M:%S%.6f"
Cuts = tuple[int | None, int | None]  # microseconds since 1970: where validation and test begin; None: nowhere


def thresholds(split: Split) -> tuple[int, int]:
    """Below the first is train, below the second validation."""
    return round(split.train * WHOLE), round((split.train + split.validation) * WHOLE)


def shares_of(seed: int, texts: pl.Series) -> pl.Series:
    """Each text's number below 2³²: the first four bytes of its hash, the greatest first."""
    whole = (f"{seed}:" + texts).cast(pl.Binary)
    heads = b"".join(sha256(text).digest()[:4] for text in whole)
    return pl.Series("share", np.frombuffer(heads, dtype=">u4").astype(np.int64))


def split_column(plan: Plan, examples: pl.DataFrame, cuts: Cuts | None) -> pl.Series:
    """The part of each example; `cuts` are those of the method time."""
    if plan.split.method == "time":
        return examples.with_columns(_by_time(cuts).alias("split"))["split"]
    text = pl.concat_str([_text(plan, name) for name in plan.split_key], separator=SEPARATOR)
    return _by_hash(plan.split, examples.select(text.alias("text"))["text"])


def cuts_of(split: Split, times: pl.Series) -> Cuts:
    """Where the parts begin: as the split says, or so that its shares come out; equal times stay together."""
    if split.validation_from:
        return _micros(split.validation_from), _micros(split.test_from)
    ordered = times.sort()
    places = [math.ceil(share * len(ordered) - 1e-9) for share in (split.train, split.train + split.validation)]
    first, second = (ordered[place] if place < len(ordered) else None for place in places)
    return first, second


def looks_ahead(cuts: Cuts, reach: timedelta) -> pl.Expr:
    """Whether an example before a cut reaches beyond it: `assay_time` < cut < `assay_time` + `reach`."""
    length = reach // timedelta(microseconds=1)
    time = pl.col("assay_time")
    return pl.any_horizontal(
        pl.lit(value=False), *((time < cut) & (time > cut - length) for cut in cuts if cut is not None)
    )


def _micros(text: str) -> int:
    return pl.Series([moment(text)], dtype=pl.Datetime("us")).to_physical()[0]


def _by_time(cuts: Cuts) -> pl.Expr:
    part = pl.lit(SPLITS[2])
    for name, cut in zip(SPLITS[1::-1], cuts[::-1], strict=True):
        is_before = pl.lit(True) if cut is None else pl.col("assay_time") < cut
        part = pl.when(is_before).then(pl.lit(name)).otherwise(part)
    return part


def _by_hash(split: Split, texts: pl.Series) -> pl.Series:
    """Examples are sorted by key: rows of one key mostly stand together, and are hashed once."""
    train, validation = thresholds(split)
    runs = texts.rle().struct.unnest()
    part = pl.when(pl.col("share") < train).then(pl.lit(SPLITS[0]))
    part = part.when(pl.col("share") < validation).then(pl.lit(SPLITS[1])).otherwise(pl.lit(SPLITS[2]))
    parts = runs.with_columns(shares_of(split.seed, runs["value"])).select(part.repeat_by("len").explode())
    return parts.to_series()


def _text(plan: Plan, name: str) -> pl.Expr:
    kind, value = plan.type_of(plan.entity.alias, name), pl.col(name)
    if kind in ("timestamp", "timestamptz"):
        value = value.dt.to_string(TIME_FORMAT)
    elif kind == "date":
        value = value.dt.to_string("%Y-%m-%d")
    return value.cast(pl.String).fill_null("")
