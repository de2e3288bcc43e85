"""Secrets that are written into a job's config: sealed on every road, kept, replaced, exported as a mark."""

import json

import pytest
import yaml
from django.contrib.auth.models import Group, Permission
from django.core.management import CommandError, call_command
from django.db import connection as database

from assay.common.secrets import MASK
from ingest.models import IngestJob
from ingest.services import access_for, spec_of
from tests.factories import make_connection, make_workflow
from workers.errors import AssayError
from workers.ids import new_run_id

pytestmark = pytest.mark.django_db
URL = "/api/workflows/shop/ingest-jobs/"
TOKEN = "tok-4f1c-unmistakable"


def config(**auth):
    return {"api": {"url": "https://api.example.org/orders", "auth": auth or {"type": "bearer", "token": TOKEN}}}


@pytest.fixture
def shop():
    return make_workflow()


@pytest.fixture
def made(api, shop):
    answer = api.post(URL, {"name": "orders", "source_type": "api", "config": config()})
    assert answer.status_code == 201, answer.json()
    return answer.json()


def job():
    return IngestJob.objects.get(name="orders")


def stored_text():
    """Everything that the two tables of jobs hold, as the database has it."""
    with database.cursor() as cursor:
        rows = []
        for table in ("ingest_ingestjob", "ingest_historicalingestjob"):
            cursor.execute(f"SELECT * FROM {table}")
            rows += cursor.fetchall()
    return str(rows)


def test_the_api_seals_a_secret_and_shows_a_mark(made, api):
    assert made["config"]["api"]["auth"] == {"type": "bearer", "token": MASK}
    assert job().secrets == {"api.auth.token": TOKEN}
    for path in ("", "orders/", "orders/history/"):
        assert TOKEN not in api.get(URL + path).content.decode()
    assert TOKEN not in stored_text()


def test_what_the_api_shows_may_be_sent_back(made, api):
    assert api.put(f"{URL}orders/", made).status_code == 200
    assert api.patch(f"{URL}orders/", {"description": "x"}).status_code == 200
    assert job().secrets == {"api.auth.token": TOKEN}


def test_a_new_secret_replaces_the_old_one(made, api):
    assert api.patch(f"{URL}orders/", {"config": config(type="bearer", token="another")}).status_code == 200
    assert job().secrets == {"api.auth.token": "another"}


def test_a_secret_that_is_not_used_any_more_is_forgotten(made, api):
    assert api.patch(f"{URL}orders/", {"config": config(type="none")}).status_code == 200
    assert job().secrets is None


def test_a_mark_for_which_nothing_is_stored_is_refused_at_its_place(made, api):
    answer = api.patch(f"{URL}orders/", {"config": config(type="basic", username="me", password=MASK)})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["attr"], error["code"]) == ("config.api.auth.password", "secret_missing")


@pytest.mark.parametrize("path", ["api.url", "api.auth.token_url"])
def test_a_kept_secret_does_not_follow_the_job_to_another_server(api, shop, path):
    """Else whoever may edit the job, and does not know the secret, could have it sent to themselves."""
    oauth = {"type": "oauth2_client_credentials", "client_id": "me", "client_secret": TOKEN}
    body = config(**oauth, token_url="https://login.example.org/token")
    assert api.post(URL, {"name": "orders", "source_type": "api", "config": body}).status_code == 201
    part = job().config
    place = part["api"]["auth"] if "auth" in path else part["api"]
    name = path.rpartition(".")[2]
    place[name] = place[name] + "/v2"
    assert api.patch(f"{URL}orders/", {"config": part}).status_code == 200
    place[name] = "https://elsewhere.example/orders"
    [error] = api.patch(f"{URL}orders/", {"config": part}).json()["errors"]
    assert (error["attr"], error["code"]) == ("config.api.auth.client_secret", "secret_needed_again")
    part["api"]["auth"]["client_secret"] = "entered-again"
    assert api.patch(f"{URL}orders/", {"config": part}).status_code == 200
    assert job().secrets == {"api.auth.client_secret": "entered-again"}


def test_a_record_that_is_saved_by_a_script_is_sealed_as_well(shop):
    IngestJob.objects.create(workflow=shop, name="orders", source_type="api", config=config())
    assert TOKEN not in stored_text()
    record = job()
    record.config = config(type="bearer", token="by-script")
    record.save(update_fields=["config"])
    assert job().secrets == {"api.auth.token": "by-script"}


def test_the_admin_seals_and_keeps_a_secret(made, client, engineer):
    client.force_login(engineer)
    address = f"/admin/ingest/ingestjob/{job().pk}/change/"
    page = client.get(address)
    assert TOKEN not in page.content.decode()
    fields = page.context["adminform"].form.initial
    fields |= {name: json.dumps(fields[name]) for name, value in fields.items() if isinstance(value, dict | list)}
    fields = {name: value for name, value in fields.items() if value is not None and value is not False}
    fields["description"] = "by hand"
    assert client.post(address, fields).status_code == 302
    assert (job().description, job().secrets) == ("by hand", {"api.auth.token": TOKEN})


# --- the worker's side -----------------------------------------------------------------------


def access():
    record = job()
    return access_for(spec_of(record, str(new_run_id())))


def test_the_worker_gets_the_secret_and_the_spec_does_not(made):
    record = job()
    spec = spec_of(record, str(new_run_id()))
    assert TOKEN not in repr(spec)
    found = access_for(spec)
    assert found.secrets == {"api.auth.token": TOKEN}
    assert TOKEN not in repr(found)


