"""Telling alarms to somebody else's HTTP endpoint: `POST` of one JSON object, again until a 2xx says that it was taken.

    {"format": "affidavit/alarm@1", "event": "raised", "id": "…", "kind": "fork", "severity": "critical", "origin": "…", "subject": "…",
     "text": "…", "since": 1795334400, "time": 1795334400, "evidence": {"kept": "<signed note>", "shown": "<signed note>"}}

At least once and in order: whoever listens drops a repeated (id, event).
"""

from __future__ import annotations

from types import TracebackType

import httpx

from oracle import journal
from oracle.audit import alarms
from oracle.audit.monitor_store import MonitorStore
from oracle.errors import ConfigRejected, PeerError
from oracle.seams import Clock

TIMEOUT_SECONDS = 10.0


class Webhook:
    """Empties a monitor's outbox. Used by one thread."""

    def __init__(self, url: str, store: MonitorStore, clock: Clock, transport: httpx.BaseTransport | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigRejected("webhook", "an http or https URL", url[:80])
        self._url = url
        self._store = store
        self._clock = clock
        self._http = httpx.Client(timeout=TIMEOUT_SECONDS, transport=transport)

    def __enter__(self) -> Webhook:
        return self

    def __exit__(self, _type: type[BaseException] | None, _value: BaseException | None, _trace: TracebackType | None) -> None:
        self._http.close()

    def deliver_once(self) -> bool:
        """Sends the oldest message; False where none is due, or it was not taken and waits."""
        now = int(self._clock.now().timestamp())
        with self._store.transaction() as connection:
            message = alarms.next_message(connection, now)
        if message is None:
            return False
        try:
            self._post(message.body)
        except PeerError as error:
            journal.get("webhook").warning("an alarm was not taken", attempts=message.attempts + 1, reason=str(error))
            with self._store.transaction() as connection:
                alarms.message_failed(connection, message, now)
            return False
        with self._store.transaction() as connection:
            alarms.message_taken(connection, message)
        return True

    def _post(self, body: str) -> None:
        try:
            with self._http.stream("POST", self._url, content=body.encode(), headers={"content-type": "application/json"}) as answer:
                status = answer.status_code  # what else it says is not read
        except httpx.HTTPError as error:
            raise PeerError(f"the webhook did not answer: {type(error).__name__}") from error
        if not 200 <= status < 300:
            raise PeerError(f"the webhook answered {status}")
