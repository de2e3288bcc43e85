"""References to secrets that are kept elsewhere: what may be named, and what never."""

import pytest

from assay.common.logs import hide_secrets
from assay.common.secrets import SecretMissing, reference_problem, resolve


@pytest.fixture
def folder(settings, tmp_path):
    """A folder of secrets, as a container gets one."""
    made = tmp_path / "run" / "secrets"
    made.mkdir(parents=True)
    settings.ASSAY_SECRET_FILES_ROOTS = [made]
    return made


def test_a_secret_stands_in_a_variable_of_the_worker(monkeypatch):
    monkeypatch.setenv("ORDERS_PASSWORD", "hunter22")
    assert resolve("env:ORDERS_PASSWORD") == "hunter22"


def test_a_secret_stands_in_a_file_without_its_line_end(folder):
    (folder / "orders").write_text("hunter 22 \n")
    assert resolve(f"file:{folder}/orders") == "hunter 22 "


def test_what_is_no_reference_is_the_secret():
    assert resolve("environment:x") == "environment:x"


@pytest.mark.parametrize(
    "name",
    [
        *("ASSAY_SECRET_KEY", "ASSAY_ENCRYPTION_KEYS", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("DJANGO_SECRET_KEY", "PGPASSWORD", "REDIS_URL", "CELERY_BROKER_URL", "SECRET_KEY", "assay_secret_key"),
    ],
)
def test_the_platforms_own_settings_cannot_be_named(monkeypatch, name):
    monkeypatch.setenv(name, "hunter22")
    assert "belongs to the platform" in reference_problem(f"env:{name}")
    with pytest.raises(SecretMissing):
        resolve(f"env:{name}")


@pytest.mark.parametrize("name", ["", "A B", "$(id)", "1X", "A=B", "A\n"])
def test_a_variable_has_a_plain_name(name):
    assert reference_problem(f"env:{name}")


@pytest.mark.parametrize("setting", ["SECRET_KEY", "ASSAY_ENCRYPTION_KEYS"])
def test_nor_can_they_be_read_under_another_name(monkeypatch, settings, folder, setting):
    value = getattr(settings, setting)
    value = value if isinstance(value, str) else value[0]
    monkeypatch.setenv("HARMLESS", f"x{value}x")
    (folder / "harmless").write_text(value)
    for reference in ("env:HARMLESS", f"file:{folder}/harmless"):
        with pytest.raises(SecretMissing, match="of the platform itself") as caught:
            resolve(reference)
        assert value not in str(caught.value.as_dict())


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "{}/../../etc/passwd", "{}x/orders", "orders", "", "{}/kubernetes.io/serviceaccount/token"]
)
def test_files_elsewhere_cannot_be_named(folder, path):
    assert reference_problem(f"file:{path.format(folder)}")


def test_a_link_does_not_lead_out_of_the_folder(folder, tmp_path):
    (tmp_path / "outside").write_text("hunter22")
    (folder / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(SecretMissing):
        resolve(f"file:{folder}/link")


def test_a_link_within_the_folder_is_followed(folder):
    """As a cluster mounts secrets: the name is a link into a dated folder beside it."""
    (folder / "..2026").mkdir()
    (folder / "..2026" / "orders").write_text("hunter22")
    (folder / "orders").symlink_to(folder / "..2026" / "orders")
    assert resolve(f"file:{folder}/orders") == "hunter22"


@pytest.mark.parametrize("reference", ["env:NO_SUCH_VARIABLE", "file:{}/none", "file:{}"])
def test_a_reference_to_nothing_says_so(folder, reference):
    with pytest.raises(SecretMissing, match=r"holds no secret|below"):
        resolve(reference.format(folder))


def test_a_secret_that_was_used_is_hidden_from_then_on(monkeypatch):
    monkeypatch.setenv("ORDERS_PASSWORD", "pa/ss wörd")
    resolve("env:ORDERS_PASSWORD")
    text = "mysql://me:pa%2Fss+w%C3%B6rd@h pa/ss wörd"
    assert hide_secrets({"message": [text]}) == {"message": ["mysql://me:•••@h •••"]}
