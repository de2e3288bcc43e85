"""The door: text in, a tree of allowed parts out, or `SqlRejected`.

It knows nothing of columns and types (`resolve.py` does). What matters here is
that nothing but one SELECT over the registered inputs comes through.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterable
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError
from sqlglot.optimizer.scope import Scope, traverse_scope
from sqlglot.tokens import Token, TokenType

from workers.errors import SqlRejected

from . import grammar

# It would write the text of a query, and what is private in it, into the log.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

QUERY = exp.Select | exp.SetOperation | exp.Subquery
UNKNOWN_GROWTH = 10  # taken for a replacement that is no constant


def rejected(message: str, *, text: str = "", node: exp.Expression | None = None, **more: str) -> SqlRejected:
    """The refusal, with the place of `node` in `text` where it is known."""
    facts = place_of(text, node) if node is not None else {}
    return SqlRejected(message, hint=more.pop("hint", ""), **facts, **more)


def place_of(text: str, node: exp.Expression) -> dict[str, int]:
    """`{line, column}`, both from 1, of the first word of `node` that the parser marked; else nothing."""
    starts = [part.meta["start"] for part in node.walk() if part.meta.get("start") is not None]
    return place_at(text, min(starts)) if starts else {}


def place_at(text: str, offset: int) -> dict[str, int]:
    before = text[:offset]
    return {"line": before.count("\n") + 1, "column": offset - before.rfind("\n")}


def near(name: str, known: Iterable[str]) -> str:
    """“Did you mean …?” with up to three look-alikes, else the names there are."""
    known = sorted(set(known))
    by_lower = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(by_lower[each] for each in close)}?"
    shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return f"There are: {shown}." if known else "There are none."


def parse(text: str, aliases: Collection[str]) -> exp.Expression:
    """The checked tree of one SELECT over `aliases`.

    Raises `SqlRejected` for everything else: other statements, files, table
    functions, functions that are not on the list, recursive CTEs, too much.
    """
    tree = _single_query(text)
    _check_nodes(tree, text)
    _check_tables(tree, text, aliases)
    return tree


def _single_query(text: str) -> exp.Expression:
    if len(text) > grammar.MAX_CHARACTERS:
        raise rejected(f"The query has more than {grammar.MAX_CHARACTERS:,} characters.", hint="Split it into jobs.")
    if "\x00" in text or text.count("(") > grammar.MAX_PARENTHESES:
        raise rejected("The query holds a NUL character or is nested too deeply.")
    statements = [each for each in _statements(text) if each is not None and not isinstance(each, exp.Semicolon)]
    if len(statements) != 1:
        raise _not_one(statements, text)
    query = statements[0]
    while isinstance(query, exp.Subquery) and {part for part, value in query.args.items() if value} == {"this"}:
        query = query.this
    if not isinstance(query, exp.Select | exp.SetOperation):
        raise rejected(
            f"Only SELECT is run, not {query.key.upper()}.",
            hint="Write one SELECT, with no parentheses around it; what it returns becomes the dataset.",
            **place_at(text, sqlglot.tokenize(text, read="duckdb")[0].start),
        )
    return query.pop() if query.parent else query


def _not_one(statements: list[exp.Expression], text: str) -> SqlRejected:
    hint = "Write one SELECT. Use WITH for steps in between."
    if not statements:
        return SqlRejected("The query is empty.", hint=hint, line=1, column=1)
    tokens = sqlglot.tokenize(text, read="duckdb")
    semicolon = TokenType.SEMICOLON
    begun = (after for end, after in pairwise(tokens) if end.token_type == semicolon != after.token_type)
    second = next(begun, tokens[-1])
    message = f"A job runs one SELECT; this text has {len(statements)} statements."
    return SqlRejected(message, hint=hint, **place_at(text, second.start))


def _statements(text: str) -> list[exp.Expression | None]:
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
        for token in tokens:
            # DuckDB's `~` matches the whole text, sqlglot reads it as a search: ask for the clear word.
            if token.token_type == TokenType.RLIKE and token.text == "~":
                raise SqlRejected(
                    "`~` means different things in different engines.",
                    hint="Write regexp_matches(text, pattern).",
                    **place_at(text, token.start),
                )
        return sqlglot.parse(_with_dollars(text, tokens), read="duckdb", error_level=sqlglot.ErrorLevel.IMMEDIATE)
    except ParseError as error:
        raise _parse_error(error) from None
    except (SqlglotError, ValueError) as error:
        raise rejected(f"This is not SQL: {str(error).splitlines()[0][:200]}") from None
    except RecursionError:
        raise rejected("The query is nested too deeply.", hint="Split it with WITH.") from None


def _with_dollars(text: str, tokens: list[Token]) -> str:
    """`:start_date` as `$start_date`: after SELECT the colon would be read as DuckDB's `alias: value`."""
    characters = list(text)
    for colon, name in pairwise(tokens):
        adjacent = colon.token_type == TokenType.COLON and colon.end + 1 == name.start
        if adjacent and name.text.lower() in grammar.PARAMETERS:
            characters[colon.start] = "$"
            characters[name.start : name.end + 1] = name.text.lower()
    return "".join(characters)


