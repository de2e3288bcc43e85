"""Where things lie: tables, landing, quarantine, and the folders of a partition."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ..errors import InvalidSpec

if TYPE_CHECKING:
    import polars as pl

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_TOKENS = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H"}
_ISO_DATE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_PATTERN = re.compile(r"(?:yyyy|MM|dd|HH|[0-9_.-]|/(?!/))*")


def table_uri(lake: str, dataset: str) -> str:
    """`bronze.shop.orders` lies at `{lake}/bronze/shop/orders`."""
    parts = dataset.split(".")
    if len(parts) != 3 or not all(re.fullmatch(r"[A-Za-z0-9_-]+", part) for part in parts):
        raise InvalidSpec(f"“{dataset}” is no dataset name.", hint="It is layer.workflow.name.")
    return "/".join([lake.rstrip("/"), *parts])


def landing_uri(lake: str, workflow: str, job: str) -> str:
    return f"{lake.rstrip('/')}/landing/{workflow}/{job}"


def quarantine_uri(lake: str, workflow: str, job: str) -> str:
    return f"{lake.rstrip('/')}/quarantine/{workflow}/{job}"


def check_date_pattern(pattern: str) -> None:
    """Raises `InvalidSpec` unless the pattern is made of yyyy, MM, dd, HH, digits and `/ - _ .`."""
    climbs = pattern.startswith("/") or any(set(part) == {"."} for part in pattern.split("/"))
    if climbs or not _PATTERN.fullmatch(pattern):
        raise InvalidSpec(
            f"“{pattern}” is no date pattern.", hint="Use yyyy, MM, dd and HH, parted by / or -, e.g. yyyy/MM/dd."
        )


def date_folder(pattern: str, moment: date) -> str:
    """`yyyy/MM/dd` of a date or datetime: `2026/11/22`; a date's HH is 00."""
    check_date_pattern(pattern)
    codes = re.sub("|".join(_TOKENS), lambda token: _TOKENS[token[0]], pattern.strip("/"))
    # strftime would leave a year before 1000 short.
    return moment.strftime(codes.replace("%Y", f"{moment.year:04d}"))


def partition_folder(values: Mapping[str, Any], date_pattern: str) -> str:
    """The hive folders of a partition, each date's pattern in front of its own segment.

    `{"region": "eu", "day": date(2026, 11, 22)}` gives `region=eu/2026/11/22/day=2026-11-22`.
    """
    folders = []
    for name, value in values.items():
        # Another engine's folders tell a date as text.
        moment = date.fromisoformat(value) if isinstance(value, str) and _ISO_DATE.fullmatch(value) else value
        if isinstance(moment, date) and date_pattern:
            folders.append(date_folder(date_pattern, moment))
        text = partition_text(value)
        folders.append(f"{quote(name, safe='')}={NULL_PARTITION if text is None else quote(text, safe=' ')}")
    return "/".join(folders)


def partition_values(key: str) -> dict[str, str | None]:
    """What the hive segments of a key say, as text: the inverse of `partition_folder`."""
    segments = [part.partition("=") for part in key.split("/")[:-1] if "=" in part]
    return {unquote(name): None if text == NULL_PARTITION else unquote(text) for name, _, text in segments}


def partition_text(value: Any) -> str | None:
    """A partition value as Delta's log spells it. Raises `InvalidSpec` for a value that has no exact text."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        utc = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return utc.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str | int | Decimal):
        return str(value)
    raise InvalidSpec(
        f"A table cannot be partitioned by {value!r}.",
        hint="Partition by text, whole numbers, booleans, dates or timestamps.",
    )


def partition_value(text: str | None, dtype: pl.DataType) -> Any:
    """The value that a partition's text stands for: the inverse of `partition_text`. Raises ValueError."""
    import polars as pl  # here, because whoever only asks where a table lies needs no Polars

    if text is None or dtype == pl.String:
        return text
    if dtype == pl.Date:
        return date.fromisoformat(text)
    if isinstance(dtype, pl.Datetime):
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if dtype.time_zone and moment.tzinfo is None else moment
    if dtype == pl.Boolean:
        return {"true": True, "false": False}[text]
    return Decimal(text) if dtype.is_decimal() else int(text)
