"""The FastAPI application, and the process `affidavit api`."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from oracle import http, journal
from oracle.api.desk import problems
from oracle.api.examples import document
from oracle.api.observe import Metrics, Observe
from oracle.api.routes import events, health, models, quotes, receipts, requests
from oracle.api.seats import Seats
from oracle.config import Config
from oracle.errors import ConfigRejected
from oracle.office.desk import Office, open_office
from oracle.office.mount import TAG as OFFICE_TAG
from oracle.office.mount import mount_office
from oracle.pipeline.api import Desk, open_desk
from oracle.pipeline.background import Background
from oracle.relay.deployment import load_deployment
from oracle.relay.metrics import EndpointCollector

DESCRIPTION = """
Ask for verified inference, follow it, and fetch what proves it.

Answers are the operators', the quorum's and the chain's: this API adds no trust of its own. Everything it says about a receipt is read from
the chain, and everything about a proof can be verified offline against the log's verifier key.
""".strip()

TAGS = [
    {"name": "models", "description": "What can be asked, and how inputs are encoded."},
    {"name": "requests", "description": "Asking, following, and what came of it."},
    {"name": "operations", "description": "Health, readiness and metrics."},
]


def create_app(desk: Desk, office: Office | None = None) -> FastAPI:
    """The application over an open desk, with an office where there is one. The caller closes both."""
    app = FastAPI(
        title="Affidavit",
        version=version("affidavit"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=[*TAGS, OFFICE_TAG] if office else TAGS,
        responses=problems(413),
        redirect_slashes=False,
        # The page that reads the document takes scripts from elsewhere. Beside an office they would act with a person's session.
        docs_url=None if office else "/docs",
        redoc_url=None if office else "/redoc",
    )
    app.state.desk = desk
    app.state.metrics = Metrics()
    if desk.endpoints is not None:
        app.state.metrics.registry.register(EndpointCollector(desk.endpoints))
    app.state.seats = Seats(desk.max_event_streams)
    http.install_errors(app)
    app.add_middleware(http.BodyLimit, limit=desk.max_body_bytes)
    # Nothing here hangs on cookies or on where a browser's page comes from, so every page may ask.
    headers = ["content-type", "last-event-id"]
    app.add_middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=headers, expose_headers=["x-request-id"]
    )
    for group in (models, quotes, requests, events, receipts, health):
        app.include_router(group.router)
    if office is not None:
        mount_office(app, office)
    app.add_middleware(Observe, metrics=app.state.metrics)
    _document(app, desk)
    return app


def _document(app: FastAPI, desk: Desk) -> None:
    """Replaces FastAPI's cached document by one whose examples hold on this deployment, today."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        return document(plain(), desk)

    app.openapi = openapi  # type: ignore[method-assign]


def run_api(config: Config) -> None:
    """Serves until SIGINT or SIGTERM. Raises ConfigRejected where the file has no [api] table."""
    if config.api is None:
        raise ConfigRejected("configuration", "a table [api]", "none")
    journal.configure("api")
    with ExitStack() as stack:
        desk, office = stack.enter_context(open_desk(config)), None
        if config.office is not None:
            anchor = load_deployment(config.chain.deployment).audit_anchor
            office = stack.enter_context(open_office(config, desk, anchor))
        steps = office.steps() if office else {}
        Background().run(steps, create_app(desk, office), config.api.listen)
