"""Conformed sources against plain Python: who wins, value by value, and what became of every row."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.workers.conforming import conforming
from workers.executors import run_dataset
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.specs import TableTarget, to_json

FEW = settings(
    max_examples=5,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
NAMES = ("crm", "web", "erp")
TYPES = {
    "crm": {"id": pl.Int32, "region": pl.String, "mail": pl.String, "worth": pl.Decimal(8, 2), "vip": pl.Boolean},
    "web": {"id": pl.Int64, "region": pl.String, "mail": pl.String, "worth": pl.Decimal(6, 3), "vip": pl.Boolean},
    "erp": {"id": pl.Int16, "region": pl.String, "mail": pl.String, "worth": pl.Decimal(8, 2), "vip": pl.Boolean},
}
MOMENTS = {"at": pl.Datetime("us", "UTC"), "born": pl.Date}
SOME = {
    "id": st.sampled_from([None, 1, 2, 3]),
    "region": st.sampled_from([None, "eu", "EU", ""]),
    "mail": st.none() | st.sampled_from(["a@x", "B@x", "", "é@x", "z@x"]),
    "worth": st.none() | st.sampled_from([Decimal("0.00"), Decimal("-1.50"), Decimal("10.25")]),
    "vip": st.sampled_from([None, True, False]),
    "at": st.none() | st.integers(0, 2).map(lambda hours: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)),
    "born": st.none() | st.sampled_from([date(1970, 1, 1), date(2000, 2, 29)]),
}
ROWS = st.lists(st.fixed_dictionaries(SOME), max_size=10)
CHOSEN = ("mail", "worth", "vip", "born")


@st.composite
def configs(draw) -> dict[str, Any]:
    keys = draw(st.sampled_from([["id"], ["id", "region"]]))
    names = draw(st.permutations(NAMES))[: draw(st.integers(2, 3))]
    is_dated, is_mapped = draw(st.booleans()), draw(st.booleans())
    sources = []
    for name in names:
        mapped = [column for column in CHOSEN if draw(st.integers(0, 3))]
        mapped += ["at"] if is_dated and is_mapped and draw(st.integers(0, 3)) else []
        mappings = {column: column for column in [*keys, *draw(st.permutations(mapped))]}
        sources.append(
            {"alias": name, "source_system": f"the {name}", "priority": draw(st.integers(1, 2)), "mappings": mappings}
        )
    systems, known = [source["source_system"] for source in sources], {c for s in sources for c in s["mappings"]}
    resolutions = ["source_priority", "latest"] if is_dated else ["source_priority"]
    order = st.permutations(systems).flatmap(lambda all_: st.integers(0, len(all_)).map(lambda n: all_[:n]))
    rule = st.builds(lambda order: {"order": order}, order)
    rule = rule | st.just({"resolution": "latest"}) if is_dated else rule
    return {
        "sources": sources,
        "key_columns": keys,
        "conflict_resolution": draw(st.sampled_from(resolutions)),
        "updated_at_column": "at" if is_dated else None,
        "column_rules": {name: draw(rule) for name in CHOSEN if name in known and not draw(st.integers(0, 2))},
        "fill_nulls": draw(st.booleans()),
    }


# --- plain Python -------------------------------------------------------------------------


class Model:
    """Follows docs/conform.md, record by record. `columns` are the result's, in order."""

    def __init__(self, config: dict[str, Any], tables: dict[str, list[dict]], columns: list[str]) -> None:
        self.config, self.keys = config, config["key_columns"]
        self.columns = [name for name in columns if name != "source_system"]
        self.chosen = [name for name in self.columns if name not in (*self.keys, "at")]
        self.sources = sorted(config["sources"], key=lambda source: source["priority"])  # keeps the order of equals
        self.systems = [source["source_system"] for source in self.sources]
        self.speakers: dict[tuple, dict[str, dict]] = defaultdict(dict)  # key -> system -> its record
        self.without: Counter[str] = Counter()
        for source in self.sources:
            groups = defaultdict(list)
            for row in tables[source["alias"]]:
                record = {name: row[name] if name in source["mappings"] else None for name in self.columns}
                key = tuple(record[name] for name in self.keys)
                self.without[source["source_system"]] += None in key
                if None not in key:
                    groups[key].append(record | {"at": self._time(source, row)})
            for key, records in groups.items():
                self.speakers[key][source["source_system"]] = min(records, key=self._place)

    def _time(self, source: dict, row: dict) -> datetime | None:
        """Where any source maps the time, one that does not has none; else each has its own column."""
        is_mapped = any("at" in each["mappings"] for each in self.sources)
        if not self.config["updated_at_column"]:
            return None
        return row["at"] if "at" in source["mappings"] or not is_mapped else None

    def _place(self, record: dict) -> list:
        values = [record[name] for name in self.chosen]
        return [
            _latest_first(record["at"]),
            *((each is None, 0 if each is None else _sortable(each)) for each in values),
        ]

    def row(self, key: tuple) -> dict[str, Any]:
        records, config = self.speakers[key], self.config
        ranked = self._ranked(records, config["conflict_resolution"] == "latest")
        row = {name: records[ranked[0]][name] for name in self.columns} | {"source_system": ranked[0]}
        for name in self.columns:
            if asked := self._asked(name, records, ranked):
                row[name] = next((records[s][name] for s in asked if records[s][name] is not None), None)
        return row

    def _ranked(self, records: dict[str, dict], is_latest: bool) -> list[str]:
        there = [system for system in self.systems if system in records]
        return sorted(there, key=lambda system: _latest_first(records[system]["at"])) if is_latest else there

    def _asked(self, name: str, records: dict[str, dict], ranked: list[str]) -> list[str]:
        rule = self.config["column_rules"].get(name)
        if rule is None:
            return ranked if self.config["fill_nulls"] and name in self.chosen else []
        if rule.get("resolution") == "latest":
            return self._ranked(records, is_latest=True)
        named = [system for system in rule["order"] if system in records]
        return [*named, *(system for system in self.systems if system in records and system not in named)]

    def report(self, tables: dict[str, list[dict]]) -> dict[str, Any]:
        won = Counter(self.row(key)["source_system"] for key in self.speakers)
        held = Counter(system for records in self.speakers.values() for system in records)
        only = Counter(next(iter(records)) for records in self.speakers.values() if len(records) == 1)
        sources = []
        for source in self.sources:
            system, rows = source["source_system"], len(tables[source["alias"]])
            counts = {"rows": rows, "without_key": self.without[system], "keys": held[system]}
            counts |= {"duplicates": rows - self.without[system] - held[system]}
            sources.append({**counts, "won": won[system], "only": only[system]})
        rows, without = sum(each["rows"] for each in sources), sum(self.without.values())
        values = {
            name: [{r[name] for r in rs.values()} - {None} for rs in self.speakers.values()] for name in self.chosen
        }
        return {
            "rows": rows,
            "keys": len(self.speakers),
            "merged": rows - without - len(self.speakers),
            "without_key": without,
            "in_several": sum(1 for records in self.speakers.values() if len(records) > 1),
            "sources": sources,
            "conflicts": {n: sum(1 for v in values[n] if len(v) > 1) for n in self.chosen},
        }


