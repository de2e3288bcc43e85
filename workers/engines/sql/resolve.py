"""Names: which input column each name means, and which of them every output comes from.

The tree is changed in one way: `*` becomes the columns it stands for, so that
the query means the same when an input gains a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.optimizer.scope import Scope, ScopeType

from workers.errors import SqlRejected
from workers.specs import Column

from .guard import near, rejected, scopes_of
from .joins import unmatched_joins, using_columns

Origins = tuple[tuple[str, str], ...]  # (alias, column) pairs, each once, in order


@dataclass(slots=True)
class Output:
    """One column of a SELECT or of an input."""

    name: str
    origins: Origins
    node: exp.Expression | None = None


@dataclass(slots=True)
class Source:
    """Something in FROM: an input, a CTE or a subquery, under the name it has there."""

    name: str
    columns: list[Output]
    hidden: bool = False  # the right side of a semi or anti join: its columns are not returned

    def find(self, name: str) -> Output | None:
        return next((each for each in self.columns if each.name.lower() == name.lower()), None)


Sources = dict[str, Source]  # by name in lower case


@dataclass(slots=True)
class Resolved:
    outputs: list[Output]
    inputs_used: tuple[str, ...]
    columns_read: dict[str, tuple[str, ...]]  # of each input, wherever in the query they are named


def resolve(tree: exp.Expression, text: str, inputs: Mapping[str, tuple[Column, ...]]) -> Resolved:
    """Check every name in the tree and expand its stars. Raises `SqlRejected` naming what is unknown."""
    return _Resolver(text, inputs).run(tree)


def merge(*origins: Origins) -> Origins:
    return tuple(dict.fromkeys(pair for each in origins for pair in each))


@dataclass(slots=True)
class _Resolver:
    text: str
    inputs: Mapping[str, tuple[Column, ...]]
    outputs: dict[int, list[Output]] = field(default_factory=dict)  # of each query, by id of its node
    used: dict[str, None] = field(default_factory=dict)
    read: dict[tuple[str, str], None] = field(default_factory=dict)  # (alias, column)
    unmatched: int = 0  # joins in which each row meets all rows of the other side
    unmatched_at: exp.Expression | None = None

    def run(self, tree: exp.Expression) -> Resolved:
        for scope in scopes_of(tree):
            self.outputs[id(scope.expression)] = self._outputs_of(scope)
        outputs = self.outputs[id(tree)]
        self._check_names(outputs)
        if self.unmatched > 1:
            raise self._no(
                "More than one table is joined without a condition that matches its rows to another's.",
                self.unmatched_at,
                "Write ON a.key = b.key for each join; one join without is allowed.",
            )
        read = {alias: tuple(name for of, name in self.read if of == alias) for alias in self.used}
        return Resolved(outputs, tuple(self.used), read)

    def _check_names(self, outputs: list[Output]) -> None:
        """What the dataset's columns are called: each once, and each named."""
        seen: set[str] = set()
        for output in outputs:
            if not output.name:
                raise self._no(f"The column {output.node.sql(dialect='duckdb')[:80]} has no name.", output.node,
                               "Write … AS name.")  # fmt: skip
            if output.name.lower() in seen:
                raise self._no(f"Two columns are called “{output.name}”.", output.node, "Give one another name: AS ….")
            seen.add(output.name.lower())

    def _no(self, message: str, node: exp.Expression | None, hint: str = "") -> SqlRejected:
        return rejected(message, text=self.text, node=node, hint=hint)

    # --- one query ---------------------------------------------------------------

    def _outputs_of(self, scope: Scope) -> list[Output]:
        query = scope.expression
        if isinstance(query, exp.Select):
            return self._select(scope, query)
        if isinstance(query, exp.SetOperation):
            return self._set_operation(query)
        if isinstance(query, exp.Values):
            return self._values(query)
        if isinstance(query, exp.Subquery):
            return self.outputs.get(id(query.unnest()), [])
        raise self._no(f"{query.key.upper()} is not allowed here.", query)

    def _set_operation(self, query: exp.SetOperation) -> list[Output]:
        left, right = (self.outputs[id(side.unnest())] for side in (query.left, query.right))
        if len(left) != len(right):
            raise self._no(
                f"The parts of {query.key.upper()} have {len(left)} and {len(right)} columns.", query.right,
                "Both must return the same columns, in the same order.",
            )  # fmt: skip
        return [Output(a.name, merge(a.origins, b.origins), a.node) for a, b in zip(left, right, strict=True)]

    def _values(self, query: exp.Values) -> list[Output]:
        width = len(query.expressions[0].expressions) if query.expressions else 0
        return [Output(f"col{number}", ()) for number in range(width)]

    def _select(self, scope: Scope, query: exp.Select) -> list[Output]:
        sources = self._sources(scope)
        self._expand_stars(query, sources)
        found: dict[int, Origins] = {}
        for column in list(scope.find_all(exp.Column)):
            found[id(column)] = self._origins(column, scope, sources)
            self.read |= dict.fromkeys(found[id(column)])
        loose = unmatched_joins(scope, list(sources))
        if loose:
            self.unmatched += loose
            self.unmatched_at = (query.args.get("joins") or [query])[-1]
        return [
            Output(_name_of(projection), self._lineage(projection, found), projection)
            for projection in query.expressions
        ]

    def _lineage(self, projection: exp.Expression, found: dict[int, Origins]) -> Origins:
        own = [found.get(id(column), ()) for column in projection.find_all(exp.Column)]
        inner = [
            merge(*(output.origins for output in self.outputs.get(id(query), [])))
            for query in projection.find_all(exp.Select)
        ]
        return merge(*own, *inner)

    def _sources(self, scope: Scope) -> Sources:
        found = dict(scope.selected_sources)
        hidden: set[str] = set()
        for join in scope.expression.args.get("joins") or ():
            # sqlglot leaves the right side of a semi join out: nothing of it is returned.
            if {(join.side or "").upper(), (join.kind or "").upper()} & {"SEMI", "ANTI"}:
                name = join.this.alias_or_name
                hidden.add(name)
                found.setdefault(name, (join.this, scope.sources.get(name, join.this)))
        return {
            name.lower(): Source(name, self._columns_of(node, source), name in hidden)
            for name, (node, source) in found.items()
        }

    def _columns_of(self, node: exp.Expression, source: exp.Expression | Scope) -> list[Output]:
        if isinstance(source, Scope):
            outputs = self.outputs[id(source.expression)]
            cte = source.expression.parent
            if isinstance(node, exp.Table) and isinstance(cte, exp.CTE):
                if not node.alias:
                    node.set("alias", exp.TableAlias(this=exp.to_identifier(node.name, quoted=True)))
                _respell(node, cte.alias)
            names = _given_names(node, source)
            return [
                Output(names[place] if place < len(names) else each.name, each.origins)
                for place, each in enumerate(outputs)
            ]
        alias = next(each for each in self.inputs if each.lower() == source.name.lower())
        if not source.alias:
            source.set("alias", exp.TableAlias(this=exp.to_identifier(source.name, quoted=True)))
        _respell(source, alias)
        self.used[alias] = None
        return [Output(column.name, ((alias, column.name),)) for column in self.inputs[alias]]

    # --- one name ------------------------------------------------------------------

    def _origins(self, column: exp.Column, scope: Scope, sources: Sources) -> Origins:
        here: Scope | None = scope
        while here is not None:
            found = self._find(column, here, sources if here is scope else self._sources(here))
            if found is not None:
                return found
            # A subquery in an expression sees the columns around it; one in FROM does not.
            looks_out = here.scope_type in (ScopeType.SUBQUERY, ScopeType.SET_OPERATION)
            here = here.parent if looks_out else None
        raise self._unknown(column, sources)

    def _find(self, column: exp.Column, scope: Scope, sources: Sources) -> Origins | None:
        parts = [part.name for part in column.parts]
        source = sources.get(parts[0].lower()) if len(parts) > 1 else None
        if source is None:
            return self._find_unqualified(column, parts[0], scope, sources)
        match = source.find(parts[1])
        if match is None:
            known = (each.name for each in source.columns)
            raise self._no(f"“{parts[0]}” has no column “{parts[1]}”.", column.parts[1], near(parts[1], known))
        _respell_part(column, 0, source.name)
        _respell_part(column, 1, match.name)
        column.meta["source"] = source.name
        return match.origins

    def _find_unqualified(self, column: exp.Column, name: str, scope: Scope, sources: Sources) -> Origins | None:
        in_join = column.find_ancestor(exp.Join, exp.Query)
        matches = {
            source.name: match
            for source in sources.values()
            if (not source.hidden or isinstance(in_join, exp.Join)) and (match := source.find(name))
        }
        alias = None if len(matches) == 1 else self._alias(name, column, scope)
        if len(matches) > 1 and name.lower() not in using_columns(scope.expression) and alias is None:
            places = " and ".join(f"{source}.{name}" for source in matches)
            raise self._no(f"“{name}” is ambiguous: there are {places}.", column, "Write which one you mean.")
        if not matches:
            return alias
        source, match = next(iter(matches.items()))
        _respell_part(column, 0, match.name)
        if len(column.parts) == 1:
            # Of a column that USING merges, one of the sides that give it, and its type.
            column.meta["source" if len(matches) == 1 else "one_of_sources"] = source
        return merge(*(each.origins for each in matches.values()))

    def _alias(self, name: str, column: exp.Column, scope: Scope) -> Origins | None:
        """What a name means that the SELECT list itself gives, as in ORDER BY total."""
        for projection in getattr(scope.expression, "expressions", ()):
            inside = column is projection or any(column is each for each in projection.find_all(exp.Column))
            if isinstance(projection, exp.Alias) and projection.alias.lower() == name.lower() and not inside:
                _respell_part(column, 0, projection.alias)
                column.meta["alias_of"] = projection
                sources = self._sources(scope)
                return merge(
                    *(self._origins(each, scope, sources) for each in projection.this.find_all(exp.Column)
                      if each.find_ancestor(exp.Query) is scope.expression)
                )  # fmt: skip
        return None

    def _unknown(self, column: exp.Column, sources: Sources) -> SqlRejected:
        parts = [part.name for part in column.parts]
        known = {each.name for source in sources.values() for each in source.columns}
        if len(parts) == 1:
            return self._no(f"There is no column “{parts[0]}”.", column, near(parts[0], known))
        return self._no(
            f"There is no “{'.'.join(parts)}”: “{parts[0]}” is neither an input nor a column here.",
            column,
            near(parts[0], {source.name for source in sources.values()} | known),
        )

    # --- stars ---------------------------------------------------------------------

    def _expand_stars(self, query: exp.Select, sources: Sources) -> None:
        if isinstance(query.parent, exp.Exists) and query.is_star and not query.args.get("distinct"):
            # Whether there is a row is all that is asked: no column need be read for it.
            query.set("expressions", [exp.alias_(exp.Literal.number(1), "one", quoted=True)])
            return
        expanded: list[exp.Expression] = []
        for projection in query.expressions:
            star = projection.this if isinstance(projection, exp.Column) else projection
            if not isinstance(star, exp.Star):
                expanded.append(projection)
                continue
            table = projection.table if isinstance(projection, exp.Column) else ""
            if table and table.lower() not in sources:
                known = (source.name for source in sources.values())
                raise self._no(f"There is no input “{table}” here.", projection, near(table, known))
            wanted = [sources[table.lower()]] if table else [each for each in sources.values() if not each.hidden]
            expanded += self._star(star, wanted, set() if table else using_columns(query))
        query.set("expressions", expanded)

    def _star(self, star: exp.Star, wanted: list[Source], shared: set[str]) -> list[exp.Expression]:
        """The star's columns; one that a USING joins (`shared`) comes once, as the join has it."""
        left_out = {each.name.lower() for each in star.args.get("except_") or ()}
        instead = {each.alias.lower(): each for each in star.args.get("replace") or ()}
        known = [each.name for source in wanted for each in source.columns]
        if unknown := sorted((left_out | set(instead)) - {name.lower() for name in known}):
            raise self._no(f"The star has no column “{unknown[0]}”.", star, near(unknown[0], known))
        columns: list[exp.Expression] = []
        done: set[str] = set()
        for source, output in ((each, output) for each in wanted for output in each.columns):
            name = output.name.lower()
            if name in left_out or (name in shared and name in done):
                continue
            done.add(name)
            column = instead[name].copy() if name in instead else _column(output.name, source.name, name in shared)
            column.meta.setdefault("start", _start_of(star))
            columns.append(column)
        return columns


