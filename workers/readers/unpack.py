"""From landed bytes to plain UTF-8 files: gzip, zip, zstd, bzip2, xz and encodings, told by content and streamed."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import re
import shutil
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from ..errors import InvalidSpec, UnreadableSource
from ..lake.landing import LandedFile
from ..lake.store import open_store
from .base import PlainFile

CHUNK_BYTES = 1 << 20
MAX_RATIO = 1100  # deflate itself cannot do much better than 1032
SAFE_BYTES = 256 << 20  # what every archive may unpack to, however small it is: other methods know no bound
MAX_UNPACKED_BYTES = 1 << 40
HEAD_BYTES = 16
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # .xls, and workbooks with a password
_WORKBOOK_PARTS = ("[Content_Types].xml", "content.xml")  # of Office and of OpenDocument
# zipfile says RuntimeError for a password, and NotImplementedError, which is one, for an unknown method.
PACKING_ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, ValueError)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def plain_files(
    landed: Iterable[LandedFile],
    folder: Path,
    encoding: str = "utf-8",
    limit: int | None = None,
    *,
    are_workbooks: bool = False,
) -> list[PlainFile]:
    """The landed files, unpacked and in UTF-8 without a byte order mark.

    What already is so is used where it lies. A byte that the encoding does
    not know becomes an invalid one, so that its row is rejected later. With a
    `limit` no more than so many bytes of each are unpacked or decoded. A
    workbook is an archive, too, and left as it is. Raises `UnreadableSource`
    for a broken or encrypted archive, and for a workbook where none is expected.
    """
    codec = _codec(encoding)
    files: list[PlainFile] = []
    for number, file in enumerate(landed):
        local = _local(file, folder / f"landed-{number}")
        for path, name in _unpacked(local, file.name, folder / f"plain-{number}", limit):
            if not are_workbooks and _is_workbook(path):
                raise UnreadableSource(f"{name} is a workbook.", hint="Choose the format excel.")
            plain = _decoded(path, codec, folder / f"utf8-{len(files)}", limit)
            files.append(PlainFile(path=plain, number=len(files), name=name))
    return files


def _codec(encoding: str) -> str:
    try:
        "".encode(encoding)  # a lookup alone would also find what is no text encoding: base64, rot13
        return codecs.lookup(encoding).name
    except (LookupError, UnicodeError):
        raise InvalidSpec(
            f"“{encoding}” is no encoding.", hint="Use utf-8, utf-16, latin-1 or windows-1252, for example."
        ) from None


def _local(file: LandedFile, copy: Path) -> Path:
    if not file.uri.startswith("s3://"):
        return Path(file.uri)
    parent, _, key = file.uri.rpartition("/")
    with open_store(parent).open(key) as source, copy.open("wb") as sink:
        shutil.copyfileobj(source, sink, CHUNK_BYTES)
    return copy


def _unpacked(path: Path, name: str, plain: Path, limit: int | None) -> Iterator[tuple[Path, str]]:
    head = _head(path)
    allowance = _Allowance(path.stat().st_size, name)
    try:
        if head.startswith(_ZIP) and not _is_workbook(path):
            yield from _members(path, name, plain, allowance, limit)
        elif _opener(head) is Path.open:
            yield path, name
        else:
            with unpacking(path) as source:
                yield _copy(source, plain, allowance, limit), name
    except PACKING_ERRORS as error:
        raise UnreadableSource(
            f"{name} cannot be unpacked: {error}", hint="Pack it again as gzip, zip or zstd without a password."
        ) from error


def unpacking(path: Path) -> BinaryIO:
    """The file, unpacked while it is read where it is one packed stream. What goes wrong is in `PACKING_ERRORS`."""
    opener = _opener(_head(path))
    return path.open("rb") if opener is Path.open else opener(path)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _opener(head: bytes) -> Callable[[Path], BinaryIO]:
    return next((opener for magic, opener in _STREAMS if magic.match(head)), Path.open)


def _open_zstd(path: Path) -> BinaryIO:
    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


# Long enough signs that no text begins with them by chance.
_STREAMS: tuple[tuple[re.Pattern[bytes], Callable[[Path], BinaryIO]], ...] = (
    (re.compile(rb"\x1f\x8b"), gzip.open),
    (re.compile(rb"\x28\xb5\x2f\xfd"), _open_zstd),
    (re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)"), bz2.open),
    (re.compile(rb"\xfd7zXZ\x00"), lzma.open),
)


def _is_workbook(path: Path) -> bool:
    head = _head(path)
    if not head.startswith(_ZIP):
        return head.startswith(_OLE)
    try:
        with zipfile.ZipFile(path) as archive:
            return any(part in archive.NameToInfo for part in _WORKBOOK_PARTS)
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError):
        return False


def _members(
    path: Path, name: str, plain: Path, allowance: _Allowance, limit: int | None
) -> Iterator[tuple[Path, str]]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if _is_data(member)]
        if not members:
            raise UnreadableSource(f"{name} is an empty archive.", hint="Put at least one file into it.")
        for number, member in enumerate(members):
            with archive.open(member) as source:
                member_path = _copy(source, plain.with_name(f"{plain.name}-{number}"), allowance, limit)
            yield member_path, f"{name}/{member.filename}"


def _is_data(member: zipfile.ZipInfo) -> bool:
    parts = member.filename.split("/")
    return not member.is_dir() and parts[0] != "__MACOSX" and not parts[-1].startswith(".")


class _Allowance:
    """How many bytes an archive may still unpack to, all its members together."""

    def __init__(self, packed_bytes: int, name: str) -> None:
        self._most = self._left = min(MAX_UNPACKED_BYTES, max(packed_bytes * MAX_RATIO, SAFE_BYTES))
        self._name = name

    def take(self, size: int) -> None:
        """Raises `UnreadableSource` when that is more than is left."""
        self._left -= size
        if self._left < 0:
            raise UnreadableSource(
                f"{self._name} unpacks to more than {self._most >> 20} MiB.", hint="Is it a zip bomb?"
            )


def _copy(source: BinaryIO, path: Path, allowance: _Allowance, limit: int | None) -> Path:
    size = 0
    with path.open("wb") as sink:
        while (limit is None or size < limit) and (chunk := source.read(CHUNK_BYTES)):
            allowance.take(len(chunk))
            sink.write(chunk)
            size += len(chunk)
    return path


def _decoded(path: Path, codec: str, plain: Path, limit: int | None) -> Path:
    with path.open("rb") as file:
        head = file.read(4)
    # A byte order mark proves its encoding, whatever the job says; without one UTF-16 is little-endian.
    found = next(((bom, told) for bom, told in _BOMS if head.startswith(bom)), None)
    bom, codec = found or (b"", {"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(codec, codec))
    if codec in ("utf-8", "utf-8-sig", "ascii") and not bom:
        return path
    with path.open("rb") as source, plain.open("wb") as sink:
        source.seek(len(bom))
        _transcode(source, sink, codec, limit)
    return plain


def _transcode(source: BinaryIO, sink: BinaryIO, codec: str, limit: int | None) -> None:
    decoder = codecs.getincrementaldecoder(codec)(errors="assay_invalid")
    while (limit is None or sink.tell() < limit) and (chunk := source.read(CHUNK_BYTES)):
        sink.write(decoder.decode(chunk).encode("utf-8", "surrogateescape"))
    sink.write(decoder.decode(b"", final=True).encode("utf-8", "surrogateescape"))


def _as_invalid(error: UnicodeError) -> tuple[str, int]:
    """A byte that means nothing becomes U+DCFF, which `surrogateescape` writes as 0xFF: never valid UTF-8."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error("assay_invalid", _as_invalid)