def _latest_first(at: datetime | None) -> float:
    return -at.timestamp() if at else 0.0


def _sortable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


# --- whole runs ----------------------------------------------------------------------------


def run(lake: str, engine: str, config: dict[str, Any], tables: dict[str, list[dict]]) -> tuple[pl.DataFrame, dict]:
    frames = {alias: pl.DataFrame(rows, schema=TYPES[alias] | MOMENTS, orient="row") for alias, rows in tables.items()}
    spec = conforming(
        lake,
        engine,
        config,
        frames,
        run_id=str(new_run_id()),
        workflow="test",
        job="people",
        target=TableTarget(dataset="silver.test.people", uri=f"{lake}/silver/test/people"),
        run_time=datetime(2026, 11, 22, tzinfo=UTC),
    )
    facts = run_dataset(to_json(spec)).facts["conform"]
    return open_table(spec.target.uri).scan().collect(), facts


@pytest.mark.parametrize("engine", ["polars", "duckdb"])
@FEW
@given(configs(), st.fixed_dictionaries(dict.fromkeys(NAMES, ROWS)))
def test_sources_conform_as_in_plain_python(engine, config, rows):
    tables = {source["alias"]: rows[source["alias"]] for source in config["sources"]}
    with TemporaryDirectory() as lake:
        found, facts = run(lake, engine, config, tables)
    model = Model(config, tables, found.columns)
    wanted = {key: model.row(key) for key in model.speakers}
    assert {tuple(row[name] for name in model.keys): row for row in found.to_dicts()} == wanted
    assert found.height == len(wanted)
    told = model.report(tables)
    listed = [{name: source[name] for name in told["sources"][0]} for source in facts["sources"]]
    assert {name: facts[name] for name in told} | {"sources": listed} == told
