"""Texts in chunks, with their embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field, model_validator

from assay.common.options import FieldError
from assay.common.problems import Problem
from workers.embeddings import check_name, connection_of
from workers.errors import InvalidSpec
from workers.specs import Column, DatasetSpec
from workers.template_specs import VectorIndexSpec

from .base import Check, ColumnName, Inputs, Options, Template

TEXTS = ("string",)
IDS = ("string", "int8", "int16", "int32", "int64", "date")
MINILM_TOKENS = 254  # workers/embeddings/minilm.py, which is not imported for it: it brings onnxruntime along


class VectorIndexOptions(Options):
    id_column: ColumnName = Field(description="what tells one document from another; of each value one row")
    text_column: ColumnName = Field(description="what is cut, embedded and found")
    metadata_columns: list[ColumnName] = Field([], description="columns to filter by and to show with what is found")
    chunk_size: int = Field(200, ge=10, le=100_000, description="at most so much in one chunk")
    chunk_overlap: int = Field(20, ge=0, description="so much of a chunk's end stands again in the next one")
    chunk_by: Literal["tokens", "characters"] = Field(
        "tokens",
        description="what sizes are counted in: the model's tokens (words, where it does not tell), or letters",
    )
    embedding_model: str = Field(
        "embedded:minilm",
        min_length=1,
        max_length=200,
        description="embedded:minilm, embedded:hash, http:CONNECTION/model, or provider:model",
    )

    @model_validator(mode="after")
    def _moves_on(self) -> VectorIndexOptions:
        if self.chunk_overlap >= self.chunk_size:
            raise FieldError("chunk_overlap", "must be smaller than chunk_size")
        return self


class VectorIndex(Template):
    """Maintained by what has changed: full_refresh and merge both leave an index of exactly the input."""

    name, layers, options = "vector_index", ("gold",), VectorIndexOptions
    engines = ("polars",)
    refresh_modes = ("full_refresh", "merge")
    one_input = True
    uses_connection = True

    def problems(self, options: VectorIndexOptions, inputs: Inputs, path: str) -> Iterator[Problem]:
        try:
            check_name(options.embedding_model)
        except InvalidSpec as error:
            yield Problem(f"{path}.embedding_model", f"{error.message} {error.hint}", "unknown_model")
        yield from _size_problems(options, path)
        known = {column.name: column for column in next(iter(inputs.values()), ())}
        if known:
            yield from _column_problems(options, known, path)

    def columns(self, job, inputs: Inputs) -> tuple[Column, ...]:
        from workers.executors.vector_index.run import output_columns

        options, known = self.read(job), {column.name: column for column in next(iter(inputs.values()))}
        metadata = tuple(known[name] for name in options.metadata_columns)
        return output_columns(known[options.id_column].type, metadata)

    def sql(self, job, inputs: Inputs) -> str:
        """What is read, as SQL; the cutting and embedding has none."""
        from workers.engines.statement import quoted

        options = self.read(job)
        names = [options.id_column, options.text_column, *options.metadata_columns]
        return f"SELECT {', '.join(quoted(name) for name in names)} FROM {quoted(next(iter(inputs)))}"  # noqa: S608

    def check(self, job, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        found = super().check(job, inputs, engine, target)
        if unfit := [name for name in job.partition_by if name not in self.read(job).metadata_columns]:
            raise InvalidSpec(
                f"An index cannot be partitioned by {', '.join(unfit)}.", hint="Partition it by metadata columns only."
            )
        return found

    def connection(self, config: Mapping[str, Any]) -> tuple[str, str]:
        return "embedding_model", connection_of(str(config.get("embedding_model") or ""))

    def spec(self, job, found: Check, common: Mapping[str, Any]) -> DatasetSpec:
        options = self.read(job)
        return VectorIndexSpec(
            id_column=options.id_column,
            text_column=options.text_column,
            metadata_columns=tuple(options.metadata_columns),
            chunk_size=options.chunk_size,
            chunk_overlap=options.chunk_overlap,
            chunk_by=options.chunk_by,
            embedding_model=options.embedding_model,
            connection=connection_of(options.embedding_model),
            **common,
        )

    def with_options(self, spec: VectorIndexSpec, options: Mapping[str, Any]) -> DatasetSpec:
        """`{"rebuild": true}`: embed everything anew."""
        if unknown := set(options) - {"rebuild"}:
            raise InvalidSpec(f"A run of vector_index has no option {', '.join(sorted(unknown))}.", hint="Use rebuild.")
        if not isinstance(options.get("rebuild", False), bool):
            raise InvalidSpec("rebuild is true or false.")
        return replace(spec, rebuild=options.get("rebuild", False))


def _size_problems(options: VectorIndexOptions, path: str) -> Iterator[Problem]:
    is_minilm = options.embedding_model == "embedded:minilm"
    if is_minilm and options.chunk_by == "tokens" and options.chunk_size > MINILM_TOKENS:
        detail = (
            f"embedded:minilm reads 256 tokens of a text, two of them its own marks: use at most {MINILM_TOKENS}, "
            f"not {options.chunk_size}, or the rest of each chunk would not be found."
        )
        yield Problem(f"{path}.chunk_size", detail, "too_large")


def _column_problems(options: VectorIndexOptions, known: Mapping[str, Column], path: str) -> Iterator[Problem]:
    from workers.executors.vector_index.run import OWN_COLUMNS

    named = [("id_column", options.id_column), ("text_column", options.text_column)]
    named += [(f"metadata_columns.{place}", name) for place, name in enumerate(options.metadata_columns)]
    for field, name in named:
        if name not in known:
            detail = f"The input has no column “{name}”. It has {', '.join(known)}."
            yield Problem(f"{path}.{field}", detail, "unknown_column")
    if (column := known.get(options.text_column)) and column.type not in TEXTS:
        yield Problem(f"{path}.text_column", f"{column.name} is {column.type}; texts are needed.", "wrong_type")
    if (column := known.get(options.id_column)) and column.type not in IDS:
        detail = f"{column.name} is {column.type}; an id is a text, a whole number or a date."
        yield Problem(f"{path}.id_column", detail, "wrong_type")
    own, seen = {name.lower() for name in OWN_COLUMNS}, set()
    for place, name in enumerate(options.metadata_columns):
        where, column = f"{path}.metadata_columns.{place}", known.get(name)
        if name.lower() in own:
            detail = f"The index has a column “{name}” of its own: rename it in a Silver job."
            yield Problem(where, detail, "not_allowed")
        elif name in seen:
            yield Problem(where, f"“{name}” is named twice.", "duplicate")
        elif column and ("<" in column.type or column.type == "binary"):
            yield Problem(where, f"{name} is {column.type}; metadata are single values.", "wrong_type")
        seen.add(name)
