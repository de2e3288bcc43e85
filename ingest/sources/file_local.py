"""Files in a folder of the server, below one of ASSAY_LOCAL_SOURCE_ROOTS and nowhere else.

A path may be written in three ways. For a root `/srv/assay/inbox`:
`/inbox/orders-*.csv` begins with the root's last folder; `orders-*.csv` lies in
whichever root has it; `/srv/assay/inbox/orders-*.csv` is the real path.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from django.conf import settings
from pydantic import Field

from assay.common.problems import Problem
from ingest.models import IngestJob
from workers.errors import SourceMissing
from workers.specs import FilesSource, SourceFile

from .base import FileOptions, FileSource, Source

_GLOB = frozenset("*?[")


class FileLocalOptions(FileOptions):
    path: str = Field(
        min_length=1, max_length=500, description="a file or a pattern in a source folder: `/inbox/orders-*.csv`"
    )


class FileLocal(FileSource, Source):
    name, part, options, available = "file_local", "file", FileLocalOptions, True

    def problems(self, options: FileLocalOptions, path: str) -> Iterator[Problem]:
        if problem := path_problem(options.path):
            yield Problem(f"{path}.path", problem, "outside_source_roots")

    def to_spec(self, options: FileLocalOptions, job: IngestJob) -> FilesSource:
        if problem := path_problem(options.path):
            raise SourceMissing(problem, hint="Correct the job's path.")
        found = {file: name for root, pattern in _places(options.path) for file, name in _matches(root, pattern)}
        if not found:
            raise SourceMissing(
                f"No file matches “{options.path}”.",
                hint=f"Put one into {_roots_in_words()}, or correct the job's path.",
            )
        return FilesSource(files=tuple(_source_file(file, found[file]) for file in sorted(found)))


def path_problem(path: str) -> str:
    """Why this path may not be read, or nothing. Whether a file is there already does not matter."""
    if "\0" in path or ".." in PurePosixPath(path).parts:
        return "The path must not contain “..”."
    if not _places(path):
        return f"“{path}” lies in no source folder. Readable are {_roots_in_words()}."
    for root, pattern in _places(path):
        fixed = root.joinpath(*_fixed_parts(pattern))
        outside = [file for file in [fixed, *_glob(root, pattern)] if not _is_inside(file, root)]
        if outside:
            return f"“{outside[0].name}” in “{path}” leads out of its source folder by a link."
    return ""


def _places(path: str) -> list[tuple[Path, str]]:
    """Every root that the path may mean, and the pattern below it."""
    written = PurePosixPath(path)
    roots = [Path(root).resolve() for root in settings.ASSAY_LOCAL_SOURCE_ROOTS]
    if not written.is_absolute():
        return [(root, path) for root in roots]
    real = [(root, written.relative_to(root)) for root in roots if written.is_relative_to(root)]
    named = [(root, written.relative_to(f"/{root.name}")) for root in roots if written.is_relative_to(f"/{root.name}")]
    return [(root, str(pattern)) for root, pattern in real or named if str(pattern) != "."]


def _fixed_parts(pattern: str) -> list[str]:
    """The folders in front of the first wildcard, or the whole path where there is none."""
    fixed = []
    for part in PurePosixPath(pattern).parts:
        if _GLOB & set(part):
            break
        fixed.append(part)
    return fixed


def _glob(root: Path, pattern: str) -> list[Path]:
    try:
        return [file for file in root.glob(pattern) if file.is_file()]
    except (ValueError, NotImplementedError, OSError):
        return []


def _matches(root: Path, pattern: str) -> Iterator[tuple[Path, str]]:
    """Real paths, each with its name below the folders that the pattern spells out.

    A link that was put there since the job was saved is checked again here.
    """
    folder = root.joinpath(*_fixed_parts(str(PurePosixPath(pattern).parent)))
    for file in _glob(root, pattern):
        if _is_inside(file, root):
            yield file.resolve(), str(file.relative_to(folder))


def _source_file(file: Path, name: str) -> SourceFile:
    found = file.stat()
    return SourceFile(uri=str(file), name=name, mark=f"{found.st_size}:{found.st_mtime_ns}")


def _is_inside(file: Path, root: Path) -> bool:
    return file.resolve().is_relative_to(root)


def _roots_in_words() -> str:
    roots = [f"/{Path(root).name}/… ({root})" for root in settings.ASSAY_LOCAL_SOURCE_ROOTS]
    return " and ".join(roots) or "no folders: ASSAY_LOCAL_SOURCE_ROOTS is empty"
