from django.urls import path

from . import views

urlpatterns = [
    path("connections/", views.connection_list, name="connection-list"),
    path("connections/new/", views.connection_create, name="connection-create"),
    path("connections/<slug:name>/", views.connection_detail, name="connection-detail"),
    path("connections/<slug:name>/edit/", views.connection_edit, name="connection-edit"),
    path("connections/<slug:name>/delete/", views.connection_delete, name="connection-delete"),
    path("connections/<slug:name>/test/", views.connection_test, name="connection-test"),
    path("connections/<slug:name>/tables/", views.connection_tables, name="connection-tables"),
]
