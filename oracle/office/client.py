"""The office over HTTP, for the command line and other programs of people with a role."""

from __future__ import annotations

from typing import Any

import httpx

from oracle.errors import PeerError
from oracle.office.gate import PREFIX
from oracle.pipeline.client import error_of

TIMEOUT_SECONDS = 30.0


class OfficeClient:
    """One person's connection. Raises PeerError where the office does not answer, and the office's own error class where it refuses."""

    def __init__(self, base_url: str, token: str, transport: httpx.BaseTransport | None = None) -> None:
        headers = {"authorization": f"Bearer {token}"}
        self._url = base_url.rstrip("/")
        self._http = httpx.Client(base_url=self._url + PREFIX, headers=headers, timeout=TIMEOUT_SECONDS, transport=transport)

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._ask("POST", path, json=body or {})

    def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, path, **more)
            body = answer.json()
        except httpx.HTTPError as error:
            raise PeerError(f"the office at {self._url} does not answer") from error
        except (ValueError, RecursionError) as error:
            raise PeerError(f"the office answered {answer.status_code} without JSON") from error
        if not isinstance(body, dict):
            raise PeerError("the office answered with something that is not a JSON object") from None
        if answer.is_success:
            return body
        raise error_of(answer.status_code, body)
