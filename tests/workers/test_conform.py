"""Conformed sources: what comes out of several systems, against plain Python, and the account of where it came from."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from datasets.transforms.conform_sources import ConformSources
from tests.workers.published import published
from workers.engines.sql import check_sql
from workers.errors import AuditFailed, InvalidConfig
from workers.executors import run_dataset
from workers.executors.conform.config import read_plan
from workers.executors.conform.sql import keys_sql, records_sql, rows_sql
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableTarget, to_json
from workers.template_specs import ConformedSource, ConformSpec

DAY = datetime.fromisoformat("2026-01-01")
CRM = pl.DataFrame(
    {
        "id": [1, 2, 2, None, 5],
        "mail": ["Ann@x.org", "bob@x.org", "old@x.org", "ghost@x.org", None],
        "city": ["Bonn", None, "Ulm", "Rome", None],
        "changed": [DAY, DAY + timedelta(2), DAY, DAY, DAY],
    },
    schema={"id": pl.Int32, "mail": pl.String, "city": pl.String, "changed": pl.Datetime("us")},
)
SHOP = pl.DataFrame(
    {
        "customer": [1, 2, 3, 5],
        "email": ["ann@x.org", "robert@x.org", "cy@x.org", "eve@x.org"],
        "town": ["Köln", "Kiel", None, "Trier"],
        "at": [DAY + timedelta(1), DAY + timedelta(1), None, DAY],
        "points": [10, 20, 30, 50],
    },
    schema={"customer": pl.Int64, "email": pl.String, "town": pl.String, "at": pl.Datetime("us"), "points": pl.Int16},
)
CONFIG = {
    "sources": [
        {
            "alias": "shop",
            "source_system": "web shop",
            "priority": 2,
            "mappings": {"id": "customer", "email": "lower(email)", "city": "town", "points": "points", "seen": "at"},
        },
        {
            "alias": "crm",
            "source_system": "crm",
            "priority": 1,
            "mappings": {"id": "id", "email": "lower(mail)", "city": "city", "seen": "changed"},
        },
    ],
    "key_columns": ["id"],
    "updated_at_column": "seen",
}


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture
def conform(tmp_path, engine):
    """Runs a configuration over tables; the result's rows by key, and the facts of the run."""

    def run(config: dict, tables: dict[str, pl.DataFrame], **changes) -> SimpleNamespace:
        inputs = tuple(published(tmp_path, f"bronze.test.{alias}", rows, alias) for alias, rows in tables.items())
        options = ConformSources.options.model_validate(config)
        columns = {given.alias: open_table(given.uri).columns for given in inputs}
        plan = read_plan(options.model_dump(), columns)
        spec = ConformSpec(
            run_id=str(new_run_id()),
            workflow="test",
            job="customers",
            inputs=inputs,
            sql=records_sql(plan),
            rows_sql=rows_sql(plan),
            keys_sql=keys_sql(plan),
            columns=check_sql(records_sql(plan), columns, engine).columns,
            sources=tuple(
                ConformedSource(alias=each.alias, source_system=each.system, priority=each.priority)
                for each in plan.sources
            ),
            compared=tuple(plan.compared),
            ruled=tuple(plan.rules),
            null_keys=options.null_keys,
            engine=engine,
            target=TableTarget(dataset="silver.test.customers", uri=f"{tmp_path}/silver/test/customers"),
            run_time=datetime(2026, 11, 22, tzinfo=UTC),
            **changes,
        )
        result = run_dataset(to_json(spec))
        rows = open_table(spec.target.uri).scan().collect()
        return SimpleNamespace(
            rows={row["id"]: row for row in rows.to_dicts()},
            facts=result.facts["conform"],
            schema=rows.schema,
            checks=result.checks,
        )

    return run


@pytest.fixture
def two(conform):
    return lambda **options: conform({**CONFIG, **options}, {"shop": SHOP, "crm": CRM})


def by_system(facts: dict, what: str) -> dict[str, int]:
    return {source["source_system"]: source[what] for source in facts["sources"]}


