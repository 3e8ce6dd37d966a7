"""The node's HTTP door.

POST /v1/requests              a signed off-chain request; 202 {"request_id", "state"}; repeating it changes nothing
POST /v1/requests/many         {"requests": [up to 64]}; 200 {"requests": {id: {"status", "body"}}}, as POST /v1/requests has each
GET  /v1/claims/{request_id}   200 the signed claim, and the proof if made; 202 {"state"} while there is none; 404 unknown; 422 refused
POST /v1/claims                {"request_ids": [up to 64]}; 200 {"claims": {id: {"status", "body"}}}, as GET has them; not all of large ones
GET  /v1/models                what this node runs, and for how much
GET  /health /ready /metrics   alive; chain, log and models there; Prometheus

The door only reads and writes the job store. A claim is visible here only when its result entry is in the log.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from oracle import journal
from oracle.encoding import compute_claim_digest, compute_request_id, parse_bytes32, parse_hex, to_hex, unpack_policy
from oracle.errors import MalformedInput, RateLimited, Rejected, RequestRejected, WorldError
from oracle.http import PROBLEM, BodyLimit, install_errors, problem_document, status_of
from oracle.node.intake import Terms, check
from oracle.node.jobs import Guarded, Job, JobState, JobStore, require_guarded
from oracle.node.metrics import NodeMetrics
from oracle.node.models import ModelLibrary, ServedModel
from oracle.node.recent import RecentChain
from oracle.records import Asked, Bytes32, Claim, Domain
from oracle.seams import ChainReader, Signer
from oracle.wire import request_from_json, require_fields, signed_claim_to_json

MAX_OPEN_JOBS = 10_000
"""Above this the door takes no more signed requests; requests from the chain are always taken."""

BATCH_HEADER = "affidavit-batch"
"""In the answers about single claims: how many may be asked about at once. A node that does not send it is asked one by one."""
MOST_ASKED_AT_ONCE = 64
MAX_BATCH_BYTES = 1 << 20

Check = Callable[[], None]


@dataclass(frozen=True)
class Door:
    """What the door needs. `readiness` are named checks that raise Rejected or WorldError when something is not there.

    Without those that are `tolerated` the node still answers, degraded.
    """

    name: str
    store: JobStore
    chain: ChainReader
    library: ModelLibrary
    terms: Terms
    metrics: NodeMetrics
    readiness: Mapping[str, Check]
    on_accepted: Callable[[], None]
    tolerated: frozenset[str] = frozenset()
    enclave: Signer | None = None  # the key in this node's enclave
    sign_bls: Callable[[Bytes32], bytes] | None = None  # 96 bytes for a claim's digest, with the operator's BLS key
    endpoints: Callable[[], Mapping[str, Any]] = dict  # the chain's, as /health tells of them: nothing of their URLs but scheme and host


def asked_from_json(value: object, domain: Domain) -> Asked:
    """A posted signed request. Raises MalformedInput naming the field, RequestRejected where it is no signed request."""
    fields = require_fields(value, "signed request", {"request", "signature", "input"})
    request = request_from_json(fields["request"])
    signature, data = parse_hex(fields["signature"], "signature"), parse_hex(fields["input"], "input")
    if not request.is_signed_off_chain:
        raise RequestRejected("request.nonce", "at least 2^128 on a signed request", request.nonce)
    return Asked(compute_request_id(request, domain), request, data, signature)


def submit(door: Door, asked: Asked) -> JobState:
    """Checks a signed request and remembers it; one that is remembered already is only looked up. Raises as `intake.check` does."""
    outcome = submit_all(door, [asked])[asked.request_id]
    if not isinstance(outcome, JobState):
        raise outcome
    return outcome


def submit_all(door: Door, asked: Sequence[Asked]) -> dict[Bytes32, JobState | Rejected | WorldError]:
    """As `submit` for each; what it would raise for one stands in its place. Raises StoreError."""
    known = door.store.states_of([one.request_id for one in asked])
    outcomes: dict[Bytes32, JobState | Rejected | WorldError] = {i: state for i, state in known.items() if state is not JobState.REFUSED}
    fresh = [one for one in asked if one.request_id not in outcomes]
    if not fresh:
        return outcomes
    taken: list[Asked] = []
    room = MAX_OPEN_JOBS - door.store.count_open()
    owed = {who: sum(fees.values()) for who, fees in door.store.fees_owed(list({one.request.requester for one in fresh})).items()}
    if isinstance(door.chain, RecentChain) and len(fresh) > 1:
        door.chain.foresee([one.request_id for one in fresh])
    for one in fresh:
        try:
            if len(taken) >= room:
                raise RateLimited("requests waiting at this node", f"fewer than {MAX_OPEN_JOBS}", "that many")
            check(one, door.chain, door.library, door.terms, owed[one.request.requester])
        except (Rejected, WorldError) as error:
            outcomes[one.request_id] = error
        else:
            owed[one.request.requester] += one.request.fee_wei
            taken.append(one)
    if taken:
        outcomes |= door.store.enqueue_all(taken)
        door.on_accepted()
    return outcomes


def make_app(door: Door) -> FastAPI:
    """The application of one running node."""
    app = FastAPI(title="Affidavit node", version="1", docs_url=None, redoc_url=None)
    one = 2 * door.terms.max_input_bytes + 8192  # hex, and the fields around it
    app.add_middleware(BodyLimit, limit=one, larger={"/v1/requests/many": max(one, MAX_BATCH_BYTES)})
    install_errors(app)
    _add_requests(app, door)
    _add_operations(app, door)
    return app


def _add_requests(app: FastAPI, door: Door) -> None:
    @app.post("/v1/requests", status_code=202)
    async def post_request(request: Request) -> JSONResponse:
        asked = asked_from_json(_parse_json(await request.body()), door.chain.domain)
        state = await run_in_threadpool(submit, door, asked)
        return JSONResponse({"request_id": to_hex(asked.request_id), "state": state.value}, 202)

    @app.post("/v1/requests/many")
    async def post_requests(request: Request) -> JSONResponse:
        items = _listed(_parse_json(await request.body()), "requests")
        return JSONResponse({"requests": await run_in_threadpool(_take_requests, door, items)})

    @app.get("/v1/claims/{request_id}")
    def get_claim(request_id: str) -> JSONResponse:
        wanted = parse_bytes32(request_id, "request id")
        status, body = _claim_answer(door, door.store.job(wanted), door.store.guarded_all([wanted], door.chain.domain))
        answer = JSONResponse(body, status, media_type=PROBLEM if status >= 400 else None)
        answer.headers[BATCH_HEADER] = str(MOST_ASKED_AT_ONCE)
        return answer

    @app.post("/v1/claims")
    async def post_claims(request: Request) -> JSONResponse:
        wanted = _wanted_ids(_parse_json(await request.body()))
        return JSONResponse({"claims": await run_in_threadpool(_claim_answers, door, wanted)})

    @app.get("/v1/models")
    def get_models() -> dict[str, Any]:
        models = [_model_json(model) for model in door.library]
        terms = door.terms
        fees = {"minimum_fee_wei": str(terms.minimum_fee_wei), "minimum_proof_fee_wei": str(terms.minimum_proof_fee_wei)}
        return fees | {"proves": terms.proves, "models": models}


def _parse_json(body: bytes) -> object:
    try:
        return json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise MalformedInput("body", "JSON", str(error)[:80]) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A field given twice is refused: whoever looked at the body before us may have read the other one."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise MalformedInput("body", "every field once", f"{twice!r:.60} twice")
    return fields


def _wanted_ids(value: object) -> list[Bytes32]:
    """Raises MalformedInput."""
    return [parse_bytes32(one, "request id") for one in _listed(value, "request_ids")]


def _listed(value: object, name: str) -> list[Any]:
    listed = require_fields(value, "body", {name})[name]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_ASKED_AT_ONCE:
        raise MalformedInput(name, f"a list of 1 to {MOST_ASKED_AT_ONCE}", type(listed).__name__)
    return listed


def _take_requests(door: Door, items: Sequence[object]) -> dict[str, Any]:
    """What POST answers about each. One that is no request stops nobody else, and is not answered about: it has no id."""
    asked: dict[Bytes32, Asked] = {}
    for item in items:
        try:
            one = asked_from_json(item, door.chain.domain)
        except Rejected:
            continue
        asked[one.request_id] = one
    outcomes = submit_all(door, list(asked.values())) if asked else {}
    return {to_hex(request_id): _request_answer(request_id, outcome) for request_id, outcome in outcomes.items()}


def _request_answer(request_id: Bytes32, outcome: JobState | Rejected | WorldError) -> dict[str, Any]:
    if isinstance(outcome, JobState):
        return {"status": 202, "body": {"request_id": to_hex(request_id), "state": outcome.value}}
    status = status_of(outcome)
    return {"status": status, "body": problem_document(status, type(outcome).__name__, str(outcome))}


def _claim_answers(door: Door, wanted: Sequence[Bytes32]) -> dict[str, Any]:
    """What GET answers about each, until that is MAX_BATCH_BYTES; at least about the first."""
    answers: dict[str, Any] = {}
    size = 0
    jobs = door.store.find_all(wanted)
    signed = door.store.guarded_all([i for i, job in jobs.items() if job.state is JobState.ANSWERED], door.chain.domain)
    for request_id in wanted:
        job = jobs.get(request_id)
        unknown = (404, problem_document(404, "RequestUnknown", "not seen here"))
        status, body = unknown if job is None else _claim_answer(door, job, signed)
        size += sum(len(str(value)) for value in body.values())
        if answers and size > MAX_BATCH_BYTES:
            break
        answers[to_hex(request_id)] = {"status": status, "body": body}
    return answers


def _claim_answer(door: Door, job: Job, guarded: Mapping[Bytes32, Guarded]) -> tuple[int, dict[str, Any]]:
    """Status and document. A claim that is in the guard but not ANSWERED is not shown: its result is not in the log yet."""
    if job.state is JobState.ANSWERED:
        signed = require_guarded(guarded, job.asked.request_id).signed
        enclave, bls = _sign_in_enclave(door, job, signed.claim), _sign_with_bls(door, signed.claim)
        return 200, signed_claim_to_json(replace(signed, proof=job.proof, enclave=enclave, bls=bls))
    state = job.state.value
    if job.state is JobState.REFUSED:
        return 422, problem_document(422, job.problem or "Rejected", job.problem_detail or "refused") | {"state": state}
    if job.state is JobState.BROKEN:
        told = "this node failed on this request and will not try it again"
        return 500, problem_document(500, "InternalError", told) | {"state": state}
    return 202, {"state": state}


def _sign_in_enclave(door: Door, job: Job, claim: Claim) -> bytes:
    """The enclave's signature, where the request demands one and this node has one. Of the guarded claim alone, and always the same."""
    if door.enclave is None or not unpack_policy(job.asked.request.policy).enclave:
        return b""
    return door.enclave.sign_digest(compute_claim_digest(claim, door.chain.domain))


