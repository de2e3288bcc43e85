from rest_framework.routers import SimpleRouter

from .api import PipelineRunViewSet, WorkflowViewSet
from .connections.api import ConnectionViewSet

router = SimpleRouter()
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("pipeline-runs", PipelineRunViewSet, basename="pipeline-run")
router.register("connections", ConnectionViewSet, basename="connection")
urlpatterns = router.urls
