"""Child tables: lists of a job's records as tables of their own, published right before the table they belong to.

While a run reads, the good rows' keys and lists are set aside in a file. Once
it is settled which of these rows the table takes, those rows' lists are
taken apart and each child table is published, and then the table itself. A run
that dies in between publishes nothing twice: each table knows its runs. Where
nobody goes on with it, the next run removes its child rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl

from workers.errors import MissingColumns, SchemaChanged
from workers.lake.evolve import is_exact_in_float64, storage_type
from workers.lake.lattice import converted, join
from workers.lake.publish import Change, ChangeOf, publish
from workers.lake.rewrite import rewrite, rows_of
from workers.lake.stage import Staging
from workers.lake.state import runs_missing_in
from workers.lake.table import Table, table_exists
from workers.nested import INDEX, VALUE, child_paths, child_target, column_of, index_name, line_of, path_of
from workers.readers.casts import ColumnPlan
from workers.readers.names import unique_names
from workers.results import Child, Published
from workers.schema import parse_type, type_name
from workers.specs import Column, IngestSpec

from .incremental import POSITION, Cursor, is_window
from .rows import key_names, partition_of

_RUN = "_run_id"
_WHENCE = {"_ingested_at": "timestamptz", _RUN: "string", "_source_file": "string"}
_ITEM = "__item"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A column of a child table, and where it is in an item: nowhere for what the item itself is."""

    name: str
    path: tuple[str, ...]
    type: str


