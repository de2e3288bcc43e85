from django.urls import path, register_converter

from . import views


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
    path(f"{_jobs}new/", views.job_create, name="job-create"),
    path(f"{_jobs}preview/", views.job_preview, name="job-preview"),
    path(f"{_jobs}<slug:name>/", views.job_detail, name="job-detail"),
    path(f"{_jobs}<slug:name>/edit/", views.job_edit, name="job-edit"),
    path(f"{_jobs}<slug:name>/delete/", views.job_delete, name="job-delete"),
    path(f"{_jobs}<slug:name>/run/", views.job_run, name="job-run"),
    path(f"{_jobs}<slug:name>/sql/", views.job_sql, name="job-sql"),
]
