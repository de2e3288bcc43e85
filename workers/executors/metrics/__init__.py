"""What `metrics_aggregate` is made of: its config is read, its measures are checked, its SQL is written."""
