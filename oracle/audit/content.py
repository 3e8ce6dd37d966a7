"""What belongs to a record and is not in the tree: its sealed fields with their salts, and its bodies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from oracle.audit.seal import Sealed, sealed_from_json, sealed_to_json
from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.errors import EntryRejected, MalformedInput
from oracle.records import Bytes32, FieldValue
from oracle.wire import require_fields

_LIST_ITEM = re.compile(r"(.+)\[([0-9]{1,3})\]")


class ContentState(StrEnum):
    """What custody can still show of a record."""

    NONE = "none"  # the record never had any
    PRESENT = "present"
    ERASED = "erased"  # its keys are destroyed


@dataclass(frozen=True, slots=True)
class Content:
    """Sealed fields and bodies of one record. `bodies` by the field that holds their digest ("name[i]" for item i of a list)."""

    sealed: Sealed | None = None
    bodies: dict[str, bytes] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return self.sealed is None and not self.bodies


def check_content(content: Content, fields: Mapping[str, FieldValue], sealed_root: Bytes32 | None) -> None:
    """Returns where the content is what the record commits to, whole or a part of it. Raises EntryRejected naming what is not."""
    sealed = content.sealed
    if sealed is not None and sealed.root != sealed_root:
        got = to_hex(sealed.root)
        raise EntryRejected("sealed fields", "none" if sealed_root is None else f"the root {to_hex(sealed_root)}", got)
    known = dict(fields) | (sealed.values if sealed else {})
    for name, body in content.bodies.items():
        if (expected := find_body_digest(known, name)) != to_hex(keccak256(body)):
            raise EntryRejected(f"body {name[:110]}", f"bytes with the digest {expected}", to_hex(keccak256(body)))


def find_body_digest(fields: Mapping[str, FieldValue], name: str) -> object:
    """The value that must be the body's digest: field `name`, or item i of a list for "name[i]". None where there is none."""
    if match := _LIST_ITEM.fullmatch(name):
        items, position = fields.get(match[1]), int(match[2])
        return items[position] if isinstance(items, list) and position < len(items) else None
    return fields.get(name)


# ---- JSON: `GET /content/<index>`, and `content/<index>.json` of an export -------------------------------------------------------------
def content_to_json(content: Content) -> dict[str, Any]:
    sealed = None if content.sealed is None else sealed_to_json(content.sealed)
    return {"sealed": sealed, "bodies": {name: to_hex(body) for name, body in content.bodies.items()}}


def content_from_json(value: object) -> Content:
    """Raises MalformedInput. Whether it is a record's, `check_content` says."""
    document = require_fields(value, "content", {"sealed", "bodies"})
    if not isinstance(document["bodies"], dict):
        raise MalformedInput("content.bodies", "an object", type(document["bodies"]).__name__)
    sealed = None if document["sealed"] is None else sealed_from_json(document["sealed"])
    return Content(sealed, {str(name): parse_hex(text, f"body {str(name)[:60]}") for name, text in document["bodies"].items()})
