"""An index of texts by meaning: documents in chunks, each with its vector, maintained by what has changed.

A run embeds only chunks that it knows no vector of. What did not change is
not touched: whole files of the table stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from workers.access import NOTHING, Access
from workers.embeddings import EMBEDDED, ModelChanged, load, unload
from workers.embeddings.base import Model
from workers.embeddings.chunking import Chunking, cut
from workers.errors import InvalidSpec, RowsDoNotBalance
from workers.executors.clock import Clock
from workers.executors.refresh import Staged, Tables, run_refresh
from workers.lake.publish import Change, ChangeOf
from workers.lake.rewrite import PATH, rewrite, rows_of
from workers.lake.stage import StagedFile, Staging
from workers.lake.table import DataFile, Table, open_table, table_exists
from workers.progress import Progress, silent
from workers.results import StepResult
from workers.schema import polars_schema
from workers.specs import Column
from workers.template_specs import VectorIndexSpec
from workers.vector_damage import check_whole

from .chunks import Chunker, chunk_id, with_types
from .documents import HASH, ID, TEXT, Documents, compare, content_hash, input_rows
from .kept import KeptVectors, forget

Spec = VectorIndexSpec
OWN_COLUMNS = ("chunk_id", ID, "chunk_index", TEXT, HASH, "embedding", "embedding_model")
PREVIEW_CHUNKS = 10  # embedded in a preview; a model on one core does some twenty in a second


def output_columns(id_type: str, metadata: tuple[Column, ...]) -> tuple[Column, ...]:
    """What an index has: its own columns, then the metadata as the input has them."""
    types = {"chunk_index": "int32", ID: id_type, "embedding": "list<float32>"}
    own = [Column(name=name, type=types.get(name, "string"), nullable=False) for name in OWN_COLUMNS]
    return (*own, *metadata)


def run(spec: VectorIndexSpec, progress: Progress = silent, access: Access = NOTHING) -> StepResult:
    """Make the index what the input's pinned version says.

    Documents are compared by a hash of their text and of how it is cut. New
    and changed ones are cut and embedded; those whose metadata changed are
    written anew with the vectors they had; those that are gone leave. A
    document without a text has no chunks. `full_refresh` and `merge` do the
    same: both leave an index of exactly the input. Everything is made anew
    when the model, the columns or the partitions are others, and where
    `spec.rebuild` says so. Vectors of a run that did not publish are taken over.

    Raises `AuditFailed` for ids that are missing or not unique, `ModelMissing`,
    `EmbeddingFailed`, `IndexDamaged` (a rebuild helps), and what `run_refresh` raises. The table is then as it was.
    """
    try:
        result = run_refresh(replace(spec, refresh_mode="full_refresh"), progress, _maker(spec, progress, access))
    except ModelChanged:
        forget(spec.target.uri)  # or vectors of both would meet in the next try, too
        raise
    finally:
        unload()
    forget(spec.target.uri)
    return result


def _maker(spec: VectorIndexSpec, progress: Progress, access: Access):
    def make(tables: Tables, staging: Staging, clock: Clock) -> Staged:
        with clock("load_model"):
            model = load(spec.embedding_model, access)
        plan = _plan(spec, model)
        rows = input_rows(spec, next(iter(tables.values())))
        progress("read", message="comparing the documents with those of the index")
        with clock("read"):
            documents = compare(spec, rows, plan.kept_table, plan.chunking.key)
        with clock("embed"):
            chunker = _chunked(spec, plan, documents, rows, staging, progress)
            _restage_updated(spec, plan, documents, rows, staging)
        files = staging.files
        facts = _facts(spec, plan, documents, chunker, files)
        change = _change(files, documents.leaving, staging) if plan.kept_table else None
        return Staged(facts=facts, change=change, checks=(_balance(facts),))

    return make


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    model: Model
    chunking: Chunking
    table: Table | None  # as it is now
    rebuilt: str = ""  # why nothing of the table stays; empty: it is changed where it must be

    @property
    def kept_table(self) -> Table | None:
        return None if self.rebuilt else self.table

    def known(self, id_type: str) -> Table | None:
        """The table, if its vectors are this model's and its documents can be found by their ids."""
        has_ids = self.table and Column(name=ID, type=id_type) in [
            replace(c, nullable=True) for c in self.table.columns
        ]
        return self.table if has_ids and _made_by(self.table) == self.model.key else None


def chunking_of(spec: VectorIndexSpec, max_tokens: int | None) -> Chunking:
    return Chunking(size=spec.chunk_size, overlap=spec.chunk_overlap, by=spec.chunk_by, max_tokens=max_tokens)


