"""What becomes of nested values: declared in the options of every source whose records may be JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from assay.common.options import Options
from assay.common.problems import Problem
from workers.nested import child_name, child_paths, path_of
from workers.specs import Nested

if TYPE_CHECKING:
    from ingest.models import IngestJob

JSON_FORMATS = ("json", "ndjson")


class NestedValue(Options):
    """What becomes of a nested value."""

    path: str = Field(
        min_length=1,
        max_length=200,
        description="in the record: `customer`, `order.items`; `*` stands for all others at the top",
    )
    keep_as: Literal["flatten", "json", "child_table"] = Field(description="columns, JSON text, or a table of its own")


NestedValues = Annotated[list[NestedValue], Field(max_length=100, description="what becomes of nested values")]


def as_spec(values: Sequence[NestedValue]) -> tuple[Nested, ...]:
    return tuple(Nested(path=value.path, keep_as=value.keep_as) for value in values)


def children_of(job: IngestJob) -> list[str]:
    """The names of a sound job's child tables, without layer and workflow."""
    parts = [part for part in job.config.values() if part] if isinstance(job.config, dict) else []
    values = [value for part in parts for value in part.get("nested") or []]
    nested = [Nested(path=value["path"], keep_as=value["keep_as"]) for value in values]
    return [child_name(job.name, path) for path in child_paths(nested)]


def nested_problems(job: IngestJob, options: Any, path: str) -> Iterator[Problem]:
    """What only shows together with the rest of the job."""
    values: list[NestedValue] = getattr(options, "nested", [])
    if not values:
        return
    if job.format not in JSON_FORMATS:
        yield Problem(f"{path}.nested", f"The format is {job.format}: only JSON has nested values.", "not_allowed")
    if any(value.keep_as == "child_table" for value in values) and not job.key_columns:
        yield Problem("key_columns", "Child tables need key_columns: by them a child row finds its parent.", "required")
    for number, value in enumerate(values):
        if detail := _fault(value, values):
            yield Problem(f"{path}.nested.{number}.path", detail, "invalid")
    names = children_of(job)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        detail = f"Two child tables would be called {twice[0]}."
        yield Problem(f"{path}.nested", detail, "unique")
    taken = type(job).objects.filter(workflow_id=job.workflow_id, name__in=names).values_list("name", flat=True)
    if job.workflow_id and (name := taken.first()):
        detail = f"A child table would be called “{name}”, and so is a job of the workflow."
        yield Problem(f"{path}.nested", detail, "unique")


def _fault(value: NestedValue, values: Sequence[NestedValue]) -> str:
    """Why a choice cannot be; nothing when it can."""
    own = path_of(value.path)
    if not own or "" in own:
        return "Write the keys from the record down to the value, parted by dots: order.items."
    if "*" in own and (len(own) > 1 or value.keep_as == "child_table"):
        return "`*` stands alone, and a child table has a path of its own."
    if [path_of(other.path) for other in values].count(own) > 1:
        return f"There are two choices for {value.path}."
    texts = [other.path for other in values if other.keep_as == "json" and other is not value]
    around = [text for text in texts if path_of(text) == own[: len(path_of(text))]]
    return f"It lies inside {around[0]}, which is kept as JSON text." if around else ""


def namesake_problems(job: IngestJob) -> Iterator[Problem]:
    """A job's name must not be that of another job's child table."""
    others = type(job).objects.filter(workflow_id=job.workflow_id).exclude(pk=job.pk) if job.workflow_id else ()
    for other in others:
        if job.name.startswith(f"{other.name}__") and job.name in children_of(other):
            yield Problem("name", f"A child table of the job “{other.name}” is called so already.", "unique")
