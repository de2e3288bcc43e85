"""Files for another system."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from django.conf import settings
from pydantic import Field

from assay.common.problems import Problem
from ops.connections import services as connections
from workers.engines.statement import quoted
from workers.errors import InvalidConfig
from workers.specs import Column, DatasetSpec
from workers.template_specs import ExportFeedSpec, FeedOptions

from .base import Check, ColumnName, Inputs, Options, Template

UNMISTAKABLE = re.compile(r'[^0-9A-Za-z.+"\r\n\0\x80-\U0010ffff-]')  # of what is never quoted: numbers, booleans
BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\x00-\x1f]+)*/?")


class CsvFeedOptions(Options):
    delimiter: str = Field(",", min_length=1, max_length=1, description="between the fields")
    header: bool = Field(True, description="a first line with the columns' names")
    null_value: str = Field("", max_length=20, description="how a null is written; an empty text is written as “”")
    quote: Literal["minimal", "all"] = Field("minimal", description="which fields stand in double quotes")
    escape_formulas: bool = Field(
        False, description="put ' in front of texts that a spreadsheet would take for a formula: = + - @"
    )
    line_end: Literal["lf", "crlf"] = Field("lf", description="crlf where the reader keeps to RFC 4180 to the letter")
    byte_order_mark: bool = Field(False, description="begin with the mark by which spreadsheets know UTF-8")


class ExportFeedOptions(Options):
    format: Literal["csv", "json", "ndjson", "parquet"] = Field("csv", description="of the files")
    destination: str = Field(
        min_length=1, max_length=500, description="a folder inside the lake, such as feeds/shop, or s3://bucket/prefix"
    )
    file_name: str = Field(
        min_length=1,
        max_length=200,
        description="may hold {date}, {run_id} and {part}; without them each run replaces the file of the one before",
    )
    connection: str = Field("", description="S3 connection; empty: the credentials of the worker itself")
    columns: list[ColumnName] = Field([], description="which columns, in which order; none: all of them")
    order_by: list[str] = Field([], description="columns to sort by; with - in front the greatest first")
    compression: Literal["none", "gzip", "zstd"] = Field(
        "none", description="of the files, .gz or .zst is added to the name; of Parquet its pages"
    )
    max_rows_per_file: int | None = Field(
        None, ge=1, le=1_000_000_000, description="more rows are split into several files; none: one file"
    )
    csv: CsvFeedOptions = Field(CsvFeedOptions(), description="how CSV is written")


class ExportFeed(Template):
    name, layers, options = "export_feed", ("gold",), ExportFeedOptions
    engines = ("polars",)
    refresh_modes = ("full_refresh",)
    one_input = True
    uses_connection = True

    def connection(self, config: Mapping[str, Any]) -> tuple[str, str]:
        return "connection", str(config.get("connection") or "")

    def problems(self, options: Any, inputs: Inputs, path: str) -> Iterator[Problem]:
        from workers.executors.export_feed.names import name_problem

        if detail := name_problem(options.file_name):
            yield Problem(f"{path}.file_name", detail, "invalid")
        if detail := _destination_problem(options.destination):
            yield Problem(f"{path}.destination", detail, "not_allowed")
        if options.connection and not options.destination.startswith("s3://"):
            yield Problem(f"{path}.connection", "A folder of the lake is written without a connection.", "not_allowed")
        elif options.connection and (detail := connections.problem_with(options.connection, ("s3",))):
            yield Problem(f"{path}.connection", detail, "unknown_connection")
        yield from _csv_problems(options.csv, path)
        if options.format != "csv" and options.csv != CsvFeedOptions():
            yield Problem(
                f"{path}.csv", f"These options are for CSV, and the format is {options.format}.", "not_allowed"
            )
        known = {column.name for columns in inputs.values() for column in columns}
        if known:
            yield from _column_problems(options, known, path)
            yield from _empty_line_problems(options, inputs, path)

    def columns(self, job, inputs: Inputs) -> tuple[Column, ...]:
        (columns,) = inputs.values()
        wanted = self.read(job).columns
        by_name = {column.name: column for column in columns}
        return tuple(by_name[name] for name in wanted if name in by_name) if wanted else columns

    def sql(self, job, inputs: Inputs) -> str:
        """What is delivered, as a query; the files are written from its rows."""
        ((alias, _),) = inputs.items()
        names = ", ".join(quoted(column.name) for column in self.columns(job, inputs))
        order = [
            f"{quoted(name.removeprefix('-'))}{' DESC' * name.startswith('-')}" for name in self.read(job).order_by
        ]
        return f"SELECT {names} FROM {quoted(alias)}" + (f" ORDER BY {', '.join(order)}" if order else "")  # noqa: S608

    def check(self, job, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        if job.partition_by:
            problem = {
                "field": "partition_by",
                "message": "The table of a feed has no partitions.",
                "hint": "Empty it.",
            }
            raise InvalidConfig(problem["message"], hint=problem["hint"], problems=[problem])
        return super().check(job, inputs, engine, target)

    def spec(self, job, found: Check, common: Mapping[str, Any]) -> DatasetSpec:
        given, lake = self.read(job), settings.ASSAY_LAKE_URL
        return ExportFeedSpec(
            format=given.format,
            destination=_address(given.destination),
            lake_uri=lake,
            file_name=given.file_name,
            connection=given.connection,
            order_by=tuple(given.order_by),
            max_rows_per_file=given.max_rows_per_file or 0,
            options=FeedOptions(compression=given.compression, **given.csv.model_dump()),
            **common,
        )


def _address(destination: str) -> str:
    """Where the files lie: absolute, or s3://bucket/prefix."""
    clean, lake = destination.rstrip("/"), settings.ASSAY_LAKE_URL
    return clean if clean.startswith(("s3://", f"{lake}/")) else f"{lake}/{clean}"


