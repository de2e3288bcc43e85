"""Any database that SQLAlchemy has a dialect for: SQL Server and Oracle, with drivers that are installed beside us."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import partial
from importlib.util import find_spec
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.sql import sqltypes

from ...access import Connection
from ...errors import AssayError, NotAvailableYet, SourceMissing
from ...network import CONNECT_SECONDS, NetworkPolicy, checked_address
from ...readers.names import unique_names
from ...specs import DatabaseSource
from .base import Batch, Condition, DbColumn, Misfit
from .errors import explained, fault, near_names
from .files import arrow_type
from .queries import guarded, name_parts

# Dialect, driver and port of each kind.
DRIVERS = {
    "mssql": ("mssql+pymssql", "pymssql", 1433),
    "oracle": ("oracle+oracledb", "oracledb", 1521),
    "postgresql": ("postgresql+psycopg", "psycopg", 5432),
    "mysql": ("mysql+pymysql", "pymysql", 3306),
}
FIRST_ROWS = 1_000  # that tell the types of a query's columns, where the driver does not
_PYTHON = {
    bool: "boolean", int: "int64", float: "float64", Decimal: "decimal", str: "string", bytes: "binary", date: "date",
    datetime: "timestamp", time: "time", uuid.UUID: "string",
}  # fmt: skip
# Theirs in the order of narrow to wide classes.
_DECLARED: tuple[tuple[type, str], ...] = (
    (sqltypes.Boolean, "boolean"), (sqltypes.SmallInteger, "int16"), (sqltypes.Integer, "int64"),
    (sqltypes.Float, "float64"), (sqltypes.DateTime, "timestamp"), (sqltypes.Date, "date"), (sqltypes.Time, "time"),
    (sqltypes.JSON, "json"), (sqltypes.LargeBinary, "binary"), (sqltypes.BINARY, "binary"),
    (sqltypes.VARBINARY, "binary"), (sqltypes.String, "string"), (sqltypes.Uuid, "string"),
)  # fmt: skip
_WHOLE = ("int16", "int64")


class AnyReader:
    """A transaction on one connection, streamed."""

    def __init__(self, link: sa.Connection, source: DatabaseSource, connection: Connection) -> None:
        self._link, self._source, self._connection = link, source, connection
        with self._say():
            self._from, told = self._table() if source.table_name else self._query()
        names = unique_names(column.name for column in self._from.columns)
        self.columns = tuple(_column(name, *kind) for name, kind in zip(names, told, strict=True))

    def batches(
        self, columns: Sequence[DbColumn], where: Sequence[Condition] = (), limit: int | None = None
    ) -> Iterator[Batch]:
        statement = select(
            self._from, [self.columns.index(column) for column in columns], self._conditions(where), limit
        )
        with self._say(), self._link.execution_options(stream_results=True).execute(statement) as result:
            for rows in result.partitions(self._source.batch_rows):
                yield list(zip(*rows, strict=True))

    def count(self, where: Sequence[Condition]) -> int:
        statement = sa.select(sa.func.count()).select_from(self._from).where(*self._conditions(where))
        with self._say():
            return self._link.execute(statement).scalar_one()

    def _conditions(self, where: Sequence[Condition]) -> list[sa.ColumnElement]:
        columns = list(self._from.columns)
        return [condition_of(columns[self.columns.index(each.column)], each.op, each.value) for each in where]

    def _table(self) -> tuple[sa.FromClause, list[tuple[str, str, int]]]:
        *schema, name = name_parts(self._source.table_name)
        inspector = sa.inspect(self._link)
        owner = schema[-1] if schema else None
        try:
            found = inspector.get_columns(name, owner)
        except exc.NoSuchTableError:
            names = [*inspector.get_table_names(owner), *inspector.get_view_names(owner)]
            near = near_names(name, names)
            told = f" Near to it: {', '.join(near)}." if near else ""
            raise SourceMissing(
                f"The source is not there: {self._source.table_name}.{told}", hint="Correct the job's table."
            ) from None
        columns = [quoted_column(column["name"]) for column in found]
        table = sa.table(sa.quoted_name(name, True), *columns, schema=sa.quoted_name(owner, True) if owner else None)
        return table, [_declared(column["type"]) for column in found]

    def _query(self) -> tuple[sa.FromClause, list[tuple[str, str, int]]]:
        """The query as a subquery. Its first rows tell the types: drivers do not agree on how to."""
        text = sa.text(guarded(self._source).replace(":", "\\:") + "\n")  # a comment at its end must end, too
        result = self._link.execution_options(stream_results=True).execute(text)
        names, rows = list(result.keys()), result.fetchmany(FIRST_ROWS)
        result.close()
        kinds = [_found(values) for values in zip(*rows, strict=True)] or [("", "string", 6)] * len(names)
        columns = [quoted_column(name) for name in names]
        return text.columns(*columns).subquery("q"), kinds

    def _say(self) -> AbstractContextManager[None]:
        return _said(self._connection)


def quoted_column(name: str) -> sa.ColumnClause:
    """A column whose name is taken letter by letter, and whose values come as the driver gives them."""
    return sa.column(sa.quoted_name(name, True), sqltypes.NullType())


def select(
    source: sa.FromClause, places: Sequence[int], where: Sequence[sa.ColumnElement], limit: int | None
) -> sa.Select:
    columns = list(source.columns)
    return sa.select(*(columns[place] for place in places)).select_from(source).where(*where).limit(limit)


def condition_of(column: sa.ColumnElement, op: str, value: Any) -> sa.ColumnElement:
    if op == "is null":
        return column.is_(None)
    bound = sa.bindparam(None, value, unique=True)
    return column >= bound if op == ">=" else column < bound


@contextmanager
def reading(connection: Connection, policy: NetworkPolicy, source: DatabaseSource) -> Iterator[AnyReader]:
    with _connected(connection, policy, source.statement_timeout_seconds) as link:
        yield AnyReader(link, source, connection)


def version(connection: Connection, policy: NetworkPolicy) -> str:
    with _connected(connection, policy, 15) as link:
        told = ".".join(map(str, link.dialect.server_version_info or ()))
    return f"{connection.kind} {told}".strip()


def tables(connection: Connection, policy: NetworkPolicy, search: str, limit: int) -> list[dict[str, Any]]:
    with _connected(connection, policy, 15) as link, _said(connection):
        inspector = sa.inspect(link)
        found = [(name, "table") for name in inspector.get_table_names()]
        found += [(name, "view") for name in inspector.get_view_names()]
        chosen = sorted(each for each in found if search.lower() in each[0].lower())[:limit]
        schema = inspector.default_schema_name or ""
        return [
            {
                "schema": schema,
                "name": name,
                "kind": kind,
                "rows": None,
                "columns": [
                    {"name": column["name"], "type": str(column["type"]), "nullable": column.get("nullable", True)}
                    for column in inspector.get_columns(name)
                ],
            }
            for name, kind in chosen
        ]


def url_of(connection: Connection, host: str) -> sa.URL:
    """SQLAlchemy's URL. Raises `NotAvailableYet` when the kind's driver is not installed."""
    dialect, driver, port = DRIVERS[connection.kind]
    if find_spec(driver) is None:
        raise NotAvailableYet(
            f"Databases of the kind {connection.kind} need the package {driver}, which is not installed.",
            hint=f"Install it beside Assay: pip install {driver}.",
        )
    facts = {"username": connection.username or None, "password": connection.password or None, "host": host}
    if connection.kind == "oracle":
        return sa.URL.create(
            dialect, **facts, port=connection.port or port, query={"service_name": connection.database}
        )
    return sa.URL.create(dialect, **facts, port=connection.port or port, database=connection.database or None)


@contextmanager
def _connected(connection: Connection, policy: NetworkPolicy, seconds: int) -> Iterator[sa.Connection]:
    _, _, port = DRIVERS[connection.kind]
    address = checked_address(policy, connection.host, connection.port or port)
    engine = sa.create_engine(
        url_of(connection, address), poolclass=sa.NullPool, connect_args=_options(connection, seconds)
    )
    try:
        with _said(connection), engine.connect() as link:
            yield _read_only(link, connection.kind, seconds)
            link.rollback()
    finally:
        engine.dispose()


def _options(connection: Connection, seconds: int) -> dict[str, Any]:
    if connection.kind == "mssql":
        return {"login_timeout": int(CONNECT_SECONDS), "timeout": seconds, "charset": "UTF-8"}
    return {"tcp_connect_timeout": CONNECT_SECONDS} if connection.kind == "oracle" else {}


def _read_only(link: sa.Connection, kind: str, seconds: int) -> sa.Connection:
    """Oracle has read-only transactions; SQL Server has none, so its rows are read as of one moment where it allows."""
    if kind == "oracle":
        link.connection.dbapi_connection.call_timeout = seconds * 1000
        link.execute(sa.text("SET TRANSACTION READ ONLY"))
    if kind == "postgresql":
        link.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    return link


# --- types ---------------------------------------------------------------------------


def _declared(kind: Any) -> tuple[str, str, int]:
    """The catalog's type of a column: what it calls it, ours, and the digits of a second."""
    native, digits = str(kind), getattr(kind, "precision", None)
    if "OFFSET" in native.upper():
        return native, "timestamptz", 7
    if isinstance(kind, sqltypes.Numeric) and not isinstance(kind, sqltypes.Float):
        return native, _decimal(kind), 6
    type_ = next((ours for theirs, ours in _DECLARED if isinstance(kind, theirs)), "string")
    type_ = "timestamptz" if type_ == "timestamp" and getattr(kind, "timezone", False) else type_
    seconds = digits if isinstance(digits, int) and type_.startswith("timestamp") else 6
    return native, type_, 7 if native.upper().startswith("DATETIME2") and digits is None else seconds