class ChildTables:
    """The child tables of a run; false when it has none."""

    def __init__(self, spec: IngestSpec, cursor: Cursor | None, plans: Sequence[ColumnPlan]) -> None:
        """Raises `MissingColumns` without the keys, and `SchemaChanged` where a list is no list of one kind."""
        self.spec, self.paths, self.cursor = spec, child_paths(spec.nested), cursor
        spelled = {plan.name.lower(): plan.name for plan in plans}
        tops = [path for path in self.paths if line_of(path, self.paths) == [path]]
        names = {path: spec.renames.get(column_of(path), column_of(path)) for path in tops}
        self._columns = {path: spelled.get(name.lower(), name) for path, name in names.items()}
        self.keys, self._planned = key_names(spec, plans), {plan.name: parse_type(plan.type) for plan in plans}
        if self:
            self._check(plans)

    def __bool__(self) -> bool:
        return bool(self.paths)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that leave the rows for child tables."""
        return tuple(self._columns.values())

    def left(self, columns: Iterable[Any]) -> tuple[Any, ...]:
        """Those of the columns, or plans of columns, that stay in the table."""
        return tuple(column for column in columns if column.name not in self.columns)

    def _check(self, plans: Sequence[ColumnPlan]) -> None:
        if len(self.keys) < len(self.spec.key_columns):
            missing = [key for key in self.spec.key_columns if key.lower() not in {name.lower() for name in self.keys}]
            raise MissingColumns(
                f"The source has no column {', '.join(missing)}, by which child rows find their parent.",
                hint="Correct key_columns.",
                missing=missing,
                present=[plan.name for plan in plans],
            )
        odd = [plan for plan in plans if plan.name in self.columns and not isinstance(parse_type(plan.type), pl.List)]
        if odd:
            raise SchemaChanged(
                f"{odd[0].name} cannot become a child table: the items of its lists are of different kinds, "
                f"so they fit no columns, only {odd[0].type}.",
                hint="Set keep_as of this path to json, and take it apart in a Silver job.",
                column=odd[0].name,
            )

    def planned(self) -> list[dict[str, Any]]:
        """What the child tables would be, by the plans alone: `{dataset, path, columns}` each."""
        told = []
        for path in self.paths:
            if fields := self.fields(path, self._planned):
                columns = [asdict(column) for column in self._columns_of(path, fields, self._planned, None)]
                dataset = child_target(self.spec.target, path).dataset
                told.append({"dataset": dataset, "path": path, "columns": columns})
        return told

    def set_aside(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """What of the good rows is needed to make the child tables."""
        held = rows.collect_schema().names()
        wanted = dict.fromkeys((*self.link, *_WHENCE, POSITION, *self.columns))
        return rows.select(name for name in wanted if name in held)

    @property
    def link(self) -> tuple[str, ...]:
        """The columns that tell one row of a run from another."""
        return tuple(dict.fromkeys((*self.keys, *((self.cursor.name,) if self.cursor else ()))))

    def fields(self, path: str, schema: Mapping[str, pl.DataType]) -> tuple[_Field, ...]:
        """The columns that an item of the list at this path has; none when the list was never seen."""
        line = line_of(path, self.paths)
        dtype = schema.get(self._columns[line[0]])
        for above, below in pairwise(line):
            dtype = dtype and _at(dtype.inner, path_of(below)[len(path_of(above)) :])
        if not isinstance(dtype, pl.List):
            return ()
        own = self._inside(dtype.inner, path_of(path)) if isinstance(dtype.inner, pl.Struct) else [((), dtype.inner)]
        taken = (*self.keys, *map(index_name, line[:-1]), INDEX)
        names = unique_names([*taken, *("_".join(inner) or VALUE for inner, _ in own)])[len(taken) :]
        texts = {path_of(each.path) for each in self.spec.nested if each.keep_as == "json"}
        return tuple(
            _Field(name=name, path=inner, type="json" if path_of(path) + inner in texts else type_name(kind))
            for name, (inner, kind) in zip(names, own, strict=True)
        )

    def _inside(self, dtype: pl.Struct, path: tuple[str, ...], flat: bool = False) -> list[tuple[tuple[str, ...], Any]]:
        """The values in an item, by their path from it, without the lists that are child tables themselves."""
        choices = {path_of(each.path): each.keep_as for each in self.spec.nested}
        found: list[tuple[tuple[str, ...], Any]] = []
        for field in dtype.fields:
            below, kind = (*path, field.name), field.dtype
            choice = choices.get(below, "flatten" if flat else "")
            if choice == "child_table" and isinstance(kind, pl.List):
                continue
            # A struct around the list of another child table has to come apart.
            holds_another = any(path_of(other)[: len(below)] == below for other in self.paths)
            if (choice == "flatten" or holds_another) and isinstance(kind, pl.Struct) and kind.fields:
                deeper = self._inside(kind, below, flat=True)
                found += [((field.name, *inner), value) for inner, value in deeper]
            else:
                found.append(((field.name,), kind))
        return found

    def rows(self, rows: pl.LazyFrame, path: str, fields: Sequence[_Field]) -> pl.LazyFrame:
        """The items of the rows' lists at this path: the row's keys, the places, the fields, where they are from."""
        line = line_of(path, self.paths)
        frame = rows.select(*self.keys, *_WHENCE, pl.col(self._columns[line[0]]).alias(_ITEM))
        places: list[str] = []
        for above, below in zip([None, *line], line, strict=False):
            item = pl.col(_ITEM)
            for key in path_of(below)[len(path_of(above)) :] if above else ():
                item = item.struct.field(key)
            place = INDEX if below == path else index_name(below)
            frame = frame.with_columns(item.alias(_ITEM)).filter(pl.col(_ITEM).list.len() > 0)
            frame = frame.with_columns(pl.int_ranges(0, pl.col(_ITEM).list.len()).alias(place)).explode(_ITEM, place)
            places.append(place)
        return frame.select(*self.keys, *places, *(_value(field) for field in fields), *_WHENCE)

    # --- publishing -----------------------------------------------------------------

    def before(self, change: ChangeOf, aside: Path) -> ChangeOf:
        """The change of the table, which publishes the child tables once it is settled, and tells of them."""

        def with_children(table: Table | None, columns: tuple[Column, ...]) -> Change:
            settled = change(table, columns)
            taken = _Taken(self, table, columns, settled, aside)
            told = [each for path in self.paths if (each := self._publish(path, taken))]
            rows = {each["dataset"]: each["published"]["rows"] for each in told}
            facts = settled.metadata.get("facts", {}) | ({"children": rows} if rows else {})
            metadata = settled.metadata | {"children": told, "facts": facts}
            return Change(files=settled.files, kept=settled.kept, replaced=settled.replaced, metadata=metadata)

        return with_children

    def _publish(self, path: str, taken: _Taken) -> dict[str, Any] | None:
        """Publish one child table; None for one of which nothing is known yet."""
        spec, target = self.spec, child_target(self.spec.target, path)
        table = Table(target.uri) if table_exists(target.uri) else None
        fields = self.fields(path, taken.rows.collect_schema())
        if not fields and table is None:
            return None
        columns = self._columns_of(path, fields, taken.rows.collect_schema(), table)
        frame = self.rows(taken.rows, path, fields) if fields else None
        with Staging(target, spec.run_id) as staging, Staging(target, spec.run_id) as rewritten:
            if frame is not None:
                staging.sink(_as(frame, columns), partition=partition_of(spec))
            published = publish(
                target,
                run_id=spec.run_id,
                mode=_mode(spec),
                columns=columns,
                metadata={"path": path, "parent": spec.target.dataset},
                change=partial(_change, staging=staging, rewritten=rewritten, taken=taken),
            )
        held = Table(target.uri, published.version).columns
        return {
            "dataset": target.dataset,
            "path": path,
            "published": asdict(published),
            "columns": [asdict(column) for column in held],
        }

    def _columns_of(
        self, path: str, fields: Sequence[_Field], schema: Mapping[str, pl.DataType], table: Table | None
    ) -> tuple[Column, ...]:
        """The child table's columns for this run: as wide as those that it has already."""
        line = line_of(path, self.paths)
        known = {} if table is None or self.spec.write_mode == "overwrite" else _types(table)
        keys = {key: type_name(schema[key]) for key in self.keys}
        places = dict.fromkeys([*map(index_name, line[:-1]), INDEX], "int64")
        if not fields and table is not None:
            return tuple(table.columns)
        own = {field.name: _wide(field, known.get(field.name), table) for field in fields}
        whence = _WHENCE | dict.fromkeys(self.spec.target.partition_by, "date")
        return tuple(Column(name=name, type=kind) for name, kind in (keys | places | own | whence).items())


