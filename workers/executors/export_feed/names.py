"""What the files of a feed are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from workers.errors import InvalidSpec

SUFFIXES = {"gzip": ".gz", "zstd": ".zst"}
MANIFEST = ".manifest.json"
MOST_CHARACTERS = 200
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PART = re.compile(r"[-_.]?\{part\}")
_WRONG = re.compile(r"[/\\\x00-\x1f\x7f]")
# Tables and landed files live here; what a feed leaves there would be taken for theirs, or vacuumed.
TAKEN_FOLDERS = ("landing", "bronze", "silver", "gold", "quarantine")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedNames:
    """The names for one run of a feed."""

    base: str  # placeholders filled in, but {part}
    is_split: bool
    suffix: str  # of the compression

    @property
    def manifest(self) -> str:
        return _PART.sub("", self.base) + MANIFEST

    def file(self, number: int) -> str:
        """The name of part `number`, from 1."""
        name = self.base
        if "{part}" in name:
            name = name.replace("{part}", f"{number:04d}")
        elif self.is_split:
            stem, dot, rest = name.partition(".")
            name = f"{stem}-{number:04d}{dot}{rest}"
        return name if name.endswith(self.suffix) else name + self.suffix

    def has_given(self, name: str) -> bool:
        """Whether a run of this feed may have called a file so, with parts or without, compressed or not."""
        stem, dot, rest = self.base.partition(".")
        whole = self.base if "{part}" in self.base else f"{stem}{{part}}{dot}{rest}"
        number = r"\d{4,}" if "{part}" in self.base else r"(-\d{4,})?"
        pattern = number.join(re.escape(piece) for piece in whole.split("{part}"))
        return bool(re.fullmatch(rf"{pattern}(\.gz|\.zst)?", name))


def names_of(file_name: str, run_id: str, day: date, compression: str = "none", *, is_split: bool = False) -> FeedNames:
    """Raises `InvalidSpec` for a name that is none."""
    if problem := name_problem(file_name):
        raise InvalidSpec(problem)
    base = file_name.replace("{date}", day.isoformat()).replace("{run_id}", run_id)
    return FeedNames(base=base, is_split=is_split, suffix=SUFFIXES.get(compression, ""))


def name_problem(file_name: str) -> str:
    """Why a feed's file cannot be called so, or nothing."""
    if not file_name or _WRONG.search(file_name) or len(file_name) > MOST_CHARACTERS:
        return f"A file name has 1 to {MOST_CHARACTERS} characters and no slash."
    if file_name.startswith("."):
        return "A file name that begins with a dot is hidden: readers would not find it."
    if file_name.endswith(MANIFEST):
        return f"Names that end in {MANIFEST} are those of manifests."
    unknown = [name for name in _PLACEHOLDER.findall(file_name) if name not in ("date", "run_id", "part")]
    if unknown or set("{}") & set(_PLACEHOLDER.sub("", file_name)):
        return "Placeholders are {date}, {run_id} and {part}."
    return ""


def path_problem(path: str) -> str:
    """Why a feed cannot be put into this folder of the lake, or nothing. The path is relative to the lake."""
    parts = path.split("/")
    if not path or _WRONG.search(path.replace("/", "")) or path.startswith("/"):
        return "Name a folder inside the lake, such as feeds/orders, or s3://bucket/prefix."
    if any(part in ("", ".", "..") for part in parts):
        return f"“{path}” is no plain path: leave out “..”, “.” and doubled slashes."
    if parts[0].lower() in TAKEN_FOLDERS or parts[0].startswith(("_", ".")):
        return f"{parts[0]}/ holds the lake's own tables and files. Choose another folder, such as feeds/."
    return ""
