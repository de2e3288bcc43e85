"""Dimensions that keep their history (docs/scd2.md says what comes out).

The `timeline` itself, what the rows of an input tell (`observations`), what
is known already (`known`, `evidence`), keys that went without a word
(`absence`), what a run reads (`reading`) and changes (`change`, `work`,
`rewrite`), and taking observations anew (`restate`, `preview`).
"""
