"""`…/gold-jobs/{name}/rebuild/`: an index of texts by meaning, made anew."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from assay.common.api import refuse_body
from assay.common.runs import Trigger

from . import services


class RebuildAction:
    """For the viewset of Gold jobs; 404 for a job of another template, and for who may not see its dataset."""

    @extend_schema(request=None, responses={202: OpenApiTypes.OBJECT})
    @action(detail=True, methods=["post"])
    def rebuild(self, request: Request, **kwargs: str) -> Response:
        """Embed every document of a vector index anew: 202 with the run. Until its end searches find the old one."""
        refuse_body(request)
        job = self.get_object()
        pipeline_run = services.rebuild(job, request.user, Trigger.API)
        run = self.runs_of(job).get(pk=pipeline_run.steps.get().run_id)
        told = self.run_serializer_class(run, context=self.get_serializer_context()).data
        return Response(told, status=status.HTTP_202_ACCEPTED)
