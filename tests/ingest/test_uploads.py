"""Files that people send: kept as they came, hashed, named safely, never too large."""

import hashlib
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from ingest.models import Upload
from ingest.services import UploadTooLarge, safe_name, save_upload

pytestmark = pytest.mark.django_db


def send(api, content: bytes, name: str = "orders.csv"):
    file = BytesIO(content)
    file.name = name
    return api.post("/api/uploads/", {"file": file}, format="multipart")


def test_an_upload_is_kept_byte_for_byte(api, settings):
    content = b"a,b\r\n\xff\x00,2\n" * 10_000
    answer = send(api, content)
    assert answer.status_code == 201
    body = answer.json()
    assert {name: body[name] for name in ("name", "size", "sha256")} == {
        "name": "orders.csv",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert (settings.ASSAY_UPLOADS_DIR / body["id"] / "orders.csv").read_bytes() == content
    assert api.get(f"/api/uploads/{body['id']}/").json() == body


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("orders.csv", "orders.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\data\\orders.csv", "orders.csv"),
        ("a\x00b\n.csv", "ab.csv"),
        ("..", "upload"),
        ("", "upload"),
        ("-rf", "-rf"),
        ("Größe 1.csv", "Größe 1.csv"),
        ('a"b|c?.csv', "abc.csv"),
    ],
)
def test_a_name_is_made_safe(sent, kept):
    assert safe_name(sent) == kept


def test_a_very_long_name_keeps_its_ending():
    name = safe_name("ü" * 300 + ".csv")
    assert name.endswith(".csv")
    assert len(name.encode()) <= 200


def test_a_file_over_the_limit_is_refused_and_nothing_is_left(settings):
    settings.ASSAY_MAX_UPLOAD_BYTES = 1000
    with pytest.raises(UploadTooLarge, match="1,000 bytes"):
        save_upload(SimpleUploadedFile("big.csv", b"x" * 1001))
    assert not Upload.objects.exists()
    assert not list(settings.ASSAY_UPLOADS_DIR.iterdir())


def test_too_large_a_file_is_a_413_that_names_the_field(api, settings):
    settings.ASSAY_MAX_UPLOAD_BYTES = 1000
    answer = send(api, b"x" * 1001)
    assert answer.status_code == 413
    assert answer.json()["errors"][0]["attr"] == "file"


def test_a_body_that_is_far_too_large_is_refused_before_it_is_read(api, settings):
    settings.ASSAY_MAX_UPLOAD_BYTES = 1000
    assert send(api, b"x" * 2_000_000).status_code == 413


def test_without_a_file_there_is_no_upload(api):
    answer = api.post("/api/uploads/", {}, format="multipart")
    assert (answer.status_code, answer.json()["errors"][0]["attr"]) == (400, "file")


def test_nobody_uploads_without_logging_in(client):
    assert client.post("/api/uploads/").status_code == 401
