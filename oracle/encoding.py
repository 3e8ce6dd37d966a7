"""Bytes: the only module that hashes, ABI-encodes or canonicalises.

Sources: EIP-712 (typed structured data), EIP-55 (addresses), the Solidity contract ABI, RFC 8785 (canonical JSON). The same values are
computed by `contracts/src/libraries`; `tests/vectors` holds what both must give. The layout of every value, with example bytes, is in
`docs/protocol.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
import rfc8785
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import is_hex_address, to_checksum_address
from eth_utils.crypto import keccak

from oracle.errors import EvidenceRejected, InvariantBroken, MalformedInput, PolicyRejected
from oracle.records import Address, Bytes32, Claim, Domain, Evidence, FieldValue, ModelKind, Policy, Request

MAX_OPERATORS = 256
SIGNATURE_BYTES = 65
BLS_SIGNATURE_BYTES = 96
BLS_KEY_BYTES = 256

AbiDecodingError = DecodingError
"""What decoding malformed ABI bytes raises, for those who decode through web3."""


def keccak256(data: bytes) -> Bytes32:
    """Keccak-256 (the Ethereum hash, not SHA3-256) of `data`."""
    return Bytes32(keccak(data))


def type_hash(type_text: str) -> Bytes32:
    """EIP-712 typeHash of an encoded type."""
    return keccak256(type_text.encode())


DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
CLAIM_TYPE = "InferenceClaim(bytes32 requestId,bytes32 modelId,bytes32 inputDigest,bytes32 outputDigest)"
REQUEST_TYPE = (
    "InferenceRequest(address requester,address refundTo,bytes32 modelId,bytes32 inputDigest,bytes32 policy,"
    "uint256 feeWei,uint32 callbackGas,uint64 deadline,uint256 nonce)"
)
MODEL_TYPE = "Model(uint8 kind,bytes32 manifest,bytes32 circuit,bytes32[] parameters)"
POSSESSION_TYPE = "OperatorPossession(address operator,address signer)"
BLS_POSSESSION_TYPE = "BlsPossession(address operator,bytes32 key)"
ANCHOR_TYPE = "Anchor(bytes32 logId,uint64 size,bytes32 root)"

COPROCESSOR_DOMAIN_NAME = "Affidavit"
OPERATORS_DOMAIN_NAME = "Affidavit Operators"
BLS_DOMAIN_NAME = "Affidavit BLS Keys"
ANCHOR_DOMAIN_NAME = "Affidavit Anchor"
DOMAIN_VERSION = "1"

QUORUM_ECDSA_SELECTOR = keccak256(b"affidavit.verifier.quorum-ecdsa.v1")[:4]
QUORUM_BLS_SELECTOR = keccak256(b"affidavit.verifier.quorum-bls.v1")[:4]
PROOF_SELECTOR = keccak256(b"affidavit.verifier.proof.v1")[:4]
ENCLAVE_SELECTOR = keccak256(b"affidavit.verifier.enclave.v1")[:4]
"""Its data is one 65-byte signature of the claim's digest, by a key of the EnclaveRegistry."""

POINT_BYTES = 96
PART_BYTES = 255 * POINT_BYTES
"""What ModelRegistry keeps in one contract's code; all parts of a model's commitments but the last are this long."""

ADDRESS_BYTES = 20

_DOMAIN_TYPE_HASH = type_hash(DOMAIN_TYPE)
_CLAIM_TYPE_HASH = type_hash(CLAIM_TYPE)
_REQUEST_TYPE_HASH = type_hash(REQUEST_TYPE)
_MODEL_TYPE_HASH = type_hash(MODEL_TYPE)
_POSSESSION_TYPE_HASH = type_hash(POSSESSION_TYPE)
_BLS_POSSESSION_TYPE_HASH = type_hash(BLS_POSSESSION_TYPE)
_ANCHOR_TYPE_HASH = type_hash(ANCHOR_TYPE)


# ---- hex and fixed-size values at the edge ---------------------------------------------------------------------------------------
_HEX_DIGITS = re.compile(r"[0-9a-fA-F]*")


def to_hex(data: bytes) -> str:
    """Lower-case hex with "0x"."""
    return "0x" + data.hex()


