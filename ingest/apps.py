from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class IngestConfig(AppConfig):
    name = "ingest"

    def ready(self) -> None:
        from ops import kinds
        from ops.connections import users

        from . import services
        from .kind import IngestKind
        from .models import IngestJob

        kinds.register(IngestKind())
        users.register("ingest", ("ingest.add_ingestjob", "ingest.change_ingestjob"), services.uses_of_connections)
        # Whoever saves a job, a form, the API or a script, the catalog hears of it.
        post_save.connect(
            lambda instance, **_: services.declare(instance), IngestJob, weak=False, dispatch_uid="ingest-declare"
        )
        post_delete.connect(
            lambda instance, **_: services.retire(instance), IngestJob, weak=False, dispatch_uid="ingest-retire"
        )
