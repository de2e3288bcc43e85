"""What jobs tell the catalog, and what others ask it. Jobs report here; the catalog never asks a job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from workers.errors import NotAvailableYet
from workers.ids import new_run_id
from workers.lake.paths import table_uri
from workers.results import Published
from workers.specs import Column, TableTarget, to_json

from .models import Dataset, DatasetVersion, Edge, Layer

Direction = Literal["upstream", "downstream", "both"]
MAX_DEPTH = 20
MAX_SAMPLE_ROWS = 500


@transaction.atomic
def declare(
    name: str,
    *,
    layer: str,
    workflow: str,
    type: str,  # noqa: A002  (the contract's word)
    description: str = "",
    grain: str = "",
    columns: Iterable[Column] = (),
    path: str,
    upstream: Iterable[str] = (),
    job: str,
) -> Dataset:
    """Make or update the dataset's row and the edges to what it is made from.

    Without columns the known ones stay: those of a table that was never
    declared come from its last version. Upstream names that the catalog does
    not know are left out; validation has refused them before.
    """
    facts = {"layer": layer, "workflow": workflow, "type": type, "description": description}
    facts |= {"grain": grain, "path": path, "is_declared": True}
    if columns := [to_json(column) for column in columns]:
        facts["columns"] = columns
    dataset, is_new = Dataset.objects.get_or_create(name=name, defaults=facts)
    changed = [field for field, value in facts.items() if getattr(dataset, field) != value]
    if changed and not is_new:
        for field in changed:
            setattr(dataset, field, facts[field])
        dataset.save(update_fields=[*changed, "updated_at"])
    _link(dataset, Dataset.objects.filter(name__in=set(upstream)), job)
    return dataset


def _link(dataset: Dataset, sources: Iterable[Dataset], job: str) -> None:
    wanted = {source.pk for source in sources}
    Edge.objects.filter(downstream=dataset).exclude(upstream__in=wanted).delete()
    for pk in wanted:
        Edge.objects.update_or_create(upstream_id=pk, downstream=dataset, defaults={"job": job})


@transaction.atomic
def retire(name: str) -> None:
    """The job that made it is gone. The row stays as long as there is data to see or somebody who reads it."""
    Dataset.objects.filter(name=name).update(is_declared=False)
    _sweep(Dataset.objects.filter(name=name))


def _sweep(datasets: QuerySet[Dataset]) -> None:
    """Remove those that nobody declares, reads or ever filled; then look at what they were made from."""
    gone = datasets.filter(is_declared=False, published_at=None, edges_down=None)
    for dataset in list(gone):
        upstream = list(dataset.edges_up.values_list("upstream_id", flat=True))
        dataset.delete()
        _sweep(Dataset.objects.filter(pk__in=upstream))


@transaction.atomic
def record_version(name: str, *, run_id: UUID | str, published: Published, columns: Iterable[Column]) -> DatasetVersion:
    """Keep what a run published. Recording the same version again changes nothing; an older one is only added."""
    dataset = Dataset.objects.get(name=name)
    schema = [to_json(column) for column in columns]
    version, _ = DatasetVersion.objects.get_or_create(
        dataset=dataset,
        version=published.version,
        defaults={
            "run_id": run_id,
            "rows": published.table_rows,
            "rows_written": published.rows,
            "size_bytes": published.table_bytes,
            "columns": schema,
            "published_at": timezone.now(),
        },
    )
    if dataset.version is None or published.version >= dataset.version:
        Dataset.objects.filter(pk=dataset.pk).update(
            version=published.version,
            rows=published.table_rows,
            size_bytes=published.table_bytes,
            files=published.table_files,
            published_at=version.published_at,
        )
        if dataset.columns != schema:
            # Saved, not updated: a change of schema belongs to the dataset's history.
            dataset.columns, dataset._change_reason = schema, f"run {run_id}"
            dataset.save(update_fields=["columns", "updated_at"])
    return version


def record_landing(name: str, *, rows: int) -> None:
    """Keep that bytes arrived. Landing is no table: it has neither versions nor columns."""
    Dataset.objects.filter(name=name).update(rows=rows, published_at=timezone.now())


def lake_uri(name: str) -> str:
    """The absolute address of a dataset's table."""
    return table_uri(settings.ASSAY_LAKE_URL, name)