def test_a_reference_is_seen_in_the_job_and_resolved_by_the_worker(api, shop, monkeypatch):
    reference = config(type="bearer", token="env:ORDERS_TOKEN")
    answer = api.post(URL, {"name": "orders", "source_type": "api", "config": reference})
    assert answer.json()["config"] == reference
    with pytest.raises(AssayError, match="ORDERS_TOKEN"):
        access()
    monkeypatch.setenv("ORDERS_TOKEN", TOKEN)
    assert access().secrets == {"api.auth.token": TOKEN}


def test_a_secret_without_its_key_fails_the_run_in_words(made, settings):
    settings.ASSAY_ENCRYPTION_KEYS = ["another key"]
    with pytest.raises(AssayError, match="cannot be decrypted"):
        access()


def test_the_worker_gets_the_connection_with_its_secrets(shop, settings):
    make_connection("crm", "http", password=TOKEN, options={"base_url": "https://x.example", "headers": {"X-A": "h1"}})
    IngestJob.objects.create(
        workflow=shop, name="orders", source_type="api", config={"api": {"url": "/orders", "connection": "crm"}}
    )
    settings.ASSAY_HTTP_ALLOW_PRIVATE = ["10.0.0.0/8"]
    found = access()
    assert (found.connection("crm").password, found.connection("crm").options["headers"]) == (TOKEN, {"X-A": "h1"})
    assert found.http.allow == ("10.0.0.0/8",)
    assert found.services.allow == ("*",)
    assert TOKEN not in repr(found)


# --- files -----------------------------------------------------------------------------------


def apply(path, capsys):
    call_command("apply", str(path))
    return capsys.readouterr().out


def test_an_exported_workflow_has_a_mark_that_keeps_what_is_stored(made, tmp_path, capsys):
    path = tmp_path / "shop.yaml"
    call_command("export_workflow", "shop", output=path)
    assert MASK in path.read_text()
    assert TOKEN not in path.read_text()
    assert "0 to change" in apply(path, capsys)
    assert job().secrets == {"api.auth.token": TOKEN}


def test_a_file_with_a_mark_for_a_new_job_is_refused_with_its_place(made, tmp_path):
    path = tmp_path / "shop.yaml"
    call_command("export_workflow", "shop", output=path)
    job().delete()
    with pytest.raises(CommandError, match=r"ingest_jobs\.0\.config\.api\.auth\.token"):
        call_command("apply", str(path))


def test_a_file_with_a_new_secret_changes_it_and_the_plan_does_not_tell_it(made, tmp_path, capsys):
    path = tmp_path / "shop.yaml"
    call_command("export_workflow", "shop", output=path)
    document = yaml.safe_load(path.read_text())
    document["ingest_jobs"][0]["config"]["api"]["auth"]["token"] = "from-the-file"
    path.write_text(yaml.safe_dump(document))
    told = apply(path, capsys)
    assert "config.api.auth.token" in told
    assert "from-the-file" not in told
    assert TOKEN not in told
    assert job().secrets == {"api.auth.token": "from-the-file"}


# --- which connection a job may name ---------------------------------------------------------


def test_a_job_names_a_connection_that_is_there_and_fits(api, shop):
    make_connection("erp", "postgresql")
    for name in ("erp", "none"):
        body = {"name": "orders", "source_type": "api", "config": {"api": {"url": "/orders", "connection": name}}}
        [error] = api.post(URL, body).json()["errors"]
        assert (error["attr"], error["code"]) == ("config.api.connection", "unknown_connection")


def test_a_job_names_only_what_its_saver_may_use(client, api, shop, django_user_model):
    """The saver edits jobs, and is in no group of the connection's."""
    from rest_framework.test import APIClient

    make_connection("erp").groups.add(Group.objects.create(name="finance"))
    body = {
        "name": "orders",
        "source_type": "database",
        "config": {"db": {"connection": "erp", "table_name": "public.orders"}},
    }
    assert api.post(URL, body).status_code == 201  # who may change connections may use each
    person = django_user_model.objects.create_user("ann")
    person.user_permissions.set(Permission.objects.filter(codename__in=["add_ingestjob", "change_ingestjob"]))
    ann = APIClient()
    ann.force_authenticate(person)
    [error] = ann.post(URL, {**body, "name": "other"}).json()["errors"]
    assert (error["attr"], error["code"]) == ("config.db.connection", "not_allowed")
    changed = {"db": {"connection": "erp", "table_name": "public.salaries"}}
    assert ann.patch(f"{URL}orders/", {"config": changed}).status_code == 400
    assert ann.patch(f"{URL}orders/", {"description": "what ann says"}).status_code == 200
    person.groups.add(Group.objects.get(name="finance"))
    fresh = django_user_model.objects.get(pk=person.pk)
    ann.force_authenticate(fresh)
    assert ann.patch(f"{URL}orders/", {"config": changed}).status_code == 200


def test_nor_in_the_admin(client, shop, django_user_model):
    make_connection("erp").groups.add(Group.objects.create(name="finance"))
    person = django_user_model.objects.create_user("ann", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(content_type__app_label__in=["ingest"]))
    client.force_login(person)
    fields = {
        "workflow": shop.pk,
        "name": "orders",
        "source_type": "database",
        "format": "csv",
        "bad_row_threshold": 0.05,
    }
    fields |= {
        "config": json.dumps({"db": {"connection": "erp", "table_name": "t"}}),
        "partition_pattern": "yyyy/MM/dd",
    }
    fields |= {"schema_mode": "infer", "partition_mode": "date", "compression": "zstd", "error_handling": "fail"}
    fields |= {"incremental_mode": "full", "write_mode": "overwrite", "user_schema": "[]", "delete_detection": "off"}
    answer = client.post("/admin/ingest/ingestjob/add/", fields)
    assert answer.status_code == 200
    assert "You may not use the connection" in str(answer.context["adminform"].form.errors)
    assert not IngestJob.objects.exists()
