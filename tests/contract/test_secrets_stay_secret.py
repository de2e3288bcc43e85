"""Secrets are put in on every road, used, and made to fail; then they are looked for everywhere."""

import base64
import json
import logging
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import connection as database
from django.urls import reverse

from assay.common.logs import JsonLine
from ingest.models import IngestJob
from ingest.services import access_for, spec_of
from ops.connections import services
from ops.models import Connection
from workers.ids import new_run_id

DATABASE, HTTP, HEADER = "pw-db-8f3a1c77", "pw-http-5d20be91", "hd-tenant-c4417e0a"
STORE, SESSION = "sk-store-19fa66d2", "st-session-e7b0935c"
BEARER, BASIC, KEY, CLIENT = "tok-bearer-2b9c54f1", "pw basic/ä-77d1e3a0", "key-query-90ce14b8", "cs-oauth-3fd8a62e"
VARIABLE, FILE = "env-value-6c05e1f9", "file-value-a81d7b34"
SECRETS = [DATABASE, HTTP, HEADER, STORE, SESSION, BEARER, BASIC, KEY, CLIENT, VARIABLE, FILE]
# Also as they travel: in an address, and with their user in a basic header.
SPELLINGS = {secret: [secret, quote(secret, safe=""), json.dumps(secret)[1:-1]] for secret in SECRETS}
SPELLINGS[BASIC].append(base64.b64encode(f"me:{BASIC}".encode()).decode())
JOBS = "/api/workflows/shop/ingest-jobs/"


def spellings_in(text):
    return [secret for secret, spellings in SPELLINGS.items() if any(spelling in text for spelling in spellings)]


