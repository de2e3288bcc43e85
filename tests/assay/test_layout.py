"""The accidents that would break imports in ways that are hard to read."""

import ast
import os
import platform
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Each floor may import those to its right of itself in this order, and itself.
FLOORS = ["assay", "copilot", "ingest", "datasets", "ops", "quality", "catalog", "assay.common", "workers"]
ROOMS = {"ingest", "datasets"}  # on one floor; neither knows the other


def test_pythons_own_platform_module_wins():
    assert Path(platform.__file__).is_relative_to(sysconfig.get_path("stdlib"))
    assert not (ROOT / "platform" / "__init__.py").exists()


def test_no_distribution_called_datasets_is_installed():
    assert "datasets" not in {distribution.name for distribution in metadata.distributions()}


def _floor(module: str) -> str | None:
    if module == "assay.common" or module.startswith("assay.common."):
        return "assay.common"
    top = module.split(".")[0]
    return top if top in FLOORS else None


def _imports(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules() -> list:
    found = []
    for top in ["platform/assay", "copilot", "ingest", "datasets", "ops", "quality", "catalog", "workers"]:
        for path in (ROOT / top).rglob("*.py"):
            name = path.relative_to(ROOT / "platform" if top.startswith("platform") else ROOT)
            found.append(pytest.param(path, ".".join(name.with_suffix("").parts), id=str(name)))
    return found


@pytest.mark.parametrize(("path", "module"), _modules())
def test_imports_point_down_the_floors_only(path, module):
    own = FLOORS.index(_floor(module))
    for imported in _imports(path):
        floor = _floor(imported)
        if floor is None:
            continue
        assert FLOORS.index(floor) >= own, f"{module} imports {imported}, which is above it"
        assert {floor, FLOORS[own]} != ROOMS, f"{module} imports {imported}: neither knows the other"


@pytest.mark.parametrize("path", [pytest.param(p, id=p.name) for p in (ROOT / "workers").rglob("*.py")])
def test_the_data_plane_imports_no_django(path):
    assert not [name for name in _imports(path) if name.split(".")[0] in {"django", "rest_framework"}]


def test_starting_a_process_imports_no_engine():
    """Each would cost every process tens of megabytes; steps and previews import what they use."""
    script = (
        "import sys, django; django.setup()\n"
        "import assay.urls; from workers.celery import app; app.loader.import_default_modules()\n"
        "print(*({'polars', 'pyarrow', 'deltalake', 'duckdb', 'sqlglot'} & set(sys.modules)))"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "assay.settings", "PYTHONPATH": "platform:."}
    found = subprocess.check_output([sys.executable, "-c", script], cwd=ROOT, env=environment, text=True)
    assert found.split() == []
