from rest_framework.routers import SimpleRouter

from .api import DatasetRunViewSet, GoldJobViewSet, SilverJobViewSet

router = SimpleRouter()
router.register(r"workflows/(?P<slug>[^/]+)/silver-jobs", SilverJobViewSet, basename="silver-job")
router.register(r"workflows/(?P<slug>[^/]+)/gold-jobs", GoldJobViewSet, basename="gold-job")
router.register("dataset-runs", DatasetRunViewSet, basename="dataset-run")
urlpatterns = router.urls