def children_of(told: Mapping[str, Any]) -> tuple[Child, ...]:
    """The child tables of a run, as its commit tells."""
    return tuple(
        Child(
            dataset=each["dataset"],
            path=each["path"],
            published=Published(**each["published"]),
            columns=tuple(Column(**column) for column in each["columns"]),
        )
        for each in told.get("children") or ()
    )


class _Taken:
    """Which of the run's rows the table takes, and which of the table's rows leave it."""

    def __init__(
        self, tables: ChildTables, table: Table | None, columns: tuple[Column, ...], change: Change, aside: Path
    ) -> None:
        self._keys, self._table, self._columns, self._change = list(tables.keys), table, columns, change
        self._cursor, self.mode = tables.cursor, _mode(tables.spec)
        self.rows = pl.scan_parquet(aside, glob=False)
        if self.mode == "merge":
            self.rows = self._newest(self.rows)
        elif self.mode == "append" and self._cursor:
            # The others were loaded before.
            link = list(tables.link)
            taken = [pl.scan_parquet(file.uri, **_options(table)).select(link) for file in change.files]
            self.rows = _semi(self.rows, taken, link)

    def _newest(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Of each key the row that the table has afterwards, unless that is the table's own, which is newer."""
        order = [self._cursor.name, POSITION] if self._cursor else [POSITION]
        places = rows.select(list(dict.fromkeys([*self._keys, *order]))).collect(engine="streaming")
        places = places.sort(order, nulls_last=False).unique(self._keys, keep="last")
        if self._cursor and self._table is not None and self._cursor.name in _types(self._table):
            now = rows_of(self._table, self._table.data_files, self._columns)
            value = pl.col(self._cursor.name)
            newest = now.group_by(self._keys).agg(value.max().alias("__now"))
            known = places.lazy().join(newest, on=self._keys, how="left")
            places = known.filter(~(value < pl.col("__now")).fill_null(False)).collect(engine="streaming")
        return rows.join(places.lazy().select(POSITION), on=POSITION, how="semi")

    def leaving(self, children: Table) -> tuple[list[str], pl.LazyFrame] | None:
        """By which columns child rows leave their table, and the values of those that do."""
        gone = self._gone()
        if self.mode in ("append", "replace_window"):
            left = [*self._orphans(children), *([] if gone is None else [gone])]
            return ([*self._keys, _RUN], pl.concat(left).unique()) if left else None
        if self.mode != "merge":
            return None
        merged = [self.rows.select(self._keys), *([] if gone is None else [gone.select(self._keys)])]
        return self._keys, pl.concat(merged).unique()

    def _orphans(self, children: Table) -> list[pl.LazyFrame]:
        """Key and run of child rows whose run never published the rows that they belong to, or was rolled back."""
        if not (runs := runs_missing_in(self._table, children)):
            return []
        rows = rows_of(children, children.data_files, children.columns).select([*self._keys, _RUN])
        return [rows.filter(pl.col(_RUN).is_in(runs))]

    def _gone(self) -> pl.LazyFrame | None:
        """Key and run of the table's rows that the change removes or replaces."""
        if self._table is None or not self._change.replaced:
            return None
        names = [*self._keys, _RUN]
        before = rows_of(self._table, self._change.replaced, self._columns).select(names)
        after = [pl.scan_parquet(file.uri, **_options(self._table)).select(names) for file in self._change.kept]
        return before.join(pl.concat(after), on=names, how="anti", nulls_equal=True) if after else before


def _change(
    table: Table | None, columns: tuple[Column, ...], *, staging: Staging, rewritten: Staging, taken: _Taken
) -> Change:
    """The new child rows, and what is left of the files that hold rows of parents that were replaced or removed."""
    rewritten.discard()
    leaving = taken.leaving(table) if table is not None and table.rows else None
    if leaving is None:
        return Change(files=staging.files)
    keys, gone = leaving
    gone = gone.collect(engine="streaming")
    touched = [
        file
        for file in table.data_files
        if all(file.may_hold(key, gone[key].min(), gone[key].max()) for key in keys)
        and rows_of(table, [file], columns).join(gone.lazy(), on=keys, how="semi").head(1).collect().height
    ]
    change = rewrite(table, touched, columns, rewritten, lambda rows: rows.join(gone.lazy(), on=keys, how="anti"))
    return Change(files=staging.files, kept=change.kept, replaced=change.replaced)


def _mode(spec: IngestSpec) -> str:
    return "replace_window" if is_window(spec) and spec.write_mode == "append" else spec.write_mode


def _semi(rows: pl.LazyFrame, taken: Sequence[pl.LazyFrame], link: list[str]) -> pl.LazyFrame:
    if not taken:
        return rows.clear()
    return rows.join(pl.concat(taken).unique(), on=link, how="semi", nulls_equal=True)


def _options(table: Table | None) -> dict[str, Any]:
    options = table.storage_options if table else {}
    return {"glob": False, "hive_partitioning": False, "storage_options": options or None}


def _types(table: Table) -> dict[str, str]:
    return {column.name: column.type for column in table.columns}


def _wide(field: _Field, known: str | None, table: Table | None) -> str:
    """The type that takes both the values found and those that the table has; else what was found, for a refusal."""
    if known is None or table is None:
        return field.type
    if (known, field.type) == ("int64", "float64") and is_exact_in_float64(table.delta, field.name):
        return "float64"
    return join(known, type_name(_read_as(parse_type(known), parse_type(field.type)))) or field.type


def _read_as(known: pl.DataType, found: pl.DataType) -> pl.DataType:
    """The type found, with float64 where whole numbers came into a column of fractions."""
    if isinstance(known, pl.Struct) and isinstance(found, pl.Struct):
        there = {field.name: field.dtype for field in known.fields}
        return pl.Struct({f.name: _read_as(there.get(f.name, f.dtype), f.dtype) for f in found.fields})
    if isinstance(known, pl.List) and isinstance(found, pl.List):
        return pl.List(_read_as(known.inner, found.inner))
    return known if (known, found) == (pl.Float64(), pl.Int64()) else found


def _as(frame: pl.LazyFrame, columns: Sequence[Column]) -> pl.LazyFrame:
    held = frame.collect_schema()
    return frame.with_columns(
        converted(pl.col(c.name), type_name(held[c.name]), type_name(storage_type(parse_type(c.type)))).alias(c.name)
        for c in columns
        if c.name in held and held[c.name] != storage_type(parse_type(c.type))
    )


def _value(field: _Field) -> pl.Expr:
    value = pl.col(_ITEM)
    for key in field.path:
        value = value.struct.field(key)
    return value.alias(field.name)


def _at(dtype: pl.DataType, path: Sequence[str]) -> pl.DataType | None:
    for key in path:
        fields = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        dtype = fields.get(key)
    return dtype
