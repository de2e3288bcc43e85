"""The ground that every Django app stands on. It imports no app."""
