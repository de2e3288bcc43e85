"""Child tables: the lists in a job's records that become tables of their own, and what these are called."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from .json_path import split_path
from .specs import Nested, TableTarget

INDEX = "_index"  # a child's place in its list, from 0
VALUE = "value"  # the column of a list of plain values


def path_of(text: str) -> tuple[str, ...]:
    """`order.items` is `("order", "items")`."""
    return tuple(split_path(text))


def column_of(path: str) -> str:
    """The column of a value from further down: `order.items` is `order_items`."""
    return "_".join(path_of(path))


def child_name(name: str, path: str) -> str:
    """The child's name beside its table's: `orders` and `order.items` give `orders__order_items`."""
    return f"{name}__{_plain(path)}"


def child_target(target: TableTarget, path: str) -> TableTarget:
    uri = target.uri.rstrip("/")
    return replace(target, dataset=child_name(target.dataset, path), uri=child_name(uri, path))


def child_paths(nested: Iterable[Nested]) -> list[str]:
    """The paths that become child tables, those above first."""
    return sorted((each.path for each in nested if each.keep_as == "child_table"), key=_depth)


def line_of(path: str, paths: Iterable[str]) -> list[str]:
    """The child tables from the record down to this one: `["items", "items.discounts"]`."""
    return sorted((each for each in paths if path_of(path)[: _depth(each)] == path_of(each)), key=_depth)


def index_name(path: str) -> str:
    """The column with the place of the ancestor: of `items` it is `_items_index`."""
    return f"_{_plain(path)}{INDEX}"


def _depth(path: str) -> int:
    return len(path_of(path))


def _plain(path: str) -> str:
    return re.sub("[^A-Za-z0-9-]", "_", column_of(path))
