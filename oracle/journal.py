"""Structured logs: one JSON object a line on standard error, without secrets.

Called `journal` so that `log` can mean the audit log, everywhere.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast
from urllib.parse import urlsplit

import structlog

_SECRET_NAME = re.compile(r"password|passphrase|secret|private|token|mnemonic|authorization|keystore_content", re.IGNORECASE)

_ADDRESS = re.compile(r"(?:\w+://|\burl: /)[^\s\"'<>()]+")
_CREDENTIALS = re.compile(r"(?<=://)[^/@]+@")
_KEY_IN_ADDRESS = re.compile(r"(?<=[/=])(?!0x)[\w-]{20,}")


def _hide_keys_in_address(address: re.Match[str]) -> str:
    return _KEY_IN_ADDRESS.sub("[hidden]", _CREDENTIALS.sub("[hidden]@", address[0]))


def _hide_keys_in_addresses(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Providers of RPC put the customer's key into the URL, and every error of the HTTP client quotes it. Request ids ("0x…") stay."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = _ADDRESS.sub(_hide_keys_in_address, value)
    return event


def _hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A value whose name sounds like a secret is replaced: a guard behind the rule that none is passed here at all."""
    for name in event:
        if _SECRET_NAME.search(name):
            event[name] = "[hidden]"
    return event


def _write_bytes_as_hex(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in event.items():
        if isinstance(value, bytes):
            event[name] = "0x" + value.hex()
    return event


def redact_url(url: str) -> str:
    """What may be said of an address that may hold a key: scheme, host and port. Anything else of it may be the key."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "[hidden]"
    if not parts.scheme or not host:
        return "[hidden]"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


class _RedactUrls(logging.Filter):
    """The HTTP client writes the whole URL of every request to its own log."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redact_url(str(a)) if "://" in str(a) else a for a in record.args)
        return True


_REDACT_URLS = _RedactUrls()


def hide_urls_of_http_client() -> None:
    """From now on httpx logs no more of a URL than `redact_url` leaves. Called by whatever asks an address that may hold a key."""
    logging.getLogger("httpx").addFilter(_REDACT_URLS)


class _Lossy:
    """A stream on which nothing fails: whoever tells the journal that the disk is full must not end of the same."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure(process: str, level: str = "info") -> None:
    """Sets up this process's journal; `process` is on every line, of every thread (context variables would be the first thread's alone)."""

    def name_process(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            name_process,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _write_bytes_as_hex,
            _hide_secrets,
            _hide_keys_in_addresses,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Lossy(sys.stderr))),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> Any:
    """A logger whose lines carry `part=name`."""
    return structlog.get_logger(part=name)
