"""The form of a Silver or Gold job: what is filled in becomes `inputs` and `config`, which the model validates."""

from .job import DatasetJobForm, FillsIn

__all__ = ["DatasetJobForm", "FillsIn"]
