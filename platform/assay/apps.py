from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class AssayConfig(AppConfig):
    name = "assay"

    def ready(self) -> None:
        from assay.common import checks  # noqa: F401  (registers them)


class AssayAdminConfig(AdminConfig):
    """The admin, with a site of ours: every active person sees the shell, each page asks for its own rights."""

    default_site = "assay.site.AssaySite"
