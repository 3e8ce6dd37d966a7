"""The embedded chain: starts on its own port with the right rules, keeps its state, and never outlives its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import pytest

from oracle.attest.sign import AccountSigner
from oracle.errors import ChainError, WorldError
from oracle.relay import anvil
from oracle.relay.anvil import running_chain, start_chain
from oracle.relay.endpoint import Endpoint
from oracle.relay.failures import CallReverted, EndpointRefused, FailureKind, classify_failure
from oracle.relay.sender import Sender
from oracle.relay.transact import Call, Fees, sign_transaction
from tests.chain.conftest import account, plain_call


def test_two_chains_at_once_and_stopping() -> None:
    with running_chain(chain_id=11) as first, running_chain(chain_id=12) as second:
        assert first.rpc != second.rpc
        assert (Endpoint(first.rpc).chain_id(), Endpoint(second.rpc).chain_id()) == (11, 12)
    assert first.process.poll() is not None
    assert second.process.poll() is not None


def test_rules_are_osakas() -> None:
    """The precompile of EIP-7951 (secp256r1) answers, and EIP-7825's cap holds."""
    with running_chain() as chain:
        endpoint, signer = Endpoint(chain.rpc), AccountSigner(account(0))
        assert endpoint.estimate_gas(Call(plain_call("0x0000000000000000000000000000000000000100").to, bytes(160)), signer.address) > 27_000
        over = sign_transaction(plain_call(account(1).address), 31337, 0, 16_777_216, Fees(10**10, 10**9), signer)
        endpoint.send_raw(over.raw)
        assert endpoint.receipt(over.hash) is not None


def test_state_survives_a_stop(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with running_chain(state=state) as chain:
        Sender(Endpoint(chain.rpc), AccountSigner(account(0))).send(plain_call(account(9).address, 5))
        after = Endpoint(chain.rpc).ether_of(account(9).address)
    assert state.exists()
    with running_chain(state=state) as chain:
        assert Endpoint(chain.rpc).ether_of(account(9).address) == after
        assert Endpoint(chain.rpc).nonce(account(0).address, "latest") == 1


@pytest.mark.parametrize(("states", "least", "most"), [(100, 1, 100), (50, 0, 0)])
def test_states_of_past_blocks_do_not_fill_the_disk(states: int, least: int, most: int) -> None:
    """Anvil writes one file a block with everything on the chain, keeps all of them, and leaves them behind where it is not told."""
    with running_chain(states=states) as chain:
        httpx.post(chain.rpc, json={"jsonrpc": "2.0", "id": 1, "method": "anvil_mine", "params": [hex(700)]}).raise_for_status()
        newest = Endpoint(chain.rpc).block("latest")
        assert newest is not None
        assert newest.number == 700
        assert least <= len(list(chain.states.rglob("*.json"))) <= most
        assert Endpoint(chain.rpc).block(1) is not None  # blocks are all there
    assert not chain.states.exists()


def test_chain_dies_with_its_killed_owner() -> None:
    code = (
        "import sys, time; from oracle.relay.anvil import start_chain; c = start_chain(); print(c.process.pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1][:3]:
        assert time.monotonic() < deadline, "the chain outlived its owner"
        time.sleep(0.02)


def test_states_of_a_killed_chain_are_removed_when_the_next_starts_and_those_of_a_running_one_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running_chain() as running:
        killed = start_chain()
        killed.process.kill()
        killed.process.wait()
        assert killed.states.exists()
        with running_chain() as next_one:
            assert sorted(tmp_path.iterdir()) == sorted((running.states, next_one.states))
    assert list(tmp_path.iterdir()) == []


def test_a_chain_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorldError, match="did not start"):
        start_chain(options=("--no-such-option",))
    monkeypatch.setattr(anvil.Path, "glob", lambda *_: iter(()))
    monkeypatch.setattr(anvil.shutil, "which", lambda _: None)
    with pytest.raises(WorldError, match="not installed"):
        start_chain()


def test_refusals_of_a_real_endpoint_have_classes() -> None:
    """What this anvil says today still falls into the classes of `failures`."""
    with running_chain() as chain:
        endpoint, signer, fees = Endpoint(chain.rpc), AccountSigner(account(0)), Fees(10**10, 10**9)
        good = sign_transaction(plain_call(account(1).address), 31337, 0, 21_000, fees, signer)
        endpoint.send_raw(good.raw)
        cases = [
            (sign_transaction(plain_call(account(2).address), 31337, 0, 21_000, fees, signer), FailureKind.NONCE),
            (sign_transaction(plain_call(account(1).address), 31337, 1, 21_000, Fees(1, 1), signer), FailureKind.PROVIDER),
            (sign_transaction(plain_call(account(1).address, 10**30), 31337, 1, 21_000, fees, signer), FailureKind.PROVIDER),
        ]
        for signed, kind in cases:
            with pytest.raises(ChainError) as raised:
                endpoint.send_raw(signed.raw)
            assert classify_failure(raised.value) is kind, raised.value
        with pytest.raises(CallReverted):
            endpoint.estimate_gas(Call(None, bytes.fromhex("5f5ffd")), signer.address)  # reverts
        with pytest.raises(EndpointRefused):
            endpoint.estimate_gas(Call(None, b"\xfe"), signer.address)  # an invalid instruction: no revert, whatever gas it is given
