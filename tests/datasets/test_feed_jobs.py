"""Feeds as a job: who may deliver where, what the page shows, what may be taken away."""

import json
from pathlib import Path

import polars as pl
import pytest
from django.contrib.auth.models import Group, Permission
from rest_framework.test import APIClient

from catalog.models import Dataset
from datasets.models import DatasetJob
from datasets.transforms import TRANSFORMS
from datasets.transforms.export_feed import ExportFeedOptions
from ops import services
from ops.local import run_in_process
from tests.datasets.test_conform_jobs import put
from tests.factories import make_connection

pytestmark = pytest.mark.django_db

PAGE = "/workflows/shop/gold-jobs/feed/deliveries/"
JOB = {
    "name": "feed",
    "dataset_type": "export_feed",
    "transform_type": "export_feed",
    "inputs": [{"dataset": "bronze.shop.orders", "alias": "orders"}],
    "config": {"format": "csv", "destination": "feeds/shop", "file_name": "orders.csv"},
}


@pytest.fixture
def source(shop, settings):
    put(settings, "orders", pl.DataFrame({"id": [2, 1], "note": ["b", "a"]}))


def post(api, **config):
    return api.post("/api/workflows/shop/gold-jobs/", {**JOB, "config": {**JOB["config"], **config}}, format="json")


@pytest.fixture
def feed(source, api):
    answer = post(api, order_by=["id"])
    assert answer.status_code == 201, answer.json()
    return DatasetJob.objects.get(name="feed")


def run(job):
    run_in_process(services.start_job_run("gold", job, send=False))
    done = job.runs.latest("created_at")
    assert done.status == "success", done.error
    return done


def test_a_run_delivers_and_keeps_the_receipt(feed, settings):
    done = run(feed)
    folder = Path(settings.ASSAY_LAKE_URL) / "feeds/shop"
    assert (folder / "orders.csv").read_text() == "id,note\n1,a\n2,b\n"
    assert done.facts["delivery"]["files"] == json.loads((folder / "orders.csv.manifest.json").read_text())["files"]


def test_the_page_lists_deliveries_and_gives_away_the_one_that_is_there(
    feed, client, engineer, django_assert_max_num_queries
):
    client.force_login(engineer)
    assert "Nothing was delivered yet" in client.get(PAGE).text
    first, second = run(feed), run(feed)
    with django_assert_max_num_queries(10):
        text = client.get(PAGE).text
    assert text.count("orders.csv") >= 2
    assert client.get(f"{PAGE}{first.pk}/orders.csv/").status_code == 404  # its file was replaced
    answer = client.get(f"{PAGE}{second.pk}/orders.csv/")
    assert b"".join(answer.streaming_content) == b"id,note\n1,a\n2,b\n"
    assert answer["Content-Disposition"] == 'attachment; filename="orders.csv"'
    manifest = json.loads(b"".join(client.get(f"{PAGE}{second.pk}/orders.csv.manifest.json/").streaming_content))
    assert manifest["run_id"] == str(second.pk)
    assert f"{PAGE}{second.pk}/orders.csv/" in text
    assert f"{PAGE}{second.pk}/orders.csv.manifest.json/" in text
    assert f"{PAGE}{first.pk}/orders.csv/" not in text
    assert PAGE in client.get("/workflows/shop/gold-jobs/feed/").text


@pytest.mark.parametrize("file", ["orders.csv.manifest.json.part", "other.csv", "..", "%2e%2e%2fsecret"])
def test_nothing_but_a_delivered_file_is_given_away(feed, client, engineer, file):
    done = run(feed)
    client.force_login(engineer)
    assert client.get(f"{PAGE}{done.pk}/{file}/").status_code == 404


def test_strangers_see_no_deliveries(feed, client):
    done = run(feed)
    assert client.get(PAGE).status_code == 302
    assert client.get(f"{PAGE}{done.pk}/orders.csv/").status_code == 302


def test_whoever_may_not_see_the_dataset_takes_nothing_away(feed, client, engineer, monkeypatch):
    done = run(feed)
    monkeypatch.setattr(type(Dataset.objects.all()), "visible_to", lambda found, user: found.none())
    client.force_login(engineer)
    assert client.get(f"{PAGE}{done.pk}/orders.csv/").status_code == 404


