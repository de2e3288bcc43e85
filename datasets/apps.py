from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class DatasetsConfig(AppConfig):
    name = "datasets"

    def ready(self) -> None:
        from ops import kinds

        from . import services
        from .kind import GoldKind, SilverKind
        from .models import DatasetJob

        kinds.register(SilverKind())
        kinds.register(GoldKind())
        # Whoever saves a job, a form, the API or a script, the catalog hears of it.
        post_save.connect(
            lambda instance, **_: services.declare(instance), DatasetJob, weak=False, dispatch_uid="datasets-declare"
        )
        post_delete.connect(
            lambda instance, **_: services.retire(instance), DatasetJob, weak=False, dispatch_uid="datasets-retire"
        )
