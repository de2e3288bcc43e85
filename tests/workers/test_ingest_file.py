"""Files in, one Bronze version out: the whole road, on real files and tables."""

from __future__ import annotations

import gzip
import zipfile
from dataclasses import replace
from datetime import UTC, date, datetime
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from workers import errors
from workers.access import Access
from workers.executors.ingest.run import land, run_ingest
from workers.ids import new_run_id
from workers.specs import Column, CsvOptions, FilesSource, IngestSpec, SourceFile, TableTarget

AT = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
PROVENANCE = ["_ingested_at", "_run_id", "_source_file"]


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


@pytest.fixture
def job(tmp_path, lake):
    """Makes a spec: the files' contents by name, then whatever differs from the defaults."""

    def make(files: dict[str, bytes], **changes: object) -> IngestSpec:
        run_id = str(new_run_id())
        folder = tmp_path / "inbox" / run_id
        folder.mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        facts = {
            "run_id": run_id,
            "workflow": "shop",
            "job": "orders",
            "source": FilesSource(files=tuple(SourceFile(uri=str(folder / name), name=name) for name in files)),
            "format": "csv",
            "landing_uri": f"{lake}/landing/shop/orders",
            "quarantine_uri": f"{lake}/quarantine/shop/orders",
            "target": TableTarget(dataset="bronze.shop.orders", uri=f"{lake}/bronze/shop/orders"),
            "ingested_at": AT,
        }
        return IngestSpec(**facts | changes)

    return make


def table(spec: IngestSpec, *, provenance: bool = False) -> pl.DataFrame:
    rows = pl.read_delta(spec.target.uri)
    return rows if provenance else rows.drop(*PROVENANCE, strict=False)


def quarantine(spec: IngestSpec) -> list[dict]:
    path = Path(spec.quarantine_uri) / f"2026/11/22/{spec.run_id}.parquet"
    return pl.read_parquet(path).sort("_source_file", "_line").to_dicts()


def test_a_csv_file_becomes_typed_rows_with_their_provenance(job):
    spec = job({"orders.csv": b"id,amount,paid,day\n1,1.5,true,2026-01-02\n2,,false,\n"})
    result = run_ingest(spec)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (2, 2, 0)
    assert [(column.name, column.type) for column in result.columns] == [
        ("id", "int64"),
        ("amount", "float64"),
        ("paid", "boolean"),
        ("day", "date"),
        ("_ingested_at", "timestamptz"),
        ("_run_id", "string"),
        ("_source_file", "string"),
    ]
    assert table(spec, provenance=True).sort("id").rows() == [
        (1, 1.5, True, date(2026, 1, 2), AT, spec.run_id, "orders.csv"),
        (2, None, False, None, AT, spec.run_id, "orders.csv"),
    ]


def test_rows_that_are_no_rows_go_to_quarantine_with_line_column_and_reason(job):
    content = b'id,amount\n1,1.5\n2,abc\n3\n4,1,1\n5,"x"y\n6,\xff\n\n7,7\n8,oops\n'
    columns = (Column(name="id", type="int64"), Column(name="amount", type="float64"))
    spec = job(
        {"orders.csv": content}, schema_mode="user", columns=columns, error_handling="quarantine", bad_row_threshold=1.0
    )
    result = run_ingest(spec)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (8, 2, 6)
    assert table(spec).sort("id").rows() == [(1, 1.5), (7, 7.0)]
    assert [(row["_line"], row["_rule"], row["_column"]) for row in quarantine(spec)] == [
        (3, "type", "amount"),
        (4, "too_few_fields", None),
        (5, "too_many_fields", None),
        (6, "quote", None),
        (7, "encoding", None),
        (9, "type", "amount"),
    ]
    assert result.reasons == {
        "amount: type": 2,
        "encoding": 1,
        "quote": 1,
        "too_few_fields": 1,
        "too_many_fields": 1,
    }
    assert result.quarantine_path == f"quarantine/shop/orders/2026/11/22/{spec.run_id}.parquet"
    first, second = quarantine(spec)[:2]
    assert first["_raw"] == '{"id":"2","amount":"abc"}'
    assert first["_reason"] == "“abc” is no float64"
    assert (second["_raw"], second["_offset"]) == ("3", 22)


