"""Proof evidence: made by a node or a watcher, checked by an auditor. The only module of `oracle` that proves or verifies with `circuits`.

A proof says: the committed weights of this model give this output for this input. Its context holds the request id and who is paid for
it (`encoding.compute_proof_context`), so it is worth nothing for another request and to anybody else.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

import circuits
from oracle.encoding import (
    PROOF_SELECTOR,
    compute_proof_context,
    keccak256,
    pack_int16,
    pack_proof_evidence,
    to_hex,
    unpack_int16,
    unpack_proof_evidence,
)
from oracle.errors import EvidenceRejected, InputRejected, InvariantBroken, MalformedInput, ModelUnknown
from oracle.records import Address, Bytes32, Claim, Evidence


class Prover:
    """Canonical models, by id, that were checked when they were loaded. Safe to use from several threads."""

    def __init__(self, models: Iterable[circuits.CanonicalModel]) -> None:
        self._models = {Bytes32(model.model_id): model for model in models}

    def __contains__(self, model_id: Bytes32) -> bool:
        return model_id in self._models

    def run(self, model_id: Bytes32, data: bytes) -> bytes:
        """The output that the model gives for input bytes. Raises ModelUnknown, InputRejected."""
        model = self._model(model_id)
        return _run(model, _read(model, data))

    def prove(self, claim: Claim, data: bytes, beneficiary: Address) -> Evidence:
        """Evidence that `claim` is true, for `beneficiary` alone. `data`: the input. Raises ModelUnknown, InputRejected.

        A claim that is not true cannot be proven: InvariantBroken, whoever asks has another model than it says.
        """
        model = self._model(claim.model_id)
        x = _read(model, data)
        output = _run(model, x)
        if keccak256(data) != claim.input_digest or keccak256(output) != claim.output_digest:
            raise InvariantBroken(f"a claim to prove about request {to_hex(claim.request_id)} is not what the model gives")
        context = compute_proof_context(claim.request_id, beneficiary)
        return pack_proof_evidence(beneficiary, bytes(circuits.prove(model, x, context)))

    def verify(self, claim: Claim, data: bytes, output: bytes, evidence: Evidence) -> Address:
        """Whom the evidence for `claim` names. `data` and `output`: the bytes whose digests are in the claim.

        Raises EvidenceRejected, ModelUnknown where the model is not at hand.
        """
        if evidence.selector != PROOF_SELECTOR:
            raise EvidenceRejected("evidence selector", to_hex(PROOF_SELECTOR), to_hex(evidence.selector))
        model = self._model(claim.model_id)
        for what, content, digest in (("input", data, claim.input_digest), ("output", output, claim.output_digest)):
            if keccak256(content) != digest:
                raise EvidenceRejected(f"{what} of a proof", to_hex(digest), to_hex(keccak256(content)))
        beneficiary, proof = unpack_proof_evidence(evidence.data)
        context = compute_proof_context(claim.request_id, beneficiary)
        try:
            x, y = _shape(unpack_int16(data), model.input.shape), _shape(unpack_int16(output), model.output.shape)
            circuits.verify(model, x, y, proof, context)
        except (circuits.ProofError, MalformedInput, ValueError) as error:
            raise EvidenceRejected("proof", "one that holds", str(error)[:200]) from error
        return beneficiary

    def _model(self, model_id: Bytes32) -> circuits.CanonicalModel:
        if model_id not in self._models:
            raise ModelUnknown("canonical model", "one at hand", to_hex(model_id))
        return self._models[model_id]


def _read(model: circuits.CanonicalModel, data: bytes) -> npt.NDArray[np.int64]:
    """Input bytes as the model takes them. Raises InputRejected."""
    try:
        return _shape(unpack_int16(data), model.input.shape)
    except (MalformedInput, ValueError) as error:
        raise InputRejected("input", f"packed int16 of {model.input.shape}", f"{len(data)} bytes") from error


def _run(model: circuits.CanonicalModel, x: npt.NDArray[np.int64]) -> bytes:
    try:
        return pack_int16(model.run(x).ravel().tolist())
    except circuits.CircuitError as error:  # out of the input's range
        raise InputRejected("input", "one that the model takes", str(error)[:200]) from error


def _shape(values: list[int], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64).reshape(shape)
