from rest_framework import permissions


class ModelPermissions(permissions.DjangoModelPermissions):
    """Reading asks for a log-in (what is read is the policy's business), changing for the model's permission."""

    def has_permission(self, request, view) -> bool:
        if not (request.user and request.user.is_authenticated):
            return False
        return request.method in permissions.SAFE_METHODS or super().has_permission(request, view)
