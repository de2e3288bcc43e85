"""Every row ends in exactly one place: what was read is what was written and what was set aside."""

from __future__ import annotations

from collections.abc import Mapping

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


def check_received(received: int, arrived: int, skipped: Mapping[str, int]) -> dict[str, object]:
    """The check of a source that sends more than is read: each record arrived, or a named rule left it out.

    `arrived` is what was written and quarantined. Raises `RowsDoNotBalance`.
    """
    told = ", ".join(f"{count} {rule}" for rule, count in skipped.items())
    detail = f"{received} received = {arrived} written or quarantined + {told}"
    if received != arrived + sum(skipped.values()):
        raise RowsDoNotBalance(
            f"Rows do not balance: {received} received, {arrived} written or quarantined, left out: {told}.",
            hint="Nothing was published. This is a bug in Assay: please report it.",
            received=received,
            arrived=arrived,
            skipped=dict(skipped),
        )
    return {"name": "received_balance", "passed": True, "detail": detail}
