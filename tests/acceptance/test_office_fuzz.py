"""The office's part of the OpenAPI document, fuzzed like the rest (test_api_fuzz.py): no 500, no answer the document does not promise.

By somebody with every role, so that requests get as far as their data lets them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from oracle.office.gate import ANYBODY, PREFIX, declarations
from oracle.office.people import Role
from tests.acceptance.test_api_fuzz import RUN
from tests.twins.office_api import OfficeNetwork, office_network

FAST, SLOW = 15, 300
TAKES_NOTHING = {f"{PREFIX}/{name}" for name in ("settings", "me", "completeness", "operations", "oidc/start", "oidc/callback")}
LOG_FILES = {("GET", "/log/checkpoint"), ("GET", "/log/witnessed"), ("GET", "/log/tile/{path}")}


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OfficeNetwork]:
    with office_network(tmp_path_factory.mktemp("office-fuzz")) as made:
        made.add_person("everything", *Role)
        for number in range(3):
            made.log_call(number)
        yield made


@pytest.fixture(scope="module")
def schema(office: OfficeNetwork) -> Any:
    return schemathesis.openapi.from_asgi("/openapi.json", office.app)


@pytest.fixture(scope="module")
def known(office: OfficeNetwork) -> list[str]:
    """Ids of cases of each kind, asked for by somebody else, and one of none."""
    dpo, auditor = office.client("dpo"), office.client("auditor")
    made = [
        auditor.post(f"{PREFIX}/disclosures", json={"indices": [0], "reason": "why", "minutes": 5}),
        dpo.post(f"{PREFIX}/holds", json={"scope": {"index": 1}, "reason": "why"}),
        dpo.post(f"{PREFIX}/erasures", json={"scope": {"indices": [2]}, "reason": "why"}),
        auditor.post(f"{PREFIX}/samples", json={"size": 2}),
    ]
    assert [answer.status_code for answer in made] == [201] * 4
    return [*(answer.json()["id"] for answer in made), "0" * 32]


def operations(office: OfficeNetwork) -> list[tuple[str, str]]:
    found = [(route.method, route.path) for route in declarations(office.app)]
    return sorted({*found, *LOG_FILES})


def cases(office: OfficeNetwork, mode: GenerationMode) -> list[tuple[str, str]]:
    """Operations for a mode: what takes nothing cannot be given anything that does not fit."""
    taking = [o for o in operations(office) if o[1] not in TAKES_NOTHING and o not in LOG_FILES | {("DELETE", f"{PREFIX}/session")}]
    return operations(office) if mode is GenerationMode.POSITIVE else taking


def fuzz(office: OfficeNetwork, schema: Any, known: list[str], route: tuple[str, str], mode: GenerationMode, examples: int) -> None:
    method, path = route

    @seed(20261122)
    @settings(max_examples=examples, **RUN)
    @given(case=schema[path][method].as_strategy(generation_mode=mode), case_id=st.sampled_from([*known, None]), index=st.integers(0, 8))
    def run(case: Any, case_id: str | None, index: int) -> None:
        parameters = case.path_parameters or {}
        if case_id is not None and "case_id" in parameters:
            parameters["case_id"] = case_id
            if "index" in parameters:
                parameters["index"] = index
        case.headers = {**(case.headers or {}), "authorization": f"Bearer {office.tokens['everything']}"}
        # No schema can say which entries and cases exist, or who has approved what: data that fits may still be refused, with a reason.
        case.call_and_validate(excluded_checks=[positive_data_acceptance, ignored_auth])

    run()


def test_every_operation_of_the_office_is_in_the_document(office: OfficeNetwork, schema: Any) -> None:
    document = office.client().get("/openapi.json").json()
    listed = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert set(operations(office)) <= listed
    for method, path in operations(office):
        operation = document["paths"][path][method.lower()]
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"] == ["office"]
    needs = {(route.method, route.path): route.needs[0] for route in declarations(office.app)}
    for route, need in needs.items():
        responses = document["paths"][route[1]][route[0].lower()]["responses"]
        assert need == ANYBODY or {"401", "403"} <= responses.keys(), route


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_fuzz(office: OfficeNetwork, schema: Any, known: list[str], mode: GenerationMode) -> None:
    for route in cases(office, mode):
        fuzz(office, schema, known, route, mode, FAST)


@pytest.mark.slow
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_fuzz_long(office: OfficeNetwork, schema: Any, known: list[str], mode: GenerationMode) -> None:
    for route in cases(office, mode):
        fuzz(office, schema, known, route, mode, SLOW)
