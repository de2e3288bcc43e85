"""What a run of a dimension reads: from what its last commit says, and from what the input has got since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from workers.errors import TableMissing
from workers.lake.table import DataFile, Table, open_table
from workers.specs import Column, to_json
from workers.template_specs import Scd2Spec

from .evidence import State, state_of
from .timeline import FROM, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a run reads, and what it builds on."""

    how: Literal["first", "anew", "all", "new"]  # a first build; from input and all that is known; all rows; new files
    why: str
    files: tuple[DataFile, ...]  # of the input
    state: State | None
    known_shape: Shape | None = None  # of the table as it is; None: what it knows is of no use


def reading_of(spec: Scd2Spec, source: Table, table: Table | None) -> Reading:
    """What this run has to read, from what the last commit says that is known."""
    state = state_of(table) if table is not None else None
    if table is None or state is None:
        why = "there is no dimension yet" if table is None else "what the table holds was made by something else"
        return Reading(how="first", why=why, files=source.data_files, state=None)
    before, now = state.config, config_of(spec)
    if any(before[name] != now[name] for name in ("keys", "time")) or _types(before) != _types(now):
        return Reading(how="first", why="its key or its time is another", files=source.data_files, state=state)
    old = _shape(before)
    if before != now:
        return Reading(
            how="anew", why="its configuration changed", files=source.data_files, state=state, known_shape=old
        )
    read = state.inputs.get(spec.inputs[0].dataset)
    held = None if state.is_interrupted or read is None else _paths(spec.inputs[0].uri, read)
    if held is None:
        why = "the dimension was restored, or written by something else" if state.is_interrupted else "not known before"
        return Reading(how="all", why=why, files=source.data_files, state=state, known_shape=old)
    new = tuple(file for file in source.data_files if file.path not in held)
    return Reading(how="new", why=f"those since version {read}", files=new, state=state, known_shape=old)


def _types(config: dict[str, Any]) -> dict[str, str]:
    named = {column["name"]: column["type"] for column in config["columns"]}
    return {name: named[name] for name in (*config["keys"], FROM)}


def _shape(config: dict[str, Any]) -> Shape:
    columns = tuple(Column(**column) for column in config["columns"])
    return Shape(columns=columns, keys=tuple(config["keys"]), tracked=tuple(config["tracked"]))


def _paths(uri: str, version: int) -> set[str] | None:
    """The files of a version that was read; None when nobody can tell any more."""
    try:
        return {file.path for file in open_table(uri, version).data_files}
    except TableMissing:
        return None


def config_of(spec: Scd2Spec) -> dict[str, Any]:
    return {
        "keys": list(spec.business_keys),
        "time": spec.effective_time_column,
        "tracked": list(spec.tracked),
        "columns": [to_json(column) for column in spec.columns],
        "delete_mode": spec.delete_mode,
        "deleted_column": spec.deleted_column,
    }
