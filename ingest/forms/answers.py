"""Answers of an API for people to read."""

from __future__ import annotations

import re

# A text with its quotes, which may end in the middle, a sign of JSON, or whatever stands between them.
_PART = re.compile(r'"(?:[^"\\]|\\.)*"?|[{}\[\],:]|[^\s{}\[\],:"]+')


def indented(text: str) -> str:
    """JSON with a line for each value, also where it is cut off in the middle. Other texts stay as they are."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    lines, depth, before = [""], 0, ""
    for part in _PART.findall(text):
        if part in "}]":
            depth = max(depth - 1, 0)
        begins_line = before in ("{", "[", ",") or part in ("}", "]")
        if begins_line and f"{before}{part}" not in ("{}", "[]"):
            lines.append("  " * depth)
        lines[-1] += f"{part} " if part == ":" else part
        depth += part in "{["
        before = part
    return "\n".join(lines)
