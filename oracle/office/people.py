"""Who may come into the office, and what each role may do: the one table of rights, and the file of people.

    {"ada": {"roles": ["auditor"], "token": "0x<keccak-256 of the token>", "expires": "2027-01-01T00:00:00.000000Z", "subject": "…"}}

A token is 32 random bytes in base64url, known here by its digest only, as in `oracle.audit.access`. `token`, `expires` and `subject` may
be null or left out: a revoked person keeps the name, which no other may ever get. `subject` is the person's `sub` at the OpenID Connect
issuer, so that a token and a sign-in there are one person, and cannot be the two of "approved by another person".
"""

from __future__ import annotations

import fcntl
import hmac
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from oracle.audit.access import hash_token, new_token
from oracle.audit.record import require_writer
from oracle.config import SECRET_MODE
from oracle.encoding import parse_bytes32, to_hex
from oracle.errors import ConfigRejected, EntryRejected, MalformedInput
from oracle.records import Bytes32
from oracle.seams import format_time
from oracle.wire import require_fields

MAX_SUBJECT = 255
"""OpenID Connect Core 1.0, section 2: `sub` has at most 255 ASCII characters."""


class Role(StrEnum):
    OPERATOR = "operator"
    AUDITOR = "auditor"
    DPO = "dpo"
    """Data protection officer."""
    CUSTODIAN = "custodian"
    """Key custodian: holds the custody key's password; the second person of every erasure."""
    AUTHORITY = "authority"
    """A supervisory or market surveillance authority."""


class Right(StrEnum):
    READ_RECORDS = "read_records"
    SEE_OPERATIONS = "see_operations"
    SEE_REVIEWS = "see_reviews"
    REVIEW = "review"
    OVERRIDE = "override"
    SEE_DISCLOSURES = "see_disclosures"
    REQUEST_DISCLOSURE = "request_disclosure"
    APPROVE_DISCLOSURE = "approve_disclosure"
    SEE_HOLDS = "see_holds"
    PLACE_HOLD = "place_hold"
    APPROVE_RELEASE = "approve_release"
    SEE_ERASURES = "see_erasures"
    REQUEST_ERASURE = "request_erasure"
    APPROVE_ERASURE = "approve_erasure"
    SEE_READERS = "see_readers"
    EXPORT = "export"


_OPERATOR, _AUDITOR, _DPO, _CUSTODIAN, _AUTHORITY = Role

RIGHTS: Mapping[Right, frozenset[Role]] = {
    Right.READ_RECORDS: frozenset(Role),
    Right.SEE_OPERATIONS: frozenset({_OPERATOR, _AUDITOR}),
    Right.SEE_REVIEWS: frozenset({_OPERATOR, _AUDITOR, _DPO, _AUTHORITY}),
    Right.REVIEW: frozenset({_AUDITOR}),
    Right.OVERRIDE: frozenset({_OPERATOR}),
    Right.SEE_DISCLOSURES: frozenset({_AUDITOR, _DPO, _AUTHORITY}),
    Right.REQUEST_DISCLOSURE: frozenset({_AUDITOR, _DPO, _AUTHORITY}),
    Right.APPROVE_DISCLOSURE: frozenset({_DPO}),
    Right.SEE_HOLDS: frozenset({_AUDITOR, _DPO, _CUSTODIAN, _AUTHORITY}),
    Right.PLACE_HOLD: frozenset({_DPO, _AUTHORITY}),
    Right.APPROVE_RELEASE: frozenset({_DPO, _CUSTODIAN}),
    Right.SEE_ERASURES: frozenset({_AUDITOR, _DPO, _CUSTODIAN, _AUTHORITY}),
    Right.REQUEST_ERASURE: frozenset({_DPO}),
    Right.APPROVE_ERASURE: frozenset({_CUSTODIAN}),
    Right.SEE_READERS: frozenset({_AUDITOR, _DPO, _AUTHORITY}),
    Right.EXPORT: frozenset({_AUDITOR, _DPO, _AUTHORITY}),
}
"""The one table. Routes name a right, never a role."""


def rights_of(roles: Iterable[Role]) -> frozenset[Right]:
    """What somebody with these roles may do."""
    held = set(roles)
    return frozenset(right for right, allowed in RIGHTS.items() if allowed & held)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the people file."""

    name: str
    roles: frozenset[Role]
    token: Bytes32 | None = None
    expires: datetime | None = None
    subject: str | None = None

    def is_current(self, now: datetime) -> bool:
        """Whether the token opens anything now."""
        return self.token is not None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class People:
    """The file's content."""

    by_name: Mapping[str, Person]

    def of_token(self, token: str, now: datetime) -> Person | None:
        """The person whose token this is, None for an unknown, revoked or expired one."""
        digest = hash_token(token)
        found = [p for p in self.by_name.values() if p.token is not None and hmac.compare_digest(p.token, digest)]
        return found[0] if found and found[0].is_current(now) else None

    def of_subject(self, subject: str) -> Person | None:
        """The person who has this `sub` at the OpenID Connect issuer."""
        return next((p for p in self.by_name.values() if p.subject == subject), None)


