"""Which type holds another: the one lattice along which columns are widened (docs/schema.md).

Everything that brings rows of two types together asks here: appends, merges,
overwrites, previews, and the decisions that people take. Types are written
names, as in docs/types.md.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from ..schema import parse_type, type_name

_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
_DIGITS = {"int8": 3, "int16": 5, "int32": 10, "int64": 19}
_WHOLE_BITS = {"float32": 24, "float64": 53}  # whole numbers of that many bits are exact
LARGEST_EXACT = 2**53  # no whole number up to here is rounded in a float64
_LARGEST_PRECISION = 38
_MOMENTS = ("date", "timestamp")


@cache
def join(one: str, other: str) -> str | None:
    """The least type that holds the values of both; None where a person has to decide.

    Numbers go up to text where no number type holds both exactly; every other
    kind of scalar meets text only. Structs meet field by field (fields that
    one of them lacks are added), lists item by item.
    """
    one, other = spelled(one), spelled(other)
    if one == other:
        return one
    if _is_nested(one) and _is_nested(other):
        return _joined_parts(parse_type(one), parse_type(other))
    if _is_nested(one) or _is_nested(other) or "binary" in (one, other):
        return None
    if "string" in (one, other):
        return "string"
    if _is_number(one) and _is_number(other):
        return _number(one, other) or "string"
    return "timestamp" if {one, other} == set(_MOMENTS) else None


@cache
def least_holding(one: str, other: str) -> str | None:
    """`join`, and where that leaves the choice to a person, what the column becomes: `json` or `string`.

    None for bytes beside anything else: they have no text.
    """
    if known := join(one, other):
        return known
    one, other = spelled(one), spelled(other)
    if "binary" in (one, other):
        return None
    return "json" if all(_is_nested(name) or name == "json" for name in (one, other)) else "string"


def holds(wide: str, narrow: str) -> bool:
    """Whether every value of the narrow type has exactly one place in the wide one."""
    return least_holding(wide, narrow) == spelled(wide)


def is_whole(name: str) -> bool:
    """Whether the type is one of the integers."""
    return name in _BITS


def spelled(name: str) -> str:
    """The type as we write it: `Decimal( 10, 2)` is `decimal(10,2)`."""
    return "json" if name.strip().lower() == "json" else type_name(parse_type(name))


def decimal_for(digits_before: int, scale: int) -> str | None:
    """The decimal with room for so many digits before and behind the point; None when there is none."""
    precision = max(digits_before + scale, 1)
    return f"decimal({precision},{scale})" if precision <= _LARGEST_PRECISION else None


def _number(one: str, other: str) -> str | None:
    if one in _BITS and other in _BITS:
        return max(one, other, key=_BITS.__getitem__)
    if one in _WHOLE_BITS and other in _WHOLE_BITS:
        return "float64"
    if not {one, other} & set(_WHOLE_BITS):
        (before, scale), (other_before, other_scale) = _digits(one), _digits(other)
        return decimal_for(max(before, other_before), max(scale, other_scale))
    whole, fraction = (one, other) if other in _WHOLE_BITS else (other, one)
    if whole not in _BITS:
        return None  # a decimal fraction is no binary one
    return next((name for name in (fraction, "float64") if _BITS[whole] <= _WHOLE_BITS[name]), None)


def _digits(name: str) -> tuple[int, int]:
    """Digits before and behind the point."""
    if name in _DIGITS:
        return _DIGITS[name], 0
    dtype = parse_type(name)
    return dtype.precision - dtype.scale, dtype.scale


def _joined_parts(one: pl.DataType, other: pl.DataType) -> str | None:
    if isinstance(one, pl.List) and isinstance(other, pl.List):
        inner = join(type_name(one.inner), type_name(other.inner))
        return inner and f"list<{inner}>"
    if not (isinstance(one, pl.Struct) and isinstance(other, pl.Struct)):
        return None
    fields = {field.name: type_name(field.dtype) for field in one.fields}
    for field in other.fields:
        kind = type_name(field.dtype)
        fields[field.name] = join(fields.get(field.name, kind), kind)
    # Two fields whose names differ by case only would be one to most readers.
    if None in fields.values() or len({name.lower() for name in fields}) < len(fields):
        return None
    return f"struct<{', '.join(f'{name}: {kind}' for name, kind in fields.items())}>"


def _is_nested(name: str) -> bool:
    return parse_type(name).is_nested()


def _is_number(name: str) -> bool:
    return parse_type(name).is_numeric()


def converted(value: pl.Expr, old: str, new: str) -> pl.Expr:
    """The values of the old type as the new one, which holds them. Types are as they are stored."""
    before, after = parse_type(old), parse_type(new)
    if before == after:
        return value
    if after == pl.String:
        return text_of(value, old)
    if isinstance(after, pl.List):
        inner = converted(pl.element(), type_name(before.inner), type_name(after.inner))
        return value.list.eval(inner)
    if isinstance(after, pl.Struct):
        held = {field.name: type_name(field.dtype) for field in before.fields}
        parts = (
            converted(value.struct.field(field.name), held[field.name], type_name(field.dtype)).alias(field.name)
            if field.name in held
            else pl.lit(None, dtype=field.dtype).alias(field.name)
            for field in after.fields
        )
        return pl.when(value.is_not_null()).then(pl.struct(*parts))
    return value.cast(after)


def text_of(value: pl.Expr, kind: str) -> pl.Expr:
    """The value as text that reads back as the same: ISO 8601, `true`, the shortest digits of a float, JSON."""
    dtype = parse_type(kind)
    if isinstance(dtype, pl.Datetime):
        return value.dt.to_string("%Y-%m-%dT%H:%M:%S%.f" + "Z" * bool(dtype.time_zone))
    if dtype == pl.Time:
        return value.dt.to_string("%H:%M:%S%.6f")
    if dtype.is_nested():
        # Only a struct can be written as JSON: the value is the one field of one.
        json = pl.struct(value.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
        return pl.when(value.is_not_null()).then(json)
    return value.cast(pl.String)
