"""Forms whose model finds problems deep inside JSON fields, and forms with a list of columns in them."""

from __future__ import annotations

from typing import Any, ClassVar

from .problems import problems_in

TYPES = (
    *("string", "boolean", "int64", "int32", "int16", "int8", "float64", "float32"),
    *("decimal(18,2)", "date", "time", "timestamp", "timestamptz", "binary", "json"),
)


class ProblemFields:
    """Mixin for a ModelForm: what the model refuses is shown at the field that a person can change.

    `field_of` says which form field shows the problem of a path; what has none
    stands on top of the form.
    """

    field_of: ClassVar[dict[str, str]] = {}

    def _update_errors(self, errors) -> None:
        """Django's hook for what the model refused."""
        for problem in problems_in(errors):
            field = self._place_of(problem.attr)
            detail = problem.detail if field else self._explained(problem.attr, problem.detail)
            if not (field and self.has_error(field)):
                self.add_error(field, detail)

    def _place_of(self, path: str) -> str | None:
        while path:
            if path in self.field_of:
                return self.field_of[path]
            if path in self.fields:
                return path
            path = path.rpartition(".")[0]
        return None

    def _explained(self, path: str, detail: str) -> str:
        """For a problem without a field of its own: which part it is about."""
        return f"{path}: {detail}" if path else detail


class ColumnFields(ProblemFields):
    """The posted lists `column_name`, `column_type` and `column_nullable` are the form's `columns`."""

    columns_field: ClassVar[str]

    @property
    def columns(self) -> list[dict[str, Any]]:
        """As posted, without rows that have no name; else as the record has them."""
        if not self.is_bound:
            return getattr(self.instance, self.columns_field)
        lists = (self.data.getlist(f"column_{part}") for part in ("name", "type", "nullable"))
        rows = zip(*lists, strict=False)
        return [
            {"name": name.strip(), "type": kind.strip(), "nullable": nullable == "yes"}
            for name, kind, nullable in rows
            if name.strip()
        ]

    def _explained(self, path: str, detail: str) -> str:
        """Also which column it is about."""
        top, *rest = path.split(".")
        if top == self.columns_field and rest and rest[0].isdigit():
            columns = getattr(self.instance, self.columns_field)
            name = columns[int(rest[0])].get("name", "") if int(rest[0]) < len(columns) else rest[0]
            return f"Column “{name}”: {detail}"
        if top == self.columns_field:
            return f"Columns: {detail}"
        return super()._explained(path, detail)
