"""PostgreSQL through ADBC: record batches in the database's own binary form, decoded outside of Python."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import date, datetime
from functools import partial
from typing import Any

import adbc_driver_manager as adbc
import adbc_driver_postgresql
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi

from ...access import Connection
from ...errors import AssayError, SourceMissing
from ...network import CONNECT_SECONDS, NetworkPolicy, checked_address
from ...readers.names import unique_names
from ...specs import DatabaseSource
from . import types
from .base import Batch, Condition, DbColumn
from .errors import explained, fault, with_near
from .files import arrow_type
from .queries import relation

PORT = 5432
BATCH_BYTES = 16 << 20
SSL_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl", "channel_binding", "application_name")
_PLAIN = {
    "bool": "boolean", "int2": "int16", "int4": "int32", "int8": "int64", "float4": "float32", "float8": "float64",
    "text": "string", "varchar": "string", "bpchar": "string", "name": "string", "bytea": "binary", "date": "date",
    "time": "time", "timestamp": "timestamp", "timestamptz": "timestamptz", "json": "json", "jsonb": "json",
}  # fmt: skip
# What arrays of them hold, of those that ADBC gives as they are.
_ITEMS = (
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "text",
    "varchar",
    "bpchar",
    "date",
    "timestamp",
    "timestamptz",
)
# Read as another type of the database's.
_CASTS = {"oid": "int8", "money": "numeric(19,2)"}
_BOUNDS = {"date": "date", "timestamp": "timestamp", "timestamptz": "timestamptz", "string": "text"}


class PgReader:
    """A read-only transaction that sees one moment of the database."""

    def __init__(self, link: dbapi.Connection, source: DatabaseSource, connection: Connection) -> None:
        self._link, self._source, self._connection = link, source, connection
        self._relation = relation(source)
        fields = self._schema(f"SELECT * FROM {self._relation} AS q")  # noqa: S608
        aliases = ", ".join(f"c{n}" for n in range(len(fields)))
        self._from = f"{self._relation} AS q({aliases})" if len(fields) else f"{self._relation} AS q"
        self._shapes = self._array_shapes(fields)
        self._selects = [self._select(n, field) for n, field in enumerate(fields)]
        names = unique_names(field.name for field in fields)
        self.columns = tuple(
            _column(name, _native(field), told)
            for name, field, told in zip(names, fields, self._read_schema(fields), strict=True)
        )

    def batches(
        self, columns: Sequence[DbColumn], where: Sequence[Condition] = (), limit: int | None = None
    ) -> Iterator[Batch]:
        wanted = ", ".join(self._selects[self.columns.index(column)] for column in columns) or "1"
        sql = f"SELECT {wanted} FROM {self._from}{self._where(where)}"  # noqa: S608
        if limit is not None:
            sql += f" LIMIT {limit:d}"
        with closing(self._link.cursor()) as cursor, self._say():
            cursor.adbc_statement.set_options(
                **{adbc_driver_postgresql.StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(BATCH_BYTES)}
            )
            cursor.execute(sql)
            with closing(cursor.fetch_record_batch()) as stream:
                for batch in stream:
                    yield [_storage(values) for values in batch.columns]

    def count(self, where: Sequence[Condition]) -> int:
        return self._all(f"SELECT count(*) FROM {self._from}{self._where(where)}")[0][0]  # noqa: S608

    def _select(self, place: int, field: pa.Field) -> str:
        kind, item = _native(field), _native(field).removeprefix("_")
        name = f"q.c{place}"
        if kind in _CASTS:
            return f"{name}::{_CASTS[kind]}"
        if kind.startswith("_"):
            if self._shapes.get(place):
                return f"to_jsonb({name})::json"
            return name if item in (*_ITEMS, "numeric") else f"{name}::text[]"
        return name if kind in _PLAIN or kind == "numeric" else f"{name}::text"

    def _array_shapes(self, fields: pa.Schema) -> dict[int, bool]:
        """Which array columns hold one of several dimensions. The type does not say it, and ADBC would flatten it."""
        arrays = [n for n, field in enumerate(fields) if _native(field).startswith("_")]
        if not arrays:
            return {}
        probes = ", ".join(f"coalesce(bool_or(array_ndims(q.c{n}) > 1), false)" for n in arrays)
        return dict(zip(arrays, self._all(f"SELECT {probes} FROM {self._from}")[0], strict=True))  # noqa: S608

    def _read_schema(self, fields: pa.Schema) -> list[pa.Field]:
        """What ADBC says of the columns as we read them; of arrays of numbers with the digits that their items have."""
        # Only a single item is told with its digits.
        items = (
            f"q.c{n}[1]" if _native(field) == "_numeric" and not self._shapes[n] else self._selects[n]
            for n, field in enumerate(fields)
        )
        told = self._schema(f"SELECT {', '.join(items) or '1'} FROM {self._from}")  # noqa: S608
        return [
            told.field(n).with_metadata({**(told.field(n).metadata or {}), b"POSTGRESQL:type": b"_numeric"})
            if _native(field) == "_numeric" and not self._shapes[n]
            else told.field(n)
            for n, field in enumerate(fields)
        ]

    def _where(self, conditions: Sequence[Condition]) -> str:
        parts = []
        for number, condition in enumerate(conditions):
            column = f"q.c{self.columns.index(condition.column)}"
            if condition.op == "is null":
                parts.append(f"{column} IS NULL")
                continue
            # COPY takes no parameters: the value is bound to a setting of this transaction, and read from there.
            self._all("SELECT set_config($1, $2, true)", (f"assay.bound_{number}", _spelled(condition.value)))
            parts.append(f"{column} {condition.op} current_setting('assay.bound_{number}')::{_bound_type(condition)}")
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def _schema(self, sql: str) -> pa.Schema:
        try:
            with closing(self._link.cursor()) as cursor, self._say():
                return cursor.adbc_execute_schema(sql)
        except SourceMissing as error:
            raise with_near(error, self._source.table_name, self._tables()) from None

    def _all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple]:
        with closing(self._link.cursor()) as cursor, self._say():
            cursor.execute(sql, parameters or None)
            return cursor.fetchall()

    def _say(self) -> AbstractContextManager[None]:
        return _said(self._connection)

    def _tables(self) -> list[str]:
        """The tables there are. The transaction, which has failed, is over."""
        self._link.rollback()
        rows = self._all(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') LIMIT 5000"
        )
        return [name for (name,) in rows]


@contextmanager
def reading(connection: Connection, policy: NetworkPolicy, source: DatabaseSource) -> Iterator[PgReader]:
    with _connected(connection, policy) as link:
        milliseconds = str(source.statement_timeout_seconds * 1000)
        with closing(link.cursor()) as cursor, _said(connection):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SELECT set_config('statement_timeout', $1, true)", (milliseconds,))
            cursor.fetchall()
            for setting in (
                "TimeZone = 'UTC'",
                "DateStyle = 'ISO'",
                "IntervalStyle = 'iso_8601'",
                "extra_float_digits = 3",
            ):
                cursor.execute(f"SET LOCAL {setting}")
        yield PgReader(link, source, connection)


def version(connection: Connection, policy: NetworkPolicy) -> str:
    with _connected(connection, policy) as link, closing(link.cursor()) as cursor, _said(connection):
        cursor.execute("SELECT current_setting('server_version')")
        return f"PostgreSQL {cursor.fetchone()[0]}"


def tables(connection: Connection, policy: NetworkPolicy, search: str, limit: int) -> list[dict[str, Any]]:
    with _connected(connection, policy) as link, closing(link.cursor()) as cursor, _said(connection):
        cursor.execute("SET TRANSACTION READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = '15s'")
        cursor.execute(_TABLES, (f"%{search}%", limit))
        found = cursor.fetchall()
        cursor.execute(_COLUMNS, (f"%{search}%", limit))
        columns: dict[int, list[dict[str, Any]]] = {}
        for oid, name, kind, nullable in cursor.fetchall():
            columns.setdefault(oid, []).append({"name": name, "type": kind, "nullable": nullable})
    return [
        {"schema": schema, "name": name, "kind": kind, "rows": rows, "columns": columns.get(oid, [])}
        for oid, schema, name, kind, rows in found
    ]


_LISTED = """
    SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind, c.reltuples
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND n.nspname NOT LIKE 'pg\\_toast%' AND n.nspname NOT LIKE 'pg\\_temp%'
      AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
      AND n.nspname || '.' || c.relname ILIKE $1
    ORDER BY 2, 3 LIMIT $2::int8
