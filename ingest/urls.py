from django.urls import path

from . import views

app_name = "ingest"
_jobs = "workflows/<slug:slug>/ingest-jobs/"
urlpatterns = [
    path(f"{_jobs}new/", views.job_create, name="job-create"),
    path(f"{_jobs}upload/", views.job_upload, name="job-upload"),
    path(f"{_jobs}preview/", views.job_preview, name="job-preview"),
    path(f"{_jobs}<slug:name>/", views.job_detail, name="job-detail"),
    path(f"{_jobs}<slug:name>/edit/", views.job_edit, name="job-edit"),
    path(f"{_jobs}<slug:name>/delete/", views.job_delete, name="job-delete"),
    path(f"{_jobs}<slug:name>/run/", views.job_run, name="job-run"),
    path(f"{_jobs}<slug:name>/quarantine/", views.job_quarantine, name="job-quarantine"),
]
