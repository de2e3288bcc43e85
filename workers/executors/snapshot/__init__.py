"""What was true on each day, week or month: its calendar (`periods`) and its `run`."""
