"""Which addresses Assay may connect to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """Public addresses are allowed; private, loopback and link-local ones only where `allow` names them.

    `allow` holds host names, addresses and networks (`10.0.0.0/8`); `*` is
    every private address but those that hand out a cloud machine's credentials.
    """

    allow: tuple[str, ...] = ()
