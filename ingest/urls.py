from django.urls import path

from . import contract_views, file_views, form_views, views, watermark_views

app_name = "ingest"
_jobs = "workflows/<slug:slug>/ingest-jobs/"
# Parts of the form of a job that may not be saved yet: no job's name stands in its way.
_form = "workflows/<slug:slug>/ingest-form/"
urlpatterns = [
    path(f"{_jobs}new/", form_views.job_create, name="job-create"),
    path(f"{_jobs}upload/", form_views.job_upload, name="job-upload"),
    path(f"{_jobs}preview/", form_views.job_preview, name="job-preview"),
    path(f"{_form}path/", form_views.job_path, name="job-path"),
    path(f"{_form}connections/", form_views.job_connections, name="job-connections"),
    path(f"{_form}tables/", form_views.job_tables, name="job-tables"),
    path(f"{_form}request/", form_views.job_request, name="job-request"),
    path(f"{_jobs}<slug:name>/", views.job_detail, name="job-detail"),
    path(f"{_jobs}<slug:name>/edit/", form_views.job_edit, name="job-edit"),
    path(f"{_jobs}<slug:name>/delete/", form_views.job_delete, name="job-delete"),
    path(f"{_jobs}<slug:name>/run/", views.job_run, name="job-run"),
    path(f"{_jobs}<slug:name>/look/", views.job_look, name="job-look"),
    path(f"{_jobs}<slug:name>/files/", file_views.job_files, name="job-files"),
    path(f"{_jobs}<slug:name>/quarantine/", views.job_quarantine, name="job-quarantine"),
    path(f"{_jobs}<slug:name>/quarantine/download/", views.job_quarantine_download, name="job-quarantine-download"),
    path(f"{_jobs}<slug:name>/contract-changes/", contract_views.job_contract_changes, name="job-contract-changes"),
    path(
        f"{_jobs}<slug:name>/contract-changes/<int:pk>/",
        contract_views.job_contract_change_decide,
        name="job-contract-change-decide",
    ),
    path(f"{_jobs}<slug:name>/watermarks/", watermark_views.job_watermarks, name="job-watermarks"),
    path(f"{_jobs}<slug:name>/rewind/", watermark_views.job_rewind, name="job-rewind"),
    path(f"{_jobs}<slug:name>/late-rows/", watermark_views.job_late_rows, name="job-late-rows"),
    path(f"{_jobs}<slug:name>/schema-history/", contract_views.job_schema_history, name="job-schema-history"),
]
