"""What goes wrong with databases, said in one way for all of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from ...access import Connection
from ...errors import AssayError, SourceMissing, SourceUnavailable, SqlRejected, UnreadableSource

NEAR_NAMES = 5

# What a driver's error is about: the class, whether a retry may help, what to say and what to do.
_FAULTS: dict[str, tuple[type[AssayError], bool, str, str]] = {
    "unreachable": (
        SourceUnavailable, True, "The database server cannot be reached: {told}.",
        "Check host and port of the connection, and that the server runs.",
    ),
    "credentials": (
        SourceUnavailable, False, "The database server refuses the log-in: {told}.",
        "Check user name and password of the connection.",
    ),
    "no_database": (SourceMissing, False, "The server has no such database: {told}.", "Correct the connection."),
    "no_table": (SourceMissing, False, "The source is not there: {told}.", "Correct the job's table or query."),
    "no_column": (SourceMissing, False, "The source has no such column: {told}.", "Correct the job's query."),
    "permission": (
        SourceUnavailable, False, "The database does not let this user read: {told}.",
        "Grant the connection's user the right to SELECT.",
    ),
    "timeout": (
        SourceUnavailable, True, "The query took longer than the job allows: {told}.",
        "Raise statement_timeout_seconds, or read less: by a watermark, or with a query that filters.",
    ),
    "lost": (
        SourceUnavailable, True, "The connection to the database was lost: {told}.",
        "Nothing was published; run the job again.",
    ),
    "busy": (SourceUnavailable, True, "The database cannot serve us now: {told}.", "Try again later."),
    "sql": (SqlRejected, False, "The database does not take the query: {told}.", "Correct the job's query."),
    "data": (
        UnreadableSource, False, "The database cannot answer the query: {told}.",
        "Correct the query, or the rows on which it fails.",
    ),
}  # fmt: skip


def fault(kind: str, told: str, connection: Connection) -> AssayError:
    """The error for a fault of this kind. The connection's password is cut out of whatever the driver said."""
    error, is_retryable, message, hint = _FAULTS[kind]
    plain = " ".join(told.split()).rstrip(". ")
    if connection.password:
        plain = plain.replace(connection.password, "***")
    made = error(message.format(told=plain), hint=hint)
    made.retryable = is_retryable
    return made


def with_near(error: AssayError, name: str, names: Sequence[str]) -> AssayError:
    """The error with the names that may have been meant."""
    near = near_names(name, names)
    return type(error)(f"{error.message} Near to it: {', '.join(near)}.", hint=error.hint) if near else error


def near_names(name: str, names: Sequence[str]) -> list[str]:
    """The names most like this one, whatever their case and schema."""
    by_key: dict[str, list[str]] = {}
    for known in names:
        for key in {known.lower(), known.lower().rpartition(".")[2]}:
            by_key.setdefault(key, []).append(known)
    keys = [name.lower(), name.lower().rpartition(".")[2]]
    close = [match for key in keys for match in difflib.get_close_matches(key, by_key, NEAR_NAMES, 0.6)]
    return list(dict.fromkeys(known for key in close for known in by_key[key]))[:NEAR_NAMES]


@contextmanager
def explained(kinds: tuple[type[Exception], ...], explain: Callable[[Exception], AssayError]) -> Iterator[None]:
    """Say a driver's error in our words."""
    try:
        yield
    except kinds as error:
        raise explain(error) from None
