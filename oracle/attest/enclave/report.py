"""What a verified enclave is, what may be relaxed, and by which name a refusal goes.

The nouns of `oracle.attest.enclave`: one frozen report for every platform, the policy it was verified under, and the registers that are
measured. Formats and the reasons for the defaults are in docs/enclaves.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from oracle.encoding import keccak256
from oracle.errors import EvidenceRejected, InvariantBroken
from oracle.records import Bytes32


class Platform(IntEnum):
    """The number `EnclaveRegistry` knows a platform by."""

    SGX = 1
    TDX = 2
    NITRO = 3
    SEV_SNP = 4
    SIMULATED = 255


class Reason(StrEnum):
    """Why evidence was refused. Each names one question that was answered with no."""

    MALFORMED = "malformed"  # not the one encoding of anything we know
    COLLATERAL = "collateral"  # what the vendor publishes about the platform is missing or does not hold
    ROOT = "root"  # another root than the pinned one
    CERTIFICATE = "certificate"  # a certificate that its issuer did not sign, or that may not sign
    REVOKED = "revoked"
    SIGNATURE = "signature"
    TIME = "time"  # not yet, or no longer
    TCB = "tcb"  # firmware or microcode below what is demanded, or of unknown state
    PLATFORM = "platform"  # a setting of the machine that the policy does not allow
    DEBUG = "debug"
    SIMULATED = "simulated"
    MEASUREMENT = "measurement"
    RUNTIME = "runtime"
    BINDING = "binding"  # report_data made for something else


class Relaxation(StrEnum):
    """What a policy may allow beyond the strict one, each by its own name. Nothing here accepts an outdated or revoked platform."""

    SW_HARDENING = "tcb.sw-hardening-needed"
    CONFIGURATION = "tcb.configuration-needed"
    CONFIGURATION_AND_SW_HARDENING = "tcb.configuration-and-sw-hardening-needed"
    DYNAMIC_PLATFORM = "platform.dynamic"  # Intel: packages may be added to the machine
    CACHED_KEYS = "platform.cached-keys"  # Intel: the platform's keys are kept by the registration service
    SMT = "platform.smt"  # two threads a core
    NO_REVOCATION_LIST = "snp.no-revocation-list"  # AMD: the collateral carries no list of revoked chips
    DEBUG = "debug"  # SEV-SNP and Nitro; a report that says so is never attested to (`oracle.attest.enclave.accept`)
    SIMULATED = "simulated"


class EnclaveRejected(EvidenceRejected):
    """Enclave evidence that is not acceptable. `reason` is the question it failed."""

    def __init__(self, reason: Reason, what: str, expected: object = None, got: object = None) -> None:
        super().__init__(what, expected, got)
        self.reason = reason


class SnpGeneration(StrEnum):
    """AMD's generations of processors with SEV-SNP, as AMD names them in its certificates. Each has its root, and its own versions."""

    MILAN = "Milan"
    GENOA = "Genoa"  # and Bergamo and Siena
    TURIN = "Turin"


@dataclass(frozen=True, slots=True)
class SnpTcb:
    """Security version numbers of an AMD platform's firmware, 0–255 each; a minimum holds when every one is reached."""

    bootloader: int
    tee: int
    snp: int
    microcode: int
    fmc: int | None = None  # first mutable code: Turin's has it, the generations before do not

    def reaches(self, minimum: SnpTcb) -> bool:
        """Whether no part is lower. A minimum for a generation with other parts is never reached."""
        if (self.fmc is None) != (minimum.fmc is None):
            return False
        mine, theirs = ((tcb.fmc or 0, tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode) for tcb in (self, minimum))
        return all(a >= b for a, b in zip(mine, theirs, strict=True))


@dataclass(frozen=True, slots=True)
class SnpMinimum:
    """What the firmware of each generation must reach; None: no report of that generation is accepted.

    One for each, because their numbers do not compare: what is new on Turin would be years old on Milan.
    """

    milan: SnpTcb | None = None
    genoa: SnpTcb | None = None
    turin: SnpTcb | None = None

    def of(self, generation: SnpGeneration) -> SnpTcb | None:
        return {SnpGeneration.MILAN: self.milan, SnpGeneration.GENOA: self.genoa, SnpGeneration.TURIN: self.turin}[generation]


