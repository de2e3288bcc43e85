"""Pages about datasets."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import Q
from django.shortcuts import get_object_or_404, render
from django.urls import NoReverseMatch, reverse

from assay.common.graph import Node, draw
from assay.common.pages import page
from workers.errors import AssayError

from . import services
from .models import Dataset, Layer
from .search.views import search_context

PER_PAGE = 50
SAMPLE_ROWS = 50
HOPS = 2  # around the dataset; a whole estate in one picture cannot be read
VERSIONS_SHOWN = 20
DATASETS = ("Datasets", "/datasets/")


@login_required
def dataset_list(request):
    term, layer = request.GET.get("q", "").strip(), request.GET.get("layer", "")
    rows = Dataset.objects.visible_to(request.user).filter(Q(name__icontains=term) | Q(description__icontains=term))
    if layer in Layer.values:
        rows = rows.filter(layer=layer)
    page_obj = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context = {"page_obj": page_obj, "term": term, "layer": layer, "layers": Layer.values}
    if request.htmx:
        return render(request, "catalog/partials/dataset_table.html", context)
    return page(request, "catalog/dataset_list.html", "Datasets", **context)


@login_required
def dataset_detail(request, name):
    dataset = _dataset_or_404(request.user, name)
    visible = Dataset.objects.visible_to(request.user)
    context = {
        "dataset": dataset,
        "versions": list(dataset.versions.all()[:VERSIONS_SHOWN]),
        "drawing": _drawing(dataset, visible),
        "job_url": job_url(dataset),
        "vector_search": search_context(dataset),
    }
    return page(request, "catalog/dataset_detail.html", dataset.name, crumbs=[DATASETS], **context)


@login_required
def dataset_sample(request, name):
    """The first rows, as a part of a page: reading the lake must not hold up the rest."""
    dataset = _dataset_or_404(request.user, name)
    context = {"dataset": dataset, "columns": dataset.columns}
    try:
        context["rows"] = services.sample(dataset, SAMPLE_ROWS)
    except AssayError as error:
        context["error"] = error.as_dict()
    return render(request, "catalog/partials/sample.html", context)


def _dataset_or_404(user, name: str) -> Dataset:
    return get_object_or_404(Dataset.objects.visible_to(user), name=name)


def job_url(dataset: Dataset) -> str:
    """Where the job that makes it is looked at; empty for a name that no job can have."""
    try:
        if dataset.layer in (Layer.LANDING, Layer.BRONZE):
            return reverse("ingest:job-detail", args=[dataset.workflow, dataset.short_name])
        return reverse("datasets:job-detail", args=[dataset.workflow, dataset.layer, dataset.short_name])
    except NoReverseMatch:
        return ""


def _drawing(dataset: Dataset, visible):
    graph = services.lineage(dataset, "both", HOPS, visible=visible)
    nodes = [_node(node, dataset) for node in graph["nodes"]]
    return draw(nodes, [(edge["source"], edge["target"]) for edge in graph["edges"]])


def _node(node: dict[str, str], dataset: Dataset) -> Node:
    workflow = node["id"].split(".")[1]
    label = node["name"] if workflow == dataset.workflow else f"{workflow}.{node['name']}"
    url = reverse("catalog:dataset-detail", args=[node["id"]])
    return Node(node["id"], node["layer"], label, node["type"].replace("_", " "), "", url, node["id"] == dataset.name)
