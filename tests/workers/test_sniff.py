"""What is guessed of a file that somebody has just sent."""

import gzip

import pyarrow as pa
import pytest

from workers.readers.sniff import sniff_csv, sniff_json


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        path = tmp_path / "sent"
        path.write_bytes(content)
        return path

    return write


FILES = [
    ("id,name\n1,a\n2,b\n", "utf-8", ",", "utf-8"),
    ("id,name\r1,a\r2,b\r", "utf-8", ",", "utf-8"),
    ("id;preis\n1;1,50\n2;2,25\n", "utf-8", ";", "utf-8"),
    ('id;note\n1;"a; b,\nc,d"\n2;"e""f"\n', "utf-8", ";", "utf-8"),
    ("id\tname\n1\ta,b,c\n", "utf-8", "\t", "utf-8"),
    ("id|name\n1|a\n", "utf-8", "|", "utf-8"),
    ("id;name\n1;Käse\n", "latin-1", ";", "windows-1252"),
    ("id;name\n1;Käse\n", "utf-8-sig", ";", "utf-8"),
    ("id;name\n1;Käse\n", "utf-16", ";", "utf-16"),
    ("only\n1\n2\n", "utf-8", ",", "utf-8"),
]


@pytest.mark.parametrize(("text", "encoding", "delimiter", "guessed"), FILES)
def test_delimiter_and_encoding_are_guessed(file, text, encoding, delimiter, guessed):
    found = sniff_csv(file(text.encode(encoding)))
    assert (found["delimiter"], found["encoding"]) == (delimiter, guessed)


@pytest.mark.parametrize(
    ("text", "decimal"),
    [
        ("id;price\n1;1,50\n2;2\n", ","),
        ("id;price\n1;1.234,50\n", ","),
        ("id;price\n1;1.50\n2;2,25\n3;7.5\n", "."),
        ('id,price\n1,"1,50"\n', "."),  # between commas a comma may as well part thousands
        ("id;note\n1;a,b\n", "."),
        ("id\n1\n", "."),
    ],
)
def test_a_decimal_comma_is_guessed(file, text, decimal):
    assert sniff_csv(file(text.encode()))["decimal"] == decimal


@pytest.mark.parametrize(
    ("text", "has_header"),
    [
        ("id,name\n1,a\n", True),
        ("1,a\n2,b\n", False),
        ("2026-11-22,1.5\n2026-11-23,2.5\n", False),
        ("country,2019,2020\nde,,\nfr,,\n", True),
        ("country,iso\nGermany,de\nFrance,fr\n", True),
        ("a,b\n", True),
        ("", True),
    ],
)
def test_a_header_is_guessed(file, text, has_header):
    assert sniff_csv(file(text.encode())).get("has_header", True) == has_header


@pytest.mark.parametrize("pack", [gzip.compress, lambda content: pa.compress(content, "zstd", asbytes=True)])
def test_a_packed_file_is_looked_into(file, pack):
    assert sniff_csv(file(pack(b"id;name\n1;a\n")))["delimiter"] == ";"


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bbroken"])
def test_of_what_cannot_be_read_nothing_is_guessed(file, content):
    assert sniff_csv(file(content)) == {}
    assert sniff_json(file(content)) == {}


def test_a_character_that_the_end_of_the_head_cuts_in_two_does_not_change_the_encoding(file):
    assert sniff_csv(file(b"id,name\n" + "ä".encode() * (1 << 18)))["encoding"] == "utf-8"


DOCUMENTS = [
    (b'{"data": {"items": [{"id": 1}]}, "count": 1}', {"records_path": "data.items"}),
    (b'{"tags": ["a"], "rows": [{"id": 1}]}', {"records_path": "rows"}),
    (b'[{"id": 1, "lines": [{"sku": 1}]}]', {}),
    (b'{"id": 1}', {}),
    (b'{"rows": [{"id": 1}, ', {}),
    (b"[" * 200_000, {}),
]


@pytest.mark.parametrize(("content", "guessed"), DOCUMENTS)
def test_the_place_of_the_records_is_guessed(file, content, guessed):
    assert sniff_json(file(content)) == guessed