def _plan(spec: VectorIndexSpec, model: Model) -> _Plan:
    if spec.chunk_by == "tokens" and model.max_tokens and spec.chunk_size > model.max_tokens:
        raise InvalidSpec(
            f"{model.name} reads {model.max_tokens} tokens of a text; a chunk of {spec.chunk_size} would be cut off.",
            hint=f"Use a chunk_size of at most {model.max_tokens}.",
        )
    table = open_table(spec.target.uri) if table_exists(spec.target.uri) else None
    chunking = chunking_of(spec, model.max_tokens)
    return _Plan(model=model, chunking=chunking, table=table, rebuilt=_reason_to_rebuild(spec, model, table))


def _reason_to_rebuild(spec: VectorIndexSpec, model: Model, table: Table | None) -> str:
    if table is None:
        return ""
    if spec.rebuild:
        return "the run was started with rebuild"
    check_whole(table)
    if [(c.name, c.type) for c in table.columns] != [(c.name, c.type) for c in spec.columns]:
        return "the columns are others"
    if table.partition_by != spec.target.partition_by:
        return "the partitions are others"
    made_by = _made_by(table)
    if made_by and made_by != model.key:
        return f"the model is {model.key}, and was {made_by}"
    return ""


def _made_by(table: Table) -> str:
    """The model whose vectors the table has; empty where it has none, or is no index."""
    if "embedding_model" not in {column.name for column in table.columns}:
        return ""
    found = table.scan().select("embedding_model").head(1).collect()
    return found.item() if found.height else ""


def _chunked(
    spec: VectorIndexSpec, plan: _Plan, documents: Documents, rows: pl.LazyFrame, staging: Staging, progress: Progress
) -> Chunker:
    """Stage the chunks of new and changed documents."""
    todo = documents.to_embed
    characters = int(documents.told.join(todo, on=ID, how="semi")["characters"].sum())
    progress("stage", done=0, message=f"{todo.height:,} documents to embed, {characters:,} characters")
    with KeptVectors(spec.target.uri, plan.model.key, rebuild=spec.rebuild) as kept:
        chunker = Chunker(
            columns=spec.columns,
            model=plan.model,
            chunking=plan.chunking,
            way=plan.chunking.key,
            staging=staging,
            progress=progress,
            kept=kept,
            known=None if spec.rebuild else plan.known(_type_of(spec, ID)),
            characters=characters,
            dimension=_dimension(plan.kept_table) or 0,
        )
        if todo.height:
            chunker.stage(rows.join(todo.lazy(), on=ID, how="semi", maintain_order="left"), todo.height)
    return chunker


def _restage_updated(
    spec: VectorIndexSpec, plan: _Plan, documents: Documents, rows: pl.LazyFrame, staging: Staging
) -> None:
    """Stage the chunks of documents with other metadata, with the vectors that they have."""
    if not documents.updated.height:
        return
    names = [*spec.metadata_columns]
    wanted = documents.updated.lazy()
    now = rows.select(ID, *names).join(wanted, on=ID, how="semi")
    held = plan.kept_table.scan().drop(names).join(wanted, on=ID, how="semi", maintain_order="left")
    schema = polars_schema(spec.columns)
    joined = held.join(now, on=ID, maintain_order="left")
    staging.sink(joined.select(pl.col(name).cast(dtype) for name, dtype in schema.items()))


def _type_of(spec: VectorIndexSpec, name: str) -> str:
    return next(column.type for column in spec.columns if column.name == name)


def _change(files: tuple[StagedFile, ...], leaving: pl.DataFrame, staging: Staging) -> ChangeOf:
    """The staged rows go in, and files that hold a leaving document are written anew without it."""

    def change(table: Table | None, columns: tuple[Column, ...]) -> Change:
        if table is None or not leaving.height or not table.rows:
            return Change(files=files)
        touched, rows = _touched(table, leaving, columns)
        without = rewrite(table, touched, columns, staging, lambda held: held.join(leaving.lazy(), on=ID, how="anti"))
        kept, replaced = sum(file.rows for file in without.kept), sum(file.rows for file in without.replaced)
        if replaced - kept != rows:
            raise RowsDoNotBalance(
                f"{replaced} chunks lay in the files to replace, {rows} make room, and {kept} were kept.",
                hint="Nothing was published. This is a bug in Assay: please report it.",
            )
        return replace(without, files=files)

    return change


