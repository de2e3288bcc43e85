from rest_framework.routers import SimpleRouter

from .api import DatasetViewSet

router = SimpleRouter()
router.register("datasets", DatasetViewSet, basename="catalog-dataset")
urlpatterns = router.urls
