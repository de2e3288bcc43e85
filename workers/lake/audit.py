"""The last look at staged files before the commit: delta-rs itself checks none of this."""

from __future__ import annotations

from ..errors import AuditFailed, InvalidSpec
from ..schema import parse_type
from ..specs import Column, TableTarget
from .evolve import storage_type, stored_name
from .paths import partition_value
from .stage import StagedFile
from .store import Store


def check_staged(store: Store, target: TableTarget, files: tuple[StagedFile, ...], columns: tuple[Column, ...]) -> None:
    """Raises `AuditFailed` unless every file is there, whole, and holds what `columns` say."""
    declared = {column.name: column for column in columns}
    if unknown := [name for name in target.partition_by if name not in declared]:
        raise InvalidSpec(f"{target.dataset} is partitioned by {', '.join(unknown)}, which is none of its columns.")
    if len(declared) < len(columns) or len({name.lower() for name in declared}) < len(columns):
        raise InvalidSpec(f"Two columns of {target.dataset} have the same name.", hint="Case does not count.")
    sizes = store.sizes(file.path for file in files)
    for file in files:
        if sizes[file.path] != file.size:
            found = "is gone" if sizes[file.path] is None else f"has {sizes[file.path]} bytes, not {file.size}"
            raise AuditFailed(f"The staged file {file.path} {found}.", hint="Run the job again.", path=file.path)
        _check_columns(file, target, declared)
        _check_partition(file, target, declared)


def _check_columns(file: StagedFile, target: TableTarget, declared: dict[str, Column]) -> None:
    wanted = {name: column for name, column in declared.items() if name not in target.partition_by}
    held = {column.name: column.type for column in file.columns}
    problems = [f"{name} is in the file and not in the schema" for name in held if name not in wanted]
    for name, column in wanted.items():
        if name not in held:
            if not column.nullable:
                problems.append(f"{name} is required and not in the file")
        elif held[name] != stored_name(column.type):
            problems.append(f"{name} is {held[name]}, not {column.type}")
        elif not column.nullable and file.stats.get("nullCount", {}).get(name):
            problems.append(f"{name} is required and null in {file.stats['nullCount'][name]} rows")
    if problems:
        raise AuditFailed(
            f"{file.path} is not what {target.dataset} declares: {'; '.join(problems)}.",
            hint="Cast the rows to the declared columns before they are staged.",
            problems=problems,
        )


def _check_partition(file: StagedFile, target: TableTarget, declared: dict[str, Column]) -> None:
    if tuple(file.partition_values) != target.partition_by:
        raise AuditFailed(f"{file.path} has other partition columns than {target.dataset}.")
    for name, text in file.partition_values.items():
        if text is None and not declared[name].nullable:
            raise AuditFailed(f"{name} is required and null in {file.rows} rows of {file.path}.")
        try:
            partition_value(text, storage_type(parse_type(declared[name].type)))
        except (ValueError, KeyError, ArithmeticError) as error:
            raise AuditFailed(f"The partition {name}={text} of {file.path} is no {declared[name].type}.") from error
