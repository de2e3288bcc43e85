"""A dataset as files for others: formats (`files`), their names (`names`), where they go (`places`), `run`."""