def test_a_bad_row_fails_the_job_with_its_line_column_and_value_unless_quarantine_is_on(job):
    columns = (Column(name="id", type="int64"), Column(name="amount", type="float64"))
    spec = job({"orders.csv": b"id,amount\n1,1.5\n2,abc\n"}, schema_mode="user", columns=columns)
    with pytest.raises(errors.BadRows, match=r"orders.csv, line 3: amount: “abc” is no float64") as caught:
        run_ingest(spec)
    assert "quarantine" in caught.value.hint
    assert not Path(spec.target.uri, "_delta_log").exists()
    assert not list(Path(spec.target.uri).rglob("*.parquet"))
    assert CsvOptions() == spec.csv


def rows_of(job, content: bytes, name: str = "orders.csv", **changes: object) -> list[tuple]:
    spec = job({name: content}, **changes)
    result = run_ingest(spec)
    assert result.rows_read == result.rows_written + result.quarantined_rows
    return table(spec).rows()


def types_of(result) -> dict[str, str]:
    return {column.name: column.type for column in result.columns if column.name not in PROVENANCE}


NDJSON = b'{"id":1,"user":{"name":"A","tags":["x"]},"at":"2026-01-02T03:04:05Z"}\n{"id":2,"user":null,"total":1.5}\n'


def test_ndjson_keeps_structs_and_lists_and_reads_moments(job):
    spec = job({"lines.ndjson": NDJSON}, format="ndjson")
    result = run_ingest(spec)
    assert types_of(result) == {
        "id": "int64",
        "user": "struct<name: string, tags: list<string>>",
        "at": "timestamptz",
        "total": "float64",
    }
    assert table(spec).sort("id").rows() == [
        (1, {"name": "A", "tags": ["x"]}, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), None),
        (2, None, None, 1.5),
    ]


def test_ndjson_lines_that_are_no_rows_go_to_quarantine(job):
    columns = (
        Column(name="id", type="int64", nullable=False),
        Column(name="user", type="struct<name: string, age: int64>"),
        Column(name="day", type="date"),
    )
    lines = [
        b'{"id":1,"user":{"name":"A","age":3},"day":"2026-01-02"}',
        b'{"id":2,"user":{"name":"A","age":"old"}}',
        b'{"id":"x"}',
        b'{"id":',
        b"[1]",
        b'{"user":null}',
        b'{"id":7,"day":"soon"}',
        b"",
        b'{"id":"8"}',
        b'{"id":9,"user":{"name":"\xff"}}',
    ]
    spec = job(
        {"lines.ndjson": b"\n".join(lines)},
        format="ndjson",
        schema_mode="user",
        columns=columns,
        error_handling="quarantine",
        bad_row_threshold=1.0,
    )
    result = run_ingest(spec)
    assert (result.rows_read, result.rows_written, result.quarantined_rows) == (9, 2, 7)
    assert table(spec)["id"].sort().to_list() == [1, 8]
    assert [(row["_line"], row["_rule"], row["_column"]) for row in quarantine(spec)] == [
        (2, "type", "user"),
        (3, "type", "id"),
        (4, "json", None),
        (5, "json", None),
        (6, "not_null", "id"),
        (7, "type", "day"),
        (9, "encoding", None),
    ]
    assert quarantine(spec)[0]["_reason"] == "age: “old” is no int64"
    assert quarantine(spec)[0]["_raw"] == lines[1].decode()


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (b'[{"id":1},{"id":2}]', ""),
        (b'{"id":1}{"id":2}', ""),
        (b'\n{"id":\n1}\n\n{"id":2}\n', ""),
        (b'{"meta":{"n":[1,2]},"data":{"items":[{"id":1},{"id":2}]},"more":[]}', "data.items"),
        (b'\xef\xbb\xbf [ {"id":1} ,\r\n {"id":2} ] ', ""),
        ('[{"id":1},{"id":2}]'.encode("utf-16"), ""),
    ],
)
def test_a_json_document_gives_its_records(job, document, path):
    assert rows_of(job, document, "d.json", format="json", records_path=path) == [(1,), (2,)]


def test_a_broken_json_document_is_refused_with_the_place_where_it_breaks(job):
    spec = job({"d.json": b'[{"id":1},{"id":}]'}, format="json")
    with pytest.raises(errors.UnreadableSource, match=r"d\.json is no sound JSON at character 11"):
        run_ingest(spec)


def test_a_missing_records_path_is_refused_by_name(job):
    spec = job({"d.json": b'{"data":{}}'}, format="json", records_path="data.items")
    with pytest.raises(errors.UnreadableSource, match="no “items”"):
        run_ingest(spec)


ORDERS = b"id,amount\n1,1.5\n2,2.5\n"


