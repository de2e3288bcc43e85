"""Whole runs of training and feature sets, on both engines, over real tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import duckdb
import polars as pl
import pytest

from workers.errors import AuditFailed
from workers.executors import run_dataset
from workers.executors.point_in_time.run import first_rows, run
from workers.executors.preview import preview_template
from workers.ids import new_run_id
from workers.lake.table import open_table, table_exists
from workers.specs import Window, from_json, to_json
from workers.template_specs import Entity, Feature, Label, PointInTimeSpec, Split


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2026, 3, 1, hour, tzinfo=UTC) + timedelta(days=number)


CUSTOMERS = 60
SNAPSHOTS = pl.DataFrame(
    [
        {"customer_id": customer, "as_of": day(10 * month), "region": ("north", "south")[customer % 2]}
        for customer in range(CUSTOMERS)
        for month in range(5)
    ],
    schema_overrides={"as_of": pl.Datetime("us", "UTC")},
)
ORDERS = pl.DataFrame(
    [
        {
            "customer_id": customer,
            "ordered_at": day((customer * 7 + n * 13) % 55, n),
            "_ingested_at": day((customer * 7 + n * 13) % 55 + n % 3, n),
            "amount": float((customer * 31 + n * 17) % 90),
            "channel": ("web", "shop", None)[(customer + n) % 3],
        }
        for customer in range(0, CUSTOMERS, 2)
        for n in range(6)
    ],
    schema_overrides={"ordered_at": pl.Datetime("us", "UTC"), "_ingested_at": pl.Datetime("us", "UTC")},
)
SEGMENTS = pl.DataFrame({"id": range(CUSTOMERS), "segment": [f"s{n % 3}" for n in range(CUSTOMERS)]})
ENTITY = Entity(alias="snapshots", key_columns=("customer_id",), as_of_column="as_of", columns=("region",))
FEATURES = [
    Feature(
        alias="orders",
        columns=("amount", "channel"),
        key_columns=("customer_id",),
        time_column="ordered_at",
        knowledge_column="_ingested_at",
        ttl="8d",
    ),
    Feature(alias="segments", columns=("segment",), key_columns=("id",)),
]
CHURN = Label(
    alias="orders",
    name="churned",
    expression="count(*) = 0",
    key_columns=("customer_id",),
    time_column="ordered_at",
    window="20 days",
)


@pytest.fixture(params=["polars", "duckdb"])
def engine(request):
    return request.param


@pytest.fixture
def inputs(load):
    return [load("snapshots", SNAPSHOTS), load("orders", ORDERS), load("segments", SEGMENTS)]


@pytest.fixture
def spec(inputs, make_spec, engine):
    return make_spec(inputs, ENTITY, FEATURES, label=CHURN, split=Split(seed=7), engine=engine)


def rows_of(spec) -> pl.DataFrame:
    return open_table(spec.target.uri).scan().collect()


def again(spec, **changes):
    target = replace(spec.target, uri=f"{spec.target.uri}_{new_run_id()}")
    return replace(spec, **{"run_id": str(new_run_id()), "target": target, **changes})


def expected_rows():
    """The same by a plain search through Python's lists."""
    orders, last = ORDERS.to_dicts(), ORDERS["ordered_at"].max()
    for entity in SNAPSHOTS.sort("customer_id", "as_of").iter_rows(named=True):
        as_of = entity["as_of"]
        if as_of + timedelta(days=20) > last:
            continue
        own = [order for order in orders if order["customer_id"] == entity["customer_id"]]
        known = [o for o in own if o["ordered_at"] <= as_of and o["_ingested_at"] <= as_of]
        latest = max(known, key=lambda o: (o["ordered_at"], o["_ingested_at"]), default=None)
        if latest and as_of - latest["ordered_at"] > timedelta(days=8):
            latest = None
        share = int(sha256(f"7:{entity['customer_id']}".encode()).hexdigest()[:8], 16) / 2**32
        yield {
            **entity,
            "amount": latest and latest["amount"],
            "channel": latest and latest["channel"],
            "segment": f"s{entity['customer_id'] % 3}",
            "churned": not any(as_of < o["ordered_at"] <= as_of + timedelta(days=20) for o in own),
            "split": "train" if share < 0.8 else "validation" if share < 0.9 else "test",
        }


