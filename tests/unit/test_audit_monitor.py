"""The monitor: every kind of alarm from the lie that causes it, its memory, its outbox, its exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from oracle.audit.alarms import Alarm, AlarmKind, AlarmState, Severity
from oracle.audit.checkpoint import parse_checkpoint, sign_checkpoint
from oracle.audit.monitor import SAVE_EVERY, Beside, Limits, Monitor, MonitorRound
from oracle.audit.monitor_store import MonitorStore
from oracle.audit.note import SignerKey, parse
from oracle.audit.policy import parse_policy
from oracle.audit.submission import Submission, write_submission
from oracle.audit.tiles import parse_path
from oracle.audit.tree import compute_root
from oracle.audit.webhook import Webhook
from oracle.errors import ChainError, ConfigRejected, PeerError, StoreError
from oracle.pipeline import monitor as pipeline
from oracle.records import Anchor, Bytes32, EntryKind
from tests.twins.logs import KEY, START
from tests.twins.paper_log import PaperLog, make_record
from tests.twins.witnesses import SIGNERS, SetClock, WitnessTwin, client_maker, policy_of

LIMITS = Limits(silence_seconds=30, stale_seconds=7200, anchor_seconds=3600, witness_seconds=300, skew_seconds=5)


def kinds(alarms: tuple[Alarm, ...]) -> list[AlarmKind]:
    return sorted(alarm.kind for alarm in alarms)


class Watch:
    """A paper log, a clock a minute after its newest record, and a monitor whose memory survives `again`."""

    def __init__(self, directory: Path, log: PaperLog, beside: Beside | None = None) -> None:
        self.log = log
        self.clock = SetClock(START + timedelta(seconds=len(log.records) + 60))
        self.store = MonitorStore.open(f"sqlite:///{directory}/monitor.sqlite")
        self.beside = beside or Beside()
        self.again()

    def again(self) -> None:
        self.monitor = Monitor(self.log, KEY.verifier, self.store, self.clock, self.beside, LIMITS)

    def look(self) -> MonitorRound:
        return self.monitor.run_once()

    def wait(self, seconds: int) -> None:
        self.clock.moment += timedelta(seconds=seconds)

    def messages(self) -> list[tuple[str, str]]:
        """What the webhook would be told: (event, kind)."""
        told: list[tuple[str, str]] = []

        def take(request: httpx.Request) -> httpx.Response:
            body = json.loads(request.content)
            told.append((body["event"], body["kind"]))
            return httpx.Response(204)

        with Webhook("http://hook.example", self.store, self.clock, httpx.MockTransport(take)) as webhook:
            while webhook.deliver_once():
                pass
        return told


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path, PaperLog.of(10))
    yield made
    made.store.close()


# ---- what is fine -------------------------------------------------------------------------------------------------------------------
def test_an_honest_log_that_grows(watch: Watch) -> None:
    for size in (10, 10, 11, 255, 256, 257, 600):
        watch.log.records = [make_record(number) for number in range(size)]
        watch.log.size = size
        watch.clock.moment = START + timedelta(seconds=size + 60)
        done = watch.look()
        assert (done.size, done.audited, done.alarms, done.unseen) == (size, size, (), ())
    assert watch.messages() == []


def test_an_empty_log_and_its_first_entries(tmp_path: Path) -> None:
    watch = Watch(tmp_path, PaperLog([]))
    assert watch.look().size == 0
    watch.log = PaperLog.of(3)
    watch.again()
    assert watch.look().audited == 3


def test_only_what_is_new_is_read_again(watch: Watch) -> None:
    watch.log.records = [make_record(number) for number in range(600)]
    watch.log.size = 600
    watch.clock.moment = START + timedelta(seconds=700)
    watch.look()
    watch.log.records.append(make_record(600))
    watch.log.size = 601
    watch.log.reads.clear()
    watch.look()
    assert "tile/entries/000" not in watch.log.reads
    assert "tile/entries/001" not in watch.log.reads
    assert "tile/entries/002.p/89" in watch.log.reads


def test_it_remembers_over_a_restart(watch: Watch) -> None:
    watch.look()
    watch.log.size = 7
    watch.again()
    assert kinds(watch.look().alarms) == [AlarmKind.ROLLBACK]


def test_progress_is_saved_with_what_was_found_on_the_way(tmp_path: Path) -> None:
    """The log dies after the first hundred bundles: what was read is not read again, and the gap in it is not lost."""
    size = (SAVE_EVERY + 3) * 256
    log = PaperLog([make_record(0, sequence=2)] + [make_record(number, sequence=number + 2) for number in range(1, size)])
    watch = Watch(tmp_path, log)
    log.answers[f"tile/entries/{SAVE_EVERY + 1:03d}"] = PeerError("gone")
    done = watch.look()
    assert done.audited >= SAVE_EVERY * 256
    assert AlarmKind.GAP in kinds(done.alarms)
    log.answers.clear()
    log.reads.clear()
    assert watch.look().audited == size
    assert "tile/entries/000" not in log.reads


# ---- lies ---------------------------------------------------------------------------------------------------------------------------
def test_rollback(watch: Watch) -> None:
    watch.look()
    watch.log.size = 7
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.severity, alarm.state) == (AlarmKind.ROLLBACK, Severity.CRITICAL, AlarmState.OPEN)
    assert parse_checkpoint(alarm.evidence["kept"].encode()).size == 10
    assert parse_checkpoint(alarm.evidence["shown"].encode()).size == 7
    assert watch.look().size == 10  # what was believed stays
    watch.log.size = 10
    assert kinds(watch.look().alarms) == [AlarmKind.ROLLBACK], "it happened, and a person has to look"
    assert watch.messages() == [("raised", "rollback")]


@pytest.mark.parametrize("size", [10, 11, 300])
def test_fork(watch: Watch, size: int) -> None:
    watch.look()
    watch.log.records = [make_record(number) for number in range(9)] + [make_record(number, test__x=1) for number in range(9, size)]
    watch.log.size = size
    watch.clock.moment = START + timedelta(seconds=size + 60)
    [alarm] = watch.look().alarms
    assert alarm.kind is AlarmKind.FORK
    kept, shown = (parse(alarm.evidence[name].encode()).text for name in ("kept", "shown"))
    assert kept != shown
    assert watch.look().size == 10
    assert watch.messages() == [("raised", "fork")]


def test_truncated_tail_and_other_entries_in_its_place(watch: Watch) -> None:
    watch.look()
    watch.log.records = watch.log.records[:5] + [make_record(number, test__other=True) for number in range(5, 8)]
    watch.log.size = 8
    assert kinds(watch.look().alarms) == [AlarmKind.ROLLBACK]
    watch.log.records += [make_record(number) for number in range(8, 20)]
    watch.log.size = 20
    assert kinds(watch.look().alarms) == [AlarmKind.FORK, AlarmKind.ROLLBACK]


FALSE_CHECKPOINTS: dict[str, Callable[[PaperLog], bytes]] = {
    "of another key": lambda log: PaperLog(log.records, SignerKey(KEY.name, bytes(32))).note(),
    "of another origin": lambda log: PaperLog(log.records, SignerKey("other.example/log", KEY.seed)).note(),
    "unsigned": lambda log: (parse(log.note()).text + "\n— x AAAAAAAA\n").encode(),
    "cut": lambda log: log.note()[:-1],
    "with a size in other digits": lambda log: log.note().replace(b"\n10\n", b"\n010\n"),
    "no note": lambda log: b"<html>",
    "no text": lambda log: b"\xff\xfe",
    "nothing": lambda log: b"",
    "of an impossible root": lambda log: sign_checkpoint(0, Bytes32(bytes(32)), KEY).note.encode(),
}


@pytest.mark.parametrize("name", FALSE_CHECKPOINTS)
def test_false_checkpoints(watch: Watch, name: str) -> None:
    watch.log.answers["checkpoint"] = FALSE_CHECKPOINTS[name](watch.log)
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.subject) == (AlarmKind.FALSE, "checkpoint")
    assert alarm.text
    del watch.log.answers["checkpoint"]
    assert watch.look().audited == 10


def test_false_tiles_and_entries(tmp_path: Path) -> None:
    for number, path in enumerate(["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001", "tile/entries/002.p/88"]):
        (tmp_path / str(number)).mkdir()
        watch = Watch(tmp_path / str(number), PaperLog.of(600))
        data = bytearray(watch.log.read_tile(parse_path(path)))
        data[len(data) // 2] ^= 1
        watch.log.answers[path] = bytes(data)
        done = watch.look()
        assert set(kinds(done.alarms)) == {AlarmKind.FALSE}, path
        assert all(alarm.text for alarm in done.alarms)
        watch.store.close()


def test_a_server_that_answers_twice_in_two_ways(tmp_path: Path) -> None:
    watch = Watch(tmp_path, PaperLog.of(600), Beside(anchors=list))
    reads = {"count": 0}
    true = watch.log.read_tile

    def second_time_another(tile: object) -> bytes:
        data = true(tile)  # type: ignore[arg-type]
        reads["count"] += "entries/000" in watch.log.reads[-1]
        return data if "entries/000" not in watch.log.reads[-1] or reads["count"] < 2 else data[:-1] + b"?"

    watch.log.read_tile = second_time_another  # type: ignore[method-assign]
    watch.wait(4000)
    assert AlarmKind.FALSE in kinds(watch.look().alarms)


@pytest.mark.parametrize(
    ("numbers", "found"), [([1, 2, 4, 5], 1), ([1, 2, 2, 3], 1), ([2, 3], 1), ([1, 3, 5], 2), ([1, 2, 1, 2], 1), ([1, 2, 3], 0)]
)
def test_gaps(tmp_path: Path, numbers: list[int], found: int) -> None:
    watch = Watch(tmp_path, PaperLog([make_record(place, sequence=number) for place, number in enumerate(numbers)]))
    assert kinds(watch.look().alarms) == [AlarmKind.GAP] * found
    watch.log.records.append(make_record(len(numbers), sequence=numbers[-1] + 1))
    watch.log.size += 1
    assert kinds(watch.look().alarms) == [AlarmKind.GAP] * found
    assert len(watch.messages()) == found


def test_a_gap_between_two_rounds(watch: Watch) -> None:
    watch.look()
    watch.log.records.append(make_record(10, sequence=12))
    watch.log.size = 11
    [alarm] = watch.look().alarms
    assert "number 12 of w, after number 10" in alarm.text


def test_an_entry_that_is_no_record(watch: Watch) -> None:
    watch.log.records[4] = b'{"audit.record":"affidavit/record@2"}'
    done = watch.look()
    assert (AlarmKind.FALSE, "entry 4") in {(alarm.kind, alarm.subject) for alarm in done.alarms}
    assert done.audited == 10


# ---- clocks -------------------------------------------------------------------------------------------------------------------------
def test_skew_between_a_writer_and_the_log_comes_and_goes(watch: Watch) -> None:
    watch.log.records.append(make_record(10, own=START + timedelta(seconds=10 + 60)))
    watch.log.size = 11
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.severity) == (AlarmKind.CLOCK, Severity.WARNING)
    assert "+60.0 s" in alarm.text
    assert kinds(watch.look().alarms) == [AlarmKind.CLOCK]
    watch.log.records.append(make_record(11))
    watch.log.size = 12
    assert watch.look().alarms == ()
    assert watch.messages() == [("raised", "clock"), ("resolved", "clock")]


def test_late_records_may_be_late(watch: Watch) -> None:
    watch.log.records.append(make_record(10, own=START, audit__is_late=True))
    watch.log.size = 11
    assert watch.look().alarms == ()
    watch.log.records.append(make_record(11, own=START))
    watch.log.size = 12
    assert kinds(watch.look().alarms) == [AlarmKind.CLOCK]


def test_the_logs_own_clock(watch: Watch) -> None:
    watch.log.records += [make_record(10, moment=START + timedelta(seconds=3))]
    watch.log.size = 11
    [alarm] = watch.look().alarms
    assert "before the one ahead of it" in alarm.text
    watch.log.records += [make_record(11, moment=START + timedelta(seconds=900))]
    watch.log.size = 12
    [alarm] = watch.look().alarms
    assert "in the future" in alarm.text


def test_a_clock_nobody_disciplines(watch: Watch) -> None:
    loose = {"audit__clock__is_synchronised": False, "audit__clock__source": "kernel"}
    watch.log.records.append(make_record(10, kind=EntryKind.CLOCK, **loose))  # type: ignore[arg-type]
    watch.log.size = 11
    [alarm] = watch.look().alarms
    assert "disciplines" in alarm.text
    watch.log.records.append(make_record(11, kind=EntryKind.CLOCK, **loose | {"audit__clock__is_synchronised": True}))  # type: ignore[arg-type]
    watch.log.size = 12
    assert watch.look().alarms == ()


# ---- silence ------------------------------------------------------------------------------------------------------------------------
def test_a_log_that_does_not_answer(watch: Watch) -> None:
    watch.look()
    watch.log.answers["checkpoint"] = PeerError("no route")
    done = watch.look()
    assert (done.alarms, done.is_seen) == ((), False)
    watch.wait(31)
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.text) == (AlarmKind.SILENCE, "no route")
    watch.wait(31)
    del watch.log.answers["checkpoint"]
    assert watch.look().alarms == ()
    assert watch.messages() == [("raised", "silence"), ("resolved", "silence")]


def test_a_short_silence_is_no_alarm(watch: Watch) -> None:
    watch.log.answers["checkpoint"] = PeerError("no route")
    watch.look()
    watch.wait(20)
    del watch.log.answers["checkpoint"]
    watch.look()
    watch.wait(20)
    watch.log.answers["checkpoint"] = PeerError("no route")
    assert watch.look().alarms == ()
    assert watch.messages() == []


def test_a_stale_checkpoint(watch: Watch) -> None:
    """A server that shows the same true checkpoint for ever hides what came after: an honest log writes its clock every hour."""
    watch.look()
    watch.wait(7200)
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.subject) == (AlarmKind.SILENCE, "stale")
    watch.log.records.append(make_record(10, moment=watch.clock.moment))
    watch.log.size = 11
    assert watch.look().alarms == ()


def test_a_log_that_refuses(tmp_path: Path) -> None:
    said: dict[str, str | None] = {"refusal": None}
    watch = Watch(tmp_path, PaperLog.of(10), Beside(read_refusal=lambda: said["refusal"]))
    assert watch.look().alarms == ()
    said["refusal"] = "behind its anchor"
    watch.look()
    watch.wait(30)
    [alarm] = watch.look().alarms
    assert alarm.text == "the log refuses to go on: behind its anchor"


# ---- anchors ------------------------------------------------------------------------------------------------------------------------
def anchor(size: int, root: bytes, block: int = 7) -> Anchor:
    return Anchor(Bytes32(bytes(32)), size, Bytes32(root), block, Bytes32(bytes(32)), Bytes32(bytes(32)))


def test_anchors(tmp_path: Path) -> None:
    log = PaperLog.of(300)
    anchors = [anchor(100, compute_root(log.leaves[:100])), anchor(299, compute_root(log.leaves[:299]))]
    watch = Watch(tmp_path, log, Beside(anchors=lambda: anchors))
    assert watch.look().alarms == ()
    anchors.append(anchor(300, bytes(32), 8))
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.subject) == (AlarmKind.FORK, "anchor of size 300")
    anchors[-1] = anchor(400, bytes(32), 9)
    assert (AlarmKind.ROLLBACK, "anchor of size 400") in {(a.kind, a.subject) for a in watch.look().alarms}


def test_a_late_anchor(tmp_path: Path) -> None:
    log = PaperLog.of(10)
    anchors: list[Anchor] = []
    watch = Watch(tmp_path, log, Beside(anchors=lambda: anchors))
    assert watch.look().alarms == ()
    watch.wait(3600)
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.severity) == (AlarmKind.LATE_ANCHOR, Severity.WARNING)
    anchors.append(anchor(10, compute_root(log.leaves)))
    fields = {"audit__log_id": "0x" + "00" * 32, "audit__anchor__size": 10, "audit__anchor__root": "0x" + "00" * 32}
    record = make_record(10, moment=watch.clock.moment, kind=EntryKind.ANCHOR, audit__transaction="0x" + "00" * 32, **fields)  # type: ignore[arg-type]
    log.records.append(record)
    log.size = 11
    assert watch.look().alarms == ()
    watch.wait(3700)
    assert watch.look().alarms == (), "an anchor's own record needs no anchor"


def test_a_chain_that_does_not_answer_resolves_nothing(tmp_path: Path) -> None:
    answers: list[object] = [[]]

    def read() -> list[Anchor]:
        if isinstance(answers[0], Exception):
            raise answers[0]
        return answers[0]  # type: ignore[return-value]

    watch = Watch(tmp_path, PaperLog.of(10), Beside(anchors=read))
    watch.wait(3600)
    assert kinds(watch.look().alarms) == [AlarmKind.LATE_ANCHOR]
    answers[0] = ChainError("no chain")
    done = watch.look()
    assert kinds(done.alarms) == [AlarmKind.LATE_ANCHOR]
    assert done.unseen == ("no chain",)


# ---- witnesses ----------------------------------------------------------------------------------------------------------------------
def cosigned(log: PaperLog, size: int, now: int, *signers: int) -> bytes:
    note = log.note(size)
    return note + "".join(SIGNERS[i].cosign(parse(note).text, now).line() for i in signers).encode()


def two_of_three(log: PaperLog) -> Beside:
    lines = [f"witness {s.name} {s.verifier}" for s in SIGNERS[:3]]
    return Beside(policy=parse_policy("\n".join([*lines, f"group g 2 {' '.join(s.name for s in SIGNERS[:3])}", "quorum g", ""]).encode()))


def test_quorums(tmp_path: Path) -> None:
    log = PaperLog.of(10)
    watch = Watch(tmp_path, log, two_of_three(log))
    now = int(watch.clock.moment.timestamp())
    assert watch.look().alarms == (), "the entries are young"
    watch.wait(300)
    [alarm] = watch.look().alarms
    assert alarm.kind is AlarmKind.WITNESS
    assert "NOT met: cosigned by nobody" in alarm.text
    log.answers["checkpoint"] = cosigned(log, 10, now, 0)
    assert "cosigned by w1.example; no cosignature of w2.example, w3.example" in watch.look().alarms[0].text
    log.answers["checkpoint"] = cosigned(log, 10, now, 0, 2)
    assert watch.look().alarms == ()
    log.records.append(make_record(10, moment=watch.clock.moment))
    log.size, log.witnessed = 11, log.answers.pop("checkpoint")
    assert watch.look().alarms == (), "the newest is a moment ahead"
    watch.wait(301)
    [alarm] = watch.look().alarms
    assert "for the first 10 entries; the newest 1 are not witnessed yet" in alarm.text


def test_a_false_cosignature(tmp_path: Path) -> None:
    log = PaperLog.of(10)
    watch = Watch(tmp_path, log, two_of_three(log))
    log.answers["checkpoint"] = cosigned(log, 9, 5, 0).replace(log.note(9), log.note(10))
    [alarm] = watch.look().alarms
    assert (alarm.kind, alarm.subject) == (AlarmKind.FALSE, "cosignatures")


def test_a_witnessed_checkpoint_the_log_does_not_extend(tmp_path: Path) -> None:
    log = PaperLog.of(10)
    watch = Watch(tmp_path, log, two_of_three(log))
    other = PaperLog([make_record(number, test__x=1) for number in range(8)])
    log.witnessed = cosigned(other, 8, 5, 0, 1)
    assert kinds(watch.look().alarms) == [AlarmKind.FALSE]


def test_a_split_view_is_found_at_the_witness(tmp_path: Path) -> None:
    """The log shows the monitor one tree and the witness another: the witness's own copy gives it away."""
    log, other = PaperLog.of(10), PaperLog([make_record(number, test__x=1) for number in range(8)])
    twin = WitnessTwin(tmp_path, SIGNERS[0], [KEY.verifier], SetClock(START))
    policy = policy_of([twin], "all", KEY.verifier)
    client = client_maker([twin])(policy.witnesses[0])
    watch = Watch(tmp_path, log, Beside(witnesses=[client]))
    assert watch.look().alarms == ()
    twin.witness.add_checkpoint(write_submission(Submission(0, (), other.note())))
    [alarm] = watch.look().alarms
    assert alarm.kind is AlarmKind.FORK
    assert set(alarm.evidence) == {"shown", "shown by the witness"}
    twin.is_down = True
    assert kinds(watch.look().alarms) == [AlarmKind.FORK]
    twin.close()