def test_running_a_spec_twice_publishes_once_and_reports_the_same(job):
    spec = job({"orders.csv": b"id,amount\n1,1.5\n2,x\n"}, error_handling="quarantine", bad_row_threshold=0.9)
    spec = replace(spec, schema_mode="user", columns=(Column(name="id", type="int64"),))
    first, second = run_ingest(spec), run_ingest(spec)
    assert second.published.already
    assert second.published.version == first.published.version
    assert (second.rows_read, second.rows_written, second.reasons) == (
        first.rows_read,
        first.rows_written,
        first.reasons,
    )
    assert second.columns == first.columns
    assert table(spec).height == 2


def test_a_run_that_died_before_its_commit_can_be_run_again(job):
    spec = job({"orders.csv": ORDERS})

    def stop(phase: str, **_: object) -> None:
        if phase == "publish":
            raise errors.Cancelled("Somebody cancelled the run.")

    with pytest.raises(errors.Cancelled):
        run_ingest(spec, stop)
    assert not list(Path(spec.target.uri).rglob("*.parquet"))
    assert run_ingest(spec).rows_written == 2
    assert table(spec).height == 2


def test_the_landed_bytes_are_read_and_not_the_source_again(job):
    spec = job({"orders.csv": ORDERS})
    land(spec, Access())
    Path(spec.source.files[0].uri).unlink()
    assert run_ingest(spec).rows_written == 2


def test_the_ingest_date_is_a_partition_below_the_date_folders(job, lake):
    target = TableTarget(dataset="bronze.shop.orders", uri=f"{lake}/bronze/shop/orders", partition_by=("_ingest_date",))
    spec = job({"orders.csv": ORDERS}, target=target)
    result = run_ingest(spec)
    assert result.columns[-1] == Column(name="_ingest_date", type="date")
    assert list(Path(target.uri).glob("2026/11/22/_ingest_date=2026-11-22/*.parquet"))
    assert table(spec, provenance=True)["_ingest_date"].to_list() == [date(2026, 11, 22)] * 2


def test_too_many_bad_rows_publish_nothing_and_keep_their_quarantine(job):
    columns = (Column(name="id", type="int64"), Column(name="amount", type="float64"))
    spec = job(
        {"orders.csv": b"id,amount\n1,1.5\n2,x\n3,3\n4\n"},
        schema_mode="user",
        columns=columns,
        error_handling="quarantine",
        bad_row_threshold=0.25,
    )
    with pytest.raises(errors.BadRows, match=r"2 of 4 rows \(50.0%\).*amount: type \(1\), too_few_fields \(1\)"):
        run_ingest(spec)
    assert len(quarantine(spec)) == 2
    assert not Path(spec.target.uri, "_delta_log").exists()


def test_a_null_in_a_required_column_is_a_bad_row(job):
    columns = (Column(name="id", type="int64", nullable=False), Column(name="note", type="string", nullable=False))
    spec = job(
        {"orders.csv": b'id,note\n1,a\n,b\n3,""\nNA,c\n'},
        schema_mode="user",
        columns=columns,
        error_handling="quarantine",
        bad_row_threshold=1,
        csv=CsvOptions(null_values=("", "NA")),
    )
    run_ingest(spec)
    assert table(spec).rows() == [(1, "a")]
    assert [(row["_line"], row["_column"], row["_rule"]) for row in quarantine(spec)] == [
        (3, "id", "not_null"),
        (4, "note", "not_null"),
        (5, "id", "not_null"),
    ]


def test_a_declared_column_that_the_file_lacks_is_refused_and_an_extra_one_ignored(job):
    spec = job({"orders.csv": ORDERS}, schema_mode="user", columns=(Column(name="id", type="int64"),))
    assert types_of(run_ingest(spec)) == {"id": "int64"}
    spec = job({"orders.csv": ORDERS}, schema_mode="user", columns=(Column(name="order_id", type="int64"),))
    with pytest.raises(errors.MissingColumns, match=r"orders.csv lacks order_id. It has: id, amount"):
        run_ingest(spec)


def test_later_runs_add_columns_widen_types_and_say_so(job):
    first = run_ingest(job({"orders.csv": b"id,code\n1,7\n"}))
    spec = job({"orders.csv": b"CODE,id,note\nA7,2,new\n"}, columns=first.columns, write_mode="append")
    second = run_ingest(spec)
    assert types_of(second) == {"id": "int64", "code": "string", "note": "string"}
    assert {(change.column, change.change, change.old, change.new) for change in second.schema_changes} == {
        ("code", "widened", "int64", "string"),
        ("note", "added", None, "string"),
    }
    assert table(spec).sort("id").select("id", "code", "note").rows() == [(1, "7", None), (2, "A7", "new")]


