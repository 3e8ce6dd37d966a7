"""From cases to what people read of them: in whose name, in which state, and what the reader may do about it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from oracle.audit.seal import opening_to_json
from oracle.encoding import to_hex
from oracle.office.cases import Case, CaseState
from oracle.office.duties import Disclosed
from oracle.office.people import Right
from oracle.office.sessions import OIDC_PREFIX, Caller, Sessions
from oracle.office.wire import (
    DisclosureOut,
    ErasureOut,
    HoldOut,
    OpenedBody,
    OpenedField,
    OpenedOut,
    OverrideOut,
    ReviewOut,
    SampleOut,
    TakenOut,
)

_DECIDED = ("approved", "denied", "release_denied", "released")


class CaseViews:
    """Cases as one reader sees them."""

    def __init__(self, sessions: Sessions, caller: Caller, now: datetime) -> None:
        self._name_of = _cached(sessions.name_of)
        self._caller = caller
        self._now = now

    def name(self, actor: str) -> str:
        """A person of this office by the name they sign in with, at the issuer where only it knows them; anybody else by pseudonym."""
        person = self._name_of(actor)
        if person is None or not person.startswith(OIDC_PREFIX):
            return person or actor
        issuer, _, subject = person.removeprefix(OIDC_PREFIX).partition("#")  # whoever may choose a subject there takes no name from here
        return f"{subject} at {urlsplit(issuer).hostname}"

    # ---- by kind ---------------------------------------------------------------------------------------------------------------------
    def disclosure(self, case: Case) -> DisclosureOut:
        state = _disclosure_state(case, self._now)
        decided_by, decided_at = self._decision(case)
        is_mine = case.requester == self._caller.actor
        return DisclosureOut(
            **self._common(case),
            indices=case.details["indices"],
            reason=case.details["reason"],
            minutes=case.details["minutes"],
            state=state,
            decided_by=decided_by,
            requested_at=case.requested,
            decided_at=decided_at,
            expires_at=case.until,
            may_decide=state == "requested" and not is_mine and Right.APPROVE_DISCLOSURE in self._caller.rights,
            may_open=state == "approved" and is_mine,
        )

    def hold(self, case: Case) -> HoldOut:
        asked = case.actor_of("release_requested") if case.state is CaseState.RELEASE_REQUESTED else None
        scope = {name: value for name, value in case.details.items() if name != "reason" and value is not None}
        return HoldOut(
            **self._common(case),
            scope=_range_words(scope),
            reason=case.details["reason"],
            placed_at=case.requested,
            state="active" if case.state is CaseState.PLACED else "released" if case.state is CaseState.RELEASED else "release_requested",
            release_requested_by=None if asked is None else self.name(asked),
            may_approve=asked is not None and asked != self._caller.actor and Right.APPROVE_RELEASE in self._caller.rights,
        )

    def erasure(self, case: Case, entries_of: Callable[[Case], list[int]]) -> ErasureOut:
        decided_by, decided_at = self._decision(case)
        may = case.state is CaseState.REQUESTED and case.requester != self._caller.actor
        return ErasureOut(
            **self._common(case),
            scope={name: value for name, value in case.details.items() if name in ("indices", "subject")},
            reason=case.details["reason"],
            requested_at=case.requested,
            state=_erasure_state(case),
            problem=case.problem,
            decided_by=decided_by,
            decided_at=decided_at,
            erased=entries_of(case) if case.state is CaseState.DESTROYED else [],
            may_decide=may and Right.APPROVE_ERASURE in self._caller.rights,
        )

    def review(self, case: Case) -> ReviewOut:
        return ReviewOut(
            id=case.id,
            index=case.details["index"],
            outcome=case.details["outcome"],
            note=case.details["note"] or None,
            by=self.name(case.requester),
            time=case.requested,
            record=case.history[0].index,
        )

    def override(self, case: Case) -> OverrideOut:
        return OverrideOut(
            id=case.id,
            index=case.details["index"],
            action=case.details["action"],
            reason=case.details["reason"],
            by=self.name(case.requester),
            time=case.requested,
            record=case.history[0].index,
        )

    def sample(self, case: Case) -> SampleOut:
        names = ("seed", "population", "population_digest", "tree_size", "root", "size", "indices", "filter")
        return SampleOut(
            id=case.id,
            by=self.name(case.requester),
            time=case.requested,
            index=case.history[0].index,
            **{name: case.details[name] for name in names},
        )

    def _common(self, case: Case) -> dict[str, Any]:
        history = [TakenOut(step=t.name, by=self.name(t.actor), time=t.time, index=t.index) for t in case.history]
        return {"id": case.id, "by": self.name(case.requester), "is_pending": case.is_pending, "history": history}

    def _decision(self, case: Case) -> tuple[str | None, str | None]:
        found = next((taken for taken in reversed(case.history) if taken.name in _DECIDED), None)
        return (None, None) if found is None else (self.name(found.actor), found.time)


def _disclosure_state(case: Case, now: datetime) -> Any:
    """An approved one whose time is over reads as expired, also before its record is written."""
    if case.state is CaseState.APPROVED and case.until is not None and now >= datetime.fromisoformat(case.until):
        return "expired"
    return str(case.state)


def _erasure_state(case: Case) -> Literal["requested", "approved", "denied", "held", "done"]:
    if case.state is CaseState.REQUESTED:
        return "requested"
    if case.state is CaseState.DENIED:
        return "denied"
    if case.state is CaseState.DESTROYED:
        return "done"
    return "held" if case.problem is not None else "approved"


def _range_words(scope: dict[str, Any]) -> dict[str, Any]:
    """As it was asked for: one index, or from … to."""
    first, last = scope.pop("first_index", None), scope.pop("last_index", None)
    if first is not None and first == last:
        return {"index": first} | scope
    words = {"from": first, "to": last}
    return {name: value for name, value in words.items() if value is not None} | scope


def view_opened(disclosed: Disclosed) -> OpenedOut:
    """Each sealed field with what proves it, each body as text where it is text."""
    content = disclosed.content
    sealed = content.sealed
    fields = [] if sealed is None else [opening_to_json(sealed.open(name)) for name in sorted(sealed.values)]
    return OpenedOut(
        state=str(disclosed.state),  # type: ignore[arg-type]
        sealed=[OpenedField(**field) for field in fields],
        bodies=[OpenedBody(name=name, text=_text(data), hex=to_hex(data)) for name, data in sorted(content.bodies.items())],
    )


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _cached(ask: Callable[[str], str | None]) -> Callable[[str], str | None]:
    known: dict[str, str | None] = {}

    def answer(actor: str) -> str | None:
        if actor not in known:
            known[actor] = ask(actor)
        return known[actor]

    return answer