def test_a_training_set_is_what_was_known_at_the_time_and_what_came_after(spec):
    result = run(spec)
    expected = list(expected_rows())
    assert rows_of(spec).select(list(expected[0])).to_dicts() == expected
    assert result.rows_written == len(expected) < SNAPSHOTS.height
    assert result.columns == spec.columns


def test_every_row_that_is_left_out_is_counted_by_its_rule(load, make_spec, engine):
    odd = pl.DataFrame(
        {"customer_id": [None, 1, 2], "as_of": [day(0), None, day(50)], "region": ["x", "y", "z"]},
        schema=SNAPSHOTS.schema,
    )
    inputs = [load("snapshots", pl.concat([SNAPSHOTS, odd])), load("orders", ORDERS), load("segments", SEGMENTS)]
    label = replace(CHURN, expression="max(amount)")
    spec = make_spec(inputs, ENTITY, FEATURES, label=label, split=Split(), engine=engine)
    card = run(spec).facts["card"]
    until = ORDERS["ordered_at"].max() - timedelta(days=20)
    late = SNAPSHOTS.filter(pl.col("as_of") > until).height + 1
    assert card["dropped"]["without_key"] == card["dropped"]["without_time"] == 1
    assert card["dropped"]["not_yet_labelled"] == late
    assert card["read"] == SNAPSHOTS.height + 3 == card["rows"] + sum(card["dropped"].values())
    assert rows_of(spec)["churned"].null_count() == 0


def test_the_card_tells_what_is_in_the_set(spec):
    result = run(spec)
    rows, card = rows_of(spec), result.facts["card"]
    assert (card["rows"], card["entities"]) == (rows.height, rows["customer_id"].n_unique())
    assert card["split"]["rows"] == {
        name: rows.filter(pl.col("split") == name).height for name in ("train", "validation", "test")
    }
    whole, train = card["label"]["balance"][:2]
    assert {each["value"]: each["rows"] for each in whole["classes"]} == dict(
        rows["churned"].value_counts().iter_rows()
    )
    assert train["rows"] == card["split"]["rows"]["train"]
    amount = next(each for each in card["features"] if each["name"] == "amount")
    assert amount["nulls"] == rows["amount"].null_count() == sum(amount["missing"].values())
    assert (amount["min"], amount["max"]) == (rows["amount"].min(), rows["amount"].max())
    assert amount["mean"] == pytest.approx(rows["amount"].mean())
    assert {"never_known", "expired"} <= set(amount["missing"])
    assert card["inputs"][0] == {"dataset": "silver.shop.snapshots", "alias": "snapshots", "version": 0}
    assert card["leakage"]["passed"]
    assert card["leakage"]["changed_rows"] > 0
    assert card["leakage"]["not_tested"] == ["segments"]
    checks = {check["name"]: check for check in result.checks}
    assert checks["leakage"]["detail"].startswith(f"{rows['customer_id'].n_unique()} entities")
    assert "in the set" in checks["rows_balance"]["detail"]


def test_engines_tell_the_same_card(inputs, make_spec):
    cards = []
    for engine in ("polars", "duckdb"):
        spec = make_spec(inputs, ENTITY, FEATURES, label=CHURN, split=Split(seed=7), engine=engine, name=engine)
        cards.append({**run(spec).facts["card"], "engine": ""})
    assert cards[0] == cards[1]


def test_a_rebuild_gives_the_same_bytes(spec):
    first, second = run(spec), run(again(spec))
    assert first.facts["digest"] == second.facts["digest"]
    stored = from_json(PointInTimeSpec, to_json(again(spec)))
    assert run(stored).facts["digest"] == first.facts["digest"]


