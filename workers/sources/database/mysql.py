"""MySQL and MariaDB through PyMySQL, unbuffered: the texts of the wire, which Arrow turns into values by the column."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pymysql
from pymysql.constants import CLIENT, FIELD_TYPE, FLAG
from pymysql.converters import encoders
from pymysql.cursors import SSCursor

from ...access import Connection
from ...errors import AssayError, SourceMissing, SqlRejected
from ...network import CONNECT_SECONDS, NetworkPolicy, connect
from ...readers.names import unique_names
from ...specs import DatabaseSource
from .base import Batch, Condition, DbColumn, where_clause
from .errors import explained, fault, with_near
from .files import arrow_type
from .queries import name_parts, quoted, relation

PORT = 3306
BINARY = 63  # the character set of bytes
ANSWER_SECONDS = 30  # that the server may be silent beyond the statement's own time
_INTEGERS = {
    FIELD_TYPE.TINY: ("int8", "int16"), FIELD_TYPE.SHORT: ("int16", "int32"), FIELD_TYPE.INT24: ("int32", "int32"),
    FIELD_TYPE.LONG: ("int32", "int64"), FIELD_TYPE.LONGLONG: ("int64", "decimal(20,0)"),
    FIELD_TYPE.YEAR: ("int16", "int16"),
}  # fmt: skip
_NAMES = {value: name.lower() for name, value in vars(FIELD_TYPE).items() if isinstance(value, int)}


class MyReader:
    """A read-only transaction with a consistent snapshot."""

    def __init__(self, link: pymysql.Connection, source: DatabaseSource, connection: Connection) -> None:
        self._link, self._source, self._connection = link, source, connection
        self._relation = relation(source)
        fields = self._fields()
        given = [field.name for field in fields]
        if source.query and len({name.lower() for name in given}) < len(given):
            raise SqlRejected("Two columns of the query have one name.", hint="Name them with AS.")
        self._names = [f"q.{quoted(name, 'mysql')}" for name in given]
        self._selects = [_select(field) for field in fields]
        documents = self._json_columns()
        self.columns = tuple(
            _column(name, field, is_json=field.name in documents)
            for name, field in zip(unique_names(given), fields, strict=True)
        )

    def batches(
        self, columns: Sequence[DbColumn], where: Sequence[Condition] = (), limit: int | None = None
    ) -> Iterator[Batch]:
        wanted = ", ".join(self._selects[self.columns.index(column)] for column in columns)
        condition, values = self._where(where)
        sql = f"SELECT {wanted} FROM {self._from(bool(values))}{condition}"  # noqa: S608
        if limit is not None:
            sql += f" LIMIT {limit:d}"
        with self._say():
            cursor = self._link.cursor(SSCursor)
            try:
                cursor.execute(sql, values or None)
                while rows := cursor.fetchmany(self._source.batch_rows):
                    yield list(zip(*rows, strict=True))
            except BaseException:
                _abandon(cursor, self._link)
                raise
            cursor.close()

    def count(self, where: Sequence[Condition]) -> int:
        condition, values = self._where(where)
        sql = f"SELECT count(*) FROM {self._from(bool(values))}{condition}"  # noqa: S608
        return int(self._all(sql, values)[0][0])

    def _from(self, is_formatted: bool) -> str:
        """With values to fill in, the driver takes a percent sign for the place of one."""
        return f"{self._relation.replace('%', '%%') if is_formatted else self._relation} AS q"

    def _where(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        is_formatted = any(condition.op != "is null" for condition in conditions)

        def name_of(column: DbColumn) -> str:
            name = self._names[self.columns.index(column)]
            return name.replace("%", "%%") if is_formatted else name

        sql, values = where_clause(conditions, name_of, "%s")
        return sql, [_bound(value) for value in values]

    def _fields(self) -> list[Any]:
        try:
            with self._say(), closing(self._link.cursor(SSCursor)) as cursor:
                cursor.execute(f"SELECT * FROM {self._relation} AS q LIMIT 0")  # noqa: S608
                fields = list(cursor._result.fields)
        except SourceMissing as error:
            raise with_near(error, self._source.table_name, self._tables()) from None
        return fields

    def _tables(self) -> list[str]:
        return [name for (name,) in self._all("SELECT table_name FROM information_schema.tables LIMIT 5000")]

    def _json_columns(self) -> set[str]:
        """Columns of a table that hold JSON: MariaDB knows them only as text with a check."""
        if not self._source.table_name:
            return set()
        *schema, table = name_parts(self._source.table_name)
        rows = self._all(
            "SELECT column_name, data_type FROM information_schema.columns c WHERE table_name = %s "
            "AND table_schema = coalesce(%s, database()) AND data_type IN ('json', 'longtext')",
            [table, schema[-1] if schema else None],
        )
        if not rows or "mariadb" not in self._link.get_server_info().lower():
            return {name for name, kind in rows if kind == "json"}
        checks = self._all(
            "SELECT check_clause FROM information_schema.check_constraints WHERE table_name = %s "
            "AND constraint_schema = coalesce(%s, database())",
            [table, schema[-1] if schema else None],
        )
        clauses = {clause.lower() for (clause,) in checks}
        return {name for name, _ in rows if f"json_valid({quoted(name, 'mysql')})".lower() in clauses}

    def _all(self, sql: str, values: Sequence[Any] = ()) -> Sequence[tuple]:
        with self._say(), self._link.cursor() as cursor:
            cursor.execute(sql, list(values) or None)
            return cursor.fetchall()

    def _say(self) -> AbstractContextManager[None]:
        return _said(self._connection)


def _abandon(cursor: SSCursor, link: pymysql.Connection) -> None:
    """Leave off in the middle: to close the cursor in order would read all that is still to come."""
    if cursor._result:
        cursor._result.unbuffered_active, cursor._result.connection = False, None
    cursor.connection = None
    link._force_close()


@contextmanager
def reading(connection: Connection, policy: NetworkPolicy, source: DatabaseSource) -> Iterator[MyReader]:
    with _connected(connection, policy, source.statement_timeout_seconds + ANSWER_SECONDS) as link:
        with _said(connection), link.cursor() as cursor:
            is_mariadb = "mariadb" in link.get_server_info().lower()
            seconds = source.statement_timeout_seconds
            cursor.execute(
                f"SET SESSION max_statement_time = {seconds:d}"
                if is_mariadb
                else f"SET SESSION max_execution_time = {seconds * 1000:d}"
            )
            cursor.execute("SET SESSION time_zone = '+00:00', net_write_timeout = 600")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        yield MyReader(link, source, connection)


def version(connection: Connection, policy: NetworkPolicy) -> str:
    with _connected(connection, policy, ANSWER_SECONDS) as link:
        told = link.get_server_info()
    return told if "mariadb" in told.lower() else f"MySQL {told}"


def tables(connection: Connection, policy: NetworkPolicy, search: str, limit: int) -> list[dict[str, Any]]:
    with _connected(connection, policy, ANSWER_SECONDS) as link, _said(connection), link.cursor() as cursor:
        cursor.execute(_TABLES, (f"%{search}%", limit))
        found = cursor.fetchall()
        columns: dict[tuple[str, str], list[dict[str, Any]]] = {}
        if found:
            cursor.execute(_COLUMNS, ([row[:2] for row in found],))
            for schema, table, name, kind, nullable in cursor.fetchall():
                columns.setdefault((schema, table), []).append(
                    {"name": name, "type": kind, "nullable": nullable == "YES"}
                )
    return [
        {
            "schema": schema,
            "name": name,
            "kind": "view" if "VIEW" in kind else "table",
            "rows": None if rows is None else int(rows),
            "columns": columns.get((schema, name), []),
        }
        for schema, name, kind, rows in found
    ]


_TABLES = """
    SELECT table_schema, table_name, table_type, table_rows FROM information_schema.tables
    WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')
      AND table_schema = coalesce(database(), table_schema) AND concat(table_schema, '.', table_name) LIKE %s
    ORDER BY 1, 2 LIMIT %s
