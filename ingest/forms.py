"""The form of an ingest job: fields that people know, made into `config` and validated by the model itself."""

from __future__ import annotations

from django import forms

from assay.common.column_fields import ColumnFields

from .models import ErrorHandling, IngestJob, SchemaMode, SourceType
from .sources import SOURCES

DELIMITERS = [(",", "Comma  ,"), (";", "Semicolon  ;"), ("\t", "Tab"), ("|", "Bar  |"), (" ", "Space")]
QUOTES = [('"', 'Double quote  "'), ("'", "Single quote  '"), ("", "None")]
ENCODINGS = [
    ("utf-8", "UTF-8"),
    ("windows-1252", "Windows (1252)"),
    ("latin-1", "Latin-1"),
    ("utf-16", "UTF-16"),
]
READABLE = ("csv", "json", "ndjson")
# Where a problem of the model is shown.
_FIELD_OF = {
    "config.file.upload": "upload",
    "config.file.path": "path",
    "config.file.records_path": "records_path",
    "config.file.csv.delimiter": "delimiter",
    "config.file.csv.quote_char": "quote_char",
    "config.file.csv.encoding": "encoding",
    "config.file.csv.null_values": "null_values",
    "config.file.csv.skip_rows": "skip_rows",
    "bad_row_threshold": "bad_row_percent",
    "config.file": "upload",
}
SOURCE_FIELDS = {
    *("source_type", "format", "upload", "path", "records_path"),
    *("delimiter", "quote_char", "encoding", "null_values", "skip_rows"),
}


class IngestJobForm(ColumnFields, forms.ModelForm):
    columns_field = "user_schema"
    field_of = _FIELD_OF

    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)
    path = forms.CharField(
        required=False, label="Path", help_text="A file or a pattern in a source folder: orders-*.csv"
    )
    records_path = forms.CharField(
        required=False, label="Where the records are", help_text="As in data.items; empty: the document is the list."
    )
    delimiter = forms.CharField(required=False, initial=",", strip=False, widget=forms.Select(choices=DELIMITERS))
    quote_char = forms.CharField(
        required=False, initial='"', label="Quotes", strip=False, widget=forms.Select(choices=QUOTES)
    )
    has_header = forms.BooleanField(required=False, initial=True, label="The first row names the columns")
    encoding = forms.CharField(required=False, initial="utf-8", widget=forms.Select(choices=ENCODINGS))
    null_values = forms.CharField(
        required=False,
        label="Texts that mean “no value”",
        help_text="Separated by commas, such as NA, NULL. An empty field always has none.",
    )
    skip_rows = forms.IntegerField(required=False, initial=0, min_value=0, label="Lines to pass over at the top")
    bad_row_percent = forms.FloatField(
        required=False, initial=5, min_value=0, max_value=100, label="Fail above (% of the rows)"
    )

    class Meta:
        model = IngestJob
        fields = (
            *("name", "description", "source_type", "format", "schema_mode", "write_mode", "error_handling"),
            *("partition_mode", "partition_pattern", "compression", "quarantine_path", "is_reference", "enabled"),
        )
        labels = {
            "schema_mode": "Types",
            "write_mode": "Each run",
            "error_handling": "A row that does not fit",
            "partition_mode": "Folders",
            "partition_pattern": "Pattern",
            "quarantine_path": "Where bad rows go",
            "is_reference": "Reference data: run before the other sources",
        }
        help_texts = {
            "name": "Lower-case letters, digits, - and _. It names the table and never changes.",
            "is_reference": "",
            "quarantine_path": "A folder of the lake. Empty: quarantine/workflow/job.",
        }
        widgets = {"description": forms.TextInput}

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.fields["format"].choices = [(v, label) for v, label in self.fields["format"].choices if v in READABLE]
        self.fields["quarantine_path"].required = False
        self.initial |= self._from_config()
        if self.instance.pk:
            self.fields["name"].disabled = True

    def _from_config(self) -> dict:
        """The initial values that stand inside the saved job's config."""
        if not self.instance.pk:
            # A person at a form wants to see what is wrong with some rows, not to lose the good ones.
            return {"source_type": SourceType.FILE_UPLOAD, "error_handling": ErrorHandling.QUARANTINE}
        part = self.instance.config.get("file") or {}
        csv = part.get("csv") or {}
        nulls = [value for value in csv.get("null_values", []) if value]
        given = {
            name: csv[name]
            for name in ("delimiter", "quote_char", "has_header", "encoding", "skip_rows")
            if name in csv
        }
        return {
            **given,
            "upload": part.get("upload"),
            "path": part.get("path", ""),
            "records_path": part.get("records_path", ""),
            "null_values": ", ".join(nulls),
            "bad_row_percent": round(self.instance.bad_row_threshold * 100, 4),
        }

    @property
    def sources(self) -> list[dict]:
        """The choices of `source_type`; those that this version cannot run are shown, but not offered."""
        chosen = self["source_type"].value()
        icons = {
            "file_upload": "upload_file",
            "file_local": "folder_open",
            "file_s3": "cloud",
            "database": "database",
            "api": "api",
        }
        return [
            {
                "value": value,
                "label": label,
                "icon": icons[value],
                "ready": SOURCES[value].available,
                "chosen": value == chosen,
            }
            for value, label in SourceType.choices
        ]

    def clean(self) -> dict:
        data = super().clean()
        if data.get("source_type") in (SourceType.FILE_UPLOAD, SourceType.FILE_LOCAL):
            self.instance.config = {"file": self._file_config(data)}
        if data.get("bad_row_percent") is not None:
            self.instance.bad_row_threshold = data["bad_row_percent"] / 100
        if data.get("error_handling") == ErrorHandling.QUARANTINE:
            name = data.get("name") or "job"
            data["quarantine_path"] = data.get("quarantine_path") or f"quarantine/{self.instance.workflow.slug}/{name}"
        else:
            data["quarantine_path"] = None
        self.instance.user_schema = self.columns if data.get("schema_mode") == SchemaMode.USER else []
        return data

    @staticmethod
    def _file_config(data: dict) -> dict:
        if data["source_type"] == SourceType.FILE_UPLOAD:
            part = {"upload": str(data["upload"])} if data.get("upload") else {}
        else:
            part = {"path": data.get("path") or ""}
        if data.get("format") == "csv":
            nulls = [text.strip() for text in data.get("null_values", "").split(",") if text.strip()]
            part["csv"] = {
                "delimiter": data.get("delimiter") or ",",
                "quote_char": data.get("quote_char") or "",
                "has_header": data.get("has_header", False),
                "encoding": data.get("encoding") or "utf-8",
                "null_values": ["", *nulls],
                "skip_rows": data.get("skip_rows") or 0,
            }
        if data.get("format") == "json" and data.get("records_path"):
            part["records_path"] = data["records_path"]
        return part
