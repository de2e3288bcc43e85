"""From a source into Landing and Bronze: `run.py` tells the story, the other modules are its parts (docs/ingest.md)."""
