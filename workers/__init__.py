"""The data plane: no Django models, no settings. Specs go in, results come out."""
