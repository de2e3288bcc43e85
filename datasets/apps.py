from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class DatasetsConfig(AppConfig):
    name = "datasets"

    def ready(self) -> None:
        from catalog.search import services as catalog_search
        from ops import kinds
        from ops.connections import users

        from . import connection_rules, services
        from .kind import GoldKind, SilverKind
        from .models import DatasetJob

        catalog_search.access_for = services.access_for_model
        kinds.register(SilverKind())
        kinds.register(GoldKind())
        editing = ("datasets.add_datasetjob", "datasets.change_datasetjob")
        users.register("datasets", editing, connection_rules.uses_of_connections)
        # Whoever saves a job, a form, the API or a script, the catalog hears of it.
        post_save.connect(
            lambda instance, **_: services.declare(instance), DatasetJob, weak=False, dispatch_uid="datasets-declare"
        )
        post_delete.connect(
            lambda instance, **_: services.retire(instance), DatasetJob, weak=False, dispatch_uid="datasets-retire"
        )
