"""Types of JSON values: what fits them all, written as in docs/types.md.

While they are merged, a type is a word, a struct a dict of fields, and a
list a tuple of its one inner type; null is None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import polars as pl

from ..errors import InvalidSpec

Shape = str | tuple | dict | None
INT64 = range(-(2**63), 2**63)
NATIVE = (pl.Int64(), pl.Float64(), pl.Boolean(), pl.String())
FIELD_NAME = re.compile(r"[^,:<>()\s\x00-\x1f](?:[^,:<>()\x00-\x1f]*[^,:<>()\s\x00-\x1f])?")


def shape_of(value: Any) -> Shape:
    """The shape of one value."""
    if isinstance(value, dict):
        return {key: shape_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return (merged(map(shape_of, value)),)
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "int64" if value in INT64 else "big"
    if isinstance(value, float):
        return "float64"
    return None if value is None else "string"


def merged(shapes: Iterable[Shape]) -> Shape:
    """The narrowest shape that takes all of them."""
    result: Shape = None
    for shape in shapes:
        result = merge(result, shape)
    return result


def merge(one: Shape, other: Shape) -> Shape:
    if one is None or one == other:
        return other
    if other is None:
        return one
    if isinstance(one, dict) and isinstance(other, dict):
        return one | {key: merge(one.get(key), shape) for key, shape in other.items()}
    if isinstance(one, tuple) and isinstance(other, tuple):
        return (merge(one[0], other[0]),)
    numbers = {"int64": 0, "big": 1, "float64": 2}
    if isinstance(one, str) and isinstance(other, str) and one in numbers and other in numbers:
        return max(one, other, key=numbers.__getitem__)
    # Text and objects, say: kept as the JSON that they are.
    return "json" if isinstance(one, dict | tuple) or isinstance(other, dict | tuple) else "string"


def extended(known: Shape, seen: Shape) -> Shape:
    """`known`, with the fields that only `seen` has; what both have stays as it is known."""
    if isinstance(known, dict) and isinstance(seen, dict):
        kept = {key: extended(shape, seen.get(key)) for key, shape in known.items()}
        return kept | {key: shape for key, shape in seen.items() if key not in known}
    if isinstance(known, tuple) and isinstance(seen, tuple):
        return (extended(known[0], seen[0]),)
    return seen if known is None else known


def shape_of_dtype(dtype: pl.DataType) -> Shape:
    """The shape of what Polars inferred."""
    if isinstance(dtype, pl.Struct):
        return {field.name: shape_of_dtype(field.dtype) for field in dtype.fields}
    if isinstance(dtype, pl.List):
        return (shape_of_dtype(dtype.inner),)
    words = {pl.Int64(): "int64", pl.Float64(): "float64", pl.Boolean(): "boolean", pl.Null(): None}
    return words.get(dtype, "big" if dtype.is_integer() else "string")


def written(shape: Shape, *, nested: bool = False) -> str:
    """The shape as a column type. A struct that cannot be one (no fields, names with commas) is `json`."""
    if isinstance(shape, tuple):
        inner = written(shape[0], nested=True)
        return f"list<{inner}>" if inner != "json" else "json"
    if isinstance(shape, dict):
        fields = {key: written(inner, nested=True) for key, inner in shape.items()}
        odd = not fields or "json" in fields.values() or not all(map(FIELD_NAME.fullmatch, fields))
        if odd or len({key.lower() for key in fields}) < len(fields):
            return "json"
        return f"struct<{', '.join(f'{key}: {type_}' for key, type_ in fields.items())}>"
    if shape == "big":
        return "string" if nested else "decimal(38,0)"
    return shape or "string"


def is_native(dtype: pl.DataType) -> bool:
    """Whether Polars reads this type from JSON exactly."""
    if isinstance(dtype, pl.Struct):
        return all(is_native(field.dtype) for field in dtype.fields)
    return is_native(dtype.inner) if isinstance(dtype, pl.List) else dtype in NATIVE


def is_decodable(dtype: pl.DataType, shape: Shape, *, in_list: bool = False) -> bool:
    """Whether Polars' JSON decoder reads values of this shape exactly, or says that it cannot.

    It takes one value for a list of one. Its inference over all lines, where
    the shape is from, does not, except among the items of one list.
    """
    if shape is None:
        return not (in_list and isinstance(dtype, pl.List))
    if isinstance(dtype, pl.Struct):
        fields = {field.name: field.dtype for field in dtype.fields}
        return isinstance(shape, dict) and all(
            is_decodable(inner, shape.get(name), in_list=in_list) for name, inner in fields.items()
        )
    if isinstance(dtype, pl.List):
        return isinstance(shape, tuple) and not in_list and is_decodable(dtype.inner, shape[0], in_list=True)
    words = {pl.Float64(): ("int64", "float64"), pl.Int64(): ("int64",), pl.Boolean(): ("boolean",)}
    return isinstance(shape, str) and shape in words.get(dtype, (shape,))


def as_numerals(dtype: pl.DataType) -> pl.DataType:
    """The type with text in the place of numbers."""
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: as_numerals(field.dtype) for field in dtype.fields})
    if isinstance(dtype, pl.List):
        return pl.List(as_numerals(dtype.inner))
    return pl.String() if dtype.is_numeric() else dtype


def check_nested(name: str, dtype: pl.DataType) -> None:
    """Raises `InvalidSpec` for a nested type with an inner type that JSON does not have."""
    if dtype.is_nested() and not is_native(dtype):
        raise InvalidSpec(
            f"{name}: inside list and struct, JSON has only int64, float64, boolean and string.",
            hint="Use one of these, and cast it in a Silver job.",
        )


def misfit(value: Any, dtype: pl.DataType) -> str | None:
    """What in a value is not of a native type, in words; None when all is."""
    if value is None or dtype == pl.String:
        return None
    if isinstance(dtype, pl.Struct):
        if not isinstance(value, dict):
            return f"“{as_text(value)[:80]}” is no object"
        told = ((field.name, misfit(value.get(field.name), field.dtype)) for field in dtype.fields)
        return next((f"{name}: {problem}" for name, problem in told if problem), None)
    if isinstance(dtype, pl.List):
        if not isinstance(value, list):
            return f"“{as_text(value)[:80]}” is no list"
        return next((problem for item in value if (problem := misfit(item, dtype.inner))), None)
    if dtype == pl.Boolean:
        fits = isinstance(value, bool)
    elif dtype == pl.Int64:
        fits = isinstance(value, int) and not isinstance(value, bool) and value in INT64
    else:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    return None if fits else f"“{as_text(value)[:80]}” is no {str(dtype).lower()}"


_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make an encoder for every value


def as_text(value: Any) -> str | None:
    """A JSON value as the text that is parsed when the column has another type."""
    if value is None or isinstance(value, str):
        return value
    return _encode(value)
