import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workers.errors import Cancelled, SourceMissing
from workers.lake.landing import Landed, Landing, land_files
from workers.progress import silent
from workers.specs import SourceFile

AT = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)


def land(files, landing_uri, run_id, at, progress=silent) -> Landed:
    landing = Landing(landing_uri, run_id, at)
    return landing.landed() or land_files(files, landing, progress)


@pytest.fixture
def sources(tmp_path):
    def make(*files: tuple[str, bytes]) -> tuple[SourceFile, ...]:
        made = []
        for number, (name, content) in enumerate(files):
            path = tmp_path / "in" / str(number)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            made.append(SourceFile(uri=str(path), name=name))
        return tuple(made)

    return make


def test_landing_keeps_the_bytes_as_received_with_a_manifest_that_proves_them(tmp_path, sources):
    content = b"\xef\xbb\xbfid,name\r\n1,\xff\r\n" * 200_000
    landed = land(sources(("orders.csv", content)), f"{tmp_path}/landing/shop/orders", "run-1", AT)

    assert landed.path == f"{tmp_path}/landing/shop/orders/2026/11/22/run-1/"
    (file,) = landed.files
    assert Path(file.uri).read_bytes() == content
    assert (file.name, file.size, file.sha256) == ("orders.csv", len(content), hashlib.sha256(content).hexdigest())
    manifest = json.loads(Path(landed.path, "manifest.json").read_text())
    assert manifest["run_id"] == "run-1"
    assert manifest["landed_at"] == "2026-11-22T23:30:00+00:00"
    assert manifest["files"][0]["sha256"] == file.sha256


def test_landing_again_reads_the_manifest_even_when_the_source_has_gone(tmp_path, sources):
    files = sources(("orders.csv", b"id\n1\n"))
    first = land(files, str(tmp_path / "landing"), "run-1", AT)
    Path(files[0].uri).unlink()
    assert land(files, str(tmp_path / "landing"), "run-1", AT) == first


def test_a_damaged_landing_is_not_taken_for_a_whole_one(tmp_path, sources):
    files = sources(("orders.csv", b"id\n1\n"))
    landed = land(files, str(tmp_path / "landing"), "run-1", AT)
    Path(landed.files[0].uri).write_bytes(b"id\n")
    with pytest.raises(SourceMissing, match=r"orders\.csv"):
        land(files, str(tmp_path / "landing"), "run-1", AT)


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (("a.csv", "a.csv", "a.csv"), ["a.csv", "a-2.csv", "a-3.csv"]),
        (("manifest.json",), ["manifest-2.json"]),
        (("../../etc/passwd", "C:\\data\\b.csv"), ["passwd", "b.csv"]),
        (("..", ".hidden", ""), ["file", "hidden", "file-2"]),
        (("orders*[1]?.csv\n",), ["orders__1__.csv_"]),
        (("ü" * 300 + ".csv",), ["ü" * 100 + ".csv"]),
    ],
)
def test_any_name_becomes_a_safe_file_of_its_own(tmp_path, sources, names, keys):
    landed = land(sources(*((name, name.encode()) for name in names)), str(tmp_path / "landing"), "run-1", AT)
    assert [Path(file.uri).name for file in landed.files] == keys
    assert [file.name for file in landed.files] == list(names)
    assert [Path(file.uri).read_bytes().decode() for file in landed.files] == list(names)


def test_a_missing_source_is_named_and_nothing_counts_as_landed(tmp_path, sources):
    gone = SourceFile(uri=str(tmp_path / "gone"), name="gone.csv")
    with pytest.raises(SourceMissing, match=r"gone\.csv"):
        land((*sources(("a.csv", b"1")), gone), str(tmp_path / "landing"), "run-1", AT)
    assert not list(tmp_path.rglob("manifest.json"))


def test_progress_is_told_in_bytes_and_may_stop_the_copy(tmp_path, sources):
    files = sources(("a.csv", b"x" * 3_000_000), ("b.csv", b"y" * 1_000_000))
    told = []
    land(files, str(tmp_path / "landing"), "run-1", AT, lambda phase, **now: told.append((phase, now["done"])))
    assert told[-1] == ("land", 4_000_000)
    assert len(told) >= 4

    def cancel(phase, *, done=None, total=None, message=""):
        assert total == 4_000_000
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        land(files, str(tmp_path / "landing"), "run-2", AT, cancel)
    assert not [path for path in (tmp_path / "landing").rglob("*") if path.is_file() and "run-2" in str(path)]
