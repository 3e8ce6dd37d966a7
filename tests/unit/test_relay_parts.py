"""The relay's small parts: transactions as bytes, fees, error classes, the deployment file, artifacts, the tables."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from oracle.attest.sign import AccountSigner
from oracle.encoding import keccak256, parse_address, parse_hex
from oracle.errors import AmbiguousSend, ChainError, ConfigRejected, InvariantBroken
from oracle.records import Address, Domain
from oracle.relay import endpoint, outbox, schema
from oracle.relay.artifacts import load_artifact
from oracle.relay.deployed import creation_call
from oracle.relay.deployment import Deployment, load_deployment, write_deployment
from oracle.relay.failures import CallReverted, FailureKind, NonceUsed, TransactionInvalid, classify_failure, is_already_known, refusal_of
from oracle.relay.fees import MINIMUM_PRIORITY_FEE_WEI, FeeHistory, compute_fees
from oracle.relay.lane import hold_lane
from oracle.relay.store import bind_deployment
from oracle.relay.transact import TRANSACTION_GAS_CAP, Call, Fees, compute_calldata_floor_gas, read_call, sign_transaction
from oracle.store import open_database

KEY = Account.from_key(keccak256(b"a key"))
SOMEWHERE = Address("0x" + "11" * 20)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


# ---- transactions ------------------------------------------------------------------------------------------------------------------
@given(
    nonce=st.integers(0, 2**63),
    gas=st.integers(21_000, TRANSACTION_GAS_CAP),
    value=st.integers(0, 2**90),
    data=st.binary(max_size=200),
    fees=st.tuples(st.integers(0, 2**60), st.integers(0, 2**60)),
    is_creation=st.booleans(),
)
def test_signs_as_eth_account_does(nonce: int, gas: int, value: int, data: bytes, fees: tuple[int, int], is_creation: bool) -> None:
    call = Call(None if is_creation else SOMEWHERE, data, value)
    ours = sign_transaction(call, 31337, nonce, gas, Fees(*fees), AccountSigner(KEY))
    fields = {"type": 2, "chainId": 31337, "nonce": nonce, "gas": gas, "value": value, "data": "0x" + data.hex()}
    fields |= {"maxFeePerGas": fees[0], "maxPriorityFeePerGas": fees[1]} | ({} if is_creation else {"to": SOMEWHERE})
    theirs = KEY.sign_transaction(fields)
    assert ours.raw == bytes(theirs.raw_transaction)
    assert read_call(ours.raw) == call
    assert ours.hash == bytes(theirs.hash)


@pytest.mark.parametrize("gas", [0, 20_999, TRANSACTION_GAS_CAP + 1])
def test_gas_limits_that_no_block_takes_are_our_fault(gas: int) -> None:
    with pytest.raises(InvariantBroken):
        sign_transaction(Call(SOMEWHERE, b""), 1, 0, gas, Fees(1, 1), AccountSigner(KEY))


@pytest.mark.parametrize(("data", "gas"), [(b"", 21_000), (bytes(1), 21_010), (b"\x01", 21_040), (bytes(3) + b"ab", 21_110)])
def test_calldata_floor_of_eip_7623(data: bytes, gas: int) -> None:
    assert compute_calldata_floor_gas(data) == gas


def test_fees_cover_six_full_blocks() -> None:
    fees = compute_fees(FeeHistory(10**9, (10**8, 3 * 10**8, 2 * 10**8)))
    assert fees == Fees(2 * 10**9 + 2 * 10**8, 2 * 10**8)
    base = 10**9
    for _ in range(5):
        base += base // 8
    assert fees.max_fee_wei - fees.priority_fee_wei >= base


@pytest.mark.parametrize("rewards", [(), (0, 0, 0)])
def test_an_idle_chain_still_gets_a_tip(rewards: tuple[int, ...]) -> None:
    assert compute_fees(FeeHistory(7, rewards)) == Fees(14 + MINIMUM_PRIORITY_FEE_WEI, MINIMUM_PRIORITY_FEE_WEI)


# ---- failures ------------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("nonce too low: next nonce 5, tx nonce 4", FailureKind.NONCE),  # geth
        ("nonce too low", FailureKind.NONCE),  # anvil, reth
        ("Replacement transaction underpriced", FailureKind.NONCE),
        ("OldNonce", FailureKind.NONCE),  # Nethermind
        ("intrinsic gas too low: gas 21000, minimum needed 53000", FailureKind.PAYLOAD),
        ("transaction gas limit too high (cap: 16777216, tx: 20000000)", FailureKind.PAYLOAD),  # geth, EIP-7825
        ("exceeds block gas limit", FailureKind.PAYLOAD),
        ("insufficient funds for gas * price + value", FailureKind.PROVIDER),
        ("max fee per gas less than block base fee", FailureKind.PROVIDER),
        ("rate limit exceeded", FailureKind.PROVIDER),
        ("something new", FailureKind.PROVIDER),
    ],
)
def test_refusals_by_class(message: str, kind: FailureKind) -> None:
    assert classify_failure(refusal_of(message)) is kind


def test_classes_of_errors() -> None:
    assert classify_failure(AmbiguousSend("x")) is FailureKind.AMBIGUOUS
    assert classify_failure(ChainError("x")) is FailureKind.PROVIDER
    assert classify_failure(CallReverted("Expired", "(5)")) is FailureKind.PAYLOAD
    assert classify_failure(TransactionInvalid("x")) is FailureKind.PAYLOAD
    assert classify_failure(NonceUsed("x")) is FailureKind.NONCE
    with pytest.raises(InvariantBroken):
        classify_failure(ValueError("a bug"))


@pytest.mark.parametrize("message", ["already known", "Transaction already imported", "ALREADY KNOWN", "transaction already in mempool"])
def test_having_it_already_is_no_failure(message: str) -> None:
    assert is_already_known(message)
    assert not is_already_known("nonce too low")


# ---- files -------------------------------------------------------------------------------------------------------------------------------
NAMES = [f.name for f in fields(Deployment)]
LATER = tuple(f.name for f in fields(Deployment) if f.default is None)
"""Contracts that older deployments do not have."""
DEPLOYMENT = Deployment(31337, 5, *[parse_address("0x" + f"{i:02x}" * 20, "address") for i in range(16, 14 + len(NAMES))])


def test_deployment_file_comes_back(tmp_path: Path) -> None:
    write_deployment(DEPLOYMENT, tmp_path / "new" / "deployment.json")
    assert load_deployment(tmp_path / "new" / "deployment.json") == DEPLOYMENT


def test_an_older_deployments_file_comes_back_as_it_was(tmp_path: Path) -> None:
    older = replace(DEPLOYMENT, **dict.fromkeys(LATER))
    write_deployment(older, tmp_path / "deployment.json")
    assert not set(LATER) & set(json.loads((tmp_path / "deployment.json").read_text()))
    assert load_deployment(tmp_path / "deployment.json") == older


@pytest.mark.parametrize("name", [*asdict(DEPLOYMENT)])
def test_deployment_file_with_a_field_missing_or_wrong_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "deployment.json"
    for value in (None, "x", -1, "0x12", [], True):
        document = asdict(DEPLOYMENT) | {name: value}
        path.write_text(json.dumps(document))
        with pytest.raises(ConfigRejected, match=name):
            load_deployment(path)
    document = asdict(DEPLOYMENT)
    del document[name]
    path.write_text(json.dumps(document))
    if name in LATER:
        assert load_deployment(path) == replace(DEPLOYMENT, **{name: None})
        return
    with pytest.raises(ConfigRejected, match=name):
        load_deployment(path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"chain_id": 1}', "null"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "deployment.json").write_text(text)
    with pytest.raises(ConfigRejected, match=r"deployment\.json"):
        load_deployment(tmp_path / "deployment.json")
    with pytest.raises(ConfigRejected, match="readable"):
        load_deployment(tmp_path / "none.json")


def test_every_contract_can_be_created_from_the_package() -> None:
    for name in ("ModelRegistry", "AuditAnchor"):
        assert creation_call(name).data == load_artifact(name).bytecode
    with_arguments = creation_call("Coprocessor", SOMEWHERE, SOMEWHERE, SOMEWHERE, SOMEWHERE)
    assert with_arguments.to is None
    assert with_arguments.data == load_artifact("Coprocessor").bytecode + 4 * (bytes(12) + parse_hex(SOMEWHERE, "address"))
    with pytest.raises(InvariantBroken, match="NoSuchContract"):
        load_artifact("NoSuchContract")


# ---- tables ------------------------------------------------------------------------------------------------------------------------------
def test_migrations_make_the_tables_of_the_schema(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay")
    with engine.begin() as connection:
        differences = compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), schema.METADATA)
    assert [d[1].name for d in differences if d[0] == "remove_table"] == ["relay_version"]
    assert len(differences) == 1


@pytest.mark.parametrize(
    ("table", "start"),
    [
        (schema.REQUEST_TRANSITIONS, schema.RequestState.COLLECTING),
        (schema.JOB_TRANSITIONS, schema.JobState.QUEUED),
        (schema.SLOT_TRANSITIONS, schema.SlotState.SIGNED),
    ],
)
def test_every_state_is_reachable_and_final_stays_final(table, start) -> None:  # type: ignore[no-untyped-def]
    kind = type(start)
    assert set(table) == set(kind)
    reached, todo = {start}, [start]
    while todo:
        for state in table[todo.pop()] - reached:
            reached.add(state)
            todo.append(state)
    assert reached == set(kind)
    assert table[kind.FINAL] == frozenset()
    for old in kind:
        for new in kind:
            if new in table[old] or new is old:
                schema.require_transition(table, old, new)
            else:
                with pytest.raises(InvariantBroken):
                    schema.require_transition(table, old, new)


def test_a_database_belongs_to_one_deployment(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay")
    bind_deployment(engine, DEPLOYMENT.domain)
    bind_deployment(engine, DEPLOYMENT.domain)
    for other in (Domain(1, DEPLOYMENT.coprocessor), Domain(31337, SOMEWHERE)):
        with pytest.raises(ConfigRejected, match="relay database"):
            bind_deployment(engine, other)


def test_a_lane_has_one_holder(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay")
    with hold_lane(engine), pytest.raises(ConfigRejected, match="no other relay"), hold_lane(engine):
        pass
    with hold_lane(engine):
        pass
    with pytest.raises(ConfigRejected, match="SQLite file"), hold_lane(open_database("sqlite://", "relay")):
        pass


# ---- the outbox ------------------------------------------------------------------------------------------------------------------------
def test_a_nonce_is_never_given_twice_whatever_the_endpoint_says(tmp_path: Path) -> None:
    engine, signer = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay"), AccountSigner(KEY)
    with engine.begin() as connection:
        assert outbox.next_nonce(connection, 3, 4) == 4
        signed = sign_transaction(Call(SOMEWHERE, b""), 1, 5, 21_000, Fees(1, 1), signer)
        outbox.keep_signed(connection, signed, signer.address, [], NOW)
        assert outbox.next_nonce(connection, 3, 3) == 6  # the endpoint forgot what waits
        assert outbox.next_nonce(connection, 3, 8) == 8  # somebody else's transactions wait
        assert outbox.next_nonce(connection, 9, 9) == 9
    with engine.begin() as connection, pytest.raises(InvariantBroken, match="nonces of"):
        outbox.require_sender(connection, SOMEWHERE)


def test_bytes_are_kept_whole_and_a_mined_nonce_takes_no_others(tmp_path: Path) -> None:
    engine, signer = open_database(f"sqlite:///{tmp_path}/relay.sqlite", "relay"), AccountSigner(KEY)
    first = sign_transaction(Call(SOMEWHERE, b"\x01"), 1, 5, 30_000, Fees(1, 1), signer)
    second = sign_transaction(Call(SOMEWHERE, b"\x02"), 1, 5, 30_000, Fees(2, 2), signer)
    with engine.begin() as connection:
        outbox.keep_signed(connection, first, signer.address, [], NOW)
        outbox.set_slot(connection, 5, schema.SlotState.SENT)
        outbox.keep_signed(connection, second, signer.address, [], NOW)  # a replacement: both are looked up from now on
        assert [t.raw for t in outbox.transactions_of(connection, 5)] == [second.raw, first.raw]
        outbox.set_slot(connection, 5, schema.SlotState.MINED)
    with engine.begin() as connection, pytest.raises(InvariantBroken):
        outbox.keep_signed(connection, first, signer.address, [], NOW)


@pytest.mark.parametrize("arguments", ["", "00", "ff" * 32, "ff" * 64, "00" * 31 + "20" + "00" * 31 + "01" + "ff" * 32], ids=len)
def test_malformed_arguments_of_a_known_error_are_still_that_error(arguments: str) -> None:
    """Whoever reverts chooses these bytes, and an endpoint may change them: neither is a bug of ours."""
    reverted = endpoint._reverted("execution reverted", "0x08c379a0" + arguments)  # Error(string)
    assert reverted.error == "Error"
    assert "malformed" in str(reverted)


def test_revert_data_that_is_not_hex_is_the_endpoint_s_fault() -> None:
    with pytest.raises(ChainError, match="hex"):
        endpoint._reverted("execution reverted", "0xzz")
