"""seeds/manifest.json: size and Keccak-256 of every model, data set, request and training script, in RFC 8785 canonical JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rfc8785

from circuits.manifest import FileDigest

SEEDS = Path(__file__).resolve().parent.parent
FOLDERS = ("data", "models", "requests", "training")


def compute_manifest() -> bytes:
    """The manifest of what lies in the folders now."""
    files = [f for folder in FOLDERS for f in (SEEDS / folder).rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    digests: dict[str, Any] = {}
    for file in sorted(files):
        digest = FileDigest.of(file.read_bytes())
        digests[file.relative_to(SEEDS).as_posix()] = {"bytes": digest.size, "keccak256": digest.keccak256}
    return rfc8785.dumps({"affidavit": "seeds/1", "files": digests})


def main() -> None:
    (SEEDS / "manifest.json").write_bytes(compute_manifest())


if __name__ == "__main__":
    main()
