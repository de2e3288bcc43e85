"""The Celery app. Tasks live in each Django app's tasks.py.

Django's settings are named here, not imported: the data plane stands without them.
No Polars or Delta work may happen before a worker forks; every child would hang.
"""

import os
import sys
from pathlib import Path

from celery import Celery

# `celery -A workers` is started beside manage.py, which is what puts platform/ on the path otherwise.
_platform = str(Path(__file__).resolve().parent.parent / "platform")
if _platform not in sys.path:
    sys.path.insert(0, _platform)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "assay.settings")

app = Celery("assay")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
