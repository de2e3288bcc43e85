"""Metrics over time: the config is read (`reading`), measures checked, the `query` written; the `run` is SQL's."""
