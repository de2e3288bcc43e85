"""Whether the files of an index are still what was written: asked before they are read, which would end the process."""

from __future__ import annotations

from .errors import AssayError
from .lake.store import open_store, reaching
from .lake.table import Table


class IndexDamaged(AssayError):
    """Files of an index are lost, or cut off."""

    code = "index_damaged"


def check_whole(table: Table) -> None:
    """Raises `IndexDamaged` where a file is not there, or has another size than the table's log says."""
    store, told = open_store(table.uri), {file.path: file.size for file in table.data_files}
    with reaching(table.uri):
        harmed = sorted(path for path, size in store.sizes(told).items() if size != told[path])
    if harmed:
        raise IndexDamaged(
            f"{len(harmed):,} of the {len(told):,} files of this index are lost or cut off, e.g. {harmed[0]}.",
            hint="Rebuild the index: the page of the job that makes it has a button for that.",
        )
