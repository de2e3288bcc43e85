"""The site's shell: Unfold's settings, the one navigation, the colours (see docs/pages.md)."""

from django.templatetags.static import static
from django.urls import reverse_lazy


def _item(title: str, icon: str, link: str) -> dict:
    return {"title": title, "icon": icon, "link": link}


NAVIGATION = [
    {
        "items": [
            _item("Home", "space_dashboard", reverse_lazy("home")),
            _item("Workflows", "account_tree", "/workflows/"),
            _item("Runs", "play_circle", "/runs/"),
            _item("Datasets", "dataset", "/datasets/"),
        ]
    },
    {
        "title": "Administer",
        "separator": True,
        "collapsible": True,
        "items": [
            _item("All records", "table_rows", reverse_lazy("admin:index")),
            _item("API", "api", reverse_lazy("api-docs")),
        ],
    },
]

UNFOLD = {
    "SITE_TITLE": "Assay",
    "SITE_HEADER": "Assay",
    "SITE_SUBHEADER": "The lakehouse that proves its data",
    "SITE_SYMBOL": "science",
    "SITE_URL": "/",
    "SHOW_BACK_BUTTON": False,
    "BORDER_RADIUS": "8px",
    "STYLES": [lambda request: static("assay/assay.css")],
    "SCRIPTS": [lambda request: static("assay/assay.js")],
    "COMMAND": {"search_models": True, "show_history": True},
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