@dataclass(frozen=True, slots=True)
class Roots:
    """SHA-256 of the DER of the vendors' root certificates, in hex: what everything else hangs from."""

    intel: str = "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3"  # Intel SGX Root CA, until 2049
    aws: str = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b"  # aws.nitro-enclaves, until 2049
    amd_milan: str = "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"  # ARK-Milan, until 2045
    amd_genoa: str = "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"  # ARK-Genoa, until 2047
    amd_turin: str = "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a"  # ARK-Turin, until 2048

    def amd(self, generation: SnpGeneration) -> str:
        return {
            SnpGeneration.MILAN: self.amd_milan,
            SnpGeneration.GENOA: self.amd_genoa,
            SnpGeneration.TURIN: self.amd_turin,
        }[generation]


@dataclass(frozen=True, slots=True)
class EnclavePolicy:
    """How evidence is verified. The default is strict: up to date, no debugging, nothing simulated.

    `snp_minimum`: AMD publishes no status of firmware versions, so without a minimum for its generation a SEV-SNP report is refused.
    `simulated_roots`: SHA-256 of the public keys of simulated enclaves that are known here.
    """

    relaxations: frozenset[Relaxation] = frozenset()
    rejected_advisories: frozenset[str] = frozenset()
    snp_minimum: SnpMinimum = field(default_factory=SnpMinimum)
    simulated_roots: frozenset[Bytes32] = frozenset()
    roots: Roots = field(default_factory=Roots)

    def allows(self, relaxation: Relaxation) -> bool:
        return relaxation in self.relaxations


STRICT = EnclavePolicy()

REGISTERS: dict[Platform, tuple[tuple[str, int], ...]] = {
    Platform.SGX: (("mrenclave", 32), ("mrsigner", 32), ("isv_prod_id", 2), ("isv_svn", 2)),
    Platform.TDX: (("mrtd", 48), ("rtmr0", 48), ("rtmr1", 48), ("rtmr2", 48)),
    Platform.NITRO: (("pcr0", 48), ("pcr1", 48), ("pcr2", 48), ("pcr8", 48)),
    Platform.SEV_SNP: (("measurement", 48), ("host_data", 32), ("policy", 8)),
    Platform.SIMULATED: (("image", 32),),
}
"""The registers that are measured, in the order in which they are hashed, with their bytes (integers are big-endian). All are compared;
of Nitro's, `pcr8` (who signed the image) is there only for signed images."""

Measurements = tuple[tuple[str, bytes], ...]


def compute_measurement(platform: Platform, measurements: Sequence[tuple[str, bytes]]) -> Bytes32:
    """keccak256 of the registers, one after the other. They must be those of `REGISTERS`, in that order: InvariantBroken otherwise."""
    shape = tuple((name, len(value)) for name, value in measurements)
    registers = REGISTERS[platform]
    if shape != registers and not (platform is Platform.NITRO and shape == registers[:3]):
        raise InvariantBroken(f"measurements of {platform.name} that are not its registers: {shape}")
    return keccak256(b"".join(value for _, value in measurements))


@dataclass(frozen=True, slots=True)
class EnclaveReport:
    """What verified evidence says: which software runs, on which platform in which state, and what it bound itself to.

    It says nothing about whether that software may be trusted with anything (`oracle.attest.enclave.accept`).
    """

    platform: Platform
    measurements: Measurements
    measurement: Bytes32  # `compute_measurement`
    report_data: bytes  # 64 bytes; of Nitro the user data, of any length
    tcb_status: str  # Intel's word; "MeetsMinimum" for SEV-SNP, "Managed" for Nitro, "Simulated"
    advisories: tuple[str, ...]  # the vendor's, that apply to the platform
    expires_at: int  # POSIX seconds; the first moment at which something it rests on has expired
    quote_digest: Bytes32  # keccak256 of the evidence, without padding
    is_debug: bool = False

    @property
    def is_simulated(self) -> bool:
        return self.platform is Platform.SIMULATED
