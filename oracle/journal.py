"""Structured logs: one JSON object a line on standard error, without secrets.

Called `journal` so that `log` can mean the audit log, everywhere.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

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
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> Any:
    """A logger whose lines carry `part=name`."""
    return structlog.get_logger(part=name)