def test_a_rebuild_keeps_to_its_versions_though_an_input_went_on(spec, load):
    before = run(spec)
    newer = load("orders", ORDERS.with_columns(pl.col("amount") + 1))
    assert run(again(spec)).facts["digest"] == before.facts["digest"]
    inputs = tuple(newer if each.alias == "orders" else each for each in spec.inputs)
    assert run(again(spec, inputs=inputs)).facts["digest"] != before.facts["digest"]


def test_a_backfill_of_the_input_changes_neither_a_pinned_rebuild_nor_what_was_known(spec, load):
    before, rows = run(spec), rows_of(spec)
    late = ORDERS.with_columns(pl.col("amount") + 100, ordered_at=pl.col("ordered_at") - timedelta(hours=1))
    load("orders", late.with_columns(_ingested_at=pl.lit(day(300))), mode="append")
    assert run(again(spec)).facts["digest"] == before.facts["digest"]
    inputs = tuple(replace(each, version=open_table(each.uri).version) for each in spec.inputs)
    newest = again(spec, inputs=inputs)
    run(newest)
    known = ["customer_id", "as_of", "amount", "channel", "segment"]
    assert rows_of(newest).select(known).equals(rows.select(known))


def test_parts_by_ranges_of_the_key_give_the_same_rows(inputs, make_spec):
    whole = make_spec(inputs, ENTITY, FEATURES, split=Split(), name="whole")
    parts = replace(make_spec(inputs, ENTITY, FEATURES, split=Split(), name="parts"), memory_limit_mb=0.01)
    cards = [run(whole).facts["card"], run(parts).facts["card"]]
    assert len(open_table(parts.target.uri).files()) > 1
    assert rows_of(parts).sort("customer_id", "as_of").equals(rows_of(whole))
    assert cards[0] == cards[1]


def test_a_feature_without_a_time_must_be_unique(inputs, load, make_spec, engine):
    twice = load("segments", pl.concat([SEGMENTS, SEGMENTS.head(2)]))
    spec = make_spec([*inputs[:2], twice], ENTITY, FEATURES, label=CHURN, engine=engine)
    with pytest.raises(AuditFailed, match=r"more than one row for 2 of the keys \(id\), such as 0; 1"):
        run(spec)
    assert not table_exists(spec.target.uri)


def test_a_dimension_with_history_holds_until_its_version_ends(load, make_spec, engine):
    versions = pl.DataFrame(
        {
            "customer_id": [1, 1, 1],
            "plan": ["free", "paid", "gold"],
            "effective_from": [day(0), day(5), day(20)],
            "effective_to": [day(5), day(10), None],
        }
    )
    asked = pl.DataFrame({"customer_id": [1] * 6, "as_of": [day(n) for n in (-1, 0, 5, 9, 10, 20)]})
    feature = Feature(
        alias="plans",
        columns=("plan",),
        key_columns=("customer_id",),
        time_column="effective_from",
        valid_to_column="effective_to",
    )
    entity = Entity(alias="asked", key_columns=("customer_id",), as_of_column="as_of")
    spec = make_spec([load("asked", asked), load("plans", versions)], entity, [feature], engine=engine)
    card = run(spec).facts["card"]
    assert rows_of(spec)["plan"].to_list() == [None, "free", "paid", "paid", None, "gold"]
    assert card["kind"] == "feature set"
    assert card["features"][0]["missing"] == {"never_known": 1, "ended": 1}


def test_a_number_as_label_is_told_by_its_quantiles(inputs, make_spec, engine):
    label = replace(CHURN, name="spent", expression="sum(amount)", on_missing="zero")
    spec = make_spec(inputs, ENTITY, FEATURES, label=label, split=Split(), engine=engine)
    card = run(spec).facts["card"]
    rows = rows_of(spec)
    whole = card["label"]["quantiles"][0]
    assert (whole["rows"], whole["max"]) == (rows.height, rows["spent"].max())
    assert whole["mean"] == pytest.approx(rows["spent"].mean())
    assert rows.select("customer_id", "as_of", "spent").rows() == _spent()


