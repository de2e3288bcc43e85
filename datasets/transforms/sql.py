"""A SELECT that a person wrote."""

from __future__ import annotations

from .base import Inputs, NoOptions, Transform


class Sql(Transform):
    name, layers, options = "sql", ("silver", "gold"), NoOptions
    sql_field = "sql_text"

    def sql(self, job, inputs: Inputs) -> str:
        return job.sql_text
