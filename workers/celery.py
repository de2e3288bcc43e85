"""The Celery app. Tasks live in each Django app's tasks.py.

Django's settings are named here, not imported: the data plane stands without them.
No Polars or Delta work may happen before a worker forks; every child would hang.
"""

import os
import sys
from pathlib import Path

from billiard.process import current_process

from celery import Celery, signals

from .processes import end_with_parent

# `celery -A workers` is started beside manage.py, which is what puts platform/ on the path otherwise.
_platform = str(Path(__file__).resolve().parent.parent / "platform")
if _platform not in sys.path:
    sys.path.insert(0, _platform)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assay.settings")

app = Celery("assay")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_process_init.connect
def _end_with_the_worker(**_: object) -> None:
    """A worker that is killed cannot end its processes: they would go on with their steps."""
    end_with_parent(current_process()._parent_pid)