def _parse_error(error: ParseError) -> SqlRejected:
    first = error.errors[0] if error.errors else {}
    word = first.get("highlight") or ""
    facts = {}
    if first.get("line"):
        # sqlglot gives the column of the last character of the word.
        facts = {"line": first["line"], "column": max(1, first["col"] - max(len(word), 1) + 1)}
    near_word = f" near “{word}”" if word else ""
    description = first.get("description") or str(error).splitlines()[0]
    # Behind it sqlglot shows its own token, which says nothing to a person.
    description = description.partition(" but got <Token")[0][:200].rstrip(".")
    hint = "Check the syntax. A name that is also a word of SQL needs double quotes."
    return SqlRejected(f"The SQL cannot be read{near_word}: {description}.", hint=hint, **facts)


def _check_nodes(tree: exp.Expression, text: str) -> None:
    joins = 0
    for count, node in enumerate(tree.walk()):
        if count > grammar.MAX_NODES or node.depth > grammar.MAX_DEPTH:
            raise rejected("The query is too large or nested too deeply.", hint="Split it into jobs.")
        node.comments = None
        joins += isinstance(node, exp.Join)
        _check_class(node, text)
        _check_parts(node, text)
    if joins > grammar.MAX_JOINS:
        raise rejected(f"The query has more than {grammar.MAX_JOINS} joins.", hint="Split it into jobs.")


def _check_class(node: exp.Expression, text: str) -> None:
    name = type(node).__name__
    if isinstance(node, exp.Anonymous):
        if str(node.this).lower() not in grammar.NAMED_FUNCTIONS:
            raise _unknown_function(str(node.this), text, node)
    elif isinstance(node, exp.Func):
        if name not in grammar.FUNCTIONS and name not in grammar.NODES:
            raise _unknown_function(node.sql_name().lower(), text, node)
    elif name not in grammar.NODES:
        raise rejected(f"{_words(name)} is not allowed here.", text=text, node=node, hint="See docs/sql.md.")
    if isinstance(node, exp.DataType) and node.this.name not in grammar.TYPES:
        raise rejected(
            f"There is no type {node.sql(dialect='duckdb')}.", text=text, node=node, hint="See docs/types.md."
        )
    if isinstance(node, exp.Literal) and not node.is_string and len(node.this) > 40:
        raise rejected("A number has more than 40 digits.", text=text, node=node)
    if isinstance(node, exp.Placeholder) and node.this not in grammar.PARAMETERS:
        known = ", ".join(f":{each}" for each in grammar.PARAMETERS)
        raise SqlRejected(
            f"There is no parameter “{node.this or '?'}”.",
            hint=f"There are {known}.",
            **_place_of_parameter(node, text),
        )


def _place_of_parameter(node: exp.Placeholder, text: str) -> dict[str, int]:
    """The parser marks no parameter, so its token is looked for: `:name`, `$name` or a bare `?`."""
    tokens = sqlglot.tokenize(text, read="duckdb")
    if not node.this:
        return next((place_at(text, token.start) for token in tokens if token.text == "?"), {})
    named = (sign for sign, name in pairwise(tokens) if sign.text in (":", "$") and name.text == node.this)
    return next((place_at(text, sign.start) for sign in named), {})


