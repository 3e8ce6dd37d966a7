"""Text from records, made fit to be shown: whatever was logged, a report shows it on the page and lets it do nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, TypeVar

T = TypeVar("T")
_BREAK = "\n"


def clean(text: str) -> str:
    """Control and format characters, bidirectional overrides and lone surrogates as their code points; newlines stay.

    What would turn the direction of the text around it, or be invisible, is so seen.
    """
    if text.isprintable():
        return text
    return "".join(c if c == _BREAK or not _is_hidden(c) else f"<U+{ord(c):04X}>" for c in text)


def _is_hidden(character: str) -> bool:
    category = unicodedata.category(character)
    is_space = character in "\u00a0\u202f\u2009 "
    return category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") and not is_space


def clean_all(value: T, change: Callable[[str], str] = clean) -> T:
    """The same record, tuple or text with every text in it changed."""
    changed: Any = value
    if isinstance(value, str):
        changed = change(value)
    elif isinstance(value, tuple):
        changed = tuple(clean_all(item, change) for item in value)
    elif hasattr(value, "__dataclass_fields__"):
        changed = replace(value, **{f.name: clean_all(getattr(value, f.name), change) for f in fields(value)})  # type: ignore[type-var, arg-type]
    result: T = changed
    return result
