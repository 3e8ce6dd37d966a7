"""`affidavit relay status` beside a relay that works: what it says is so, it changes nothing, and it says no secret."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import OperationalError

from oracle.errors import ConfigRejected, StoreError
from oracle.records import Address
from oracle.relay.lane import hold_lane
from oracle.relay.lease import Lease, open_relay_database
from oracle.relay.schema import DEPLOYMENT
from oracle.relay.status import find_lane_holder, read_stored
from oracle.store import open_database, open_to_read
from tests.chain.conftest import World, account
from tests.chain.relay_rig import RELAY
from tests.chain.test_relay_killed import Place, is_settled, placed, wait_started
from tests.chain.test_relay_replicas import wait_for
from tests.unit.cli_runner import Cli

KEY = "0123456789abcdefSECRET"


@pytest.fixture
def place(world: World, tmp_path: Path) -> Iterator[Place]:
    with placed(world, tmp_path, f"sqlite:///{tmp_path}/relay.sqlite") as place:
        config = tmp_path / "relay.toml"
        dead = f"http://127.0.0.1:9/v3/{KEY}"
        config.write_text(config.read_text().replace(f'rpc = "{world.rpc}"', f'rpc = ["{world.rpc}", "{dead}"]\nquorum = 1'))
        yield place


def test_what_a_relay_does_is_told_beside_it(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, config = Cli(monkeypatch, capsys), place.directory / "relay.toml"
    payer, before_wei = Address(account(RELAY).address), world.contracts.ether_of(Address(account(RELAY).address))
    answered, waiting = world.ask_gate(), world.ask(quorum=5)  # of three nodes
    process = place.start()
    try:
        wait_started(process, place, 1)
        wait_for(lambda: is_settled(place, [answered]), 60, "not delivered")
        told = json.loads(cli.ok("relay", "status", "--config", config, "--json").out)
        text_told = cli.ok("relay", "status", "--config", config).out
        assert told["leading"]["holder"] == f"process {process.pid}"
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert (told["requests"]["final"], told["requests"]["collecting"], told["jobs"]["final"]) == (1, 1, 1)
    assert told["oldest_unanswered"]["request_id"] == "0x" + waiting.request_id.hex()
    assert told["oldest_unanswered"]["waited_seconds"] >= 0
    assert told["account"] == payer
    assert int(told["balance_wei"]) == world.contracts.ether_of(payer)
    assert int(told["spent"]["wei"]) == before_wei - world.contracts.ether_of(payer) > 0
    assert told["spent"]["transactions"] == 1
    assert told["head"]["number"] - told["followed"]["number"] == told["lag_blocks"] == 0
    assert told["chain_problem"] is None
    assert [one["name"] for one in told["endpoints"]] == [world.rpc, "http://127.0.0.1:9"]
    assert told["endpoints"][1]["state"] != "ready"
    assert KEY not in json.dumps(told) + text_told
    for words in (f"process {process.pid}", "1 collecting", waiting.request_id.hex(), "mined transactions", "127.0.0.1:9"):
        assert words in text_told.replace("\n", "")
    assert json.loads(cli.ok("relay", "status", "--config", config, "--json").out)["leading"]["holder"] is None


def test_without_a_chain_the_rest_is_still_told(
    world: World, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli, config = Cli(monkeypatch, capsys), place.directory / "relay.toml"
    config.write_text(config.read_text().replace(world.rpc, f"http://127.0.0.1:10/{KEY}"))
    assert "no file" in cli.refused(2, "relay", "status", "--config", config)
    assert not (place.directory / "relay.sqlite").exists()
    open_database(place.database, "relay").dispose()
    told = json.loads(cli.ok("relay", "status", "--config", config, "--json").out)
    assert told["chain_problem"]
    assert (told["head"], told["balance_wei"], told["spent"], told["account"]) == (None, None, None, None)
    assert set(told["requests"].values()) == {0}
    assert KEY not in json.dumps(told) + cli.ok("relay", "status", "--config", config).out


def test_who_leads_on_postgresql_is_told_by_the_lease(postgres_url: str) -> None:
    engine = open_relay_database(postgres_url)
    lease = Lease(engine, "host:1")
    watching = open_to_read(postgres_url, "relay")
    try:
        assert read_stored(watching, datetime.now(UTC)).leading.holder is None
        assert lease.step()
        leading = read_stored(watching, datetime.now(UTC)).leading
        assert (leading.holder, leading.term) == ("host:1", lease.token)
        assert leading.seconds_left is not None
        assert 0 < leading.seconds_left <= 4
        lease.release()
        assert read_stored(watching, datetime.now(UTC)).leading.holder is None
    finally:
        watching.dispose()
        engine.dispose()


def test_the_lock_of_a_lane_is_seen_and_not_touched(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay")
    lane = tmp_path / "relay.sqlite.lane"
    assert find_lane_holder(lane) is None
    with hold_lane(engine):
        assert find_lane_holder(lane) == f"process {os.getpid()}"
        with pytest.raises(ConfigRejected), hold_lane(engine):
            pass
    assert find_lane_holder(lane) is None
    assert find_lane_holder(lane, tmp_path / "no such list") is None
    engine.dispose()


def test_who_looks_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/relay.sqlite"
    with pytest.raises(ConfigRejected, match="no file"):
        open_to_read(url, "relay")
    assert list(tmp_path.iterdir()) == []
    writer = open_database(url, "relay")
    reader = open_to_read(url, "relay")
    with pytest.raises(OperationalError, match="readonly"), reader.begin() as connection:
        connection.execute(insert(DEPLOYMENT).values(chain_id=1, coprocessor="0x"))
    reader.dispose()
    with pytest.raises(ConfigRejected, match=r"expected tables of version .*, got none"):
        open_to_read(url, "node")
    with writer.begin() as connection:
        connection.execute(text("UPDATE relay_version SET version_num = 'older'"))
    with pytest.raises(ConfigRejected, match="got older"):
        open_to_read(url, "relay")
    writer.dispose()
    for file in tmp_path.glob("relay.sqlite-*"):
        file.unlink()
    (tmp_path / "relay.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot read the relay database"):
        open_to_read(url, "relay")
