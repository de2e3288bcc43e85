from django.urls import path, register_converter

from . import feeds_views, form_views, report_views, views
from .metrics.urls import urlpatterns as metric_pages
from .runs import views as run_views
from .scd2 import views as scd2_views
from .training import views as training_views
from .vectors import views as vector_views


class LayerConverter:
    """The layers that have jobs of this kind, in an address."""

    regex = "silver|gold"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(LayerConverter, "layer")

app_name = "datasets"
_jobs = "workflows/<slug:slug>/<layer:layer>-jobs/"
urlpatterns = [
    *metric_pages,
    path("workflows/<slug:slug>/<layer:layer>-form/check/", form_views.job_check, name="job-check"),
    path(f"{_jobs}new/", form_views.job_create, name="job-create"),
    path(f"{_jobs}preview/", form_views.job_preview, name="job-preview"),
    path(f"{_jobs}<slug:name>/", views.job_detail, name="job-detail"),
    path(f"{_jobs}<slug:name>/edit/", form_views.job_edit, name="job-edit"),
    path(f"{_jobs}<slug:name>/delete/", form_views.job_delete, name="job-delete"),
    path(f"{_jobs}<slug:name>/run/", views.job_run, name="job-run"),
    path(f"{_jobs}<slug:name>/sql/", views.job_sql, name="job-sql"),
    path(f"{_jobs}<slug:name>/dimension/", scd2_views.job_dimension, name="job-dimension"),
    path(f"{_jobs}<slug:name>/timeline/", scd2_views.job_timeline, name="job-timeline"),
    path(f"{_jobs}<slug:name>/restate/preview/", scd2_views.job_restate_preview, name="job-restate-preview"),
    path(f"{_jobs}<slug:name>/restate/", scd2_views.job_restate, name="job-restate"),
    path(f"{_jobs}<slug:name>/conform/", report_views.job_conform, name="job-conform"),
    path(f"{_jobs}<slug:name>/snapshots/", report_views.job_snapshots, name="job-snapshots"),
    path(f"{_jobs}<slug:name>/deliveries/", feeds_views.job_deliveries, name="job-deliveries"),
    path(
        f"{_jobs}<slug:name>/deliveries/<uuid:run>/<str:file>/", feeds_views.job_delivery_file, name="job-delivery-file"
    ),
    path(f"{_jobs}<slug:name>/rebuild/", vector_views.job_rebuild, name="job-rebuild"),
    path(f"{_jobs}<slug:name>/card/", training_views.job_card, name="job-card"),
    path(f"{_jobs}<slug:name>/runs/compare/", run_views.runs_compare, name="job-runs-compare"),
    path(f"{_jobs}<slug:name>/runs/compare/rows/", run_views.runs_compare_rows, name="job-runs-compare-rows"),
    path(f"{_jobs}<slug:name>/runs/<uuid:run>/repeat/", run_views.run_repeat, name="job-run-repeat"),
]
