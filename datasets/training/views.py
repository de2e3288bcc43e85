"""The card of a training or feature set, as a part of its job's page."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.shortcuts import render

from ops.job_pages import with_pipeline_runs

from ..form_views import job_or_404
from . import services


@login_required
def job_card(request, slug, layer, name):
    job = job_or_404(request.user, slug, layer, name)
    run = services.latest_run(job, request.user)
    context = {"job": job, "run": run}
    if run:
        with_pipeline_runs([run])
        card = services.readable(services.card_of(run))
        context |= {
            "card": card,
            "features": services.features_for_page(card),
            "balance": services.balance_for_page(card),
            "dropped": services.dropped_for_page(card),
        }
    return render(request, "datasets/partials/about_training_card.html", context)
