"""The real evidence of tests/vectors/tee, each with its collateral, its time and the policy it verifies under."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from oracle.attest.enclave import STRICT, EnclavePolicy, EnclaveReport, Relaxation, verify_quote
from oracle.attest.enclave.report import SnpMinimum, SnpTcb

VECTORS = Path(__file__).parents[1] / "vectors" / "tee"
SNP_MINIMUM = SnpMinimum(
    milan=SnpTcb(bootloader=2, tee=0, snp=5, microcode=68),
    genoa=SnpTcb(bootloader=10, tee=0, snp=23, microcode=84),
    turin=SnpTcb(fmc=0, bootloader=1, tee=0, snp=2, microcode=71),
)
"""What the machines of the vectors had: nobody's advice."""


@dataclass(frozen=True)
class Vector:
    """`length`: of the evidence without padding. `until`: the last second at which it verifies; `since`: the first."""

    name: str
    evidence: bytes
    collateral: bytes
    now: int
    policy: EnclavePolicy
    length: int

    def verify(self, evidence: bytes | None = None, collateral: bytes | None = None, now: int | None = None) -> EnclaveReport:
        return verify_quote(
            self.evidence if evidence is None else evidence,
            self.collateral if collateral is None else collateral,
            self.now if now is None else now,
            self.policy,
        )


def read(name: str) -> bytes:
    return (VECTORS / name).read_bytes()


def vcek_pem() -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # AMD gives its VCEKs the serial number 0
        return x509.load_der_x509_certificate(read("snp_vcek.testcer")).public_bytes(Encoding.PEM)


REAL_CHAINS = {
    "milan": vcek_pem() + read("snp_ask_ark_milan.pem"),
    "genoa": read("snp_genoa_chain.pem"),
    "turin": read("snp_turin_chain.pem"),
}
"""VCEK, ASK and ARK of each generation of AMD's."""


def vectors() -> dict[str, Vector]:
    allow = Relaxation
    cloud = EnclavePolicy(frozenset({allow.DYNAMIC_PLATFORM, allow.CACHED_KEYS, allow.SMT}))
    hardening = EnclavePolicy(frozenset({allow.CONFIGURATION_AND_SW_HARDENING}))
    debugged = EnclavePolicy(frozenset({allow.DEBUG, allow.SMT, allow.NO_REVOCATION_LIST}), snp_minimum=SNP_MINIMUM)
    production = EnclavePolicy(frozenset({allow.SMT, allow.NO_REVOCATION_LIST}), snp_minimum=SNP_MINIMUM)
    found = (
        Vector("tdx", read("tdx_quote"), read("tdx_quote_collateral.json"), 1750414563, cloud, 4936),
        Vector("sgx", read("sgx_quote"), read("sgx_quote_collateral.json"), 1750416971, hardening, 4600),
        Vector("nitro", read("nitro_attestation.bin"), b"", 1767472860, STRICT, 4482),
        Vector("snp", read("snp_attestation.bin"), REAL_CHAINS["milan"], 1767472860, debugged, 1184),
        Vector("snp_genoa", read("snp_genoa_attestation.bin"), REAL_CHAINS["genoa"], 1767472860, production, 1184),
        Vector("snp_turin", read("snp_turin_attestation.bin"), REAL_CHAINS["turin"], 1767472860, production, 1184),
    )
    return {vector.name: vector for vector in found}


Mutation = tuple[str, Callable[[], EnclaveReport]]
"""Its name, and the verification that must refuse it."""


def flip(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def mutations(vector: Vector, count: int, seed: int = 5) -> Iterator[Mutation]:
    """At least `count` lies near the truth: flipped bits of evidence and collateral, cuts, tails, wrong times, others' collateral."""
    draw = random.Random(seed)
    flips = count * 6 // 10
    for bit in draw.sample(range(vector.length * 8), flips):
        yield f"evidence, bit {bit}", lambda bit=bit: vector.verify(evidence=flip(vector.evidence, bit))
    if vector.collateral:
        for bit in draw.sample(range(len(vector.collateral.rstrip()) * 8), count * 2 // 10):
            yield f"collateral, bit {bit}", lambda bit=bit: vector.verify(collateral=flip(vector.collateral, bit))
        for size in draw.sample(range(len(vector.collateral.rstrip())), count // 20):
            yield f"collateral, cut at {size}", lambda size=size: vector.verify(collateral=vector.collateral[:size])
    else:
        for bit in draw.sample(range(vector.length * 8), count * 2 // 10):
            both = flip(flip(vector.evidence, bit), (bit * 7 + 1) % (vector.length * 8))
            yield f"evidence, bit {bit} and another", lambda both=both: vector.verify(evidence=both)
        yield "collateral of another", lambda: vector.verify(collateral=read("snp_ask_ark_milan.pem"))
    for size in draw.sample(range(vector.length), count // 10):
        yield f"evidence, cut at {size}", lambda size=size: vector.verify(evidence=vector.evidence[:size])
    for tail in (b"\1", b"\0\1", b"\0" * 7 + b"\1", vector.evidence):
        yield f"evidence and {len(tail)} bytes more", lambda tail=tail: vector.verify(evidence=vector.evidence + tail)
    expires_at = vector.verify().expires_at
    ends = (expires_at - 1 + 1, expires_at + 1, expires_at + 86_400, 1 << 39, (1 << 40) - 1, 1 << 40, 1 << 63, -1, 0, 1_000_000_000)
    times = [*ends, *(expires_at + draw.randrange(1, 1 << 30) for _ in range(count // 20))]
    for now in times + [draw.randrange(1_500_000_000) for _ in range(count // 10)]:
        yield f"time {now}", lambda now=now: vector.verify(now=now)