def test_the_record_of_the_source_with_the_smallest_priority_wins_as_a_whole(two):
    rows = two().rows
    assert set(rows) == {1, 2, 3, 5}
    assert (rows[1]["email"], rows[1]["city"], rows[1]["source_system"]) == ("ann@x.org", "Bonn", "crm")
    assert (rows[5]["email"], rows[5]["city"], rows[5]["points"]) == (None, None, None)
    assert (rows[3]["source_system"], rows[3]["points"]) == ("web shop", 30)


def test_of_several_records_in_one_source_the_newest_speaks_for_it(two):
    assert two().rows[2]["email"] == "bob@x.org"


def test_the_latest_record_wins_whatever_the_priority_and_priority_decides_a_tie(two):
    rows = two(conflict_resolution="latest").rows
    assert rows[1]["source_system"] == "web shop"
    assert rows[2]["source_system"] == "crm"
    assert rows[5]["source_system"] == "crm"  # both say the same day


def test_a_record_that_nobody_dated_loses_against_any_date(conform):
    undated = SHOP.with_columns(at=pl.lit(None, dtype=pl.Datetime("us")))
    rows = conform({**CONFIG, "conflict_resolution": "latest"}, {"shop": undated, "crm": CRM}).rows
    assert {key: row["source_system"] for key, row in rows.items()} == {1: "crm", 2: "crm", 3: "web shop", 5: "crm"}


def test_a_column_rule_takes_the_best_value_that_is_there(two):
    rules = {"city": {"order": ["web shop"]}, "email": {"resolution": "latest"}}
    rows = two(column_rules=rules).rows
    assert {key: row["city"] for key, row in rows.items()} == {1: "Köln", 2: "Kiel", 3: None, 5: "Trier"}
    assert {key: row["email"] for key, row in rows.items()} == {
        1: "ann@x.org",
        2: "bob@x.org",
        3: "cy@x.org",
        5: "eve@x.org",
    }
    assert rows[1]["source_system"] == "crm"  # of the record as a whole
    assert rows[1]["points"] is None  # no rule


def test_nulls_of_the_winner_can_be_filled_from_the_next_best(two):
    rows = two(fill_nulls=True).rows
    assert (rows[5]["email"], rows[5]["city"], rows[5]["points"]) == ("eve@x.org", "Trier", 50)
    assert (rows[1]["city"], rows[1]["points"]) == ("Bonn", 10)
    assert rows[5]["source_system"] == "crm"


def test_every_row_is_accounted_for(two):
    facts = two().facts
    assert (facts["rows"], facts["keys"], facts["merged"], facts["without_key"]) == (9, 4, 4, 1)
    assert by_system(facts, "rows") == {"crm": 5, "web shop": 4}
    assert by_system(facts, "without_key") == {"crm": 1, "web shop": 0}
    assert by_system(facts, "duplicates") == {"crm": 1, "web shop": 0}
    assert by_system(facts, "won") == {"crm": 3, "web shop": 1}
    assert by_system(facts, "only") == {"crm": 0, "web shop": 1}
    assert facts["in_several"] == 3
    # 1: the cities differ; 2: the mails; null is no disagreement, nor is when a record was seen.
    assert facts["conflicts"] == {"email": 1, "city": 1, "points": 0}


def test_the_account_of_rules_says_whose_values_they_are(two):
    facts = two(column_rules={"city": {"order": ["web shop"]}}).facts
    assert facts["came_from"] == {"city": [0, 3]}  # crm, web shop; nobody knows the city of 3


def test_rows_without_a_key_can_end_the_run(two):
    with pytest.raises(AuditFailed, match=r"Rows have no key: 1 of crm\. Nothing was published"):
        two(null_keys="fail")


def test_what_a_source_does_not_map_is_null_and_types_meet_in_the_least_that_holds_both(two):
    found = two()
    assert found.schema["id"] == pl.Int64
    assert found.schema["points"] == pl.Int16


def test_a_time_that_no_source_maps_is_taken_from_their_own_column_and_stays_out(conform):
    config = {
        "sources": [
            {"alias": "a", "source_system": "a", "mappings": {"id": "id", "v": "v"}},
            {"alias": "b", "source_system": "b", "mappings": {"id": "id", "v": "v"}},
        ],
        "key_columns": ["id"],
        "conflict_resolution": "latest",
        "updated_at_column": "updated_at",
    }
    table = {"id": [1], "v": ["old"], "updated_at": [DAY]}
    newer = {"id": [1], "v": ["new"], "updated_at": [DAY + timedelta(1)]}
    found = conform(config, {"a": pl.DataFrame(table), "b": pl.DataFrame(newer)})
    assert found.rows == {1: {"id": 1, "v": "new", "source_system": "b"}}


