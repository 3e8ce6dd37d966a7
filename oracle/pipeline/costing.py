"""What a policy costs in gas, step by step, as forge measured it (contracts/snapshots), packaged by `scripts/contracts`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from oracle.encoding import SIGNATURE_BYTES
from oracle.errors import PolicyRejected
from oracle.records import Policy
from oracle.relay.artifacts import load_gas

BYTE_GAS = 16
"""What a byte of calldata that is not zero costs (EIP-2028)."""


@dataclass(frozen=True, slots=True)
class GasRow:
    """What somebody pays: gas of a whole transaction, 21,000 and calldata included. `wei` at the deployment's price, where one is known."""

    what: str
    payer: str
    gas: int
    wei: int | None


def compute_delivery_gas(policy: Policy) -> int:
    """Gas of a delivery, callback left out: measured, or put together from what was measured (docs/costs.md).

    Signers between measured numbers are interpolated, beyond them extrapolated; a proof is that of the digits model (6,570 parameters).
    """
    enclave = load_gas()["Enclaves"]["verify one signature"] + SIGNATURE_BYTES * BYTE_GAS if policy.enclave else 0
    if not (policy.quorum or policy.proof):
        raise PolicyRejected("policy", "a quorum or a proof beside the enclave", "an enclave alone")
    return enclave + _gas_without_enclave(policy)


def _gas_without_enclave(policy: Policy) -> int:
    coprocessor, proven, policies = (load_gas()[group] for group in ("Coprocessor", "Proven", "Policies"))
    proof_alone = proven["deliver a proof of digits-mlp, input of 128 bytes"]
    verification = proof_alone - coprocessor["deliver, a proof without its verification"]
    window = policies["deliver, 2 signers, under a window"] - coprocessor["deliver, signers: 2"] if policy.window_seconds else 0
    window += _dispute_surcharge(policy)
    if not policy.quorum:
        return proof_alone + window
    signers = _gas_of_signers(policy.quorum, coprocessor, "signers")
    if not policy.proof:
        return signers + window
    beside = policies["deliver, 2 signers and a proof without its verification"] - coprocessor["deliver, signers: 2"]
    return signers + beside + verification + window


def _dispute_surcharge(policy: Policy) -> int:
    """What it takes to remember who signed, and in which block, for those who may dispute it."""
    gas = load_gas()
    return (
        gas["Disputes"]["deliver, 2 signers, disputable"] - gas["Policies"]["deliver, 2 signers, under a window"]
        if policy.disputable
        else 0
    )


def compute_bls_saving(policy: Policy) -> int:
    """Gas that one aggregated BLS signature saves in place of as many ECDSA signatures, where operators have such keys; 0 for few."""
    quorums = load_gas()["Quorums"]
    return max(0, _gas_of_signers(policy.quorum, quorums, "ecdsa signers") - _gas_of_signers(policy.quorum, quorums, "bls signers"))


def _gas_of_signers(k: int, measured: Mapping[str, int], what: str) -> int:
    points = sorted((int(m[1]), gas) for name, gas in measured.items() if (m := re.fullmatch(rf"deliver, {what}: (\d+)", name)))
    upper = next((i for i, (count, _) in enumerate(points) if count >= k), len(points) - 1)
    (first, low), (second, high) = points[max(upper - 1, 0)], points[max(upper, 1)]
    return low + -(-(high - low) * (k - first) // (second - first))


_OUTVOTED = "slash 2 signers, outvoted"
_DISPUTE_ROWS = (
    ("dispute: open, and the bond", "who objects", "open"),
    ("dispute: draw 5 of 6 operators", "who objects, or anyone", "draw 5 of 6"),
    ("dispute: commit to a vote", "each of the committee", "commitVote, the first of 5"),
    ("dispute: reveal a vote", "each of the committee", "revealVote, the first of 5"),
    ("dispute: apply the ruling, 6 to pay", "who objects, or anyone", "applyRuling, 6 to pay"),
    ("dispute: finalize what was upheld, 6 to pay", "the relay", "finalize, upheld, 6 to pay"),
    ("dispute: settle the bond", "who has it back, or anyone", "settleBond, to the challenger"),
    (_OUTVOTED, "who objects, or anyone", "proveOutvoted of 2 signers"),
)
"""Words, payer, and the measurement's name in contracts/snapshots/Disputes.json."""


def compute_gas_rows(policy: Policy, gas_price_wei: int | None) -> list[GasRow]:
    """Everything that anybody may have to send under a policy; without a price, in gas alone."""
    gas = load_gas()

    def row(what: str, payer: str, amount: int) -> GasRow:
        return GasRow(what, payer, amount, None if gas_price_wei is None else amount * gas_price_wei)

    rows = [
        row("ask, with an input of 128 bytes (nothing for a signed request)", "you", gas["Coprocessor"]["request, input of 128 bytes"]),
        row("deliver" + (", with a proof of a small model" if policy.proof else ""), "the relay", compute_delivery_gas(policy)),
    ]
    if policy.quorum and (saving := compute_bls_saving(policy)):
        rows.append(row("deliver, by one aggregated BLS signature", "the relay", compute_delivery_gas(policy) - saving))
    if policy.window_seconds:
        finalizing = gas["Disputes"]["finalize, disputable, 2 to pay"] if policy.disputable else gas["Policies"]["finalize, 2 to pay"]
        rows.append(row("finalize after the window", "the relay", finalizing))
        rows.append(row("challenge, with a proof of a small model", "who objects", gas["Proven"]["challenge of digits-mlp"]))
    if policy.quorum:
        rows.append(
            row("slash 2 signers, with a proof of a small model", "who objects", gas["Proven"]["proveWrong of digits-mlp, signers: 2"])
        )
    if policy.disputable:
        rows += [row(what, payer, gas["Disputes"][name]) for what, payer, name in _DISPUTE_ROWS if policy.quorum or what != _OUTVOTED]
    return [*rows, row("refund, when nobody answers", "anyone", gas["Policies"]["refund"])]
