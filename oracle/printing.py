"""Text of others, made such that a terminal shows it and obeys nothing in it."""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """`text` with everything a terminal may obey or hide written as its code point; `keep` stays as it is."""
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)
