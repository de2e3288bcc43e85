"""The search box of a vector index, as a part of its dataset's page and of its job's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.http import Http404
from django.shortcuts import get_object_or_404, render

from workers.errors import AssayError
from workers.specs import Column

from ..models import Dataset
from . import services
from .api import PREFIX, filters_in

RESULTS = 10
LEAST_LETTERS = 3  # of a word of the question that is marked in what was found
FILTERS_SHOWN = 8
EXAMPLES = {  # of a filter, by the type of its column; of other types: numbers
    "string": "exactly this",
    "boolean": "true or false",
    "date": "2026-01-31, or 2026-01-01..",
    "time": "10:30, or 10:00..12:00",
    "timestamp": "2026-01-31.., or ..2026-02-28",
    "timestamptz": "2026-01-31.., or ..2026-02-28",
}


@login_required
def dataset_search(request, name):
    """What was found, or, without a question, how much there is to search. Rendered by htmx."""
    dataset = get_object_or_404(Dataset.objects.visible_to(request.user), name=name)
    if not services.is_index(dataset):
        raise Http404
    question = request.GET.get("q", "").strip()
    context = {"dataset": dataset, "question": question, "filters": _filters(request)}
    try:
        if not question:
            context["coverage"] = services.coverage(dataset, request.user)
        elif len(question) > services.MAX_QUESTION:
            context["too_long"] = services.MAX_QUESTION
        else:
            context |= _found(dataset, request.user, question, context["filters"])
    except AssayError as error:
        context["error"] = error.as_dict()
    return render(request, "catalog/partials/vector_search_results.html", context)


def _filters(request) -> dict[str, list[str]]:
    """Those that were filled in: an empty field of a form asks for nothing."""
    found = {name: [value.strip() for value in values] for name, values in filters_in(request.GET).items()}
    return {name: [value for value in values if value] for name, values in found.items() if any(values)}


def _found(dataset: Dataset, user, question: str, filters: dict[str, list[str]]) -> dict:
    answer = services.search(dataset, user, question, RESULTS, filters)
    for result in answer["results"]:
        result["parts"] = list(_parts(result["text"], question))
        result["percent"] = round(max(0.0, result["score"]) * 100)
    return {"answer": answer}


def _parts(text: str, question: str) -> Iterator[tuple[str, bool]]:
    """The text in pieces, each with whether it begins like a word of the question. The template escapes them."""
    words = [re.escape(word) for word in re.findall(r"\w+", question) if len(word) >= LEAST_LETTERS]
    if not words:
        yield text, False
        return
    end = 0
    for match in re.finditer(rf"\b(?:{'|'.join(words)})\w*", text, re.IGNORECASE):
        if match.start() > end:
            yield text[end : match.start()], False
        yield match[0], True
        end = match.end()
    if end < len(text):
        yield text[end:], False


@login_required
def search_box(request, name):
    """The card with the search box, for pages of others."""
    dataset = get_object_or_404(Dataset.objects.visible_to(request.user), name=name)
    return render(request, "catalog/partials/vector_search.html", {"vector_search": search_context(dataset)})


def search_context(dataset: Dataset) -> dict | None:
    """What the card needs; None for a dataset that cannot be searched."""
    if not services.is_index(dataset):
        return None
    fields = [_field(column) for column in services.metadata_columns(dataset)[:FILTERS_SHOWN]]
    return {"name": dataset.name, "fields": fields, "max_length": services.MAX_QUESTION}


def _field(column: Column) -> dict[str, str]:
    """The field of a filter, with an example of what may be typed there."""
    kind = column.type.partition("(")[0]
    return {"name": f"{PREFIX}{column.name}", "label": column.name, "example": EXAMPLES.get(kind, "10, or 10..20")}
