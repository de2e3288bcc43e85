"""Single values of options as the texts of form fields, and back."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

from .option_kinds import MISSING, Kind

LEAVES = frozenset({"text", "number", "flag", "choice", "names", "json"})


def split_names(text: str | None) -> list[str]:
    """Texts separated by commas; one that has a comma itself stands in double quotes."""
    rows = csv.reader([(text or "").replace("\n", " ").replace("\r", " ")], skipinitialspace=True)
    return [name.strip() for row in rows for name in row if name.strip()]


def join_names(names: Any) -> str:
    """The inverse of `split_names`."""
    if not isinstance(names, list | tuple):
        return "" if names is None else str(names)
    return ", ".join(_quoted(str(name)) for name in names)


def _quoted(name: str) -> str:
    if not any(char in name for char in ',"'):
        return name
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL, lineterminator="").writerow([name])
    return line.getvalue()


def shown(kind: Kind, value: Any) -> Any:
    """A value as its field shows it: a text, of a flag whether it is set."""
    if kind.shape == "flag":
        return value is True
    if value is MISSING or value is None:
        return ""
    if kind.shape == "names":
        return join_names(value)
    if kind.shape == "json":
        return _shown_json(value)
    return str(value)


def _shown_json(value: Any) -> str:
    if isinstance(value, str) and _from_json(value) is value:
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict | list) else None)


def parsed(kind: Kind, text: str) -> Any:
    """What a text that is not empty stands for. One that does not fit stays a text: the model says what is wrong."""
    if kind.shape == "number":
        return _as_number(kind, text)
    if kind.shape == "choice":
        return next((choice for choice in kind.choices if str(choice) == text), text)
    if kind.shape == "names":
        return [parsed(kind.item, name) for name in split_names(text)]
    if kind.shape == "json":
        return _from_json(text)
    return text


def _as_number(kind: Kind, text: str) -> Any:
    try:
        value = int(text) if kind.is_whole else float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def _from_json(text: str) -> Any:
    """JSON where it is some, else the text itself: a text needs no quotes."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(name: str) -> None:
    raise ValueError(f"JSON has no {name}.")
