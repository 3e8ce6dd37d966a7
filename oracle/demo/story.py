"""`affidavit demo`: what the product is for, told on a real network with real models and real images.

Every figure printed was read back from the chain, the log or the API; nothing here is arranged beforehand.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from oracle.attest.enclave.report import Platform
from oracle.attest.sign import sign_claim
from oracle.audit.report import AuditReport, StepStatus
from oracle.demo import digits
from oracle.demo.auditing import audit_call, audit_log, find_changed_bytes, settled_indices, wait_anchored
from oracle.demo.digits import Gate, Image
from oracle.demo.local_keys import find_seeds
from oracle.demo.network import STAKE_WEI, Network, Plan, running_network
from oracle.demo.officing import disclose, find_records, hold_and_erase, open_offices
from oracle.encoding import (
    ENCLAVE_SELECTOR,
    keccak256,
    pack_int16,
    pack_quorum_evidence,
    parse_bytes32,
    to_hex,
    unpack_int16,
    unpack_proof_evidence,
)
from oracle.errors import PeerError, PolicyRejected
from oracle.office.people import Role
from oracle.pipeline.catalogue import describe_directory
from oracle.pipeline.client import ApiClient
from oracle.pipeline.inputs import Reals, Tensors
from oracle.pipeline.requesting import Terms, ask_signed, deposit
from oracle.pipeline.seat import add_stake
from oracle.pipeline.session import load_signer
from oracle.pipeline.settled import Settled, read_settled
from oracle.pipeline.typed import WantedTensor
from oracle.records import Address, Asked, Bytes32, CallbackStatus, Claim, Delivery, Policy, RequestStatus
from oracle.relay.failures import CallReverted
from oracle.seams import find_carried

IMAGES = 5
PROOFS = 2
QUORUM = 2
FEE_WEI = 3 * 10**15
WINDOW_SECONDS = 600
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Answered:
    """One image, asked and answered."""

    image: Image
    asked: Asked
    settled: Settled
    digit: int | None
    seconds: float


class Story:
    """Chapters, in the order they are told."""

    def __init__(self, network: Network, console: Console) -> None:
        self._network = network
        self._console = console
        self._api = ApiClient(network.api_url)

    def say(self, text: str = "") -> None:
        """One line as it is: no colours guessed, no markup read, no line cut."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def chapter(self, title: str) -> None:
        self._console.print(f"\n[bold]{title}[/bold]", highlight=False, soft_wrap=True)

    def show_network(self) -> None:
        deployment = self._network.contracts.deployment
        self.chapter("The network")
        self.say(f"  chain       {self._network.chain.rpc}, chain id {deployment.chain_id}, Osaka rules")
        self.say(f"  contracts   Coprocessor {deployment.coprocessor}, AuditAnchor {deployment.audit_anchor}")
        for operator in self._network.contracts.operators():
            self.say(
                f"  operator {operator.index}  {operator.operator}, signs as {operator.signer}, stake {operator.stake_wei / 10**18:g} ETH"
            )
        for name, model_id in self._network.model_ids.items():
            self.say(f"  model       {name} {to_hex(model_id)}")
        self.say(f"  log         {self._network.log_url}, key {self._network.vkey}")
        self.say(f"  API         {self._network.api_url}/docs")

    def ask_on_chain(self) -> list[Answered]:
        """Real held-back digits through the consumer contract, each answered by a quorum."""
        self.chapter(f"{IMAGES} handwritten digits, asked by a contract that demands {QUORUM} of {self._network.plan.operators} operators")
        gate = digits.deploy_gate(self._network, Policy(quorum=QUORUM))
        images = digits.load_images(IMAGES)
        self.say(f"The first, whose true label is {images[0].label}:")
        for line in images[0].draw():
            self.say(f"    {line}")
        answered = []
        for image in images:
            answered.append(self._ask_one(gate, image))
            self._show_answer(answered[-1])
        right = sum(one.digit == one.image.label for one in answered)
        self.say(f"{right} of {len(answered)} read as their true label.")
        return answered

    def _ask_one(self, gate: Gate, image: Image) -> Answered:
        started = time.perf_counter()
        asked = gate.ask(image, FEE_WEI)
        settled = self.wait_settled(asked.request_id)
        return Answered(image, asked, settled, gate.digit(asked.request_id), time.perf_counter() - started)

    def wait_settled(self, request_id: Bytes32) -> Settled:
        """What the chain decided, as soon as it has. Raises PeerError when that takes too long."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self._network.contracts.status_of(request_id).status is not RequestStatus.FINAL:
            if time.monotonic() > deadline:
                raise PeerError(f"no answer to {to_hex(request_id)} in {WAIT_SECONDS:.0f} s: {self._network.processes.tail('relay')}")
            time.sleep(0.05)
        return read_settled(self._network.contracts, request_id)

    def _show_answer(self, one: Answered) -> None:
        receipt, signers = one.settled.receipt, ", ".join(f"operator {o.index}" for o in one.settled.signers or ())
        by = f"proven by {one.settled.prover}" if one.settled.prover else f"signed by {signers}"
        entries = settled_indices(self._network, one.asked.request_id)
        self.say(f"  request {to_hex(one.asked.request_id)}")
        self.say(f"    label {one.image.label}, read on chain as {'nothing' if one.digit is None else one.digit}, {by}")
        self.say(f"    delivered in {to_hex(receipt.transaction)}")
        callback = one.settled.status.callback.name.lower()
        self.say(f"    block {receipt.block_number}, {receipt.gas_used:,} gas, callback {callback}, {one.seconds:.2f} s from the question")
        self.say(f"    log entries {', '.join(map(str, entries))}")

    def ask_proofs(self) -> list[Answered]:
        """No quorum: one node, whom nobody needs to believe. The first time, anvil itself has to load the ceremony."""
        self.chapter("Two more, to be proven: no quorum, one node's answer, verified by the chain itself")
        gate = digits.deploy_gate(self._network, Policy(proof=True))
        proven = []
        for image in digits.load_images(PROOFS, start=IMAGES):
            proven.append(self._ask_one(gate, image))
            self._show_answer(proven[-1])
        carried = find_carried(self._network.contracts, proven[0].settled.receipt, proven[0].asked.request_id)
        if carried is None:
            raise PeerError("the proof is not in the delivery's calldata")
        size = len(unpack_proof_evidence(carried.evidence[0].data)[1])
        self.say(f"A proof has {size:,} bytes; the gas is that of the whole transaction, with input, fee and callback.")
        return proven

    def ask_signed(self) -> Bytes32:
        """An opaque model, asked over HTTP with a signature and paid from a deposit."""
        name = next(name for name in self._network.plan.models if name.endswith("/opaque"))
        self.chapter(f"The same over HTTP: a signed request to the opaque model {name}")
        session, model = self._network.session("requester"), describe_directory(find_seeds() / "models" / name)
        image = digits.load_images(1, start=IMAGES + PROOFS)[0]
        deposit(session, 10 * FEE_WEI)
        tensor = model.input.tensors[0]
        shape = tuple(d if isinstance(d, int) else 1 for d in tensor.shape)
        wanted = Tensors({tensor.name: WantedTensor(shape, image.pixels)})
        outcome = ask_signed(session, model, wanted, Terms(Policy(quorum=QUORUM), FEE_WEI, 0, 600), self._network.api_url)
        for event in self._api.follow(outcome.request_id):
            self.say(f"    {event.data.get('time', '')}  {event.kind}")
            if event.kind == "delivered":
                break
        settled = self.wait_settled(outcome.request_id)
        best = self._best_label(outcome.request_id)
        self.say(f"  read as {best}, label {image.label}; {settled.receipt.gas_used:,} gas, paid from the deposit.")
        return outcome.request_id

    def ask_enclave(self) -> Bytes32:
        """An enclave's signature beside a quorum; and that a simulated one counts only where a policy says so."""
        self.chapter("And with an enclave beside the quorum: a SIMULATED one, which counts only where the policy says that it may")
        session, model = self._network.session("requester"), describe_directory(find_seeds() / "models" / self._network.plan.models[0])
        image = digits.load_images(1, start=IMAGES + PROOFS + 1)[0]
        for key in self._network.contracts.enclave_keys():
            self.say(f"  enclave key {key.key}, operator {key.operator}, platform {Platform(key.platform).name}")
        wanted, real = Reals(tuple(image.pixels)), Policy(quorum=QUORUM, enclave=True)
        try:
            ask_signed(session, model, wanted, Terms(real, FEE_WEI, 0, 600), self._network.api_url)
        except PolicyRejected as error:
            self.say(f"  a policy that wants a real one is refused: {error}")
        else:
            raise PeerError("a simulated enclave passed for a real one")
        simulated = replace(real, simulated=True)
        outcome = ask_signed(session, model, wanted, Terms(simulated, FEE_WEI, 0, 600), self._network.api_url)
        settled = self.wait_settled(outcome.request_id)
        carried = find_carried(self._network.contracts, settled.receipt, outcome.request_id)
        if carried is None or [evidence.selector for evidence in carried.evidence][1:] != [ENCLAVE_SELECTOR]:
            raise PeerError("the enclave's signature is not in the delivery's calldata")
        signers = " and ".join(f"operator {o.index}" for o in settled.signers or ())
        self.say(f"  signed by {signers} and by the enclave; {settled.receipt.gas_used:,} gas")
        return outcome.request_id

    def _best_label(self, request_id: Bytes32) -> str:
        decoded = self._api.receipt(request_id)["decoded"]
        scores = max(decoded["tensors"], key=lambda t: len(t["values"]))["values"]
        return str(max(range(len(scores)), key=scores.__getitem__))

    def audit(self, request_ids: list[Bytes32]) -> None:
        """Everything again, from the log's files and the chain alone."""
        self.chapter("An auditor checks it, trusting neither the nodes, the relay, the log nor the API")
        last = max(settled_indices(self._network, request_ids[-1]))
        anchor = wait_anchored(self._network, last)
        self.say(f"The chain has an anchor of the log at size {anchor.size}, in {to_hex(anchor.transaction)}.")
        self.say(f"The first call, {short(request_ids[0])}:")
        self._show_steps(audit_call(self._network, request_ids[0]))
        for request_id in request_ids[1:]:
            report = audit_call(self._network, request_id)
            verdict = "all passed" if report.is_complete else "not all could be checked"
            self.say(f"The call {short(request_id)}: {len(report.steps)} steps, {verdict}.")
        self.say("The whole log:")
        self._show_steps(audit_log(self._network))

    def _show_steps(self, report: AuditReport) -> None:
        for step in report.steps:
            self.say(f"  {step.number}. {step.name}: {step.status.value}. {step.detail}")
        for remark in report.remarks:
            self.say(f"  remark: {remark}")

    def show_forgery(self, honest: Answered) -> None:
        """A wrong output with the honest signatures, and one with signatures of a stranger and a single operator."""
        self.chapter("A forged answer is refused")
        gate = digits.deploy_gate(self._network, Policy(quorum=QUORUM))
        for name in self._nodes():
            self._network.processes.stop(name)  # so that nobody answers before the forger
        asked = gate.ask(honest.image, FEE_WEI)
        scores = unpack_int16(honest.settled.delivered.output)
        forged = pack_int16([*scores[1:], scores[0]])
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(forged))
        one = load_signer(self._network.directory / "node-0.key", self._network.password_file)
        stranger = self._network.session("deployer").signer
        signatures = {i: sign_claim(claim, forged, self._network.contracts.domain, key).signature for i, key in enumerate((one, stranger))}
        for what, kept in (("one operator alone", {0: signatures[0]}), ("one operator and a stranger", signatures)):
            self.say(f"  signed by {what}: {self._try_delivery(Delivery(asked, claim, forged, (pack_quorum_evidence(kept),)))}")
        for name in self._nodes():
            self._network.processes.restart(name)
        settled = self.wait_settled(asked.request_id)
        if settled.delivered.output != honest.settled.delivered.output:
            raise PeerError("the same image was given other scores")
        self.say("  the operators come back, and the honest answer is delivered: the same scores as before.")

    def _nodes(self) -> list[str]:
        return [self._network.node(i) for i in range(self._network.plan.operators)]

    def _try_delivery(self, delivery: Delivery) -> str:
        session = self._network.session("requester")
        try:
            session.sender.send(self._network.contracts.deliver_call([delivery]))
        except CallReverted as error:
            return f"refused, {error}"
        raise PeerError("the chain accepted a forged answer")

    def show_fraud(self, honest: Answered) -> None:
        """A quorum that lies: accepted, because it is a quorum; undone, because a watcher proves what the model really gives."""
        self.chapter("Two of the three operators lie, and a watcher proves it")
        gate = digits.deploy_gate(self._network, Policy(quorum=QUORUM, window_seconds=WINDOW_SECONDS))
        for name in self._nodes():
            self._network.processes.stop(name)  # so that nobody answers before the liars
        asked = gate.ask(honest.image, FEE_WEI)
        scores = unpack_int16(honest.settled.delivered.output)
        lie = pack_int16([*scores[1:], scores[0]])
        claim = Claim(asked.request_id, asked.request.model_id, asked.request.input_digest, keccak256(lie))
        keys = [load_signer(self._network.directory / f"node-{i}.key", self._network.password_file) for i in range(QUORUM)]
        signatures = {i: sign_claim(claim, lie, self._network.contracts.domain, key).signature for i, key in enumerate(keys)}
        delivery = Delivery(asked, claim, lie, (pack_quorum_evidence(signatures),))
        receipt = self._network.session("requester").sender.send(self._network.contracts.deliver_call([delivery]))
        self.say(f"  accepted in {to_hex(receipt.transaction)}, to be final in {WINDOW_SECONDS} s: a quorum signed it")
        settled = self.wait_settled(asked.request_id)
        if settled.replaced is None or settled.replacement is None or settled.output != honest.settled.delivered.output:
            raise PeerError("the lie was not replaced by the truth")
        self.say(f"  replaced in {to_hex(settled.replacement.transaction)}, {settled.replacement.gas_used:,} gas: the honest scores")
        self.say(f"  the contract was told once, and reads {gate.digit(asked.request_id)}, label {honest.image.label}")
        liars = [self._network.session(f"operator-{i}") for i in range(QUORUM)]
        self._wait_slashed([session.account for session in liars])
        for index, session in enumerate(liars):
            left_wei = self._network.contracts.stake_of(session.account)
            self.say(
                f"  operator {index} has {left_wei / 10**18:g} ETH of its stake left: one half went to the watcher, the other was burnt"
            )
            add_stake(session, STAKE_WEI)
        for name in self._nodes():
            self._network.processes.restart(name)
        self.say("  They stake again, and the network goes on.")

    def _wait_slashed(self, operators: list[Address]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while any(self._network.contracts.stake_of(operator) for operator in operators):
            if time.monotonic() > deadline:
                raise PeerError(f"the liars were not slashed: {self._network.processes.tail('watch')}")
            time.sleep(0.05)

    def show_tampering(self, request_id: Bytes32) -> None:
        """One byte of the log changed, in a copy of its files."""
        self.chapter("A changed byte in the log is found")
        for what, found in find_changed_bytes(self._network, request_id):
            self.say(f"  a byte of {what}: the audit fails at {found}")

    def show_office(self, request_id: Bytes32) -> None:
        """Content by four eyes, a hold that is stronger than an erasure, and proofs that outlive the content."""
        self.chapter("People see content by four eyes, and erase it; the proofs stay")
        people = open_offices(self._network)
        records = find_records(people, request_id, len(settled_indices(self._network, request_id)))
        intent = next(record for record in records if record["kind"] == "intent")
        request = self._api.request(request_id)["request"]
        for line in disclose(people, intent["index"], parse_bytes32(request["input_digest"], "input_digest")):
            self.say(f"  {line}")
        kept = [record["index"] for record in records if record["content"] == "present"]
        for line in hold_and_erase(people, request_id, kept):
            self.say(f"  {line}")
        report = audit_call(self._network, request_id)
        passed = [step.name for step in report.steps if step.status is StepStatus.PASSED]
        self.say(f"  the call is audited again: {', '.join(passed)} still hold.")


def short(value: bytes) -> str:
    return f"0x{value.hex()[:8]}…"


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT or SIGTERM sets, so that everything is stopped in order."""
    event = threading.Event()
    before = {s: signal.signal(s, lambda *_: event.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_demo(*, serve: bool = False) -> None:
    """Tells the story on a fresh network in a folder of its own; with `serve` the network stays until Ctrl-C."""
    console, started = Console(), time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="affidavit-demo-"))

    def progress(text: str) -> None:
        console.print(f"{time.monotonic() - started:6.1f} s  {text}", highlight=False)

    try:
        with running_network(directory, Plan(enclaves=1), progress) as network:
            tell(Story(network, console))
            console.print(f"\nDone in {time.monotonic() - started:.1f} s.")
            if serve:
                _stay(network, console)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def tell(story: Story) -> None:
    """The chapters in order."""
    story.show_network()
    answered = story.ask_on_chain()
    proven = story.ask_proofs()
    signed = story.ask_signed()
    enclosed = story.ask_enclave()
    story.audit([*(one.asked.request_id for one in answered), *(one.asked.request_id for one in proven), enclosed, signed])
    story.show_forgery(answered[0])
    story.show_fraud(answered[0])
    story.show_tampering(answered[0].asked.request_id)
    story.show_office(signed)
    if any(one.settled.status.callback is not CallbackStatus.SUCCEEDED for one in (*answered, *proven)):
        raise PeerError("a callback of the demo did not succeed")


def _stay(network: Network, console: Console) -> None:
    with stop_requested() as stop:
        console.print(f"\nThe pages are at {network.api_url}/audit. Tokens to sign in with, one for each role:")
        for role in Role:
            console.print(f"  {role:<10} {network.person_token_file(role)}", markup=False, highlight=False, soft_wrap=True)
        lines = [f"  export {name}={value}" for name, value in network.environment().items()]
        console.print(
            "\n".join(["\nThe network stays until Ctrl-C. For another terminal:", *lines]), markup=False, highlight=False, soft_wrap=True
        )
        stop.wait()
    console.print("Stopping.")
