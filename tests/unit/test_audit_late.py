"""What was written after the fact is told to an auditor, and fails no audit that would hold without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.attest.prove import Prover
from oracle.attest.quorum import verify_quorum
from oracle.audit.call import ClaimChecks
from oracle.audit.entries import intent_entry, result_entry
from oracle.audit.late import append_late, late
from oracle.audit.log import LocalWriter
from oracle.audit.verify import verify_call
from oracle.encoding import keccak256
from oracle.errors import AuditFailed, EntryRejected, LogRefused
from oracle.records import Inference
from oracle.signatures import recover_signer
from tests.twins.audited import LOG_ID, RUNTIME, History
from tests.twins.logs import START, entry
from tests.twins.operators import signed_by

CHECKS = ClaimChecks(recover_signer, verify_quorum, Prover(()).verify)


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("is_marked", [True, False])
def test_results_after_the_receipt_hold_where_they_say_that_they_are_late(history: History, is_marked: bool) -> None:
    """The log was away while two nodes answered and the relay delivered; the relay was the first to find it back."""
    asked = history.ask(b"input")
    claims = [signed_by(index, asked, b"output", history.domain) for index in (0, 1)]
    history.deliver(asked, claims)
    for index, signed in enumerate(claims):
        node = f"node-{index}"
        mark = late if is_marked else lambda entry: entry
        intent = history.write(node, mark(intent_entry(asked, history.domain, node, "digits", START)))
        inference = Inference(history.model_id, asked.request.input_digest, keccak256(b"output"), b"output", RUNTIME, 0.001)
        history.write(node, mark(result_entry(intent, asked, history.domain, signed, inference, node, "digits", START)))
    if not is_marked:
        with pytest.raises(AuditFailed, match="before the receipt"):
            verify_call(history.view(), history.chain, LOG_ID, asked.request_id, CHECKS)
        return
    report = verify_call(history.view(), history.chain, LOG_ID, asked.request_id, CHECKS)
    assert any("entries 1, 2, 3, 4 were written after the fact" in remark for remark in report.remarks)


def test_late_goes_under_the_same_key_and_finds_what_was_written_in_time(history: History) -> None:
    log, one, two = LocalWriter(history.log, "app"), entry(1), entry(2)
    first = log.append(one, "k1")
    assert append_late(log, one, "k1").index == first.index, "its answer was lost, and it is there"
    second = append_late(log, two, "k2")
    assert append_late(log, two, "k2").index == second.index
    assert history.log.entries.size() == 2
    with pytest.raises(EntryRejected, match="k1"):
        append_late(log, two, "k1")


def test_a_log_that_refuses_everything_is_not_taken_for_a_key_in_use(history: History) -> None:
    history.log.refuse(LogRefused("log", "to be a log", "restored"))
    with pytest.raises(LogRefused, match="restored"):
        append_late(LocalWriter(history.log, "app"), replace(entry(1)), "k1")