def _decimal(kind: Any) -> str:
    precision, scale = kind.precision, kind.scale or 0
    if not precision or not 0 <= scale <= precision:
        return "decimal"
    return f"decimal({precision},{scale})" if precision <= 38 else "string"


def _found(values: Sequence[Any]) -> tuple[str, str, int]:
    """The type of a query's column, from its first values; texts where they have several."""
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {datetime} and all(value.tzinfo for value in values if value is not None):
        return "", "timestamptz", 6
    if kinds == {int, Decimal}:
        return "", "decimal", 6
    return "", _PYTHON.get(kinds.pop(), "string") if len(kinds) == 1 else "string", 6


def _column(name: str, native: str, type_: str, digits: int) -> DbColumn:
    arrow = pa.string() if type_ in ("decimal", "json", "string") else arrow_type(type_)
    return DbColumn(
        name=name,
        native=native,
        type=type_,
        arrow=arrow,
        typed=partial(_typed, type_, arrow),
        text=_texts,
        fraction_digits=digits,
    )


def _typed(type_: str, arrow: pa.DataType, values: Sequence[Any]) -> pa.Array:
    """The values if all of them are of the type; Arrow would cut fractions off and take a 1 for true."""
    if arrow == pa.string():
        return _texts(values)
    return pa.array([None if value is None else _fitting(value, type_) for value in values], arrow)