"""
_COLUMNS = """
    SELECT table_schema, table_name, column_name, column_type, is_nullable FROM information_schema.columns
    WHERE (table_schema, table_name) IN %s ORDER BY table_schema, table_name, ordinal_position
"""


@contextmanager
def _connected(connection: Connection, policy: NetworkPolicy, answer_seconds: int) -> Iterator[pymysql.Connection]:
    """Over a socket of ours, so that it leads to an address that was checked."""
    port = connection.port or PORT
    channel = connect(policy, connection.host, port)
    channel.settimeout(None)
    link = pymysql.Connection(
        host=connection.host,
        port=port,
        user=connection.username,
        password=connection.password,
        database=connection.database or None,
        charset="utf8mb4",
        # Nothing is decoded into Python's objects.
        conv=dict(encoders),
        ssl=_ssl(connection),
        connect_timeout=CONNECT_SECONDS,
        read_timeout=answer_seconds,
        write_timeout=ANSWER_SECONDS,
        local_infile=False,
        client_flag=CLIENT.MULTI_RESULTS,
        autocommit=True,
        defer_connect=True,
    )
    try:
        with _said(connection):
            link.connect(channel)
        yield link
    finally:
        with suppress(pymysql.Error):  # it may be gone already, and what matters has been told
            link.close()
        channel.close()


def _ssl(connection: Connection) -> ssl.SSLContext | None:
    """As libpq's `sslmode` has it: disable, require (no check of who it is), verify-ca, verify-full."""
    mode = connection.options.get("sslmode", "")
    if mode in ("", "disable", "allow", "prefer"):
        return None
    context = ssl.create_default_context(cafile=connection.options.get("sslrootcert") or None)
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
    if cert := connection.options.get("sslcert"):
        context.load_cert_chain(cert, connection.options.get("sslkey") or None)
    return context


# --- types ---------------------------------------------------------------------------


