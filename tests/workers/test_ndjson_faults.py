"""NDJSON with broken lines among many good ones: each is set aside with its line, its byte and its text."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from workers.executors.ingest.run import run_ingest
from workers.ids import new_run_id
from workers.specs import Column, FilesSource, IngestSpec, SourceFile, TableTarget

LINES = 12_000  # more than is judged at once, several times over
FAULTS = {
    b'{"id": 1, "text": "cut of': "json",
    b'{"id": 1,}': "json",
    b"not json at all": "json",
    b"[1, 2]": "json",
    b"null": "json",
    b'"text"': "json",
    b'{"id": NaN}': "json",
    b'{"id": 1} {"id": 2}': "json",
    b'{"id": 1e999}': "json",
    b'{"id": ' + b"9" * 60 + b"}": "json",
    b'{"id": 1, "text": "\xff"}': "encoding",
    b'{"id": 1, "text": "\\ud83d"}': "encoding",
    b'{"id": 1, "text": "\\ude00"}': "encoding",
    b'{"id": 1, "text": "\\\\ud83d\\ude00"}': "encoding",
}


def spec_of(folder: Path, content: bytes, **changes: object) -> IngestSpec:
    source = folder / "lines.ndjson"
    source.write_bytes(content)
    facts = {
        "run_id": str(new_run_id()),
        "workflow": "w",
        "job": "j",
        "source": FilesSource(files=(SourceFile(uri=str(source), name="lines.ndjson"),)),
        "format": "ndjson",
        "landing_uri": f"{folder}/lake/landing/w/j",
        "quarantine_uri": f"{folder}/lake/quarantine/w/j",
        "target": TableTarget(dataset="bronze.w.j", uri=f"{folder}/lake/bronze/w/j"),
        "error_handling": "quarantine",
        "bad_row_threshold": 1.0,
        "ingested_at": datetime(2026, 11, 22, tzinfo=UTC),
    }
    return IngestSpec(**facts | changes)


def quarantine(spec: IngestSpec) -> list[tuple[object, ...]]:
    rows = pl.read_parquet(f"{spec.quarantine_uri}/2026/11/22/{spec.run_id}.parquet").sort("_line")
    return rows.select("_line", "_offset", "_rule", "_raw").rows()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("share", [0.0005, 0.3])
def test_each_broken_line_is_set_aside_alone_wherever_it_stands(tmp_path, share, line_end):
    draw = random.Random(3)
    content, good, broken, record = bytearray(), [], [], 0
    for number in range(LINES):
        if number in (0, LINES - 1) or draw.random() < share:
            raw, rule = draw.choice(list(FAULTS.items()))
            record += 1
            broken.append((record, len(content), rule, raw.decode("utf-8", "backslashreplace")))
            content += raw + line_end
        elif draw.random() < 0.01:
            content += draw.choice([b"", b"  \t"]) + line_end
        else:
            text = draw.choice(["plain", "\U0001f600", "a \\ b", 'q"q', "x" * draw.randrange(200)])
            good.append((number, text, {"tags": [text], "n": number}))
            record += 1
            value = {"id": number, "text": text, "more": {"tags": [text], "n": number}}
            content += json.dumps(value, ensure_ascii=draw.random() < 0.5).encode() + line_end
    spec = spec_of(tmp_path, bytes(content).removesuffix(line_end))
    result = run_ingest(spec)
    assert (result.rows_read, result.quarantined_rows) == (record, len(broken))
    assert pl.read_delta(spec.target.uri).sort("id").select("id", "text", "more").rows() == good
    assert quarantine(spec) == broken


def test_values_that_are_not_of_their_columns_type_cost_only_their_own_lines(tmp_path):
    columns = (
        Column(name="id", type="int64"),
        Column(name="user", type="struct<age: int64, ok: boolean>"),
        Column(name="tags", type="list<float64>"),
    )
    wrong = {
        100: b'{"id": 100, "user": {"age": 1.5}}',
        4000: b'{"id": 4000, "user": {"age": true}}',
        4001: b'{"id": 4001, "user": 7}',
        8000: b'{"id": 8000, "user": [{"age": 7}]}',
        9000: b'{"id": 9000, "user": {"ok": 1}}',
        9001: b'{"id": 9001, "tags": 1.5}',
        9002: b'{"id": 9002, "tags": [[1.5]]}',
        9003: b'{"id": 9003, "tags": ["1.5"]}',
        9999: b'{"id": "many"}',
    }
    right = b'{"id": %d, "user": {"age": %d, "ok": true}, "tags": [1, 2.5], "other": {"x": []}}'
    lines = [wrong.get(number, right % (number, number)) for number in range(10_000)]
    spec = spec_of(tmp_path, b"\n".join(lines), schema_mode="user", columns=columns)
    result = run_ingest(spec)
    assert [(line - 1, rule) for line, _, rule, _ in quarantine(spec)] == [(number, "type") for number in wrong]
    assert result.rows_written == 10_000 - len(wrong)
    told = pl.read_delta(spec.target.uri).sort("id").select("id", "user", "tags").rows()
    expected = [n for n in range(10_000) if n not in wrong]
    assert told == [(n, {"age": n, "ok": True}, [1.0, 2.5]) for n in expected]


def test_a_line_longer_than_what_is_judged_at_once_is_one_record(tmp_path):
    long = "x" * 700_000
    lines = [json.dumps({"id": 1, "text": long}), '{"id": 2', json.dumps({"id": 3, "text": long})]
    spec = spec_of(tmp_path, "\n".join(lines).encode())
    run_ingest(spec)
    assert pl.read_delta(spec.target.uri).sort("id").select("id", "text").rows() == [(1, long), (3, long)]
    assert [row[:3] for row in quarantine(spec)] == [(2, len(lines[0]) + 1, "json")]
