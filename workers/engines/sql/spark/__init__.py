"""The checked tree for Spark: what it may hold, what is changed in it, and how it is spelled."""

from .dialect import SparkSQL
from .rewrite import for_spark

__all__ = ["SparkSQL", "for_spark"]
