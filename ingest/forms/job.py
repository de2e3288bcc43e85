"""The form itself."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any, ClassVar

from django import forms

from assay.common.column_fields import ColumnFields
from assay.common.option_kinds import sentence
from ingest.models import ErrorHandling, IncrementalMode, IngestJob, SchemaMode, SourceType
from ingest.sources import SOURCES
from ingest.sources.nested import JSON_FORMATS
from ingest.validation import use_problems
from ops.connections import services as connections

from .labels import PAGINATION_WORDS, RARE
from .options import Option, field_for, initial_values, look_up, options_of, part_of_config

# What each source type takes, and all of it by the names of the fields: sources of one part of config share theirs.
OPTIONS = {name: options_of(source.options, source.part) for name, source in SOURCES.items()}
FIELDS: dict[str, Option] = {option.name: option for options in OPTIONS.values() for option in options}
ICONS = {
    "file_upload": "upload_file",
    "file_local": "folder_open",
    "file_s3": "cloud",
    "database": "database",
    "api": "api",
}
CONNECTION_KINDS = {
    "connection": ("s3",),
    "db_connection": ("postgresql", "mysql", "sqlite", "mssql", "oracle"),
    "api_connection": ("http",),
}
FILES = (SourceType.FILE_UPLOAD, SourceType.FILE_LOCAL, SourceType.FILE_S3)
# An option that is only about one format, by the beginning of its path.
_FORMAT_OF = {"file.csv.": "csv", "file.excel.": "excel", "file.records_path": "json", "api.csv.": "csv"}
# Where a problem without a field of its own is shown.
_FIELD_OF = {
    "config.db": "db_table_name",
    "config.api": "api_url",
    "config.api.auth": "api_auth_type",
    "config.api.pagination": "api_pagination_type",
    "config.file.nested": "nested_values",
    "config.api.nested": "nested_values",
    "bad_row_threshold": "bad_row_percent",
}
_PART_FIELD = {"file_upload": "upload", "file_local": "path", "file_s3": "s3_uri"}


def split_names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


class IngestJobForm(ColumnFields, forms.ModelForm):
    """Fields of the model, one for each option of the sources, and a few that are made into both.

    `user` is who may use which connections.
    """

    columns_field = "user_schema"

    upload = forms.UUIDField(required=False, widget=forms.HiddenInput)
    api_format = forms.ChoiceField(
        required=False, label="The answer is", choices=[(name, name.upper()) for name in SOURCES["api"].formats]
    )
    db_reads = forms.ChoiceField(
        required=False,
        label="What is read",
        choices=[("table", "A table"), ("query", "A query")],
        initial="table",
        widget=forms.RadioSelect,
    )
    key_columns = forms.CharField(
        required=False,
        label="Key columns",
        help_text=(
            "What identifies a record, separated by commas. Needed to update by key, to find rows that are gone, "
            "and for child tables."
        ),
        widget=forms.TextInput(attrs={"list": "known-columns", "autocomplete": "off", "spellcheck": "false"}),
    )
    watermark_start = forms.CharField(
        required=False,
        label="Begin behind",
        help_text="The first run reads what is greater. Empty: everything. Such as 2026-01-01 or 1000.",
    )
    # Drawn by the template from `nested`: it carries what is wrong with them.
    nested_values = forms.Field(required=False, label="Nested values", widget=forms.MultipleHiddenInput)
    bad_row_percent = forms.FloatField(
        required=False, initial=5, min_value=0, max_value=100, label="Fail above (% of the rows)"
    )

    class Meta:
        model = IngestJob
        fields = (
            *("name", "description", "source_type", "format", "schema_mode", "write_mode", "error_handling"),
            *("partition_mode", "partition_pattern", "compression", "quarantine_path", "is_reference", "enabled"),
            *("incremental_mode", "watermark_column", "watermark_lag", "delete_detection", "skip_loaded_files"),
        )
        labels: ClassVar = {
            "schema_mode": "Types",
            "write_mode": "The rows",
            "incremental_mode": "Each run loads",
            "watermark_column": "Watermark",
            "watermark_lag": "Look back",
            "delete_detection": "Rows gone at the source",
            "skip_loaded_files": "Skip files that were loaded before",
            "error_handling": "A row that does not fit",
            "partition_mode": "Folders",
            "partition_pattern": "Pattern",
            "quarantine_path": "Where bad rows go",
            "is_reference": "Reference data: run before the other sources",
        }
        help_texts: ClassVar = {
            "name": "Lower-case letters, digits, - and _. It names the table and never changes.",
            "is_reference": "",
            "quarantine_path": "A folder of the lake. Empty: quarantine/workflow/job.",
            "watermark_column": "A column that only grows: a time of change, a number. Its greatest value is kept.",
            "watermark_lag": (
                "How far behind the watermark a run reads again, for rows that come late: 15m, 2h, 1d, or a number. "
                "Rows that the table has already are left out."
            ),
            "delete_detection": "Compares all keys with the source on each run.",
            "skip_loaded_files": "Told by their content, whatever they are called.",
        }
        widgets: ClassVar = {
            "description": forms.TextInput,
            "watermark_column": forms.TextInput(
                attrs={"list": "known-columns", "autocomplete": "off", "spellcheck": "false"}
            ),
            "watermark_lag": forms.TextInput(attrs={"placeholder": "none"}),
        }

    def __init__(self, *args, user, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.saved_config = deepcopy(self.instance.config)
        for name, option in FIELDS.items():
            if name in CONNECTION_KINDS:
                self.fields[name] = _connection_field(option, user)
            elif name not in self.fields:
                self.fields[name] = self._option_field(option)
        self.fields["quarantine_path"].required = False
        self.fields["incremental_mode"].choices = [("full", "Everything"), ("incremental", "Only what is new")]
        self.fields["write_mode"].choices = [
            ("append", "are added to the table"),
            ("overwrite", "replace the table"),
            ("merge", "update the table by key"),
        ]
        for name in ("incremental_mode", "write_mode", "delete_detection", "format"):
            self.fields[name].required = False
        self.initial |= self._from_job()
        if self.instance.pk:
            self.fields["name"].disabled = True

    def _option_field(self, option: Option) -> forms.Field:
        field = field_for(option)
        if option.is_secret and (kept := look_up(self.saved_config, option.path)):
            field.widget.attrs["placeholder"] = f"{kept}  (unchanged)"
        return field

    def _from_job(self) -> dict[str, Any]:
        """The initial values that are not fields of the model as they stand."""
        job = self.instance
        if not job.pk:
            # A person at a form wants to see what is wrong with some rows, not to lose the good ones.
            return {"source_type": SourceType.FILE_UPLOAD, "error_handling": ErrorHandling.QUARANTINE}
        return {
            **initial_values(FIELDS.values(), job.config),
            "db_reads": "query" if (job.config.get("db") or {}).get("query") else "table",
            "api_format": job.format if job.source_type == SourceType.API else "json",
            "key_columns": ", ".join(job.key_columns),
            "watermark_start": "" if job.last_watermark_value is None else str(job.last_watermark_value),
            "bad_row_percent": f"{round(job.bad_row_threshold * 100, 4):g}",
        }

    @property
    def field_of(self) -> dict[str, str]:
        """Each path that a problem may have, and the field that shows it while this is chosen."""
        part = _PART_FIELD.get(self.instance.source_type)
        chosen = {
            f"config.{option.path}": name
            for name, option in FIELDS.items()
            if option.is_meant(look_up(self.instance.config, option.choice))
        }
        return chosen | _FIELD_OF | ({"config.file": part} if part else {})

    # --- for the template -------------------------------------------------------------

    @property
    def sources(self) -> list[dict[str, Any]]:
        """The choices of `source_type`."""
        chosen = self["source_type"].value()
        return [
            {"value": value, "label": label, "icon": ICONS[value], "chosen": value == chosen}
            for value, label in SourceType.choices
        ]

    def _shown(self, beginning: str, without: Collection[str] = ()) -> dict[str, Any]:
        """Bound fields of the options whose path begins so, each with the choice that it hangs on for `data-show`.

        `{options, rare, has_rare_faults}`: `rare` are those that few need.
        """
        found = [
            (option, {"field": self[name], "show": _show(option)})
            for name, option in FIELDS.items()
            if option.path.startswith(beginning) and name not in without
        ]
        rare = [shown for option, shown in found if option.path in RARE]
        return {
            "options": [shown for option, shown in found if option.path not in RARE],
            "rare": rare,
            "has_rare_faults": any(shown["field"].errors for shown in rare),
        }

    @property
    def csv_options(self) -> dict[str, Any]:
        return self._shown("file.csv.", without=("delimiter", "has_header"))

    @property
    def excel_options(self) -> dict[str, Any]:
        return self._shown("file.excel.")

    @property
    def db_options(self) -> dict[str, Any]:
        return self._shown("db.", without=("db_connection", "db_table_name", "db_query"))

    @property
    def auth_options(self) -> dict[str, Any]:
        return self._shown("api.auth.", without=("api_auth_type",))

    @property
    def page_options(self) -> dict[str, Any]:
        return self._shown("api.pagination.", without=("api_pagination_type",))

    @property
    def limit_options(self) -> dict[str, Any]:
        return self._shown("api.limits.")

    @property
    def api_csv_options(self) -> dict[str, Any]:
        return self._shown("api.csv.")

    @property
    def since_options(self) -> dict[str, Any]:
        return self._shown("api.watermark.")

    @property
    def pagination_words(self) -> dict[str, str]:
        return PAGINATION_WORDS

    @property
    def nested(self) -> list[dict[str, str]]:
        """What becomes of each nested value: `[{path, keep_as, type}]`; `keep_as` is empty where nobody chose."""
        if not self.is_bound:
            part = next(iter(self.instance.config.values()), None) or {}
            return list(part.get("nested") or [])
        lists = (self.data.getlist(f"nested_{name}") for name in ("path", "keep_as", "type"))
        return [{"path": path, "keep_as": kept, "type": kind} for path, kept, kind in zip(*lists, strict=False)]

    @property
    def source_problems(self) -> list[str]:
        """What is wrong with where the rows come from and how they are written: without it there is no preview."""
        about = {"source_type", "format", "api_format", *FIELDS}
        return [f"{self[name].label}: {error}" for name in self.errors if name in about for error in self.errors[name]]

    # --- what was posted ----------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        job, source = self.instance, SOURCES.get(data.get("source_type"))
        if source:
            data["format"] = _format(data, source.formats)
            job.source_type, job.config = source.name, {source.part: self._part(data, source.part)}
            for problem in use_problems(job, self.saved_config, self.user):
                self.add_error(self._place_of(problem.attr), problem.detail)
        if data.get("bad_row_percent") is not None:
            job.bad_row_threshold = data["bad_row_percent"] / 100
        if data.get("error_handling") == ErrorHandling.QUARANTINE:
            name = data.get("name") or "job"
            data["quarantine_path"] = data.get("quarantine_path") or f"quarantine/{job.workflow.slug}/{name}"
        else:
            data["quarantine_path"] = None
        if data.get("schema_mode") == SchemaMode.USER:
            job.user_schema = self.columns
        elif self.initial.get("schema_mode") == SchemaMode.USER:
            job.user_schema = []  # what was declared is no decision about single columns
        job.key_columns = split_names(data.get("key_columns"))
        self._clean_loading(data)
        return data

    def _part(self, data: dict[str, Any], part: str) -> dict[str, Any]:
        """The own part of config, made of the fields that were sent."""
        sent = {name: value for name, value in data.items() if not self._is_omitted(name)}
        if sent.get("db_reads") == "query":
            sent.pop("db_table_name", None)
        else:
            sent.pop("db_query", None)
        if sent.get("upload"):
            sent["upload"] = str(sent["upload"])
        if sent.get("api_method") != "POST":
            sent.pop("api_body", None)
        options = [
            option
            for option in OPTIONS[data["source_type"]]
            if all(data["format"] == name for start, name in _FORMAT_OF.items() if option.path.startswith(start))
        ]
        config = part_of_config(options, part, sent, self.saved_config)
        nested = [{"path": row["path"], "keep_as": row["keep_as"]} for row in self.nested if row["keep_as"]]
        if nested and self.takes_nested(data["source_type"], data["format"]):
            config["nested"] = nested
        return config

    @staticmethod
    def takes_nested(source_type: str, format_name: str) -> bool:
        """Whether there is a choice of what becomes of nested values: only JSON has one."""
        return "nested" in SOURCES[source_type].options.model_fields and format_name in JSON_FORMATS

    def _is_omitted(self, name: str) -> bool:
        return self.fields[name].widget.value_omitted_from_data(self.data, self.files, self.add_prefix(name))

    def _clean_loading(self, data: dict[str, Any]) -> None:
        """What is hidden, because it does not go with the other choices, is not saved."""
        job = self.instance
        data["write_mode"] = data.get("write_mode") or job.write_mode
        data["incremental_mode"] = data.get("incremental_mode") or job.incremental_mode
        data["delete_detection"] = data.get("delete_detection") or job.delete_detection
        if self._is_omitted("skip_loaded_files") or data.get("source_type") not in FILES:
            data["skip_loaded_files"] = job.skip_loaded_files
        if data["incremental_mode"] != IncrementalMode.INCREMENTAL:
            data["watermark_column"], data["watermark_lag"] = "", ""
        elif not job.pk or job.last_watermark_value is None:
            job.last_watermark_value = as_watermark(data.get("watermark_start"))


def _connection_field(option: Option, user) -> forms.Field:
    empty = "Choose one …" if option.is_needed else "None"
    help_text = "" if option.is_needed else sentence(option.info.description or "")
    choices = [("", empty), *connections.choices_for(user, CONNECTION_KINDS[option.name])]
    widget = forms.Select(choices=choices)
    return forms.CharField(required=False, label="Connection", help_text=help_text, widget=widget)


def _show(option: Option) -> str:
    return f"{option.choice_name}={'|'.join(sorted(option.chosen))}" if option.choice else ""


def _format(data: Mapping[str, Any], formats: tuple[str, ...]) -> str:
    """Of what is landed: a database's rows come typed, an API has a choice of its own."""
    if data["source_type"] == SourceType.DATABASE:
        return "parquet"
    wanted = data.get("api_format") if data["source_type"] == SourceType.API else data.get("format")
    return wanted or formats[0]


def as_watermark(text: str | None) -> str | int | float | None:
    """What a person typed: a number where it is one and is written like one, else the text."""
    text = (text or "").strip()
    if not text:
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) and not isinstance(value, bool) else text
