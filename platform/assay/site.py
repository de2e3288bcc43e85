from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpResponseRedirect
from django.shortcuts import render, resolve_url
from unfold.sites import UnfoldAdminSite


class AssaySite(UnfoldAdminSite):
    """One shell for everybody who may log in; each page and each ModelAdmin asks for its own rights."""

    index_title = "All records"

    def has_permission(self, request) -> bool:
        return request.user.is_active and request.user.is_authenticated

    def login(self, request, extra_context=None):
        """Django's, but without an address to come back to it leads home, not to the admin's index."""
        if request.method == "GET" and self.has_permission(request) and REDIRECT_FIELD_NAME not in request.GET:
            return HttpResponseRedirect(resolve_url("home"))
        return super().login(request, extra_context)

    def search(self, request, extra_context=None):
        """Ctrl-K. Not Unfold's: that one asks no policy, and keeps what it found for five minutes."""
        from .search import find

        term = request.GET.get("s", "").strip()
        found = find(request.user, term)
        return render(request, "assay/partials/search_results.html", {"found": found, "term": term})
