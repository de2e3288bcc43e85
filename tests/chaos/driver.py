"""Runs inside an installation of its own and does there what a test asks for, one JSON line each way."""

import json
import sys

import django

django.setup()

from datasets.models import DatasetJob  # noqa: E402
from ingest.models import IngestJob  # noqa: E402
from ops import services  # noqa: E402
from ops.messages import Claim, send_advances, send_steps  # noqa: E402
from ops.models import PipelineRun, Step, Workflow  # noqa: E402

COLUMNS = [
    {"name": "id", "type": "int64", "nullable": False},
    {"name": "amount", "type": "int64"},
    {"name": "category", "type": "string"},
]
FACTS = "select a.id, a.amount + b.amount as amount, a.category from a join b on a.id = b.id"
TOTALS = """
select category, cast(sum(amount) as bigint) as amount, count(*) as facts
from (select category, amount from a union all select category, amount from b) as both_of_them
group by category
"""
TOTAL_COLUMNS = [
    {"name": "category", "type": "string"},
    {"name": "amount", "type": "int64"},
    {"name": "facts", "type": "int64"},
]


def build(slug: str, sources: list[str], facts: dict[str, list[str]], totals: dict[str, list[str]]) -> None:
    workflow = Workflow.objects.create(slug=slug, name=slug)
    for name in sources:
        job = IngestJob(
            workflow=workflow,
            name=name,
            source_type="file_local",
            format="csv",
            config={"file": {"path": f"{name}.csv"}},
            schema_mode="user",
            user_schema=COLUMNS,
            write_mode="append",
        )
        save(job)
    for layer, jobs, source, sql, columns in [
        ("silver", facts, "bronze", FACTS, COLUMNS),
        ("gold", totals, "silver", TOTALS, TOTAL_COLUMNS),
    ]:
        for number, (name, reads) in enumerate(jobs.items()):
            inputs = [
                {"dataset": f"{source}.{slug}.{one}", "alias": alias} for one, alias in zip(reads, "ab", strict=True)
            ]
            job = DatasetJob(
                workflow=workflow,
                name=name,
                layer=layer,
                dataset_type="fact" if layer == "silver" else "mart",
                inputs=inputs,
                sql_text=sql,
                target_schema=[{**column, "nullable": True} for column in columns],
                engine=("polars", "duckdb")[number % 2],
            )
            save(job)


def save(job) -> None:
    job.full_clean()
    job.save()


def start(slug: str) -> int:
    return services.start_run(Workflow.objects.get(slug=slug)).pk


def status(run: int) -> dict:
    found = PipelineRun.objects.get(pk=run)
    steps = list(found.steps.values("job_name", "status", "attempt", "error"))
    return {
        "status": found.status,
        "end_time": found.end_time and found.end_time.isoformat(),
        "running": sum(step["status"] == "running" for step in steps),
        "done": sum(step["status"] == "success" for step in steps),
        "retried": sum(step["attempt"] > 1 for step in steps),
        "errors": [step["error"] for step in steps if step["error"]],
    }


def storm(run: int, times: int) -> int:
    """Every message that the run was ever owed, again and again."""
    steps = Step.objects.filter(pipeline_run=run).exclude(token="").values_list("pk", "token")
    claims = [Claim(step_id, token, run) for step_id, token in steps]
    for _ in range(times):
        send_steps(claims)
        send_advances([run] * 5)
    return times * (2 * len(claims) + 5)


COMMANDS = {command.__name__: command for command in (build, start, status, storm)}

for line in sys.stdin:
    request = json.loads(line)
    answer = COMMANDS[request.pop("command")](**request)
    print(json.dumps(answer), flush=True)
