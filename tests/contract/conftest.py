"""The whole road over HTTP: messages are carried out where they are sent, everything else is real."""

import pytest


@pytest.fixture
def carried_out(transactional_db, settings):
    """A worker that is quick: what is sent to it is done when `send` returns."""
    import ops.tasks  # noqa: F401  (registers them)
    from workers.celery import app

    settings.CELERY_BROKER_URL = "memory://localhost//"
    app.conf.task_always_eager = app.conf.task_eager_propagates = True
    yield
    app.conf.task_always_eager = app.conf.task_eager_propagates = False


@pytest.fixture
def shop(carried_out, api):
    answer = api.post("/api/workflows/", {"slug": "shop", "name": "Shop"})
    assert answer.status_code == 201, answer.json()
    return "/api/workflows/shop"


@pytest.fixture
def upload(api):
    """Sends a file; its id."""
    from io import BytesIO

    def send(name: str, content: bytes) -> str:
        file = BytesIO(content)
        file.name = name
        answer = api.post("/api/uploads/", {"file": file}, format="multipart")
        assert answer.status_code == 201, answer.json()
        return answer.json()["id"]

    return send


@pytest.fixture
def make(api):
    """Posts a job or another thing; its representation."""

    def post(address: str, body: dict, status: int = 201) -> dict:
        answer = api.post(address, body)
        assert answer.status_code == status, answer.json()
        return answer.json()

    return post
