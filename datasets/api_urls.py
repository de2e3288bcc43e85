from django.urls import path
from rest_framework.routers import SimpleRouter

from .api import DatasetRunViewSet, GoldJobViewSet, SilverJobViewSet
from .metrics.api import MetricViewSet

router = SimpleRouter()
router.register(r"workflows/(?P<slug>[^/]+)/silver-jobs", SilverJobViewSet, basename="silver-job")
router.register(r"workflows/(?P<slug>[^/]+)/gold-jobs", GoldJobViewSet, basename="gold-job")
router.register("dataset-runs", DatasetRunViewSet, basename="dataset-run")
router.register("metrics", MetricViewSet, basename="metric")
urlpatterns = [
    # A file's name ends in no slash.
    path(
        "workflows/<slug:slug>/gold-jobs/<slug:name>/card.md",
        GoldJobViewSet.as_view({"get": "card_markdown"}),
        name="gold-job-card-markdown",
    ),
    *router.urls,
]
