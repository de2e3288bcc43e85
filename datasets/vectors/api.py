"""`…/gold-jobs/{name}/rebuild/`: an index of texts by meaning, made anew."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import refuse_body
from assay.common.runs import Trigger
from ops.job_api import WAIT, seconds_to_wait

from . import services


class RebuildAction:
    """For the viewset of Gold jobs; 404 for a job of another template, and for who may not see its dataset."""

    @extend_schema(request=None, parameters=[WAIT], responses={200: OpenApiTypes.OBJECT, 202: OpenApiTypes.OBJECT})
    @action(detail=True, methods=["post"])
    def rebuild(self, request: Request, **kwargs: str) -> Response:
        """Embed every document of a vector index anew; answers as `run/`. Until its end searches find the old one."""
        refuse_body(request)
        wait = seconds_to_wait(request)
        job = self.get_object()
        return self.answer_with(services.rebuild(job, request.user, Trigger.API), job, wait)