def _fitting(value: Any, type_: str) -> Any:
    if isinstance(value, memoryview | bytearray):
        value = bytes(value)
    if type_ in _WHOLE and isinstance(value, Decimal | float) and value == int(value):
        value = int(value)
    if type_ == "boolean" and value in (0, 1):
        return bool(value)
    if type_ == "date" and type(value) is datetime and value.time() == time():
        return value.date()
    if type_ == "float64" and isinstance(value, Decimal):
        return float(value)
    if type_.startswith("decimal(") and isinstance(value, int | float):
        return Decimal(str(value))
    wanted = (
        Decimal if type_.startswith("decimal(") else next((k for k, ours in _PYTHON.items() if ours == type_), None)
    )
    wanted = {"timestamptz": datetime}.get(type_, int if type_ in _WHOLE else wanted)
    if type(value) is not wanted and not (wanted is float and type(value) is int):
        raise Misfit
    if type_.startswith("timestamp") and (value.tzinfo is not None) != (type_ == "timestamptz"):
        raise Misfit
    return value


def _texts(values: Sequence[Any]) -> pa.Array:
    return pa.array([_text(value) for value in values], pa.string())


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value)


# --- errors --------------------------------------------------------------------------

_FAULTS = (
    (("refused", "unable to connect", "dpy-6005", "adaptive server is unavailable", "unreachable"), "unreachable"),
    (("login failed", "ora-01017", "password authentication", "access denied"), "credentials"),
    (("ora-12514", "ora-12505", "cannot open database", "unknown database"), "no_database"),
    (("ora-00942", "invalid object name", "does not exist", "doesn't exist"), "no_table"),
    (("ora-00904", "invalid column name", "unknown column"), "no_column"),
    (("ora-01031", "permission was denied", "permission denied"), "permission"),
    (("timed out", "timeout", "ora-01013", "dpy-4024"), "timeout"),
    (
        ("ora-03113", "ora-03114", "dpy-4011", "dbprocess is dead", "not connected", "closed", "lost", "terminat"),
        "lost",
    ),
    (("syntax", "ora-009", "ora-017"), "sql"),
)


def _said(connection: Connection) -> AbstractContextManager[None]:
    return explained((exc.SQLAlchemyError,), partial(_explain, connection=connection))


def _explain(error: Exception, *, connection: Connection) -> AssayError:
    told = _told(getattr(error, "orig", None) or error)
    kind = next((kind for words, kind in _FAULTS if any(word in told.lower() for word in words)), None)
    is_lost = isinstance(error, exc.DBAPIError) and error.connection_invalidated
    return fault("lost" if is_lost else kind or "data", told, connection)


def _told(error: BaseException) -> str:
    """What the driver says; FreeTDS puts it, as bytes, behind a number."""
    said = error.args[-1] if error.args else str(error)
    said = said[-1] if isinstance(said, tuple) and said else said
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
