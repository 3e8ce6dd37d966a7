"""Makes protocol.json: what Python and Solidity must both compute, from EIP-712 as eth_account implements it.

Deterministic: random values come from a fixed seed, keys are hashes of their index (test keys, worthless).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

OUT = Path(__file__).with_name("protocol.json")
CHAINS = [1, 31337, 2**63 - 1]
EDGE = {32: [0, 1, 2**32 - 1], 64: [0, 1, 2**64 - 1], 256: [0, 1, 2**128 - 1, 2**128, 2**256 - 1]}
CLAIM = [(name, "bytes32") for name in ("requestId", "modelId", "inputDigest", "outputDigest")]
REQUEST = [
    *[("requester", "address"), ("refundTo", "address"), ("modelId", "bytes32"), ("inputDigest", "bytes32"), ("policy", "bytes32")],
    *[("feeWei", "uint256"), ("callbackGas", "uint32"), ("deadline", "uint64"), ("nonce", "uint256")],
]
rng = random.Random(712)


def word() -> str:
    return "0x" + rng.randbytes(32).hex()


def address() -> str:
    return to_checksum_address(rng.randbytes(20))


def uint(bits: int) -> int:
    return rng.choice([*EDGE[bits], rng.getrandbits(bits)])


def value(kind: str) -> Any:
    return {"bytes32": word, "address": address}[kind]() if kind in ("bytes32", "address") else uint(int(kind.removeprefix("uint")))


def digest(name: str, contract: str, chain: int, primary: str, fields: list[tuple[str, str]], message: dict[str, Any]) -> Any:
    """The EIP-712 message as eth_account understands it."""
    domain = {"name": name, "version": "1", "chainId": chain, "verifyingContract": contract}
    types = {primary: [{"name": n, "type": t} for n, t in fields]}
    return encode_typed_data(domain_data=domain, message_types=types, message_data=message)


def hash_of(signable: Any) -> str:
    return "0x" + keccak(b"\x19" + signable.version + signable.header + signable.body).hex()


def key(i: int) -> bytes:
    return keccak(b"affidavit test key" + i.to_bytes(4, "big"))


def requests() -> list[dict[str, Any]]:
    out = []
    for i in range(24):
        message, chain, contract = {n: value(t) for n, t in REQUEST}, CHAINS[i % 3], address()
        signable = digest("Affidavit", contract, chain, "InferenceRequest", REQUEST, message)
        signed = Account.sign_message(signable, key(i))
        text = {n: str(v) if isinstance(v, int) else v for n, v in message.items()}
        signer, signature = Account.from_key(key(i)).address, "0x" + signed.signature.hex()
        out.append(
            {
                "chainId": str(chain),
                "coprocessor": contract,
                **text,
                "requestId": hash_of(signable),
                "signer": signer,
                "signature": signature,
            }
        )
    return out


def claims() -> list[dict[str, Any]]:
    out = []
    for i in range(12):
        message, chain, contract = {n: value(t) for n, t in CLAIM}, CHAINS[i % 3], address()
        signable = digest("Affidavit", contract, chain, "InferenceClaim", CLAIM, message)
        signers = sorted(rng.sample(range(256), 1 + i % 5))
        signatures = [Account.sign_message(signable, key(s)).signature for s in signers]
        evidence = sum(1 << s for s in signers).to_bytes(32, "big") + b"".join(map(bytes, signatures))
        addresses = [Account.from_key(key(s)).address for s in signers]
        row = {"chainId": str(chain), "coprocessor": contract, **message, "digest": hash_of(signable)}
        out.append(row | {"indices": signers, "signers": addresses, "quorumData": "0x" + evidence.hex()})
    return out


def models() -> list[dict[str, Any]]:
    """EIP-712 as eth_account encodes it; an id is the struct hash alone, so the message's body."""
    fields = [("kind", "uint8"), ("manifest", "bytes32"), ("circuit", "bytes32"), ("parameters", "bytes32[]")]
    out = []
    for i, kind in enumerate((1, 2, 1, 2, 1)):
        parameters = [word() for _ in range(i + 1)] if kind == 1 else []
        message = {"kind": kind, "manifest": word(), "circuit": word() if kind == 1 else "0x" + "00" * 32, "parameters": parameters}
        signable = digest("", "0x" + "00" * 20, 0, "Model", fields, message)
        identity = "0x" + signable.body.hex()
        digests = {"manifestDigest": message["manifest"], "circuitDigest": message["circuit"]}
        out.append({"kind": kind, **digests, "parameters": parameters, "modelId": identity})
    return out


