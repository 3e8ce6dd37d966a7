"""Files that survive: written beside their place, made durable, moved into it, and the directory made durable too.

Tiles are immutable: a file that exists is never written again with other bytes. The order of system calls is what makes a crash
leave either nothing or the whole file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from oracle.errors import LogRefused, StoreError

_TEMPORARY = ".tmp"


def write_immutable(directory: Path, contents: Mapping[str, bytes]) -> None:
    """Makes each file durable below `directory`. Raises LogRefused where another content is there already, StoreError on I/O errors."""
    try:
        parents = {_write_new(directory, path, data) for path, data in contents.items()}
        for parent in sorted(parents):
            _sync_directory(parent)
    except OSError as error:
        raise StoreError(f"cannot write the log's files below {directory}") from error


def _write_new(directory: Path, path: str, data: bytes) -> Path:
    target = directory / path
    if target.exists():
        if (found := target.read_bytes()) != data:
            raise LogRefused(f"log file {path}", f"the {len(data)} bytes once written", f"{len(found)} other bytes")
        return target.parent
    _make_directories(target.parent)
    _write_synced(target, data)
    return target.parent


def replace_file(target: Path, data: bytes) -> None:
    """Replaces one small file so that readers see the old or the new bytes, never a mixture. Raises StoreError."""
    try:
        _make_directories(target.parent)
        _write_synced(target, data)
        _sync_directory(target.parent)
    except OSError as error:
        raise StoreError(f"cannot write {target}") from error


def _write_synced(target: Path, data: bytes) -> None:
    temporary = target.with_name(target.name + _TEMPORARY)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, target)


def _make_directories(directory: Path) -> None:
    """Creates missing directories, each made durable in its parent."""
    missing = []
    while not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_partials(directory: Path, paths: Iterable[str]) -> None:
    """Removes the partial tiles of full ones (`<path>.p/`). Nothing depends on it: what a crash leaves is only space."""
    for path in paths:
        partials = directory / (path + ".p")
        if partials.is_dir():
            for file in partials.iterdir():
                file.unlink()
            partials.rmdir()
