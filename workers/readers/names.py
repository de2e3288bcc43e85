"""Column names as tables can hold them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import count
from types import MappingProxyType

from ..errors import SchemaChanged
from ..specs import Column

PROVENANCE = ("_ingested_at", "_run_id", "_source_file", "_ingest_date", "_deleted_at")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # Arrow cannot hold a NUL in a name, and nobody can read the others


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names without blanks around them, each once: `id, ID, , _run_id` are `id, ID_2, column_3, _run_id_2`.

    Case does not tell two columns of a table apart, and the names that Bronze
    adds itself are taken.
    """
    taken, unique = set(PROVENANCE), []
    for position, name in enumerate(names, 1):
        plain = _CONTROL.sub("_", name.strip()) or f"column_{position}"
        free = next(c for n in count(1) if (c := plain if n == 1 else f"{plain}_{n}").lower() not in taken)
        taken.add(free.lower())
        unique.append(free)
    return tuple(unique)


def aligned(
    headers: Iterable[tuple[str, ...]], known: Iterable[str], renames: Mapping[str, str] = MappingProxyType({})
) -> list[tuple[str, ...]]:
    """The headers spelled alike: `ID` in one file is the `id` of another, or of the table.

    `renames` says which column of the source is which of the table. Raises
    `SchemaChanged` for a file that has both.
    """
    spelling = {name.lower(): name for name in known}
    mapped = {old.lower(): new for old, new in renames.items()}
    plain = (tuple(mapped.get(name.lower(), name) for name in header) for header in headers)
    return [tuple(spelling.setdefault(name.lower(), name) for name in _each_once(header)) for header in plain]


def _each_once(header: tuple[str, ...]) -> tuple[str, ...]:
    seen: set[str] = set()
    for name in header:
        if name.lower() in seen:
            raise SchemaChanged(
                f"A column of the source is mapped to {name}, and the source has a {name} of its own.",
                hint="Take the column out of the job's column_mapping.",
                column=name,
            )
        seen.add(name.lower())
    return header


def source_names(columns: Iterable[Column]) -> tuple[str, ...]:
    """The columns that come from the source: all but those that Bronze adds."""
    return tuple(column.name for column in columns if column.name not in PROVENANCE)
