"""Every setting, in one place. Values come from the environment (docs/settings.md lists them).

With nothing set, Assay runs on its embedded default: SQLite, a local lake and
a broker that `manage.py up` starts as a child process.
"""

import logging
import os
import tempfile
from pathlib import Path

import environ

from assay.common import home
from assay.common.secret_key import load_key
from assay.shell import UNFOLD  # noqa: F401  (Unfold reads it here)

env = environ.Env()

PLATFORM_DIR = Path(__file__).resolve().parent.parent
BASE_DIR = PLATFORM_DIR.parent

# --- Assay ---------------------------------------------------------------------

# Beside manage.py; installed from a wheel, Assay has none, and the folder it is started in is taken.
_home = (BASE_DIR if (BASE_DIR / "manage.py").is_file() else Path.cwd()) / "var"
ASSAY_HOME = Path(env("ASSAY_HOME", default=str(_home))).expanduser().resolve()
ASSAY_HOME.mkdir(parents=True, exist_ok=True)
ASSAY_LAKE_URL = env("ASSAY_LAKE_URL", default=str(ASSAY_HOME / "lake")).rstrip("/")
ASSAY_UPLOADS_DIR = ASSAY_HOME / "uploads"
ASSAY_LOCAL_SOURCE_ROOTS = [
    Path(root).expanduser().resolve()
    for root in env.list("ASSAY_LOCAL_SOURCE_ROOTS", default=[str(ASSAY_HOME / "inbox")])
]
ASSAY_HTTP_ALLOW_PRIVATE = env.list("ASSAY_HTTP_ALLOW_PRIVATE", default=[])
# Databases and object stores mostly stand in private networks, and only who may make connections names their hosts.
ASSAY_CONNECTIONS_ALLOW_PRIVATE = env.list("ASSAY_CONNECTIONS_ALLOW_PRIVATE", default=["*"])
# References `file:/path` to secrets lead to files below these folders and nowhere else.
ASSAY_SECRET_FILES_ROOTS = [Path(root) for root in env.list("ASSAY_SECRET_FILES_ROOTS", default=["/run/secrets"])]
ASSAY_MAX_UPLOAD_BYTES = env.int("ASSAY_MAX_UPLOAD_BYTES", default=20 * 1024**3)
ASSAY_DEFAULT_ENGINE = env("ASSAY_DEFAULT_ENGINE", default="polars")
ASSAY_STEP_MEMORY_MB = env.int("ASSAY_STEP_MEMORY_MB", default=2048)
ASSAY_SPARK_MASTER = env("ASSAY_SPARK_MASTER", default="local[*]")
ASSAY_SPARK_MEMORY_MB = env.int("ASSAY_SPARK_MEMORY_MB", default=ASSAY_STEP_MEMORY_MB)
ASSAY_SPARK_OPTIONS = env.json("ASSAY_SPARK_OPTIONS", default={})
ASSAY_VECTOR_CACHE_MB = env.int("ASSAY_VECTOR_CACHE_MB", default=512)
ASSAY_STEP_MAX_ATTEMPTS = env.int("ASSAY_STEP_MAX_ATTEMPTS", default=3)
# A running step touches its row this often; once it has been silent for the lease, the reaper takes it back.
ASSAY_HEARTBEAT_SECONDS = env.float("ASSAY_HEARTBEAT_SECONDS", default=2)
ASSAY_LEASE_SECONDS = env.float("ASSAY_LEASE_SECONDS", default=20)
# The first retry of a failed step waits about this long, each further one twice as long.
ASSAY_RETRY_SECONDS = env.float("ASSAY_RETRY_SECONDS", default=5)
# A step that does not stop by itself this long after its run was cancelled is cut off.
ASSAY_CANCEL_SECONDS = env.float("ASSAY_CANCEL_SECONDS", default=10)
# Each program of `manage.py up` may take this long to end when it is asked to.
ASSAY_STOP_SECONDS = env.float("ASSAY_STOP_SECONDS", default=5)

# --- Django --------------------------------------------------------------------

DEBUG = env.bool("ASSAY_DEBUG", default=False)
SECRET_KEY = env("ASSAY_SECRET_KEY", default="") or load_key(ASSAY_HOME, "secret_key")
# The first key encrypts, every one decrypts: put a new one in front, then run `manage.py rotate_keys`.
ASSAY_ENCRYPTION_KEYS = env.list("ASSAY_ENCRYPTION_KEYS", default=[]) or [load_key(ASSAY_HOME, "encryption_key")]
ALLOWED_HOSTS = env.list("ASSAY_ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("ASSAY_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "assay.apps.AssayConfig",
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.inlines",
    "unfold.contrib.guardian",
    "unfold.contrib.simple_history",
    "assay.apps.AssayAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "rest_framework.authtoken",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "guardian",
    "simple_history",
    "django_celery_beat",
    "django_htmx",
    "django_ace",
    "catalog",
    "quality",
    "ops",
    "ingest",
    "datasets",
    "copilot",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "assay.common.texts.AddressMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "assay.parts.PartsMiddleware",
]

