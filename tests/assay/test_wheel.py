"""The wheel holds what the site needs, and the site starts from it, without the sources beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ["platform/assay", "ingest", "datasets", "quality", "catalog", "copilot", "ops", "workers"]
SITE = """
import json, assay, django
django.setup()
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client
call_command("check", verbosity=0)
page = Client(HTTP_HOST="localhost").get("/admin/login/")
told = {"assay": assay.__file__, "home": str(settings.ASSAY_HOME), "status": page.status_code}
told |= {"css": finders.find("assay/assay.css")}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def sources() -> set[str]:
    """Every file that belongs into the wheel, as the wheel names it."""
    found = {}
    for package in PACKAGES:
        found |= {path: path.relative_to((ROOT / package).parent) for path in (ROOT / package).rglob("*")}
    found |= {path: Path("assay") / path.relative_to(ROOT) for path in (ROOT / "templates").rglob("*")}
    ours = (name for path, name in found.items() if path.is_file() and path.suffix != ".pyc")
    return {str(name) for name in ours if not any(part.startswith(".") for part in name.parts)}


def test_the_wheel_holds_every_module_template_and_static_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert sources() - held == set()
    assert held - sources() == set()


def test_the_site_starts_from_the_wheel_alone_and_keeps_its_data_where_it_was_started(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "started").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASSAY_")}
    environment |= {"PYTHONPATH": str(tmp_path / "site"), "DJANGO_SETTINGS_MODULE": "assay.settings"}
    ended = subprocess.run(
        [sys.executable, "-c", SITE], cwd=tmp_path / "started", env=environment, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout.splitlines()[-1])
    assert told["status"] == 200
    assert told["home"] == str(tmp_path / "started" / "var")
    assert {told["assay"], told["css"]} == {
        str(tmp_path / "site" / "assay" / name) for name in ("__init__.py", "static/assay/assay.css")
    }
