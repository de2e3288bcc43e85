"""Which documents of an index are new, changed, gone: the input's texts by their hashes against the table's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from workers.errors import AuditFailed
from workers.lake.table import Table
from workers.schema import parse_type
from workers.template_specs import VectorIndexSpec

ID, TEXT, HASH = "document_id", "text", "content_hash"
HASHED_ROWS = 5_000  # texts in memory while they are hashed
EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """What a run has to do. Each frame has `document_id`; those of `told` also the hash and characters of the text."""

    told: pl.DataFrame  # that have a text
    new: pl.DataFrame
    changed: pl.DataFrame  # in their text, or in how it is cut
    updated: pl.DataFrame  # in their metadata only
    gone: pl.DataFrame  # no longer in the input, or without a text now; with their `chunks` in the table
    held: pl.DataFrame  # all that the table has, with their `chunks`
    empty: dict[str, int] = field(default_factory=dict)  # by rule: null_text, blank_text

    @property
    def to_embed(self) -> pl.DataFrame:
        return pl.concat([self.new, self.changed])

    @property
    def leaving(self) -> pl.DataFrame:
        """Those whose rows in the table make room."""
        return pl.concat([self.changed, self.updated, self.gone])

    def chunks_of(self, documents: pl.DataFrame) -> int:
        """How many chunks the table has of these."""
        return int(self.held.join(documents, on=ID, how="semi")["chunks"].sum())


def input_rows(spec: VectorIndexSpec, table: Table) -> pl.LazyFrame:
    """The input's documents under the index's names, in its types."""
    types = {column.name: parse_type(column.type) for column in spec.columns}
    return table.scan().select(
        pl.col(spec.id_column).cast(types[ID]).alias(ID),
        pl.col(spec.text_column).cast(pl.String).alias(TEXT),
        *(pl.col(name).cast(types[name]) for name in spec.metadata_columns),
    )


def compare(spec: VectorIndexSpec, rows: pl.LazyFrame, table: Table | None, way: str) -> Documents:
    """The input against the table; None: everything is new. `way` is what a hash covers beside the text.

    Needs about 200 bytes of memory for each document. Raises `AuditFailed` for
    a document without an id, and for two with the same.
    """
    states = pl.concat(_states(rows, way))
    _check_ids(spec, states)
    told = states.filter(pl.col(HASH).is_not_null()).select(ID, HASH, "characters")
    null_texts = states["characters"].null_count()
    empty = {"null_text": null_texts, "blank_text": states.height - null_texts - told.height}
    held = _held(table) if table else told.clear().select(ID, HASH, chunks=pl.lit(0, dtype=pl.UInt32))
    both = told.join(held, on=ID, suffix="_held")
    same = both.filter(pl.col(HASH) == pl.col(f"{HASH}_held")).select(ID)
    return Documents(
        told=told,
        new=told.join(held, on=ID, how="anti").select(ID),
        changed=both.filter(pl.col(HASH) != pl.col(f"{HASH}_held")).select(ID),
        updated=_updated(spec, rows, table, same) if table else same.clear(),
        gone=held.join(told, on=ID, how="anti").select(ID),
        held=held.select(ID, "chunks"),
        empty={rule: count for rule, count in empty.items() if count},
    )


def _states(rows: pl.LazyFrame, way: str) -> Iterator[pl.DataFrame]:
    """Id, hash and characters of each document, a part at a time; no hash for one without a text."""
    schema = rows.select(ID).collect_schema() | {HASH: pl.String(), "characters": pl.Int64()}
    yield pl.DataFrame(schema=schema)
    for part in rows.select(ID, TEXT).collect_batches(chunk_size=HASHED_ROWS, maintain_order=True):
        yield part.select(
            ID,
            pl.Series(HASH, [content_hash(text, way) for text in part[TEXT]], dtype=pl.String),
            pl.col(TEXT).str.len_chars().cast(pl.Int64).alias("characters"),
        )


def content_hash(text: str | None, way: str) -> str | None:
    """SHA-256 of the text and of how it is cut, in hex; None where there is nothing to cut."""
    if text is None or not text.strip():
        return None
    return hashlib.sha256(f"{way}\n{text}".encode()).hexdigest()


def _check_ids(spec: VectorIndexSpec, states: pl.DataFrame) -> None:
    if missing := states[ID].null_count():
        raise AuditFailed(
            f"{missing:,} documents have no {spec.id_column}. Nothing was published.",
            hint="Filter them out before this job, or choose another id_column.",
            documents=missing,
        )
    twice = states.group_by(ID, maintain_order=True).len().filter(pl.col("len") > 1)
    if twice.height:
        examples = [str(value) for value in twice[ID].head(EXAMPLES)]
        raise AuditFailed(
            f"{twice.height:,} values of {spec.id_column} stand at more than one document, e.g. {', '.join(examples)}. "
            "Nothing was published.",
            hint="Keep one row for each document before this job, or choose another id_column.",
            duplicates=twice.height,
            examples=examples,
        )


def _held(table: Table) -> pl.DataFrame:
    rows = table.scan().select(ID, HASH)
    return rows.group_by(ID).agg(pl.col(HASH).first(), pl.len().alias("chunks")).collect(engine="streaming")


def _updated(spec: VectorIndexSpec, rows: pl.LazyFrame, table: Table, same: pl.DataFrame) -> pl.DataFrame:
    """Of the documents with the same text those whose metadata differ."""
    names = list(spec.metadata_columns)
    if not names or not same.height:
        return same.clear()
    first = table.scan().filter(pl.col("chunk_index") == 0).select(ID, *names)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}__held")) for name in names)
    pairs = rows.select(ID, *names).join(same.lazy(), on=ID, how="semi").join(first, on=ID, suffix="__held")
    return pairs.filter(differs).select(ID).collect(engine="streaming")
