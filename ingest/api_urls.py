from rest_framework.routers import SimpleRouter

from .api import IngestJobViewSet, IngestRunViewSet, UploadViewSet

router = SimpleRouter()
router.register(r"workflows/(?P<slug>[^/]+)/ingest-jobs", IngestJobViewSet, basename="ingest-job")
router.register("ingest-runs", IngestRunViewSet, basename="ingest-run")
router.register("uploads", UploadViewSet, basename="upload")
urlpatterns = router.urls
