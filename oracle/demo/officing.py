"""The office's part of the demo: content is shown by four eyes, kept by a hold, and erased, and the proofs stay."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from oracle.config import read_secret
from oracle.demo.network import Network
from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.errors import ErasureHeld, Forbidden, PeerError
from oracle.office.client import OfficeClient
from oracle.office.people import Role
from oracle.records import Bytes32

WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Colleagues:
    """One person for each role, at work over HTTP."""

    auditor: OfficeClient
    dpo: OfficeClient
    custodian: OfficeClient
    authority: OfficeClient


def open_offices(network: Network) -> Colleagues:
    roles = (Role.AUDITOR, Role.DPO, Role.CUSTODIAN, Role.AUTHORITY)
    return Colleagues(*(OfficeClient(network.api_url, read_secret(network.person_token_file(role))) for role in roles))


def find_records(people: Colleagues, request_id: Bytes32, at_least: int) -> list[dict[str, Any]]:
    """A call's records, oldest first, as the office finds them. Raises PeerError where its index does not have them in time."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found: list[dict[str, Any]] = people.auditor.get("/records", hash=to_hex(request_id), limit=200)["items"]
        if len(found) >= at_least:
            return sorted(found, key=lambda item: item["index"])
        if time.monotonic() > deadline:
            raise PeerError(f"the office's index has {len(found)} records of a call that has {at_least}")
        time.sleep(0.2)


def disclose(people: Colleagues, index: int, input_digest: Bytes32) -> Iterator[str]:
    """What happens, line by line, while the input of a call is shown to an auditor. Raises PeerError where something else does."""
    case = people.auditor.post("/disclosures", {"indices": [index], "reason": "a complaint about this answer", "minutes": 10})
    yield f"the auditor asks to be shown the content of entry {index}"
    try:
        people.auditor.post(f"/disclosures/{case['id']}/approve")
    except Forbidden as refused:
        yield f"the auditor's own approval is refused: {refused}"
    else:
        raise PeerError("the office let somebody approve an own request")
    people.dpo.post(f"/disclosures/{case['id']}/approve")
    opened = people.auditor.get(f"/disclosures/{case['id']}/records/{index}")
    data = next((parse_hex(body["hex"], "body") for body in opened["bodies"] if body["name"] == "audit.input_digest"), b"")
    if keccak256(data) != input_digest:
        raise PeerError("the office showed another input than the one of the call")
    yield f"the data protection officer approves, and {len(data)} bytes are shown: the input that was asked about"
    yield f"the log of readers has it: {_newest_reading(people, index)}"


def _newest_reading(people: Colleagues, index: int) -> str:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        for item in people.auditor.get("/readers", limit=50)["items"]:
            if item["reader"] == "auditor" and item["action"] == "read" and item["indices"] == [index]:
                return f"{item['reader']} read entry {index}, record {item['index']}"
        if time.monotonic() > deadline:
            raise PeerError("the log of readers does not tell of a read")
        time.sleep(0.2)


def hold_and_erase(people: Colleagues, request_id: Bytes32, indices: list[int]) -> Iterator[str]:
    """An erasure that waits for a hold, line by line."""
    hold = people.authority.post("/holds", {"scope": {"call_id": to_hex(request_id)}, "reason": "an inquiry"})
    erasure = people.dpo.post("/erasures", {"scope": {"indices": indices}, "reason": "asked to be forgotten"})
    yield "an authority places a hold on the call; the data protection officer asks to erase its content"
    try:
        people.custodian.post(f"/erasures/{erasure['id']}/approve")
    except ErasureHeld as refused:
        yield f"the key custodian's approval is refused: {refused}"
    else:
        raise PeerError("the office erased what a hold keeps")
    people.authority.post(f"/holds/{hold['id']}/release")
    people.custodian.post(f"/holds/{hold['id']}/approve")
    done = people.custodian.post(f"/erasures/{erasure['id']}/approve")
    states = {people.dpo.get(f"/records/{index}")["content"]["state"] for index in indices}
    if done["state"] != "done" or "present" in states:
        raise PeerError(f"the office did not erase: {done['state']}, content {sorted(states)}")
    yield f"the hold is released by two people, and the keys of {len(done['erased'])} records are destroyed"
