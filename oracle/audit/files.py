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
    """Makes each file durable below `directory`. Raises LogRefused where another content is there already, StoreError on I/O errors.

    All data is written before any is synced, and all is synced before any is named: after the first sync the file system has little left
    to do for the others.
    """
    try:
        targets = {directory / path: data for path, data in contents.items()}
        missing = {target: data for target, data in targets.items() if not _is_written(target, data)}
        for parent in {target.parent for target in missing}:
            _make_directories(parent)
        _write_synced(missing)
        for parent in sorted({target.parent for target in targets}):
            _sync_directory(parent)
    except OSError as error:
        raise StoreError(f"cannot write the log's files below {directory}") from error


def _is_written(target: Path, data: bytes) -> bool:
    """Whether the file is there with these bytes. Raises LogRefused for others."""
    if not target.exists():
        return False
    if (found := target.read_bytes()) != data:
        raise LogRefused(f"log file {target.name}", f"the {len(data)} bytes once written", f"{len(found)} other bytes in {target}")
    return True


def replace_file(target: Path, data: bytes) -> None:
    """Replaces one small file so that readers see the old or the new bytes, never a mixture. Raises StoreError."""
    try:
        _make_directories(target.parent)
        _write_synced({target: data})
        _sync_directory(target.parent)
    except OSError as error:
        raise StoreError(f"cannot write {target}") from error


def _write_synced(contents: Mapping[Path, bytes]) -> None:
    temporaries = {target: target.with_name(target.name + _TEMPORARY) for target in contents}
    descriptors: list[int] = []
    try:
        for target, data in contents.items():
            descriptors.append(os.open(temporaries[target], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644))
            _write_all(descriptors[-1], data)
        for descriptor in descriptors:
            os.fsync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    for target, temporary in temporaries.items():
        os.replace(temporary, target)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


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