ROOT_URLCONF = "assay.urls"
ASGI_APPLICATION = "assay.asgi.application"

_templates = BASE_DIR / "templates"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # In a wheel the templates lie inside the package.
        "DIRS": [_templates if _templates.is_dir() else PLATFORM_DIR / "assay" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": ["assay.templatetags.assay_ui"],
        },
    }
]

DATABASE_URL = env("DATABASE_URL", default="")
if DATABASE_URL:
    DATABASES = {"default": env.db("DATABASE_URL")}
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": ASSAY_HOME / "assay.sqlite3",
            # Writers queue instead of failing: measured, no “database is locked” in eight processes.
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
                "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA foreign_keys=ON;",
            },
            # A file, as in real life: threads that share SQLite's memory get “table is locked”. One for each test run.
            "TEST": {"NAME": Path(tempfile.gettempdir()) / f"assay-test-{os.getpid()}.sqlite3"},
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
ANONYMOUS_USER_NAME = None
LOGIN_URL = "/admin/login/"
CSRF_FAILURE_VIEW = "assay.views.stale_form"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/admin/login/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]

LANGUAGE_CODE = "en-us"
TIME_ZONE = env("ASSAY_TIME_ZONE", default="UTC")
USE_TZ = True

STATIC_URL = "/static/"
# The web process serves the assets from where they lie; `collectstatic` is not needed.
WHITENOISE_USE_FINDERS = True

# Uploads go to disk while they arrive: in the home, because a system's own place for that is often memory, or small.
FILE_UPLOAD_TEMP_DIR = ASSAY_HOME
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024**2

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "SAMEORIGIN"
SESSION_COOKIE_HTTPONLY = True
_behind_https = env.bool("ASSAY_HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _behind_https
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _behind_https else None

# --- REST framework --------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "rest_framework.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["assay.common.permissions.ModelPermissions"],
    "DEFAULT_PARSER_CLASSES": [
        "assay.common.texts.JSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "assay.common.pagination.Pages",
    "PAGE_SIZE": 50,
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "assay.common.api.exception_handler",
    "DEFAULT_THROTTLE_RATES": {"login": env("ASSAY_LOGIN_RATE", default="20/min")},
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Assay",
    "DESCRIPTION": "The self-hosted lakehouse that proves its data.",
    "VERSION": "0.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "OAS_VERSION": "3.1.0",
    "ENUM_NAME_OVERRIDES": {
        "RunStatus": "assay.common.runs.RunStatus",
        "ContractChangeStatus": "ingest.models.ContractChange.Status",
        "ConflictResolution": ["source_priority", "latest"],
        "Compression": "ops.models.Compression",
        "FeedCompression": ["none", "gzip", "zstd"],
    },
}

# --- Celery ------------------------------------------------------------------------

ASSAY_BROKER_URL = env("ASSAY_BROKER_URL", default="")
CELERY_BROKER_URL = ASSAY_BROKER_URL or home.broker_url(ASSAY_HOME)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Recovery is the reaper's (ops/reaper.py): a message that comes back by itself would run long steps twice.
# A broker that is away costs whoever starts a run a moment, not half a minute: the reaper sends again.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 24 * 3600,
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.2,
    "interval_max": 0.2,
    "socket_connect_timeout": 5,
}
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "control"
CELERY_TASK_ROUTES = {"ops.tasks.run_step": {"queue": "data"}}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
CELERY_BEAT_SCHEDULE = {
    # A tick that had to wait is worthless: the next one does its work.
    "reap": {"task": "ops.tasks.reap", "schedule": 3.0, "options": {"expires": 10}},
    "start scheduled runs": {"task": "ops.tasks.start_scheduled_runs", "schedule": 15.0, "options": {"expires": 30}},
    "reconcile watermarks": {
        "task": "ingest.tasks.reconcile_watermarks",
        "schedule": 300.0,
        "options": {"expires": 300},
    },
}
CELERY_TIMEZONE = "UTC"

# --- Logs: one line of JSON an event, on standard error ------------------------------

logging.captureWarnings(True)  # Python's warnings are events as well
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "assay.common.logs.JsonLine"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": env("ASSAY_LOG_LEVEL", default="INFO")},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
        "uvicorn": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
    },
}
