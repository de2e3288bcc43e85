"""Pages of connections: every kind is made, secrets stay on the server, rights are asked."""

import sqlite3

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from assay.common.secrets import MASK
from ops.connections import services
from ops.models import Connection
from tests.factories import make_connection, make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db
SECRET = "pw-91ab-unmistakable"


@pytest.fixture
def page(client, engineer):
    client.force_login(engineer)
    return client


def saved(page, address="/connections/new/", **fields):
    answer = page.post(address, fields)
    assert answer.status_code == 302, answer.context["form"].errors
    return Connection.objects.latest("updated_at")


SERVER = {"name": "erp", "host": "db.example.org", "database": "erp", "username": "reader", "password": SECRET}
STORE = {"name": "store", "kind": "s3", "username": "AKIA", "password": SECRET, "database": "lake"}
CRM = {"name": "crm", "kind": "http", "base_url": "https://api.example.org/v1", "password": SECRET}


@pytest.mark.parametrize(
    ("fields", "options"),
    [
        (
            {**SERVER, "kind": "postgresql", "sslmode": "verify-full", "schema": "sales"},
            {"sslmode": "verify-full", "schema": "sales"},
        ),
        ({**SERVER, "kind": "mysql", "port": "3307", "sslmode": "disable"}, {"sslmode": "disable"}),
        ({**SERVER, "kind": "mssql", "encryption": "require"}, {"encryption": "require"}),
        ({**SERVER, "kind": "oracle"}, {}),
        ({**STORE, "endpoint_url": "https://minio.example.org"}, {"endpoint_url": "https://minio.example.org"}),
        (
            {**CRM, "auth_type": "api_key", "auth_name": "X-Key", "auth_location": "query"},
            {"base_url": CRM["base_url"], "auth": {"type": "api_key", "name": "X-Key", "location": "query"}},
        ),
    ],
    ids=["postgresql", "mysql", "mssql", "oracle", "s3", "http"],
)
def test_a_connection_of_each_kind_is_made_with_the_form(page, fields, options):
    made = saved(page, **fields)
    assert (made.kind, made.options, made.password) == (fields["kind"], options, MASK)
    assert services.plain(made).password == SECRET
    for address in ("/connections/", f"/connections/{made.name}/", f"/connections/{made.name}/edit/"):
        answer = page.get(address)
        assert answer.status_code == 200
        assert SECRET not in answer.content.decode()


def test_what_another_kind_would_have_is_left_out(page, settings):
    """Fields that were filled in before the kind was changed are hidden, and mean nothing."""
    [inbox] = settings.ASSAY_LOCAL_SOURCE_ROOTS
    made = saved(
        page, **{**SERVER, "kind": "sqlite", "database": f"{inbox}/a.sqlite", "sslmode": "require", "scope": "x"}
    )
    assert (made.host, made.username, made.password, made.options) == ("", "", "", {})


def test_an_empty_password_stays_what_it_was_until_it_is_forgotten(page):
    made = saved(page, **SERVER, kind="postgresql")
    fields = {name: value for name, value in SERVER.items() if name != "password"}
    kept = saved(page, f"/connections/{made.name}/edit/", **fields, description="changed")
    assert (kept.description, services.plain(kept).password) == ("changed", SECRET)
    kept = saved(page, f"/connections/{made.name}/edit/", **fields, forget_password="on")
    assert (kept.password, kept.secrets) == ("", None)


def test_headers_are_edited_line_by_line_without_being_shown(page):
    made = saved(page, **CRM, headers=f"X-Tenant: {SECRET}\nX-Other: two")
    shown = page.get("/connections/crm/edit/").content.decode()
    assert f"X-Tenant: {MASK}" in shown
    assert SECRET not in shown
    fields = {name: value for name, value in CRM.items() if name != "password"}
    kept = saved(page, "/connections/crm/edit/", **fields, headers=f"X-Tenant: {MASK}\nX-Other: three")
    assert services.plain(kept).options["headers"] == {"X-Tenant": SECRET, "X-Other": "three"}
    assert made.pk == kept.pk


def test_a_new_form_begins_with_a_kind(page):
    assert 'value="postgresql" checked' in page.get("/connections/new/").content.decode()


def test_a_host_that_the_form_does_not_show_stays(page):
    """The API takes host and port in the place of an address."""
    make_connection("crm", "http", host="api.example.org", port=8443, options={})
    kept = saved(page, "/connections/crm/edit/", name="crm", description="changed", host="typed-before", port="1")
    assert (kept.description, kept.host, kept.port) == ("changed", "api.example.org", 8443)


