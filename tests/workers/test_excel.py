"""Workbooks in, typed rows out, each with its number in the sheet."""

from __future__ import annotations

import gzip
import zipfile
from datetime import date, datetime, time, timedelta
from io import BytesIO
from pathlib import Path

import polars as pl
import pytest

from tests.workers.workbooks import ods, xlsx
from workers.errors import UnreadableSource
from workers.executors.ingest.preview import preview
from workers.executors.ingest.run import run_ingest
from workers.specs import Column, ExcelOptions, IngestSpec

PROVENANCE = ("_ingested_at", "_run_id", "_source_file")


@pytest.fixture
def job(make_spec):
    return lambda content, name="orders.xlsx", **changes: make_spec(content, name, "excel", **changes)


def loaded(spec: IngestSpec) -> tuple[dict[str, str], list[tuple]]:
    """Types by column, and the rows."""
    result = run_ingest(spec)
    types = {column.name: column.type for column in result.columns if column.name not in PROVENANCE}
    return types, pl.read_delta(spec.target.uri).drop(*PROVENANCE).rows()


def quarantined(spec: IngestSpec) -> list[tuple]:
    path = Path(spec.quarantine_uri, f"2026/11/22/{spec.run_id}.parquet")
    return pl.read_parquet(path).sort("_line").select("_line", "_column", "_rule").rows()


def test_cells_become_the_values_that_a_person_sees(job):
    content = xlsx(
        ["id", "zip", "price", "paid", "day", "at", "opens", "took", "note"],
        [1, "01234", 1.5, True, date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5), time(8, 30), timedelta(hours=30), "é"],  # noqa: DTZ001
        [2, "94105", 2, False, date(2026, 12, 31), datetime(2026, 1, 3), time(9, 0), timedelta(minutes=5), 'a,"b"\nc'],  # noqa: DTZ001
        [3, None, None, None, None, None, None, None, None],
    )
    types, rows = loaded(job(content))
    assert types == {
        "id": "int64",
        "zip": "string",
        "price": "float64",
        "paid": "boolean",
        "day": "date",
        "at": "timestamp",
        "opens": "time",
        "took": "string",
        "note": "string",
    }
    first, second, third = sorted(rows)
    at = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001
    assert first == (1, "01234", 1.5, True, date(2026, 1, 2), at, "08:30:00.000000", "30:00:00", "é")
    assert second[5:] == (datetime(2026, 1, 3), "09:00:00.000000", "00:05:00", 'a,"b"\nc')  # noqa: DTZ001
    assert third == (3, *[None] * 8)


def test_a_large_whole_number_keeps_its_digits_and_an_error_is_no_value(job):
    book_rows = [["n", "of"], [4006381333931, 1], [12345678901234, "#N/A"]]
    _, rows = loaded(job(xlsx(*book_rows)))
    assert sorted(rows) == [(4006381333931, 1), (12345678901234, None)]


def test_bad_rows_have_the_number_of_their_row_in_the_sheet(job):
    content = xlsx(
        ["Orders of November"],
        [],
        ["id", "n"],
        [1, 1],
        [],
        [2, "x"],
        [],
        [],
        [3, 3],
        [4, 4, "stray"],
        [5, "y"],
        [],
    )
    columns = (Column(name="id", type="int64"), Column(name="n", type="int64"))
    spec = job(
        content,
        excel=ExcelOptions(header_row=3),
        schema_mode="user",
        columns=columns,
        error_handling="quarantine",
        bad_row_threshold=1.0,
    )
    _, rows = loaded(spec)
    assert sorted(rows) == [(1, 1), (3, 3)]
    assert quarantined(spec) == [(6, "n", "type"), (10, None, "too_many_fields"), (11, "n", "type")]
    assert [row["_line"] for row in preview(spec).rejected] == [6, 10, 11]


