"""A comparison of two runs as its page lays it out."""

from __future__ import annotations

from typing import Any


def run_columns(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The facts of both runs, a line each: `{label, kind, old, new, delta}`; `kind` says how a template shows them."""
    old, new = found["old"], found["new"]
    lines = [
        ("Rows in", "number", "rows_read"),
        ("Rows out", "number", "rows_written"),
        ("Version", "number", "table_version"),
        ("Engine", "text", "engine"),
        ("Window", "text", "window"),
        ("As of", "text", "run_time"),
        ("Duration", "seconds", "duration"),
    ]
    both = [{**run, "window": _window(run), "run_time": _moment(run["run_time"])} for run in (old, new)]
    facts = [_line(label, kind, *(run[name] for run in both)) for label, kind, name in lines]
    return facts + [_line(f"… {each['phase']}", "seconds", each["old"], each["new"]) for each in found["phases"]]


def _line(label: str, kind: str, old: Any, new: Any) -> dict[str, Any]:
    delta = ""
    if kind == "seconds" and old and new:
        delta = f"{new / old:.2f}x"
    elif kind == "number" and None not in (old, new) and label != "Version" and old != new:
        delta = f"{new - old:+,}"
    differs = kind != "seconds" and old != new  # no two runs take the same time
    return {"label": label, "kind": kind, "old": old, "new": new, "delta": delta, "differs": differs}


def _window(run: dict[str, Any]) -> str:
    dates = [day for day in (run["start_date"], run["end_date"]) if day]
    return " to ".join(dates) or "all dates"


def _moment(text: str | None) -> str:
    return (text or "").replace("T", " ")[:19]
