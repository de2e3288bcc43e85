"""Connections over HTTP: kept without showing a secret, tested, looked into, used by whom they are for."""

import socket
import sqlite3

import pytest
from django.contrib.auth.models import Group, Permission
from rest_framework.test import APIClient

from assay.common.secrets import MASK
from ops.connections import services
from ops.models import Connection
from tests.factories import make_connection, make_ingest_job, make_workflow
from tests.ports import closed_port

pytestmark = pytest.mark.django_db
URL = "/api/connections/"
PASSWORD = "pw-7d21-unmistakable"
POSTGRES = {
    "name": "erp",
    "kind": "postgresql",
    "host": "db.example.org",
    "port": 5432,
    "database": "erp",
    "username": "reader",
    "password": PASSWORD,
    "options": {"sslmode": "verify-full"},
}
HTTP = {
    "name": "crm",
    "kind": "http",
    "password": PASSWORD,
    "options": {
        "base_url": "https://api.example.org/v1",
        "headers": {"X-Tenant": "tenant-5c"},
        "auth": {"type": "bearer"},
    },
}


def created(api, body):
    answer = api.post(URL, body)
    assert answer.status_code == 201, answer.json()
    return answer.json()


def errors_of(answer):
    assert answer.status_code == 400, answer.json()
    return {error["attr"]: error["code"] for error in answer.json()["errors"]}


def plain(name):
    return services.for_worker(name)


# --- keeping -------------------------------------------------------------------------------


def test_a_connection_is_kept_and_its_password_never_comes_back(api):
    shown = created(api, POSTGRES)
    assert {name: shown[name] for name in POSTGRES} == {**POSTGRES, "password": MASK}
    for path in ("", "erp/", "erp/history/"):
        assert PASSWORD not in api.get(URL + path).content.decode()
    assert plain("erp").password == PASSWORD


def test_secrets_among_the_options_are_kept_alike(api):
    assert created(api, HTTP)["options"]["headers"] == {"X-Tenant": MASK}
    assert plain("crm").options["headers"] == {"X-Tenant": "tenant-5c"}


@pytest.mark.parametrize("change", [{"description": "x"}, {"password": MASK}, {"host": "other.example.org"}])
def test_a_password_stays_until_another_is_sent(api, change):
    created(api, POSTGRES)
    assert api.patch(f"{URL}erp/", change).status_code == 200
    assert plain("erp").password == PASSWORD
    assert api.patch(f"{URL}erp/", {"password": "another"}).status_code == 200
    assert plain("erp").password == "another"
    assert api.patch(f"{URL}erp/", {"password": ""}).json()["password"] == ""
    assert plain("erp").password == ""


def test_what_is_shown_may_be_put_back(api):
    shown = created(api, HTTP)
    assert api.put(f"{URL}crm/", shown).status_code == 200
    assert (plain("crm").password, plain("crm").options["headers"]) == (PASSWORD, {"X-Tenant": "tenant-5c"})


def test_a_reference_is_shown_and_resolved_for_the_worker_only(api, monkeypatch):
    assert created(api, {**POSTGRES, "password": "env:ERP_PASSWORD"})["password"] == "env:ERP_PASSWORD"
    monkeypatch.setenv("ERP_PASSWORD", PASSWORD)
    assert plain("erp").password == PASSWORD
    assert PASSWORD not in repr(plain("erp"))