def test_lists_and_structs_come_with_their_record(conform):
    rich = pl.DataFrame({"id": [1, 2], "tags": [["a"], ["b"]], "place": [{"x": 1}, {"x": 2}], "raw": [b"1", b"2"]})
    poor = pl.DataFrame({"id": [2, 3]})
    mappings = {name: name for name in rich.columns}
    sources = [
        {"alias": "poor", "source_system": "poor", "priority": 1, "mappings": {"id": "id"}},
        {"alias": "rich", "source_system": "rich", "priority": 2, "mappings": mappings},
    ]
    rows = conform({"sources": sources, "key_columns": ["id"], "fill_nulls": True}, {"poor": poor, "rich": rich}).rows
    assert rows[1] == {"id": 1, "tags": ["a"], "place": {"x": 1}, "raw": b"1", "source_system": "rich"}
    assert rows[2] == {"id": 2, "tags": None, "place": None, "raw": None, "source_system": "poor"}


def test_empty_sources_make_an_empty_table(conform):
    found = conform(CONFIG, {"shop": SHOP.clear(), "crm": CRM.clear()})
    assert (found.rows, found.facts["keys"], by_system(found.facts, "rows")) == ({}, 0, {"crm": 0, "web shop": 0})


# --- against plain Python -----------------------------------------------------------------


def expected(sources: dict[str, list[dict]], order: list[str], latest: bool, rules: dict, fill: bool) -> dict:
    """The rows and the counts, the slow and plain way."""
    low = datetime.fromisoformat("0001-01-01")
    best: dict[int, dict[str, dict]] = defaultdict(dict)
    for system in order:
        groups = defaultdict(list)
        for row in sources[system]:
            if row["id"] is not None:
                groups[row["id"]].append(row)
        for key, rows in groups.items():
            nulls_last = [(row[c] is None, row[c] or "") for row in rows for c in ("a", "b")]
            pairs = zip(rows, zip(nulls_last[::2], nulls_last[1::2], strict=True), strict=True)
            newest = max(row["at"] or low for row in rows)
            best[key][system] = min((p for p in pairs if (p[0]["at"] or low) == newest), key=lambda p: p[1])[0]
    result, won, differs = {}, Counter(), Counter()
    for key, records in best.items():
        by_priority = [system for system in order if system in records]
        by_time = sorted(by_priority, key=lambda s: records[s]["at"] or low, reverse=True)
        ranked = by_time if latest else by_priority
        row = {**records[ranked[0]], "source_system": ranked[0]}
        won[ranked[0]] += 1
        for column in ("a", "b"):
            asked = ranked if fill else None
            if column in rules:
                first = rules[column].get("order", [])
                chosen = by_time if rules[column].get("resolution") == "latest" else by_priority
                asked = [s for s in first if s in records] + [s for s in chosen if s not in first]
            if asked:
                row[column] = next((records[s][column] for s in asked if records[s][column] is not None), None)
            differs[column] += len({r[column] for r in records.values() if r[column] is not None}) > 1
        result[key] = row
    return {"rows": result, "won": won, "differs": differs}


