"""Whatever a source becomes from run to run: what was loaded stays exactly what it was, the rest is in quarantine."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.errors import BadRows
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.specs import FilesSource, IngestSpec, SourceFile, TableTarget

AT = datetime(2026, 11, 22, tzinfo=UTC)
SOME = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])

small = st.integers(-1000, 1000)
large = st.integers(2**52, 2**70) | st.sampled_from([2**53 + 1, 2**63, -(2**63)])
fractions = st.floats(-1e6, 1e6).map(lambda number: round(number, 3)) | st.floats(allow_nan=False, allow_infinity=False)
days = st.dates(date(1900, 1, 1), date(2100, 1, 1)).map(str)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.isoformat(timespec="microseconds")
)
zoned = moments.map(lambda moment: f"{moment}Z")
words = st.sampled_from(["n/a", "soon", "x y", "007", "é“"])
scalars = (small, large, fractions, st.booleans(), days, moments, zoned, words)
objects = st.fixed_dictionaries({}, optional={"a": small, "b": words, "c": st.lists(small, max_size=2)})
kinds = {"csv": scalars, "ndjson": (*scalars, objects, st.lists(small, max_size=2), st.lists(objects, max_size=2))}


def batches(format_: str) -> st.SearchStrategy[list[list[Any]]]:
    """Runs of values; those of one run are of one kind, or now and then of two."""
    kind = st.sampled_from(kinds[format_])
    pure = kind.flatmap(lambda values: st.lists(values, min_size=1, max_size=6))
    mixed = st.tuples(pure, pure).map(lambda both: [*both[0], *both[1]])
    return st.lists(pure | mixed, min_size=2, max_size=4)


def written(format_: str, first: int, values: list[Any]) -> bytes:
    rows = list(enumerate(values, first))
    if format_ == "csv":
        return "\n".join(["id,x", *(f"{number},{text(value)}" for number, value in rows)]).encode()
    return "\n".join(json.dumps({"id": number, "x": value}) for number, value in rows).encode()


def text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def meaning(value: Any) -> Any:
    """The same for a value and its text, and for a moment at midnight and its day; different for all else."""
    if isinstance(value, dict):
        return {key: meaning(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [meaning(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC)
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, datetime.min.time())
    if value is None or isinstance(value, bool | datetime | Decimal):
        return value
    if not isinstance(value, str):
        return Decimal(repr(value))
    with suppress(InvalidOperation):
        return Decimal(value) if not value.startswith("00") else value
    with suppress(ValueError):
        return datetime.fromisoformat(value)
    with suppress(ValueError):
        return meaning(json.loads(value))
    return value


def same(found: Any, value: Any) -> bool:
    """Equal in meaning, or the very same number: the float 5.673645728173261e+16 is the integer 56736457281732608."""
    if meaning(found) == meaning(value):
        return True
    if isinstance(found, str) and (isinstance(value, float) or "e" in found.lower()):
        with suppress(ValueError):
            found = float(found)
    return isinstance(found, float | Decimal) and isinstance(value, int | float) and found == value


@pytest.mark.parametrize("format_", ["csv", "ndjson"])
@pytest.mark.parametrize("handling", ["fail", "quarantine"])
def test_no_value_is_lost_or_altered_by_what_comes_later(format_, handling):
    @given(batches(format_))
    @SOME
    def holds(runs: list[list[Any]]) -> None:
        with TemporaryDirectory() as folder:
            loaded, last = {}, ""
            for position, values in enumerate(runs):
                last = str(new_run_id(after=last or None))
                path, first = Path(folder, f"{position}"), position * 100
                path.write_bytes(written(format_, first, values))
                spec = spec_of(folder, last, path, format_, handling)
                try:
                    result = run_ingest(spec)
                except BadRows:
                    if handling == "quarantine":
                        raise
                    continue  # nothing of it was published
                aside = refused(spec) if result.quarantined_rows else set()
                assert len(aside) == result.quarantined_rows
                given_rows = dict(enumerate(values, first))
                loaded |= {number: value for number, value in given_rows.items() if number not in aside}
            found = dict(pl.read_delta(spec.target.uri).select("id", "x").iter_rows()) if loaded else {}
            assert found.keys() == loaded.keys()
            assert {n: (found[n], value) for n, value in loaded.items() if not same(found[n], value)} == {}

    holds()


def spec_of(folder: str, run_id: str, path: Path, format_: str, handling: str) -> IngestSpec:
    return IngestSpec(
        run_id=run_id,
        workflow="w",
        job="j",
        source=FilesSource(files=(SourceFile(uri=str(path), name=path.name),)),
        format=format_,
        landing_uri=f"{folder}/lake/landing/w/j",
        quarantine_uri=f"{folder}/lake/quarantine/w/j",
        target=TableTarget(dataset="bronze.w.j", uri=f"{folder}/lake/bronze/w/j"),
        write_mode="append",
        error_handling=handling,
        bad_row_threshold=1.0,
        ingested_at=AT,
    )


def refused(spec: IngestSpec) -> set[int]:
    rows = pl.read_parquet(Path(spec.quarantine_uri, f"2026/11/22/{spec.run_id}.parquet"))
    return {int(json.loads(raw)["id"]) for raw in rows["_raw"]}
