"""Sealed fields: what opens, what does not, and what the seal gives away."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.audit.seal import (
    PLACES,
    Opening,
    Sealed,
    compute_field_leaf,
    opening_from_json,
    opening_to_json,
    sealed_from_json,
    sealed_to_json,
    verify_opening,
)
from oracle.encoding import canonical_field, canonical_json
from oracle.errors import EntryRejected, MalformedInput, ProofRejected, TooLarge
from oracle.records import Bytes32

FIELDS: dict[str, Any] = {"audit.user": "somebody", "audit.age": 41, "audit.is_member": True, "audit.list": ["a", "b"]}
VALUES = st.one_of(st.text(max_size=40), st.integers(-(2**53) + 1, 2**53 - 1), st.booleans(), st.lists(st.text(max_size=9), max_size=4))
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}(\.[a-z0-9_]{1,9}){1,3}", fullmatch=True)


@given(st.dictionaries(NAMES, VALUES, max_size=PLACES))
def test_every_field_opens_alone(fields: dict[str, Any]) -> None:
    sealed = Sealed.of(fields)
    assert len(sealed.leaves) == PLACES
    for name, value in fields.items():
        opening = opening_from_json(json.loads(json.dumps(opening_to_json(sealed.open(name)))))
        assert (opening.name, opening.value) == (name, value)
        verify_opening(opening, sealed.root)
    assert sealed_from_json(json.loads(json.dumps(sealed_to_json(sealed)))) == sealed


@given(NAMES, VALUES)
def test_a_field_is_encoded_as_rfc_8785_says(name: str, value: Any) -> None:
    assert canonical_field(name, value) == canonical_json([name, value])


def altered(opening: Opening) -> dict[str, Opening]:
    """One lie each."""
    flipped = Bytes32(bytes([opening.path[2][0] ^ 1]) + opening.path[2][1:])
    return {
        "another value": replace(opening, value="somebody else"),
        "a value of another type": replace(opening, value=["somebody"]),
        "another name": replace(opening, name="audit.caller"),
        "a piece of the value in the name": replace(opening, name='audit.user","some', value="body"),
        "another salt": replace(opening, salt=bytes(16)),
        "the next place": replace(opening, index=(opening.index + 1) % PLACES),
        "a changed hash": replace(opening, path=(*opening.path[:2], flipped, opening.path[3])),
        "a shorter path": replace(opening, path=opening.path[:3]),
        "a longer path": replace(opening, path=(*opening.path, opening.path[0])),
        "no path": replace(opening, path=()),
    }


@pytest.mark.parametrize("lie", altered(Sealed.of(FIELDS).open("audit.user")))
def test_a_false_opening_is_refused(lie: str) -> None:
    sealed = Sealed.of(FIELDS)
    with pytest.raises(ProofRejected):
        verify_opening(altered(sealed.open("audit.user"))[lie], sealed.root)


def test_an_opening_of_another_record_is_refused() -> None:
    """The same fields sealed twice have nothing in common."""
    one, other = Sealed.of(FIELDS), Sealed.of(FIELDS)
    assert not set(one.leaves) & set(other.leaves)
    with pytest.raises(ProofRejected):
        verify_opening(one.open("audit.user"), other.root)


def test_a_thousand_changed_bytes_of_an_opening() -> None:
    sealed, rng = Sealed.of(FIELDS), random.Random(8)
    honest = opening_to_json(sealed.open("audit.user"))
    data = json.dumps(honest).encode()
    refused = 0
    for _ in range(2000):
        at = rng.randrange(len(data))
        changed = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        try:
            value = json.loads(changed)
        except ValueError:
            continue
        try:
            verify_opening(opening_from_json(value), sealed.root)
        except (MalformedInput, ProofRejected):
            refused += 1
        else:  # upper-case hex digits are the same bytes
            assert opening_from_json(value) == opening_from_json(honest)
    assert refused > 1000


def test_order_and_number_of_leaves_tell_nothing() -> None:
    """Where a field's leaf stands is as random as its salt."""
    for count in (1, 7, PLACES):
        assert len(Sealed.of({f"a.b{i}": i for i in range(count)}).leaves) == PLACES
    places = {Sealed.of(FIELDS).open("audit.user").index for _ in range(300)}
    assert len(places) == PLACES


def test_a_guess_needs_the_salt() -> None:
    sealed = Sealed.of({"audit.user": "yes"})
    assert compute_field_leaf("audit.user", "yes", bytes(16)) not in sealed.leaves
    assert len({field.salt for field in Sealed.of(FIELDS).fields}) == len(FIELDS)


def test_what_cannot_be_sealed() -> None:
    with pytest.raises(TooLarge):
        Sealed.of({f"a.b{i}": i for i in range(PLACES + 1)})
    with pytest.raises(EntryRejected, match="one of this record"):
        Sealed.of(FIELDS).open("audit.none")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("decoys"),
        lambda d: d.update(more=1),
        lambda d: d["decoys"].pop(),
        lambda d: d["decoys"].append("0x" + "00" * 32),
        lambda d: d["fields"].append(dict(d["fields"][0])) or d["decoys"].pop(),
        lambda d: d["fields"][0].update(salt="0x00"),
        lambda d: d["fields"][0].update(name=7),
        lambda d: d["fields"][0].update(value=None),
        lambda d: d["fields"][0].update(value={"a": 1}),
        lambda d: d["fields"][0].update(value=1.5),
        lambda d: d.update(fields="x"),
    ],
)
def test_malformed_sealed_fields(change: Any) -> None:
    document = sealed_to_json(Sealed.of(FIELDS))
    change(document)
    with pytest.raises(MalformedInput):
        sealed_from_json(document)
