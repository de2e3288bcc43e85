"""Secrets inside of declared options: taken out, kept, put back."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from assay.common.options import Options, Secret, read_options
from assay.common.sealing import opened, put_back, seal
from assay.common.secrets import MASK, SecretMissing, Unreadable


class Basic(Options):
    type: Literal["basic"]
    username: str
    password: Secret


class Bearer(Options):
    type: Literal["bearer"]
    token: Secret | None = None


class Api(Options):
    url: str = ""
    auth: Annotated[Basic | Bearer, Field(discriminator="type")] | None = None
    headers: dict[str, Secret] = {}
    more: list[Bearer] = []
    key: Secret | None = None


class Config(Options):
    api: Api | None = None


FULL = {
    "api": {
        "url": "https://a.example",
        "auth": {"type": "basic", "username": "me", "password": "s1"},
        "headers": {"X-Key": "s2"},
        "more": [{"type": "bearer", "token": "s3"}, {"type": "bearer"}],
        "key": "s4",
    }
}
PLACES = {"api.auth.password": "s1", "api.headers.X-Key": "s2", "api.more.0.token": "s3", "api.key": "s4"}


def test_secrets_are_found_wherever_the_model_declares_them():
    sealed = seal(Config, FULL, None)
    assert sealed.secrets == PLACES
    assert sealed.problems == []
    assert not [secret for secret in PLACES.values() if f"'{secret}'" in str(sealed.data)]
    assert sealed.data["api"]["auth"] == {"type": "basic", "username": "me", "password": MASK}
    assert FULL["api"]["key"] == "s4"  # what was given is not changed


def test_sealing_again_changes_nothing():
    once = seal(Config, FULL, None)
    assert seal(Config, once.data, once.secrets) == once


def test_they_come_back_at_use():
    sealed = seal(Config, FULL, None)
    assert put_back(Config, sealed.data, sealed.secrets) == FULL
    assert opened(Config, sealed.data, sealed.secrets) == PLACES


def test_the_mark_keeps_what_is_stored_and_what_is_written_replaces_it():
    data = {"api": {"auth": {"type": "basic", "username": "you", "password": MASK}, "key": "new"}}
    assert seal(Config, data, PLACES).secrets == {"api.auth.password": "s1", "api.key": "new"}


def test_the_mark_where_nothing_is_stored_is_an_error_at_its_place():
    [problem] = seal(Config, {"api": {"auth": {"type": "bearer", "token": MASK}}}, PLACES, "config").problems
    assert (problem.attr, problem.code) == ("config.api.auth.token", "secret_missing")


def test_a_reference_stays_visible_and_is_resolved_at_use(monkeypatch):
    monkeypatch.setenv("ORDERS_TOKEN", "hunter22")
    data = {"api": {"key": "env:ORDERS_TOKEN"}}
    sealed = seal(Config, data, None)
    assert (sealed.data, sealed.secrets) == (data, {})
    assert opened(Config, sealed.data, sealed.secrets) == {"api.key": "hunter22"}


def test_a_secret_that_was_lost_is_missed_at_use():
    with pytest.raises(SecretMissing, match=r"api\.key"):
        opened(Config, {"api": {"key": MASK}}, {})


def test_secrets_that_cannot_be_decrypted_are_asked_for_again():
    [problem] = seal(Config, {"api": {"key": MASK}}, Unreadable("x")).problems
    assert "Enter it again" in problem.detail


@pytest.mark.parametrize(
    "data",
    [None, [], "x", {"api": None}, {"api": []}, {"api": {"auth": 5, "headers": [1], "more": {"a": 1}, "key": 7}}],
)
def test_what_is_not_valid_is_left_to_the_validation(data):
    assert seal(Config, data, None).secrets == {}


def test_a_reference_is_checked_when_it_is_saved():
    for reference in ("env:DATABASE_URL", "env:", "file:/etc/shadow"):
        _, [problem] = read_options(Api, {"key": reference}, "config.api")
        assert problem.attr == "config.api.key"


def test_no_secret_stands_in_what_is_wrong_with_it():
    _, problems = read_options(Api, {"auth": {"type": "basic", "username": 5, "password": ["hunter22"]}}, "config")
    assert problems
    assert "hunter22" not in str(problems)


def test_openapi_takes_a_secret_for_a_password():
    schema = Bearer.model_json_schema()["properties"]["token"]["anyOf"][0]
    assert (schema["format"], schema["writeOnly"]) == ("password", True)
