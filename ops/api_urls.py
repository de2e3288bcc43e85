from rest_framework.routers import SimpleRouter

from .api import PipelineRunViewSet, WorkflowViewSet

router = SimpleRouter()
router.register("workflows", WorkflowViewSet, basename="workflow")
router.register("pipeline-runs", PipelineRunViewSet, basename="pipeline-run")
urlpatterns = router.urls