def test_a_preview_shows_the_first_rows_and_delivers_nothing(feed, api, settings):
    answer = api.post("/api/workflows/shop/gold-jobs/feed/preview/")
    assert answer.status_code == 200, answer.json()
    assert answer.json()["rows"] == [{"id": 1, "note": "a"}, {"id": 2, "note": "b"}]
    assert not (Path(settings.ASSAY_LAKE_URL) / "feeds").exists()


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"destination": "../elsewhere"}, "config.destination"),
        ({"destination": "/etc"}, "config.destination"),
        ({"destination": "gold/shop"}, "config.destination"),
        ({"destination": "s3://"}, "config.destination"),
        ({"destination": "s3://bucket/../x"}, "config.destination"),
        ({"file_name": "a/b.csv"}, "config.file_name"),
        ({"file_name": "{who}.csv"}, "config.file_name"),
        ({"connection": "erp"}, "config.connection"),
        ({"destination": "s3://bucket/x", "connection": "erp"}, "config.connection"),
        ({"columns": ["nr"]}, "config.columns.0"),
        ({"columns": ["id", "id"]}, "config.columns.1"),
        ({"columns": ["id"], "csv": {"null_value": "-"}, "order_by": ["-note"]}, "config.order_by.0"),
        ({"csv": {"delimiter": '"'}}, "config.csv.delimiter"),
        ({"csv": {"delimiter": "."}}, "config.csv.delimiter"),
        ({"csv": {"delimiter": "5"}}, "config.csv.delimiter"),
        ({"csv": {"delimiter": "é"}}, "config.csv.delimiter"),
        ({"csv": {"null_value": "a,b"}}, "config.csv.null_value"),
        ({"csv": {"delimiter": ";", "null_value": "\n"}}, "config.csv.null_value"),
        ({"columns": ["note"]}, "config.csv.null_value"),
        ({"format": "json", "csv": {"header": False}}, "config.csv"),
        ({"max_rows_per_file": 0}, "config.max_rows_per_file"),
        ({"compression": "rar"}, "config.compression"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(source, api, config, field):
    answer = post(api, **config)
    assert answer.status_code == 400
    assert [error["attr"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("csv", [{"delimiter": "|"}, {"delimiter": "\t", "null_value": "-"}, {"delimiter": "\x01"}])
def test_usual_ways_of_csv_are_taken(source, api, csv):
    assert post(api, csv=csv).status_code == 201


def test_one_column_is_delivered_when_a_null_has_a_text(source, api):
    assert post(api, columns=["note"], csv={"null_value": "NULL"}).status_code == 201


def test_a_folder_of_the_lake_may_be_written_with_its_whole_path(source, api, settings):
    assert post(api, destination=f"{settings.ASSAY_LAKE_URL}/feeds/shop").status_code == 201


def test_the_lake_itself_is_no_folder_for_a_feed(settings):
    settings.ASSAY_LAKE_URL = "s3://company/lake"
    problem = TRANSFORMS["export_feed"].problems
    config = {**JOB["config"], "destination": "s3://company/lake/"}
    assert [fault.attr for fault in problem(ExportFeedOptions(**config), {}, "config")] == ["config.destination"]
    config["destination"] = "s3://company/feeds"
    assert list(problem(ExportFeedOptions(**config), {}, "config")) == []


def test_only_who_may_use_a_connection_may_send_something_through_it(source, django_user_model):
    partner = make_connection("partner", "s3")
    partner.groups.add(Group.objects.create(name="partners"))
    editor = django_user_model.objects.create_user("editor", password="correct-horse")
    editor.user_permissions.set(Permission.objects.filter(codename__contains="datasetjob"))
    editor.user_permissions.add(*Permission.objects.filter(codename__in=("view_workflow", "view_dataset")))
    api = APIClient()
    api.force_authenticate(editor)
    answer = post(api, destination="s3://partner/in", connection="partner")
    assert [(e["attr"], e["code"]) for e in answer.json()["errors"]] == [("config.connection", "not_allowed")]
    editor.groups.add(Group.objects.get(name="partners"))
    assert post(api, destination="s3://partner/in", connection="partner").status_code == 201


def test_a_connection_that_a_feed_uses_cannot_be_deleted(source, api):
    make_connection("partner", "s3")
    assert post(api, destination="s3://partner/in", connection="partner").status_code == 201
    answer = api.delete("/api/connections/partner/")
    assert answer.status_code == 409
    assert "shop.feed" in answer.json()["errors"][0]["detail"]
