"""A policy in plain words: what must go wrong for a wrong answer to pass, when the callback runs, who can object, and what it costs.

Words follow docs/trust.md; the gas is from `oracle.pipeline.costing`. With a deployment at hand the words
hold its own numbers: how many operators there are, and what the cheapest quorum of them would lose.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from oracle.encoding import pack_policy, parse_bytes32, to_hex, unpack_policy
from oracle.errors import PolicyRejected
from oracle.limits import MAX_WINDOW_SECONDS, ZERO_ADDRESS
from oracle.pipeline.costing import GasRow, compute_gas_rows
from oracle.records import Address, Policy
from oracle.relay.contracts import Contracts
from oracle.relay.disputes import Disputes
from oracle.relay.disputes import Terms as DisputeTerms
from oracle.relay.fees import compute_fees
from oracle.relay.paying import asset_of

EVIDENCE_KINDS = {"quorum": 1, "proof": 2, "enclave": 3}
"""libraries/Types.sol, EvidenceKind."""

MIN_COMMITTEE = 3
"""Disputes.sol."""

_WINDOW = re.compile(r"(\d{1,10})([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Standing:
    """What a deployment has now, as its contracts tell it. `stakes_wei`: of the active operators, smallest first."""

    chain_id: int
    block_number: int
    stakes_wei: tuple[int, ...]
    minimum_stake_wei: int
    unbonding_seconds: int
    admitter: Address | None  # None: anyone may register
    served: frozenset[str]  # kinds of evidence that some verifier of the router takes
    gas_price_wei: int  # base fee of the next block and the usual tip
    disputes: DisputeTerms | None = None  # None: a deployment without them
    asset: Address | None = None  # the token that stakes and fees are in; None: ether


@dataclass(frozen=True, slots=True)
class Demand:
    """One kind of evidence a policy demands, and what must happen for it to be there for a wrong answer."""

    kind: str
    wrong_if: str


@dataclass(frozen=True, slots=True)
class Explanation:
    policy: Policy
    demands: tuple[Demand, ...]
    together: str
    callback: str
    challenge: str
    unanswered: str
    problems: tuple[str, ...]  # why the deployment would not serve this policy now
    gas: tuple[GasRow, ...]

    def to_json(self) -> dict[str, Any]:
        fields = asdict(self) | {"word": to_hex(pack_policy(self.policy))}
        fields["gas"] = [row | {"wei": None if row["wei"] is None else str(row["wei"])} for row in fields["gas"]]
        return fields


# ---- reading a policy ----------------------------------------------------------------------------------------------------------------
def parse_policy(text: str) -> Policy:
    """A policy from its 32-byte word, or from words: "quorum 2", "proof", "quorum=2 window=10m disputable", "proof and quorum 3".

    Windows take s, m, h or d. Raises PolicyRejected or MalformedInput.
    """
    is_word = text.startswith("0x")
    policy = unpack_policy(parse_bytes32(text, "policy word")) if is_word else _parse_words(text)
    if policy.window_seconds > MAX_WINDOW_SECONDS:
        raise PolicyRejected("policy window", f"at most {MAX_WINDOW_SECONDS} seconds", policy.window_seconds)
    return unpack_policy(pack_policy(policy))


def _parse_words(text: str) -> Policy:
    words = [word for word in re.split(r"[\s,+=]+|\band\b", text.lower()) if word]
    found: dict[str, Any] = {}
    at = 0
    while at < len(words):
        name = words[at]
        taken = _FLAGS.get(name)
        value, at = (True, at + 1) if taken else (words[at + 1] if at + 1 < len(words) else "", at + 2)
        field, read = (taken, bool) if taken else _VALUES.get(name, ("", None))
        if read is None:
            expected = "a 32-byte word (0x…) or words such as quorum 2, proof, window 10m"
            raise PolicyRejected("policy", expected, name[:40])
        if field in found:
            raise PolicyRejected("policy", f"{name} once", "twice")
        found[field] = read(value)
    return Policy(**found)


def _count(text: object) -> int:
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,3}", text):
        raise PolicyRejected("policy quorum", "a number of operators, 1 to 255", str(text)[:20] or "nothing")
    return int(text)


def _seconds(text: object) -> int:
    match = _WINDOW.fullmatch(str(text))
    if not match:
        raise PolicyRejected("policy window", "seconds, or a number with s, m, h or d", str(text)[:20] or "nothing")
    return int(match[1]) * _SECONDS[match[2]]


_FLAGS = {"proof": "proof", "enclave": "enclave", "simulated": "simulated", "disputable": "disputable"}
_VALUES: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "quorum": ("quorum", _count),
    "window": ("window_seconds", _seconds),
    "window-seconds": ("window_seconds", _seconds),
}


# ---- what a deployment has -------------------------------------------------------------------------------------------------------------
def read_standing(contracts: Contracts) -> Standing:
    """Raises ChainError where the endpoint does not answer."""
    at, history = contracts.deployment, contracts.fee_history()
    operators = contracts.operators()
    admitter = Address(contracts.view_at("OperatorRegistry", at.operator_registry, "ADMITTER"))
    head = contracts.block("latest")
    return Standing(
        chain_id=at.chain_id,
        block_number=0 if head is None else head.number,
        stakes_wei=tuple(sorted(o.stake_wei for o in operators if o.is_active)),
        minimum_stake_wei=int(contracts.view_at("OperatorRegistry", at.operator_registry, "MIN_STAKE_WEI")),
        unbonding_seconds=int(contracts.view_at("OperatorRegistry", at.operator_registry, "UNBONDING_SECONDS")),
        admitter=None if admitter == ZERO_ADDRESS else admitter,
        served=frozenset(n for n, number in EVIDENCE_KINDS.items() if _is_served(contracts, number)),
        gas_price_wei=history.next_base_fee_wei + compute_fees(history).priority_fee_wei,
        disputes=found.terms if (found := Disputes(contracts)).is_there else None,
        asset=asset_of(contracts),
    )


def _is_served(contracts: Contracts, kind: int) -> bool:
    return bool(contracts.view_at("VerifierRouter", contracts.deployment.verifier_router, "isServed", kind))


# ---- explaining ------------------------------------------------------------------------------------------------------------------------
def explain(policy: Policy, standing: Standing | None = None) -> Explanation:
    """Everything there is to say about a policy; with `standing`, about it at that deployment."""
    demands = tuple(_demands(policy, standing))
    return Explanation(
        policy=policy,
        demands=demands,
        together=_together(policy, demands, standing),
        callback=_callback(policy),
        challenge=_challenge(policy, standing),
        unanswered=_unanswered(policy),
        problems=tuple(_problems(policy, standing)) if standing else (),
        gas=tuple(compute_gas_rows(policy, standing.gas_price_wei if standing else None)),
    )


_PROOF_WORDS = (
    "The proof system itself fails: its mathematics (discrete logarithms in BLS12-381, Keccak-256), the Ethereum ceremony (every "
    "one of its participants kept and pooled their secret), or the verifier's code. No operator can bring a wrong answer through, "
    "and no number of them together. What is proven is what the registered weights give; whether the model is any good is not."
)
_ENCLAVE_WORDS = (
    "Whoever runs an enclave that an active operator registered takes its key out of it (physical access has been enough on "
    "every platform so far), its image computes something else, or a quorum of operators attested to, or approved for direct "
    "registration, what it should not have."
)
_SIMULATED_WORDS = (
    "An active operator whose simulated enclave was registered says so: this policy takes a simulated enclave, which proves nothing "
    "about what ran. It is for development."
)


def _demands(policy: Policy, standing: Standing | None) -> list[Demand]:
    found = [Demand("quorum", _quorum_words(policy.quorum, standing))] if policy.quorum else []
    if policy.proof:
        found.append(Demand("proof", _PROOF_WORDS))
    if policy.enclave:
        found.append(Demand("enclave", _SIMULATED_WORDS if policy.simulated else _ENCLAVE_WORDS))
    return found


def _quorum_words(k: int, standing: Standing | None) -> str:
    who = "One registered operator signs" if k == 1 else f"{k} registered operators sign"
    text = f"{who} the {'' if k == 1 else 'same '}wrong answer."
    if standing is None:
        return text + " With --rpc and --deployment this says how many there are, and what they would lose."
    n = len(standing.stakes_wei)
    if k > n:
        return text + f" There are {n} active operators, so no answer can be delivered at all now."
    least = _staked(sum(standing.stakes_wei[:k]), standing)
    text += f" That is {k} of {n} active operators; the {k} with the least at stake have {least} together,"
    text += " which is the least that a lie puts at risk."
    if standing.admitter is None:
        price = _staked(k * standing.minimum_stake_wei, standing)
        return text + f" Anyone may register, so one person who puts up {price} can be the whole quorum."
    return text + f" Only {standing.admitter} admits operators."


def _staked(amount_wei: int, standing: Standing) -> str:
    return ether(amount_wei) if standing.asset is None else f"{amount_wei:,} units of the token {standing.asset}"


def _together(policy: Policy, demands: tuple[Demand, ...], standing: Standing | None) -> str:
    parts = [_SHORT[d.kind].format(k=policy.quorum, s=" signs" if policy.quorum == 1 else "s sign") for d in demands]
    whole = _join(parts)
    if not policy.window_seconds:
        return f"A wrong answer passes only if {whole}." + (" All of it for the same request." if len(parts) > 1 else "")
    if policy.disputable:
        return (
            f"A wrong answer passes only if {whole}, and {_dispute_fails(policy, standing)}{_overruled(policy, standing)} {_PROVEN_ANYWAY}"
        )
    watch = f"nobody who has the model proves the right answer within {duration(policy.window_seconds)}"
    if policy.proof:  # which nobody gives for an opaque model
        return f"A wrong answer passes only if {whole}, and {watch}."
    return (
        f"A wrong answer of a canonical model passes only if {whole}, and {watch}. For an opaque model nothing can be proven: the window "
        "only gives time to look before the answer is used, so only the former protects you."
    )


_PROVEN_ANYWAY = "An answer of a canonical model is replaced by the proven one, whatever a committee thinks."


def _dispute_fails(policy: Policy, standing: Standing | None) -> str:
    """What must happen besides for a lie to stay: nobody looks, or those who are drawn to look say the same."""
    window = duration(policy.window_seconds)
    terms = None if standing is None else standing.disputes
    if standing is None or terms is None:
        return (
            f"then either nobody who has the model objects within {window} and no audit falls on it, or most of a committee of operators "
            "drawn by lot vote for the same lie, or nobody has the committee drawn in time."
        )
    others = len(standing.stakes_wei) - policy.quorum
    if others < MIN_COMMITTEE:
        return (
            f"of the operators who do not sign {_seated(others)}: nobody can dispute it and no audit can fall on it, so only the former "
            "protects you."
        )
    seats = compute_committee_size(terms.committee_size, others)
    audit = (
        f"the audit that one answer in {terms.audit_one_in} must pass does not fall on it" if terms.audit_one_in else "nothing is audited"
    )
    return (
        f"then either nobody who has the model puts up the bond of {ether(terms.bond_wei)} within {window} and {audit}, or "
        f"{seats // 2 + 1} of a committee of {seats} drawn by lot from the {others} others vote for the same lie, or nobody has the "
        f"committee drawn within {duration(terms.draw_seconds)}."
    )


def _overruled(policy: Policy, standing: Standing | None) -> str:
    """The other way: those who are drawn put a lie in the place of an answer that is right."""
    terms = None if standing is None else standing.disputes
    who = "most of a committee"
    if standing is not None and terms is not None:
        others = len(standing.stakes_wei) - policy.quorum
        if others < MIN_COMMITTEE:
            return ""
        seats = compute_committee_size(terms.committee_size, others)
        who = f"{seats // 2 + 1} of a committee of {seats}"
    late = "and nobody proves it in time" if policy.proof else "and nobody proves it in time, which nobody can of an opaque model"
    return f" Or if the right answer is disputed or audited, {who} vote for the same lie, {late}: their lie then replaces it."


def _seated(others: int) -> str:
    return f"too few are left for a committee ({max(others, 0)}, and it takes {MIN_COMMITTEE})"


def compute_committee_size(wanted: int, eligible: int) -> int:
    """As Disputes.sol: what the deployment wants, or the largest odd number there is."""
    return wanted if eligible >= wanted else eligible - 1 + eligible % 2


_SHORT = {"quorum": "{k} operator{s} the same lie", "proof": "the proof system is broken", "enclave": "an enclave is broken"}


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def _callback(policy: Policy) -> str:
    when = "at once, in the transaction that delivers the answer"
    if policy.window_seconds:
        when = (
            f"when the answer is final: {duration(policy.window_seconds)} after its delivery, in the transaction that finalizes it "
            "(the relay sends it, anyone may), or at once when a challenge puts the proven answer in its place"
        )
    if policy.disputable:
        when += ". While a committee has not decided it waits, also beyond that; if the committee finds another answer, it runs on that one"
    return f"The callback runs {when}. It runs once, with exactly the gas the request asked for; if it fails, anyone may run it again."


_SLASHING_WORDS = (
    "For as long as a signer has a stake, whoever proves that the model gives another output takes all of it: half is the "
    "challenger's, half is burnt."
)
_ONLY_REMEDY = "It is the only remedy for an opaque model."
_OPAQUE_WORDS = "Nothing can be proven about an opaque model."
_DISPUTE_WORDS = (
    "Within {window} anyone who puts up the bond has a committee of operators, drawn by lot from those who did not sign, run the model "
    "again. If most of them find another answer, theirs replaces it, the challenger has the bond and a share of the fee, and whoever "
    "signed the other one loses the stake. If the answer stands, the bond is lost; without a majority the fee goes back to the asker. "
    "Some answers that nobody objects to are drawn by lot and audited in the same way."
)


def _challenge(policy: Policy, standing: Standing | None) -> str:
    slashing = [_SLASHING_WORDS] if policy.quorum else []
    opaque = [] if policy.proof else [_ONLY_REMEDY if policy.disputable else _OPAQUE_WORDS]
    if policy.disputable:
        proving = "For a canonical model anyone may prove the right answer instead: one transaction, no bond, no vote."
        terms = [] if standing is None or standing.disputes is None else [_terms_words(standing.disputes)]
        return " ".join([_DISPUTE_WORDS.format(window=duration(policy.window_seconds)), *opaque, *terms, proving, *slashing])
    if policy.window_seconds:
        replacing = (
            f"Within {duration(policy.window_seconds)} anyone who has the canonical model replaces a wrong answer by proving the right "
            "one: one transaction, no bond, no permission."
        )
        return " ".join([replacing, *slashing, *opaque])
    if policy.quorum:
        final = "Nobody can stop an answer that was delivered: it is final at once, and a stake is then a penalty and no remedy."
        return " ".join([final, *slashing, *opaque])
    return "Nobody can stop an answer that was delivered: it is final at once, on its proof."


def _terms_words(terms: DisputeTerms) -> str:
    whole = duration(terms.draw_seconds + terms.commit_seconds + terms.reveal_seconds)
    audits = f"; one answer in {terms.audit_one_in} is audited" if terms.audit_one_in else "; nothing is audited"
    return f"Here the bond is {ether(terms.bond_wei)}, a committee has {terms.committee_size} seats and decides within {whole}{audits}."


def _unanswered(policy: Policy) -> str:
    needs = []
    if policy.quorum:
        needs.append("an operator who answers" if policy.quorum == 1 else f"{policy.quorum} operators who answer alike")
    if policy.proof:
        needs.append("a node that proves what a canonical model answers")
    if policy.enclave:
        needs.append("a node with a registered enclave")
    return f"It takes {_join(needs)}. If they are not there before the deadline, there is no answer, and the fee goes back."


def _problems(policy: Policy, standing: Standing) -> list[str]:
    demanded = {"quorum": bool(policy.quorum), "proof": policy.proof, "enclave": policy.enclave}
    missing = [kind for kind, is_demanded in demanded.items() if is_demanded and kind not in standing.served]
    found = [f"No verifier here takes {kind} evidence: a request is refused." for kind in missing]
    if policy.quorum > len(standing.stakes_wei):
        found.append(f"{policy.quorum} operators are demanded and {len(standing.stakes_wei)} are active: nobody can answer.")
    if policy.window_seconds >= standing.unbonding_seconds:
        found.append("The window is not shorter than the unbonding delay: stake can leave before an answer is final.")
    if policy.disputable:
        found += _dispute_problems(policy, standing)
    return found


def _dispute_problems(policy: Policy, standing: Standing) -> list[str]:
    if standing.disputes is None:
        return ["There are no disputes here: a request is refused."]
    others = len(standing.stakes_wei) - policy.quorum
    if others >= MIN_COMMITTEE:
        return []
    return [
        f"A committee takes {MIN_COMMITTEE} active operators who did not sign; {max(others, 0)} are left: nobody can dispute an answer."
    ]


# ---- words -----------------------------------------------------------------------------------------------------------------------------
def ether(wei: int) -> str:
    """Wei as ether, every digit that is not a trailing zero."""
    whole, rest = divmod(wei, 10**18)
    return f"{whole}{f'.{rest:018d}'.rstrip('0').rstrip('.')} ETH"


def duration(seconds: int) -> str:
    """Seconds in the largest units that divide them: "10 minutes", "1 day", "601 seconds"."""
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds and seconds % unit == 0:
            count = seconds // unit
            return f"{count} {name}{'' if count == 1 else 's'}"
    return "0 seconds"
