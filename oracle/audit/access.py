"""Who may write to the log and who may read bodies: bearer tokens, known to the log only by their digest.

    {"writers": {"node-1": "0x<keccak-256 of the token>"}, "readers": {"auditor": "0x…"}, "may": {"node-1": ["chain"]}}

A token is 32 random bytes in base64url, so one hash is enough. The name beside the digest is the writer's name in every record. `may` says
what a writer may write about (`oracle.audit.scopes`); one that it does not name may write about everything.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oracle.audit.record import require_writer
from oracle.audit.scopes import Scope, scopes_of
from oracle.config import write_secret
from oracle.encoding import keccak256, parse_bytes32, to_hex
from oracle.errors import ConfigRejected, EntryRejected, Forbidden, MalformedInput, Unauthorised
from oracle.records import Bytes32, Entry
from oracle.wire import require_fields

OWN_WRITER = "log"
"""The log's own name as a writer (anchors); nobody else may have it."""


@dataclass(frozen=True, slots=True)
class Access:
    """Names by digest of their token."""

    writers: Mapping[Bytes32, str]
    readers: Mapping[Bytes32, str]
    may: Mapping[str, frozenset[Scope]] = field(default_factory=dict)

    def writer(self, authorization: str | None) -> str:
        """The writer's name of an Authorization header. Raises Unauthorised."""
        return _find(self.writers, authorization, "a writer's bearer token")

    def require_scope(self, writer: str, entry: Entry) -> None:
        """Raises Forbidden for an entry about something that this writer does not write about."""
        allowed, wanted = self.may.get(writer), scopes_of(entry)
        if allowed is not None and wanted and not wanted & allowed:
            raise Forbidden(f"{entry.kind} by {writer}", "a writer of the scope " + " or ".join(sorted(wanted)), ", ".join(sorted(allowed)))

    def reader(self, authorization: str | None) -> str:
        """The reader's name of an Authorization header. Raises Unauthorised."""
        return _find(self.readers, authorization, "a reader's bearer token")


def _find(names: Mapping[Bytes32, str], authorization: str | None, expected: str) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthorised("authorization", expected, "none")
    digest = hash_token(token)
    found = [name for known, name in names.items() if hmac.compare_digest(known, digest)]
    if not found:
        raise Unauthorised("authorization", expected, "an unknown token")
    return found[0]


def new_token() -> str:
    """A fresh token for a token file."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> Bytes32:
    """The digest that stands for a token in the log's tokens file."""
    return keccak256(token.encode())


def write_tokens(
    path: Path, writers: Mapping[str, str], readers: Mapping[str, str], may: Mapping[str, Collection[Scope]] | None = None
) -> None:
    """Writes a new tokens file with the digests of these tokens, by name. Raises ConfigRejected where one is there."""
    sides = {"writers": writers, "readers": readers}
    document: dict[str, dict[str, Any]] = {
        side: {name: to_hex(hash_token(token)) for name, token in tokens.items()} for side, tokens in sides.items()
    }
    if may:
        document["may"] = {name: sorted(scopes) for name, scopes in may.items()}
    write_secret(path, "tokens file", json.dumps(document, indent=2) + "\n")


def load_access(path: Path) -> Access:
    """Raises ConfigRejected for a missing or malformed tokens file, or a token or name that stands for two."""
    try:
        document = require_fields(json.loads(path.read_text()), "tokens", {"writers", "readers"}, {"may"})
        writers = _read_side(document["writers"], "writers")
        return Access(writers, _read_side(document["readers"], "readers"), _read_may(document.get("may", {}), set(writers.values())))
    except OSError as error:
        raise ConfigRejected(f"tokens file {path}", "a readable file", error.strerror) from error
    except (ValueError, AttributeError, RecursionError, MalformedInput, EntryRejected) as error:
        raise ConfigRejected(f"tokens file {path}", '{"writers": {name: digest}, "readers": {name: digest}}', str(error)) from error


def _read_may(may: Mapping[str, object], writers: Collection[str]) -> dict[str, frozenset[Scope]]:
    for name, scopes in may.items():
        if name not in writers:
            raise MalformedInput(f"may.{name[:60]}", "the name of a writer", "another one")
        if not isinstance(scopes, list) or not scopes or not all(scope in set(Scope) for scope in scopes):
            raise MalformedInput(f"may.{name}", "a list of " + ", ".join(Scope), repr(scopes)[:60])
    return {name: frozenset(map(Scope, scopes)) for name, scopes in may.items() if isinstance(scopes, list)}


def _read_side(side: Mapping[str, object], what: str) -> dict[Bytes32, str]:
    names = {parse_bytes32(digest, f"{what}.{name}"): require_writer(name) for name, digest in side.items()}
    if len(names) != len(side):
        raise MalformedInput(what, "a token of its own for each name", "a repeated one")
    if OWN_WRITER in names.values():
        raise MalformedInput(what, "names of others than the log itself", OWN_WRITER)
    return names
