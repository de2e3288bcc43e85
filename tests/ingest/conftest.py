import pytest

from ops.models import Workflow


@pytest.fixture
def shop(db):
    return Workflow.objects.create(slug="shop", name="Shop")


@pytest.fixture
def inbox(settings):
    return settings.ASSAY_LOCAL_SOURCE_ROOTS[0]