def _sign_with_bls(door: Door, claim: Claim) -> bytes:
    """Of the guarded claim alone, and always the same; empty where this node has no BLS key."""
    return b"" if door.sign_bls is None else door.sign_bls(compute_claim_digest(claim, door.chain.domain))


def _model_json(model: ServedModel) -> dict[str, Any]:
    directory = model.directory
    return {
        "model_id": to_hex(directory.model_id),
        "kind": directory.kind.name.lower(),
        "name": directory.name,
        "manifest_digest": to_hex(directory.manifest_digest),
        "runtime": asdict(model.runtime),
    }


def _add_operations(app: FastAPI, door: Door) -> None:
    @app.get("/health")
    def get_health() -> dict[str, Any]:
        return {"status": "alive", "node": door.name, **door.endpoints()}

    @app.get("/ready")
    def get_ready() -> JSONResponse:
        found = {name: _is_ready(check_one) for name, check_one in door.readiness.items()}
        is_ready = all(there for name, there in found.items() if name not in door.tolerated)
        is_degraded = is_ready and (not all(found.values()) or door.store.owed.count() > 0)
        return JSONResponse({"ready": is_ready, "degraded": is_degraded, **found}, 200 if is_ready else 503)

    @app.get("/metrics")
    def get_metrics() -> Response:
        return Response(generate_latest(door.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _is_ready(check_one: Check) -> bool:
    try:
        check_one()
    except (Rejected, WorldError) as error:
        journal.get("http").warning("not ready", error=str(error))
        return False
    return True
