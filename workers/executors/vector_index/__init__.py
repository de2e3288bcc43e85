"""Documents by meaning: which changed (`documents`), their chunks (`chunks`) and the `run`."""