@pytest.mark.parametrize(
    ("change", "field", "code"),
    [
        ({"host": ""}, "host", "required"),
        ({"host": "https://db.example.org"}, "host", "invalid_host"),
        ({"host": "/var/run/postgresql"}, "host", "invalid_host"),
        ({"host": "a b"}, "host", "invalid_host"),
        ({"port": 70000}, "port", "max_value"),
        ({"kind": "mongodb"}, "kind", "invalid_choice"),
        ({"name": "No Slug"}, "name", "invalid_slug"),
        ({"name": "new"}, "name", "reserved_name"),
        ({"password": "env:DATABASE_URL"}, "password", "invalid_reference"),
        ({"password": "file:/etc/passwd"}, "password", "invalid_reference"),
        ({"password": MASK}, "password", "secret_missing"),
        ({"options": {"sslmode": "never"}}, "options.sslmode", "literal_error"),
        ({"options": {"sslmod": "require"}}, "options.sslmod", "unknown_field"),
        ({"options": {"ssl_ca": "/etc/ssl/ca.pem"}}, "options.ssl_ca", "value_error"),
        ({"options": []}, "options", "wrong_type"),
        ({"pasword": "x"}, "pasword", "unknown_field"),
        ({"groups": ["nobody"]}, "groups", "does_not_exist"),
        ({"kind": "sqlite"}, "host", "not_allowed"),
        ({"kind": "s3", "password": "", "options": {}}, "password", "required"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(api, change, field, code):
    found = errors_of(api.post(URL, {**POSTGRES, **change}))
    assert found[field] == code


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"options": {}}, "options.base_url"),
        ({"options": {"base_url": "ftp://x"}}, "options.base_url"),
        ({"options": {"base_url": "https://me:secret@x.example"}}, "options.base_url"),
        ({"options": {"base_url": "https://x.example", "headers": {"A\nB": "c"}}}, "options.headers"),
        ({"host": "x.example"}, "host"),
        ({"password": ""}, "password"),
    ],
)
def test_an_api_has_one_plain_address(api, change, field):
    assert field in errors_of(api.post(URL, {**HTTP, **change}))


def test_name_and_kind_never_change(api):
    created(api, POSTGRES)
    assert errors_of(api.patch(f"{URL}erp/", {"name": "other"})) == {"name": "immutable"}
    assert "kind" in errors_of(api.patch(f"{URL}erp/", {"kind": "mysql"}))
    assert errors_of(api.post(URL, POSTGRES)) == {"name": "unique"}


def test_a_sqlite_file_lies_in_a_source_folder_after_links_are_followed(api, settings, tmp_path):
    [inbox] = settings.ASSAY_LOCAL_SOURCE_ROOTS
    outside = tmp_path / "outside.sqlite"
    outside.touch()
    (inbox / "link.sqlite").symlink_to(outside)
    for place in (
        outside,
        inbox / "link.sqlite",
        f"{inbox}/../../outside.sqlite",
        "relative.sqlite",
        f"{inbox}/a?mode=rw",
    ):
        body = {"name": "local", "kind": "sqlite", "database": str(place)}
        assert errors_of(api.post(URL, body)) == {"database": "outside_source_roots"}, place
    created(api, {"name": "local", "kind": "sqlite", "database": str(inbox / "shop.sqlite")})


def test_a_connection_that_jobs_name_is_not_deleted(api):
    make_connection("erp")
    config = {"db": {"connection": "erp", "table_name": "public.orders"}}
    job = make_ingest_job(make_workflow(), source_type="database", config=config)
    answer = api.delete(f"{URL}erp/")
    assert answer.status_code == 409
    [error] = answer.json()["errors"]
    assert (error["code"], "shop.orders" in error["detail"]) == ("connection_in_use", True)
    job.delete()
    assert api.delete(f"{URL}erp/").status_code == 204


# --- testing and looking ---------------------------------------------------------------------


@pytest.fixture
def shop_file(settings):
    [inbox] = settings.ASSAY_LOCAL_SOURCE_ROOTS
    with sqlite3.connect(inbox / "shop.sqlite") as database:
        database.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, amount DECIMAL(10,2) NOT NULL)")
        database.execute("CREATE TABLE customers (id INTEGER, name TEXT)")
    return str(inbox / "shop.sqlite")


def test_a_test_says_that_it_works_and_is_remembered(api, shop_file):
    created(api, {"name": "local", "kind": "sqlite", "database": shop_file})
    answer = api.post(f"{URL}local/test/")
    assert (answer.status_code, answer.json()["ok"]) == (200, True), answer.json()
    shown = api.get(f"{URL}local/").json()
    assert (shown["test_ok"], shown["test_message"]) == (True, answer.json()["message"])


@pytest.mark.parametrize("body", [POSTGRES, {**POSTGRES, "kind": "mysql"}, HTTP, {**POSTGRES, "kind": "mssql"}])
def test_a_test_that_fails_says_why_without_the_secret(api, body):
    with closed_port() as port:
        if body["kind"] == "http":
            body = {**body, "options": {**body["options"], "base_url": f"http://127.0.0.1:{port}"}}
        else:
            body = {**body, "host": "127.0.0.1", "port": port, "options": {}}
        created(api, body)
        answer = api.post(f"{URL}{body['name']}/test/")
    assert (answer.status_code, answer.json()["ok"]) == (200, False)
    assert answer.json()["message"]
    assert PASSWORD not in answer.content.decode()


