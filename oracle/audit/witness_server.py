"""A witness's HTTP door (c2sp.org/tlog-witness).

POST /add-checkpoint             200 cosignature line · 400 malformed · 403 not the log's signature · 404 unknown log
                                 409 another old size, the body says which · 422 the proof does not hold, or another root at that size
GET  /<origin hash>/checkpoint   the newest checkpoint it cosigned, with both signatures; 404 before the first
GET  /health /ready /metrics
"""

from __future__ import annotations

from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from starlette.concurrency import run_in_threadpool

from oracle.audit.cosigner import OtherSize, SubmissionRefused, Witness
from oracle.audit.submission import MAX_SUBMISSION_BYTES, SIZE_TYPE
from oracle.http import BodyLimit, install_errors, problem

_TEXT = "text/plain; charset=utf-8"


def make_app(witness: Witness) -> FastAPI:
    """The application of one witness."""
    app = FastAPI(title="Affidavit witness", version="1", docs_url=None, redoc_url=None)
    app.add_middleware(BodyLimit, limit=MAX_SUBMISSION_BYTES)
    install_errors(app)
    registry = CollectorRegistry()
    answers = Counter("affidavit_witness_answers", "Answers to add-checkpoint by status", ["status"], registry=registry)
    _add_protocol(app, witness, answers)
    _add_operations(app, witness, registry)
    return app


def _add_protocol(app: FastAPI, witness: Witness, answers: Counter) -> None:
    @app.post("/add-checkpoint")
    async def add_checkpoint(request: Request) -> Response:
        """The cosignature of a checkpoint that extends the last one."""
        answer = await run_in_threadpool(_answer, witness, await request.body())
        answers.labels(answer.status_code).inc()
        return answer

    @app.get("/{origin_hash}/checkpoint")
    def checkpoint(origin_hash: str) -> Response:
        """The newest checkpoint cosigned of the log whose origin has this SHA-256."""
        found = witness.latest_by_hash(origin_hash)
        if found is None:
            raise HTTPException(404, "no checkpoint of such a log")
        return Response(found.note.encode(), media_type=_TEXT, headers={"cache-control": "no-cache"})


def _answer(witness: Witness, body: bytes) -> Response:
    try:
        return Response(witness.add_checkpoint(body).encode(), media_type=_TEXT)
    except OtherSize as refusal:
        return Response(f"{refusal.known}\n".encode(), 409, headers={"content-type": SIZE_TYPE})
    except SubmissionRefused as refusal:
        return problem(refusal.status, "SubmissionRefused", str(refusal))


def _add_operations(app: FastAPI, witness: Witness, registry: CollectorRegistry) -> None:
    @app.get("/health")
    def health() -> dict[str, str]:
        """The process is alive."""
        return {"status": "alive"}

    @app.get("/ready")
    def ready() -> dict[str, object]:
        """Its database answers. The forks it can prove are told here, for whoever watches it."""
        return {"status": "ready", "vkey": str(witness.signer.verifier), "logs": sorted(witness.logs), "forks": len(witness.forks())}

    @app.get("/metrics")
    def scrape() -> Response:
        """Prometheus metrics."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
