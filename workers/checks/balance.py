"""Every row ends in exactly one place: what was read is what was written and what was set aside."""

from __future__ import annotations

from ..errors import RowsDoNotBalance


def check_balance(rows_read: int, rows_written: int, quarantined_rows: int) -> dict[str, object]:
    """The check as a run records it. Raises `RowsDoNotBalance` if a row was lost or made up.

    The three numbers must come from three counters: the source's own records,
    the footers of the staged files, and the footer of the quarantine.
    """
    detail = f"{rows_read} read = {rows_written} written + {quarantined_rows} quarantined"
    if rows_read != rows_written + quarantined_rows:
        raise RowsDoNotBalance(
            f"Rows do not balance: {rows_read} read, {rows_written} written, {quarantined_rows} quarantined.",
            hint="Nothing was published. This is a bug in Assay: please report it with the file.",
            rows_read=rows_read,
            rows_written=rows_written,
            quarantined_rows=quarantined_rows,
        )
    return {"name": "rows_balance", "passed": True, "detail": detail}
