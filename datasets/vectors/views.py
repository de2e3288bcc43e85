"""The button on the page of an index that makes it anew."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect

from assay.common.pages import action, tell
from assay.common.runs import Trigger
from workers.errors import AssayError

from ..form_views import job_or_404
from . import services


@action("ops.change_workflow")
def job_rebuild(request, slug, layer, name) -> HttpResponse:
    job = job_or_404(request.user, slug, layer, name)
    try:
        run = services.rebuild(job, request.user, Trigger.MANUAL)
    except AssayError as error:
        tell(request, error)
        return redirect("datasets:job-detail", slug, layer, name)
    return redirect("ops:run-detail", run.pk)
