"""The lake: landing, staging, publishing and reading (docs/lake.md).

`publish` is the only module that writes to a table's log.
"""
