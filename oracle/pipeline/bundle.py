"""Taking an evidence bundle: an auditor's log and chain, with whole blocks read beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from oracle.audit.blocks import RpcBlocks
from oracle.audit.bundle import Place, write_directory, write_zip
from oracle.pipeline.audit import Auditor
from oracle.records import Address
from oracle.relay.deployment import load_deployment


def open_place(auditor: Auditor, rpc: str | Sequence[str], deployment: Path, anchor_key: Address | None) -> Place:
    """`deployment` as the auditor has it. Raises ConfigRejected."""
    return Place(auditor.view, auditor.chain, RpcBlocks(rpc), load_deployment(deployment).audit_anchor, anchor_key)


def write_bundle(files: Mapping[str, bytes], out: Path) -> None:
    """A zip where the name ends so, else a directory. Raises ConfigRejected for what is there already."""
    (write_zip if out.suffix == ".zip" else write_directory)(files, out)
