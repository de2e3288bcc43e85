"""Every rule of a Silver or Gold job, and the path at which it is told."""

import pytest

from datasets.models import DatasetJob
from datasets.transforms import TRANSFORMS
from datasets.transforms.base import ALL_ENGINES, ALL_MODES
from datasets.validation import fill_in, problems_of

pytestmark = pytest.mark.usefixtures("orders", "landing", "unknown_columns")

INPUTS = [{"dataset": "bronze.shop.orders", "alias": "orders"}]
SQL = "select order_id, amount, ordered_on from orders"
SCHEMA = [
    {"name": "order_id", "type": "int64", "nullable": False},
    {"name": "amount", "type": "decimal(10,2)"},
    {"name": "ordered_on", "type": "date"},
]
METRICS = {
    "base": "orders",
    "time_column": "ordered_on",
    "time_grain": "day",
    "dimensions": ["country"],
    "metrics": [{"name": "revenue", "expression": "sum(amount)"}],
}


def silver(shop, **fields):
    fields = {"dataset_type": "fact", "inputs": INPUTS, "sql_text": SQL, "target_schema": SCHEMA, **fields}
    return DatasetJob(**{"workflow": shop, "name": "orders_fact", "layer": "silver", **fields})


def gold(shop, **fields):
    fields = {
        "dataset_type": "metric_table",
        "inputs": INPUTS,
        "transform_type": "metrics_aggregate",
        "config": METRICS,
        **fields,
    }
    return DatasetJob(**{"workflow": shop, "name": "daily_revenue", "layer": "gold", **fields})


def faults(record):
    return {problem.attr: problem.code for problem in problems_of(record)}


def detail_of(record, attr):
    return next(problem.detail for problem in problems_of(record) if problem.attr == attr)


def test_a_sound_job_has_no_problems(shop):
    assert faults(silver(shop)) == {}


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"dataset_type": "mart"}, "dataset_type"),
        ({"transform_type": "metrics_aggregate"}, "transform_type"),
        ({"inputs": []}, "inputs"),
        ({"inputs": {}}, "inputs"),
        ({"inputs": ["bronze.shop.orders"]}, "inputs.0"),
        ({"inputs": [{"dataset": "bronze.shop.orders"}]}, "inputs.0.alias"),
        ({"inputs": [{"dataset": "bronze.shop.orders", "alias": "order-s"}]}, "inputs.0.alias"),
        ({"inputs": [{"dataset": "bronze.shop.orders", "alias": "1"}]}, "inputs.0.alias"),
        ({"inputs": [*INPUTS, {"dataset": "bronze.shop.new", "alias": "ORDERS"}]}, "inputs.1.alias"),
        ({"inputs": [{"dataset": "bronze.shop.nothing", "alias": "orders"}]}, "inputs.0.dataset"),
        ({"inputs": [{"dataset": "landing.shop.orders", "alias": "orders"}]}, "inputs.0.dataset"),
        ({"inputs": [{**INPUTS[0], "version": 3}]}, "inputs.0.version"),
        ({"sql_text": "  "}, "sql_text"),
        ({"config": {"base": "orders"}}, "config.base"),
        ({"config": []}, "config"),
        ({"target_schema": [{"name": "order_id", "type": "uuid"}]}, "target_schema.0.type"),
        ({"refresh_mode": "overwrite_partition"}, "partition_by"),
        ({"refresh_mode": "merge"}, "merge_keys"),
        ({"partition_by": "ordered_on"}, "partition_by"),
        ({"partition_by": ["country"]}, "partition_by.0"),
        ({"partition_by": ["ordered_on", "ordered_on"]}, "partition_by.1"),
        ({"partition_by": ["ordered_on", "order_id", "amount"]}, "partition_by"),
        ({"merge_keys": [1]}, "merge_keys.0"),
        ({"data_quality": {}}, "data_quality"),
        ({"data_quality": [{"column": "id"}]}, "data_quality.0"),
        ({"name": "new"}, "name"),
    ],
)
def test_a_field_is_refused_at_its_path(shop, fields, attr):
    assert attr in faults(silver(shop, **fields))


def test_a_job_cannot_read_what_it_writes(shop):
    silver(shop).save()
    again = DatasetJob.objects.get()
    again.inputs = [{"dataset": "silver.shop.orders_fact", "alias": "orders"}]
    assert faults(again)["inputs.0.dataset"] == "cycle"


