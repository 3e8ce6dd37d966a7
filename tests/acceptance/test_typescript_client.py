"""The TypeScript client against a running network: clients/typescript/test/network.test.ts."""

from __future__ import annotations

from pathlib import Path

from oracle.demo.local_keys import local_account
from oracle.demo.network import Network
from oracle.encoding import to_hex
from tests.clients.test_typescript import bundle, run_node


def test_asking_following_believing(network: Network, tmp_path: Path) -> None:
    key = tmp_path / "requester.hex"  # of a publicly known account of local chains
    key.write_text(to_hex(bytes(local_account("requester").key)))
    model_id = to_hex(network.model_ids["digits-mlp/canonical"])
    run_node(
        bundle("network.test", tmp_path),
        **network.environment(),
        AFFIDAVIT_TEST_KEY_FILE=str(key),
        AFFIDAVIT_MODEL_ID=model_id,
    )
