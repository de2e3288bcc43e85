"""The catalog: what jobs tell it, and what it answers."""

import polars as pl
import pytest

from catalog import services
from catalog.models import Dataset
from workers.ids import new_run_id
from workers.lake.publish import publish
from workers.lake.stage import Staging
from workers.schema import columns_of
from workers.specs import Column, TableTarget

pytestmark = pytest.mark.django_db
DATASETS = "/api/catalog/datasets/"


def declare(name, upstream=(), **facts):
    layer, workflow, short = name.split(".")
    facts = {"type": "", "path": f"{layer}/{workflow}/{short}", "job": short, **facts}
    return services.declare(name, layer=layer, workflow=workflow, upstream=upstream, **facts)


def publish_rows(name, frame):
    """What a run would do: one commit, then the catalog hears of it."""
    run_id = str(new_run_id())
    target = TableTarget(dataset=name, uri=services.lake_uri(name))
    columns = columns_of(frame.schema)
    with Staging(target, run_id) as staging:
        staging.sink(frame.lazy())
        published = publish(target, staging.files, run_id=run_id, mode="overwrite", columns=columns)
    return services.record_version(name, run_id=run_id, published=published, columns=columns)


@pytest.fixture
def estate():
    """Two sources, a fact of both, and a mart."""
    for name in ("a", "b"):
        declare(f"landing.shop.{name}")
        declare(f"bronze.shop.{name}", [f"landing.shop.{name}"])
    declare("silver.shop.fact", ["bronze.shop.a", "bronze.shop.b"], type="fact")
    declare("gold.shop.mart", ["silver.shop.fact"], type="mart", description="Revenue")


def test_declaring_again_changes_the_row_and_keeps_what_was_published():
    declare("bronze.shop.orders")
    publish_rows("bronze.shop.orders", pl.DataFrame({"id": [1, 2]}))
    again = declare("bronze.shop.orders", description="Orders")
    assert (again.description, again.version, again.rows) == ("Orders", 0, 2)
    assert [column["name"] for column in again.columns] == ["id"]


def test_declaring_nothing_new_writes_no_history():
    for _ in range(3):
        dataset = declare("bronze.shop.orders", columns=[Column(name="id", type="int64")])
    assert dataset.history.count() == 1


def test_edges_follow_the_job(estate):
    declare("silver.shop.fact", ["bronze.shop.a"], type="fact")
    assert [each.name for each in Dataset.objects.get(name="silver.shop.fact").upstream.all()] == ["bronze.shop.a"]


def test_a_dataset_that_somebody_reads_stays_when_its_job_goes(estate):
    services.retire("silver.shop.fact")
    assert not Dataset.objects.get(name="silver.shop.fact").is_declared
    services.retire("gold.shop.mart")
    assert not Dataset.objects.filter(layer__in=["silver", "gold"]).exists()


def test_when_all_jobs_go_nothing_is_left_of_what_was_never_filled(estate):
    for name in ("bronze.shop.a", "landing.shop.a", "bronze.shop.b", "landing.shop.b", "silver.shop.fact"):
        services.retire(name)
    assert Dataset.objects.count() == 6
    services.retire("gold.shop.mart")
    assert not Dataset.objects.exists()


def test_a_job_that_comes_back_finds_its_readers_again(estate):
    services.retire("bronze.shop.a")
    again = declare("bronze.shop.a", ["landing.shop.a"])
    assert again.is_declared
    assert [each.name for each in again.downstream.all()] == ["silver.shop.fact"]


def test_a_new_version_with_the_same_schema_is_no_change_of_the_dataset():
    dataset = declare("bronze.shop.orders")
    for _ in range(3):
        publish_rows("bronze.shop.orders", pl.DataFrame({"id": [1]}))
    assert dataset.history.count() == 2


def test_a_dataset_that_has_a_version_stays_when_its_job_goes():
    declare("gold.shop.mart")
    publish_rows("gold.shop.mart", pl.DataFrame({"id": [1]}))
    services.retire("gold.shop.mart")
    assert Dataset.objects.filter(name="gold.shop.mart").exists()


def test_recording_a_version_twice_keeps_one():
    declare("bronze.shop.orders")
    first = publish_rows("bronze.shop.orders", pl.DataFrame({"id": [1, 2]}))
    dataset = Dataset.objects.get()
    assert (dataset.version, dataset.rows, first.rows_written) == (0, 2, 2)
    publish_rows("bronze.shop.orders", pl.DataFrame({"id": [3]}))
    assert list(dataset.versions.values_list("version", "rows")) == [(1, 1), (0, 2)]


def test_the_newest_version_is_asked_of_the_lake():
    declare("bronze.shop.orders")
    assert services.latest_version("bronze.shop.orders") is None
    publish_rows("bronze.shop.orders", pl.DataFrame({"id": [1]}))
    assert services.latest_version("bronze.shop.orders") == 0


# --- over HTTP --------------------------------------------------------------------------


