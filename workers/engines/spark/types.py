"""What Spark calls the lake's types, and how a column of a result becomes the target's."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workers.schema import parse_type, split_top_level
from workers.specs import Column

_SPARK = {
    "string": "STRING", "json": "STRING", "boolean": "BOOLEAN", "int8": "TINYINT", "int16": "SMALLINT",
    "int32": "INT", "int64": "BIGINT", "float32": "FLOAT", "float64": "DOUBLE", "date": "DATE", "time": "TIME(6)",
    "timestamp": "TIMESTAMP_NTZ", "timestamptz": "TIMESTAMP", "binary": "BINARY",
}  # fmt: skip


def spark_type(text: str) -> str:
    """The Spark spelling of a written type: `list<int64>` is `ARRAY<BIGINT>`."""
    name = text.strip()
    if name.lower() in _SPARK:
        return _SPARK[name.lower()]
    if name.lower().startswith("list<"):
        return f"ARRAY<{spark_type(name[5:-1])}>"
    if name.lower().startswith("struct<"):
        fields = (part.partition(":") for part in split_top_level(name[7:-1]))
        return f"STRUCT<{', '.join(f'{ticked(n.strip())}: {spark_type(t)}' for n, _, t in fields)}>"
    parse_type(name)
    return name.upper()


def stored_type(text: str) -> str:
    """The type that a column has in the files: a time of day is text there."""
    return "STRING" if text.strip().lower() == "time" else spark_type(text)


def ticked(name: str) -> str:
    """A name as Spark quotes it."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str | None) -> str:
    if text is None:
        return "NULL"
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r") + "'"


def ddl(columns: Iterable[Column]) -> str:
    return ", ".join(f"{ticked(column.name)} {stored_type(column.type)}" for column in columns)


def as_target(column: Column, found: str, *, is_partition: bool = False) -> str:
    """The expression that casts a result's column, which has Spark's type `found`, to the target's, as it is stored."""
    name, kind = ticked(column.name), column.type.strip().lower()
    value, wanted = name, spark_type(column.type)
    scale = re.fullmatch(r"decimal\(\s*\d+\s*,\s*(\d+)\s*\)", kind)
    if scale and found in ("double", "float"):
        # Scaled first: Spark would round what the float's shortest text says.
        value = f"(ROUND({name} * 1e{scale[1]}) / 1e{scale[1]})"
    value = f"CAST({value} AS {wanted})"
    if kind == "time":
        text = f"CAST({value} AS STRING)"
        value = f"IF(CONTAINS({text}, '.'), RPAD({text}, 15, '0'), {text} || '.000000')"
    if is_partition and kind in ("string", "json", "time"):
        # Spark would write an empty text into the folder of nulls.
        value = f"IF({value} = '', CAST(RAISE_ERROR({literal(EMPTY_PARTITION)}) AS STRING), {value})"
    return f"{value} AS {name}"


EMPTY_PARTITION = "assay: a partition column holds an empty text"
