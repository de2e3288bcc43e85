"""Indexes of texts by meaning: making one anew, over the API and on the job's page."""