"""
_TABLES = f"""
    SELECT oid::int8, schema::text, name::text, CASE WHEN relkind IN ('v', 'm') THEN 'view' ELSE 'table' END,
           CASE WHEN relkind IN ('r', 'm') AND reltuples >= 0 THEN reltuples::int8 END
    FROM ({_LISTED}) t
"""  # noqa: S608
_COLUMNS = f"""
    SELECT t.oid::int8, a.attname::text, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull
    FROM ({_LISTED}) t JOIN pg_attribute a ON a.attrelid = t.oid
    WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY t.oid, a.attnum
"""  # noqa: S608


@contextmanager
def _connected(connection: Connection, policy: NetworkPolicy) -> Iterator[dbapi.Connection]:
    """A connection, rolled back and closed at the end. Raises `SourceUnavailable`."""
    options = {name: connection.options[name] for name in SSL_OPTIONS if connection.options.get(name)}
    port = connection.port or PORT
    told = {
        "host": connection.host,
        "hostaddr": checked_address(policy, connection.host, port),
        "port": port,
        "dbname": connection.database or connection.username,
        "user": connection.username,
        "password": connection.password,
        "connect_timeout": int(CONNECT_SECONDS),
        "client_encoding": "UTF8",
        "passfile": "/dev/null/none",  # not that of the worker's user
        "application_name": "assay",
    } | options
    with _said(connection, while_connecting=True):
        link = dbapi.connect(_conninfo(told))
    try:
        yield link
    finally:
        with suppress(adbc.Error):  # it may be gone already, and what matters has been told
            link.close()


def _conninfo(told: Mapping[str, Any]) -> str:
    """libpq's `key='value'`, with quotes escaped."""
    escaped = {key: re.sub(r"([\\'])", r"\\\1", str(value)) for key, value in told.items() if value not in ("", None)}
    return " ".join(f"{key}='{value}'" for key, value in escaped.items())


