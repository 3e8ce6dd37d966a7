"""Three families of errors: say whose fault it is.

* `InvariantBroken`: ours. A bug; raised loudly, caught nowhere.
* `Rejected` and its subclasses: theirs. A bad request, claim, proof, quote, signature or file. Each says what was looked at, what was
  expected and what was got. The HTTP layer maps each class to a status in one table; the command line prints one line and exits with 2.
* `WorldError` and its subclasses: the world's. RPC, disk, database, a peer that does not answer. Keeps its cause (`raise … from cause`);
  retried only by the module that owns retries.
"""

from __future__ import annotations


class AffidavitError(Exception):
    """Everything this package raises on purpose."""


class InvariantBroken(AffidavitError):
    """Ours: something that cannot happen has happened."""


class Rejected(AffidavitError):
    """Theirs: something handed to us is not acceptable.

    `what` names the thing looked at, `expected` and `got` are short texts without secrets.
    """

    def __init__(self, what: str, expected: object = None, got: object = None) -> None:
        self.what = what
        self.expected = expected
        self.got = got
        super().__init__(what)

    def __str__(self) -> str:
        text = self.what
        if self.expected is not None:
            text += f": expected {self.expected}"
        if self.got is not None:
            text += f"{',' if self.expected is not None else ':'} got {self.got}"
        return text


class MalformedInput(Rejected):
    """Bytes, JSON or hex that do not parse as what they should be."""


class PolicyRejected(Rejected):
    """A policy word that is not well formed, or demands what is not offered."""


class ModelRejected(Rejected):
    """A model file, manifest or model directory that is not acceptable."""


class ModelUnknown(Rejected):
    """A model id nobody here knows."""


class InputRejected(Rejected):
    """Model input of the wrong shape, type, length or range."""


class RequestRejected(Rejected):
    """A request that breaks a rule of the protocol (wrong chain, wrong nonce space, bad signature …)."""


class RequestUnknown(Rejected):
    """A request id nobody here knows."""


class RequestExpired(Rejected):
    """A request whose deadline has passed."""


class RequestUnpaid(Rejected):
    """A request whose fee or deposit does not cover what is asked."""


class ClaimRejected(Rejected):
    """A claim that contradicts its request, or whose signature is not that of a registered operator."""


class Equivocation(Rejected):
    """A second, different output for a request that was already answered. Never signed."""


class EvidenceRejected(Rejected):
    """Evidence that does not satisfy the policy."""


class ProofRejected(Rejected):
    """A Merkle proof (inclusion or consistency) that does not hold."""


class NoteRejected(Rejected):
    """A signed note, checkpoint or verifier key that is not acceptable."""


class EntryRejected(Rejected):
    """A log record that is malformed, or does not say what the log or the chain says."""


class OutOfScope(EntryRejected):
    """A log takes this entry, but not from this writer: its token is for other kinds. With another token it will."""


class LogRefused(Rejected):
    """The log refuses to go on (behind its own anchor, unauthorised writer, closed)."""


class ErasureHeld(Rejected):
    """Content that a legal hold keeps from being erased or pruned."""


class AuditFailed(Rejected):
    """A numbered step of an audit does not hold. `step` is its number."""

    def __init__(self, step: int, what: str, expected: object = None, got: object = None) -> None:
        self.step = step
        super().__init__(what, expected, got)


class Unauthorised(Rejected):
    """A missing or wrong credential."""


class Forbidden(Rejected):
    """Somebody who is known here, and may not do this: without the right, or the same person twice."""


class CaseUnknown(Rejected):
    """A disclosure, hold, erasure, review or sample nobody here knows, or that is not shown to who asks."""


class CaseRefused(Rejected):
    """A step that a case cannot take in its present state."""


class RecordUnknown(Rejected):
    """An index beyond the log's newest checkpoint."""


class TooLarge(Rejected):
    """A body or value above its size limit."""


class RateLimited(Rejected):
    """More requests in a minute than this door takes from one requester."""


class WorkGivenUp(Rejected):
    """A model run or a proof that ended its process, or passed its limit of time or memory, every time it was tried."""


class ConfigRejected(Rejected):
    """A configuration file, keystore or password file that is not acceptable."""


class WorldError(AffidavitError):
    """The world's: something outside failed. Always raised `from` its cause."""


class ChainError(WorldError):
    """The chain's RPC did not answer, or answered with an error of its own."""


class AmbiguousSend(ChainError):
    """A transaction may or may not have been accepted: look it up, never re-nonce it."""


class StoreError(WorldError):
    """Disk or database."""


class PeerError(WorldError):
    """Another process of ours (node, relay, log) did not answer as it should."""


class WorkerError(WorldError):
    """A process or machine that computes for a node is away, busy, died, or gave back what cannot be."""