def parse_hex(text: object, what: str, size: int | None = None) -> bytes:
    """Bytes of a "0x…" string of an even number of hex digits. Raises MalformedInput naming `what`."""
    if not isinstance(text, str) or not text.startswith("0x"):
        raise MalformedInput(what, 'a hex string starting with "0x"', type(text).__name__ if not isinstance(text, str) else text[:12])
    digits = text[2:]
    if len(digits) % 2 or not _HEX_DIGITS.fullmatch(digits):
        raise MalformedInput(what, "an even number of hex digits", f"{len(digits)} characters")
    data = bytes.fromhex(digits)
    if size is not None and len(data) != size:
        raise MalformedInput(what, f"{size} bytes", f"{len(data)} bytes")
    return data


def parse_bytes32(text: object, what: str) -> Bytes32:
    """32 bytes of a "0x…" string. Raises MalformedInput naming `what`."""
    return Bytes32(parse_hex(text, what, 32))


def parse_address(text: object, what: str) -> Address:
    """A checksummed address. All-lower and all-upper case are accepted, a wrong EIP-55 checksum is not. Raises MalformedInput."""
    if not isinstance(text, str) or not text.startswith("0x") or not is_hex_address(text):
        raise MalformedInput(what, "an Ethereum address", text[:60] if isinstance(text, str) else type(text).__name__)
    checksummed = _checksummed(text)
    if text not in (checksummed, text.lower(), "0x" + text[2:].upper()):
        raise MalformedInput(what, "an address whose EIP-55 checksum holds", text)
    return checksummed


@lru_cache(maxsize=4096)
def _checksummed(text: str) -> Address:
    """Kept, since the same few addresses are read again and again, and each costs a hash."""
    return Address(to_checksum_address(text))