# --- types ---------------------------------------------------------------------------


def _native(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"POSTGRESQL:type", b"").decode()


def _column(name: str, native: str, told: pa.Field) -> DbColumn:
    """How a column lands, from what ADBC says of it after our casts."""
    kind = _native(told)
    make = partial(DbColumn, name=name, native=native)
    if kind in ("numeric", "_numeric"):
        type_ = _numeric(int((told.metadata or {}).get(b"POSTGRESQL:typmod", b"-1")))
        if kind == "_numeric":
            type_ = f"list<{type_}>" if type_.startswith("decimal(") else "list<string>"
            return make(
                type=type_, arrow=arrow_type(type_), typed=partial(_cast_list, arrow_type(type_)), text=types.json_texts
            )
        arrow = arrow_type(type_) if type_.startswith("decimal(") else pa.string()
        return make(type=type_, arrow=arrow, typed=partial(_number, arrow), text=_number_texts)
    if kind.startswith("_"):
        item = _PLAIN.get(kind[1:], "string")
        arrow = arrow_type(f"list<{item}>")
        return make(type=f"list<{item}>", arrow=arrow, typed=partial(_sound_list, arrow), text=types.json_texts)
    type_ = _PLAIN.get(kind, "string")
    if type_ in ("date", "timestamp", "timestamptz", "time"):
        return make(
            type=type_, arrow=arrow_type(type_), typed=types.in_calendar, text=partial(types.moment_texts, spell=_odd)
        )
    return make(type=type_, arrow=_as_string_type(type_), typed=partial(_same, _as_string_type(type_)), text=_as_string)


def _numeric(typmod: int) -> str:
    """`decimal(p,s)`, where the column says how many digits it has and there is one."""
    if typmod < 4:
        return "decimal"
    precision, scale = (typmod - 4) >> 16 & 0xFFFF, (typmod - 4) & 0x7FF
    scale -= 0x800 if scale >= 0x400 else 0  # a scale may be negative
    precision, scale = max(precision - min(scale, 0), scale), max(scale, 0)
    return f"decimal({precision},{scale})" if precision <= 38 else "string"


def _as_string_type(type_: str) -> pa.DataType:
    return pa.string() if type_ in ("string", "json") else arrow_type(type_)


def _same(kind: pa.DataType, values: pa.Array) -> pa.Array:
    return values if values.type == kind else values.cast(kind)


def _number(kind: pa.DataType, values: pa.Array) -> pa.Array:
    return _number_texts(values) if kind == pa.string() else values.cast(kind)


def _number_texts(values: pa.Array) -> pa.Array:
    """ADBC's texts of numbers, with what is none spelled as PostgreSQL does."""
    if not pc.any(pc.match_like(values, "%n%")).as_py():
        return values
    for short, name in (("nan", "NaN"), ("inf", "Infinity")):
        values = pc.replace_substring(values, short, name)
    return values


