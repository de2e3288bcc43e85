"""Secrets at rest: keys that are made once, values that only their keys read, rotation that loses nothing."""

import io
import subprocess
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection

from assay.common.secret_key import load_key
from assay.common.secrets import SecretUnreadable, Unreadable, readable
from ingest.models import IngestJob
from tests.factories import make_ingest_job, make_workflow

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).resolve().parents[2]


# --- the installation's own keys -------------------------------------------------------------


def test_processes_that_start_together_read_the_same_key(tmp_path):
    script = "import sys; from pathlib import Path; from assay.common.secret_key import load_key; "
    script += "sys.stdin.read(1); print(load_key(Path(sys.argv[1]), 'key'))"
    home = tmp_path / "installation"
    home.mkdir()
    command = [sys.executable, "-c", script, str(home)]
    environment = {"PYTHONPATH": "platform:."}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    racers = [subprocess.Popen(command, cwd=ROOT, env=environment, text=True, **pipes) for _ in range(6)]
    keys = ThreadPool(6).map(lambda racer: racer.communicate("g")[0].strip(), racers)
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 50
    assert [file.name for file in home.iterdir()] == ["key"]
    assert (home / "key").stat().st_mode & 0o777 == 0o600


def test_an_empty_key_file_is_not_taken_for_a_key(tmp_path):
    (tmp_path / "key").touch()
    with pytest.raises(ImproperlyConfigured, match="is empty"):
        load_key(tmp_path, "key")


# --- fields ----------------------------------------------------------------------------------


@pytest.fixture
def job(settings):
    settings.ASSAY_ENCRYPTION_KEYS = ["first key"]
    return make_ingest_job(make_workflow())


def keep(job, secrets):
    """Straight into the field, as whoever saves a job does."""
    IngestJob.objects.filter(pk=job.pk).update(secrets=secrets)


def stored(job):
    with connection.cursor() as cursor:
        cursor.execute("SELECT secrets FROM ingest_ingestjob WHERE id = %s", [job.pk])
        return cursor.fetchone()[0]


def fresh(job):
    return IngestJob.objects.get(pk=job.pk)


def test_the_database_never_sees_a_secret(job):
    keep(job, {"api.auth.token": "hunter22"})
    assert "hunter22" not in stored(job)
    assert fresh(job).secrets == {"api.auth.token": "hunter22"}


def test_a_secret_without_its_key_breaks_no_page_and_is_not_lost(job, settings):
    keep(job, {"api.auth.token": "hunter22"})
    before = stored(job)
    settings.ASSAY_ENCRYPTION_KEYS = ["another key"]
    found = fresh(job)
    assert isinstance(found.secrets, Unreadable)
    with pytest.raises(SecretUnreadable, match="cannot be decrypted"):
        readable(found.secrets)
    found.description = "changed"
    found.save()
    assert stored(job) == before


# --- rotation --------------------------------------------------------------------------------


def rotate():
    told = io.StringIO()
    call_command("rotate_keys", stdout=told)
    return told.getvalue()


def test_after_rotation_the_old_key_is_not_needed(job, settings):
    others = [make_ingest_job(job.workflow, f"job{number}") for number in range(5)]
    for number, each in enumerate([job, *others]):
        keep(each, {"api.auth.token": f"secret {number}"})
    settings.ASSAY_ENCRYPTION_KEYS = ["second key", "first key"]
    assert "ingest.IngestJob.secrets: 6 encrypted anew, 0 were already" in rotate()
    settings.ASSAY_ENCRYPTION_KEYS = ["second key"]
    assert [fresh(each).secrets["api.auth.token"] for each in [job, *others]] == [f"secret {n}" for n in range(6)]


def test_rotating_again_changes_nothing(job, settings):
    keep(job, {"a": "b"})
    settings.ASSAY_ENCRYPTION_KEYS = ["second key", "first key"]
    rotate()
    before = stored(job)
    assert "0 encrypted anew, 1 were already" in rotate()
    assert stored(job) == before


def test_what_no_key_decrypts_stays_as_it_is_and_is_named(job, settings):
    keep(job, {"a": "b"})
    lost = stored(job)
    settings.ASSAY_ENCRYPTION_KEYS = ["second key"]
    other = make_ingest_job(job.workflow, "other")
    keep(other, {"c": "d"})
    settings.ASSAY_ENCRYPTION_KEYS = ["third key", "second key"]
    with pytest.raises(CommandError, match=f"ingest.IngestJob.secrets of {job.pk}"):
        rotate()
    assert stored(job) == lost
    settings.ASSAY_ENCRYPTION_KEYS = ["third key"]
    assert fresh(other).secrets == {"c": "d"}


def test_a_secret_that_is_saved_during_rotation_wins(job, settings, monkeypatch):
    """Another process saves between our reading and our writing: its value must stand."""
    from assay.common import secrets as module

    keep(job, {"a": "old"})
    settings.ASSAY_ENCRYPTION_KEYS = ["second key", "first key"]
    original, saved = module._has_first_key, []

    def look(sealed):
        found = original(sealed)
        if not saved:
            saved.append(keep(job, {"a": "new"}))
        return found

    monkeypatch.setattr(module, "_has_first_key", look)
    rotate()
    settings.ASSAY_ENCRYPTION_KEYS = ["second key"]
    assert fresh(job).secrets == {"a": "new"}
