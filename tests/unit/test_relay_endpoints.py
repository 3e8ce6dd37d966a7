"""Several endpoints, scripted: who is believed, who is asked, what is said of them. Times are short and real, or handed in."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from oracle.audit.blocks import RpcBlocks
from oracle.encoding import keccak256, to_hex
from oracle.errors import AmbiguousSend, ChainError, ConfigRejected
from oracle.journal import redact_url
from oracle.records import Bytes32
from oracle.relay.agreement import Rule, Vote, count_agreed, find_attested, rule_of, vote_of
from oracle.relay.endpoint import Endpoint
from oracle.relay.endpoints import Endpoints, Pauses
from oracle.relay.failures import NonceUsed, NoQuorum, TransactionInvalid, is_rate_limit, is_revert
from oracle.relay.metrics import EndpointCollector
from oracle.relay.upstream import FAULTS_TO_OPEN, LONGEST_PAUSE_SECONDS, Breaker, Circuit, Fault, read_retry_after

KEY = "0123456789abcdefSECRET"
HASH = "0x" + "11" * 32
RAW = b"\x02raw"
ACCOUNT = "0x" + "aa" * 20
QUICK = Pauses(check=0.05, absence=0.1, confirm=0.02)


class Hangs:
    pass


@dataclass
class Script:
    """One endpoint: what it answers by method; a value, a function of the params, an HTTP response, or an exception."""

    chain: str = "0x1"
    head: int = 100
    results: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, list[Any]]] = field(default_factory=list)
    everything: Any = None

    def answer(self, method: str, params: list[Any]) -> Any:
        self.asked.append((method, params))
        if self.everything is not None:
            return self.everything
        if method in self.results:
            found = self.results[method]
            return found(params) if callable(found) else found
        return {"eth_chainId": self.chain, "eth_blockNumber": hex(self.head)}.get(method, "0x05")

    def count(self, method: str) -> int:
        return sum(asked == method for asked, _ in self.asked)


class Refusal(dict[str, Any]):
    """A JSON-RPC error."""


class Rig:
    def __init__(self, count: int = 3, **options: Any) -> None:
        self.scripts = [Script() for _ in range(count)]
        self.urls = [f"https://node-{i}.test/v3/{KEY}" for i in range(count)]
        options = {"pauses": QUICK, "timeout_seconds": 2.0, "chain_id": 1} | options
        self.endpoints = Endpoints(self.urls, transport=httpx.MockTransport(self.handle), **options)

    def handle(self, request: httpx.Request) -> httpx.Response:
        question = json.loads(request.content)
        script = self.scripts[int(request.url.host[5])]
        found = script.answer(question["method"], question["params"])
        if isinstance(found, Exception):
            raise found
        if isinstance(found, httpx.Response):
            return httpx.Response(found.status_code, headers=found.headers, content=found.content)
        if isinstance(found, Hangs):
            time.sleep(1.0)
            raise httpx.ReadTimeout("hung")
        said = {"error": dict(found)} if isinstance(found, Refusal) else {"result": found}
        return httpx.Response(200, json={"jsonrpc": "2.0", "id": question["id"], **said})

    def ask(self, method: str, *params: Any) -> Any:
        return self.endpoints.request(method, list(params))["result"]

    def state(self, at: int) -> str:
        return self.endpoints.snapshot()[at].state

    def set(self, method: str, *results: Any) -> None:
        for script, result in zip(self.scripts, results, strict=True):
            script.results[method] = result


def eventually(is_so: Callable[[], bool], seconds: float = 3.0) -> None:
    limit = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < limit, "never"
        time.sleep(0.01)


def receipt(block: int = 90, block_hash: str = "0x" + "bb" * 32) -> dict[str, Any]:
    return {
        "transactionHash": HASH,
        "blockHash": block_hash,
        "blockNumber": hex(block),
        "status": "0x1",
        "gasUsed": "0x5208",
        "contractAddress": None,
        "logs": [],
    }


def block(number: int, fork: str = "cc", timestamp: int = 1000) -> dict[str, Any]:
    return {"hash": "0x" + fork * 32, "parentHash": "0x" + "00" * 32, "number": hex(number), "timestamp": hex(timestamp)}


# ---- who is believed -------------------------------------------------------------------------------------------------------------------
def test_an_invented_receipt_is_outvoted_and_told_of(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig()
    rig.set("eth_getTransactionReceipt", receipt(), None, None)
    assert rig.ask("eth_getTransactionReceipt", HASH) is None
    eventually(lambda: rig.endpoints.snapshot()[0].outvoted == {"eth_getTransactionReceipt": 1})
    assert [one.outvoted for one in rig.endpoints.snapshot()[1:]] == [{}, {}]
    registry = CollectorRegistry()
    registry.register(EndpointCollector(rig.endpoints))
    told = generate_latest(registry).decode()
    assert 'affidavit_chain_endpoint_outvoted_total{endpoint="https://node-0.test",method="eth_getTransactionReceipt"} 1.0' in told
    assert KEY not in told
    out = capsys.readouterr()
    assert "endpoint outvoted" in out.out + out.err
    assert KEY not in out.out + out.err


def test_a_hidden_receipt_is_outvoted() -> None:
    rig = Rig()
    rig.set("eth_getTransactionReceipt", None, receipt(), receipt())
    assert rig.ask("eth_getTransactionReceipt", HASH)["blockNumber"] == hex(90)
    eventually(lambda: rig.endpoints.snapshot()[0].outvoted != {})


def test_a_liar_and_one_that_lags_make_no_quorum_for_absence() -> None:
    """The laggard says "none" in good faith, about a block that it does not have."""
    rig = Rig(lag_blocks=50)
    rig.set("eth_getTransactionReceipt", None, receipt(), None)
    rig.scripts[2].head = 80
    with pytest.raises(NoQuorum):
        rig.ask("eth_getTransactionReceipt", HASH)
    rig.scripts[2].head = 95  # now it would have it: two against one
    assert rig.ask("eth_getTransactionReceipt", HASH) is None


@pytest.mark.parametrize("field", ["blockHash", "blockNumber", "status", "gasUsed", "contractAddress", "logs"])
def test_receipts_must_agree_in_every_field_that_decides(field: str) -> None:
    rig = Rig(2)
    log = {"address": ACCOUNT, "data": "0x", "topics": [], "blockHash": HASH, "transactionHash": HASH, "logIndex": "0x0"}
    other = receipt() | {field: [log] if field == "logs" else ACCOUNT if field == "contractAddress" else "0x2"}
    rig.set("eth_getTransactionReceipt", receipt(), other)
    with pytest.raises(NoQuorum):
        rig.ask("eth_getTransactionReceipt", HASH)


def test_fields_that_clients_add_do_not_matter() -> None:
    rig = Rig(2)
    rig.set("eth_getTransactionReceipt", receipt(), receipt() | {"effectiveGasPrice": "0x9", "blobGasUsed": "0x0"})
    assert rig.ask("eth_getTransactionReceipt", HASH) is not None


def test_another_nonce_is_outvoted() -> None:
    rig = Rig()
    rig.set("eth_getTransactionCount", "0xe", "0x5", "0x5")
    assert rig.ask("eth_getTransactionCount", ACCOUNT, "latest") == "0x5"
    eventually(lambda: rig.endpoints.snapshot()[0].outvoted == {"eth_getTransactionCount": 1})


def test_nonces_without_a_quorum_are_no_guess() -> None:
    rig = Rig()
    rig.set("eth_getTransactionCount", "0x1", "0x2", "0x3")
    with pytest.raises(ChainError):
        rig.ask("eth_getTransactionCount", ACCOUNT, "latest")


def test_where_heads_differ_the_question_is_about_the_newest_block_of_a_quorum() -> None:
    rig = Rig()
    for script, head in zip(rig.scripts, (102, 101, 100), strict=True):
        script.head = head
        script.results["eth_getTransactionCount"] = lambda params, h=head: hex((h if params[1] == "latest" else int(params[1], 16)) - 90)
    assert rig.ask("eth_getTransactionCount", ACCOUNT, "latest") == hex(101 - 90)
    time.sleep(0.2)
    assert all(one.outvoted == {} for one in rig.endpoints.snapshot())


def test_the_newest_block_is_one_that_a_quorum_has() -> None:
    rig = Rig()
    for script, head in zip(rig.scripts, (102, 101, 100), strict=True):
        script.head = head
        script.results["eth_getBlockByNumber"] = lambda params, h=head: block(h if params[0] == "latest" else int(params[0], 16))
    assert int(rig.ask("eth_getBlockByNumber", "latest", False)["number"], 16) == 101


def test_a_block_of_another_fork_is_outvoted() -> None:
    rig = Rig()
    rig.set("eth_getBlockByNumber", block(50, "dd"), block(50), block(50))
    assert rig.ask("eth_getBlockByNumber", "0x32", False)["hash"] == block(50)["hash"]
    eventually(lambda: rig.endpoints.snapshot()[0].outvoted != {})


def test_code_and_events_need_a_quorum() -> None:
    rig = Rig()
    rig.set("eth_getCode", "0x", "0x6001", "0x6001")
    assert rig.ask("eth_getCode", ACCOUNT, "latest") == "0x6001"
    log = {
        "address": ACCOUNT,
        "data": "0x",
        "topics": [],
        "blockHash": HASH,
        "transactionHash": HASH,
        "logIndex": "0x0",
        "blockNumber": "0x5",
    }
    rig.set("eth_getLogs", [], [log], [log])
    assert rig.ask("eth_getLogs", {"blockHash": HASH}) == [log]


@pytest.mark.parametrize("liar", [0, 10**9])
def test_what_waits_and_what_gas_costs_is_neither_too_high_nor_too_low(liar: int) -> None:
    rig = Rig()
    rig.set("eth_getTransactionCount", hex(liar), "0x7", "0x6")
    assert rig.ask("eth_getTransactionCount", ACCOUNT, "pending") in ("0x6", "0x7")
    rig.set("eth_estimateGas", hex(liar), "0x5300", "0x5301")
    assert rig.ask("eth_estimateGas", {}, "pending") in ("0x5300", "0x5301")
    rig.set("eth_feeHistory", *({"baseFeePerGas": [hex(v)]} for v in (liar, 8, 9)))
    assert int(rig.ask("eth_feeHistory", "0xa", "latest", [50])["baseFeePerGas"][-1], 16) in (8, 9)
    rig.set("eth_getBlockByNumber", *(block(101, timestamp=t) for t in (liar, 1000, 1001)))
    assert int(rig.ask("eth_getBlockByNumber", "pending", False)["timestamp"], 16) in (1000, 1001)


REVERT = Refusal(code=3, message="execution reverted", data="0x1234")


def test_one_endpoint_cannot_make_a_call_revert() -> None:
    rig = Rig()
    rig.set("eth_estimateGas", REVERT, "0x5300", "0x5301")
    assert rig.ask("eth_estimateGas", {}, "pending") == "0x5300"
    rig.set("eth_estimateGas", REVERT, REVERT, "0x5301")
    assert rig.endpoints.request("eth_estimateGas", [{}, "pending"])["error"]["data"] == "0x1234"


def test_a_transaction_that_too_few_have_is_unknown() -> None:
    rig = Rig()
    known = {"hash": HASH, "to": ACCOUNT, "input": "0x"}
    rig.set("eth_getTransactionByHash", known, None, known)
    assert rig.ask("eth_getTransactionByHash", HASH) == known
    rig.set("eth_getTransactionByHash", known, httpx.ConnectError("down"), None)
    assert rig.ask("eth_getTransactionByHash", HASH) is None


def test_an_error_that_all_give_is_passed_on() -> None:
    rig = Rig()
    rig.set("eth_getLogs", *[Refusal(code=-32000, message="query returned more than 10000 results")] * 3)
    assert rig.endpoints.request("eth_getLogs", [{}])["error"]["code"] == -32000
    assert [rig.state(i) for i in range(3)] == ["ready"] * 3


def test_counting() -> None:
    a, b = Vote("a"), Vote("b")
    assert count_agreed([a, a, b], 2) == a
    assert count_agreed([a, b], 2) is None
    assert count_agreed([a, a, b, b], 2) is None
    assert find_attested([9, 5, 5], 2) == 5
    assert find_attested([9], 2) is None
    assert rule_of("eth_getBalance", [ACCOUNT, "latest"]) is Rule.ANY
    assert rule_of("eth_getTransactionCount", [ACCOUNT, "pending"]) is Rule.RANKED
    with pytest.raises(ValueError, match="another transaction"):
        vote_of("eth_sendRawTransaction", [to_hex(RAW)], {"result": HASH})


# ---- who is asked ----------------------------------------------------------------------------------------------------------------------
def test_what_needs_no_quorum_goes_to_one_and_falls_over() -> None:
    rig = Rig()
    rig.ask("eth_getBalance", ACCOUNT, "latest")
    assert sum(script.count("eth_getBalance") for script in rig.scripts) == 1
    rig.set("eth_getBalance", httpx.ConnectError("down"), httpx.Response(500), "0x9")
    assert rig.ask("eth_getBalance", ACCOUNT, "latest") == "0x9"
    rig.set("eth_getBalance", *[httpx.ConnectError("down")] * 3)
    with pytest.raises(ChainError, match="no endpoint answers"):
        rig.ask("eth_getBalance", ACCOUNT, "latest")


FAULTS = [
    httpx.ConnectError(f"down: https://node-0.test/v3/{KEY}"),
    httpx.ReadTimeout("late"),
    httpx.Response(503),
    httpx.Response(200, content=b"<html>"),
    httpx.Response(200, content=b"[1]"),
    httpx.Response(200, content=b'{"jsonrpc":"2.0","id":99999,"result":"0x1"}'),
    httpx.Response(403, content=b"no"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{type(f).__name__} {getattr(f, 'status_code', '')}")
def test_faults_open_the_circuit_and_a_probe_closes_it(fault: Any) -> None:
    rig = Rig()
    rig.ask("eth_getCode", ACCOUNT, "latest")
    rig.scripts[0].everything = fault
    eventually(lambda: rig.ask("eth_getCode", ACCOUNT, "latest") == "0x05" and rig.state(0) in ("open", "half_open"))
    asked = rig.scripts[0].count("eth_getCode")
    for _ in range(5):
        assert rig.ask("eth_getCode", ACCOUNT, "latest") == "0x05"
    assert rig.scripts[0].count("eth_getCode") == asked
    rig.scripts[0].everything = None
    eventually(lambda: rig.ask("eth_getCode", ACCOUNT, "latest") == "0x05" and rig.state(0) == "ready")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("eth_call", "execution reverted"),
        ("eth_sendRawTransaction", "nonce too low"),
        ("eth_sendRawTransaction", "insufficient funds for gas * price + value"),
        ("eth_getLogs", "header not found"),
    ],
)
def test_application_errors_open_no_circuit(method: str, message: str) -> None:
    rig = Rig()
    rig.set(method, *[Refusal(code=-32000, message=message)] * 3)
    for _ in range(FAULTS_TO_OPEN + 2):
        try:
            rig.endpoints.request(method, [to_hex(RAW)])
        except ChainError:
            continue
    assert [rig.state(i) for i in range(3)] == ["ready"] * 3
    assert all(one.faults == {} for one in rig.endpoints.snapshot())


def test_retry_after_is_honoured_at_once() -> None:
    now = [0.0]
    rig = Rig(clock=lambda: now[0])
    rig.ask("eth_getCode", ACCOUNT, "latest")
    rig.scripts[0].everything = httpx.Response(429, headers={"Retry-After": "30"})
    eventually(lambda: rig.ask("eth_getCode", ACCOUNT, "latest") == "0x05" and rig.state(0) == "open")
    rig.scripts[0].everything, asked = None, len(rig.scripts[0].asked)
    now[0] = 29.9
    rig.ask("eth_getCode", ACCOUNT, "latest")
    time.sleep(0.05)
    assert len(rig.scripts[0].asked) == asked
    now[0] = 30.5
    eventually(lambda: rig.ask("eth_getCode", ACCOUNT, "latest") == "0x05" and rig.state(0) == "ready")


def test_the_breaker_pauses_longer_each_time() -> None:
    breaker, now, pauses = Breaker(), 0.0, []
    for _ in range(FAULTS_TO_OPEN):
        assert breaker.circuit is Circuit.CLOSED
        breaker.take_fault(now, False, None)
    for _ in range(8):
        pauses.append(breaker.until - now)
        now = breaker.until
        assert breaker.is_probe_due(now)
        assert not breaker.is_probe_due(now - 0.01)
        breaker.begin_probe()
        breaker.take_fault(now, False, None)
    assert pauses == sorted(pauses)
    assert pauses[1] == 2 * pauses[0]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS
    breaker.take_answer(now)
    assert (breaker.circuit, breaker.faults) == (Circuit.CLOSED, 0)


def test_retry_after_as_the_standard_has_it() -> None:
    assert read_retry_after("7") == 7.0
    assert read_retry_after("99999999") == 3600.0
    later = read_retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True))
    assert later is not None
    assert 50 < later <= 60
    assert read_retry_after("soon") is None
    assert read_retry_after(None) is None


def test_an_endpoint_on_another_chain_is_not_asked() -> None:
    rig = Rig()
    rig.scripts[0].chain = "0x2"
    rig.set("eth_getCode", "0xbad0", "0x6001", "0x6001")
    assert rig.ask("eth_getCode", ACCOUNT, "latest") == "0x6001"
    eventually(lambda: rig.state(0) == "wrong_chain")
    rig.ask("eth_getCode", ACCOUNT, "latest")
    assert rig.scripts[0].count("eth_getCode") == 0
    rig.endpoints.require_chain(1)
    rig.scripts[1].chain = "0x2"
    eventually(lambda: _fails(lambda: rig.ask("eth_getCode", ACCOUNT, "latest")))
    with pytest.raises(ConfigRejected, match="chain id"):
        rig.endpoints.require_chain(1)


def _fails(call: Callable[[], object]) -> bool:
    try:
        call()
    except ChainError:
        return True
    return False


def test_an_endpoint_too_far_behind_is_not_asked_until_it_caught_up() -> None:
    rig = Rig(lag_blocks=8)
    rig.scripts[0].head = 91
    eventually(lambda: bool(rig.ask("eth_getCode", ACCOUNT, "latest")) and rig.state(0) == "lagging")
    asked = rig.scripts[0].count("eth_getCode")
    rig.ask("eth_getCode", ACCOUNT, "latest")
    assert rig.scripts[0].count("eth_getCode") == asked
    rig.scripts[0].head = 92
    eventually(lambda: bool(rig.ask("eth_getCode", ACCOUNT, "latest")) and rig.state(0) == "ready")


def test_one_that_claims_to_be_far_ahead_makes_nobody_lag() -> None:
    rig = Rig(lag_blocks=8)
    rig.scripts[0].head = 10**6
    for _ in range(5):
        rig.ask("eth_getCode", ACCOUNT, "latest")
        time.sleep(0.06)
    assert [rig.state(i) for i in range(3)] == ["ready"] * 3


def test_a_hanging_endpoint_holds_up_nobody() -> None:
    rig = Rig()
    rig.ask("eth_getCode", ACCOUNT, "latest")
    rig.scripts[0].everything = Hangs()
    began = time.monotonic()
    rig.ask("eth_getCode", ACCOUNT, "latest")
    assert time.monotonic() - began < 0.5


def test_too_few_that_can_be_asked_is_an_error_that_names_them() -> None:
    rig = Rig()
    for script in rig.scripts[:2]:
        script.everything = httpx.ConnectError("down")
    with pytest.raises(ChainError, match=r"endpoints can be asked.*https://node-0\.test"):
        rig.ask("eth_getCode", ACCOUNT, "latest")


def test_quorum_of_one_only_falls_over() -> None:
    rig = Rig(quorum=1)
    rig.ask("eth_getTransactionCount", ACCOUNT, "latest")
    assert sum(script.count("eth_getTransactionCount") for script in rig.scripts) == 1


@pytest.mark.parametrize(
    ("urls", "quorum"),
    [([], None), (["http://a.test", "http://a.test"], None), (["http://a.test"], 2), (["http://a.test"], 0), (["ws://a"], 1)],
)
def test_what_cannot_be_is_refused(urls: list[str], quorum: int | None) -> None:
    with pytest.raises(ConfigRejected):
        Endpoints(urls, quorum=quorum)


# ---- sending ---------------------------------------------------------------------------------------------------------------------------
def send(rig: Rig) -> None:
    Endpoint(rig.endpoints).send_raw(RAW)


TAKEN = to_hex(keccak256(RAW))
NEVER = Refusal(code=-32000, message="intrinsic gas too low")
LOW = Refusal(code=-32000, message="nonce too low")
POOR = Refusal(code=-32000, message="insufficient funds")
KNOWN = Refusal(code=-32000, message="already known")


def test_what_is_sent_goes_to_all() -> None:
    rig = Rig()
    rig.set("eth_sendRawTransaction", TAKEN, TAKEN, TAKEN)
    send(rig)
    eventually(lambda: [s.count("eth_sendRawTransaction") for s in rig.scripts] == [1, 1, 1])


@pytest.mark.parametrize("others", [LOW, NEVER, httpx.ReadTimeout("late"), httpx.Response(429), httpx.ConnectError("down")])
@pytest.mark.parametrize("one", [TAKEN, KNOWN], ids=["taken", "known"])
def test_one_success_is_success(one: Any, others: Any) -> None:
    rig = Rig()
    rig.set("eth_sendRawTransaction", others, one, others)
    send(rig)


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ((LOW, httpx.ReadTimeout("late"), LOW), AmbiguousSend),
        ((httpx.Response(502), httpx.Response(429), NEVER), AmbiguousSend),
        ((HASH, LOW, LOW), AmbiguousSend),
        ((LOW, POOR, POOR), NonceUsed),
        ((NEVER, NEVER, POOR), TransactionInvalid),
        ((POOR, POOR, POOR), ChainError),
        ((httpx.ConnectError("down"), httpx.Response(429), POOR), ChainError),
    ],
)
def test_what_no_endpoint_took(results: tuple[Any, ...], error: type[Exception]) -> None:
    rig = Rig()
    rig.set("eth_sendRawTransaction", *results)
    with pytest.raises(error) as raised:
        send(rig)
    assert type(raised.value) is error


def test_one_endpoint_cannot_say_that_a_transaction_can_never_be_mined() -> None:
    rig = Rig()
    rig.set("eth_sendRawTransaction", NEVER, POOR, POOR)
    with pytest.raises(ChainError):
        send(rig)


# ---- keys ------------------------------------------------------------------------------------------------------------------------------
def test_redaction() -> None:
    assert redact_url(f"https://user:{KEY}@host.test:8545/v3/{KEY}?key={KEY}#{KEY}") == "https://host.test:8545"
    assert redact_url("http://[::1]:8545/x") == "http://[::1]:8545"
    for odd in (KEY, f"https://[{KEY}", f"http:///{KEY}", f"https://host:{KEY}/"):
        assert KEY not in redact_url(odd)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("fault", [*FAULTS, Refusal(code=-32001, message=f"project id {KEY} is not valid", data=f"/v3/{KEY}")], ids=str)
def test_no_key_reaches_logs_metrics_or_errors(
    count: int, fault: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    rig = Rig(count)
    for script in rig.scripts:
        script.everything = fault
    chain, said = Endpoint(rig.endpoints), ""
    for ask in (chain.chain_id, lambda: chain.nonce(ACCOUNT, "latest"), lambda: chain.send_raw(RAW)):
        with pytest.raises(ChainError) as raised:
            ask()
        error: BaseException | None = raised.value
        while error is not None:
            said += repr(error) + str(error)
            error = error.__cause__ or error.__context__
    registry = CollectorRegistry()
    registry.register(EndpointCollector(rig.endpoints))
    said += generate_latest(registry).decode() + repr(rig.endpoints.snapshot()) + repr(rig.endpoints._upstreams)
    out = capsys.readouterr()
    said += out.out + out.err + "".join(record.getMessage() for record in caplog.records)
    assert KEY not in said
    assert "node-0.test" in said


def test_blocks_are_read_from_the_next_endpoint_without_saying_a_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asked: list[str] = []

    def down(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return httpx.Response(503)

    blocks = RpcBlocks([f"https://a.test/{KEY}", f"https://b.test/{KEY}"], transport=httpx.MockTransport(down))
    with pytest.raises(ChainError) as raised:
        blocks.read_block(Bytes32(bytes(32)))
    assert asked == ["a.test", "b.test"]
    said = repr(raised.value.__cause__) + repr(raised.value.__context__) + "".join(r.getMessage() for r in caplog.records)
    assert KEY not in said


def test_classes_of_errors() -> None:
    assert is_revert({"code": 3, "message": "x"})
    assert is_revert({"code": -32000, "message": "execution reverted: no"})
    assert not is_revert({"code": -32000, "message": "header not found"})
    assert is_rate_limit({"code": -32005, "message": "project rate limit exceeded, too many requests"})
    assert not is_rate_limit({"code": -32005, "message": "query returned more than 10000 results"})


def test_one_endpoint_alone_is_asked_as_before() -> None:
    rig = Rig(1)
    rig.scripts[0].everything = httpx.ConnectError("down")
    for _ in range(FAULTS_TO_OPEN + 2):
        with pytest.raises(Fault):
            rig.ask("eth_getCode", ACCOUNT, "latest")
    assert rig.state(0) == "open"
    rig.scripts[0].everything = None
    assert rig.ask("eth_getCode", ACCOUNT, "latest") == "0x05"
    assert rig.state(0) == "ready"
    assert threading.active_count() < 200


# ---- several questions in one exchange ----------------------------------------------------------------------------------------------
def one_endpoint(answer: Callable[[Any], httpx.Response]) -> tuple[Endpoints, list[Any]]:
    """One endpoint, and what it was sent."""
    sent: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return answer(sent[-1])

    return Endpoints("https://node.test/v3/" + KEY, transport=httpx.MockTransport(handle)), sent


def echo(question: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": question["id"], "result": question["params"][0]}


def echo_all(sent: Any) -> httpx.Response:
    return httpx.Response(200, json=[echo(one) for one in sent] if isinstance(sent, list) else echo(sent))


def test_many_questions_go_together_and_come_back_in_order() -> None:
    def shuffled(sent: Any) -> httpx.Response:
        return httpx.Response(200, json=[echo(one) for one in reversed(sent)])

    endpoints, sent = one_endpoint(shuffled)
    found = endpoints.request_each("eth_call", [[n] for n in range(100)])
    assert [one["result"] for one in found] == list(range(100))
    assert [len(batch) for batch in sent] == [64, 36]
    assert endpoints.request_each("eth_call", []) == []


def test_one_question_alone_is_no_batch() -> None:
    endpoints, sent = one_endpoint(echo_all)
    assert endpoints.request_each("eth_call", [[1]])[0]["result"] == 1
    assert isinstance(sent[0], dict)


def test_an_error_stands_where_its_question_stood_and_tells_no_key() -> None:
    def refuse_second(sent: Any) -> httpx.Response:
        said = [echo(one) for one in sent]
        said[1] = {"jsonrpc": "2.0", "id": sent[1]["id"], "error": {"code": 3, "message": f"reverted at {KEY}", "data": "0x"}}
        return httpx.Response(200, json=said)

    endpoints, _ = one_endpoint(refuse_second)
    first, second, third = endpoints.request_each("eth_call", [[0], [1], [2]])
    assert (first["result"], third["result"]) == (0, 2)
    assert second["error"]["code"] == 3
    assert KEY not in str(second)


@pytest.mark.parametrize("refusal", [{"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no batches"}}, {}, "no"])
def test_an_endpoint_without_batches_is_asked_one_by_one_from_then_on(refusal: Any) -> None:
    endpoints, sent = one_endpoint(lambda sent: httpx.Response(200, json=refusal) if isinstance(sent, list) else echo_all(sent))
    for _ in range(2):
        assert [one["result"] for one in endpoints.request_each("eth_call", [[0], [1]])] == [0, 1]
    assert [isinstance(one, list) for one in sent] == [True, False, False, False, False]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda said: said[:-1],
        lambda said: [*said, said[0]],
        lambda said: [said[0], said[0]],
        lambda said: [said[0], said[1] | {"id": 10**9}],
        lambda said: [said[0], 1],
        lambda said: [said[0], said[1] | {"id": []}],
        lambda said: [said[0], said[1] | {"id": {}}],
        lambda said: [said[0], said[1] | {"id": True}],
        lambda said: [said[0], {"jsonrpc": "2.0", "id": said[1]["id"]}],
        lambda said: [said[0], {"jsonrpc": "2.0", "id": said[1]["id"], "error": "x"}],
        lambda said: [],
    ],
)
def test_batches_of_another_form_are_faults(spoil: Callable[[list[Any]], list[Any]]) -> None:
    endpoints, _ = one_endpoint(lambda sent: httpx.Response(200, json=spoil([echo(one) for one in sent])))
    with pytest.raises(Fault):
        endpoints.request_each("eth_call", [[0], [1]])
    assert endpoints.snapshot()[0].faults == {"malformed": 1}


def test_a_limit_within_a_batch_is_one() -> None:
    def limit(sent: Any) -> httpx.Response:
        error = {"code": -32005, "message": "rate limit exceeded"}
        return httpx.Response(200, json=[echo(sent[0]), {"jsonrpc": "2.0", "id": sent[1]["id"], "error": error}])

    endpoints, _ = one_endpoint(limit)
    with pytest.raises(Fault, match="rate limited"):
        endpoints.request_each("eth_call", [[0], [1]])


def test_several_endpoints_vote_on_each() -> None:
    rig = Rig()
    rig.set("eth_call", "0x01", "0x01", "0x02")
    assert [one["result"] for one in rig.endpoints.request_each("eth_call", [[{}, "latest"], [{}, "latest"]])] == ["0x01", "0x01"]


def test_several_endpoints_are_asked_for_some_at_a_time_and_answers_keep_their_places() -> None:
    rig, both_are_asked = Rig(), [threading.Barrier(2, timeout=10) for _ in range(3)]

    def answer(at: int) -> Callable[[list[Any]], Any]:
        def found(params: list[Any]) -> Any:
            both_are_asked[at].wait()
            return params[0]["data"]

        return found

    rig.set("eth_call", *(answer(at) for at in range(3)))
    questions = [[{"data": f"0x0{n}"}, "latest"] for n in range(2)]
    assert [one["result"] for one in rig.endpoints.request_each("eth_call", questions)] == ["0x00", "0x01"]


def test_a_question_on_which_several_do_not_agree_fails_all_of_them() -> None:
    rig = Rig()
    rig.set("eth_call", *(lambda params, at=at: "0x01" if params[0] == {} else f"0x0{at}" for at in range(3)))
    with pytest.raises(NoQuorum):
        rig.endpoints.request_each("eth_call", [[{}, "latest"], [{"data": "0x"}, "latest"], [{}, "latest"]])