@pytest.fixture
def gossip():
    """An API that refuses everybody but for /good, and repeats in its answer what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            is_good = self.path.startswith("/good")
            said = [{"id": 1}] if is_good else {"path": self.path, "headers": dict(self.headers), "body": sent}
            body = json.dumps(said).encode()
            self.send_response(200 if is_good else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def logged():
    """What every logger writes, at its most talkative, as the lines of the process."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    handler, root = Keep(logging.DEBUG), logging.getLogger()
    handler.setFormatter(JsonLine())
    levels = {name: logging.getLogger(name).level for name in ("", "urllib3", "botocore", "django.db.backends")}
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
def installation(shop, api, make, gossip, logged, settings, monkeypatch, tmp_path):
    """Connections and jobs with secrets in every place that takes one; one of the jobs works, the others fail."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "token").write_text(FILE)
    monkeypatch.setenv("ORDERS_TOKEN", VARIABLE)
    settings.ASSAY_SECRET_FILES_ROOTS = [folder]
    settings.ASSAY_HTTP_ALLOW_PRIVATE = ["127.0.0.1"]
    place = {"host": "127.0.0.1", "port": 1, "database": "erp", "username": "reader", "password": DATABASE}
    http = {"base_url": gossip, "headers": {"X-Tenant": HEADER}}
    store = {"endpoint_url": gossip, "session_token": SESSION}
    for body in (
        {"name": "pg", "kind": "postgresql", **place},
        {"name": "my", "kind": "mysql", **place},
        {"name": "crm", "kind": "http", "username": "me", "password": HTTP, "options": http},
        {"name": "store", "kind": "s3", "username": "AKIA", "password": STORE, "options": store},
    ):
        make("/api/connections/", body)
    auths = {
        "bearer": {"type": "bearer", "token": BEARER},
        "basic": {"type": "basic", "username": "me", "password": BASIC},
        "key": {"type": "api_key", "name": "api_key", "value": KEY, "location": "query"},
        "good": {"type": "api_key", "name": "api_key", "value": KEY, "location": "query"},
        "oauth": {
            "type": "oauth2_client_credentials",
            "token_url": f"{gossip}/token",
            "client_id": "me",
            "client_secret": CLIENT,
        },
        "variable": {"type": "bearer", "token": "env:ORDERS_TOKEN"},
        "file": {"type": "bearer", "token": f"file:{folder}/token"},
    }
    for name, auth in auths.items():
        make(JOBS, {"name": name, "source_type": "api", "config": {"api": {"url": f"{gossip}/{name}", "auth": auth}}})
    make(JOBS, {"name": "crm", "source_type": "api", "config": {"api": {"url": "/orders", "connection": "crm"}}})
    for name in ("pg", "my"):
        config = {"db": {"connection": name, "table_name": "public.orders"}}
        make(JOBS, {"name": name, "source_type": "database", "config": config})
    config = {"file": {"connection": "store", "s3_uri": "s3://bucket/orders-*.csv"}}
    make(JOBS, {"name": "store", "source_type": "file_s3", "config": config})
    return shop


@pytest.fixture
def used(installation, api):
    """Everything is tried once; what was answered."""
    answers = []
    for name in Connection.objects.values_list("name", flat=True):
        answers += [api.post(f"/api/connections/{name}/test/"), api.get(f"/api/connections/{name}/tables/")]
    for name in IngestJob.objects.values_list("name", flat=True):
        answers += [api.post(f"{JOBS}{name}/run/?wait=20"), api.patch(f"{JOBS}{name}/", {"description": "changed"})]
    answers += [api.post(f"{JOBS}{name}/preview/") for name in ("good", "basic", "crm", "store")]
    return answers


def stored_secrets():
    found = [*IngestJob.objects.all(), *Connection.objects.all()]
    return {secret for each in found for secret in (each.secrets or {}).values()}


def test_no_answer_of_the_api_has_a_secret(used, api):
    runs = [answer.json() for answer in used if "rows_read" in answer.content.decode()]
    assert {run["job"]: run["rows_written"] for run in runs if run["status"] == "success"} == {"good": 1}
    assert len(runs) == IngestJob.objects.count()
    assert stored_secrets() == set(SECRETS) - {VARIABLE, FILE}  # what is looked for was known
    assert not [answer for answer in used if answer.status_code == 500]
    pages = ["/api/connections/", "/api/workflows/shop/pipeline-runs/", "/api/pipeline-runs/", JOBS, "/api/schema/"]
    for name in Connection.objects.values_list("name", flat=True):
        pages += [f"/api/connections/{name}/", f"/api/connections/{name}/history/"]
    for name in IngestJob.objects.values_list("name", flat=True):
        pages += [f"{JOBS}{name}/", f"{JOBS}{name}/runs/", f"{JOBS}{name}/history/"]
    for answer in [*used, *(api.get(page) for page in pages)]:
        assert answer.status_code != 404
        assert spellings_in(answer.content.decode()) == [], answer.request["PATH_INFO"]


def test_no_page_and_no_record_of_the_admin_has_a_secret(used, client, engineer):
    client.force_login(engineer)
    pages = ["/connections/", "/workflows/shop/", "/runs/"]
    for name in Connection.objects.values_list("name", flat=True):
        pages += [f"/connections/{name}/", f"/connections/{name}/edit/", f"/connections/{name}/tables/"]
    for job in IngestJob.objects.all():
        pages += [f"/workflows/shop/ingest-jobs/{job.name}/", f"/workflows/shop/ingest-jobs/{job.name}/edit/"]
        for run in job.runs.all():
            step = apps.get_model("ops.Step").objects.get(pk=run.step_id)
            pages.append(f"/runs/{step.pipeline_run_id}/?step={step.pk}")
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        for record in model.objects.all()[:50]:
            pages += [reverse(f"{name}_change", args=[record.pk]), reverse(f"{name}_history", args=[record.pk])]
    for page in pages:
        answer = client.get(page, follow=True)
        assert answer.status_code == 200, page
        assert spellings_in(answer.content.decode()) == [], page


def test_no_log_no_file_and_no_row_has_a_secret(used, logged, capfd, settings):
    """Landing, manifests, certificates and whatever else lies in the home; every column of every table."""
    assert len(logged) > 100
    for line in [*logged, *capfd.readouterr()]:
        assert spellings_in(line) == [], line
    call_command("export_workflow", "shop", output=Path(settings.ASSAY_HOME) / "shop.yaml")
    for file in Path(settings.ASSAY_HOME).rglob("*"):
        if file.is_file():
            assert spellings_in(file.read_bytes().decode(errors="replace")) == [], file
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {database.ops.quote_name(table)}")
            assert spellings_in(str(cursor.fetchall())) == [], table
    if database.vendor == "sqlite":
        # Pages that were freed and the journal are part of the file as well.
        for file in Path(database.settings_dict["NAME"]).parent.glob(f"{Path(database.settings_dict['NAME']).name}*"):
            assert spellings_in(file.read_bytes().decode(errors="replace")) == [], file


def test_no_object_shows_a_secret(installation):
    shown = []
    for job in IngestJob.objects.all():
        shown += [job, vars(job)["config"], job.history.first()]
        with suppress(Exception):  # a source that cannot be listed has no spec
            spec = spec_of(job, str(new_run_id()))
            shown += [spec, access_for(spec, job)]
    for connection in Connection.objects.all():
        shown += [connection, connection.password, connection.options, connection.history.first()]
        shown.append(services.plain(connection))
    assert len(shown) > 50
    assert spellings_in("".join(f"{each!r} {each}" for each in shown)) == []
