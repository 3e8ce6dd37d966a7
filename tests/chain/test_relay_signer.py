"""The relay with its key behind a remote signer: delivered, delayed while the signer is away, and never sent what the key did not sign."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from oracle.attest.remote import RemoteSigner
from oracle.errors import PeerError
from oracle.records import Address, RequestStatus
from oracle.relay.schema import RequestState
from tests.chain.conftest import World, account
from tests.chain.relay_rig import RELAY, Relay, make_relay
from tests.chain.test_relay_killed import placed, wait_started
from tests.chain.test_relay_replicas import wait_for
from tests.twins.api import served
from tests.twins.signer import ReferenceSigner


def with_signer(relay: Relay, url: str) -> Relay:
    relay.signer = RemoteSigner(url, Address(account(RELAY).address))
    relay.crash()
    return relay


def test_delivers_and_waits_while_the_signer_is_away_or_lies(world: World, tmp_path: Path) -> None:
    twin = ReferenceSigner()
    name = twin.add(account(RELAY))
    asked = world.ask_gate()
    with served(twin.app()) as url:
        relay = with_signer(make_relay(world, tmp_path), url)
        relay.follow()
        relay.collect()
        twin.is_broken = True
        with pytest.raises(PeerError):
            relay.tick()
        twin.is_broken, twin.accounts[name] = False, account(9)  # it signs, with another key
        with pytest.raises(PeerError, match="signed as"):
            relay.tick()
        assert relay.slots() == []
        assert relay.raws() == []
        twin.accounts[name] = account(RELAY)
        relay.crash()
        relay.run(3)
    assert relay.state(asked.request_id) is RequestState.FINAL
    assert world.contracts.nonce(account(RELAY).address, "latest") == len(relay.slots()) == len(relay.raws()) == 1
    assert all(preimage[0] == 2 for preimage in twin.signed)  # transactions, and nothing else


def test_the_command_runs_with_a_remote_signer_and_no_keystore(world: World, tmp_path: Path) -> None:
    twin = ReferenceSigner()
    twin.add(account(RELAY))
    with ExitStack() as stack:
        url = stack.enter_context(served(twin.app()))
        place = stack.enter_context(placed(world, tmp_path, f"sqlite:///{tmp_path}/relay.sqlite"))
        for name in ("relay.json", "password"):
            (tmp_path / name).unlink()
        config = tmp_path / "relay.toml"
        keys = f'signer_url = "{url}"\nsigner_address = "{account(RELAY).address}"\n'
        config.write_text(config.read_text().replace('keystore = "relay.json"\npassword_file = "password"\n', keys))
        asked = world.ask_gate()
        process = place.start()
        try:
            wait_started(process, place, 1)
            wait_for(lambda: world.contracts.status_of(asked.request_id).status is RequestStatus.FINAL, 30, "not delivered")
            process.terminate()
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