@pytest.mark.parametrize("seed", range(4))
def test_random_sources_conform_as_in_plain_python(conform, seed):
    chance = random.Random(seed)
    names = ["s0", "s1", "s2"]
    sources = {
        name: [
            {
                "id": chance.choice([None, *range(12)]),
                "a": chance.choice([None, "x", "y", "Z"]),
                "b": chance.choice([None, "p", "q"]),
                "at": chance.choice([None, *(DAY + timedelta(days=n) for n in range(3))]),
            }
            for _ in range(chance.randrange(25))
        ]
        for name in names
    }
    schema = {"id": pl.Int64, "a": pl.String, "b": pl.String, "at": pl.Datetime("us")}
    latest, fill = chance.random() < 0.5, chance.random() < 0.3
    rules = chance.choice([{}, {"a": {"order": ["s2", "s0"]}, "b": {"resolution": "latest"}}, {"b": {"order": ["s1"]}}])
    order = chance.sample(names, 3)
    config = {
        "sources": [
            {
                "alias": name,
                "source_system": name,
                "priority": order.index(name),
                "mappings": {"id": "id", "a": "a", "b": "b", "at": "at"},
            }
            for name in names
        ],
        "key_columns": ["id"],
        "updated_at_column": "at",
        "conflict_resolution": "latest" if latest else "source_priority",
        "column_rules": rules,
        "fill_nulls": fill,
    }
    found = conform(config, {name: pl.DataFrame(rows, schema=schema, orient="row") for name, rows in sources.items()})
    wanted = expected(sources, order, latest, rules, fill)
    assert found.rows == wanted["rows"]
    assert by_system(found.facts, "won") == {name: wanted["won"][name] for name in order}
    assert found.facts["conflicts"] == {name: wanted["differs"][name] for name in ("a", "b")}


# --- what is refused, and where ---------------------------------------------------------------


def problems(**changes) -> dict[str, str]:
    config = ConformSources.options.model_validate({**CONFIG, **changes}).model_dump()
    with pytest.raises(InvalidConfig) as refusal:
        read_plan(config, {"shop": columns_of(SHOP.schema), "crm": columns_of(CRM.schema)})
    return {each["field"]: each["message"] for each in refusal.value.facts["problems"]}


def with_mapping(source: int, **mappings: str) -> list[dict]:
    sources = [dict(each) for each in CONFIG["sources"]]
    sources[source] = {**sources[source], "mappings": {**sources[source]["mappings"], **mappings}}
    return sources


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("sum(points)", "one row"),
        ("row_number() over (order by town)", "one row"),
        ("(select max(id) from crm)", "crm"),
        ("unnest(split(town, ','))", "one row"),
        ("town, email", "not one expression"),
        ("town from shop --", "not one expression"),
        ("twon", "no column “twon”"),
        ("read_csv('/etc/passwd')", "not allowed"),
        ("mail", "no column “mail”"),
    ],
)
def test_a_mapping_is_one_expression_over_the_columns_of_its_own_source(expression, message):
    found = problems(sources=with_mapping(0, city=expression))
    assert list(found) == ["config.sources.0.mappings.city"]
    assert message in found["config.sources.0.mappings.city"]


def test_types_that_do_not_meet_are_refused_naming_both_sources():
    found = problems(sources=with_mapping(0, city="points"))
    assert found == {"config.sources.0.mappings.city": "city is int16 in web shop and string in crm."}


def test_every_source_maps_every_key():
    assert problems(key_columns=["id", "points"]) == {
        "config.sources.1.mappings": "The source crm does not map the key “points”."
    }


def test_rules_name_columns_and_sources_that_there_are():
    found = problems(column_rules={"town": {}, "id": {}, "city": {"order": ["erp"]}})
    assert list(found) == ["config.column_rules.town", "config.column_rules.id", "config.column_rules.city.order.0"]


def test_names_that_the_query_needs_are_refused():
    found = problems(sources=with_mapping(0, assay_rank="points", source_system="email", City="town"))
    assert set(found) == {
        "config.sources.0.mappings.assay_rank",
        "config.sources.0.mappings.source_system",
        "config.sources.0.mappings.City",
    }


def test_what_is_too_wide_for_one_query_is_counted_by_several(conform):
    names = [f"c{n}" for n in range(60)]
    wide = pl.DataFrame({"id": [1, 2], **{name: ["a", "b"] for name in names}})
    other = wide.with_columns(pl.when(pl.col("id") == 1).then(pl.lit("z")).otherwise(pl.col(n)).alias(n) for n in names)
    mappings = {"id": "id", **{name: f"upper(trim({name}))" for name in names}}
    sources = [{"alias": each, "source_system": each, "mappings": mappings} for each in ("wide", "other")]
    facts = conform({"sources": sources, "key_columns": ["id"]}, {"wide": wide, "other": other}).facts
    assert facts["conflicts"] == dict.fromkeys(names, 1)
    assert (facts["keys"], facts["merged"]) == (2, 2)