def names(answer):
    assert answer.status_code == 200, answer.json()
    return [each["name"] for each in answer.json()["results"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("layer=silver", ["silver.shop.fact"]),
        ("layer=silver&layer=gold", ["gold.shop.mart", "silver.shop.fact"]),
        ("type=mart", ["gold.shop.mart"]),
        ("search=revenue", ["gold.shop.mart"]),
        ("search=shop.fact", ["silver.shop.fact"]),
        ("workflow=other", []),
    ],
)
def test_datasets_are_found_by_filters(estate, api, query, found):
    assert names(api.get(f"{DATASETS}?{query}")) == found


def test_a_layer_that_there_is_not_is_refused(estate, api):
    assert api.get(f"{DATASETS}?layer=platinum").status_code == 400


def test_a_dataset_tells_its_schema_and_its_neighbours(estate, api):
    body = api.get(f"{DATASETS}silver.shop.fact/").json()
    assert body["upstream"] == ["bronze.shop.a", "bronze.shop.b"]
    assert body["downstream"] == ["gold.shop.mart"]
    assert (body["layer"], body["type"], body["columns"], body["version_count"]) == ("silver", "fact", [], 0)
    assert api.get(f"{DATASETS}silver.shop.nothing/").status_code == 404


def test_a_sample_shows_values_that_json_can_carry(api):
    from datetime import date
    from decimal import Decimal

    declare("silver.shop.fact")
    frame = pl.DataFrame({"amount": [Decimal("1.10")], "day": [date(2026, 11, 22)], "raw": [b"\x01"], "share": [0.5]})
    publish_rows("silver.shop.fact", frame)
    body = api.get(f"{DATASETS}silver.shop.fact/sample/").json()
    assert body["rows"] == [{"amount": "1.10", "day": "2026-11-22", "raw": "AQ==", "share": 0.5}]
    assert body["version"] == 0


def test_a_sample_is_as_long_as_asked(api):
    declare("silver.shop.fact")
    publish_rows("silver.shop.fact", pl.DataFrame({"id": range(100)}))
    assert len(api.get(f"{DATASETS}silver.shop.fact/sample/").json()["rows"]) == 50
    assert len(api.get(f"{DATASETS}silver.shop.fact/sample/?limit=7").json()["rows"]) == 7
    assert api.get(f"{DATASETS}silver.shop.fact/sample/?limit=0").status_code == 400


def test_a_sample_of_what_was_never_published_says_what_to_do(estate, api):
    answer = api.get(f"{DATASETS}silver.shop.fact/sample/")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "table_missing")
    answer = api.get(f"{DATASETS}landing.shop.a/sample/")
    assert "bronze.shop.a" in answer.json()["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("query", "nodes"),
    [
        ("direction=upstream&depth=1", {"silver.shop.fact", "bronze.shop.a", "bronze.shop.b"}),
        ("direction=downstream", {"silver.shop.fact", "gold.shop.mart"}),
        (
            "",
            {
                "gold.shop.mart",
                "silver.shop.fact",
                "bronze.shop.a",
                "bronze.shop.b",
                "landing.shop.a",
                "landing.shop.b",
            },
        ),
    ],
)
def test_lineage_goes_as_far_as_asked(estate, api, query, nodes):
    body = api.get(f"{DATASETS}silver.shop.fact/lineage/?{query}").json()
    assert {node["id"] for node in body["nodes"]} == nodes
    assert {end for edge in body["edges"] for end in (edge["source"], edge["target"])} == nodes


@pytest.mark.parametrize("query", ["direction=sideways", "depth=0", "depth=many", "level=column", "colour=red"])
def test_a_lineage_that_cannot_be_given_is_refused(estate, api, query):
    assert api.get(f"{DATASETS}silver.shop.fact/lineage/?{query}").status_code == 400


def test_rolling_back_makes_an_old_version_the_newest(api):
    declare("silver.shop.fact")
    publish_rows("silver.shop.fact", pl.DataFrame({"id": [1, 2]}))
    publish_rows("silver.shop.fact", pl.DataFrame({"id": [3]}))
    answer = api.post(f"{DATASETS}silver.shop.fact/rollback/", {"version": 0})
    assert answer.status_code == 200, answer.json()
    assert (answer.json()["version"], answer.json()["rows"]) == (2, 2)
    rows = api.get(f"{DATASETS}silver.shop.fact/sample/").json()["rows"]
    assert sorted(row["id"] for row in rows) == [1, 2]
    versions = api.get(f"{DATASETS}silver.shop.fact/versions/").json()["results"]
    assert [version["version"] for version in versions] == [2, 1, 0]


def test_rolling_back_to_what_there_never_was_is_refused(api):
    declare("silver.shop.fact")
    publish_rows("silver.shop.fact", pl.DataFrame({"id": [1]}))
    answer = api.post(f"{DATASETS}silver.shop.fact/rollback/", {"version": 9})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (409, "table_missing")
    assert api.post(f"{DATASETS}silver.shop.fact/rollback/", {}).status_code == 400


def test_a_list_takes_the_same_few_queries_however_long_it_is(estate, api, django_assert_max_num_queries):
    for number in range(40):
        declare(f"bronze.shop.x{number}")
    with django_assert_max_num_queries(3):
        assert api.get(DATASETS).json()["count"] == 46


def test_a_person_who_is_not_logged_in_sees_nothing(estate, client):
    assert client.get(DATASETS).status_code == 401