def test_an_older_view_is_found_at_the_witness(tmp_path: Path) -> None:
    log = PaperLog.of(10)
    log.size = 6
    twin = WitnessTwin(tmp_path, SIGNERS[0], [KEY.verifier], SetClock(START))
    twin.witness.add_checkpoint(write_submission(Submission(0, (), log.note(9))))
    policy = policy_of([twin], "all", KEY.verifier)
    watch = Watch(tmp_path, log, Beside(witnesses=[client_maker([twin])(policy.witnesses[0])]))
    [alarm] = watch.look().alarms
    assert alarm.kind is AlarmKind.ROLLBACK
    assert "the log shows 6" in alarm.text
    twin.close()


# ---- the outbox ---------------------------------------------------------------------------------------------------------------------
class Hook:
    """A webhook that answers as told, and remembers."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        self.bodies.append(json.loads(request.content))
        return httpx.Response(answer)


def test_the_webhook_is_told_until_it_takes_it(watch: Watch) -> None:
    watch.look()
    watch.log.size = 7
    watch.look()
    watch.log.size = 10
    hook = Hook(httpx.ConnectError("no"), 500, 302, 404)
    webhook = Webhook("http://hook.example", watch.store, watch.clock, httpx.MockTransport(hook))
    for _ in range(4):
        assert not webhook.deliver_once()
        assert not webhook.deliver_once(), "not again at once"
        assert watch.store.count_messages() == 1
        watch.wait(400)
    assert webhook.deliver_once()
    assert watch.store.count_messages() == 0
    told = hook.bodies[-1]
    assert (told["event"], told["kind"], told["origin"], told["format"]) == ("raised", "rollback", KEY.name, "affidavit/alarm@1")
    assert set(told["evidence"]) == {"kept", "shown"}  # type: ignore[call-overload]


def test_messages_keep_their_order_and_survive(watch: Watch) -> None:
    watch.log.records.append(make_record(10, own=START + timedelta(seconds=100)))
    watch.log.size = 11
    watch.look()
    watch.log.records.append(make_record(11))
    watch.log.size = 12
    watch.look()
    hook = Hook(500)
    with Webhook("http://hook.example", watch.store, watch.clock, httpx.MockTransport(hook)) as webhook:
        assert not webhook.deliver_once()
    watch.wait(400)
    with Webhook("http://hook.example", watch.store, watch.clock, httpx.MockTransport(hook)) as webhook:
        assert webhook.deliver_once()
        assert webhook.deliver_once()
    assert [body["event"] for body in hook.bodies] == ["raised", "raised", "resolved"]


def test_an_alarm_and_its_message_are_one_transaction(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash between finding and telling loses neither: the next round finds it again, and tells."""
    watch.look()
    watch.log.size = 7

    def fail(*_arguments: object) -> list[Alarm]:
        raise StoreError("gone") from OSError("disk")

    with monkeypatch.context() as patched:
        patched.setattr("oracle.audit.alarms._tell", fail)
        with pytest.raises(StoreError):
            watch.look()
    assert watch.store.open_alarms(KEY.name) == []
    assert kinds(watch.look().alarms) == [AlarmKind.ROLLBACK]
    assert watch.messages() == [("raised", "rollback")]


