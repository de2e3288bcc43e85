"""Spark: the engine for what one machine cannot hold. One JVM here, or a cluster behind one setting."""

from .engine import SparkEngine

__all__ = ["SparkEngine"]
