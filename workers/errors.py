"""One tree of errors, written for the person at the screen.

Every message says what is wrong and what to do. `code` is stable and for
machines; `retryable` says whether trying again, unchanged, may help.
"""

from __future__ import annotations

from typing import Any


class AssayError(Exception):
    """The base of every expected failure. Anything else that escapes is a bug."""

    code = "error"
    retryable = False

    def __init__(self, message: str, *, hint: str = "", **facts: Any) -> None:
        self.message, self.hint, self.facts = message, hint, facts
        super().__init__(message)

    def as_dict(self) -> dict[str, Any]:
        """`{code, message, hint, facts}`, JSON-able: what a run stores and the API shows."""
        return {"code": self.code, "message": self.message, "hint": self.hint, "facts": self.facts}


class InvalidSpec(AssayError):
    """A spec contradicts itself. Validation at the door should have caught it."""

    code = "invalid_spec"


class InvalidConfig(InvalidSpec):
    """A template's configuration is wrong. `facts["problems"]` lists `{field, message, hint}`, fields with dots."""

    code = "invalid_config"


class NotAvailableYet(AssayError):
    """The configuration is valid, but this version of Assay cannot run it."""

    code = "not_available_yet"


# --- sources -----------------------------------------------------------------


class SourceUnavailable(AssayError):
    """The source cannot be read now: a missing file, a refused connection."""

    code = "source_unavailable"
    retryable = True


class SourceMissing(AssayError):
    """The source is not there, and waiting will not bring it."""

    code = "source_missing"


class AddressRefused(AssayError):
    """The network policy does not let Assay connect there."""

    code = "address_refused"


class SourceRefused(AssayError):
    """The source answers, but does not let us in, or does not take what is asked: credentials, rights, parameters."""

    code = "source_refused"


class UnreadableSource(AssayError):
    """The bytes are not what the job says they are: wrong format, encoding or archive."""

    code = "unreadable_source"


class BadRows(AssayError):
    """A row was refused and the job says `error_handling = fail`, or too many were."""

    code = "bad_rows"


class MissingColumns(AssayError):
    code = "missing_columns"


class SchemaChanged(AssayError):
    code = "schema_changed"


class RowsDoNotBalance(AssayError):
    """rows_read != rows_written + quarantined_rows: a row was lost or made up. Always a bug; never published."""

    code = "rows_do_not_balance"


# --- the lake ----------------------------------------------------------------


class LakeUnavailable(AssayError):
    code = "lake_unavailable"
    retryable = True


class OutcomeUnknown(LakeUnavailable):
    """The lake broke off during a commit, which may stand. A retry finds out; what was staged must stay."""

    code = "outcome_unknown"


class TableMissing(AssayError):
    """A table, or the version of it that was asked for, does not exist."""

    code = "table_missing"


class PublishConflict(AssayError):
    """Another writer kept changing the table; nothing of this run was published."""

    code = "publish_conflict"
    retryable = True


class StaleRun(AssayError):
    """A later run of the same job has already published: this one must not."""

    code = "stale_run"


class AuditFailed(AssayError):
    """The staged files are not what the job promised; nothing was published."""

    code = "audit_failed"


class TooManyDeletes(AssayError):
    """Most of a table's rows would go because the source no longer has them: more likely a fault than a deletion."""

    code = "too_many_deletes"


# --- SQL ---------------------------------------------------------------------


class SqlRejected(AssayError):
    """A query that is not run. `facts` has `line` and `column` (both from 1) where known."""

    code = "sql_rejected"


class QueryFailed(AssayError):
    """A query that passed every check failed on the data (a cast, an overflow)."""

    code = "query_failed"


class ResourceLimit(AssayError):
    """A preview or query went over its memory, CPU or wall limit and was ended."""

    code = "resource_limit"


class EngineMissing(AssayError):
    """The engine that a job asks for is not installed, or lacks a part that the job needs."""

    code = "engine_missing"


class EngineUnavailable(AssayError):
    """The engine stands elsewhere and does not answer, or broke off in the middle. Nothing was published."""

    code = "engine_unavailable"
    retryable = True


class Cancelled(AssayError):
    """Somebody cancelled the run while it was going."""

    code = "cancelled"