class PeopleFile:
    """The file, read again whenever it changed, so that a revoked token opens nothing from the next request on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._people = People({})

    def current(self) -> People:
        """Raises ConfigRejected for a missing or malformed file."""
        try:
            stat = self._path.stat()
        except OSError as error:
            raise ConfigRejected(f"people file {self._path}", "a readable file", error.strerror) from error
        seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if seen != self._seen:
            self._people, self._seen = load_people(self._path), seen
        return self._people


def load_people(path: Path) -> People:
    """Raises ConfigRejected for a missing or malformed file, and for a token or subject that stands for two."""
    try:
        document = json.loads(path.read_text())
        if not isinstance(document, Mapping):
            raise MalformedInput("people", "a JSON object", type(document).__name__)
        people = [_read_person(name, value) for name, value in document.items()]
    except OSError as error:
        raise ConfigRejected(f"people file {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError, MalformedInput, EntryRejected) as error:
        raise ConfigRejected(f"people file {path}", "{name: {roles, token, expires, subject}}", str(error)) from error
    for what, values in (("token", [p.token for p in people]), ("subject", [p.subject for p in people])):
        given = [v for v in values if v is not None]
        if len(set(given)) != len(given):
            raise ConfigRejected(f"people file {path}", f"a {what} of its own for each person", "a repeated one")
    return People({person.name: person for person in people})


def _read_person(name: str, value: object) -> Person:
    fields = require_fields(value, f"people.{name}", {"roles"}, {"token", "expires", "subject"})
    token, expires, subject = (fields.get(key) for key in ("token", "expires", "subject"))
    if subject is not None and (not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT):
        raise MalformedInput(f"people.{name}.subject", f"1 to {MAX_SUBJECT} characters", repr(subject)[:40])
    return Person(
        name=require_writer(name),
        roles=read_roles(fields["roles"], f"people.{name}.roles"),
        token=None if token is None else parse_bytes32(token, f"people.{name}.token"),
        expires=None if expires is None else _read_time(expires, f"people.{name}.expires"),
        subject=subject,
    )


def read_roles(value: object, what: str) -> frozenset[Role]:
    """Raises MalformedInput for anything but a list of role names."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item in set(Role) for item in value):
        raise MalformedInput(what, "a list of " + ", ".join(Role), repr(value)[:60])
    return frozenset(Role(item) for item in value)


def _read_time(value: object, what: str) -> datetime:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise MalformedInput(what, "RFC 3339", repr(value)[:40]) from error
    if moment.tzinfo is None:
        raise MalformedInput(what, "RFC 3339 with a time zone", repr(value)[:40])
    return moment.astimezone(UTC)


# ---- changing the file ---------------------------------------------------------------------------------------------------------------
def add_person(
    path: Path, name: str, roles: Iterable[Role], expires: datetime | None = None, subject: str | None = None, has_token: bool = True
) -> str | None:
    """Writes a new person; returns the fresh token, shown once. Raises ConfigRejected where the name was ever given."""
    with _changing(path):
        people = dict(load_people(path).by_name) if path.exists() else {}
        if name in people:
            raise ConfigRejected("person", "a name that was never given here", name)
        token = new_token() if has_token else None
        digest = None if token is None else hash_token(token)
        people[name] = Person(require_writer(name), frozenset(roles), digest, expires, subject)
        _write_people(path, people)
    return token


def revoke_person(path: Path, name: str) -> None:
    """The person may do nothing any more; the name stays taken. Raises ConfigRejected for an unknown name."""
    with _changing(path):
        people = dict(load_people(path).by_name)
        if name not in people:
            raise ConfigRejected("person", "one of the people file", name)
        people[name] = replace(people[name], roles=frozenset(), token=None)
        _write_people(path, people)


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """One change at a time, or two people who are added at once would be one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_people(path: Path, people: Mapping[str, Person]) -> None:
    """Whole and durable, or not at all: a half-written file would lock everybody out."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), SECRET_MODE)
        json.dump({person.name: _person_to_json(person) for person in people.values()}, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    load_people(Path(name))  # what could not be read back is not put in place
    Path(name).replace(path)


def _person_to_json(person: Person) -> dict[str, Any]:
    return {
        "roles": sorted(person.roles),
        "token": None if person.token is None else to_hex(person.token),
        "expires": None if person.expires is None else format_time(person.expires),
        "subject": person.subject,
    }
