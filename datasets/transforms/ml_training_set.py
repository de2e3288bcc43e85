"""Examples with their label, and features as they were known at the time; the same without label is a feature set."""

from __future__ import annotations

from pydantic import Field, model_validator

from .base import Alias, ColumnName, Columns, Options, Transform


class Entity(Options):
    alias: Alias
    key_columns: Columns
    as_of_column: ColumnName


class Label(Options):
    alias: Alias
    column: ColumnName | None = None
    expression: str | None = None
    window: str | None = Field(None, description="how far after the entity's time it looks: `30 days`")

    @model_validator(mode="after")
    def _one_of_both(self) -> Label:
        if (self.column is None) == (self.expression is None):
            raise ValueError("name either a column or an expression")
        return self


class Feature(Options):
    alias: Alias
    columns: Columns
    time_column: ColumnName | None = None
    ttl: str | None = Field(None, description="how old a value may be: `90 days`")


class Split(Options):
    train: float = Field(0.8, ge=0, le=1)
    validation: float = Field(0.1, ge=0, le=1)
    test: float = Field(0.1, ge=0, le=1)
    seed: int = 0

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


class MlTrainingSet(Transform):
    name, layers, options = "ml_training_set", ("gold",), TrainingSetOptions


class FeatureSet(Transform):
    name, layers, options = "feature_set", ("gold",), FeatureSetOptions
