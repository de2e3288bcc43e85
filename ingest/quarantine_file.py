"""Rows in quarantine as an answer that downloads: the same for the page and for the API."""

from __future__ import annotations

from django.http import FileResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from . import quarantine
from .models import IngestJob

FORMATS = ("csv", "parquet")


def as_download(job: IngestJob, wanted: quarantine.Wanted, user, kind: str) -> HttpResponseBase:
    """CSV is sent while it is read, Parquet once its file is whole. Raises what `quarantine.select` does."""
    rows = quarantine.select(job, wanted)
    name = f"{job.workflow.slug}-{job.name}-quarantine.{kind}"
    if kind == "parquet":
        return FileResponse(
            quarantine.as_parquet(rows, user),
            as_attachment=True,
            filename=name,
            content_type="application/vnd.apache.parquet",
        )
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingHttpResponse(quarantine.as_csv(rows, user), content_type="text/csv; charset=utf-8", headers=headers)
