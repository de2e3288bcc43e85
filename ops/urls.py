from django.urls import path

from . import views
from .connections.urls import urlpatterns as connection_pages

app_name = "ops"
urlpatterns = [
    path("workflows/", views.workflow_list, name="workflow-list"),
    path("workflows/new/", views.workflow_create, name="workflow-create"),
    path("workflows/<slug:slug>/", views.workflow_detail, name="workflow-detail"),
    path("workflows/<slug:slug>/edit/", views.workflow_edit, name="workflow-edit"),
    path("workflows/<slug:slug>/delete/", views.workflow_delete, name="workflow-delete"),
    path("workflows/<slug:slug>/run/", views.workflow_run, name="workflow-run"),
    path("runs/", views.run_list, name="run-list"),
    path("runs/<int:pk>/", views.run_detail, name="run-detail"),
    path("runs/<int:pk>/cancel/", views.run_cancel, name="run-cancel"),
    path("runs/<int:pk>/retry/", views.run_retry, name="run-retry"),
    *connection_pages,
]
