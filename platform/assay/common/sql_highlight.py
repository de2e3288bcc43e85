"""SQL as HTML with its keywords, texts, numbers and comments marked."""

from __future__ import annotations

import re

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_KEYWORDS = "|".join(
    (
        *("select", "from", "where", "group", "by", "order", "having", "limit", "offset", "join", "left", "right"),
        *("full", "inner", "outer", "cross", "on", "using", "as", "with", "recursive", "union", "all", "distinct"),
        *("case", "when", "then", "else", "end", "and", "or", "not", "in", "is", "null", "between", "like", "ilike"),
        *("exists", "over", "partition", "rows", "range", "unbounded", "preceding", "following", "current", "row"),
        *("asc", "desc", "nulls", "first", "last", "cast", "true", "false", "interval", "filter", "qualify"),
        *("values", "lateral", "asof", "extract"),
    )
)
_TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<name>\"(?:[^\"]|\"\")*\")"
    r"|(?P<parameter>(?<!:):[a-z_]+)|(?P<number>\b\d+(?:\.\d+)?\b)"
    rf"|(?P<keyword>\b(?:{_KEYWORDS})\b)|(?P<function>\b[a-z_][a-z0-9_]*(?=\s*\())",
    re.IGNORECASE | re.DOTALL,
)


def highlight_sql(text: str) -> SafeString:
    """`text` escaped, each token in a span of class `sql-…`."""
    parts, end = [], 0
    for match in _TOKEN.finditer(text):
        parts.append(escape(text[end : match.start()]))
        parts.append(f'<span class="sql-{match.lastgroup}">{escape(match.group())}</span>')
        end = match.end()
    parts.append(escape(text[end:]))
    # Every part is escaped above; only the spans are ours.
    return mark_safe("".join(parts))  # noqa: S308
