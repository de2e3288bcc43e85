"""A pytest plugin, loaded before all others: the tests have a home of their own and never touch the installation's.

A conftest is too late for that: pytest-django reads the settings before any conftest.
"""

import atexit
import os
import shutil
import tempfile

_home = tempfile.mkdtemp(prefix="assay-test-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["ASSAY_HOME"] = _home
os.environ.setdefault("ASSAY_SECRET_KEY", "only-for-tests-only-for-tests-only-for-tests-1234")
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's sync API leaves an event loop behind
