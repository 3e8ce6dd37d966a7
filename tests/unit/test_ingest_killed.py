"""The recorder against a real log that is killed in the middle: nothing acknowledged is lost, nothing is written twice, late is marked."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import httpx
import pytest

from oracle.errors import PeerError
from oracle.ingest.recorder import Recorder
from tests.twins.log_process import LogProcess
from tests.twins.logs import full_check
from tests.twins.openai_upstream import Upstream
from tests.twins.proxy_service import ProxyService


def test_closed_calls_fail_while_the_log_is_away_and_every_call_that_was_let_through_is_there(tmp_path: Path) -> None:
    with LogProcess(tmp_path, "app") as log:
        recorder = Recorder.open(log.url, log.write_token("app"), "app-1", "support")
        let_through, failed, is_over = list[str](), list[str](), threading.Event()

        def ask() -> None:
            while not is_over.is_set():
                call = recorder.call("m", "what is it?")
                try:
                    with call:
                        call.output("it is this")
                    let_through.append("0x" + call.call_id.hex())
                except PeerError:
                    failed.append("0x" + call.call_id.hex())

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(0.7)
            log.kill()
            time.sleep(0.5)
            log.start()
        time.sleep(0.7)
        is_over.set()
        for thread in threads:
            thread.join()
    assert let_through
    assert failed
    records = full_check(tmp_path)
    by_call: dict[str, list[str]] = {}
    for record in records:
        by_call.setdefault(record["audit.call_id"], []).append(record["audit.kind"])
    assert all(by_call[call_id] == ["intent", "result"] for call_id in let_through)
    assert all(kinds in (["intent"], ["intent", "result"]) for kinds in by_call.values()), "nothing twice"


def test_open_no_call_fails_and_all_are_told_in_the_end(tmp_path: Path) -> None:
    with LogProcess(tmp_path, "app") as log:
        token = log.write_token("app")
        recorder = Recorder.open(log.url, token, "app-1", spool=tmp_path / "spool.sqlite", on_failure="open")
        for number in range(30):
            if number == 10:
                log.kill()
            if number == 20:
                log.start()
            with recorder.call("m", f"question {number}", user="u-1") as call:
                call.output(f"answer {number}")
        for _ in range(500):
            if recorder.deliver() == 0 and recorder.metrics.spooled._value.get() == 0:
                break
            time.sleep(0.02)
        recorder.close()
    records = full_check(tmp_path)
    intents = [record for record in records if record["audit.kind"] == "intent"]
    assert sorted(record["audit.caller.sequence"] for record in intents) == list(range(1, 31))
    assert len({record["audit.call_id"] for record in records}) == 30
    assert len(records) == 60
    late = {record["audit.caller.sequence"] for record in intents if record.get("audit.is_late")}
    assert set(range(11, 21)) <= late <= set(range(11, 31)), "those asked while it was away, and perhaps some before it was back"
    assert "question" not in json.dumps(records)


def test_a_closed_proxy_lets_no_answer_out_whose_records_are_not_there(tmp_path: Path) -> None:
    """Answers whole and in pieces, from several callers at once, while the log is killed and started again."""
    ask = {"model": "m", "messages": [{"role": "user", "content": "one two three"}]}
    answered, refused, is_over = list[str](), list[int](), threading.Event()

    def call_on(url: str, is_stream: bool) -> None:
        with httpx.Client(timeout=30) as client:
            while not is_over.is_set():
                answer = client.post(url + "/chat/completions", json=ask | {"stream": is_stream})
                is_whole = answer.status_code == 200 and (b"[DONE]" in answer.content) is is_stream
                if is_whole:
                    answered.append(answer.headers["x-affidavit-call-id"])
                else:
                    refused.append(answer.status_code)

    with (
        Upstream() as upstream,
        LogProcess(tmp_path, "proxy") as log,
        ProxyService(tmp_path / "proxy", upstream.url, log.url, log.tokens["proxy"]) as proxy,
    ):
        threads = [threading.Thread(target=call_on, args=(proxy.url, number % 2 == 0)) for number in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(2):
            time.sleep(0.8)
            log.kill()
            time.sleep(0.3)
            log.start()
        time.sleep(0.8)
        is_over.set()
        for thread in threads:
            thread.join()
    assert answered
    assert refused
    by_call: dict[str, list[str]] = {}
    for record in full_check(tmp_path):
        by_call.setdefault(record["audit.call_id"], []).append(record["audit.kind"])
    assert all(by_call[call_id] == ["intent", "result"] for call_id in answered)
    assert all(kinds in (["intent"], ["intent", "result"]) for kinds in by_call.values())
    assert len(upstream.seen) <= len(by_call), "the model was never asked without an intent"


@pytest.mark.parametrize("content", [True, False])
def test_nothing_secret_anywhere_in_the_clear(tmp_path: Path, content: bool, capfd: pytest.CaptureFixture[str]) -> None:
    """Everything that was written to disk or to the journal is searched for what was said, by whom, and for the token."""
    with LogProcess(tmp_path / "log", "app") as log:
        token = log.write_token("app").read_text()
        options = {"spool": tmp_path / "spool.sqlite", "on_failure": "open", "content": content}
        recorder = Recorder.open(log.url, tmp_path / "log/app.token", "app-1", **options)  # type: ignore[arg-type]
        for number in range(4):
            if number == 2:
                log.kill()
            with recorder.call("m", "Ada Lovelace asked this", user="countess@example.org", session="s-4711") as call:
                call.output("a confidential answer")
        recorder.close()
    printed = capfd.readouterr()
    for secret in ("Lovelace", "countess", "s-4711", "confidential", token):
        assert secret not in printed.out + printed.err
        for file in tmp_path.rglob("*"):
            if file.is_file() and file.name != "app.token":
                assert secret.encode() not in file.read_bytes(), (secret, file)
