"""What is guessed of a file that somebody has just sent."""

import gzip

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
    assert sniff_csv(file(text.encode(encoding))) == {"delimiter": delimiter, "encoding": guessed}


def test_a_packed_file_is_looked_into(file):
    assert sniff_csv(file(gzip.compress(b"id;name\n1;a\n")))["delimiter"] == ";"


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
