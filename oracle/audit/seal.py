"""Sealed fields: what stands in a record as a salted commitment, and is opened one field at a time.

A record that seals fields has one public field for all of them, `audit.sealed`: the RFC 6962 root over exactly 16 leaves.

    leaf = SHA-256(0x00 ‖ salt ‖ RFC 8785 of [name, value])       salt: 16 random bytes, one for each field
    the places without a field hold 32 random bytes; leaves stand in ascending order of their bytes

Sixteen leaves whatever is sealed, so their number tells nothing; salted leaves are as good as random, so their order tells nothing
either, not even which names there are. An opening is the field, its salt and its inclusion proof; it says nothing about the others.
Where the salts are destroyed, the root stays in the tree of the log and commits to something nobody can name any more.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256 as _sha256
from typing import Any

from oracle.audit.tree import compute_inclusion_proof, hash_leaf, verify_inclusion
from oracle.encoding import canonical_field, parse_bytes32, parse_hex, parse_uint, to_hex
from oracle.errors import EntryRejected, MalformedInput, TooLarge
from oracle.records import Bytes32, FieldValue
from oracle.wire import require_fields

PLACES = 16
SALT_BYTES = 16
NOISE_BYTES = 32 * PLACES


@dataclass(frozen=True, slots=True)
class SealedField:
    """A field and its salt: what has to be known to open it."""

    name: str
    value: FieldValue
    salt: bytes

    @property
    def leaf(self) -> Bytes32:
        return compute_field_leaf(self.name, self.value, self.salt)


@dataclass(frozen=True, slots=True)
class Opening:
    """One field of a record, opened: with `path` it leads to the record's `audit.sealed`."""

    name: str
    value: FieldValue
    salt: bytes
    index: int  # 0–15, of its leaf
    path: tuple[Bytes32, ...]  # 4 hashes, from the leaf to the root


@dataclass(frozen=True)
class Sealed:
    """All sealed fields of one record, with the random leaves beside them."""

    fields: tuple[SealedField, ...]
    decoys: tuple[Bytes32, ...]

    @classmethod
    def of(cls, fields: Mapping[str, FieldValue], noise: bytes | None = None) -> Sealed:
        """Seals with fresh salts. Raises TooLarge beyond 16 fields.

        `noise`: NOISE_BYTES random bytes that are used for nothing else, for who draws those of many records at once.
        """
        if len(fields) > PLACES:
            raise TooLarge("sealed fields", f"at most {PLACES}", len(fields))
        noise = noise or secrets.token_bytes(NOISE_BYTES)  # at once: asking sixteen times costs more than the hashing
        pieces = [noise[start : start + 32] for start in range(0, len(noise), 32)]
        sealed = tuple(SealedField(name, value, pieces[i][:SALT_BYTES]) for i, (name, value) in enumerate(fields.items()))
        return cls(sealed, tuple(map(Bytes32, pieces[len(sealed) :])))

    @cached_property
    def leaves(self) -> list[Bytes32]:
        return sorted([*(field.leaf for field in self.fields), *self.decoys])

    @cached_property
    def root(self) -> Bytes32:
        """What stands in the record."""
        hashes: list[bytes] = list(self.leaves)
        while len(hashes) > 1:  # sixteen is a power of two: RFC 6962's tree is the plain one, and this is once for each record
            pairs = iter(hashes)
            hashes = [_sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
        return Bytes32(hashes[0])

    @property
    def values(self) -> dict[str, FieldValue]:
        return {field.name: field.value for field in self.fields}

    def open(self, name: str) -> Opening:
        """Raises EntryRejected for a name that is not sealed here."""
        for field in self.fields:
            if field.name == name:
                index = self.leaves.index(field.leaf)
                path = tuple(map(Bytes32, compute_inclusion_proof(self.leaves, index)))
                return Opening(name, field.value, field.salt, index, path)
        raise EntryRejected("sealed field", "one of this record", name[:100])


def compute_field_leaf(name: str, value: FieldValue, salt: bytes) -> Bytes32:
    """The leaf that commits to a field. `salt` has 16 bytes, so name and value begin at one place only."""
    return hash_leaf(salt + canonical_field(name, value))


def verify_opening(opening: Opening, root: Bytes32) -> None:
    """Returns where the record with this `audit.sealed` sealed that name with that value. Raises ProofRejected."""
    leaf = compute_field_leaf(opening.name, opening.value, opening.salt)
    verify_inclusion(leaf, opening.index, PLACES, opening.path, root)


# ---- JSON -----------------------------------------------------------------------------------------------------------------------------
def opening_to_json(opening: Opening) -> dict[str, Any]:
    field = {"name": opening.name, "value": opening.value, "salt": to_hex(opening.salt)}
    return field | {"index": opening.index, "path": [to_hex(h) for h in opening.path]}


def opening_from_json(value: object) -> Opening:
    """Raises MalformedInput. Whether it holds, `verify_opening` says."""
    fields = require_fields(value, "opening", {"name", "value", "salt", "index", "path"})
    field = _read_field(fields)
    if not isinstance(fields["path"], list) or len(fields["path"]) != 4:
        raise MalformedInput("opening.path", "a list of 4 hashes", "another form")
    path = tuple(parse_bytes32(item, "opening.path") for item in fields["path"])
    return Opening(field.name, field.value, field.salt, parse_uint(fields["index"], "opening.index", 4), path)


def sealed_to_json(sealed: Sealed) -> dict[str, Any]:
    fields = [{"name": field.name, "value": field.value, "salt": to_hex(field.salt)} for field in sealed.fields]
    return {"fields": fields, "decoys": [to_hex(decoy) for decoy in sealed.decoys]}


def sealed_from_json(value: object) -> Sealed:
    """Raises MalformedInput. Whether it is what a record seals, its root says."""
    document = require_fields(value, "sealed fields", {"fields", "decoys"})
    if not isinstance(document["fields"], list) or not isinstance(document["decoys"], list):
        raise MalformedInput("sealed fields", "lists `fields` and `decoys`", "another form")
    fields = tuple(_read_field(require_fields(item, "sealed field", {"name", "value", "salt"})) for item in document["fields"])
    decoys = tuple(parse_bytes32(item, "decoy") for item in document["decoys"])
    if len(fields) + len(decoys) != PLACES or len({field.name for field in fields}) != len(fields):
        raise MalformedInput("sealed fields", f"{PLACES} leaves, each name once", f"{len(fields)} fields and {len(decoys)} decoys")
    return Sealed(fields, decoys)


def _read_field(fields: Mapping[str, Any]) -> SealedField:
    name, value = fields["name"], fields["value"]
    if not isinstance(name, str) or not _is_field_value(value):
        raise MalformedInput("sealed field", "a name, and a string, integer, boolean or list of strings", "another form")
    return SealedField(name, value, parse_hex(fields["salt"], "salt", SALT_BYTES))


def _is_field_value(value: object) -> bool:
    return isinstance(value, str | int) or (isinstance(value, list) and all(isinstance(item, str) for item in value))
