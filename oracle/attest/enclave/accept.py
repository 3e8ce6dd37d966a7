"""An operator's decision about somebody's enclave: verify its quote, hold it against what is allowed, and say what may be signed.

The policy is a file (docs/enclaves.md). Everything in it is a list of what is allowed; what it does not name is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oracle.attest.enclave import verify_quote
from oracle.attest.enclave.amd import tcb_parts
from oracle.attest.enclave.binding import EnclaveAttestation, Registration, compute_report_data
from oracle.attest.enclave.report import (
    REGISTERS,
    EnclavePolicy,
    EnclaveRejected,
    EnclaveReport,
    Platform,
    Reason,
    Relaxation,
    SnpGeneration,
    SnpMinimum,
    SnpTcb,
    compute_measurement,
)
from oracle.encoding import parse_bytes32, parse_hex, parse_uint
from oracle.errors import ConfigRejected, MalformedInput
from oracle.records import Bytes32
from oracle.wire import require_fields

MAX_LIFETIME_SECONDS = 30 * 86_400
"""EnclaveRegistry refuses attestations that would last longer."""


@dataclass(frozen=True, slots=True)
class AcceptancePolicy:
    """What an operator signs for: how quotes are verified, which measurements and runtimes may answer, and for how long."""

    verification: EnclavePolicy
    measurements: frozenset[tuple[Platform, Bytes32]]
    runtimes: frozenset[Bytes32]
    lifetime_seconds: int  # at most MAX_LIFETIME_SECONDS; never beyond the evidence's own expiry


def accept_quote(
    evidence: bytes, collateral: bytes, now: int, registration: Registration, policy: AcceptancePolicy, expires_at: int | None = None
) -> EnclaveAttestation:
    """What may be signed about the key of `registration`. Raises EnclaveRejected with the reason why nothing may be.

    Operators must sign the same `expires_at`: who attests first leaves it out and gets the latest allowed, the others are given his.
    """
    report = verify_quote(evidence, collateral, now, policy.verification)
    require_acceptable(report, registration, policy)
    latest = min(report.expires_at, now + policy.lifetime_seconds)
    if expires_at is not None and not now < expires_at <= latest:
        raise EnclaveRejected(Reason.TIME, "expiry of the attestation", f"after {now}, at most {latest}", expires_at)
    return EnclaveAttestation(
        key=registration.key,
        operator=registration.operator,
        platform=report.platform,
        measurement=report.measurement,
        runtime_digest=registration.runtime_digest,
        quote_digest=report.quote_digest,
        expires_at=latest if expires_at is None else expires_at,
        nonce=registration.nonce,
    )


def require_acceptable(report: EnclaveReport, registration: Registration, policy: AcceptancePolicy) -> None:
    """Every register is one of a set that is allowed together, the runtime is allowed, the quote was made for this registration."""
    if report.is_debug:  # whatever the relaxations say: they are for reading such a report, not for trusting it
        raise EnclaveRejected(Reason.DEBUG, "enclave", "one that nobody can look into", "one in debug mode")
    if (report.platform, report.measurement) not in policy.measurements:
        raise EnclaveRejected(
            Reason.MEASUREMENT, f"measurement of the {report.platform.name} enclave", "an allowed one", show_registers(report)
        )
    if registration.runtime_digest not in policy.runtimes:
        raise EnclaveRejected(Reason.RUNTIME, "runtime of the enclave", "an allowed one", registration.runtime_digest.hex())
    expected = compute_report_data(registration)
    if report.report_data != expected:
        raise EnclaveRejected(Reason.BINDING, "report_data of the quote", expected.hex(), report.report_data.hex()[:128])


def show_registers(report: EnclaveReport) -> str:
    return ", ".join(f"{name} {value.hex()}" for name, value in report.measurements)


# ---- the policy's file ------------------------------------------------------------------------------------------------------------------
_REQUIRED = {"measurements", "runtimes", "lifetime_seconds"}
_OPTIONAL = {"relaxations", "rejected_advisories", "snp_minimum", "simulated_roots"}


def load_policy(path: Path) -> AcceptancePolicy:
    """Raises ConfigRejected naming the file and what is wrong with it."""
    try:
        return parse_policy(json.loads(path.read_text()))
    except OSError as error:
        raise ConfigRejected(f"enclave policy {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError, MalformedInput) as error:
        raise ConfigRejected(f"enclave policy {path}", "what docs/enclaves.md describes", str(error)) from error


def parse_policy(document: object) -> AcceptancePolicy:
    """The policy of a JSON document. Raises MalformedInput naming the field."""
    fields = require_fields(document, "enclave policy", _REQUIRED, _OPTIONAL)
    lifetime = parse_uint(fields["lifetime_seconds"], "lifetime_seconds", 32)
    if not 0 < lifetime <= MAX_LIFETIME_SECONDS:
        raise MalformedInput("lifetime_seconds", f"1 to {MAX_LIFETIME_SECONDS}", lifetime)
    verification = EnclavePolicy(
        relaxations=frozenset(_relaxation(name) for name in _list(fields, "relaxations")),
        rejected_advisories=frozenset(_text(name, "rejected_advisories") for name in _list(fields, "rejected_advisories")),
        snp_minimum=_snp_minimum(fields.get("snp_minimum", {})),
        simulated_roots=frozenset(parse_bytes32(digest, "simulated_roots") for digest in _list(fields, "simulated_roots")),
    )
    if bool(verification.simulated_roots) != verification.allows(Relaxation.SIMULATED):
        raise MalformedInput("simulated_roots", f"roots together with the relaxation {Relaxation.SIMULATED}", "one without the other")
    return AcceptancePolicy(
        verification=verification,
        measurements=frozenset(_measurement(m) for m in _list(fields, "measurements")),
        runtimes=frozenset(parse_bytes32(digest, "runtimes") for digest in _list(fields, "runtimes")),
        lifetime_seconds=lifetime,
    )


def _measurement(document: object) -> tuple[Platform, Bytes32]:
    """One set of registers: all of the platform's, by name."""
    if not isinstance(document, dict):
        raise MalformedInput("measurement", "an object", type(document).__name__)
    platforms = {p.name.lower(): p for p in Platform}
    if (platform := platforms.get(str(document.get("platform")))) is None:
        raise MalformedInput("platform of a measurement", f"one of {sorted(platforms)}", str(document.get("platform"))[:40])
    registers = REGISTERS[platform]
    optional = {"pcr8"} if platform is Platform.NITRO else set()
    fields = require_fields(document, f"measurement of {platform.name}", {"platform", *(n for n, _ in registers)} - optional, optional)
    values = tuple((name, parse_hex(fields[name], f"{name} of a measurement", size)) for name, size in registers if name in fields)
    return platform, compute_measurement(platform, values)


def _snp_minimum(document: object) -> SnpMinimum:
    """A minimum for each generation that may answer, with every version that the generation has."""
    generations = {generation.name.lower(): generation for generation in SnpGeneration}
    fields = require_fields(document, "snp_minimum", set(), set(generations))
    return SnpMinimum(**{name: _snp_tcb(value, generations[name]) for name, value in fields.items()})


def _snp_tcb(document: object, generation: SnpGeneration) -> SnpTcb:
    what = f"snp_minimum.{generation.name.lower()}"
    fields = require_fields(document, what, set(tcb_parts(generation)))
    return SnpTcb(**{name: parse_uint(value, f"{what}.{name}", 8) for name, value in fields.items()})


def _relaxation(name: object) -> Relaxation:
    try:
        return Relaxation(_text(name, "relaxations"))
    except ValueError as error:
        raise MalformedInput("relaxations", f"names among {sorted(Relaxation)}", str(name)[:60]) from error


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise MalformedInput(what, "a list of strings", type(value).__name__)
    return value


def _list(fields: Mapping[str, Any], name: str) -> list[Any]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise MalformedInput(name, "a list", type(value).__name__)
    return value
