"""Failures of the disk and the databases below a log, at a chosen effect."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.exc import OperationalError


class Saboteur:
    """Fails the n-th of the system calls and commits of an append, once, or every one from then on; counts them all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fail_at: int | None, for_good: bool = False) -> None:
        self.count, self.fail_at, self.for_good = 0, fail_at, for_good
        for name in ("open", "write", "fsync", "replace"):
            monkeypatch.setattr(os, name, self.wrap(getattr(os, name)))
        self.is_armed = False
        event.listen(Engine, "commit", self.on_commit)

    def strike(self) -> bool:
        if self.is_armed:
            self.count += 1
        if not self.is_armed or self.fail_at is None:
            return False
        return self.count >= self.fail_at if self.for_good else self.count == self.fail_at

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.strike():
                raise OSError(28, "No space left on device")
            return real(*arguments, **named)

        return call

    def on_commit(self, _connection: Any) -> None:
        if self.strike():
            raise OperationalError("COMMIT", {}, OSError("disk I/O error"))

    def leave(self) -> None:
        event.remove(Engine, "commit", self.on_commit)
