"""Examples with their label, and features as they were known at the time; the same without label is a feature set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from assay.common.problems import Problem
from workers.errors import InvalidConfig
from workers.specs import Column, DatasetSpec

from .base import Alias, ColumnName, Columns, Inputs, Options, Template

if TYPE_CHECKING:
    from workers import template_specs as specs

    from .base import Check

KNOWLEDGE = "_ingested_at"
TIMES = ("date", "timestamp", "timestamptz")


class Entity(Options):
    alias: Alias = Field(description="alias of the input whose rows are the examples")
    key_columns: Columns
    as_of_column: ColumnName = Field(description="the time as of which an example is looked at")
    columns: list[ColumnName] = Field([], description="others of its columns that are carried along")


class Label(Options):
    alias: Alias
    column: ColumnName | None = Field(None, description="of the entity's own input")
    expression: str | None = Field(
        None, min_length=1, description="an aggregate over the rows in the window: `count(*) = 0`"
    )
    window: str | None = Field(None, description="how far after the entity's time it looks: `30 days`")
    key_columns: list[ColumnName] = Field([], description="of its input, in the order of the entity's; default: alike")
    time_column: ColumnName | None = Field(None, description="of its input; default: as the features or the entity say")
    on_missing: Literal["drop", "keep", "zero"] = Field("drop", description="what becomes of an example without label")
    name: ColumnName | None = Field(None, description="of the result's column; default: the column's own, or `label`")

    @model_validator(mode="after")
    def _one_of_both(self) -> Label:
        if (self.column is None) == (self.expression is None):
            raise ValueError("name either a column or an expression")
        return self


class Feature(Options):
    alias: Alias
    columns: Columns
    time_column: ColumnName | None = Field(None, description="when it happened; none: it never changes")
    ttl: str | None = Field(None, description="how old a value may be: `90 days`")
    key_columns: list[ColumnName] = Field([], description="in the order of the entity's; default: alike")
    knowledge_column: str | None = Field(
        KNOWLEDGE, description=f"when it became known; default {KNOWLEDGE} where there is one; null: when it happened"
    )
    valid_to_column: ColumnName | None = Field(None, description="until when it holds: `effective_to`")
    prefix: str = Field("", max_length=60, pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$", description="for its columns' names")


class Split(Options):
    train: float = Field(0.8, ge=0, le=1)
    validation: float = Field(0.1, ge=0, le=1)
    test: float = Field(0.1, ge=0, le=1)
    seed: int = Field(0, ge=0, lt=2**31)
    method: Literal["hash", "time"] = Field("hash", description="hash keeps a key's rows together, time the later ones")
    key: list[ColumnName] = Field([], description="whose hash decides; default: the entity's key")
    validation_from: str | None = Field(None, description="a date or time, of method time; default: by the shares")
    test_from: str | None = None
    purge: bool = Field(True, description="of method time: leave out examples whose label looks into the next part")
    gap: str | None = Field(None, description="of method time: leave out so much more before each part: `7 days`")

    @model_validator(mode="after")
    def _adds_up(self) -> Split:
        if abs(self.train + self.validation + self.test - 1) > 1e-9:
            raise ValueError("train, validation and test must add up to 1")
        return self


class FeatureSetOptions(Options):
    entity: Entity
    features: list[Feature] = Field(min_length=1)


class TrainingSetOptions(FeatureSetOptions):
    label: Label
    split: Split = Split()


class PointInTime(Template):
    """What training and feature sets have in common."""

    layers = ("gold",)
    engines = ("polars", "duckdb")
    refresh_modes = ("full_refresh", "overwrite_partition", "append")

    def problems(self, options: FeatureSetOptions, inputs: Inputs, path: str) -> Iterator[Problem]:
        named = [("entity", options.entity), *((f"features.{n}", each) for n, each in enumerate(options.features))]
        named += [("label", options.label)] if isinstance(options, TrainingSetOptions) else []
        for place, given in named:
            if given.alias not in inputs:
                known = ", ".join(inputs) or "none"
                detail = f"There is no input “{given.alias}”. Inputs are {known}."
                yield Problem(f"{path}.{place}.alias", detail, "unknown_input")

    def columns(self, job, inputs: Inputs) -> tuple[Column, ...]:
        return self._plan(job, inputs).columns

    def sql(self, job, inputs: Inputs) -> str:
        from workers.executors.point_in_time.sql import statement

        return statement(self._plan(job, inputs))

    def check(self, job, inputs: Inputs, engine: str, target: tuple[Column, ...]) -> Check:
        split = getattr(self.read(job), "split", None)
        if split and split.method == "time" and not split.validation_from and job.refresh_mode != "full_refresh":
            _refuse(
                "split.validation_from",
                "Shares of a split by time can be cut only where the whole set is made anew.",
                "Name validation_from and test_from, or use full_refresh.",
            )
        return super().check(job, inputs, engine, target)

    def spec(self, job, found: Check, common: Mapping[str, Any]) -> DatasetSpec:
        from datasets.inputs import columns_by_alias
        from workers.template_specs import PointInTimeSpec

        return PointInTimeSpec(**self._parts(job, columns_by_alias(job)), **common)

    def _plan(self, job, inputs: Inputs):
        from workers.executors.point_in_time.plan import plan_of

        parts = self._parts(job, inputs)
        return plan_of(parts["entity"], parts["features"], parts.get("label"), parts.get("split"), inputs)

    def _parts(self, job, inputs: Inputs) -> dict[str, Any]:
        """The config with its defaults filled in, as the spec has it. Raises `InvalidConfig`."""
        from workers import template_specs as specs

        options = self.read(job)
        entity = specs.Entity(**_tuples(options.entity.model_dump()))
        features = tuple(_feature(place, each, entity, inputs) for place, each in enumerate(options.features))
        parts: dict[str, Any] = {"entity": entity, "features": features}
        if isinstance(options, TrainingSetOptions):
            parts["label"] = _label(options.label, entity, features, inputs)
            parts["split"] = specs.Split(**_tuples(options.split.model_dump()))
        return parts


class MlTrainingSet(PointInTime):
    name, options = "ml_training_set", TrainingSetOptions


class FeatureSet(PointInTime):
    name, options = "feature_set", FeatureSetOptions


def _feature(place: int, given: Feature, entity: specs.Entity, inputs: Inputs) -> specs.Feature:
    from workers import template_specs as specs

    names = {column.name for column in inputs.get(given.alias, ())}
    told = _tuples(given.model_dump())
    told["key_columns"] = told["key_columns"] or entity.key_columns
    if given.knowledge_column == KNOWLEDGE:
        # What never changes was always known, unless somebody names another column.
        has_clock = KNOWLEDGE in names and given.time_column is not None
        told["knowledge_column"] = KNOWLEDGE if has_clock else ""
    return specs.Feature(**told)


def _label(given: Label, entity: specs.Entity, features: tuple[specs.Feature, ...], inputs: Inputs) -> specs.Label:
    from workers import template_specs as specs

    told = _tuples(given.model_dump())
    told["key_columns"] = told["key_columns"] or entity.key_columns
    told["name"] = given.name or given.column or "label"
    if given.expression and given.window and not given.time_column:
        told["time_column"] = _time_column(given.alias, entity, features, inputs)
    return specs.Label(**told)


def _time_column(alias: str, entity: specs.Entity, features: tuple[specs.Feature, ...], inputs: Inputs) -> str:
    """When the label's rows happened: as a feature of the same input says, or the entity, or the only time there is."""
    for feature in features:
        if feature.alias == alias and feature.time_column:
            return feature.time_column
    times = [c.name for c in inputs.get(alias, ()) if c.type in TIMES and not c.name.startswith("_")]
    if entity.as_of_column in times:
        return entity.as_of_column
    return times[0] if len(times) == 1 else ""


def _tuples(told: dict[str, Any]) -> dict[str, Any]:
    """Options as a spec has them: lists are tuples, and what is not there is empty."""
    return {
        name: tuple(value) if isinstance(value, list) else "" if value is None else value
        for name, value in told.items()
    }


def _refuse(field: str, message: str, hint: str) -> None:
    problem = {"field": f"config.{field}", "message": message, "hint": hint}
    raise InvalidConfig(message, hint=hint, field=problem["field"], problems=[problem])
