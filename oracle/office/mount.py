"""The office inside the API's application."""

from __future__ import annotations

from fastapi import FastAPI

from oracle.office.desk import Office
from oracle.office.gate import require_declared
from oracle.office.metrics import OfficeCollector
from oracle.office.pages import Pages
from oracle.office.routes import disclosures, entrance, erasures, evidence, holds, logfiles, operations, overview, records, reviews

TAG = {"name": "office", "description": "For auditors and other people with a role: records, reviews, disclosures, holds, erasures."}


def mount_office(app: FastAPI, office: Office) -> None:
    """Adds the office's routes and pages. Raises InvariantBroken for a route that does not say who may use it."""
    app.state.office = office
    app.state.metrics.registry.register(OfficeCollector(office))
    for group in (entrance, overview, records, reviews, disclosures, holds, erasures, evidence, operations, logfiles):
        app.include_router(group.router)
    require_declared(app)
    app.add_middleware(Pages, directory=office.pages, rpc_url=office.public.rpc_url)
