"""Several systems' records of the same things become one: what each says (`config`), as a query (`sql`), `run`."""