def _select(field: Any) -> str:
    name = f"q.{quoted(field.name, 'mysql')}"
    # As a float it would be sent with six digits.
    return f"{name} * 1e0" if field.type_code == FIELD_TYPE.FLOAT else name


def _column(name: str, field: Any, *, is_json: bool) -> DbColumn:
    """From the cursor's description. PyMySQL sends the texts; those of bytes and bits come as bytes."""
    kind, is_unsigned = field.type_code, bool(field.flags & FLAG.UNSIGNED)
    make = partial(DbColumn, name=name, native=_NAMES.get(kind, str(kind)), text=_texts)
    if kind in _INTEGERS:
        return _plain(make, _INTEGERS[kind][is_unsigned])
    if kind == FIELD_TYPE.BIT:
        bits = field.length
        type_ = "boolean" if bits == 1 else "int64" if bits < 64 else "decimal(20,0)"
        return make(type=type_, arrow=arrow_type(type_), typed=partial(_bits, arrow_type(type_)))
    if kind in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
        precision = field.length - (field.scale > 0) - (not is_unsigned)
        return _plain(make, f"decimal({precision},{field.scale})" if precision <= 38 else "string")
    if kind in (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE):
        return _plain(make, "float32" if kind == FIELD_TYPE.FLOAT else "float64")
    if kind in (FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE):
        return _plain(make, "date")
    if kind in (FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP):
        type_ = "timestamptz" if kind == FIELD_TYPE.TIMESTAMP else "timestamp"
        texts = partial(_moment_texts, "+00:00" if type_ == "timestamptz" else "")
        return make(type=type_, arrow=arrow_type(type_), typed=partial(_moments, arrow_type(type_)), text=texts)
    is_bytes = field.charsetnr == BINARY and kind not in (FIELD_TYPE.TIME, FIELD_TYPE.NULL, FIELD_TYPE.JSON)
    if is_bytes:
        return make(type="binary", arrow=pa.binary(), typed=partial(pa.array, type=pa.binary()))
    return make(type="json" if is_json or kind == FIELD_TYPE.JSON else "string", arrow=pa.string(), typed=_texts)


def _plain(make: partial, type_: str) -> DbColumn:
    return make(type=type_, arrow=arrow_type(type_), typed=partial(_read, arrow_type(type_)))


def _texts(values: Sequence[Any]) -> pa.Array:
    if any(isinstance(value, bytes) for value in values):
        values = [value.hex() if isinstance(value, bytes) else value for value in values]
    return pa.array(values, pa.string())


def _read(kind: pa.DataType, values: Sequence[str | None]) -> pa.Array:
    return _texts(values).cast(kind)


def _moments(kind: pa.DataType, values: Sequence[str | None]) -> pa.Array:
    return _texts(values).cast(pa.timestamp("us")).cast(kind)


def _moment_texts(zone: str, values: Sequence[str | None]) -> pa.Array:
    """As ISO 8601 has it."""
    iso = pc.replace_substring(_texts(values), " ", "T")
    return pc.binary_join_element_wise(iso, zone, "")


def _bits(kind: pa.DataType, values: Sequence[bytes | None]) -> pa.Array:
    whole = [None if value is None else int.from_bytes(value) for value in values]
    if pa.types.is_boolean(kind):
        return pa.array([None if value is None else bool(value) for value in whole], kind)
    return pa.array(whole, pa.uint64()).cast(kind)


def _bound(value: Any) -> Any:
    return value.astimezone(UTC).replace(tzinfo=None) if isinstance(value, datetime) and value.tzinfo else value


# --- errors --------------------------------------------------------------------------

_FAULTS = {
    **dict.fromkeys((1045, 1698, 1130, 1251, 1862), "credentials"), **dict.fromkeys((1049,), "no_database"),
    **dict.fromkeys((1146, 1051), "no_table"), **dict.fromkeys((1054,), "no_column"),
    **dict.fromkeys((1044, 1142, 1143, 1370, 1227), "permission"),
    **dict.fromkeys((1969, 3024, 1205), "timeout"), **dict.fromkeys((1040, 1203, 1226, 1213), "busy"),
    **dict.fromkeys((2006, 2013, 2014, 1053, 1927, 1317, 0), "lost"),
    **dict.fromkeys((2003, 2002, 2026), "unreachable"),
    **dict.fromkeys((1064, 1060, 1052, 1248, 1305, 1792), "sql"),
}  # fmt: skip


def _said(connection: Connection) -> AbstractContextManager[None]:
    return explained((pymysql.Error, OSError), partial(_explain, connection=connection))


def _explain(error: Exception, *, connection: Connection) -> AssayError:
    code = error.args[0] if error.args and isinstance(error.args[0], int) else None
    told = str(error.args[-1]) if error.args else type(error).__name__
    if isinstance(error, TimeoutError) or "timed out" in told:
        return fault("timeout", told, connection)
    if code is None or isinstance(error, OSError):
        return fault("lost", told, connection)
    return fault(_FAULTS.get(code, "data"), told or "the server is gone", connection)
