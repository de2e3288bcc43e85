"""The form of a connection: the fields of all kinds, of which the chosen kind's are shown and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms

from assay.common.column_fields import ProblemFields
from assay.common.secrets import MASK, is_reference

from .kinds import FIELDS, KINDS, Kind
from .models import Connection

ENCRYPTED = ("postgresql", "mysql")
WITH_SCHEMA = ("postgresql", "mssql", "oracle")
# Form field -> (path in options, kinds that have it).
OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sslmode": ("sslmode", ENCRYPTED),
    "ssl_ca": ("ssl_ca", ENCRYPTED),
    "encryption": ("encryption", ("mssql",)),
    "schema": ("schema", WITH_SCHEMA),
    "endpoint_url": ("endpoint_url", ("s3",)),
    "region": ("region", ("s3",)),
    "session_token": ("session_token", ("s3",)),
    "addressing_style": ("addressing_style", ("s3",)),
    "base_url": ("base_url", ("http",)),
    "auth_type": ("auth.type", ("http",)),
    "auth_name": ("auth.name", ("http",)),
    "auth_location": ("auth.location", ("http",)),
    "token_url": ("auth.token_url", ("http",)),
    "client_id": ("auth.client_id", ("http",)),
    "scope": ("auth.scope", ("http",)),
    "credentials_in": ("auth.credentials_in", ("http",)),
    "headers": ("headers", ("http",)),
}
# Fields of one way to authenticate.
OF_AUTH = {
    **dict.fromkeys(("auth_name", "auth_location"), "api_key"),
    **dict.fromkeys(("token_url", "client_id", "scope", "credentials_in"), "oauth2_client_credentials"),
}
ADDRESSES = ("base_url", "endpoint_url")
WIDE = frozenset({*ADDRESSES, "ssl_ca", "headers"})
SSL_MODES = [
    ("prefer", "If the server offers it"),
    ("require", "Encrypted"),
    ("verify-ca", "Encrypted, certificate checked"),
    ("verify-full", "Encrypted, certificate and name checked"),
    ("disable", "Not encrypted"),
]
AUTH_TYPES = [
    ("", "By what is filled in"),
    ("none", "None"),
    ("basic", "Username and password"),
    ("bearer", "Bearer token"),
    ("api_key", "API key"),
    ("oauth2_client_credentials", "OAuth2 client credentials"),
]
_SECRET = {"autocomplete": "new-password", "spellcheck": "false"}
_CODE = {"rows": 3, "spellcheck": "false", "class": "as-mono"}


def _fields_of(kind: Kind) -> tuple[str, ...]:
    """Those that the form shows: an address has host and port in it, although the API takes them apart, too."""
    has_address = kind.name in ("s3", "http")
    return tuple(name for name in kind.fields if not (has_address and name in ("host", "port")))


@dataclass(frozen=True, slots=True)
class Part:
    """One field with the kinds that show it, and what it is called there."""

    field: forms.BoundField
    shown: str  # for data-show: kind=postgresql|mysql
    labels: list[tuple[str, str]]  # (label, data-show), where kinds differ
    auth: str = ""  # for data-show: auth_type=api_key
    wide: bool = False


class SecretField(forms.CharField):
    """A secret or a reference to one; what is stored is never sent to the browser."""

    def __init__(self, **more: Any) -> None:
        widget = forms.PasswordInput(attrs=_SECRET, render_value=False)
        super().__init__(**{"required": False, "strip": False, "max_length": 20_000, "widget": widget, **more})

    def show_stored(self, stored: str) -> None:
        if stored:
            shown = stored if is_reference(stored) else MASK
            self.widget.attrs["placeholder"] = f"{shown}  (unchanged)"


class ConnectionForm(ProblemFields, forms.ModelForm):
    field_of = {f"options.{path}": name for name, (path, _) in OPTIONS.items()}

    password = SecretField(help_text="Kept encrypted and never shown again. Or a reference: env:NAME, file:/path.")
    forget_password = forms.BooleanField(required=False, label="Forget the stored password")
    sslmode = forms.ChoiceField(required=False, label="Encryption", choices=SSL_MODES)
    ssl_ca = forms.CharField(
        required=False,
        label="Who vouches for the server",
        help_text="Certificates (PEM). Empty: whom this machine trusts.",
        widget=forms.Textarea(attrs=_CODE),
    )
    encryption = forms.ChoiceField(
        required=False, choices=[("request", "If the server offers it"), ("require", "Required"), ("off", "Off")]
    )
    schema = forms.CharField(required=False, max_length=200, help_text="Of the tables to choose from. Empty: all.")
    endpoint_url = forms.CharField(
        required=False,
        max_length=500,
        label="Endpoint",
        help_text="Of a store that is not AWS: https://minio.example.org",
    )
    region = forms.CharField(required=False, max_length=100, help_text="Empty: us-east-1.")
    session_token = SecretField(label="Session token", help_text="Of temporary credentials.")
    addressing_style = forms.ChoiceField(
        required=False,
        label="The bucket stands in",
        choices=[("auto", "the path, but for AWS"), ("path", "the path"), ("virtual", "the host's name")],
    )
    base_url = forms.CharField(
        required=False, max_length=2000, label="Address", help_text="What every address begins with: https://host/v1"
    )
    auth_type = forms.ChoiceField(required=False, label="Who asks", choices=AUTH_TYPES)
    auth_name = forms.CharField(required=False, max_length=200, label="Name of the key", initial="X-API-Key")
    auth_location = forms.ChoiceField(
        required=False, label="The key is sent as", choices=[("header", "a header"), ("query", "a parameter")]
    )
    token_url = forms.CharField(required=False, max_length=2000, label="Address of tokens")
    client_id = forms.CharField(required=False, max_length=500, label="Client id")
    scope = forms.CharField(required=False, max_length=2000)
    credentials_in = forms.ChoiceField(
        required=False,
        label="The client's secret is sent in",
        choices=[("basic", "a header (basic)"), ("body", "the body")],
    )
    headers = forms.CharField(
        required=False,
        help_text="One a line, sent with each request: X-Tenant: acme. The values are kept as secrets.",
        widget=forms.Textarea(attrs=_CODE),
    )

    class Meta:
        model = Connection
        fields = ("name", "kind", "description", "host", "port", "database", "username", "password", "groups")
        labels = {"groups": "Who may use it"}
        help_texts = {
            "name": "Lower-case letters, digits, - and _. Jobs call it so; it never changes.",
            "groups": "Members of these groups, and who may change connections. None chosen: who may edit jobs.",
            "password": "",
        }
        widgets = {"description": forms.TextInput, "groups": forms.CheckboxSelectMultiple}

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        for name in FIELDS:
            self.fields[name].required = False  # which are needed, the kind says
        self.before = {"password": self.instance.password, "options": self.instance.options or {}}
        self.initial.pop("password", None)
        self.initial["kind"] = self.instance.kind or "postgresql"
        self.initial |= self._from_options()
        self.fields["password"].show_stored(self.before["password"])
        self.fields["session_token"].show_stored(self.before["options"].get("session_token") or "")
        if not self.before["password"]:
            del self.fields["forget_password"]
        if self.instance.pk:
            self.fields["name"].disabled = self.fields["kind"].disabled = True

    def _from_options(self) -> dict[str, Any]:
        """The initial values that stand inside the saved options. Secrets stay away."""
        options = self.before["options"]
        auth = options.get("auth") or {}
        found = {}
        for name, (path, _) in OPTIONS.items():
            outer, _, inner = path.rpartition(".")
            value = (auth if outer else options).get(inner)
            if value is not None and name not in ("headers", "session_token"):
                found[name] = value
        headers = options.get("headers") or {}
        return found | {"headers": "\n".join(f"{name}: {value}" for name, value in headers.items())}

    @property
    def tiles(self) -> list[dict[str, Any]]:
        """The kinds to choose from."""
        chosen = self["kind"].value()
        return [
            {"value": kind.name, "label": kind.label, "icon": kind.icon, "chosen": kind.name == chosen}
            for kind in KINDS.values()
        ]

    @property
    def place(self) -> list[Part]:
        return [self._part(name) for name in (*ADDRESSES, *FIELDS)]

    @property
    def more(self) -> list[Part]:
        return [self._part(name) for name in OPTIONS if name not in ADDRESSES]

    def _part(self, name: str) -> Part:
        kinds = OPTIONS[name][1] if name in OPTIONS else tuple(k.name for k in KINDS.values() if name in _fields_of(k))
        labels: dict[str, list[str]] = {}
        for kind in kinds:
            labels.setdefault(KINDS[kind].labels.get(name, str(self[name].label)), []).append(kind)
        shown = [(label, "kind=" + "|".join(names)) for label, names in labels.items()]
        auth = f"auth_type={OF_AUTH[name]}" if name in OF_AUTH else ""
        return Part(self[name], "kind=" + "|".join(kinds), shown, auth, wide=name in WIDE)

    # --- what was filled in -----------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        kind = KINDS.get(data.get("kind", ""))
        if kind is None:
            return data
        for name in FIELDS:
            if name not in _fields_of(kind):  # left over from another kind that was looked at
                data[name] = self.initial.get(name) if name in kind.fields else None if name == "port" else ""
        if "password" in kind.fields:
            data["password"] = self._password(data)
        self.instance.options = self._options(data)
        return data

    def _password(self, data: dict[str, Any]) -> str:
        if data.get("forget_password"):
            return ""
        return data.get("password") or self.before["password"]

    def _options(self, data: dict[str, Any]) -> dict[str, Any]:
        """What the kind has and is not empty; of auth what belongs to the way that was chosen."""
        options: dict[str, Any] = {}
        # What the form does not show, such as extra_params, stays as it is.
        kept = self.before["options"].get("auth") or {}
        for name, (path, kinds) in OPTIONS.items():
            value = self._headers(data) if name == "headers" else data.get(name)
            if name == "session_token":
                value = value or self.before["options"].get("session_token")
            if (
                not value
                or data["kind"] not in kinds
                or OF_AUTH.get(name, data.get("auth_type")) != data.get("auth_type")
            ):
                continue
            outer, _, inner = path.rpartition(".")
            (options.setdefault(outer, {}) if outer else options)[inner] = value
        if "auth" in options and options["auth"]["type"] == kept.get("type"):
            options["auth"] = {name: value for name, value in kept.items() if name == "extra_params"} | options["auth"]
        return options

    def _headers(self, data: dict[str, Any]) -> dict[str, str]:
        lines = [line for line in (data.get("headers") or "").splitlines() if line.strip()]
        if any(":" not in line for line in lines):
            self.add_error("headers", "Write a header a line, with a colon after its name: X-Tenant: acme.")
            return {}
        return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
