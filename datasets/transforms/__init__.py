"""How datasets are made: a registry of small modules of one shape. A new template is one module and one line here."""

from functools import reduce
from operator import or_

from pydantic import RootModel

from .base import Check, Inputs, Transform
from .conform_sources import ConformSources
from .export_feed import ExportFeed
from .metrics_aggregate import MetricsAggregate
from .ml_training_set import FeatureSet, MlTrainingSet
from .scd2_dimension import Scd2Dimension
from .snapshot import Snapshot
from .sql import Sql
from .vector_index import VectorIndex

TRANSFORMS: dict[str, Transform] = {
    transform.name: transform
    for transform in (
        Sql(),
        Scd2Dimension(),
        ConformSources(),
        MetricsAggregate(),
        Snapshot(),
        MlTrainingSet(),
        FeatureSet(),
        VectorIndex(),
        ExportFeed(),
    )
}


class TransformConfig(RootModel):
    """`config` of a Silver or Gold job for OpenAPI: the options of one template."""

    root: reduce(or_, (transform.options for transform in TRANSFORMS.values()))


__all__ = ["TRANSFORMS", "Check", "Inputs", "Transform", "TransformConfig"]
