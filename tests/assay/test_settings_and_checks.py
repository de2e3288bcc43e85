"""Settings come from the environment; what is misconfigured is said with an id and a hint."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks

ROOT = Path(__file__).resolve().parents[2]


def manage(home, *arguments, **environment):
    """Run manage.py in a process of its own, with nothing set but the home and what is given."""
    ours = ("ASSAY_", "AWS_", "DATABASE_URL", "DJANGO_")
    base = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**base, "ASSAY_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def settings_of(home, *names, **environment):
    code = f"from django.conf import settings as s; print({', '.join(f's.{name}' for name in names)}, sep='|')"
    done = manage(home, "shell", "--no-imports", "-c", code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().split("|")


# --- settings ----------------------------------------------------------------------


def test_with_nothing_set_everything_lies_in_the_home(tmp_path):
    found = settings_of(
        tmp_path,
        *["DATABASES['default']['NAME']", "ASSAY_LAKE_URL", "ASSAY_UPLOADS_DIR", "ASSAY_LOCAL_SOURCE_ROOTS[0]"],
        *["FILE_UPLOAD_TEMP_DIR", "ASSAY_HTTP_ALLOW_PRIVATE", "DEBUG", "CELERY_BROKER_URL"],
    )
    inside = [tmp_path / "assay.sqlite3", tmp_path / "lake", tmp_path / "uploads", tmp_path / "inbox", tmp_path]
    assert found == [*map(str, inside), "[]", "False", "memory://"]


def test_the_environment_sets_them(tmp_path):
    found = settings_of(
        tmp_path,
        *["ASSAY_LAKE_URL", "ASSAY_LOCAL_SOURCE_ROOTS[1]", "ASSAY_HTTP_ALLOW_PRIVATE[1]", "ALLOWED_HOSTS[0]"],
        *["DEBUG", "CELERY_BROKER_URL", "SECRET_KEY", "DATABASES['default']['HOST']"],
        ASSAY_LAKE_URL="s3://bucket/lake/",
        ASSAY_LOCAL_SOURCE_ROOTS="/srv/a,/srv/b",
        ASSAY_HTTP_ALLOW_PRIVATE="intranet.example,10.0.0.0/8",
        ASSAY_ALLOWED_HOSTS="assay.example",
        ASSAY_DEBUG="true",
        ASSAY_BROKER_URL="redis://broker.example:6379/1",
        ASSAY_SECRET_KEY="k" * 50,
        DATABASE_URL="postgresql://assay:word@db.example:5432/assay",
    )
    assert found == [
        *["s3://bucket/lake", "/srv/b", "10.0.0.0/8", "assay.example"],
        *["True", "redis://broker.example:6379/1", "k" * 50, "db.example"],
    ]


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    first, second = settings_of(tmp_path, "SECRET_KEY"), settings_of(tmp_path, "SECRET_KEY")
    assert first == second
    assert len(first[0]) >= 50
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600


@pytest.mark.postgres
def test_a_database_url_leads_to_postgresql(tmp_path, postgres_url):
    settings = {"DATABASE_URL": postgres_url, "ASSAY_SECRET_KEY": "k" * 50}
    refused = manage(tmp_path, "up", "--port", "0", **settings)
    assert refused.returncode == 1
    assert "manage.py migrate" in refused.stderr

    migrated = manage(tmp_path, "migrate", "--verbosity", "0", **settings)
    assert migrated.returncode == 0, migrated.stderr
    code = "from ops.models import Workflow as W; from django.db import connection as c; W.objects.create(slug='a'); \
            print(c.vendor, W.objects.count())"
    assert manage(tmp_path, "shell", "--no-imports", "-c", code, **settings).stdout.split() == ["postgresql", "1"]
    assert not (tmp_path / "assay.sqlite3").exists()


# --- checks ------------------------------------------------------------------------


def problems(*, deploy=False):
    return {message.id: message for message in run_checks(include_deployment_checks=deploy) if "assay" in message.id}


def test_a_sound_installation_has_nothing_to_say():
    assert problems() == {}


def test_a_server_database_without_a_secret_key_is_an_error(settings, monkeypatch):
    monkeypatch.delenv("ASSAY_SECRET_KEY")
    settings.DATABASE_URL = "postgresql://db.example/assay"
    assert "ASSAY_SECRET_KEY" in problems()["assay.E001"].hint


def test_the_embedded_database_without_a_secret_key_is_a_warning_but_not_in_debug(settings, monkeypatch):
    monkeypatch.delenv("ASSAY_SECRET_KEY")
    assert problems().keys() == {"assay.W001"}
    settings.DEBUG = True
    assert problems() == {}


def test_debug_is_an_error_in_production(settings):
    settings.DEBUG = True
    assert "assay.E002" in problems(deploy=True)


def test_a_lake_of_an_unknown_kind_is_an_error(settings):
    settings.ASSAY_LAKE_URL = "gs://bucket/lake"
    assert "s3://" in problems()["assay.E003"].hint


def test_a_lake_that_cannot_be_a_folder_is_unreachable(settings, tmp_path):
    (tmp_path / "file").write_text("in the way")
    settings.ASSAY_LAKE_URL = str(tmp_path / "file" / "lake")
    message = problems()["assay.E004"]
    assert "unreachable" in message.msg
    assert "ASSAY_LAKE_URL" in message.hint


def test_a_bucket_that_does_not_answer_is_found_before_the_first_run(settings, monkeypatch):
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ASSAY_S3_ENDPOINT_URL", "http://127.0.0.1:9")
    settings.ASSAY_LAKE_URL = "s3://bucket/lake"
    assert problems() == {}
    assert "s3://bucket/lake" in problems(deploy=True)["assay.E004"].msg


def test_a_source_root_that_is_no_folder_is_a_warning(settings, tmp_path):
    settings.ASSAY_LOCAL_SOURCE_ROOTS = [tmp_path / "nowhere"]
    assert "ASSAY_LOCAL_SOURCE_ROOTS" in problems()["assay.W002"].hint


def test_spark_as_the_default_engine_needs_java(settings, monkeypatch, tmp_path):
    settings.ASSAY_DEFAULT_ENGINE = "spark"
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    message = problems()["assay.W004"]
    assert "Java" in message.msg
    assert "openjdk-17-jre-headless" in message.hint


def test_check_prints_id_and_hint_and_fails(tmp_path):
    done = manage(tmp_path, "check", ASSAY_LAKE_URL="gs://bucket")
    assert done.returncode == 1
    assert "assay.E003" in done.stderr
    assert "HINT" in done.stderr


def test_up_does_not_start_on_a_misconfiguration(tmp_path):
    done = manage(tmp_path, "up", ASSAY_LAKE_URL="gs://bucket")
    assert done.returncode == 1
    assert "assay.E003" in done.stderr


# --- documentation -----------------------------------------------------------------


def test_every_setting_is_documented():
    named = set(re.findall(r'env(?:\.\w+)?\(\s*"(\w+)"', (ROOT / "platform/assay/settings.py").read_text()))
    documented = set(re.findall(r"`([A-Z][A-Z0-9_]+)`", (ROOT / "docs/settings.md").read_text()))
    assert named - documented == set()


def test_every_check_is_documented():
    ids = set(re.findall(r'id="(assay\.[EW]\d+)"', (ROOT / "platform/assay/common/checks.py").read_text()))
    documented = (ROOT / "docs/settings.md").read_text()
    assert [each for each in sorted(ids) if each not in documented] == []