def _touched(table: Table, leaving: pl.DataFrame, columns: tuple[Column, ...]) -> tuple[list[DataFile], int]:
    """The files that hold a chunk of these documents, and how many chunks those are."""
    low, high = leaving[ID].min(), leaving[ID].max()
    files = [file for file in table.data_files if file.may_hold(ID, low, high)]
    if not files:
        return [], 0
    places = rows_of(table, files, columns, with_path=True).select(ID, PATH)
    found = places.join(leaving.lazy(), on=ID, how="semi").group_by(PATH).len().collect(engine="streaming")
    paths = set(found[PATH])
    return [file for file in files if file.path in paths], int(found["len"].sum())


def _facts(
    spec: VectorIndexSpec, plan: _Plan, documents: Documents, chunker: Chunker, files: tuple[StagedFile, ...]
) -> dict[str, Any]:
    tally, embedding = chunker.tally, plan.model
    leaving, updated = documents.chunks_of(documents.leaving), documents.chunks_of(documents.updated)
    held = int(documents.held["chunks"].sum())
    empty = documents.empty | ({"no_words": tally.without_words} if tally.without_words else {})
    unchanged = documents.told.height - documents.to_embed.height - documents.updated.height
    facts = {
        "documents": unchanged + documents.updated.height + tally.documents,
        "chunks": held - leaving + updated + tally.chunks,
        "embedded_chunks": tally.embedded,
        "reused_chunks": tally.reused,
        "resumed_chunks": tally.resumed,
        "updated_chunks": updated,
        "kept_chunks": held - leaving,
        "deleted_chunks": leaving - updated,
        "new_documents": documents.new.height,
        "changed_documents": documents.changed.height,
        "updated_documents": documents.updated.height,
        "unchanged_documents": unchanged,
        "deleted_documents": documents.gone.height,
        "empty_documents": empty,
        "read_documents": documents.told.height + sum(documents.empty.values()),
        "model": embedding.name,
        "model_fingerprint": embedding.fingerprint,
        "dimension": chunker.dimension or None,
        "chunking": plan.chunking.key,
    }
    staged = sum(file.rows for file in files)
    if staged != tally.chunks + updated:
        raise RowsDoNotBalance(
            f"{staged} chunks are staged; {tally.chunks} were cut and {updated} got other metadata.",
            hint="Nothing was published. This is a bug in Assay: please report it.",
        )
    return facts | ({"rebuilt": plan.rebuilt} if plan.rebuilt else {})


def _dimension(table: Table | None) -> int | None:
    found = table and table.scan().select(pl.col("embedding").list.len()).head(1).collect()
    return int(found.item()) if found is not None and found.height else None


def _balance(facts: Mapping[str, Any]) -> dict[str, Any]:
    parts = [facts[name] for name in ("new_documents", "changed_documents", "updated_documents", "unchanged_documents")]
    blank = sum(count for rule, count in facts["empty_documents"].items() if rule != "no_words")
    told = f"{facts['read_documents']:,} documents read: {facts['documents']:,} have chunks, the others no text"
    return {"name": "documents", "passed": sum(parts) + blank == facts["read_documents"], "detail": told}


def first_rows(spec: VectorIndexSpec, tables: Tables, limit: int) -> pl.DataFrame:
    """The chunks of the first documents; without vectors where a provider would have to be asked for them."""
    is_embedded = spec.embedding_model in EMBEDDED
    model = load(spec.embedding_model if is_embedded else "embedded:hash")
    chunking, limit = chunking_of(spec, model.max_tokens), min(limit, PREVIEW_CHUNKS)
    rows = input_rows(spec, next(iter(tables.values()))).filter(pl.col(TEXT).str.strip_chars() != "")
    found: list[dict[str, Any]] = []
    for document in rows.head(limit).collect().iter_rows(named=True):
        text = document.pop(TEXT)
        for number, (low, high) in enumerate(cut(text, chunking, model.tokens)):
            told = {HASH: content_hash(text, chunking.key), "chunk_index": number, TEXT: text[low:high]}
            found.append(document | told)
    found = found[:limit]
    vectors = model.embed([each[TEXT] for each in found]).tolist() if is_embedded else [None] * len(found)
    made = ("chunk_id", "embedding", "embedding_model")
    types = {name: dtype for name, dtype in polars_schema(spec.columns).items() if name not in made}
    told = pl.DataFrame(found, schema=types).with_columns(
        pl.Series("embedding", vectors, dtype=pl.List(pl.Float32)),
        pl.lit(model.key if is_embedded else spec.embedding_model).alias("embedding_model"),
        chunk_id(),
    )
    return with_types(told, spec.columns)