def test_a_server_that_never_answers_does_not_hold_the_test_up(api, monkeypatch):
    monkeypatch.setattr(services, "TEST_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        created(api, {**POSTGRES, "host": "127.0.0.1", "port": silent.getsockname()[1]})
        answer = api.post(f"{URL}erp/test/")
    assert answer.json()["ok"] is False
    assert "within 1 s" in answer.json()["message"]


def test_a_store_is_tested_by_a_look_into_its_bucket(api, s3_server):
    options = {"endpoint_url": s3_server["ASSAY_S3_ENDPOINT_URL"]}
    store = {"name": "store", "kind": "s3", "username": "lake", "password": "lake-secret", "database": "lake"}
    created(api, {**store, "options": options})
    assert api.post(f"{URL}store/test/").json()["ok"] is True
    api.patch(f"{URL}store/", {"database": "no-such-bucket"})
    answer = api.post(f"{URL}store/test/").json()
    assert (answer["ok"], "no-such-bucket" in answer["message"]) == (False, True)


def test_an_address_that_the_policy_refuses_is_not_tested(api, settings):
    settings.ASSAY_CONNECTIONS_ALLOW_PRIVATE = []
    created(api, {**POSTGRES, "host": "127.0.0.1"})
    message = api.post(f"{URL}erp/test/").json()["message"]
    assert "ASSAY_CONNECTIONS_ALLOW_PRIVATE" in message


def test_tables_are_listed_with_their_columns(api, shop_file):
    created(api, {"name": "local", "kind": "sqlite", "database": shop_file})
    found = api.get(f"{URL}local/tables/").json()["tables"]
    assert sorted(table["name"].rpartition(".")[2] for table in found) == ["customers", "orders"]
    [orders] = api.get(f"{URL}local/tables/?search=ORD").json()["tables"]
    assert [(column["name"], column["nullable"]) for column in orders["columns"]][1] == ("amount", False)


def test_what_is_no_database_has_no_tables(api):
    created(api, HTTP)
    assert api.get(f"{URL}crm/tables/").status_code == 409


# --- who may ---------------------------------------------------------------------------------


def as_person(django_user_model, *permissions, groups=()):
    person = django_user_model.objects.create_user("ann")
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    person.groups.set(groups)
    client = APIClient()
    client.force_authenticate(person)
    return client


@pytest.fixture
def two():
    """One for everybody who edits jobs, one for a group."""
    finance = Group.objects.create(name="finance")
    make_connection("open")
    make_connection("closed").groups.add(finance)
    return finance


def names(client):
    return [each["name"] for each in client.get(URL).json()["results"]]


def test_who_edits_jobs_sees_what_is_for_everybody(two, django_user_model):
    ann = as_person(django_user_model, "add_ingestjob")
    assert names(ann) == ["open"]
    for path in ("closed/", "closed/tables/"):
        assert ann.get(URL + path).status_code == 404
    assert ann.post(f"{URL}closed/test/").status_code == 404


def test_a_member_of_the_group_uses_it_and_changes_nothing(two, django_user_model):
    ann = as_person(django_user_model, "change_ingestjob", groups=[two])
    assert names(ann) == ["closed", "open"]
    assert ann.post(f"{URL}closed/test/").status_code == 200
    assert ann.patch(f"{URL}closed/", {"groups": []}).status_code == 403
    assert ann.post(URL, POSTGRES).status_code == 403
    assert ann.delete(f"{URL}closed/").status_code == 403


def test_who_may_change_connections_uses_every_one(two, django_user_model):
    ann = as_person(django_user_model, "change_connection")
    assert names(ann) == ["closed", "open"]
    assert ann.patch(f"{URL}closed/", {"groups": []}).status_code == 200
    assert not Connection.objects.get(name="closed").groups.exists()


def test_who_only_looks_at_data_sees_no_connection(two, django_user_model):
    assert names(as_person(django_user_model)) == []
    assert APIClient().get(URL).status_code == 401
