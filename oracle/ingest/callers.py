"""Who may call through a proxy: a token each, of which the proxy knows the digest, in the form of a log's tokens file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from oracle.audit.access import new_token, write_tokens
from oracle.audit.record import require_writer
from oracle.config import write_secret
from oracle.errors import ConfigRejected


def new_callers(directory: Path, names: Sequence[str]) -> dict[str, Path]:
    """Writes callers.json and a token file for each name. Raises ConfigRejected where one is there, EntryRejected for a bad name."""
    if len(set(names)) != len(names):
        raise ConfigRejected("callers", "each name once", "one twice")
    tokens = {require_writer(name): new_token() for name in names}
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigRejected(f"directory {directory}", "one that can be made", error.strerror) from error
    write_tokens(directory / "callers.json", tokens, {})
    files = {name: directory / f"{name}.token" for name in tokens}
    for name, path in files.items():
        write_secret(path, "token file", tokens[name] + "\n")
    return files
