"""What the tests of sources share."""

from tests.workers.sources.database_jobs import mariadb, postgres  # noqa: F401  (fixtures)