def test_several_files_with_other_column_orders_make_one_version(job):
    spec = job({"a.csv": b"id,note\n1,x\n", "b.csv": b"note,id,extra\ny,2,9\n", "c.csv": b"id\n3\n"})
    result = run_ingest(spec)
    assert (result.rows_read, result.published.version) == (3, 0)
    rows = table(spec, provenance=True).sort("id").select("id", "note", "extra", "_source_file").rows()
    assert rows == [(1, "x", None, "a.csv"), (2, "y", 9, "b.csv"), (3, None, None, "c.csv")]


def test_lines_are_numbered_in_each_file_whatever_was_rejected_before_them(job):
    columns = (Column(name="id", type="int64"), Column(name="n", type="int64"))
    content = b'title\nid,n\n1,1\n\n"bad"x,1\n2,"1\n2"\n3,y\n4\n5,z\n'
    spec = job(
        {"a.csv": content, "b.csv": content},
        schema_mode="user",
        columns=columns,
        error_handling="quarantine",
        bad_row_threshold=1,
        csv=CsvOptions(skip_rows=1),
    )
    result = run_ingest(spec)
    assert (result.rows_read, result.rows_written) == (12, 2)
    # Records: 1 is the skipped line, 2 the header; the blank line is no record.
    told = [(row["_source_file"], row["_line"], row["_rule"]) for row in quarantine(spec)]
    expected = [(4, "quote"), (5, "type"), (6, "type"), (7, "too_few_fields"), (8, "type")]
    assert told == [(name, line, rule) for name in ("a.csv", "b.csv") for line, rule in expected]


def zipped(**members: bytes) -> bytes:
    with BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name.replace("__", "."), content)
        return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (ORDERS, {}),
        (ORDERS.replace(b"\n", b"\r\n"), {}),
        (ORDERS.rstrip(), {}),
        (b"\xef\xbb\xbf" + ORDERS, {}),
        (b"\n\n" + ORDERS + b"\n\r\n", {}),
        (gzip.compress(ORDERS, mtime=0), {}),
        (zipped(orders__csv=ORDERS), {}),
        (ORDERS.replace(b",", b"\t"), {"delimiter": "\t"}),
        (ORDERS.replace(b",", b";"), {"delimiter": ";"}),
        (ORDERS.decode().encode("utf-16"), {"encoding": "utf-16"}),
        (ORDERS.decode().encode("utf-16"), {}),
        (b"about\nthis\n" + ORDERS, {"skip_rows": 2}),
        (b'"id","amount"\n"1","1.5"\n"2","2.5"\n', {}),
        (b"'id','amount'\n'1',1.5\n2,'2.5'\n", {"quote_char": "'"}),
        (b"id, amount\n1, 1.5\n 2, 2.5 \n", {}),
    ],
)
def test_the_same_rows_come_out_however_the_file_is_written(job, content, options):
    assert sorted(rows_of(job, content, csv=CsvOptions(**options))) == [(1, 1.5), (2, 2.5)]


def test_a_zip_with_several_members_names_each_row_after_its_member(job):
    spec = job({"all.zip": zipped(a__csv=b"id\n1\n", b__csv=b"id\n2\n")})
    run_ingest(spec)
    rows = table(spec, provenance=True).sort("id").select("id", "_source_file").rows()
    assert rows == [(1, "all.zip/a.csv"), (2, "all.zip/b.csv")]


@pytest.mark.parametrize("content", [gzip.compress(ORDERS * 99, mtime=0)[:40], b"PK\x03\x04 this is no archive"])
def test_a_broken_archive_is_refused(job, content):
    with pytest.raises(errors.UnreadableSource, match="cannot be unpacked"):
        run_ingest(job({"orders.csv": content}))


def test_text_in_another_encoding_arrives_exactly(job):
    rows = rows_of(job, "id,name\n1,Jürgen\n2,“x”\n".encode("cp1252"), csv=CsvOptions(encoding="windows-1252"))
    assert sorted(rows) == [(1, "Jürgen"), (2, "“x”")]


