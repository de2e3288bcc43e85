"""What all tests stand on: a lake for each (their home is own_home.py's), fast passwords, people."""

import pytest

from tests.http_server import api_server  # noqa: F401  (fixture)
from tests.s3 import s3_lake, s3_server  # noqa: F401  (fixtures)
from tests.servers import mariadb_url, postgres_url  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def _quick_and_apart(settings, tmp_path):
    """Each test has its own lake, uploads and inbox."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ASSAY_HOME = tmp_path / "home"
    settings.ASSAY_LAKE_URL = str(tmp_path / "home" / "lake")
    settings.ASSAY_UPLOADS_DIR = tmp_path / "home" / "uploads"
    settings.ASSAY_LOCAL_SOURCE_ROOTS = [tmp_path / "home" / "inbox"]
    (tmp_path / "home" / "inbox").mkdir(parents=True)


@pytest.fixture
def engineer(django_user_model):
    return django_user_model.objects.create_superuser("engineer", "engineer@example.org", "correct-horse")


@pytest.fixture
def api(engineer):
    from rest_framework.test import APIClient

    client = APIClient()
    client.force_authenticate(engineer)
    return client
