"""Tags and filters that every template has without loading them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from assay.common.sql_highlight import highlight_sql

register = template.Library()

_STATUS_ICONS = {
    "pending": "hourglass_empty",
    "queued": "schedule",
    "running": "progress_activity",
    "success": "check_circle",
    "failed": "error",
    "skipped": "skip_next",
    "cancelled": "cancel",
}
_CELL_LENGTH = 160  # longer values are cut, the whole stands in the title


@register.filter
def number(value: Any) -> str:
    """1234567 → 1,234,567; nothing → –."""
    return "–" if value is None or value == "" else f"{int(value):,}"


@register.filter
def left_out(skipped: dict[str, int]) -> SafeString | str:
    """`{rule: rows}` as their sum; which rule left out how many stands in the title."""
    if not skipped:
        return "0"
    rules = ", ".join(f"{rule.replace('_', ' ')}: {rows:,}" for rule, rows in skipped.items())
    return format_html('<span title="{}">{}</span>', rules, number(sum(skipped.values())))


@register.filter
def short_number(value: Any) -> str:
    """1234567 → 1.2M, for headlines; below a million the number itself."""
    amount = float(value or 0)
    for limit, unit in ((1e9, "B"), (1e6, "M")):
        if amount >= limit:
            return f"{amount / limit:.1f}{unit}"
    return f"{int(amount):,}"


@register.filter
def size(value: Any) -> str:
    """Bytes for people."""
    if value is None or value == "":
        return "–"
    amount = float(value)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


@register.filter
def seconds(value: Any) -> str:
    """0.123 → 123 ms, 75 → 1 m 15 s."""
    if value is None or value == "":
        return "–"
    amount = float(value)
    if amount < 1:
        return f"{amount * 1000:.0f} ms"
    if amount < 60:
        return f"{amount:.1f} s"
    minutes, rest = divmod(round(amount), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"


@register.filter
def ago(moment: datetime | str | None) -> SafeString | str:
    """`3 min ago` in a <time> whose title is the exact time."""
    if isinstance(moment, str):
        moment = parse_datetime(moment)
    if moment is None:
        return "–"
    exact = timezone.localtime(moment)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.astimezone(UTC).isoformat(timespec="seconds"),
        f"{exact:%Y-%m-%d %H:%M:%S} {exact.tzname()}",
        _relative((timezone.now() - moment).total_seconds(), exact),
    )


def _relative(age: float, exact: datetime) -> str:
    if age < -60:
        return f"in {seconds(-age)}"
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "min"), (86400, 3600, "h"), (14 * 86400, 86400, "d")):
        if age < limit:
            return "just now" if unit == "s" and age < 5 else f"{int(age // divisor)} {unit} ago"
    return f"{exact:%Y-%m-%d}"


@register.filter
def status_badge(status: str) -> SafeString | str:
    """A run's status with its colour and sign; nothing for none."""
    if not status:
        return format_html('<span class="as-badge as-status-none">{}</span>', "never run")
    return format_html(
        '<span class="as-badge as-status-{0}">'
        '<span class="material-symbols-outlined" aria-hidden="true">{1}</span>{0}</span>',
        status,
        _STATUS_ICONS.get(status, "help"),
    )


@register.filter
def layer_badge(layer: str) -> SafeString:
    return format_html('<span class="as-layer as-layer-{0}">{0}</span>', layer)


@register.filter
def sql(text: str) -> SafeString:
    return highlight_sql(text or "")


@register.filter
def cell(value: Any) -> SafeString | str:
    """One value of a table's sample: null is told from an empty text, long ones are cut."""
    if value is None:
        return format_html('<span class="as-null">{}</span>', "null")
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)
    if len(text) <= _CELL_LENGTH:
        return text
    return format_html('<span title="{}">{}…</span>', text[:2000], text[:_CELL_LENGTH])


@register.filter
def is_number(value: Any) -> bool:
    """Whether a cell is set flush right."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@register.filter
def is_numeric(type_name: str) -> bool:
    """Whether a column of this type is set flush right."""
    return str(type_name).startswith(("int", "float", "decimal"))


@register.filter
def at_width(share: float, width: int) -> str:
    """A share as so many units of a drawing; the least that is not nothing can be seen."""
    return f"{max(share * int(width), 1.5 if share else 0):.1f}"


@register.filter
def engine_name(engine: str) -> str:
    """`duckdb` → DuckDB."""
    return {"duckdb": "DuckDB"}.get(engine, str(engine).capitalize())


@register.filter
def at(record: dict, key: str) -> Any:
    """`record[key]`, for the columns of a row."""
    return record.get(key)


@register.filter
def as_json(value: Any) -> str:
    """For data attributes; the template escapes it."""
    return json.dumps(value, ensure_ascii=False, default=str)
