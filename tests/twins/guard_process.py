"""A process that signs as fast as it can until it is killed: `python -m tests.twins.guard_process DATABASE LABEL COUNT`.

For each of COUNT requests it claims an output of its own (its label) and prints what it got to sign, as a node would hand it out. Run
several on one database, with different labels, and kill them: no request may ever be printed with two outputs.
"""

from __future__ import annotations

import sys

from oracle.attest.sign import sign_claim
from oracle.encoding import keccak256
from oracle.errors import Equivocation
from oracle.node import jobs
from oracle.node.jobs import JobStore
from oracle.records import Appended, Bytes32, Claim, Domain, Inference, Runtime, SignedClaim
from oracle.store import open_database
from tests.twins.chain import COPROCESSOR
from tests.twins.operators import operator_signer

DOMAIN = Domain(31337, COPROCESSOR)
RUNTIME = Runtime("onnxruntime", "1", "CPUExecutionProvider", "all")
INTENT = Appended(0, Bytes32(bytes(32)), 1)
DIGEST = keccak256(b"something")


def claim_of(number: int, output: bytes) -> Claim:
    return Claim(keccak256(b"request %d" % number), DIGEST, DIGEST, keccak256(output))


def inference_of(output: bytes) -> Inference:
    return Inference(DIGEST, DIGEST, keccak256(output), output, RUNTIME, 0.001)


def sign(claim: Claim, output: bytes) -> SignedClaim:
    return sign_claim(claim, output, DOMAIN, operator_signer(0))


def main(database: str, label: str, count: int) -> None:
    store = JobStore(open_database(f"sqlite:///{database}", jobs.SCHEMA))
    for number in range(count):
        output = f"{label}".encode()
        try:
            signed = store.sign_once(claim_of(number, output), inference_of(output), INTENT, DOMAIN, sign).signed
        except Equivocation:
            continue
        print(number, signed.output.decode(), signed.signature.hex(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