def _name_of(projection: exp.Expression) -> str:
    """What the column is called. Engines name a bare expression each in their own way: it has none."""
    return projection.alias_or_name if isinstance(projection, exp.Alias | exp.Column | exp.Dot) else ""


def _start_of(star: exp.Star) -> int | None:
    return next((part.meta["start"] for part in star.walk() if "start" in part.meta), None)


def _column(name: str, source: str, shared: bool) -> exp.Column:
    table = None if shared else exp.to_identifier(source, quoted=True)
    return exp.Column(this=exp.to_identifier(name, quoted=True), table=table)


def _respell(table: exp.Table, name: str) -> None:
    table.set("this", exp.to_identifier(name, quoted=True))


def _respell_part(column: exp.Column, place: int, name: str) -> None:
    """Write a name as its owner spells it: Polars tells upper from lower case, DuckDB does not."""
    part = column.parts[place]
    part.set("this", name)
    part.set("quoted", True)


def _given_names(node: exp.Expression, source: Scope) -> list[str]:
    """The names in `AS v(a, b)`, at the place of use or at the CTE."""
    for holder in (node, source.expression, source.expression.parent):
        alias = holder.args.get("alias") if holder is not None else None
        if isinstance(alias, exp.TableAlias) and alias.columns:
            return [each.name for each in alias.columns]
    return []