# --- SQL --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "drop table orders",
        "select * from read_csv('/etc/passwd')",
        "select order_id from customers",
        "select 1 as order_id; select 2",
        "selec order_id from orders",
    ],
)
def test_what_is_no_select_over_the_inputs_is_refused(shop, sql):
    assert faults(silver(shop, sql_text=sql, target_schema=[])) == {"sql_text": "sql_rejected"}


def test_an_unknown_column_is_told_with_line_and_column(shop):
    record = silver(shop, sql_text="select order_id,\n       amuont\nfrom orders", target_schema=[])
    assert detail_of(record, "sql_text").startswith("Line 2, column 8: ")
    assert "amount" in detail_of(record, "sql_text")


def test_a_result_that_is_not_the_target_schema_is_told_there(shop):
    missing = [*SCHEMA, {"name": "country", "type": "string"}]
    assert "country" in detail_of(silver(shop, target_schema=missing), "target_schema")
    wrong_type = [*SCHEMA[:2], {"name": "ordered_on", "type": "boolean"}]
    assert "ordered_on" in detail_of(silver(shop, target_schema=wrong_type), "target_schema")


def test_the_target_schema_is_proposed_from_the_query_where_it_was_left_out(shop):
    record = silver(shop, target_schema=[])
    fill_in(record)
    assert record.target_schema == [
        {"name": "order_id", "type": "int64", "nullable": True},
        {"name": "amount", "type": "decimal(10,2)", "nullable": True},
        {"name": "ordered_on", "type": "date", "nullable": True},
    ]
    assert faults(record) == {}


def test_a_given_target_schema_stays(shop):
    record = silver(shop)
    fill_in(record)
    assert record.target_schema == SCHEMA


def test_partitions_are_checked_against_the_query_where_there_is_no_target_schema(shop):
    assert faults(silver(shop, target_schema=[], partition_by=["country"])) == {"partition_by.0": "unknown_column"}


def test_an_alias_that_was_left_out_is_the_datasets_name(shop):
    record = silver(shop, inputs=[{"dataset": "bronze.shop.orders"}])
    fill_in(record)
    assert record.inputs == INPUTS


def test_an_input_without_known_columns_lets_the_form_of_the_query_be_checked(shop):
    from datasets.checking import check

    inputs = [{"dataset": "bronze.shop.new", "alias": "new"}]
    record = silver(shop, inputs=inputs, sql_text="select anything from new", target_schema=[])
    assert faults(record) == {}
    assert "bronze.shop.new" in check(record).warnings[0]
    assert faults(silver(shop, inputs=inputs, sql_text="drop table new", target_schema=[])) == {
        "sql_text": "sql_rejected"
    }


@pytest.mark.parametrize("engine", ["default", "polars", "duckdb", "spark"])
def test_every_engine_may_be_chosen(shop, engine):
    assert faults(silver(shop, engine=engine)) == {}


# --- templates ----------------------------------------------------------------------------


def without(config, name):
    return {key: value for key, value in config.items() if key != name}


@pytest.mark.parametrize(
    ("fields", "attr"),
    [
        ({"sql_text": "select 1"}, "sql_text"),
        ({"config": {}}, "config.base"),
        ({"config": without(METRICS, "time_column")}, "config.time_column"),
        ({"config": {**METRICS, "base": "sales"}}, "config.base"),
        ({"config": {**METRICS, "time_grain": "decade"}}, "config.time_grain"),
        ({"config": {**METRICS, "metrics": []}}, "config.metrics"),
        ({"config": {**METRICS, "metrics": [{"name": "revenue"}]}}, "config.metrics.0.expression"),
        ({"config": {**METRICS, "metrics": [{"name": "my revenue", "expression": "1"}]}}, "config.metrics.0.name"),
        ({"config": {**METRICS, "dimension": ["country"]}}, "config.dimension"),
        ({"dataset_type": "fact"}, "dataset_type"),
        ({"transform_type": "scd2_dimension"}, "transform_type"),
    ],
)
def test_config_of_metrics_is_refused_at_the_exact_path(shop, fields, attr):
    assert attr in faults(gold(shop, **fields))


