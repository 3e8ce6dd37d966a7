"""Sessions of browsers, and the pseudonyms under which people stand in the log.

A session is 32 random bytes in a cookie; the database knows their digest only. It ends after IDLE_SECONDS without a request, after
LIFETIME_SECONDS in any case, and as soon as the people file no longer has the person or the token it was opened with; the roles are the
file's of the moment. A request that changes something must carry the session's CSRF value in a header as well: a page of another origin can
send the cookie, and cannot read the value.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from oracle.audit.access import hash_token
from oracle.errors import StoreError, Unauthorised
from oracle.office.people import PeopleFile, Person, Right, Role, rights_of
from oracle.office.schema import ACTORS, SESSIONS
from oracle.records import Bytes32
from oracle.seams import Clock
from oracle.store import reading

IDLE_SECONDS = 30 * 60
LIFETIME_SECONDS = 12 * 3600
_TOUCH_SECONDS = 30
"""`last_seen` is written at most this often: reading a page is no reason to write to the disk."""

OIDC_PREFIX = "oidc:"
"""Before the identity of somebody whom only the issuer knows. No name of the people file can begin like it."""

Via = Literal["token", "oidc"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who has shown who they are. `person` is a name of the people file, or "oidc:<issuer>#<sub>"."""

    person: str
    name: str  # for the person's own eyes
    roles: frozenset[Role]
    via: Via
    token_digest: Bytes32 | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request. `actor` is the pseudonym that records have; `csrf` is None where no cookie was used."""

    identity: Identity
    actor: str
    csrf: str | None = None

    @property
    def rights(self) -> frozenset[Right]:
        return rights_of(self.identity.roles)


@contextmanager
def world(what: str) -> Iterator[None]:
    """Database failures as StoreError."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StoreError(f"cannot {what}") from error


def csrf_of(cookie: str) -> str:
    """The value that goes with a session: computed from the cookie, so that nothing of it is stored."""
    return hmac.new(cookie.encode(), b"affidavit csrf", hashlib.sha256).hexdigest()


class Sessions:
    """Raises StoreError when the database fails."""

    def __init__(self, engine: Engine, people: PeopleFile, clock: Clock) -> None:
        self._engine = engine
        self._people = people
        self._clock = clock

    # ---- showing who one is --------------------------------------------------------------------------------------------------------
    def identify(self, token: str) -> Identity:
        """The person of a token. Raises Unauthorised for an unknown, expired or revoked one."""
        person = self._people.current().of_token(token, self._clock.now())
        if person is None:
            raise Unauthorised("token", "one of a person of this office", "an unknown, expired or revoked one")
        return identity_of(person, "token")

    def open(self, identity: Identity) -> str:
        """A new session's cookie value."""
        cookie, now = secrets.token_urlsafe(32), int(self._clock.now().timestamp())
        row = {
            "digest": hash_token(cookie),
            "person": identity.person,
            "name": identity.name[:300],
            "via": identity.via,
            "token_digest": identity.token_digest,
            "roles": json.dumps(sorted(identity.roles)),
            "last_seen": now,
            "expires": now + LIFETIME_SECONDS,
        }
        with world("open a session"), self._engine.begin() as connection:
            connection.execute(delete(SESSIONS).where((SESSIONS.c.expires <= now) | (SESSIONS.c.last_seen <= now - IDLE_SECONDS)))
            connection.execute(insert(SESSIONS), row)
        return cookie

    def close(self, cookie: str) -> None:
        with world("close a session"), self._engine.begin() as connection:
            connection.execute(delete(SESSIONS).where(SESSIONS.c.digest == hash_token(cookie)))

    # ---- at every request ----------------------------------------------------------------------------------------------------------
    def caller_of_token(self, token: str) -> Caller:
        """Raises Unauthorised."""
        identity = self.identify(token)
        return Caller(identity, self.actor_of(identity.person))

    def caller_of_cookie(self, cookie: str) -> Caller:
        """Raises Unauthorised for a session that is unknown or over."""
        digest, now = hash_token(cookie), int(self._clock.now().timestamp())
        with world("read sessions"), reading(self._engine) as connection:
            row = connection.execute(select(SESSIONS).where(SESSIONS.c.digest == digest)).one_or_none()
        if row is None or now >= row.expires or now >= row.last_seen + IDLE_SECONDS:
            raise Unauthorised("session", "one that is open", "an unknown or ended one")
        identity = self._renew(Identity(row.person, row.name, _read_roles(row.roles), row.via, row.token_digest))
        if now >= row.last_seen + _TOUCH_SECONDS:
            with world("keep a session"), self._engine.begin() as connection:
                connection.execute(update(SESSIONS).where(SESSIONS.c.digest == digest).values(last_seen=now))
        return Caller(identity, self.actor_of(identity.person), csrf_of(cookie))

    def _renew(self, seen: Identity) -> Identity:
        """What the people file says now: it may have changed since the session was opened."""
        people = self._people.current()
        person = people.by_name.get(seen.person)
        if person is None:
            if seen.person.startswith(OIDC_PREFIX) and people.of_subject(seen.person.partition("#")[2]) is None:
                return seen  # not of the file: the issuer's word holds for the session's lifetime
            raise Unauthorised("session", "of a person of this office", "of somebody who is no longer one")
        if seen.via == "token" and (person.token != seen.token_digest or not person.is_current(self._clock.now())):
            raise Unauthorised("session", "opened with a token that still holds", "an expired, revoked or replaced one")
        if not person.roles:
            raise Unauthorised("session", "of a person with a role", "of one who was revoked")
        return identity_of(person, seen.via)

    def actor_of(self, person: str) -> str:
        """The person's pseudonym: made at the first need, the same ever after."""
        query = select(ACTORS.c.actor).where(ACTORS.c.person == person)
        with world("read pseudonyms"):
            with reading(self._engine) as connection:
                known = connection.execute(query).scalar_one_or_none()
            if known is not None:
                return str(known)
            if (linked := self._linked_actor(person)) is not None:
                return linked
            try:
                with self._engine.begin() as connection:
                    connection.execute(insert(ACTORS), {"person": person, "actor": "person-" + secrets.token_hex(16)})
            except IntegrityError:  # another request of the same person came first; whose is taken is read below
                pass
            with reading(self._engine) as connection:
                return str(connection.execute(query).scalar_one())

    def _linked_actor(self, person: str) -> str | None:
        """The pseudonym of who came from the issuer before the people file had them: they stay one person, also between two steps."""
        found = self._people.current().by_name.get(person)
        if found is None or found.subject is None:
            return None
        same = ACTORS.c.person.startswith(OIDC_PREFIX, autoescape=True) & ACTORS.c.person.endswith(f"#{found.subject}", autoescape=True)
        with reading(self._engine) as connection:
            rows = connection.execute(select(ACTORS.c.person, ACTORS.c.actor).where(same)).all()
        return next((str(actor) for identity, actor in rows if identity.partition("#")[2] == found.subject), None)

    def name_of(self, actor: str) -> str | None:
        """Who is behind a pseudonym of this office."""
        with world("read pseudonyms"), reading(self._engine) as connection:
            found: str | None = connection.execute(select(ACTORS.c.person).where(ACTORS.c.actor == actor)).scalar_one_or_none()
        return found


def identity_of(person: Person, via: Via) -> Identity:
    """Somebody of the people file."""
    return Identity(person.name, person.name, person.roles, via, person.token if via == "token" else None)


def _read_roles(text: str) -> frozenset[Role]:
    return frozenset(Role(role) for role in json.loads(text))
