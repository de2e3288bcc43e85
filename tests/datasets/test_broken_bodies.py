"""No body makes the server fail: each value of a job of each template, replaced by everything that it cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import cycle, islice
from typing import Any

import pytest

from tests.datasets.test_template_forms import CONFIGS, shop  # noqa: F401  (fixture)

pytestmark = pytest.mark.django_db

SILVER = ("sql", "scd2_dimension", "conform_sources")
KINDS = {"sql": "fact", "scd2_dimension": "dim", "conform_sources": "dim", "metrics_aggregate": "metric_table"}
WRONG = [
    *(None, True, 0, -1, 10**30, 1.5, [], {}, [None], [[]], [{}], {"a": None}, {"": {}}),
    *("", " ", "é", "名前", "a" * 5000, "'\"; --", "a.b", "\ud800", "\x00", "{", "%s", "../..", "2026-13-45", "count("),
]
EXTRA = {"surprise": {"nested": [1]}}
EACH = 3  # wrong values for each place


def body_of(template: str) -> dict[str, Any]:
    inputs, config = CONFIGS.get(template, (["orders"], {}))
    return {
        "name": "tried",
        "description": "",
        "dataset_type": KINDS.get(template, template),
        "transform_type": template,
        "inputs": [{"dataset": f"bronze.shop.{name}", "alias": name} for name in inputs],
        "sql_text": "select order_id, amount from orders where amount > 1" if template == "sql" else "",
        "config": config,
        "engine": "default",
        "target_schema": [],
        "refresh_mode": "full_refresh",
        "partition_by": [],
        "merge_keys": [],
        "data_quality": [],
        "compression": "zstd",
        "enabled": True,
    }


def places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The path of everything inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from places(each, (*path, key))


def with_value(body: dict[str, Any], path: tuple, value: Any) -> dict[str, Any]:
    changed = deepcopy(body)
    *parents, last = path
    held = changed
    for key in parents:
        held = held[key]
    held[last] = value
    return changed


def without(body: dict[str, Any], path: tuple) -> dict[str, Any]:
    changed = deepcopy(body)
    *parents, last = path
    held = changed
    for key in parents:
        held = held[key]
    del held[last]
    return changed


def with_more(body: dict[str, Any], path: tuple) -> dict[str, Any] | None:
    held = body
    for key in path:
        held = held[key]
    return with_value(body, path, {**held, **EXTRA}) if isinstance(held, dict) else None


def variants(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each value, gone, with more in it, and as three of the wrong ones: all of these come in turn."""
    turns = cycle(WRONG)
    for path in places(body):
        for value in islice(turns, EACH):
            yield f"{path} = {value!r}", with_value(body, path, value)
        yield f"without {path}", without(body, path)
        if more := with_more(body, path):
            yield f"more in {path}", more


@pytest.mark.parametrize("template", ["sql", *CONFIGS])
def test_no_body_makes_the_server_fail(shop, api, template):  # noqa: F811
    layer = "silver" if template in SILVER else "gold"
    jobs, body = f"/api/workflows/shop/{layer}-jobs/", body_of(template)
    assert api.post(jobs, body).status_code == 201
    for told, changed in variants(body):
        try:
            answer = api.put(f"{jobs}tried/", json.dumps(changed), content_type="application/json")
        except Exception as error:
            raise AssertionError(f"{template}: {told}") from error
        assert answer.status_code in (200, 400), f"{template}: {told}: {answer.content}"


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "\\ud800"}',
        '{"\\udc00": 1}',
        '{"name": "a\\u0000b"}',
        '{"config": {"keep": 1e400}}',
        '{"config": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"config": ' + "[" * 200_000,
        "[1, 2]",
        '"name"',
        "null",
        "{",
    ],
)
def test_what_is_no_body_is_refused_at_the_door(shop, api, text):  # noqa: F811
    answer = api.post("/api/workflows/shop/silver-jobs/", text, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "address", ["/api/metrics/%00/", "/api/metrics/?search=%00", "/metrics/?q=a%00", "/metrics/%00/"]
)
def test_an_address_that_no_database_can_look_for_is_refused(api, client, engineer, address):
    client.force_login(engineer)
    assert (api if address.startswith("/api/") else client).get(address).status_code == 400
