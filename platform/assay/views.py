"""Home."""

from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.shortcuts import render


@login_required
def home(request):
    return render(request, "assay/home.html", {**admin.site.each_context(request), "title": "Home"})
