from django.urls import path

from . import views

app_name = "catalog"
urlpatterns = [
    path("", views.dataset_list, name="dataset-list"),
    path("<str:name>/", views.dataset_detail, name="dataset-detail"),
    path("<str:name>/sample/", views.dataset_sample, name="dataset-sample"),
]
