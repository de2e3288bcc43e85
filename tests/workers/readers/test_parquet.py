"""Parquet files in, Bronze out: types kept, others converted without loss or refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from workers import errors
from workers.executors.ingest.preview import preview
from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.specs import Column, FilesSource, IngestSpec, SourceFile, TableTarget

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
PROVENANCE = ["_ingested_at", "_run_id", "_source_file"]


@pytest.fixture
def job(tmp_path):
    """Makes a spec of files, each given as an Arrow table or as bytes."""

    def make(*files: pa.Table | bytes, **changes: object) -> IngestSpec:
        run_id = str(new_run_id())
        folder = tmp_path / run_id
        folder.mkdir()
        paths = [folder / f"part-{number}.parquet" for number in range(1, len(files) + 1)]
        for path, content in zip(paths, files, strict=True):
            path.write_bytes(content) if isinstance(content, bytes) else pq.write_table(content, path)
        facts = {
            "run_id": run_id,
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=tuple(SourceFile(uri=str(path), name=path.name) for path in paths)),
            "format": "parquet",
            "landing_uri": f"{tmp_path}/lake/landing/shop/orders",
            "quarantine_uri": f"{tmp_path}/lake/quarantine/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{tmp_path}/lake/bronze/shop/orders"),
            "ingested_at": AT,
        }
        return IngestSpec(**facts | changes)

    return make


def loaded(spec: IngestSpec) -> pl.DataFrame:
    result = run_ingest(spec)
    assert result.rows_read == result.rows_written + result.quarantined_rows
    return pl.read_delta(spec.target.uri).drop(PROVENANCE)


def types_of(spec: IngestSpec) -> dict[str, str]:
    return {c.name: c.type for c in run_ingest(spec).columns if c.name not in PROVENANCE}


def refused(spec: IngestSpec) -> list[tuple]:
    path = Path(spec.quarantine_uri) / f"2026/11/22/{spec.run_id}.parquet"
    rows = pl.read_parquet(path).sort("_source_file", "_line")
    return list(rows.select("_line", "_column", "_rule", "_reason").iter_rows())


def bytes_of(table: pa.Table, **options) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def column(values, kind) -> pa.Table:
    return pa.table({"v": pa.array(values, kind)})


NOON = datetime(2026, 1, 2, 12, 0, 0, 123456)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("values", "kind", "type_", "expected"),
    [
        ([1, None], pa.int8(), "int8", [1, None]),
        ([255], pa.uint8(), "int16", [255]),
        ([2**32 - 1], pa.uint32(), "int64", [2**32 - 1]),
        ([2**64 - 1], pa.uint64(), "decimal(20,0)", [Decimal(2**64 - 1)]),
        ([1.5], pa.float16(), "float32", [1.5]),
        ([Decimal("-1.50")], pa.decimal128(38, 2), "decimal(38,2)", [Decimal("-1.50")]),
        ([Decimal(10) ** 45], pa.decimal256(50, 2), "string", ["1" + "0" * 45 + ".00"]),
        (["a", "b"], pa.dictionary(pa.int32(), pa.string()), "string", ["a", "b"]),
        ([None], pa.null(), "string", [None]),
        ([b"\xff\x00"], pa.binary(), "binary", [b"\xff\x00"]),
        ([b"abc"], pa.binary(3), "binary", [b"abc"]),
        ([date(2026, 1, 2)], pa.date32(), "date", [date(2026, 1, 2)]),
        ([time(1, 2, 3, 4)], pa.time64("us"), "time", ["01:02:03.000004"]),
        ([timedelta(seconds=90)], pa.duration("us"), "string", ["PT1M30S"]),
        ([NOON], pa.timestamp("us"), "timestamp", [NOON]),
        ([1_700_000_000_123], pa.timestamp("ms"), "timestamp", [datetime(2023, 11, 14, 22, 13, 20, 123000)]),  # noqa: DTZ001
        ([1_001], pa.timestamp("ns"), "timestamp", [datetime(1970, 1, 1, 0, 0, 0, 1)]),  # noqa: DTZ001
        (
            [datetime(2026, 1, 2, 12, tzinfo=UTC)],
            pa.timestamp("us", "Europe/Berlin"),
            "timestamptz",
            [datetime(2026, 1, 2, 12, tzinfo=UTC)],
        ),
        ([[1, None], []], pa.list_(pa.uint8()), "list<int16>", [[1, None], []]),
        ([[1, 2]], pa.list_(pa.int32(), 2), "list<int32>", [[1, 2]]),
        (
            [[("a", 1)]],
            pa.map_(pa.string(), pa.int32()),
            "list<struct<key: string, value: int32>>",
            [[{"key": "a", "value": 1}]],
        ),
        (
            [{"a": 1, "t": time(1, 2, 3)}],
            pa.struct([("a", pa.int64()), ("t", pa.time64("us"))]),
            "struct<a: int64, t: string>",
            [{"a": 1, "t": "01:02:03"}],
        ),
        ([{"a,b": 1}, None], pa.struct([("a,b", pa.int64())]), "json", ['{"a,b":1}', None]),
        (['{"a": 1}'], pa.json_(), "json", ['{"a": 1}']),
    ],
)
def test_a_type_of_parquet_becomes_the_lakes_with_its_values(job, values, kind, type_, expected):
    spec = job(column(values, kind))
    assert loaded(spec)["v"].to_list() == expected
    assert types_of(spec) == {"v": type_}


def test_moments_before_1677_survive_the_old_twelve_byte_form(job):
    old = [datetime(1, 1, 1), datetime(2026, 1, 2)]  # noqa: DTZ001
    content = bytes_of(column(old, pa.timestamp("us")), use_deprecated_int96_timestamps=True)
    assert loaded(job(content))["v"].to_list() == old


@pytest.mark.parametrize(
    ("kind", "wanted", "fitting", "misfits"),
    [
        (pa.float64(), "int64", [(2.0, 2), (None, None)], {1.5: "1.5", 1e300: "1e+300", float("nan"): "NaN"}),
        (pa.int64(), "int32", [(1, 1)], {2**31: "2147483648"}),
        (pa.int64(), "float64", [(2**53, float(2**53))], {2**53 + 1: "9007199254740993"}),
        (pa.int64(), "boolean", [(1, True), (0, False)], {2: "2"}),
        (pa.int64(), "date", [(None, None)], {20_000: "20000"}),
        (pa.int64(), "string", [(7, "7")], {}),
        (pa.float64(), "decimal(10,2)", [(0.5, Decimal("0.50"))], {0.125: "0.125"}),
        (pa.decimal128(10, 3), "decimal(10,2)", [(Decimal("1.250"), Decimal("1.25"))], {Decimal("1.255"): "1.255"}),
        (pa.timestamp("us"), "date", [(datetime(2026, 1, 2), date(2026, 1, 2))], {NOON: "2026-01-02T12:00:00.123456"}),  # noqa: DTZ001
        (pa.binary(), "string", [(b"abc", "abc")], {b"\xff": "/w=="}),
        (pa.string(), "int64", [("12", 12), ("", None)], {"x": "x"}),
        (pa.string(), "date", [("22.11.2026", date(2026, 11, 22))], {"soon": "soon"}),
        (pa.list_(pa.int64()), "list<int8>", [([1], [1]), ([None], [None])], {(300,): "[300]"}),
    ],
)
def test_another_declared_type_takes_exact_values_and_refuses_the_rest(job, kind, wanted, fitting, misfits):
    values = [given for given, _ in fitting] + [list(m) if isinstance(m, tuple) else m for m in misfits]
    spec = job(
        column(values, kind),
        schema_mode="user",
        columns=(Column(name="v", type=wanted),),
        error_handling="quarantine",
        bad_row_threshold=1.0,
    )
    assert loaded(spec)["v"].to_list() == [expected for _, expected in fitting]
    if misfits:
        told = [(line, name, rule, reason.split(" is no ")[0]) for line, name, rule, reason in refused(spec)]
        first = len(fitting) + 1  # rows are counted from 1
        assert told == [(first + n, "v", "type", f"“{shown}”") for n, shown in enumerate(misfits.values())]


def test_files_of_other_columns_and_types_meet_in_what_holds_both(job):
    one = pa.table({"ID": pa.array([1], pa.int32()), "amount": pa.array([1.5])})
    two = pa.table({"note": ["x"], "id": pa.array([2**40]), "amount": pa.array(["much"])})
    spec = job(one, two)
    assert loaded(spec).sort("ID").rows() == [(1, "1.5", None), (2**40, "much", "x")]
    assert types_of(spec) == {"ID": "int64", "amount": "string", "note": "string"}


def told(values: list, type_: str) -> pa.Table:
    """Texts, whose field says what they are."""
    field = pa.field("v", pa.string(), metadata={"assay.type": type_})
    return pa.table([pa.array(values)], schema=pa.schema([field]))


def test_any_decimal_becomes_one_that_holds_all_values_with_room_for_larger_ones(job):
    texts = ["1.5", "-12345678901.125", "NaN", None]
    spec = job(told(texts, "decimal"), error_handling="quarantine", bad_row_threshold=1)
    assert loaded(spec)["v"].to_list() == [Decimal("1.5"), Decimal("-12345678901.125"), None]
    assert types_of(spec) == {"v": "decimal(21,3)"}
    assert refused(spec) == [(3, "v", "type", "“NaN” is no decimal(21,3)")]


def test_numbers_too_long_for_any_decimal_stay_text(job):
    assert loaded(job(told(["1" * 45, "1.5"], "decimal")))["v"].to_list() == ["1" * 45, "1.5"]


def test_a_type_in_a_fields_metadata_says_what_its_texts_are(job):
    typed = pa.table({"v": pa.array([date(2026, 1, 2)])})
    spec = job(typed, told(["infinity", "2026-01-03"], "date"), error_handling="quarantine", bad_row_threshold=1)
    assert loaded(spec)["v"].to_list() == [date(2026, 1, 2), date(2026, 1, 3)]
    assert refused(spec) == [(1, "v", "type", "“infinity” is no date")]


def test_a_table_that_is_wider_keeps_its_type_and_a_narrower_one_is_widened(job):
    known = (Column(name="a", type="int64"), Column(name="b", type="int16"), Column(name="c", type="date"))
    held = pa.table({"a": [1], "b": pa.array([1], pa.int16()), "c": [date(2026, 1, 2)]})
    run_ingest(job(held, columns=known, schema_mode="user"))
    rows = pa.table({"a": pa.array([1], pa.int8()), "b": pa.array([70_000], pa.int32()), "c": pa.array([True])})
    spec = job(rows, schema_mode="evolve", error_handling="quarantine", bad_row_threshold=1)
    result = run_ingest(spec)
    assert types_of(spec) == {"a": "int64", "b": "int32", "c": "date"}
    assert [(change.column, change.new) for change in result.schema_changes] == [("b", "int32")]
    assert refused(spec) == [(1, "c", "type", "“true” is no date")]


WHOLE = bytes_of(pa.table({"v": list(range(5_000)), "w": ["text"] * 5_000}), compression="none")


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"id,name\n1,a\n",
        WHOLE[:-300],
        b"PAR1" + b"\x00" * 100 + b"PAR1",
        WHOLE[:4] + b"\xff" * 300 + WHOLE[304:],
    ],
    ids=["empty", "csv", "cut off", "no footer", "broken pages"],
)
def test_what_is_no_sound_parquet_is_refused_with_a_hint(job, broken):
    spec = job(broken)
    with pytest.raises(errors.UnreadableSource, match=r"part-1\.parquet cannot be read") as caught:
        run_ingest(spec)
    assert caught.value.hint
    assert not Path(spec.target.uri, "_delta_log").exists()


def test_two_columns_of_one_name_are_refused(job):
    twice = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(errors.UnreadableSource, match="one name"):
        run_ingest(job(twice))


def test_a_preview_shows_types_values_and_what_would_be_refused(job):
    rows = pa.table({"id": [1, 2], "at": [NOON, None], "raw": [b"\xff", b"a"], "tags": [["x"], []]})
    told = preview(job(rows))
    assert [(c.name, c.type) for c in told.columns] == [
        ("id", "int64"), ("at", "timestamp"), ("raw", "binary"), ("tags", "list<string>"),
    ]  # fmt: skip
    assert told.rows[0] == {"id": 1, "at": "2026-01-02T12:00:00.123456", "raw": "/w==", "tags": ["x"]}
    assert {each["name"]: each["nulls"] for each in told.profile} == {"id": 0, "at": 1, "raw": 0, "tags": 0}
    declared = (Column(name="id", type="int64"), Column(name="at", type="date"))
    told = preview(job(rows, schema_mode="user", columns=declared, error_handling="quarantine"))
    assert [(row["_line"], row["_column"]) for row in told.rejected] == [(1, "at")]
