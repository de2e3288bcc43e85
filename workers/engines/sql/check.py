"""From the text that a person wrote to the statement that an engine runs.

parse → allow-list → names → types → rewritten for the engine → dry run on
empty tables → compared with the target schema.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from sqlglot import exp, parse_one

from workers.engines.statement import ALL_DATES, CheckedSql, Parameters
from workers.errors import InvalidSpec, SqlRejected
from workers.specs import Column

from . import rewrite
from .dialects import AssayDuckDB
from .dry_run import duckdb_columns, polars_accepts
from .guard import near, parse, place_at, place_of
from .polars import PolarsSQL, for_polars
from .resolve import Resolved, resolve
from .spark import SparkSQL, for_spark
from .types import cast_problem

DIALECTS = {"duckdb": AssayDuckDB, "polars": PolarsSQL, "spark": SparkSQL}


def check_sql(
    sql: str,
    inputs: Mapping[str, tuple[Column, ...]],
    engine: str,
    target_columns: tuple[Column, ...] | None = None,
    parameters: Parameters = ALL_DATES,
    *,
    leave_out_extra: bool = False,
) -> CheckedSql:
    """Check one SELECT over `inputs` (columns by alias) for `engine` and, if given, against the target's columns.

    `leave_out_extra` is for a run: a column that `SELECT *` gained since the
    job was saved is left out, and named in the result. Raises `SqlRejected`,
    with `line` and `column` where they are known.
    """
    if not _ABOUT_THE_RUN.search(sql):
        parameters = ALL_DATES
    return _checked(sql, tuple(inputs.items()), engine, target_columns, parameters, leave_out_extra)


# What a text may hold whose statement differs from run to run: better too many than one too few.
_ABOUT_THE_RUN = re.compile("start_date|end_date|run_time|now|current|today|local|sysdate|getdate|utc", re.IGNORECASE)


@lru_cache(maxsize=256)  # a worker runs the same queries again and again, and the answer hangs on nothing else
def _checked(
    sql: str,
    known: tuple[tuple[str, tuple[Column, ...]], ...],
    engine: str,
    target_columns: tuple[Column, ...] | None,
    parameters: Parameters,
    leave_out_extra: bool,
) -> CheckedSql:
    inputs = dict(known)
    if engine not in DIALECTS:
        raise InvalidSpec(f"There is no engine “{engine}”.", hint=f"Use {', '.join(sorted(DIALECTS))}.")
    tree = parse(sql, inputs)
    canonical = canonical_text(tree)
    parameters_used = tuple(sorted({node.this for node in tree.find_all(exp.Placeholder)}))
    resolved = resolve(tree, sql, inputs)
    canonical_statement = executable(tree, inputs, "duckdb", parameters)
    query_columns = duckdb_columns(canonical_statement, inputs, sql)
    statement = executable(tree, inputs, engine, parameters, sql) if engine != "duckdb" else canonical_statement
    if engine == "polars":
        polars_accepts(statement, inputs, sql, harmless=_is_harmless(tree))
    left_out = _fit(query_columns, target_columns, resolved, sql, leave_out_extra) if target_columns else ()
    return CheckedSql(
        sql=canonical,
        engine=engine,
        statement=statement,
        columns=target_columns or query_columns,
        query_columns=query_columns,
        inputs_used=resolved.inputs_used,
        column_lineage={output.name: output.origins for output in resolved.outputs},
        parameters_used=parameters_used,
        columns_read=resolved.columns_read,
        keeps_rows=_keeps_rows(tree),
        left_out=left_out,
    )


def canonical_text(tree: exp.Expression, *, pretty: bool = False) -> str:
    """The tree in the canonical dialect. Parameters are written `:name`, as people write them."""
    text = tree.sql(dialect=AssayDuckDB, comments=False, pretty=pretty)
    return re.sub(r"\$(start_date|end_date|run_time)\b", r":\1", text)


def laid_out(sql: str) -> str:
    """Canonical text with line breaks and indents, for reading; it says the same."""
    return canonical_text(parse_one(sql, read="duckdb"), pretty=True)


def executable(
    tree: exp.Expression, inputs: Mapping[str, tuple[Column, ...]], engine: str, parameters: Parameters, text: str = ""
) -> str:
    """The resolved tree in the engine's dialect, with the parameters' values. `text` is what a person wrote."""
    rewrite.expand_aliases(tree)
    tree = tree.copy()
    rewrite.bind(tree, parameters.start_date, parameters.end_date, parameters.run_time)
    tree = rewrite.annotate(tree, inputs)
    rewrite.widen_arithmetic(tree)
    if engine == "duckdb":
        rewrite.for_duckdb(tree)
    elif engine == "polars":
        tree = for_polars(tree, text)
    elif engine == "spark":
        tree = for_spark(tree, text)
    return tree.sql(dialect=DIALECTS[engine], comments=False)


def _is_harmless(tree: exp.Expression) -> bool:
    """Whether the query makes nothing out of empty tables: it glues no texts together and multiplies no rows."""
    grows = (exp.Replace, exp.RegexpReplace, exp.Concat, exp.ConcatWs, exp.DPipe, exp.GroupConcat, exp.Values)
    if tree.find(*grows):
        return False
    return not (tree.find(exp.Join) and tree.find(exp.SetOperation))


def _keeps_rows(tree: exp.Expression) -> bool:
    """Whether an engine must keep rows to answer: what filters, calculates, adds up and glues together need not."""
    kept = (exp.Join, exp.Order, exp.Window, exp.Distinct, exp.Group, exp.Exists, exp.Intersect, exp.Except)
    if tree.find(*kept) or any(union.args.get("distinct") for union in tree.find_all(exp.Union)):
        return True
    return any(each.args.get("query") for each in tree.find_all(exp.In))


def _fit(
    found: tuple[Column, ...],
    target: tuple[Column, ...],
    resolved: Resolved,
    text: str,
    leave_out_extra: bool,
) -> tuple[str, ...]:
    """Compare the query's columns with the target's; the names of those that the target lacks and that may go."""
    types = {column.name.lower(): column.type for column in found}
    wanted = {column.name.lower(): column for column in target}
    missing = [column.name for column in target if column.name.lower() not in types]
    extra = [column.name for column in found if column.name.lower() not in wanted]
    nulls = {output.name.lower() for output in resolved.outputs if isinstance(output.node.unalias(), exp.Null)}
    problems = {
        column.name: hint
        for name, column in wanted.items()
        # DuckDB calls a bare NULL an integer; it fits everything.
        if name in types and name not in nulls and (hint := cast_problem(types[name], column.type))
    }
    if not (missing or problems or (extra and not leave_out_extra)):
        return tuple(extra)
    raise _misfit(found, wanted, missing, [] if leave_out_extra else extra, problems, resolved, text)


def _misfit(
    found: tuple[Column, ...],
    wanted: Mapping[str, Column],
    missing: list[str],
    extra: list[str],
    problems: Mapping[str, str],
    resolved: Resolved,
    text: str,
) -> SqlRejected:
    sentences, hints = [], []
    if missing:
        sentences.append(f"The query does not return {', '.join(missing)}, which the target schema has.")
        hints += [near(name, (column.name for column in found)) for name in missing[:3]]
    if extra:
        sentences.append(f"The query returns {', '.join(extra)}, which the target schema lacks.")
        hints.append("Add it to the target schema or take it out of the query.")
    types = {column.name.lower(): column.type for column in found}
    mismatched = [
        {"column": name, "query": types[name.lower()], "target": wanted[name.lower()].type} for name in problems
    ]
    for each in mismatched:
        sentences.append(f"{each['column']} is {each['query']} in the query and {each['target']} in the target schema.")
        hints.append(f"{each['column']}: {problems[each['column']]}")
    first = next(iter([*extra, *problems]), "").lower()
    node = next((output.node for output in resolved.outputs if output.name.lower() == first), None)
    facts = place_of(text, node) if node is not None else place_at(text, 0)
    return SqlRejected(
        " ".join(sentences), hint=" ".join(hints), missing=missing, extra=extra, types=mismatched, **facts
    )