def test_a_table_that_does_not_begin_in_the_corner_is_found(job):
    content = xlsx([], [None, None, "id", None, "n"], [None, None, 1, "x", 2])
    assert loaded(job(content, excel=ExcelOptions(header_row=2))) == (
        {"id": "int64", "column_2": "string", "n": "int64"},
        [(1, "x", 2)],
    )


def test_without_a_header_the_columns_are_numbered(job):
    spec = job(xlsx([1, "a"], [2, "b", 3]), excel=ExcelOptions(header_row=0))
    assert loaded(spec) == (
        {"column_1": "int64", "column_2": "string", "column_3": "int64"},
        [(1, "a", None), (2, "b", 3)],
    )


SHEETS = {"_secret": [["z"], [0]], "Second": [["b"], [2]], "3": [["c"], [3]]}


@pytest.mark.parametrize(("sheet", "rows"), [("", 1), ("Data", 1), ("2", 1), ("Second", 2), ("3", 3), ("_secret", 0)])
def test_a_sheet_is_chosen_by_name_or_number_and_else_the_first_that_is_shown(job, sheet, rows):
    assert loaded(job(xlsx(["a"], [1], more=SHEETS), excel=ExcelOptions(sheet=sheet)))[1] == [(rows,)]


def test_a_sheet_that_is_not_there_is_refused_with_those_that_are(job):
    with pytest.raises(UnreadableSource, match=r"no sheet “Nope”\. It has: _secret, Data, Second, 3"):
        run_ingest(job(xlsx(["a"], [1], more=SHEETS), excel=ExcelOptions(sheet="Nope")))


def test_an_empty_header_row_is_refused_and_a_header_alone_is_no_rows(job):
    with pytest.raises(UnreadableSource, match=r"Row 2 of sheet “Data” of orders\.xlsx is empty"):
        run_ingest(job(xlsx(["a"]), excel=ExcelOptions(header_row=2)))
    assert loaded(job(xlsx(["a", "b"]))) == ({"a": "string", "b": "string"}, [])


def test_open_documents_and_packed_workbooks_are_read(job):
    rows = [["id", "name"], [1, "a"], [2, "b"]]
    expected = [(1, "a"), (2, "b")]
    assert loaded(job(ods(*rows), "o.ods"))[1] == expected
    assert loaded(job(gzip.compress(xlsx(*rows)), "o.xlsx.gz"))[1] == expected
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.xlsx", xlsx(*rows))
        archive.writestr("b.xlsx", xlsx(rows[0], [3, "c"]))
    assert loaded(job(buffer.getvalue(), "all.zip"))[1] == [*expected, (3, "c")]


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    "content", [b"", b"id,name\n1,a\n", xlsx(["a"], [1])[:900], OLE + b"\0" * 600, b"PK\x03\x04 no"]
)
def test_what_is_no_workbook_is_refused(job, content):
    with pytest.raises(UnreadableSource):
        run_ingest(job(content))
    with pytest.raises(UnreadableSource):
        preview(job(content))


@pytest.mark.parametrize("content", [xlsx(["a"], [1]), ods(["a"], [1]), OLE + b"\0" * 600])
def test_a_workbook_where_text_is_expected_is_named_so(job, content):
    with pytest.raises(UnreadableSource, match="is a workbook") as caught:
        run_ingest(job(content, format="csv"))
    assert "format excel" in caught.value.hint


def test_a_sheet_that_claims_to_be_endless_takes_nobody_down(job):
    """One cell in the last row and column: as a rectangle it would need half a terabyte."""
    buffer = BytesIO()
    with zipfile.ZipFile(BytesIO(xlsx(["a"], [1]))) as source, zipfile.ZipFile(buffer, "w") as target:
        for part in source.namelist():
            content = source.read(part)
            if part == "xl/worksheets/sheet1.xml":
                content = content.replace(
                    b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
                )
            target.writestr(part, content)
    with pytest.raises(UnreadableSource):
        run_ingest(job(buffer.getvalue()))