def _as_string(values: pa.Array) -> pa.Array:
    return values.cast(pa.string())


def _storage(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def _cast_list(kind: pa.DataType, values: pa.Array) -> pa.Array:
    items = _storage(values.values).cast(kind.value_type)
    return pa.ListArray.from_arrays(values.offsets, items, mask=values.is_null()).cast(kind)


def _sound_list(kind: pa.DataType, values: pa.Array) -> pa.Array:
    items = values.flatten()
    if pa.types.is_temporal(items.type):
        types.in_calendar(items)
    return values.cast(kind)


def _odd(value: int, kind: pa.DataType) -> str:
    """How PostgreSQL spells a moment outside of the years 1 to 9999, from the number that ADBC gives."""
    if pa.types.is_time(kind):
        return types.far_moment(value, kind)
    days = pa.types.is_date(kind)
    epoch, bits = (10_957, 31) if days else (946_684_800_000_000, 63)
    # ADBC adds the years from 1970 to 2000; infinity, the greatest number there is, wraps around.
    original = value - epoch
    original += 2 ** (bits + 1) * ((original < -(2**bits)) - (original >= 2**bits))
    if original in (2**bits - 1, -(2**bits)):
        return "infinity" if original > 0 else "-infinity"
    return types.far_moment(value, kind)


# --- bounds --------------------------------------------------------------------------


def _spelled(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime | date) else str(value)


def _bound_type(condition: Condition) -> str:
    kind = condition.column.type
    if kind in _BOUNDS:
        return _BOUNDS[kind]
    return "int8" if isinstance(condition.value, int) else "float8" if isinstance(condition.value, float) else "numeric"


# --- errors --------------------------------------------------------------------------

_FAULTS = {
    "28": "credentials", "3D": "no_database", "3F": "no_table", "42P01": "no_table", "42703": "no_column",
    "42501": "permission", "57014": "timeout", "57P": "lost", "08": "lost", "53": "busy", "40": "busy", "55": "busy",
    "42": "sql", "25006": "sql", "0A": "sql", "22": "data", "54": "busy",
}  # fmt: skip
_WORDS = {
    "password authentication failed": "credentials",
    "no password supplied": "credentials",
    "authentication failed": "credentials",
    "no pg_hba.conf entry": "credentials",
    "role ": "credentials",
    "database ": "no_database",
    "too many": "busy",
    "starting up": "busy",
}
# What is said in the middle of a stream, where there are no codes.
_STREAMING = {
    "terminating connection": "lost",
    "closed the connection": "lost",
    "connection to server was lost": "lost",
    "could not receive data": "lost",
    "SSL connection has been closed": "lost",
    "read-only transaction": "sql",
    "statement timeout": "timeout",
    "canceling statement": "busy",
    "permission denied": "permission",
}


def _said(connection: Connection, while_connecting: bool = False) -> AbstractContextManager[None]:
    # While rows stream, ADBC's errors come as Arrow's.
    return explained(
        (adbc.Error, pa.ArrowException, OSError),
        partial(_explain, connection=connection, while_connecting=while_connecting),
    )


def _explain(error: Exception, *, connection: Connection, while_connecting: bool) -> AssayError:
    told, code = _told(error), getattr(error, "sqlstate", None) or ""
    if while_connecting:
        kind = next((kind for words, kind in _WORDS.items() if words in told), "unreachable")
    elif found := [kind for words, kind in _STREAMING.items() if words in str(error)]:
        kind = found[0]
    elif not isinstance(error, adbc.Error):
        kind = "data"
    else:
        kind = next((_FAULTS[code[:n]] for n in (5, 3, 2) if code[:n] in _FAULTS), "lost" if not code else "data")
    return fault(kind, told, connection)


def _told(error: Exception) -> str:
    """What the server said, without the driver's and libpq's words around it."""
    details = dict(getattr(error, "details", None) or [])
    if said := details.get("PG_DIAG_MESSAGE_PRIMARY"):
        return said.decode(errors="replace") if isinstance(said, bytes) else said
    lines = [line for line in str(error).splitlines() if line.strip()]
    last = re.split(r"(?:FATAL|ERROR|PANIC): +| failed: ", lines[0] if lines else type(error).__name__)[-1]
    return re.sub(r"^\w+: (\[libpq\] )?", "", last)
