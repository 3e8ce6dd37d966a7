"""Witnesses for tests, reached over httpx without a socket: honest ones on the real code, and each kind of dishonest or broken one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import httpx
from fastapi.testclient import TestClient

from oracle.audit.cosign import WitnessSigner
from oracle.audit.cosigner import Witness
from oracle.audit.note import VerifierKey
from oracle.audit.policy import Policy, PolicyWitness, parse_policy
from oracle.audit.submission import parse_submission
from oracle.audit.witness import WitnessClient
from oracle.audit.witness_server import make_app
from oracle.seams import Clock

Handler = Callable[[httpx.Request], httpx.Response]
SIGNERS = [WitnessSigner(f"w{i}.example", bytes([0x40 + i]) * 32) for i in range(1, 6)]


class SetClock:
    """A clock that stands where it is put."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


class WitnessTwin:
    """A witness that counts what it is sent. `answer` replaces its own answer to add-checkpoint, once or for ever."""

    def __init__(self, directory: Path, signer: WitnessSigner, logs: Sequence[VerifierKey], clock: Clock) -> None:
        self.signer = signer
        self.witness = Witness.open(f"sqlite:///{directory}/{signer.name}.sqlite", signer, logs, clock)
        self.requests: list[tuple[int, int]] = []  # old size, number of proof hashes
        self.answer: Handler | None = None
        self.is_down = False
        self._app = TestClient(make_app(self.witness))

    def handle(self, request: httpx.Request) -> httpx.Response:
        if self.is_down:
            raise httpx.ConnectError("twin is down", request=request)
        if request.url.path.endswith("/add-checkpoint"):
            submission = parse_submission(request.content)
            self.requests.append((submission.old_size, len(submission.proof)))
            if self.answer is not None:
                return self.answer(request)
        return self.honest(request)

    def honest(self, request: httpx.Request) -> httpx.Response:
        answer = self._app.request(request.method, request.url.path, content=request.content)
        return httpx.Response(answer.status_code, headers={"content-type": answer.headers["content-type"]}, content=answer.content)

    def close(self) -> None:
        self.witness.close()


def say(status: int, content: bytes | str, kind: str = "text/plain") -> Handler:
    """An answer that is always the same."""
    data = content if isinstance(content, bytes) else content.encode()
    return lambda request: httpx.Response(status, headers={"content-type": kind}, content=data)


def policy_of(twins: Sequence[WitnessTwin], threshold: str, log: VerifierKey) -> Policy:
    """All twins in one group."""
    lines = [f"log {log}"]
    lines += [f"witness {twin.signer.name} {twin.signer.verifier} https://{twin.signer.name}" for twin in twins]
    names = " ".join(twin.signer.name for twin in twins)
    return parse_policy("\n".join([*lines, f"group all-of-them {threshold} {names}", "quorum all-of-them", ""]).encode())


def client_maker(twins: Sequence[WitnessTwin]) -> Callable[[PolicyWitness], WitnessClient]:
    by_name = {twin.signer.name: twin for twin in twins}
    return lambda witness: WitnessClient(witness, transport=httpx.MockTransport(by_name[witness.name].handle))