def _destination_problem(destination: str) -> str:
    from workers.executors.export_feed.names import path_problem

    if destination.startswith("s3:") and (not BUCKET.fullmatch(destination) or ".." in destination.split("/")):
        return f"“{destination}” is no place in an object store: write s3://bucket/prefix."
    address, lake = _address(destination), settings.ASSAY_LAKE_URL
    if address == lake:
        return "This is the lake itself. Name a folder inside it, such as feeds/orders."
    return path_problem(address[len(lake) + 1 :]) if address.startswith(f"{lake}/") else ""


def _csv_problems(csv: CsvFeedOptions, path: str) -> Iterator[Problem]:
    if not UNMISTAKABLE.fullmatch(csv.delimiter):
        detail = (
            "Part fields by a sign that stands in no number: a comma, a semicolon, a tab, a bar; none outside ASCII."
        )
        yield Problem(f"{path}.csv.delimiter", detail, "invalid")
    if set(csv.null_value) & {csv.delimiter, '"', "\r", "\n"}:
        detail = "A null is written without quotes: leave out the delimiter, quotes and line ends."
        yield Problem(f"{path}.csv.null_value", detail, "invalid")


def _empty_line_problems(options: ExportFeedOptions, inputs: Inputs, path: str) -> Iterator[Problem]:
    """Of one column a null without a text of its own is an empty line, and many readers skip those."""
    (columns,) = inputs.values()
    delivered = [column for column in columns if column.name in (options.columns or [column.name])]
    is_bare = options.format == "csv" and options.csv.quote == "minimal" and not options.csv.null_value
    if is_bare and len(options.columns or columns) == 1 and any(column.nullable for column in delivered):
        detail = "With one column a null would be an empty line, which many readers skip. Say how a null is written."
        yield Problem(f"{path}.csv.null_value", detail, "invalid")


def _column_problems(options: ExportFeedOptions, known: set[str], path: str) -> Iterator[Problem]:
    for position, name in enumerate(options.columns):
        if name not in known:
            yield Problem(f"{path}.columns.{position}", f"The input has no column “{name}”.", "unknown_column")
        elif name in options.columns[:position]:
            yield Problem(f"{path}.columns.{position}", f"“{name}” is named twice.", "duplicate")
    delivered = set(options.columns) or known
    for position, name in enumerate(options.order_by):
        if name.removeprefix("-") not in delivered:
            detail = f"“{name.removeprefix('-')}” is not among the columns of the feed."
            yield Problem(f"{path}.order_by.{position}", detail, "unknown_column")
