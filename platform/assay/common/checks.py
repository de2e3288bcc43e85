"""System checks: what is misconfigured, said at start, with what to do about it."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from pathlib import Path

from django.conf import settings
from django.core.checks import Error, Tags, register
from django.core.checks import Warning as CheckWarning


@register(Tags.security)
def check_secret_key(app_configs, **kwargs):
    """A server database means several machines, and they must share one key."""
    if settings.DEBUG or os.environ.get("ASSAY_SECRET_KEY"):
        return []
    hint = "Set ASSAY_SECRET_KEY to 50 or more random characters, the same for every process."
    if settings.DATABASE_URL:
        return [Error("ASSAY_SECRET_KEY is not set.", hint=hint, id="assay.E001")]
    where = settings.ASSAY_HOME / "secret_key"
    return [CheckWarning(f"ASSAY_SECRET_KEY is not set; the key in {where} is used.", hint=hint, id="assay.W001")]


@register(Tags.security, deploy=True)
def check_debug(app_configs, **kwargs):
    if not settings.DEBUG:
        return []
    return [Error("ASSAY_DEBUG is on: tracebacks are shown to everybody.", hint="Unset it.", id="assay.E002")]


@register()
def check_lake(app_configs, **kwargs):
    """The local lake must be a folder that can be written. S3 is asked only by `check --deploy`."""
    url = settings.ASSAY_LAKE_URL
    if url.startswith("s3://"):
        return []
    if "://" in url:
        hint = "Use a folder or s3://bucket/prefix."
        return [Error(f"ASSAY_LAKE_URL “{url}” is of no known kind.", hint=hint, id="assay.E003")]
    try:
        Path(url).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        return [_unreachable(url, error)]
    if not os.access(url, os.W_OK):
        return [_unreachable(url, "it cannot be written")]
    return []


@register(deploy=True)
def check_object_store(app_configs, **kwargs):
    """A bucket that does not answer is found before the first run."""
    url = settings.ASSAY_LAKE_URL
    if not url.startswith("s3://"):
        return []
    from workers.lake.store import open_store

    try:
        next(iter(open_store(url).list("")), None)
    except Exception as error:  # noqa: BLE001  (whatever the store says, it is the message)
        return [_unreachable(url, error)]
    return []


def _unreachable(url: str, reason: object) -> Error:
    hint = "Check ASSAY_LAKE_URL, ASSAY_S3_ENDPOINT_URL and the AWS_* credentials, or the folder's rights."
    return Error(f"The lake at {url} is unreachable: {reason}.", hint=hint, id="assay.E004")


@register()
def check_source_roots(app_configs, **kwargs):
    missing = [
        root
        for root in settings.ASSAY_LOCAL_SOURCE_ROOTS
        if not root.is_dir() and root != settings.ASSAY_HOME / "inbox"
    ]
    return [
        CheckWarning(
            f"The source root {root} is no folder.",
            hint="Create it, or correct ASSAY_LOCAL_SOURCE_ROOTS.",
            id="assay.W002",
        )
        for root in missing
    ]


@register()
def check_embedding_model(app_configs, **kwargs):
    """The model of vector indexes is data of two packages, which an installation may lack."""
    from workers.embeddings.files import HINT, missing_files

    if not (missing := missing_files()):
        return []
    told = f"The embedding model embedded:minilm cannot be used: {', '.join(missing)} is not installed."
    return [CheckWarning(told, hint=HINT, id="assay.W003")]


@register()
def check_spark(app_configs, **kwargs):
    """Jobs that name no engine would all fail where Spark is their default and is not there."""
    if settings.ASSAY_DEFAULT_ENGINE != "spark":
        return []
    from workers.engines.spark.session import missing_part

    if not (missing := missing_part()):
        return []
    what, _, hint = missing.partition(". ")
    told = f"ASSAY_DEFAULT_ENGINE is spark, but Spark cannot run here: {what}."
    return [CheckWarning(told, hint=hint, id="assay.W004")]


@register()
def check_layout(app_configs, **kwargs):
    """Two accidents that would break imports in ways that are hard to read."""
    problems = []
    if (Path(settings.PLATFORM_DIR) / "__init__.py").exists():
        hint = "Remove platform/__init__.py: it hides Python's own module `platform`."
        problems.append(Error("platform/ is a package.", hint=hint, id="assay.E005"))
    if any(distribution.name == "datasets" for distribution in metadata.distributions(path=sys.path)):
        hint = "Uninstall it: it would hide Assay's app `datasets`."
        problems.append(Error("A distribution called “datasets” is installed.", hint=hint, id="assay.E006"))
    return problems
