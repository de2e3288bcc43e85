"""The site's shell: Unfold's settings, the one navigation, the colours (see docs/pages.md)."""

from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, link, **more) -> dict:
    """`active` is our own: Unfold's looks for the link anywhere in the path, so that Home is always active."""
    prefix = more.pop("prefix", None)

    def active(request) -> bool:
        return request.path.startswith(prefix) if prefix else request.path == str(link)

    return {"title": title, "icon": icon, "link": link, "active": active, **more}


def _style(name: str):
    return lambda request: static(f"assay/{name}.css")


def _script(name: str):
    return lambda request: static(f"assay/{name}.js")


def _is_staff(request) -> bool:
    return request.user.is_staff


NAVIGATION = [
    {
        "items": [
            _item("Home", "space_dashboard", reverse_lazy("home")),
            _item("Workflows", "account_tree", reverse_lazy("ops:workflow-list"), prefix="/workflows/"),
            _item("Runs", "play_circle", reverse_lazy("ops:run-list"), prefix="/runs/"),
            _item("Connections", "cable", reverse_lazy("ops:connection-list"), prefix="/connections/"),
            _item("Metrics", "monitoring", reverse_lazy("datasets:metric-list"), prefix="/metrics/"),
            _item("Datasets", "dataset", reverse_lazy("catalog:dataset-list"), prefix="/datasets/"),
        ]
    },
    {
        "title": "Administer",
        "separator": True,
        "items": [
            _item("All records", "table_rows", reverse_lazy("admin:index"), prefix="/admin/", permission=_is_staff),
            _item("API", "api", reverse_lazy("api-docs")),
        ],
    },
]

UNFOLD = {
    "SITE_TITLE": "Assay",
    "SITE_HEADER": "Assay",
    "SITE_SUBHEADER": "Lakehouse control plane",
    "SITE_SYMBOL": "science",
    "SITE_URL": "/",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("assay/icon.svg")}],
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "8px",
    "LOGIN": {"form": "assay.forms.LoginForm"},
    "STYLES": [_style(name) for name in ("assay", "graph", "ingest")],
    "SCRIPTS": [_script(name) for name in ("assay", "live", "forms", "ingest", "graph", "charts")],
    "COMMAND": {"show_history": True},
    "COLORS": {
        "primary": {
            "50": "236 253 245",
            "100": "209 250 229",
            "200": "167 243 208",
            "300": "110 231 183",
            "400": "45 212 191",
            "500": "20 184 166",
            "600": "13 148 136",
            "700": "15 118 110",
            "800": "17 94 89",
            "900": "19 78 74",
            "950": "4 47 46",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": NAVIGATION,
    },
}