def parse_uint(value: object, what: str, bits: int) -> int:
    """An unsigned integer below 2^bits, given as an int or a plain decimal string. Raises MalformedInput naming `what`."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and (value == "0" or value[0] != "0") and len(value) <= 78:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise MalformedInput(what, f"an unsigned integer below 2^{bits}", repr(value)[:40])
    return value


# ---- EIP-712 -------------------------------------------------------------------------------------------------------------------
@lru_cache(maxsize=64)
def domain_separator(name: str, chain_id: int, contract: Address) -> Bytes32:
    """EIP-712 domain separator for version "1" of `name`."""
    fields = [_DOMAIN_TYPE_HASH, keccak256(name.encode()), keccak256(DOMAIN_VERSION.encode()), chain_id, contract]
    return keccak256(abi_encode(["bytes32", "bytes32", "bytes32", "uint256", "address"], fields))


def typed_data_preimage(separator: Bytes32, struct_hash: Bytes32) -> bytes:
    """EIP-712: 0x1901 ‖ domainSeparator ‖ structHash, 66 bytes. Its keccak256 is what is signed."""
    return b"\x19\x01" + separator + struct_hash


def typed_data_digest(separator: Bytes32, struct_hash: Bytes32) -> Bytes32:
    """EIP-712: keccak256(0x1901 ‖ domainSeparator ‖ structHash)."""
    return keccak256(typed_data_preimage(separator, struct_hash))


def typed_document(type_text: str, message: Mapping[str, str], name: str, chain_id: int, contract: Address) -> dict[str, Any]:
    """EIP-712 typed data for `eth_signTypedData_v4`. Integers are decimal strings, which every wallet takes."""
    kind = type_text.partition("(")[0]
    domain = {"name": name, "version": DOMAIN_VERSION, "chainId": str(chain_id), "verifyingContract": contract}
    types = {"EIP712Domain": _members(DOMAIN_TYPE), kind: _members(type_text)}
    return {"types": types, "primaryType": kind, "domain": domain, "message": dict(message)}


def _members(encoded_type: str) -> list[dict[str, str]]:
    """The members of "Name(type name,…)", so that typed data and digests cannot drift apart."""
    inside = encoded_type[encoded_type.index("(") + 1 : -1]
    return [{"name": name, "type": kind} for kind, name in (member.split(" ") for member in inside.split(","))]


def _coprocessor_digest(domain: Domain, struct_hash: Bytes32) -> Bytes32:
    return typed_data_digest(domain_separator(COPROCESSOR_DOMAIN_NAME, domain.chain_id, domain.coprocessor), struct_hash)


def claim_struct_hash(claim: Claim) -> Bytes32:
    return keccak256(_CLAIM_TYPE_HASH + claim.request_id + claim.model_id + claim.input_digest + claim.output_digest)


def claim_preimage(claim: Claim, domain: Domain) -> bytes:
    """What an operator signs, before it is hashed: 66 bytes."""
    return typed_data_preimage(domain_separator(COPROCESSOR_DOMAIN_NAME, domain.chain_id, domain.coprocessor), claim_struct_hash(claim))


def claim_typed_data(claim: Claim, domain: Domain) -> dict[str, Any]:
    """The document whose EIP-712 preimage is `claim_preimage`."""
    words = (claim.request_id, claim.model_id, claim.input_digest, claim.output_digest)
    message = dict(zip(("requestId", "modelId", "inputDigest", "outputDigest"), map(to_hex, words), strict=True))
    return typed_document(CLAIM_TYPE, message, COPROCESSOR_DOMAIN_NAME, domain.chain_id, domain.coprocessor)


def compute_claim_digest(claim: Claim, domain: Domain) -> Bytes32:
    """The 32 bytes an operator signs."""
    return keccak256(claim_preimage(claim, domain))


def request_struct_hash(r: Request) -> Bytes32:
    types = ["bytes32", "address", "address", "bytes32", "bytes32", "bytes32", "uint256", "uint32", "uint64", "uint256"]
    values = [_REQUEST_TYPE_HASH, r.requester, r.refund_to, r.model_id, r.input_digest, r.policy]
    return keccak256(_words_of(r) or abi_encode(types, [*values, r.fee_wei, r.callback_gas, r.deadline, r.nonce]))


def _words_of(r: Request) -> bytes | None:
    """The same encoding by hand, a tenth of the time: each field is one word. None where a field does not fit: the encoder says which."""
    accounts = [bytes.fromhex(account[2:]) for account in (r.requester, r.refund_to) if _ACCOUNT.fullmatch(account)]
    digests = (r.model_id, r.input_digest, r.policy)
    numbers = ((r.fee_wei, 256), (r.callback_gas, 32), (r.deadline, 64), (r.nonce, 256))
    fit = all(type(value) is int and 0 <= value >> bits < 1 for value, bits in numbers)
    if not fit or len(accounts) != 2 or any(len(digest) != 32 for digest in digests):
        return None
    words = (*(account.rjust(32, b"\0") for account in accounts), *digests, *(value.to_bytes(32, "big") for value, _ in numbers))
    return _REQUEST_TYPE_HASH + b"".join(words)


_ACCOUNT = re.compile("0x[0-9a-fA-F]{40}")


def compute_request_id(request: Request, domain: Domain) -> Bytes32:
    """The request id: the EIP-712 digest of the request, which is also what the signer of an off-chain request signs."""
    return _coprocessor_digest(domain, request_struct_hash(request))


def compute_model_id(kind: ModelKind, manifest_digest: Bytes32, circuit_digest: Bytes32, parameters: Sequence[Bytes32]) -> Bytes32:
    """The struct hash of `MODEL_TYPE`. For opaque models `circuit_digest` is 32 zero bytes and `parameters`, digests of parts, are none."""
    words = (int(kind).to_bytes(32, "big"), manifest_digest, circuit_digest, keccak256(b"".join(parameters)))
    return keccak256(_MODEL_TYPE_HASH + b"".join(words))


def split_commitments(commitments: bytes) -> tuple[bytes, ...]:
    """The parts in which the registry stores a model's commitments (96-byte points, one after the other). Raises MalformedInput."""
    if not commitments or len(commitments) % POINT_BYTES:
        raise MalformedInput("commitments", f"points of {POINT_BYTES} bytes, at least one", f"{len(commitments)} bytes")
    return tuple(commitments[at : at + PART_BYTES] for at in range(0, len(commitments), PART_BYTES))


def compute_part_digest(part: bytes) -> Bytes32:
    """keccak256(0x00 ‖ part): the code hash of the contract that stores it behind one STOP byte."""
    return keccak256(b"\0" + part)


def compute_possession_digest(operator: Address, signer: Address, chain_id: int, registry: Address) -> Bytes32:
    """What a signing key signs to prove that its holder registers it (OperatorRegistry)."""
    struct_hash = keccak256(abi_encode(["bytes32", "address", "address"], [_POSSESSION_TYPE_HASH, operator, signer]))
    return typed_data_digest(domain_separator(OPERATORS_DOMAIN_NAME, chain_id, registry), struct_hash)


