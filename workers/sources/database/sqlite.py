"""SQLite files: every value has a type of its own, the column only says what it should be."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from ...access import Connection
from ...errors import AssayError, SourceMissing, SqlRejected
from ...network import NetworkPolicy
from ...readers.names import unique_names
from ...specs import DatabaseSource
from .base import Batch, Condition, DbColumn, Misfit, where_clause
from .errors import explained, fault, with_near
from .files import arrow_type
from .queries import name_parts, quoted, relation

LOOK_EVERY = 100_000  # steps of SQLite's machine between two looks at the clock
_DECIMAL = re.compile(r"(?:DECIMAL|NUMERIC)\s*\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\)")
# The first word that a declared type holds says what its values should be; the order is SQLite's own, ours added.
_DECLARED = (
    ("BOOL", "boolean"), ("TIMESTAMPTZ", "timestamptz"), ("DATETIME", "timestamp"), ("TIMESTAMP", "timestamp"),
    ("DATE", "date"), ("TIME", "string"), ("JSON", "json"), ("POINT", "binary"), ("INT", "int64"), ("CHAR", "string"),
    ("CLOB", "string"), ("TEXT", "string"), ("UUID", "string"), ("BLOB", "binary"), ("REAL", "float64"),
    ("FLOA", "float64"), ("DOUB", "float64"), ("DEC", "decimal"), ("NUM", "decimal"), ("MONEY", "decimal"),
)  # fmt: skip
_STORED = {"integer": "int64", "real": "float64", "text": "string", "blob": "binary"}


class LiteReader:
    """One read transaction on a file that is open for reading only."""

    def __init__(self, link: sqlite3.Connection, source: DatabaseSource, connection: Connection) -> None:
        self._link, self._source, self._connection = link, source, connection
        self._relation = relation(source)
        with self._say():
            # A view of this connection's own: it knows what the columns of a query were declared as.
            try:
                link.execute(f"CREATE TEMP VIEW assay_source AS SELECT * FROM {self._relation}")  # noqa: S608
                told = link.execute("PRAGMA temp.table_info(assay_source)").fetchall()
            except sqlite3.OperationalError as error:
                raise self._missing(error) from None
            link.execute("PRAGMA query_only = ON")
            link.execute("BEGIN")
            given = [row[1] for row in told]
            if len({name.lower() for name in given}) < len(given):
                raise SqlRejected("Two columns of the query have one name.", hint="Name them with AS.")
            self._names = [f"q.{quoted(name, 'sqlite')}" for name in given]
            self.columns = tuple(
                _column(name, row[2] or "", self._stored_as(place) if not row[2] else "")
                for place, (name, row) in enumerate(zip(unique_names(given), told, strict=True))
            )

    def batches(
        self, columns: Sequence[DbColumn], where: Sequence[Condition] = (), limit: int | None = None
    ) -> Iterator[Batch]:
        wanted = ", ".join(self._names[self.columns.index(column)] for column in columns)
        condition, values = self._where(where)
        sql = f"SELECT {wanted} FROM temp.assay_source AS q{condition}"  # noqa: S608
        if limit is not None:
            sql += f" LIMIT {limit:d}"
        with self._say(), closing(self._link.execute(sql, values)) as cursor:
            while rows := cursor.fetchmany(self._source.batch_rows):
                yield list(zip(*rows, strict=True))

    def count(self, where: Sequence[Condition]) -> int:
        condition, values = self._where(where)
        with self._say():
            sql = f"SELECT count(*) FROM temp.assay_source AS q{condition}"  # noqa: S608
            return self._link.execute(sql, values).fetchone()[0]

    def _where(self, conditions: Sequence[Condition]) -> tuple[str, list[Any]]:
        sql, values = where_clause(conditions, lambda column: self._names[self.columns.index(column)], "?")
        return sql, [_bound(value) for value in values]

    def _stored_as(self, place: int) -> str:
        """What a column without a declared type holds: the type of its values, text where they have several."""
        sql = f"SELECT DISTINCT typeof({self._names[place]}) FROM temp.assay_source AS q"  # noqa: S608
        kinds = {kind for (kind,) in self._link.execute(sql)} - {"null"}
        if kinds == {"integer", "real"}:
            return "float64"
        return _STORED[kinds.pop()] if len(kinds) == 1 else "string"

    def _missing(self, error: sqlite3.OperationalError) -> AssayError:
        found = _explain(error, connection=self._connection)
        if not isinstance(found, SourceMissing) or not self._source.table_name:
            return found
        names = self._link.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
        return with_near(found, name_parts(self._source.table_name)[-1], [name for (name,) in names])

    def _say(self) -> AbstractContextManager[None]:
        return _said(self._connection)


@contextmanager
def reading(connection: Connection, policy: NetworkPolicy, source: DatabaseSource) -> Iterator[LiteReader]:
    with _connected(connection, source.statement_timeout_seconds) as link:
        yield LiteReader(link, source, connection)


def version(connection: Connection, policy: NetworkPolicy) -> str:
    with _connected(connection, 10) as link, _said(connection):
        link.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return f"SQLite {sqlite3.sqlite_version}"


def tables(connection: Connection, policy: NetworkPolicy, search: str, limit: int) -> list[dict[str, Any]]:
    with _connected(connection, 10) as link, _said(connection):
        found = link.execute(
            "SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') "
            "AND substr(name, 1, 7) <> 'sqlite_' AND name LIKE ? ORDER BY 1 LIMIT ?",
            (f"%{search}%", limit),
        ).fetchall()
        return [
            {"schema": "", "name": name, "kind": kind, "rows": None, "columns": _listed_columns(link, name)}
            for name, kind in found
        ]


def _listed_columns(link: sqlite3.Connection, table: str) -> list[dict[str, Any]]:
    rows = link.execute('SELECT name, type, "notnull" FROM pragma_table_info(?)', (table,))
    return [{"name": name, "type": kind, "nullable": not required} for name, kind, required in rows]


@contextmanager
def _connected(connection: Connection, seconds: int) -> Iterator[sqlite3.Connection]:
    path = Path(connection.database)
    if not path.is_file():
        raise SourceMissing(f"There is no database file {path.name}.", hint="Correct the connection's database.")
    with _said(connection):
        link = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None, timeout=30)
    deadline = time.monotonic() + seconds
    link.set_progress_handler(lambda: time.monotonic() > deadline, LOOK_EVERY)
    # Bytes that are no UTF-8 stay to be seen.
    link.text_factory = lambda text: text.decode("utf-8", "backslashreplace")
    with closing(link):
        yield link


# --- types ---------------------------------------------------------------------------


def _column(name: str, native: str, stored: str) -> DbColumn:
    type_ = stored or _declared(native)
    typed = {
        "boolean": _booleans, "int64": _whole_numbers, "float64": _floats, "decimal": _numerals, "string": _strings,
        "json": _strings, "binary": _bytes, "date": _dates, "timestamp": _timestamps, "timestamptz": _timestamps,
    }  # fmt: skip
    arrow = pa.string() if type_ == "decimal" else arrow_type(type_)
    read = partial(_decimals, arrow) if type_.startswith("decimal(") else partial(typed[type_], arrow)
    text = _moment_texts if type_.startswith("timestamp") else _texts
    return DbColumn(name=name, native=native, type=type_, arrow=arrow, typed=read, text=text)


def _declared(native: str) -> str:
    upper = native.upper()
    if match := _DECIMAL.search(upper):
        precision, scale = int(match[1]), int(match[2] or 0)
        return f"decimal({precision},{scale})" if scale <= precision <= 38 and precision else "decimal"
    return next((type_ for word, type_ in _DECLARED if word in upper), "decimal")


def _only(values: Sequence[Any], *kinds: type) -> None:
    if {type(value) for value in values} - {*kinds, type(None)}:
        raise Misfit


def _booleans(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    if set(values) - {0, 1, None}:
        raise Misfit
    return pa.array([None if value is None else bool(value) for value in values], kind)


def _whole_numbers(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    _only(values, int)
    return pa.array(values, kind)


def _floats(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    _only(values, int, float)
    return pa.array(values, kind)


def _strings(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    _only(values, str)
    return pa.array(values, kind)


def _bytes(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    _only(values, bytes)
    return pa.array(values, kind)


def _decimals(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    _only(values, int, float, str)
    try:
        return pa.array([None if value is None else Decimal(str(value)) for value in values], kind)
    except InvalidOperation:
        raise Misfit from None


def _dates(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    _only(values, str)
    return pa.array(values, pa.string()).cast(kind)


def _timestamps(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    _only(values, str)
    texts = pa.array(values, pa.string())
    return texts.cast(pa.timestamp("us", kind.tz)).cast(kind)


def _numerals(kind: pa.DataType, values: Sequence[Any]) -> pa.Array:
    return _texts(values)


def _texts(values: Sequence[Any]) -> pa.Array:
    """Every value as SQL would spell it, texts as they are; an empty text as `''`, for blank means no value."""
    texts = pa.array([_text(value) for value in values], pa.string())
    return texts if not pc.any(pc.equal(texts, "")).as_py() else pc.if_else(pc.equal(texts, ""), "''", texts)


def _moment_texts(values: Sequence[Any]) -> pa.Array:
    """Moments in one spelling of ISO 8601, which SQLite's users write in several."""
    return _texts([_moment(value) if isinstance(value, str) else value for value in values])


def _moment(text: str) -> str:
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        return text


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return f"x'{value.hex()}'" if isinstance(value, bytes) else repr(value)


def _bound(value: Any) -> Any:
    """As SQLite's own functions spell moments; texts sort like them only if they are spelled alike."""
    if isinstance(value, datetime):
        return (value.astimezone(UTC) if value.tzinfo else value).replace(tzinfo=None).isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value


# --- errors --------------------------------------------------------------------------

_FAULTS = {
    "no such table": "no_table", "no such column": "no_column", "unable to open": "unreachable",
    "not a database": "data", "malformed": "data", "locked": "busy", "busy": "busy", "interrupted": "timeout",
    "readonly": "sql", "syntax error": "sql", "not authorized": "permission",
}  # fmt: skip


def _said(connection: Connection) -> AbstractContextManager[None]:
    return explained((sqlite3.Error,), partial(_explain, connection=connection))


def _explain(error: Exception, *, connection: Connection) -> AssayError:
    told = str(error)
    return fault(next((kind for words, kind in _FAULTS.items() if words in told), "sql"), told, connection)
