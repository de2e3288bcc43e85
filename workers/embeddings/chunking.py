"""Cutting a text into chunks that a model can read whole: at sentences, else at words, with some overlap.

Written here and not taken from langchain-text-splitters because chunks must
be spans of the document: theirs drop blanks and overlap by whole pieces only,
so nobody could prove that every character is in some chunk.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from .base import Tokens

VERSION = 1  # of what `cut` does: with another one every document is cut anew
MAX_PIECE = 16  # characters that are never cut; longer tokens (addresses, base 64) and runs of blanks are taken apart
# Behind what ends a sentence, quotes and brackets included; behind every line; in Chinese and Japanese without a blank.
_SENTENCE = re.compile(r"[.!?…]+[\"'”’»)\]]*\s+|[。！？]+[」』”’）]*\s*|\s*\n\s*")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """How texts are cut. Sizes are in tokens of the model, or in characters."""

    size: int
    overlap: int
    by: Literal["tokens", "characters"] = "tokens"
    max_tokens: int | None = None  # what the model reads of a text, whatever `size` is

    @property
    def key(self) -> str:
        """The same for two ways of cutting that give the same chunks."""
        return f"{self.by} {self.size} {self.overlap} {self.max_tokens} v{VERSION}"


def cut(text: str, chunking: Chunking, tokens: Tokens) -> Iterator[tuple[int, int]]:
    """Spans (start, end) of the text's chunks, in order. Every token is in one, and all but long runs of blanks.

    A chunk has at most `size` of its measure, and as a text of its own at most
    `max_tokens`. Each begins up to `overlap` before the one before it ends, at
    a word where there is one. A text gives the same spans wherever and whenever.
    """
    pieces = _Pieces(text, chunking, tokens)
    start = 0
    while start < len(pieces):
        end = pieces.end_of(start)
        if pieces.has_tokens(start, end):
            yield pieces.place(start), pieces.place(end)
        if end == len(pieces):
            return
        start = pieces.start_before(end, start)


class _Pieces:
    """The text in pieces that are never cut: tokens with the blanks behind them, counted by the measure."""

    def __init__(self, text: str, chunking: Chunking, tokens: Tokens) -> None:
        self.text, self.chunking, self.tokens = text, chunking, tokens
        by_characters = chunking.by == "characters"
        width = max(1, min(MAX_PIECE, chunking.size // 2)) if by_characters else MAX_PIECE
        self.starts, self.token_counts = _starts(text, tokens(text), width)
        # How much of the measure lies before each piece, and in all.
        self.counts = [*self.starts, len(text)] if by_characters else self.token_counts

    def __len__(self) -> int:
        return len(self.starts)

    def place(self, index: int) -> int:
        return self.starts[index] if index < len(self.starts) else len(self.text)

    def has_tokens(self, start: int, end: int) -> bool:
        return self.token_counts[end] > self.token_counts[start]

    @cached_property
    def sentences(self) -> list[int]:
        return self._pieces_behind(_SENTENCE)

    @cached_property
    def words(self) -> list[int]:
        return self._pieces_behind(_BLANKS)

    def _pieces_behind(self, pattern: re.Pattern) -> list[int]:
        places = {match.end() for match in pattern.finditer(self.text)}
        return [index for index, start in enumerate(self.starts) if start in places]

    def end_of(self, start: int) -> int:
        """Where the chunk that begins here ends: as late as it may, at a sentence, else at a word."""
        size, counts = self.chunking.size, self.counts
        while True:
            last = bisect_right(counts, counts[start] + size) - 1
            end = self._good_end(start, max(last, start + 1))
            excess = self._excess(start, end)
            if not excess or end == start + 1:
                return end
            # More tokens than the model reads, or than it was before it was cut off from its neighbours.
            size = min(size, counts[end] - counts[start]) - max(1, excess // 2)

    def _good_end(self, start: int, last: int) -> int:
        if last >= len(self):
            return len(self)
        counts, begin = self.counts, self.counts[start]
        # Past the overlap, or the next chunk would begin where this one does.
        least = bisect_right(counts, begin + self.chunking.overlap)
        half = bisect_left(counts, begin + (counts[last] - begin) / 2)  # a sentence that ends earlier makes crumbs
        for places, first in ((self.sentences, max(least, half)), (self.words, least)):
            found = bisect_right(places, last) - 1
            if found >= 0 and places[found] >= max(first, start + 1):
                return places[found]
        return last

    def _excess(self, start: int, end: int) -> int:
        chunking = self.chunking
        limits = (chunking.max_tokens, chunking.size if chunking.by == "tokens" else None)
        limit = min((each for each in limits if each is not None), default=None)
        if limit is None:
            return 0
        return max(0, len(self.tokens(self.text[self.place(start) : self.place(end)])) - limit)

    def start_before(self, end: int, start: int) -> int:
        """Where the next chunk begins: `overlap` before the end, or at the first word after that."""
        if not self.chunking.overlap:
            return end
        first = max(bisect_left(self.counts, self.counts[end] - self.chunking.overlap), start + 1)
        found = bisect_left(self.words, first)
        return self.words[found] if found < len(self.words) and self.words[found] <= end else min(first, end)


def _starts(text: str, tokens: Sequence[tuple[int, int]], width: int) -> tuple[list[int], list[int]]:
    """Where pieces begin, the first at 0, and how many tokens there are before each and in all."""
    if not tokens:
        return [], [0]
    starts, counts, count = [0], [0], 0

    def add(place: int) -> None:
        if place > starts[-1]:
            starts.append(place)
            counts.append(count)

    for low, high in tokens:
        for place in range(starts[-1] + width, low, width):
            add(place)
        for place in range(low, max(high, low + 1), width):
            add(place)
            count += 1
    for place in range(starts[-1] + width, len(text), width):
        add(place)
    return starts, [*counts, count]
