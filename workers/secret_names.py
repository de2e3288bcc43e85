"""Which headers and parameters are taken for secrets, by their names."""

from __future__ import annotations

import re

_SECRET = re.compile(r"key|token|secret|passw|pwd|sig(nature)?$|auth|credential|session|cookie", re.IGNORECASE)
_HARMLESS = re.compile(
    r"(page|next|continuation|cursor)[_-]?token|(sort|order|partition)[_-]?key|keyword|author(?!iz)", re.IGNORECASE
)


def is_secret_name(name: str) -> bool:
    return bool(_SECRET.search(_HARMLESS.sub("", name)))
