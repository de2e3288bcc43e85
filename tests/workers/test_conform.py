"""Conformed sources: what comes out of several systems, against plain Python, and the account of where it came from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from datasets.transforms.conform_sources import ConformSources
from tests.workers.conforming import conforming
from workers.errors import AuditFailed, InvalidConfig
from workers.executors import run_dataset
from workers.executors.conform.config import read_plan
from workers.ids import new_run_id
from workers.lake.table import open_table
from workers.schema import columns_of
from workers.specs import TableTarget, to_json

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
        spec = conforming(
            tmp_path,
            engine,
            config,
            tables,
            run_id=str(new_run_id()),
            workflow="test",
            job="customers",
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


@pytest.mark.parametrize("name", ["web shop", "Web Shop "])
def test_two_sources_of_one_name_are_refused(name):
    sources = [CONFIG["sources"][0], {**CONFIG["sources"][1], "source_system": name}]
    found = problems(sources=sources)
    assert found == {"config.sources.1.source_system": "The source shop is called “web shop” already."}


def test_an_order_names_each_source_once():
    found = problems(column_rules={"city": {"order": ["crm", "web shop", "crm"]}})
    assert found == {"config.column_rules.city.order.2": "crm is named twice."}


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
