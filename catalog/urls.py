from django.urls import path

from . import views
from .search import views as search_views
from .statistics import views as statistics_views

app_name = "catalog"
urlpatterns = [
    path("", views.dataset_list, name="dataset-list"),
    path("<str:name>/", views.dataset_detail, name="dataset-detail"),
    path("<str:name>/sample/", views.dataset_sample, name="dataset-sample"),
    path("<str:name>/statistics/", statistics_views.dataset_statistics, name="dataset-statistics"),
    path("<str:name>/search/", search_views.dataset_search, name="dataset-search"),
    path("<str:name>/search/box/", search_views.search_box, name="dataset-search-box"),
]
