"""What processes write to standard error: one line of JSON an event, and no secret."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.common.logs import JsonLine, log_context

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lines():
    """What the logger `shop` writes, as read back from its lines."""
    written = []

    class Keep(logging.Handler):
        def emit(self, record):
            written.append(json.loads(self.format(record)))

    handler = Keep()
    handler.setFormatter(JsonLine())
    logger = logging.getLogger("shop")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield written
    logger.removeHandler(handler)


logger = logging.getLogger("shop")


def test_a_process_logs_to_standard_error_only():
    script = "import logging, django; django.setup(); logging.getLogger('shop').info('first\\nsecond')"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "assay.settings", "PYTHONPATH": "platform:."}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert json.loads(line)["event"] == "first\nsecond"


def test_an_event_says_when_who_and_what(lines):
    logger.info("published %s rows", 3, extra={"version": 7})
    [line] = lines
    assert (line["level"], line["logger"], line["event"], line["version"]) == ("info", "shop", "published 3 rows", 7)
    assert line["time"].endswith("+00:00")


def test_an_event_carries_the_run_it_is_about_and_only_inside(lines):
    with log_context(run=7), log_context(job="orders"):
        logger.info("inside")
    logger.info("outside")
    assert (lines[0]["run"], lines[0]["job"]) == ("7", "orders")
    assert "run" not in lines[1]


def test_an_exception_stays_on_the_line_of_its_event(lines):
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logger.exception("failed")
    assert "ZeroDivisionError" in lines[0]["exception"]


@pytest.mark.parametrize(
    ("event", "extra"),
    [
        ("connect to postgresql://assay:hunter22@db/x", {}),
        ("connect to redis://:hunter22@127.0.0.1:6379/0", {}),
        ("Authorization: Bearer hunter22hunter22", {}),
        ("password=hunter22 host=db", {}),
        ("GET /?api_key=hunter22&page=2", {}),
        ("token: 'hunter22'", {}),
        ("asked", {"password": "hunter22"}),
        ("asked", {"config": {"auth": {"client_secret": "hunter22"}}}),
        ("asked", {"headers": [{"Authorization": "hunter22"}]}),
    ],
)
def test_secrets_are_not_logged(lines, event, extra):
    logger.info(event, extra=extra)
    assert "•••" in json.dumps(lines, ensure_ascii=False)
    assert "hunter22" not in json.dumps(lines)


def test_secrets_in_an_exception_are_not_logged(lines):
    try:
        raise ValueError("token=hunter22 password: hunter22")
    except ValueError:
        logger.exception("failed")
    assert "hunter22" not in lines[0]["exception"].partition("ValueError")[2]


def test_what_is_no_secret_is_logged_as_it_is(lines):
    logger.info("read s3://bucket/orders.csv at 12:30, customer@example.org", extra={"rows": 5})
    assert lines[0]["event"] == "read s3://bucket/orders.csv at 12:30, customer@example.org"