def _spent():
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("s", SNAPSHOTS.to_arrow())
        connection.register("o", ORDERS.to_arrow())
        found = connection.execute(
            "select s.customer_id, s.as_of, coalesce(sum(o.amount), 0) from s left join o on "
            "o.customer_id = s.customer_id and o.ordered_at > s.as_of and o.ordered_at <= s.as_of + interval 20 day "
            "where s.as_of + interval 20 day <= (select max(ordered_at) from o) group by all order by all"
        ).pl()
    return found.rows()


def test_a_label_may_be_a_column_of_the_entity(load, make_spec, engine):
    rows = SNAPSHOTS.with_columns(won=pl.col("customer_id") % 3 == 0)
    entity = replace(ENTITY, alias="snapshots")
    label = Label(alias="snapshots", name="won", column="won", window="20d")
    inputs = [load("snapshots", rows), load("orders", ORDERS)]
    spec = make_spec(inputs, entity, FEATURES[:1], label=label, split=Split(), engine=engine, run_time=day(25))
    card = run(spec).facts["card"]
    assert card["dropped"] == {"not_yet_labelled": rows.filter(pl.col("as_of") > day(5)).height}
    assert rows_of(spec)["won"].to_list() == [number % 3 == 0 for number in rows_of(spec)["customer_id"]]


def test_a_feature_that_is_the_label_in_disguise_is_pointed_at(load, make_spec, engine):
    leaky = SNAPSHOTS.with_columns(won=pl.col("customer_id") % 3 == 0)
    outcome = leaky.select("customer_id", "as_of", refund=pl.col("won").cast(pl.Int64) * 9 + pl.col("customer_id") % 2)
    feature = Feature(alias="refunds", columns=("refund",), key_columns=("customer_id",), time_column="as_of")
    inputs = [load("snapshots", leaky), load("refunds", outcome), load("orders", ORDERS)]
    label = Label(alias="snapshots", name="won", column="won")
    spec = make_spec(inputs, ENTITY, [feature, FEATURES[0]], label=label, split=Split(), engine=engine)
    warnings = run(spec).facts["card"]["warnings"]
    assert [(each["code"], each["feature"]) for each in warnings if "feature" in each] == [
        ("possible_leakage", "refund")
    ]


def test_history_that_was_loaded_afterwards_is_pointed_at(load, make_spec, engine):
    loaded = ORDERS.with_columns(_ingested_at=pl.lit(day(400)))
    spec = make_spec([load("snapshots", SNAPSHOTS), load("orders", loaded)], ENTITY, FEATURES[:1], engine=engine)
    card = run(spec).facts["card"]
    assert card["features"][0]["nulls"] == SNAPSHOTS.height
    assert set(card["features"][0]["missing"]) == {"not_yet_known", "never_known"}
    assert not [each for each in card["warnings"] if each["code"] == "possible_leakage"]


def test_later_rows_are_the_test_when_the_split_goes_by_time(inputs, make_spec, engine):
    split = Split(train=0.5, validation=0.25, test=0.25, method="time")
    spec = make_spec(inputs, ENTITY, FEATURES, split=split, engine=engine)
    told = run(spec).facts["card"]["split"]
    rows = rows_of(spec)
    assert dict(rows.group_by("split").agg(pl.col("as_of").unique().sort()).iter_rows()) == {
        "train": [day(0), day(10)],
        "validation": [day(20)],
        "test": [day(30), day(40)],
    }
    assert (told["validation_from"], told["test_from"]) == (day(20).isoformat(), day(30).isoformat())