def test_what_is_wrong_stands_at_its_field(page):
    answer = page.post(
        "/connections/new/", {"name": "crm", "kind": "http", "base_url": "ftp://x", "headers": "no colon"}
    )
    assert {"base_url", "headers"} <= set(answer.context["form"].errors)
    answer = page.post("/connections/new/", {"name": "erp", "kind": "postgresql"})
    assert {"host", "database", "username"} == set(answer.context["form"].errors)
    assert not Connection.objects.exists()


def test_the_list_says_who_uses_a_connection_in_a_fixed_number_of_queries(page):
    def queries():
        with CaptureQueriesContext(
            database,
        ) as counted:
            page.get("/connections/")
        return len(counted)

    workflow = make_workflow()
    make_connection("erp")
    few = queries()
    for number in range(5):
        make_connection(f"erp{number}")
        config = {"db": {"connection": "erp", "table_name": f"t{number}"}}
        make_ingest_job(workflow, f"job{number}", source_type="database", config=config)
    assert queries() == few
    assert "5 jobs" in page.get("/connections/").content.decode()
    assert "shop.job3" in page.get("/connections/erp/").content.decode()


def test_the_test_button_shows_how_it_went(page, settings):
    [inbox] = settings.ASSAY_LOCAL_SOURCE_ROOTS
    make_connection("local", "sqlite", database=f"{inbox}/none.sqlite")
    answer = page.post("/connections/local/test/", headers={"HX-Request": "true"})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert 'id="connection-test"' in text
    assert Connection.objects.get(name="local").test_message.split()[0] in text


def test_tables_are_looked_through(page, settings):
    [inbox] = settings.ASSAY_LOCAL_SOURCE_ROOTS
    with sqlite3.connect(inbox / "shop.sqlite") as file:
        file.execute("CREATE TABLE orders (id INTEGER, amount REAL)")
        file.execute("CREATE TABLE customers (id INTEGER)")
    make_connection("local", "sqlite", database=f"{inbox}/shop.sqlite")
    text = page.get("/connections/local/tables/?search=ord").content.decode()
    assert "orders" in text
    assert "amount" in text
    assert "customers" not in text


def test_a_connection_in_use_is_not_deleted(page):
    make_connection("erp")
    config = {"db": {"connection": "erp", "table_name": "t"}}
    job = make_ingest_job(make_workflow(), source_type="database", config=config)
    answer = page.post("/connections/erp/delete/", follow=True)
    assert "shop.orders" in answer.content.decode()
    assert Connection.objects.exists()
    job.delete()
    page.post("/connections/erp/delete/")
    assert not Connection.objects.exists()


# --- who may ---------------------------------------------------------------------------------


@pytest.fixture
def ann(client, django_user_model):
    person = django_user_model.objects.create_user("ann")
    person.user_permissions.set(Permission.objects.filter(codename="change_ingestjob"))
    client.force_login(person)
    return client


def test_who_edits_jobs_sees_and_tests_but_does_not_change(ann):
    make_connection("open")
    make_connection("closed").groups.add(Group.objects.create(name="finance"))
    text = ann.get("/connections/").content.decode()
    assert "/connections/open/" in text
    assert "/connections/closed/" not in text
    assert "New connection" not in text
    assert ann.get("/connections/closed/").status_code == 404
    assert ann.post("/connections/closed/test/").status_code == 404
    assert ann.get("/connections/closed/tables/").status_code == 404
    assert ann.get("/connections/open/").status_code == 200
    for address in ("/connections/new/", "/connections/open/edit/"):
        assert ann.get(address).status_code == 403
    assert ann.post("/connections/open/delete/").status_code == 403


def test_nothing_is_tested_or_deleted_on_get(page):
    make_connection("erp")
    for address in ("/connections/erp/test/", "/connections/erp/delete/"):
        assert page.get(address).status_code == 405
    assert Connection.objects.get().tested_at is None


def test_the_admin_keeps_the_password_and_does_not_show_it(page):
    made = make_connection("erp", password=SECRET)
    address = f"/admin/ops/connection/{made.pk}/change/"
    assert SECRET not in page.get(address).content.decode()
    fields = {"host": "new.example.org", "database": "erp", "username": "reader", "options": "{}"}
    answer = page.post(address, fields)
    assert answer.status_code == 302, answer.context["errors"]
    made.refresh_from_db()
    assert (made.host, services.plain(made).password) == ("new.example.org", SECRET)
