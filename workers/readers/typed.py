"""Values that come typed: as the lake stores them, as another type without loss, and as text."""

from __future__ import annotations

import base64
import json
from typing import Any

import polars as pl

from ..lake.lattice import text_of
from ..schema import parse_type, type_name
from .json_types import FIELD_NAME


def lake_type(dtype: pl.DataType) -> pl.DataType:
    """The type of the lake that holds every value of the given one; text where none does.

    Unsigned integers go to the next signed type, moments to microseconds, those
    with a zone to UTC. A `time` inside of a list or struct is text.
    """
    if isinstance(dtype, pl.BaseExtension):
        return lake_type(dtype.ext_storage())
    if not _can_be_nested(dtype):
        return pl.String()
    if isinstance(dtype, pl.List | pl.Array):
        return pl.List(_inner(dtype.inner))
    if isinstance(dtype, pl.Map):
        return pl.List(pl.Struct({"key": _inner(dtype.key), "value": _inner(dtype.value)}))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _inner(field.dtype) for field in dtype.fields})
    return pl.Float32() if dtype == pl.Float16 else parse_type(type_name(dtype))


def _inner(dtype: pl.DataType) -> pl.DataType:
    return pl.String() if dtype == pl.Time else lake_type(dtype)


def _can_be_nested(dtype: pl.DataType, *, is_inside: bool = False) -> bool:
    """Whether a nested type can be stored as such; if not, its values are JSON.

    It cannot with a struct that has no fields, or names that our types cannot spell.
    """
    if isinstance(dtype, pl.List | pl.Array):
        return _can_be_nested(dtype.inner, is_inside=True)
    if isinstance(dtype, pl.Struct):
        names = [field.name for field in dtype.fields]
        if not names or not all(map(FIELD_NAME.fullmatch, names)) or len({n.lower() for n in names}) < len(names):
            return False
        return all(_can_be_nested(field.dtype, is_inside=True) for field in dtype.fields)
    # Polars casts these only where they stand alone.
    return not (is_inside and isinstance(dtype, pl.Duration | pl.Map | pl.BaseExtension))


def stored(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The values of a file's type as `lake_type(dtype)`."""
    if isinstance(dtype, pl.BaseExtension):
        return stored(value.ext.storage(), dtype.ext_storage())
    lake = lake_type(dtype)
    if lake == dtype:
        return value
    if dtype == pl.Duration:
        return value.dt.to_string("iso")
    return as_text(value, dtype) if dtype.is_nested() and lake == pl.String else value.cast(lake)


def converted(value: pl.Expr, old: pl.DataType, new: pl.DataType) -> pl.Expr:
    """The value as the other type, or null where that has no exact place for it.

    Exact means: going back gives the same value. Nothing is rounded, cut or
    wrapped; a number is no moment, and a moment no number.
    """
    if new == pl.String:
        return _decoded(value) if old == pl.Binary else as_text(value, old)
    if not _is_akin(old, new):
        return pl.lit(None, dtype=new)
    there = value.cast(new, strict=False)
    return pl.when(there.cast(old, strict=False).eq_missing(value)).then(there)


def _is_akin(old: pl.DataType, new: pl.DataType) -> bool:
    if isinstance(old, pl.List) and isinstance(new, pl.List):
        return _is_akin(old.inner, new.inner)
    if isinstance(old, pl.Struct) and isinstance(new, pl.Struct):
        kinds = {field.name: field.dtype for field in old.fields}
        return all(field.name not in kinds or _is_akin(kinds[field.name], field.dtype) for field in new.fields)
    if old.is_nested() or new.is_nested():
        return False
    moments = (pl.Date, pl.Datetime)
    return old == new or (_is_number(old) and _is_number(new)) or (old in moments and new in moments)


def _is_number(dtype: pl.DataType) -> bool:
    return dtype.is_numeric() or dtype == pl.Boolean


def as_text(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """The value as people read it: ISO 8601, JSON, bytes in base 64."""
    if dtype == pl.Binary:
        return value.bin.encode("base64")
    if dtype.is_nested() and not (_is_plain(dtype) and _can_be_nested(dtype)):
        return value.map_elements(_json, return_dtype=pl.String)
    return value if dtype == pl.String else text_of(value, type_name(dtype))


def _is_plain(dtype: pl.DataType) -> bool:
    """Whether Polars can write the nested type as JSON."""
    if isinstance(dtype, pl.List):
        return _is_plain(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return all(_is_plain(field.dtype) for field in dtype.fields)
    return not isinstance(dtype, pl.Binary | pl.Array | pl.Map | pl.BaseExtension)


def _json(value: Any) -> str:
    plain = value.to_list() if isinstance(value, pl.Series) else value
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), default=_json_value)


def _json_value(value: Any) -> Any:
    if isinstance(value, pl.Series):
        return value.to_list()
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _decoded(value: pl.Expr) -> pl.Expr:
    """Bytes that are UTF-8 as text; null for others."""
    return value.map_elements(_utf8, return_dtype=pl.String)


def _utf8(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