def compute_bls_possession_digest(operator: Address, key: bytes, chain_id: int, contract: Address) -> Bytes32:
    """What a BLS key (256 bytes) signs to be registered by an operator (BlsKeys)."""
    values = [_BLS_POSSESSION_TYPE_HASH, operator, keccak256(key)]
    struct_hash = keccak256(abi_encode(["bytes32", "address", "bytes32"], values))
    return typed_data_digest(domain_separator(BLS_DOMAIN_NAME, chain_id, contract), struct_hash)


def encode_rlp(item: int | bytes | Sequence[Any]) -> bytes:
    """RLP (Yellow Paper, appendix B) of bytes, of an integer from 0 as big-endian bytes without leading zeros, or of a list of these."""
    if isinstance(item, int):
        return encode_rlp(item.to_bytes((item.bit_length() + 7) // 8, "big"))
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _rlp_head(0x80, len(item)) + item
    content = b"".join(map(encode_rlp, item))
    return _rlp_head(0xC0, len(content)) + content


def _rlp_head(offset: int, length: int) -> bytes:
    if length < 56:
        return bytes([offset + length])
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([offset + 55 + len(size)]) + size


def compute_created_address(creator: Address, nonce: int) -> Address:
    """The address of the contract that an account creates with a transaction of this nonce: keccak256(RLP([creator, nonce]))."""
    return Address(to_checksum_address(keccak256(encode_rlp([bytes.fromhex(creator[2:]), nonce]))[-ADDRESS_BYTES:]))


def compute_log_id(origin: str, anchor_key: Address) -> Bytes32:
    """AuditAnchor's log id: keccak256(abi.encode(keccak256(origin), anchorKey))."""
    return keccak256(abi_encode(["bytes32", "address"], [keccak256(origin.encode()), anchor_key]))


def compute_anchor_digest(log_id: Bytes32, size: int, root: Bytes32, chain_id: int, contract: Address) -> Bytes32:
    """What the log's anchor key signs (AuditAnchor)."""
    return keccak256(anchor_preimage(log_id, size, root, chain_id, contract))


def anchor_preimage(log_id: Bytes32, size: int, root: Bytes32, chain_id: int, contract: Address) -> bytes:
    """What the log's anchor key signs, before it is hashed: 66 bytes."""
    struct_hash = keccak256(_ANCHOR_TYPE_HASH + log_id + size.to_bytes(32, "big") + root)
    return typed_data_preimage(domain_separator(ANCHOR_DOMAIN_NAME, chain_id, contract), struct_hash)


def anchor_typed_data(log_id: Bytes32, size: int, root: Bytes32, chain_id: int, contract: Address) -> dict[str, Any]:
    """The document whose EIP-712 preimage is `anchor_preimage`."""
    message = {"logId": to_hex(log_id), "size": str(size), "root": to_hex(root)}
    return typed_document(ANCHOR_TYPE, message, ANCHOR_DOMAIN_NAME, chain_id, contract)


# ---- votes ------------------------------------------------------------------------------------------------------------------------
def compute_vote_commitment(request_id: Bytes32, member: Address, output_digest: Bytes32, salt: Bytes32) -> Bytes32:
    """What a member of a committee commits to before anybody shows a vote: keccak256(abi.encode(request, member, output, salt))."""
    return keccak256(abi_encode(["bytes32", "address", "bytes32", "bytes32"], [request_id, member, output_digest, salt]))


# ---- policy ----------------------------------------------------------------------------------------------------------------------
_FLAG_PROOF, _FLAG_ENCLAVE, _FLAG_SIMULATED, _FLAG_DISPUTABLE = 1, 2, 4, 8
_FLAGS = _FLAG_PROOF | _FLAG_ENCLAVE | _FLAG_SIMULATED | _FLAG_DISPUTABLE


def pack_policy(policy: Policy) -> Bytes32:
    """Version 1 ‖ k ‖ flags ‖ window (4 bytes) ‖ 25 zero bytes. Raises PolicyRejected."""
    if not 0 <= policy.quorum < MAX_OPERATORS:
        raise PolicyRejected("policy quorum", "0 to 255", policy.quorum)
    if not 0 <= policy.window_seconds < 1 << 32:
        raise PolicyRejected("policy window", "0 to 2^32 - 1 seconds", policy.window_seconds)
    _require_sound(policy)
    flags = _FLAG_PROOF * policy.proof + _FLAG_ENCLAVE * policy.enclave
    flags += _FLAG_SIMULATED * policy.simulated + _FLAG_DISPUTABLE * policy.disputable
    return Bytes32(bytes([1, policy.quorum, flags]) + policy.window_seconds.to_bytes(4, "big") + bytes(25))


def unpack_policy(word: bytes) -> Policy:
    """The policy of 32 packed bytes; exactly one encoding is accepted. Raises PolicyRejected."""
    if len(word) != 32 or word[0] != 1 or word[2] & ~_FLAGS or any(word[7:]):
        raise PolicyRejected("policy word", "version 1 with known flags and zero padding", to_hex(word))
    policy = Policy(
        quorum=word[1],
        proof=bool(word[2] & _FLAG_PROOF),
        enclave=bool(word[2] & _FLAG_ENCLAVE),
        window_seconds=int.from_bytes(word[3:7], "big"),
        simulated=bool(word[2] & _FLAG_SIMULATED),
        disputable=bool(word[2] & _FLAG_DISPUTABLE),
    )
    _require_sound(policy)
    return policy


def _require_sound(policy: Policy) -> None:
    if policy.simulated and not policy.enclave:
        raise PolicyRejected("policy", "a simulated enclave only where an enclave is demanded", "one without the other")
    if policy.disputable and not policy.window_seconds:
        raise PolicyRejected("policy", "disputes only where there is a window for them", "one without the other")
    if not (policy.quorum or policy.proof):
        # A key taken out of an enclave signs anything, so an enclave alone is no evidence.
        raise PolicyRejected("policy", "a demand for a quorum or a proof", "an enclave alone" if policy.enclave else "none")


# ---- quorum evidence ----------------------------------------------------------------------------------------------------------------
def pack_quorum_evidence(signatures: Mapping[int, bytes]) -> Evidence:
    """Bitmap of operator indices ‖ one 65-byte signature per set bit, lowest index first."""
    if not all(0 <= i < MAX_OPERATORS and len(s) == SIGNATURE_BYTES for i, s in signatures.items()):
        raise InvariantBroken("quorum evidence takes 65-byte signatures by operator index 0–255")
    bitmap = sum(1 << index for index in signatures)
    return Evidence(QUORUM_ECDSA_SELECTOR, bitmap.to_bytes(32, "big") + b"".join(signatures[i] for i in sorted(signatures)))


def unpack_quorum_evidence(data: bytes) -> dict[int, bytes]:
    """Signatures by operator index. Raises EvidenceRejected unless there is exactly one signature for every set bit."""
    bitmap = int.from_bytes(data[:32], "big")
    indices = [i for i in range(MAX_OPERATORS) if bitmap >> i & 1]
    if len(data) != 32 + SIGNATURE_BYTES * len(indices) or not indices:
        raise EvidenceRejected("quorum evidence", f"a bitmap and {len(indices)} signatures of 65 bytes", f"{len(data)} bytes")
    return {index: data[32 + SIGNATURE_BYTES * k :][:SIGNATURE_BYTES] for k, index in enumerate(indices)}


def pack_bls_quorum_evidence(indices: Sequence[int], signature: bytes) -> Evidence:
    """Bitmap of operator indices ‖ the 96-byte sum of their BLS signatures."""
    if not all(0 <= i < MAX_OPERATORS for i in indices) or len(set(indices)) != len(indices) or len(signature) != BLS_SIGNATURE_BYTES:
        raise InvariantBroken("BLS evidence takes distinct operator indices 0–255 and a 96-byte signature")
    return Evidence(QUORUM_BLS_SELECTOR, sum(1 << index for index in indices).to_bytes(32, "big") + signature)


def unpack_bls_quorum_evidence(data: bytes) -> tuple[tuple[int, ...], bytes]:
    """(operator indices, lowest first; the 96-byte signature). Raises EvidenceRejected for another length or no index."""
    bitmap = int.from_bytes(data[:32], "big")
    if len(data) != 32 + BLS_SIGNATURE_BYTES or not bitmap:
        raise EvidenceRejected("BLS quorum evidence", f"a bitmap with a bit, and {BLS_SIGNATURE_BYTES} bytes", f"{len(data)} bytes")
    return tuple(i for i in range(MAX_OPERATORS) if bitmap >> i & 1), data[32:]


def unpack_quorum_indices(evidence: Sequence[Evidence]) -> tuple[int, ...]:
    """Operator indices that the quorum evidence among these names, of either kind; none where there is none. Raises EvidenceRejected."""
    for piece in evidence:
        if piece.selector == QUORUM_ECDSA_SELECTOR:
            return tuple(sorted(unpack_quorum_evidence(piece.data)))
        if piece.selector == QUORUM_BLS_SELECTOR:
            return unpack_bls_quorum_evidence(piece.data)[0]
    return ()


# ---- proof evidence -------------------------------------------------------------------------------------------------------------------
def compute_proof_context(request_id: Bytes32, beneficiary: Address) -> Bytes32:
    """What a proof is bound to: keccak256(abi.encode(requestId, beneficiary)).

    The request id holds chain, contract and request; the beneficiary makes a copied proof pay its prover.
    """
    return keccak256(abi_encode(["bytes32", "address"], [request_id, beneficiary]))


def pack_proof_evidence(beneficiary: Address, proof: bytes) -> Evidence:
    """20 bytes of who is paid ‖ the proof, made in the context of both (`compute_proof_context`)."""
    return Evidence(PROOF_SELECTOR, bytes.fromhex(beneficiary[2:]) + proof)


def unpack_proof_evidence(data: bytes) -> tuple[Address, bytes]:
    """(beneficiary, proof). Raises EvidenceRejected where there is no proof after the address."""
    if len(data) <= ADDRESS_BYTES:
        raise EvidenceRejected("proof evidence", f"{ADDRESS_BYTES} bytes of a beneficiary, and a proof", f"{len(data)} bytes")
    return Address(to_checksum_address(data[:ADDRESS_BYTES])), data[ADDRESS_BYTES:]


# ---- canonical JSON -------------------------------------------------------------------------------------------------------------------
def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of a JSON value. Raises MalformedInput for what RFC 8785 cannot write (NaN, integers beyond 2^53)."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, RecursionError) as error:  # also half a character, and what is too deep
        raise MalformedInput("JSON value", "a value RFC 8785 can write", str(error)[:200]) from error


def canonical_flat_json(value: Mapping[str, str | int | bool | list[str]]) -> bytes:
    """RFC 8785 bytes of a flat object whose names are ASCII: what `canonical_json` gives, many times as fast.

    For ASCII names, order by code point is RFC 8785's order by UTF-16 unit, and orjson escapes what RFC 8785 escapes, in the same form.
    Numbers are integers, checked here as there. Raises MalformedInput.
    """
    for name, item in value.items():
        if type(item) is not str or not name.isascii():  # most are, and a call for each would cost more than the writing
            _require_flat(name, item)
    return _dump_flat(value)


def canonical_field(name: str, value: FieldValue) -> bytes:
    """RFC 8785 bytes of the list [name, value] of a log record's field. Raises MalformedInput for what RFC 8785 cannot write."""
    _require_flat(name, value)
    return _dump_flat([name, value])


def _require_flat(name: str, item: object) -> None:
    if not name.isascii():
        raise MalformedInput("flat JSON", "ASCII names", repr(name)[:40])
    if not isinstance(item, str | list) and not (isinstance(item, int) and abs(item) < 1 << 53):
        raise MalformedInput(f"flat JSON, {name}", "a string, a boolean, a list or an integer below 2^53", repr(item)[:40])


def _dump_flat(value: object) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise MalformedInput("flat JSON", "text without lone surrogates, in lists too", str(error)[:80]) from error


# ---- integer tensors of canonical models ------------------------------------------------------------------------------------------------
def pack_int16(values: Sequence[int]) -> bytes:
    """Packed big-endian two's complement int16: input and output of canonical models. Raises MalformedInput out of range."""
    try:
        return b"".join(int(v).to_bytes(2, "big", signed=True) for v in values)
    except OverflowError as error:
        raise MalformedInput("integer tensor", "entries in [-32768, 32767]", "an entry out of range") from error


def unpack_int16(data: bytes) -> list[int]:
    """The integers of packed big-endian int16. Raises MalformedInput for an odd length."""
    if len(data) % 2:
        raise MalformedInput("integer tensor", "an even number of bytes", f"{len(data)} bytes")
    return [int.from_bytes(data[i : i + 2], "big", signed=True) for i in range(0, len(data), 2)]
