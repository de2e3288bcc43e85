from django.urls import path

from . import views

urlpatterns = [
    path("metrics/", views.metric_list, name="metric-list"),
    path("metrics/new/", views.metric_create, name="metric-create"),
    path("metrics/check/", views.metric_check, name="metric-check"),
    path("metrics/<slug:name>/", views.metric_detail, name="metric-detail"),
    path("metrics/<slug:name>/edit/", views.metric_edit, name="metric-edit"),
    path("metrics/<slug:name>/delete/", views.metric_delete, name="metric-delete"),
    path("workflows/<slug:slug>/gold-jobs/<slug:name>/metrics/", views.job_metrics, name="job-metrics"),
]
