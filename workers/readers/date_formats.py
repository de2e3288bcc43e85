"""In which formats a column writes its dates and timestamps: found once, from a sample, then only parsed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import polars as pl

DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y",
)  # fmt: skip
TIMES = ("%H:%M:%S", "%H:%M:%S%.f", "%H:%M")
ZONE = "%#z"
PROBED = 20
MAX_SHAPES = 20  # a column of more kinds of values than that is text


def known_formats(type_: str) -> Sequence[str]:
    """The formats that are tried without being told."""
    if type_ == "date":
        return DATES
    stamps = [f"{day}{gap}{time}" for day in DATES for gap in ("T", " ") for time in TIMES]
    if type_ == "timestamp":
        return stamps
    if type_ == "timestamptz":
        return [stamp + gap + ZONE for stamp in stamps for gap in ("", " ")]
    return ()


def given_formats(told: Iterable[str], type_: str) -> tuple[str, ...]:
    """Of the formats that a person wrote, in Python's language, those that go with the type, in Polars'.

    A date is a timestamp, too: at midnight.
    """
    kinds = {"date": ("date",), "timestamp": ("timestamp", "date"), "timestamptz": ("timestamptz",)}.get(type_, ())
    plain = (fmt.replace(".%f", "%.f").replace("%z", ZONE) for fmt in told)
    return tuple(fmt for fmt in plain if _kind(fmt) in kinds)


def _kind(fmt: str) -> str:
    if "%H" not in fmt and "%I" not in fmt:
        return "date"
    return "timestamptz" if ZONE in fmt else "timestamp"


def formats_for(
    values: pl.Series, type_: str, given: Sequence[str] = (), known: Sequence[str] | None = None, *, tolerance: float
) -> tuple[str, ...]:
    """The formats that together read all values but a share of `tolerance` (0..1); none where there are none.

    Those that were given come first. One known format is preferred to
    several; of several each reads the values of one shape (`9/9/2026`), where
    no other format could read as many and mean other days.
    """
    known = known_formats(type_) if known is None else known
    if values.is_empty() or not (given or known):
        return tuple(given)
    shapes = values.str.replace_all(r"\d{4}", "Y").str.replace_all(r"\d+", "9").str.replace_all("[A-Za-z]+", "a")
    likely = _likely(values, shapes)
    days = likely(DATES) if known and type_ == "timestamp" else []
    known = likely(known)
    best: tuple[tuple[str, ...], int] = ((), len(values) + 1)
    mixed = partial(_mixed, values, shapes, given, [*known, *days])
    for choose in (lambda: tuple(given), lambda: _single(values, known), mixed):
        if formats := choose():
            best = min(best, (formats, _misfits(values, formats)), key=lambda choice: choice[1])
        if best[1] == 0:
            break
    return best[0] if best[1] <= tolerance * len(values) else ()


def _likely(values: pl.Series, shapes: pl.Series) -> Callable[[Sequence[str]], list[str]]:
    """Tells the formats that read some of the first values, or of the first of each shape: most read none at all."""
    firsts = values.filter(shapes.is_first_distinct()).head(MAX_SHAPES)
    probe = pl.concat([values.head(PROBED), firsts])

    def likely(formats: Sequence[str]) -> list[str]:
        # All at once: there are a hundred formats, and each question of its own costs more than its answer.
        unread = probe.to_frame("text").select(_parsed(pl.col("text"), fmt).null_count().alias(fmt) for fmt in formats)
        return [fmt for fmt in formats if unread[fmt].item() < len(probe)]

    return likely


def _single(values: pl.Series, known: Sequence[str]) -> tuple[str, ...]:
    """The format that reads most values; none when two read as many and disagree on what they mean."""
    parsed = {fmt: _parse(values, fmt) for fmt in known}
    best = sorted(known, key=lambda fmt: parsed[fmt].null_count())
    if not best:
        return ()
    ties = [fmt for fmt in best if parsed[fmt].null_count() == parsed[best[0]].null_count()]
    agree = all(parsed[fmt].equals(parsed[ties[0]], check_dtypes=False, null_equal=True) for fmt in ties[1:])
    return (ties[0],) if agree else ()


def _mixed(values: pl.Series, shapes: pl.Series, given: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """A format for each shape of values, the most frequent shapes first."""
    counts = shapes.value_counts(sort=True, name="values")
    if len(counts) > MAX_SHAPES or not (given or known):
        return ()
    chosen = [_of_shape(values.filter(shapes == shape), given, known) for shape in counts.to_series(0)]
    found = list(dict.fromkeys(fmt for fmt in chosen if fmt))
    return tuple(sorted(found, key=lambda fmt: given.index(fmt) if fmt in given else len(given)))


def _of_shape(values: pl.Series, given: Sequence[str], known: Sequence[str]) -> str | None:
    """The format that reads most values of one shape, a given one before a known; None when none reads any."""
    for formats in (given, _single(values, known)):
        if formats:
            best = min(formats, key=lambda fmt: _misfits(values, (fmt,)))
            if _misfits(values, (best,)) < len(values):
                return best
    return None


def _misfits(values: pl.Series, formats: Sequence[str]) -> int:
    """How many values none of the formats reads."""
    for fmt in formats:
        values = values.filter(_parse(values, fmt).is_null())
    return len(values)


def _parse(values: pl.Series, fmt: str) -> pl.Series:
    return values.to_frame("text").select(_parsed(pl.col("text"), fmt)).to_series()


def _parsed(text: pl.Expr, fmt: str) -> pl.Expr:
    if "%Y" in fmt:  # it would take two digits for a year of antiquity
        text = pl.when(text.str.contains(r"\d{4}")).then(text)
    kind = _kind(fmt)
    if kind == "date":
        return text.str.to_date(fmt, strict=False)
    return text.str.to_datetime(fmt, strict=False, time_unit="us", time_zone="UTC" if kind == "timestamptz" else None)
