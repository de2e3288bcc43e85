"""The checked tree for Polars: what it may hold, what is changed in it, and how it is spelled."""

from .dialect import PolarsSQL
from .rewrite import for_polars

__all__ = ["PolarsSQL", "for_polars"]
