"""Parts of the page of a dimension's job: the timeline of a key, and restatement."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from assay.common.api import InvalidInput
from assay.common.pages import action, tell
from assay.common.runs import Trigger
from workers.errors import AssayError, InvalidSpec

from ..form_views import job_or_404
from ..models import DatasetJob
from . import services
from .drawing import HEIGHT, WIDTH, boxes


@login_required
def job_dimension(request, slug, layer, name):
    """The search for a key and the way to restate; heavy parts come when they are asked for."""
    job = job_or_404(request.user, slug, layer, name)
    dataset = services.dimension_or_404(job, request.user)
    context = {"job": job, "dataset": dataset, "keys": services.key_columns(job)}
    return render(request, "datasets/partials/about_scd2_loaded.html", context)


@login_required
def job_timeline(request, slug, layer, name):
    """The versions of the key that the address names, drawn and listed."""
    job = job_or_404(request.user, slug, layer, name)
    dataset = services.dimension_or_404(job, request.user)
    context: dict[str, Any] = {"job": job, "width": WIDTH, "height": HEIGHT}
    try:
        found = services.timeline(dataset, job, services.key_of(job, request.GET.dict()), request.user)
        numbered = list(enumerate(found["versions"], 1))
        context |= {"found": found, "boxes": boxes(found["versions"]), "versions": numbered[::-1]}
    except InvalidInput as error:
        context["problems"] = error.problems
    except AssayError as error:
        context["error"] = error.as_dict()
    return render(request, "datasets/partials/about_scd2_timeline.html", context)


@action("ops.change_workflow")
def job_restate_preview(request, slug, layer, name):
    """What the restatement that the dialog describes would change."""
    job = job_or_404(request.user, slug, layer, name)
    services.dimension_or_404(job, request.user)
    context: dict[str, Any] = {"job": job}
    try:
        context["preview"] = _side_by_side(services.preview_restatement(job, _restatement(request, job), request.user))
    except AssayError as error:
        context["error"] = error.as_dict()
    return render(request, "datasets/partials/about_scd2_restatement.html", context)


@action("ops.change_workflow")
def job_restate(request, slug, layer, name) -> HttpResponse:
    job = job_or_404(request.user, slug, layer, name)
    services.dimension_or_404(job, request.user)
    try:
        run = services.restate(job, _restatement(request, job), request.user, Trigger.MANUAL)
    except AssayError as error:
        tell(request, error)
        return redirect("datasets:job-detail", slug, layer, name)
    return redirect("ops:run-detail", run.pk)


def _side_by_side(preview: dict[str, Any]) -> dict[str, Any]:
    """The examples as rows of a table: (before, after) of each column."""
    examples = preview["examples"]
    columns = list(examples[0]["after"] or examples[0]["before"]) if examples else []
    rows = [
        {
            "change": example["change"],
            "cells": [((example["before"] or {}).get(name), (example["after"] or {}).get(name)) for name in columns],
        }
        for example in examples
    ]
    return {**preview, "columns": columns, "rows": rows}


def _restatement(request: HttpRequest, job: DatasetJob) -> dict[str, Any]:
    """From the dialog: a key in each line, its columns parted by commas (or a JSON object); two days."""
    names = services.key_columns(job)
    lines = [line.strip() for line in request.POST.get("keys", "").splitlines() if line.strip()]
    days = {name: request.POST[name] for name in ("start_date", "end_date") if request.POST.get(name)}
    return {"keys": [_key(line, names) for line in lines], **days}


def _key(line: str, names: list[str]) -> dict[str, Any]:
    if line.startswith("{"):
        try:
            return json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InvalidSpec(
                f"“{line[:80]}” is no JSON object.", hint="Write the key's values, one key a line."
            ) from error
    parts = [line] if len(names) == 1 else [part.strip() for part in line.split(",")]
    if len(parts) != len(names):
        wanted = ", ".join(names)
        raise InvalidSpec(f"“{line}” has {len(parts)} values; a key is {wanted}.", hint="Part the values by commas.")
    return dict(zip(names, parts, strict=True))
