"""The SQL that databases are asked: what people write is guarded, names are quoted, values are bound."""

from __future__ import annotations

import re
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.tokens import TokenType

from ...errors import SqlRejected
from ...specs import DatabaseSource

DIALECTS = {"postgresql": "postgres", "mysql": "mysql", "sqlite": "sqlite", "mssql": "tsql", "oracle": "oracle"}
QUOTES = {"mysql": "``", "mssql": "[]"}
_PART = re.compile(r'\s*(?:"((?:[^"]|"")+)"|`((?:[^`]|``)+)`|\[((?:[^\]]|\]\])+)\]|([^."`\[\]][^.]*?))\s*(\.|$)')
_WRITING = (
    exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Create, exp.Drop, exp.Alter, exp.TruncateTable,
    exp.Into, exp.Lock, exp.Command, exp.Set, exp.Copy, exp.Grant,
)  # fmt: skip
# Functions and packages that reach beyond the database: its server's files, its network, other sessions.
_REACHING_OUT = re.compile(
    r"pg_(read_(binary_)?file|ls_\w+|stat_file|(terminate|cancel)_backend|reload_conf|rotate_logfile)|set_config"
    r"|lo_(import|export|creat|create|from_bytea|put|unlink)|dblink\w*|query_to_xml\w*"
    r"|load_file|sys_(exec|eval)|(get|release)_lock|readfile|writefile|load_extension"
    r"|(xp|sp)_\w+|open(rowset|query|datasource)|httpuritype|utl_\w+|dbms_\w+",
    re.IGNORECASE,
)
_PACKAGES = ("utl_", "dbms_")  # their functions stand behind a dot


def query_problem(query: str, kind: str) -> str:
    """Why this query cannot be a source; empty when it can."""
    if re.search(r"/\*M?!", query, re.IGNORECASE):
        return "Comments that the server carries out (/*! … */) are not taken."
    if re.search(r'\bU&"', query, re.IGNORECASE):
        return 'Names in Unicode escapes (U&"…") are not taken. Write the letters themselves.'
    try:
        found = sqlglot.parse(query, read=DIALECTS.get(kind))
    except sqlglot.errors.SqlglotError as error:
        return _syntax_problem(error)
    statements = [each for each in found if each is not None and not isinstance(each, exp.Semicolon)]
    if len(statements) != 1:
        return f"A source is one SELECT; here are {len(statements)} statements."
    statement = statements[0]
    if not isinstance(statement, exp.Query):
        return f"A source is a SELECT; this is {statement.key.upper()}."
    if writing := statement.find(*_WRITING):
        return f"A source only reads; {writing.key.upper()} does not."
    if name := _reaches_out(query, kind):
        return f"A source reads tables; {name} reaches beyond them."
    return ""


def _reaches_out(query: str, kind: str) -> str:
    """The first function that is none for a source: told by the words, as parsers know few of them."""
    tokens = sqlglot.tokenize(query, read=DIALECTS.get(kind))
    for token, following in pairwise(tokens):
        if token.token_type == TokenType.STRING or not _REACHING_OUT.fullmatch(token.text):
            continue
        is_package = following.token_type == TokenType.DOT and token.text.lower().startswith(_PACKAGES)
        if is_package or following.token_type == TokenType.L_PAREN:
            return token.text
    return ""


def _syntax_problem(error: Exception) -> str:
    told = getattr(error, "errors", None)
    if not told:
        return f"The query cannot be read: {str(error).splitlines()[0]}"
    first = told[0]
    return f"Line {first['line']}, column {first['col']}: {first['description'].rstrip('.')}."


def relation(source: DatabaseSource) -> str:
    """What stands behind FROM: the quoted table, or the query in brackets. Raises `SqlRejected`."""
    if source.table_name:
        return ".".join(quoted(part, source.kind) for part in name_parts(source.table_name))
    # A comment at its end must not hide the bracket.
    return f"(\n{guarded(source)}\n)"


def guarded(source: DatabaseSource) -> str:
    """The query, if it is one SELECT, up to the semicolon at its end. Raises `SqlRejected`."""
    query = source.query
    if problem := query_problem(query, source.kind):
        raise SqlRejected(problem, hint="Correct the job's query.")
    ends = (
        t.start for t in sqlglot.tokenize(query, read=DIALECTS.get(source.kind)) if t.token_type == TokenType.SEMICOLON
    )
    return query[: next(ends, None)].strip()


def name_parts(name: str) -> list[str]:
    """`schema.table` in its parts; a part with a dot stands in quotes: `public."a.b"`."""
    parts, at = [], 0
    while at < len(name):
        match = _PART.match(name, at)
        if not match:
            return [name]
        double, back, bracket, plain = match.groups()[:4]
        parts.append(
            double.replace('""', '"') if double is not None
            else back.replace("``", "`") if back is not None
            else bracket.replace("]]", "]") if bracket is not None
            else plain
        )  # fmt: skip
        at = match.end()
    return parts


def quoted(name: str, kind: str) -> str:
    """The name as an identifier of the database, taken letter by letter."""
    if "\0" in name:
        raise SqlRejected("A name cannot hold the character NUL.", hint="Correct the name.")
    opening, closing = QUOTES.get(kind, '""')
    return f"{opening}{name.replace(closing, closing * 2)}{closing}"


def label(source: DatabaseSource) -> str:
    """What the source is called in `_source_file` and in Landing."""
    return ".".join(name_parts(source.table_name)) if source.table_name else "query"