@pytest.mark.parametrize(
    ("changes", "purged", "train"),
    [
        ({"purge": True}, 2 * CUSTOMERS, [day(0)]),
        ({"purge": True, "gap": "1 day"}, 2 * CUSTOMERS, [day(0)]),
        ({"gap": "10 days"}, 0, [day(0), day(10)]),
        ({"gap": "11 days"}, 2 * CUSTOMERS, [day(0)]),
    ],
)
def test_a_split_by_time_leaves_out_whose_label_looks_into_the_next_part(
    inputs, make_spec, engine, changes, purged, train
):
    split = Split(method="time", validation_from="2026-03-21", test_from="2026-03-31", **changes)
    label = replace(CHURN, window="11 days")
    spec = make_spec(inputs, ENTITY, FEATURES, label=label, split=split, engine=engine)
    card = run(spec).facts["card"]
    assert rows_of(spec).filter(split="train")["as_of"].unique().sort().to_list() == train
    assert card["dropped"].get("purged", 0) == purged
    assert card["read"] == card["rows"] + sum(card["dropped"].values())
    looks_ahead = [each["text"] for each in card["warnings"] if each["code"] == "not_purged"]
    assert looks_ahead == [] if purged else [f"{2 * CUSTOMERS} rows" in text for text in looks_ahead] == [True]


def test_a_label_whose_reach_nobody_knows_is_pointed_at_when_the_split_goes_by_time(load, make_spec, engine):
    rows = SNAPSHOTS.with_columns(won=pl.col("customer_id") % 3 == 0)
    inputs, label = (
        [load("snapshots", rows), load("orders", ORDERS)],
        Label(alias="snapshots", name="won", column="won"),
    )
    for gap, codes in (("", ["not_purged"]), ("10 days", [])):
        split = Split(method="time", purge=True, gap=gap)
        spec = make_spec(inputs, ENTITY, FEATURES[:1], label=label, split=split, engine=engine)
        warnings = run(spec).facts["card"]["warnings"]
        assert [each["code"] for each in warnings if each["code"] == "not_purged"] == codes


def test_rows_of_one_key_are_in_one_part(inputs, make_spec, engine):
    spec = make_spec(inputs, ENTITY, FEATURES, split=Split(key=("region",), seed=3), engine=engine)
    run(spec)
    assert rows_of(spec).group_by("region").agg(pl.col("split").n_unique())["split"].to_list() == [1, 1]


def test_the_days_of_a_window_are_replaced_alone(load, make_spec, engine):
    entities = SNAPSHOTS.with_columns(pl.col("as_of").dt.date())
    inputs = [load("snapshots", entities), load("orders", ORDERS)]
    common = {"partition_by": ("as_of",), "refresh_mode": "overwrite_partition", "engine": engine}
    whole = make_spec(inputs, ENTITY, FEATURES[:1], **common)
    run(whole)
    window = Window(start_date="2026-03-05", end_date="2026-03-15")
    part = replace(whole, run_id=str(new_run_id()), window=window)
    result = run(part)
    assert result.rows_written == CUSTOMERS
    assert result.facts["card"]["dropped"] == {"outside_window": 4 * CUSTOMERS}
    days = [date(2026, 3, 1) + timedelta(days=10 * n) for n in range(5)]
    assert rows_of(whole)["as_of"].value_counts().sort("as_of").rows() == [(each, CUSTOMERS) for each in days]


def test_the_preview_shows_rows_of_the_set(spec):
    tables = {each.alias: open_table(each.uri, each.version) for each in spec.inputs}
    expected = {(row["customer_id"], row["as_of"]): row for row in expected_rows()}
    seen = first_rows(spec, tables, 10).to_dicts()
    assert seen == [expected[row["customer_id"], row["as_of"]] for row in seen]
    assert len(seen) == 10
    assert not table_exists(spec.target.uri)


def test_the_preview_is_made_in_a_process_of_its_own(inputs, make_spec):
    spec = make_spec(inputs, ENTITY, FEATURES, label=CHURN, split=Split())
    assert len(preview_template(spec, limit=5).rows) == 5


def test_an_empty_input_makes_an_empty_set(load, make_spec, engine):
    inputs = [load("snapshots", SNAPSHOTS.clear()), load("orders", ORDERS.clear()), load("segments", SEGMENTS)]
    spec = make_spec(inputs, ENTITY, FEATURES, label=CHURN, split=Split(), engine=engine)
    result = run_dataset(to_json(spec))
    assert (result.rows_written, result.facts["card"]["rows"]) == (0, 0)