def test_a_person_resolves_a_proof(watch: Watch) -> None:
    watch.look()
    watch.log.size = 7
    [alarm] = watch.look().alarms
    watch.log.size = 10
    assert watch.store.acknowledge("nothing", 5) is None
    assert watch.store.acknowledge(alarm.id, 5) is not None
    assert watch.store.acknowledge(alarm.id, 5) is None
    assert watch.look().alarms == ()
    assert watch.messages() == [("raised", "rollback"), ("resolved", "rollback")]


def test_a_webhook_needs_a_url(watch: Watch) -> None:
    with pytest.raises(ConfigRejected):
        Webhook("hook.example", watch.store, watch.clock)


# ---- its process --------------------------------------------------------------------------------------------------------------------
def test_metrics_and_alarms_over_http(watch: Watch) -> None:
    metrics = pipeline.MonitorMetrics()
    app = pipeline.make_app(pipeline.OpenMonitor(watch.monitor, watch.store, None), metrics)
    metrics.on_round(watch.look(), 5.0)
    watch.log.size = 7
    metrics.on_round(watch.look(), 6.0)
    with TestClient(app) as client:
        text = client.get("/metrics").text
        assert 'affidavit_monitor_alarms{kind="rollback"} 1.0' in text
        assert 'affidavit_monitor_alarms{kind="fork"} 0.0' in text
        assert "affidavit_monitor_audited_entries 10.0" in text
        assert "affidavit_monitor_untold_messages 1.0" in text
        [alarm] = client.get("/alarms").json()["alarms"]
        assert (alarm["kind"], alarm["severity"]) == ("rollback", "critical")
        assert client.get("/ready").json()["alarms"] == 1
