"""Which files a run reads: not those whose content the table has already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from workers.access import Access
from workers.errors import SourceMissing
from workers.lake.landing import Landed, LandedFile
from workers.lake.state import state_of
from workers.lake.table import open_table, table_exists
from workers.readers.base import PlainFile
from workers.results import FileRead, Published, StepResult
from workers.specs import IngestSpec

from .incremental import is_window
from .landed import files_of

NAMED = 5  # in the run's log


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What becomes of the landed files."""

    to_read: tuple[LandedFile, ...]
    told: tuple[FileRead, ...] = ()  # all that came; pages and result sets are no files that could come again

    @property
    def note(self) -> str:
        """What was left out, for the run's log; empty when nothing was."""
        loaded = [file for file in self.told if file.loaded_by]
        if not loaded:
            return ""
        names = ", ".join(f"{file.name} (run {file.loaded_by})" for file in loaded[:NAMED])
        more = f" and {len(loaded) - NAMED} more" if len(loaded) > NAMED else ""
        return f"Loaded before, so not read again: {names}{more}."


def skips_loaded_files(spec: IngestSpec) -> bool:
    """Whether the run adds to what is there. One that replaces or compares rows needs all files."""
    adds = spec.write_mode in ("append", "merge") and not is_window(spec) and spec.delete_detection == "off"
    return spec.source.type == "files" and spec.skip_loaded_files and adds


def choose_files(spec: IngestSpec, landed: Landed, access: Access) -> Chosen:
    """Tell the files to read from those whose content was loaded before, by an earlier run or as another file of this.

    A table that is gone has loaded nothing. Raises whatever `access.loaded` raises.
    """
    files = files_of(landed)
    if spec.source.type != "files" or is_window(spec):  # of a file some days only are no loaded file
        return Chosen(to_read=files)
    if not skips_loaded_files(spec):
        return Chosen(to_read=files, told=tuple(_told(file) for file in files))
    loaded = dict(access.loaded({file.sha256 for file in files})) if table_exists(spec.target.uri) else {}
    to_read, told = [], []
    for file in files:
        told.append(_told(file, loaded.get(file.sha256, "")))
        if file.sha256 not in loaded:
            to_read.append(file)
            loaded[file.sha256] = spec.run_id
    return Chosen(to_read=tuple(to_read), told=tuple(told))


def _told(file: LandedFile, loaded_by: str = "") -> FileRead:
    return FileRead(name=file.name, size=file.size, sha256=file.sha256, mark=file.mark, loaded_by=loaded_by)


def holds_nothing(spec: IngestSpec, files: Sequence[PlainFile]) -> bool:
    """Whether an API has no record yet, and neither the job nor a table says what columns they will have.

    `spec` has the settled columns. A file without anything is an error at its source; an API's empty list is an answer.
    """
    return spec.source.type == "api" and not spec.columns and not any(file.path.stat().st_size for file in files)


def nothing_yet(spec: IngestSpec, landed: Landed, landing_path: str) -> StepResult:
    """The result of a run after which there still is no table: nothing is committed, the watermark stays."""
    return StepResult(
        rows_read=0,
        rows_written=0,
        published=None,
        columns=(),
        landing_path=landing_path,
        watermark=spec.watermark.last if spec.watermark else None,
        facts=landed.facts,
    )


def nothing_new(spec: IngestSpec, landed: Landed, chosen: Chosen, landing_path: str) -> StepResult:
    """The result of a run that has no file to read: the table stays at its version, nothing is committed.

    Raises `SourceMissing` where there is no table yet.
    """
    if not table_exists(spec.target.uri):
        raise SourceMissing("There is no file to load.", hint="Put one where the job looks for it.")
    table = open_table(spec.target.uri)
    state, mark = state_of(spec.target.uri, table.version), spec.watermark
    return StepResult(
        rows_read=0,
        rows_written=0,
        published=Published(
            version=table.version,
            rows=0,
            table_rows=table.rows,
            table_bytes=table.bytes,
            table_files=len(table.data_files),
        ),
        columns=table.columns,
        landing_path=landing_path,
        watermark=state.value_of(mark.column, mark.last) if mark else None,
        files=chosen.told,
        facts=landed.facts,
    )
