"""Training and feature sets (docs/ml.md): the config as a `plan`, and the `run` that carries it out.

Which `examples` there are, their `label` and `split`; the join as of their
time by `polars` or `duckdb` (its text in `sql`); the proof that nothing comes
from the future (`leakage`), what looks as if it did (`suspicion`), and the
dataset card (`report`).
"""