def parts() -> list[dict[str, Any]]:
    """A part's digest is the code hash of the contract that stores it: STOP, then the points."""
    out = []
    for count in (1, 3):
        points = rng.randbytes(96 * count)
        out.append({"points": "0x" + points.hex(), "digest": "0x" + keccak(b"\0" + points).hex()})
    return out


def policies() -> list[dict[str, Any]]:
    """Written by hand, byte by byte: version ‖ quorum ‖ flags ‖ window ‖ 25 zero bytes."""
    good = [("01020000000000", 2, False, False, 0, False), ("01ff0000000000", 255, False, False, 0, False)]
    good += [("01000100000000", 0, True, False, 0, False), ("01010200000e10", 1, False, True, 3600, False)]
    good += [("010303ffffffff", 3, True, True, 2**32 - 1, False), ("01010800000e10", 1, False, False, 3600, True)]
    good += [("01000900000001", 0, True, False, 1, True), ("01020a00000e10", 2, False, True, 3600, True)]
    bad = {
        "nothing demanded": "01000000000000",
        "only a window": "01000000000001",
        "an enclave alone": "01000200000e10",
        "a simulated enclave alone": "01000600000000",
        "disputable without a window": "01010800000000",
        "only disputable": "01000800000e10",
        "an enclave alone, disputable": "01000a00000e10",
        "version 0": "00020000000000",
        "version 2": "02020000000000",
        "simulated without an enclave": "01020400000000",
        "unknown flag": "01021000000e10",
        "all flags": "0102ff00000000",
        "dirty padding, first byte": "0102000000000001",
        "dirty padding, last byte": "01020000000000" + "00" * 24 + "01",
    }
    names = ("quorum", "proof", "enclave", "windowSeconds", "disputable")
    out = [{"name": "well formed", "word": "0x" + h + "00" * 25, "valid": True, **dict(zip(names, v, strict=True))} for h, *v in good]
    none = {"quorum": 0, "proof": False, "enclave": False, "windowSeconds": 0, "disputable": False}
    return out + [{"name": n, "word": "0x" + h.ljust(64, "0"), "valid": False, **none} for n, h in bad.items()]


def possessions() -> list[dict[str, Any]]:
    out = []
    for i in range(4):
        chain, registry, operator, signer = CHAINS[i % 3], address(), address(), Account.from_key(key(i)).address
        fields, message = [("operator", "address"), ("signer", "address")], {"operator": operator, "signer": signer}
        signable = digest("Affidavit Operators", registry, chain, "OperatorPossession", fields, message)
        signature = "0x" + Account.sign_message(signable, key(i)).signature.hex()
        out.append({"chainId": str(chain), "registry": registry, **message, "digest": hash_of(signable), "signature": signature})
    return out


def anchors() -> list[dict[str, Any]]:
    out = []
    for i in range(6):
        chain, contract, origin, anchor_key = CHAINS[i % 3], address(), f"example.org/log/{i}", Account.from_key(key(i)).address
        log_id = keccak(keccak(origin.encode()) + bytes(12) + bytes.fromhex(anchor_key[2:]))
        message = {"logId": "0x" + log_id.hex(), "size": uint(64), "root": word()}
        signable = digest(
            "Affidavit Anchor", contract, chain, "Anchor", [("logId", "bytes32"), ("size", "uint64"), ("root", "bytes32")], message
        )
        signature = "0x" + Account.sign_message(signable, key(i)).signature.hex()
        row = {"chainId": str(chain), "contract": contract, "origin": origin, "anchorKey": anchor_key}
        out.append(row | message | {"size": str(message["size"]), "digest": hash_of(signable), "signature": signature})
    return out


def contexts() -> list[dict[str, Any]]:
    """What a proof is bound to: keccak256(abi.encode(requestId, beneficiary))."""
    out = []
    for _ in range(4):
        request_id, beneficiary = word(), address()
        context = keccak(bytes.fromhex(request_id[2:]) + bytes(12) + bytes.fromhex(beneficiary[2:]))
        out.append({"requestId": request_id, "beneficiary": beneficiary, "context": "0x" + context.hex()})
    return out


def main() -> None:
    kinds = (requests, claims, policies, possessions, anchors, models, parts, contexts)
    OUT.write_text(json.dumps({kind.__name__: kind() for kind in kinds}, indent=1) + "\n")


if __name__ == "__main__":
    main()