def test_sound_metrics_have_no_problems_and_a_schema_of_their_own(shop):
    record = gold(shop)
    fill_in(record)
    assert faults(record) == {}
    assert [column["name"] for column in record.target_schema] == ["ordered_on", "country", "revenue"]


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({"time_column": "country"}, "config.time_column"),
        ({"dimensions": ["nothing"]}, "config.dimensions.0"),
        ({"metrics": [{"name": "revenue", "expression": "sum(nothing)"}]}, "config.metrics.0.expression"),
        ({"metrics": [{"name": "n", "expression": "count(*)", "filter": "nothing = 1"}]}, "config.metrics.0.filter"),
    ],
)
def test_metrics_over_columns_that_there_are_not_are_refused_at_the_exact_path(shop, change, attr):
    assert faults(gold(shop, config={**METRICS, **change})) == {attr: "invalid_config"}


def test_metrics_over_unknown_columns_can_be_saved(shop):
    assert faults(gold(shop, inputs=[{"dataset": "bronze.shop.new", "alias": "orders"}])) == {}


@pytest.mark.parametrize(
    ("layer", "transform_type", "config"),
    [
        ("silver", "scd2_dimension", {"business_key_columns": ["order_id"], "effective_time_column": "ordered_on"}),
        (
            "silver",
            "conform_sources",
            {
                "sources": [{"alias": "orders", "source_system": "erp", "priority": 1, "mappings": {"id": "order_id"}}],
                "key_columns": ["id"],
            },
        ),
        ("gold", "snapshot", {"base": "orders", "event_time_column": "ordered_on", "key_columns": ["order_id"]}),
        (
            "gold",
            "ml_training_set",
            {
                "entity": {"alias": "orders", "key_columns": ["order_id"], "as_of_column": "ordered_on"},
                "label": {"alias": "orders", "column": "country"},
                "features": [{"alias": "orders", "columns": ["amount"], "time_column": "ordered_on", "ttl": "30 days"}],
                "split": {"train": 0.7, "validation": 0.2, "test": 0.1, "seed": 1},
            },
        ),
        (
            "gold",
            "feature_set",
            {
                "entity": {"alias": "orders", "key_columns": ["order_id"], "as_of_column": "ordered_on"},
                "features": [{"alias": "orders", "columns": ["amount"]}],
            },
        ),
        ("gold", "vector_index", {"id_column": "order_id", "text_column": "country"}),
        ("gold", "export_feed", {"format": "csv", "destination": "feeds/orders", "file_name": "orders.csv"}),
    ],
)
def test_a_template_can_be_saved_but_not_with_a_misspelt_option(shop, layer, transform_type, config):
    dataset_type = {"silver": "dim", "gold": "mart"}[layer]
    fields = {"transform_type": transform_type, "dataset_type": dataset_type, "sql_text": "", "target_schema": []}
    assert faults(silver(shop, layer=layer, **fields, config=config)) == {}
    assert "config.colour" in faults(silver(shop, layer=layer, **fields, config={**config, "colour": "red"}))
    for name in config:
        if name != "split" and name != "grain" and name != "format":
            assert f"config.{name}" in faults(silver(shop, layer=layer, **fields, config=without(config, name)))


def claims(field, known):
    """Templates with what they do not claim."""
    return [
        (name, value)
        for name, transform in TRANSFORMS.items()
        for value in known
        if value not in getattr(transform, field)
    ]


def layer_of(name):
    return TRANSFORMS[name].layers[0]


@pytest.mark.parametrize(("name", "engine"), claims("engines", ALL_ENGINES))
def test_an_engine_that_a_template_does_not_run_on_is_refused(shop, name, engine):
    job = silver(shop, layer=layer_of(name), transform_type=name, engine=engine)
    assert f"{name} does not run on {engine}. Choose {TRANSFORMS[name].engines[0]}" in detail_of(job, "engine")


@pytest.mark.parametrize(("name", "mode"), claims("refresh_modes", ALL_MODES))
def test_a_refresh_that_means_nothing_for_a_template_is_refused(shop, name, mode):
    job = silver(shop, layer=layer_of(name), transform_type=name, refresh_mode=mode)
    assert f"{name} cannot be refreshed by {mode}." in detail_of(job, "refresh_mode")


@pytest.mark.parametrize("name", [name for name, transform in TRANSFORMS.items() if transform.one_input])
def test_a_template_of_one_input_is_not_given_two(shop, name):
    inputs = [*INPUTS, {"dataset": "bronze.shop.new", "alias": "more"}]
    job = silver(shop, layer=layer_of(name), transform_type=name, inputs=inputs)
    assert detail_of(job, "inputs") == f"{name} reads one input; there are 2."