def test_quoted_line_ends_delimiters_and_quotes_are_part_of_the_value(job):
    rows = rows_of(job, b'id,note\r\n1,"a\r\nb"\r\n2,"c,""d"""\r\n3,""\r\n')
    assert sorted(rows) == [(1, "a\r\nb"), (2, 'c,"d"'), (3, None)]


def test_a_file_without_header_takes_the_declared_names_or_numbers(job):
    options = CsvOptions(has_header=False)
    spec = job({"o.csv": b"1,a\n2,b\n"}, csv=options)
    assert types_of(run_ingest(spec)) == {"column_1": "int64", "column_2": "string"}
    columns = (Column(name="id", type="int64"), Column(name="code", type="string"))
    assert sorted(rows_of(job, b"1,a\n2,b\n", csv=options, schema_mode="user", columns=columns)) == [(1, "a"), (2, "b")]


def test_a_header_alone_makes_an_empty_version_and_an_empty_file_is_refused(job):
    assert rows_of(job, b"id,name\n") == []
    assert rows_of(job, b"id,name") == []
    with pytest.raises(errors.UnreadableSource, match="not even a header"):
        run_ingest(job({"o.csv": b""}))


def test_an_empty_ndjson_file_is_no_rows_once_the_columns_are_known(job):
    columns = (Column(name="id", type="int64"),)
    with pytest.raises(errors.UnreadableSource, match="no columns"):
        run_ingest(job({"l.ndjson": b""}, format="ndjson"))
    assert rows_of(job, b"", "l.ndjson", format="ndjson", columns=columns) == []
    assert rows_of(job, b"[]", "l.json", format="json", columns=columns) == []
    assert rows_of(job, b"", "l.ndjson", format="ndjson") == []  # the table has columns by now


def test_a_key_that_first_occurs_late_in_a_large_file_is_not_lost(job):
    lines = b'{"id":1,"pad":"' + b"x" * 200 + b'","in":{"a":1}}\n'
    content = lines * 30_000 + b'{"id":2,"late":{"deep":true},"in":{"b":"x"}}\n' + lines * 30_000
    spec = job({"l.ndjson": content}, format="ndjson")
    assert types_of(run_ingest(spec))["late"] == "struct<deep: boolean>"
    late = table(spec).filter(pl.col("id") == 2)
    assert late.select("late", "in").row(0) == ({"deep": True}, {"a": None, "b": "x"})


def test_a_bad_value_far_behind_the_sample_is_a_bad_row_and_no_crash(job):
    content = b"id,n\n" + b"1,2\n" * 30_000 + b"x,2\n" + b"3,4\n" * 30_000
    spec = job({"o.csv": content}, error_handling="quarantine")
    assert run_ingest(spec).quarantined_rows == 1
    assert quarantine(spec)[0]["_line"] == 30_002
    content = b'{"id":1}\n' * 30_000 + b'{"id":"x"}\n{"id":"7"}\n' + b'{"id":3}\n' * 30_000
    spec = job({"o.ndjson": content}, format="ndjson", error_handling="quarantine")
    assert run_ingest(spec).quarantined_rows == 1
    assert quarantine(spec)[0]["_line"] == 30_001
    assert table(spec).filter(pl.col("id") == 7).height == 1


TOO_LARGE = b'{"x":9223372036854775808}'
NESTED_MISFITS = (b'{"x":true}', b'{"x":1.5}', TOO_LARGE, b'{"l":3}', b'{"l":[1.0]}', b'{"l":[true]}')


@pytest.mark.parametrize("misfit", NESTED_MISFITS)
@pytest.mark.parametrize("schema_mode", ["infer", "user"])
def test_a_nested_value_of_another_type_far_behind_the_sample_is_a_bad_row(job, misfit, schema_mode):
    """Polars' JSON decoder would make 1 of true, 1 of 1.5, null of a number too large, and [3] of 3."""
    good = b'{"id":1,"n":{"x":1,"l":[1,2]}}\n'
    content = good * 12_000 + b'{"id":2,"n":' + misfit + b"}\nnull\n" + good
    columns = (Column(name="id", type="int64"), Column(name="n", type="struct<x: int64, l: list<int64>>"))
    declared = {"columns": columns, "schema_mode": "user"} if schema_mode == "user" else {}
    spec = job({"o.ndjson": content}, format="ndjson", error_handling="quarantine", **declared)
    assert run_ingest(spec).rows_written == 12_001
    assert [row["_line"] for row in quarantine(spec)] == [12_001, 12_002]
    assert table(spec).unique().rows() == [(1, {"x": 1, "l": [1, 2]})]
