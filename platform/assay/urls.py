from django.contrib import admin
from django.urls import include, path

from . import views

urlpatterns = [
    path("", views.home, name="home"),
    path("admin/", admin.site.urls),
    path("api/", include("assay.api")),
    path("", include("ops.urls")),
    path("", include("ingest.urls")),
    path("", include("datasets.urls")),
    path("datasets/", include("catalog.urls")),
]

handler403 = "assay.views.forbidden"
handler404 = "assay.views.not_found"
