"""What every source is: a name, the part of `config` it reads, its options, and how it finds its files."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from assay.common.options import Options
from assay.common.problems import Problem
from workers import specs
from workers.errors import NotAvailableYet
from workers.specs import CsvOptions, ExcelOptions

from .nested import NestedValues, as_spec

if TYPE_CHECKING:
    from ingest.models import IngestJob

PARTS = ("file", "db", "api")
FILE_FORMATS = ("csv", "json", "ndjson", "parquet", "excel")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=80, description="name of a connection")]


class Csv(Options):
    """How a CSV file is written."""

    delimiter: str = Field(",", min_length=1, max_length=1, description="one character between the fields")
    quote_char: str = Field('"', max_length=1, description="one character around a field; empty: fields have none")
    has_header: bool = Field(True, description="the first row names the columns")
    encoding: str = Field("utf-8", description="as Python names it: utf-8, latin-1, windows-1252, …")
    null_values: list[str] = Field([""], max_length=50, description="texts that mean that there is no value")
    skip_rows: int = Field(0, ge=0, le=1_000_000, description="lines in front of the header that are passed over")
    decimal: Literal[".", ","] = Field(".", description="the sign in 1.5; with a comma, points part thousands: 1.234,5")
    date_formats: list[str] = Field(
        [],
        max_length=20,
        description="how dates and times are written, as in Python: `%d/%m/%y`, `%Y%m%d %H%M`; tried in this order, "
        "before those that are known",
    )

    @field_validator("delimiter", "quote_char")
    @classmethod
    def _one_plain_character(cls, value: str) -> str:
        if value in ("\n", "\r", "\0") or len(value.encode()) > 1:
            raise ValueError("this must be one ASCII character, and no line end")
        return value

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except (LookupError, ValueError):
            raise ValueError(f"“{value}” is no known encoding; try utf-8, utf-16, latin-1 or windows-1252") from None
        return value

    @field_validator("date_formats")
    @classmethod
    def _whole_dates(cls, formats: list[str]) -> list[str]:
        for fmt in formats:
            if problem := _format_problem(fmt):
                raise ValueError(f"“{fmt}” {problem}")
        return formats

    @model_validator(mode="after")
    def _distinct(self) -> Csv:
        if self.delimiter == self.quote_char:
            raise ValueError("delimiter and quote_char must differ")
        return self

    def as_spec(self) -> CsvOptions:
        lists = {"null_values": tuple(self.null_values), "date_formats": tuple(self.date_formats)}
        return CsvOptions(**self.model_dump() | lists)


# What strptime reads and a reader of columns can read as well.
_DIRECTIVES = frozenset("YymdbBaAjHIMSpfz%")
_PROBE = datetime(2031, 12, 25, 21, 43, 57, 123_000, tzinfo=UTC)


def _format_problem(fmt: str) -> str:
    """Why this is no format of a whole date, with or without a time; nothing when it is one."""
    told = re.findall("%(.?)", fmt.replace("%%", ""))
    if unknown := [sign for sign in told if sign not in _DIRECTIVES]:
        return f"has %{unknown[0]}, which is not known; use %Y %m %d %H %M %S and the like"
    if "f" in told and ".%f" not in fmt:
        return "has %f, which stands behind the point of the seconds only: %S.%f"
    try:
        read = datetime.strptime(_PROBE.strftime(fmt), fmt)  # noqa: DTZ007 - only some have a zone
    except (ValueError, re.error):
        return "cannot be read back; name each part once"
    has_time = {"H", "I"} & set(told)
    if read.date() != _PROBE.date():
        return "does not tell the whole date: year, month and day"
    if has_time and (read.hour, read.minute) != (_PROBE.hour, _PROBE.minute):
        return "does not tell the time: hours and minutes, with %p where they are %I"
    if not has_time and {"M", "S", "f", "z", "p"} & set(told):
        return "tells minutes, but no hours"
    return ""


class Excel(Options):
    """Where the rows of a workbook are."""

    sheet: str = Field("", max_length=100, description="name of the sheet, or its number from 1; empty: the first")
    header_row: int = Field(
        1, ge=0, le=1_048_576, description="number of the row with the columns' names, from 1; 0: there is none"
    )

    def as_spec(self) -> ExcelOptions:
        return ExcelOptions(**self.model_dump())


class FileOptions(Options):
    """What all sources of files share."""

    csv: Csv | None = Field(None, description="how a CSV file is written; for the format csv only")
    excel: Excel | None = Field(None, description="where a workbook has its rows; for the format excel only")
    records_path: str = Field(
        "",
        max_length=200,
        description="where a JSON document keeps its records, as in `data.items`; empty: the top level",
    )
    nested: NestedValues = []


class FileSource:
    """Mixed into the sources of files: what of their options is about reading."""

    def reading(self, options: FileOptions) -> dict[str, Any]:
        return {
            "csv": (options.csv or Csv()).as_spec(),
            "excel": (options.excel or Excel()).as_spec(),
            "records_path": options.records_path,
            "nested": as_spec(options.nested),
        }


class Source:
    """The base of all sources. One that this version cannot run yet says so when it is asked for its files."""

    name: ClassVar[str]
    part: ClassVar[str]
    options: ClassVar[type[Options]]
    formats: ClassVar[tuple[str, ...]] = FILE_FORMATS
    connection_kinds: ClassVar[tuple[str, ...]] = ()  # of the connection that the options may name
    available: ClassVar[bool] = False  # whether this version can run it

    def problems(self, options: Any, path: str) -> Iterator[Problem]:
        """What the options' own model cannot see: whether what they name is there and may be read."""
        return iter(())

    def to_spec(self, options: Any, job: IngestJob) -> specs.Source:
        """What one run reads. Raises `NotAvailableYet`, or `SourceMissing` where there is nothing to read."""
        raise NotAvailableYet(
            f"Jobs of the source type {self.name} can be saved, but this version of Assay cannot run them.",
            hint="Use file_upload or file_local for now.",
        )

    def reading(self, options: Any) -> dict[str, Any]:
        """What the spec says about how the landed files are read: `csv`, `records_path`, …"""
        return {}
