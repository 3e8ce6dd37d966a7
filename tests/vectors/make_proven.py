"""Makes proven.json: the seeds' digit model, registered and proven for two requests, for the contracts' tests with real proofs.

Run it anew when the proof's bytes change: `.venv/bin/python tests/vectors/make_proven.py`. Deterministic: so are proofs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from circuits import CanonicalModel
from oracle.attest.prove import Prover
from oracle.encoding import compute_request_id, keccak256, pack_policy, to_hex
from oracle.records import Address, Bytes32, Claim, Domain, Policy, Request

ROOT = Path(__file__).parents[2]
OUT = Path(__file__).with_name("proven.json")
DOMAIN = Domain(31337, Address("0x5FbDB2315678afecb367f032d93F642f64180aa3"))
REQUESTER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
PROVER = Address("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC")
FEE_WEI, DEADLINE = 1000, 1_700_003_600


def main() -> None:
    folder = ROOT / "seeds/models/digits-mlp/canonical"
    model = CanonicalModel.load(folder)
    model_id, prover = Bytes32(model.model_id), Prover([model])
    sample = json.loads((ROOT / "seeds/requests/digits-mlp.json").read_text())["samples"][3]["input"]
    data = model.quantize(sample).astype(">i2").tobytes()
    output = prover.run(model_id, data)
    first = Request(REQUESTER, REQUESTER, model_id, keccak256(data), pack_policy(Policy(proof=True)), FEE_WEI, 0, DEADLINE, 0)
    second = replace(first, policy=pack_policy(Policy(quorum=2, window_seconds=600)), nonce=1)
    evidence = {}
    for name, request in (("proof", first), ("challenge", second)):
        claim = Claim(compute_request_id(request, DOMAIN), model_id, keccak256(data), keccak256(output))
        evidence[name] = {
            "policy": to_hex(request.policy),
            "requestId": to_hex(claim.request_id),
            "data": to_hex(prover.prove(claim, data, PROVER).data),
        }
    document = {
        "coprocessor": DOMAIN.coprocessor,
        "requester": REQUESTER,
        "prover": PROVER,
        "feeWei": FEE_WEI,
        "deadline": DEADLINE,
        "modelId": to_hex(model_id),
        "manifestDigest": to_hex(keccak256((folder / "manifest.json").read_bytes())),
        "circuit": to_hex(model.circuit),
        "parts": [to_hex(part) for part in model.parameter_parts],
        "input": to_hex(data),
        "output": to_hex(output),
        "evidence": evidence,
    }
    OUT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
