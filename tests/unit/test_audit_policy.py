"""Witness policies: the words of c2sp.org/tlog-policy, every way of being malformed, and quorums beside a naive twin."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from oracle.audit.cosign import WitnessSigner
from oracle.audit.note import SignerKey, encode_base64
from oracle.audit.policy import MAX_LINES_OF_A_KIND, MAX_POLICY_BYTES, Policy, load_policy, parse_policy
from oracle.errors import ConfigRejected, PolicyRejected
from tests.twins.mutations import mutations

LOG = SignerKey("log.example/affidavit", bytes(range(32)))
WITNESSES = [WitnessSigner(f"w{i}.example", bytes([i]) * 32) for i in range(1, 9)]
VKEYS = [str(w.verifier) for w in WITNESSES]

EXAMPLE = f"""# The example of c2sp.org/tlog-policy, with keys.
log {LOG.verifier} https://log.example

witness X1 {VKEYS[0]}
witness X2 {VKEYS[1]} https://two.example/prefix
\twitness X3\t {VKEYS[2]}\x20
group X-witnesses 2 X1 X2 X3

witness Y1 {VKEYS[3]}
witness Y2 {VKEYS[4]}
witness Y3 {VKEYS[5]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def test_the_example_of_the_specification() -> None:
    policy = parse_policy(EXAMPLE.encode())
    assert [log.key for log in policy.logs] == [LOG.verifier]
    assert policy.logs[0].url == "https://log.example"
    assert [w.name for w in policy.witnesses] == ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
    assert [w.url for w in policy.witnesses][:2] == [None, "https://two.example/prefix"]
    assert policy.name_of(WITNESSES[1].verifier) == "X2"
    assert not policy.is_met([])
    assert not policy.is_met(["X1", "X2"])
    assert not policy.is_met(["X1", "Y1", "Y2", "Y3"])
    assert policy.is_met(["X1", "X3", "Y2"])
    assert policy.is_met(["X1", "X2", "X3", "Y1", "stranger"])


def test_a_group_cannot_be_claimed_by_its_name() -> None:
    policy = parse_policy(EXAMPLE.encode())
    assert not policy.is_met(["X-and-Y", "X-witnesses", "Y-witnesses"])


def test_no_witness_at_all() -> None:
    policy = parse_policy(b"quorum none\n")
    assert policy == Policy((), (), (), "none")
    assert policy.is_met([])


def test_one_witness() -> None:
    policy = parse_policy(f"witness only {VKEYS[0]}\nquorum only\n".encode())
    assert policy.is_met(["only"])
    assert not policy.is_met([])


def test_names_are_opaque_bytes() -> None:
    """ASCII K and the Kelvin sign are two names, and so is a byte that is no UTF-8."""
    lines = [f"witness K {VKEYS[0]}".encode(), f"witness \u212a {VKEYS[1]}".encode(), b"witness \xff " + VKEYS[2].encode()]
    policy = parse_policy(b"\n".join([*lines, b"group g all K \xe2\x84\xaa \xff", b"quorum g", b""]))
    assert len({w.name for w in policy.witnesses}) == 3
    assert policy.groups[0].threshold == 3


W = [f"witness {name} {vkey}" for name, vkey in zip("abcdefgh", VKEYS, strict=True)]
SAME_KEY = str(WitnessSigner("another.example", WITNESSES[0].seed).verifier)
MALFORMED = {
    "nothing": "",
    "no quorum": f"{W[0]}\n",
    "two quorums": f"{W[0]}\nquorum a\nquorum a\n",
    "quorum none twice": "quorum none\nquorum none\n",
    "quorum without name": "quorum\n",
    "quorum of two": f"{W[0]}\n{W[1]}\nquorum a b\n",
    "unknown quorum": f"{W[0]}\nquorum b\n",
    "quorum above": f"quorum a\n{W[0]}\n",
    "unknown word": f"{W[0]}\nquorum a\nwitnesses\n",
    "capital word": "Quorum none\n",
    "log without key": "log\nquorum none\n",
    "log with too much": f"log {LOG.verifier} https://x y\nquorum none\n",
    "log with a witness's key": f"log {VKEYS[0]}\nquorum none\n",
    "log twice": f"log {LOG.verifier}\nlog {LOG.verifier}\nquorum none\n",
    "log twice under two names": f"log {LOG.verifier}\nlog {SignerKey('b', LOG.seed).verifier}\nquorum none\n",
    "witness without key": "witness a\nquorum a\n",
    "witness with a log's key": f"witness a {LOG.verifier}\nquorum a\n",
    "witness with too much": f"{W[0]} https://x y\nquorum a\n",
    "witness key twice": f"{W[0]}\nwitness b {VKEYS[0]}\nquorum a\n",
    "witness key twice under two names": f"{W[0]}\nwitness b {SAME_KEY}\nquorum a\n",
    "witness name twice": f"{W[0]}\nwitness a {VKEYS[1]}\nquorum a\n",
    "witness called none": f"witness none {VKEYS[0]}\nquorum none\n",
    "group called none": f"{W[0]}\ngroup none any a\nquorum none\n",
    "group called as a witness": f"{W[0]}\n{W[1]}\ngroup a any b\nquorum a\n",
    "group without members": f"{W[0]}\ngroup g all\nquorum a\n",
    "group of none": f"{W[0]}\ngroup g any none\nquorum a\n",
    "group of itself": f"{W[0]}\ngroup g any g\nquorum a\n",
    "group of a later witness": f"group g any a\n{W[0]}\nquorum g\n",
    "member twice": f"{W[0]}\ngroup g any a a\nquorum g\n",
    "member of two groups": f"{W[0]}\n{W[1]}\ngroup g any a\ngroup h any a b\nquorum h\n",
    "threshold 0": f"{W[0]}\ngroup g 0 a\nquorum g\n",
    "threshold beyond": f"{W[0]}\ngroup g 2 a\nquorum g\n",
    "threshold 01": f"{W[0]}\ngroup g 01 a\nquorum g\n",
    "threshold +1": f"{W[0]}\ngroup g +1 a\nquorum g\n",
    "threshold -1": f"{W[0]}\ngroup g -1 a\nquorum g\n",
    "threshold in other digits": f"{W[0]}\ngroup g \u0661 a\nquorum g\n",
    "threshold All": f"{W[0]}\ngroup g All a\nquorum g\n",
    "carriage return": f"{W[0]}\r\nquorum a\n",
    "nul": f"{W[0]}\nquorum a\n\x00",
    "delete": f"{W[0]}\nquorum a\n# \x7f\n",
    "form feed": f"{W[0]}\nquorum\x0ca\n",
    "no last newline": f"{W[0]}\nquorum a",
    "no-break space between words": f"{W[0]}\nquorum\u00a0a\n",
    "too many groups": "".join(f"{line}\n" for line in W)
    + "".join(f"group g{i} any {'a' if i == 0 else f'g{i - 1}'}\n" for i in range(MAX_LINES_OF_A_KIND + 1))
    + "quorum a\n",
    "too long": "#" + "x" * MAX_POLICY_BYTES + "\nquorum none\n",
    "key of a kind that is not read": f"witness a w+00000000+{encode_base64(bytes([7]) + bytes(1312))}\nquorum a\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_policies(name: str) -> None:
    with pytest.raises(PolicyRejected) as caught:
        parse_policy(MALFORMED[name].encode())
    assert str(caught.value)


def test_the_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyRejected, match="line 3"):
        parse_policy(f"# one\n\nwitness a {VKEYS[0][:-2]}\nquorum a\n".encode())
    (tmp_path / "policy").write_text("quorum a\n")
    with pytest.raises(ConfigRejected, match=r"policy.*line 1"):
        load_policy(tmp_path / "policy")
    with pytest.raises(ConfigRejected, match="readable"):
        load_policy(tmp_path / "none")


# ---- by the thousand ------------------------------------------------------------------------------------------------------------------
def break_something(r: random.Random, lines: list[str]) -> list[str]:
    """One change of the sort that must be refused, at a random place."""
    at = r.randrange(len(lines))
    kind = r.randrange(10)
    if kind == 0:  # a name nobody defined
        return [*lines[:-1], f"quorum stranger-{r.random()}"]
    if kind == 1:
        return [*lines, lines[-1]]
    if kind == 2:
        return [*lines[:at], lines[at] + chr(r.choice([0, 1, 7, 11, 12, 13, 27, 31, 127])), *lines[at + 1 :]]
    if kind == 3:
        return [*lines[:at], r.choice(["witness", "log", "group", "quorum", "logs x", "include y"]), *lines[at:]]
    if kind == 4:  # a witness or log again
        again = r.choice([line for line in lines if line.startswith(("witness", "log"))])
        return [*lines[:-1], again, lines[-1]]
    if kind == 5:
        spoilt = r.choice([line for line in lines if line.startswith(("witness", "log"))])
        word = r.choice(range(len(spoilt) - 30, len(spoilt)))
        other = spoilt[:word] + r.choice("!*-_ ") + spoilt[word + 1 :]
        return [other if line == spoilt else line for line in lines]
    if kind == 6:
        group = r.choice([line for line in lines if line.startswith("group")]).split(" ")
        group[2] = r.choice(["0", "-1", str(len(group) - 2), "00", "1.0", "most", "99999"])
        return [" ".join(group) if line.split(" ")[:2] == group[:2] else line for line in lines]
    if kind == 7:
        group = r.choice([line for line in lines if line.startswith("group")]).split(" ")
        member = r.choice(group[3:])
        return [" ".join([*group, member]) if line.split(" ")[:2] == group[:2] else line for line in lines]
    if kind == 8:  # what is used now stands below
        return [lines[-1], *lines[:-1]]
    return [line for line in lines if not line.startswith("quorum")]


def random_policy(r: random.Random) -> list[str]:
    count = r.randint(1, 8)
    lines = [f"log {LOG.verifier}", *W[:count]]
    free = list("abcdefgh"[:count])
    for number in range(r.randint(1, 5)):
        members = r.sample(free, r.randint(1, len(free)))
        free = [name for name in free if name not in members] + [f"g{number}"]
        threshold = r.choice(["all", "any", str(r.randint(1, len(members)))])
        lines.append(f"group g{number} {threshold} {' '.join(members)}")
    return [*lines, f"quorum {r.choice(free)}"]


def test_two_thousand_broken_policies_are_refused() -> None:
    r = random.Random(5)
    for _ in range(2000):
        whole = random_policy(r)
        parse_policy("".join(line + "\n" for line in whole).encode())
        broken = break_something(r, whole)
        with pytest.raises(PolicyRejected) as caught:
            parse_policy("".join(line + "\n" for line in broken).encode())
        assert str(caught.value)


def test_damaged_bytes_end_in_a_policy_or_in_a_reason() -> None:
    """Comments, names and URLs are free text: not every change is wrong. Whatever is, is refused as a policy and in no other way."""
    refused = 0
    for _, data in mutations(EXAMPLE.encode(), 3000):
        try:
            policy = parse_policy(data)
        except PolicyRejected as error:
            refused += bool(str(error))
        else:
            assert policy.quorum == "none" or not policy.is_met([])
    assert refused > 2000


# ---- beside a naive twin -----------------------------------------------------------------------------------------------------------------
def naive(lines: list[str], name: str, cosigned: set[str]) -> bool:
    """The definition, word for word and top down."""
    for line in lines:
        words = line.split(" ")
        if words[:2] == ["witness", name]:
            return name in cosigned
        if words[:2] == ["group", name]:
            members = words[3:]
            k = {"all": len(members), "any": 1}.get(words[2]) or int(words[2])
            return sum(naive(lines, member, cosigned) for member in members) >= k
    raise AssertionError(name)


def test_every_subset_of_witnesses_beside_the_naive_twin() -> None:
    r = random.Random(6)
    for _ in range(150):
        lines = random_policy(r)
        policy = parse_policy("".join(line + "\n" for line in lines).encode())
        names = [w.name for w in policy.witnesses]
        for size in range(len(names) + 1):
            for subset in itertools.islice(itertools.combinations(names, size), 20):
                assert policy.is_met(subset) == naive(lines, policy.quorum, set(subset))


def test_more_cosignatures_never_unmeet_a_quorum() -> None:
    r = random.Random(7)
    for _ in range(300):
        policy = parse_policy("".join(line + "\n" for line in random_policy(r)).encode())
        names = [w.name for w in policy.witnesses]
        some = set(r.sample(names, r.randint(0, len(names))))
        if policy.is_met(some):
            assert policy.is_met(some | set(r.sample(names, r.randint(0, len(names)))))