def _unknown_function(name: str, text: str, node: exp.Expression) -> SqlRejected:
    known = {each.lower() for each in grammar.FUNCTIONS} | grammar.NAMED_FUNCTIONS
    hint = grammar.HINTS.get(name) or f"{near(name, known)} docs/sql.md lists what there is."
    return rejected(f"The function {name}() is not allowed.", text=text, node=node, hint=hint)


def _words(name: str) -> str:
    return "".join(f" {c}" if c.isupper() else c for c in name).strip().upper()


def _check_parts(node: exp.Expression, text: str) -> None:
    allowed = grammar.PARTS.get(type(node).__name__)
    used = {part for part, value in node.args.items() if value}
    if allowed is not None and (extra := used - allowed):
        what = _words(extra.pop().strip("_").title())
        raise rejected(f"{what} is not allowed in {_words(type(node).__name__)}.", text=text, node=node)
    if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
        raise rejected(
            "Table functions are not allowed: a query reads its inputs only.",
            text=text,
            node=node,
            hint="Name the dataset as an input of the job.",
        )
    if isinstance(node, exp.Replace | exp.RegexpReplace) and _growth(node) > grammar.MAX_GROWTH:
        raise rejected(
            f"This could make a text more than {grammar.MAX_GROWTH} times as long.",
            text=text,
            node=node,
            hint="Replace by a shorter text.",
        )
    if isinstance(node, exp.CTE):
        # An engine's own hint; Polars does not know it, and it changes no row.
        node.set("materialized", None)
    if isinstance(node, exp.Join) and node.args.get("method") not in (None, "", "ASOF"):
        raise rejected(f"A {node.args['method']} join is not allowed.", text=text, node=node, hint="Write ON or USING.")


def _growth(node: exp.Expression) -> float:
    """How many times as long replacements make a text: no engine keeps to its memory while it makes one."""
    inner = max((_growth(each) for each in _replaced_in(node)), default=1.0)
    search, put = node.expression, node.args.get("replacement")
    shortest = len(search.name) if isinstance(node, exp.Replace) and isinstance(search, exp.Literal) else 1
    longest = len(put.name) if isinstance(put, exp.Literal) else shortest * UNKNOWN_GROWTH if put else 0
    return inner * max(1.0, longest / max(1, shortest))


def _replaced_in(node: exp.Expression) -> Iterable[exp.Expression]:
    """The nearest replacements inside one."""
    for part in node.iter_expressions():
        yield from [part] if isinstance(part, exp.Replace | exp.RegexpReplace) else _replaced_in(part)


def _check_tables(tree: exp.Expression, text: str, aliases: Collection[str]) -> None:
    """Every table is an input, or a CTE that is in scope where it is named."""
    known = {alias.lower() for alias in aliases}
    for cte in tree.find_all(exp.CTE):
        if cte.alias.lower() in known:
            raise rejected(f"“{cte.alias}” is an input; a CTE needs another name.", text=text, node=cte.args["alias"])
        if not isinstance(cte.this, QUERY):
            raise rejected(f"The CTE “{cte.alias}” is not a SELECT.", text=text, node=cte)
    seen: set[int] = set()
    for scope in scopes_of(tree):
        for table in scope.tables:
            seen.add(id(table))
            if not isinstance(scope.sources.get(table.alias_or_name), Scope) and table.name.lower() not in known:
                raise _unknown_table(table, text, aliases)
    # Belt and braces: a table that no scope holds was not looked at.
    for table in tree.find_all(exp.Table):
        if id(table) not in seen:
            raise rejected(f"“{table.name}” is in a place where no table belongs.", text=text, node=table)


def _unknown_table(table: exp.Table, text: str, aliases: Collection[str]) -> SqlRejected:
    return rejected(f"There is no input “{table.name}”.", text=text, node=table, hint=near(table.name, aliases))


def scopes_of(tree: exp.Expression) -> list[Scope]:
    """The query's scopes, inner ones first. Raises `SqlRejected` where the parts do not fit together."""
    try:
        return traverse_scope(tree)
    except SqlglotError as error:
        raise rejected(f"The query's parts do not fit together: {str(error).splitlines()[0]}") from None
