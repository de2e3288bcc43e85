from unfold.sites import UnfoldAdminSite


class AssaySite(UnfoldAdminSite):
    """One shell for everybody who may log in; each page and each ModelAdmin asks for its own rights."""

    def has_permission(self, request) -> bool:
        return request.user.is_active and request.user.is_authenticated
