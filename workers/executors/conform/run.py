"""Several systems' records of the same things become one record for each key, with an account of where it came from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workers.access import NOTHING, Access
from workers.engines.base import Limits, engine_named
from workers.engines.statement import CheckedSql
from workers.errors import AuditFailed, RowsDoNotBalance
from workers.executors.clock import Clock
from workers.executors.conform.kept import kept
from workers.executors.conform.sql import RANKED
from workers.executors.refresh import Staged, Tables, run_refresh
from workers.executors.sql import check_query
from workers.lake.stage import Staging
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.template_specs import ConformSpec

Spec = ConformSpec


def run(spec: ConformSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Stage the record of each key, count what became of the sources' rows, and publish both in one commit.

    The sources are read twice: once only their keys, to count, and once to keep
    one record of each source and key for the time of the run; the rest is asked
    of these. A row without a key belongs to no record: it is left out and
    counted, or with `null_keys = fail` ends the run. Always, by source: rows =
    records in the result + records that gave way + rows without a key; the rows
    are those that the inputs' logs tell. Raises `AuditFailed`,
    `RowsDoNotBalance`, and what `run_refresh` and the engine raise.
    """

    def make(tables: Tables, staging: Staging, clock: Clock) -> Staged:
        engine, limits = engine_named(spec.engine), Limits.of(spec)
        with clock("count"):
            progress("read", message=f"Counting the rows of {len(spec.sources)} sources")
            by_source = _checked(spec, spec.rows_sql, tables)
            rows = engine.first_rows(by_source, tables, len(spec.sources), limits).to_dicts()
            _check_keys(spec, rows)
        with clock("read"):
            keys = _stage_winners(spec, tables, staging, progress)
        report = _report(spec, rows, keys)
        _check_balance(report, keys, tables, sum(file.rows for file in staging.files))
        detail = (
            f"{report['rows']:,} rows are {report['keys']:,} records, {report['merged']:,} that gave way and "
            f"{report['without_key']:,} without a key"
        )
        return Staged(checks=({"name": "rows", "passed": True, "detail": detail},), facts={"conform": report})

    return run_refresh(spec, progress, make)


def _stage_winners(spec: ConformSpec, tables: Tables, staging: Staging, progress: Progress) -> dict[str, Any]:
    """Stage one record for each key; what `keys_sql` counts of those that it was chosen from."""
    engine, limits = engine_named(spec.engine), Limits.of(spec)
    by_key = _checked(spec, spec.ranked_sql, tables)
    progress("read", message=f"Running on {spec.engine}: {by_key.statement}")

    def fill(records: Staging) -> None:
        engine.run(by_key, tables, records, limits, progress)

    with kept(spec, by_key.columns, fill) as table:
        ranked = {RANKED: table}
        winners = check_query(replace(spec, sql=spec.winners_sql), ranked)
        engine.run(winners, ranked, staging, limits, progress)
        counts = (_checked(spec, sql, ranked) for sql in spec.keys_sql)
        found = [engine.first_rows(each, ranked, 1, limits).to_dicts()[0] for each in counts]
    return {name: count for each in found for name, count in each.items()}


def _checked(spec: ConformSpec, sql: str, tables: Tables) -> CheckedSql:
    return check_query(replace(spec, sql=sql, columns=()), tables)


def _check_keys(spec: ConformSpec, rows: list[dict[str, Any]]) -> None:
    missing = {spec.sources[int(row["assay_source"])].source_system: int(row["without_key"] or 0) for row in rows}
    missing = {system: count for system, count in missing.items() if count}
    if spec.null_keys == "fail" and missing:
        listed = ", ".join(f"{count:,} of {system}" for system, count in missing.items())
        raise AuditFailed(
            f"Rows have no key: {listed}. Nothing was published.",
            hint="Correct the source or its mapping, or leave such rows out: null_keys leave_out counts them.",
            without_key=missing,
        )


def _report(spec: ConformSpec, rows: list[dict[str, Any]], keys: dict[str, Any]) -> dict[str, Any]:
    """What became of every row. Counts; `conflicts` are keys whose sources differ in a column, nulls apart."""
    by_source = {int(row["assay_source"]): row for row in rows}
    sources = []
    for number, source in enumerate(spec.sources):
        found = by_source.get(number, {"records": 0, "without_key": 0, "keys": 0})
        records, without = int(found["records"]), int(found["without_key"] or 0)
        held = int(found["keys"] or 0)
        sources.append(
            {
                "source_system": source.source_system,
                "alias": source.alias,
                "priority": source.priority,
                "rows": records,
                "without_key": without,
                "keys": held,
                "duplicates": records - without - held,  # older or equal records of a key in the same source
                "won": _count(keys, f"won_{number}"),
                "only": _count(keys, f"only_{number}"),
            }
        )
    total, without = sum(each["rows"] for each in sources), sum(each["without_key"] for each in sources)
    found = _count(keys, "found")
    return {
        "rows": total,
        "keys": found,
        "merged": total - without - found,
        "without_key": without,
        "in_several": _count(keys, "several"),
        "sources": sources,
        "conflicts": {name: _count(keys, f"differs_{m}") for m, name in enumerate(spec.compared)},
        "came_from": {
            name: [_count(keys, f"from_{m}_{n}") for n in range(len(spec.sources))]
            for m, name in enumerate(spec.compared)
            if name in spec.ruled
        },
    }


def _count(row: dict[str, Any], name: str) -> int:
    return int(row.get(name) or 0)


def _check_balance(report: dict[str, Any], keys: dict[str, Any], tables: Tables, staged: int) -> None:
    """The counts against what the inputs' logs, the kept records and the staged files' footers say."""
    for number, source in enumerate(report["sources"]):
        system, held, chosen_from = source["source_system"], tables[source["alias"]].rows, _count(keys, f"has_{number}")
        if held != source["rows"]:
            raise RowsDoNotBalance(f"{source['alias']} has {held:,} rows; {source['rows']:,} were read from it.")
        if chosen_from != source["keys"]:
            raise RowsDoNotBalance(f"{system} has {source['keys']:,} keys; {chosen_from:,} records were chosen from.")
    if staged != report["keys"] or report["keys"] != sum(each["won"] for each in report["sources"]):
        raise RowsDoNotBalance(f"There are {report['keys']:,} keys; {staged:,} records were staged.")