def latest_version(name: str) -> int | None:
    """The newest version in the lake, which is the truth; None when nothing was ever published."""
    from workers.lake.store import open_store
    from workers.lake.table import open_delta

    delta = open_delta(open_store(lake_uri(name)))
    return None if delta is None else delta.version()


def last_run_id(name: str) -> UUID | None:
    """The run that published the dataset last: its job, or a rollback."""
    return DatasetVersion.objects.filter(dataset__name=name).values_list("run_id", flat=True).first()


def sample(dataset: Dataset, limit: int = 50) -> list[dict[str, Any]]:
    """The first rows of the last version, JSON-able.

    Raises `NotAvailableYet` for Landing, `TableMissing`, `LakeUnavailable`.
    """
    from workers.engines.preview import json_rows
    from workers.lake.store import reaching
    from workers.lake.table import open_table

    if dataset.layer == Layer.LANDING:
        raise NotAvailableYet(
            f"{dataset.name} holds files as they were received, not rows.",
            hint=f"Look at bronze.{dataset.workflow}.{dataset.short_name}.",
        )
    uri = lake_uri(dataset.name)
    with reaching(uri):
        return json_rows(open_table(uri, dataset.version).scan().head(min(limit, MAX_SAMPLE_ROWS)).collect())


def lineage(dataset: Dataset, direction: Direction = "both", depth: int = 3, visible=None) -> dict[str, list]:
    """`{nodes, edges}` within `depth` steps, for as far as `visible` (a queryset; default: all) lets one see."""
    visible = Dataset.objects.all() if visible is None else visible
    edges: dict[int, Edge] = {}
    if direction in ("upstream", "both"):
        edges |= _walk(dataset.pk, "downstream_id", "upstream_id", depth, visible)
    if direction in ("downstream", "both"):
        edges |= _walk(dataset.pk, "upstream_id", "downstream_id", depth, visible)
    keys = {dataset.pk} | {pk for edge in edges.values() for pk in (edge.upstream_id, edge.downstream_id)}
    nodes = {node.pk: node for node in visible.filter(pk__in=keys)}
    return {
        "nodes": [{"id": n.name, "layer": n.layer, "name": n.short_name, "type": n.type} for n in nodes.values()],
        "edges": [
            {"source": nodes[e.upstream_id].name, "target": nodes[e.downstream_id].name, "job": e.job}
            for e in edges.values()
        ],
    }


def _walk(start: int, near: str, far: str, depth: int, visible) -> dict[int, Edge]:
    """Edges found from `start`, one query for each step away from it."""
    found: dict[int, Edge] = {}
    seen, front = {start}, {start}
    for _ in range(min(depth, MAX_DEPTH)):
        step = Edge.objects.filter(**{f"{near}__in": front, f"{far.removesuffix('_id')}__in": visible})
        found |= {edge.pk: edge for edge in step}
        front = {getattr(edge, far) for edge in step} - seen
        seen |= front
        if not front:
            break
    return found


def rollback(dataset: Dataset, version: int) -> DatasetVersion:
    """Make an earlier version the newest one, by a commit on top: nothing is lost.

    Raises `TableMissing` for a version that is not there or whose files were vacuumed.
    """
    from workers.lake.publish import restore
    from workers.lake.table import open_table

    run_id = new_run_id(after=last_run_id(dataset.name))
    target = TableTarget(dataset=dataset.name, uri=lake_uri(dataset.name))
    published = restore(target, version, str(run_id))
    columns = open_table(target.uri).columns
    return record_version(dataset.name, run_id=run_id, published=published, columns=columns)
