"""Recorded calls as applications make them, for measuring logs: models, callers and tenants of very different weight, a few failures,
calls that overlap, now and then a clock record. The same seed gives the same traffic, byte for byte.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from oracle.audit.record import Field, Previous, encode_record, read_call_id
from oracle.audit.tree import hash_leaf
from oracle.encoding import parse_bytes32, to_hex
from oracle.records import Bytes32, Entry, EntryKind
from oracle.seams import format_time

START = datetime(2026, 10, 1, tzinfo=UTC)
MODELS = tuple(f"{name}-{size}" for name in ("harbour", "meadow", "granite") for size in ("large", "small", "mini-2026-08-06", "vision"))
PURPOSES = ("credit scoring", "claims triage", "customer support", "fraud review", "document summary", "translation")
TENANTS = ("north-bank", "south-bank", "acme-insurance", "city-hospital")
TOOLS = ("lookup_account", "search_policies", "send_letter", "compute_premium")
GUARDRAILS = ("pii:passed", "toxicity:passed", "jailbreak:passed", "pii:redacted")
ERRORS = ("Timeout", "RateLimited", "ContextTooLong", "ConnectionReset")
CALLERS = 5000
STREAMS = 16
_CLOCK_EVERY = 5000


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call: what is asked, and how it ends. The result's link to its intent is added when the intent has its place.

    `input_digest` and `output_digest` are what its records seal.
    """

    writer: str
    asked_at: datetime
    ended_at: datetime
    intent: dict[str, Field]
    end: EntryKind
    ending: dict[str, Field]
    input_digest: str
    output_digest: str

    def asking_entry(self) -> Entry:
        """The intent, as an application appends it."""
        return Entry(EntryKind.INTENT, format_time(self.asked_at), self.intent, sealed={"gen_ai.input.messages.digest": self.input_digest})

    def ending_entry(self, intent: Previous) -> Entry:
        """The result or error of the intent that has this place."""
        link: dict[str, Field] = {"audit.intent.index": intent.index, "audit.intent.leaf_hash": to_hex(intent.leaf_hash)}
        sealed: dict[str, Field] = {"gen_ai.output.messages.digest": self.output_digest}
        return Entry(self.end, format_time(self.ended_at), self.ending | link, sealed=sealed)


@dataclass(slots=True)
class Traffic:
    """An endless stream of calls. `pace_seconds` lies between two of them on average."""

    seed: int = 1
    pace_seconds: float = 2.6
    _random: random.Random = field(init=False)
    _moment: datetime = field(init=False, default=START)
    _sequences: dict[int, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def next_call(self) -> PlannedCall:
        rng = self._random
        self._moment += timedelta(seconds=rng.expovariate(1 / self.pace_seconds))
        stream = rng.randrange(STREAMS)
        model, tenant = _skewed(rng, MODELS), _skewed(rng, TENANTS)
        latency = round(rng.lognormvariate(13.5, 0.9))  # microseconds; median 0.73 s
        shared: dict[str, Field] = {
            "audit.actor": f"gateway-{stream % 4}",
            "audit.call_id": self._digest(),
            "audit.tenant": tenant,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": model.partition("-")[0],
        }
        end, ending = self._ending(model, latency)
        intent = shared | self._asking(model, stream)
        ended_at = self._moment + timedelta(microseconds=latency)
        writer, digests = f"recorder-{stream % 4}", (self._digest(), self._digest())
        return PlannedCall(writer, self._moment, ended_at, intent, end, shared | ending, *digests)

    def _asking(self, model: str, stream: int) -> dict[str, Field]:
        rng = self._random
        self._sequences[stream] = self._sequences.get(stream, 0) + 1
        caller = int(CALLERS * rng.random() ** 3)
        return {
            "audit.caller": f"caller-{caller:04d}",
            "audit.caller.sequence": self._sequences[stream],
            "audit.caller.stream": f"{stream:032x}",
            "audit.prompt_template_digest": to_hex(bytes([stream]) * 32),
            "audit.purpose": _skewed(rng, PURPOSES),
            "audit.risk_class": "high" if rng.random() < 0.2 else "limited",
            "audit.span_id": rng.randbytes(8).hex(),
            "audit.system": "desk",
            "audit.system.version": f"4.{rng.randrange(3)}.1",
            "audit.trace_id": rng.randbytes(16).hex(),
            "gen_ai.request.max_tokens": 1024,
            "gen_ai.request.model": model,
            "gen_ai.request.temperature": "0.2",
        }

    def _ending(self, model: str, latency: int) -> tuple[EntryKind, dict[str, Field]]:
        rng = self._random
        ended: dict[str, Field] = {"audit.latency_microseconds": latency}
        chance = rng.random()
        if chance < 0.03:
            return EntryKind.ERROR, ended | {
                "audit.outcome": "cancelled" if chance < 0.002 else "error",
                "error.type": _skewed(rng, ERRORS),
            }
        verdict = "rejected" if chance > 0.9995 else "proven" if chance > 0.99 else "signed" if chance > 0.9 else "unverified"
        return EntryKind.RESULT, ended | {
            "audit.cost_currency": "EUR",
            "audit.cost_micros": rng.randrange(200, 90_000),
            "audit.guardrails": [_skewed(rng, GUARDRAILS)],
            "audit.outcome": "refused" if chance < 0.04 else "ok",
            "audit.tool_names": [_skewed(rng, TOOLS)] if rng.random() < 0.3 else [],
            "audit.verdict": verdict,
            "gen_ai.response.id": f"chatcmpl-{rng.randbytes(12).hex()}",
            "gen_ai.response.model": model,
            "gen_ai.usage.input_tokens": rng.randrange(50, 4000),
            "gen_ai.usage.output_tokens": rng.randrange(5, 1000),
        }

    def _digest(self) -> str:
        return to_hex(self._random.randbytes(32))


def _skewed(rng: random.Random, words: tuple[str, ...]) -> str:
    """The first words often, the last ones seldom."""
    return words[int(len(words) * rng.random() ** 2)]


@dataclass(frozen=True, slots=True)
class StampedEntry:
    """An entry with its place, as the log's database and its tiles have it."""

    index: int
    leaf_hash: Bytes32
    record: bytes
    entry: Entry
    writer: str
    sequence: int
    call_id: Bytes32 | None


def stamped(count: int, seed: int = 1, pace_seconds: float = 2.6) -> Iterator[StampedEntry]:
    """`count` entries of a log of such calls, in their order, stamped and linked as the log would."""
    traffic = Traffic(seed, pace_seconds)
    stamper = _Stamper()
    endings: list[tuple[datetime, int, PlannedCall, Previous]] = []  # a heap: which call ends next
    call = traffic.next_call()
    while stamper.index < count:
        if stamper.index % _CLOCK_EVERY == _CLOCK_EVERY - 1:
            yield stamper.stamp("recorder-0", call.asked_at, Entry(EntryKind.CLOCK, format_time(call.asked_at), _clock_fields()))
        elif endings and endings[0][0] <= call.asked_at:
            ended_at, _, ended, intent = heapq.heappop(endings)
            yield stamper.stamp(ended.writer, ended_at, ended.ending_entry(intent), ended.output_digest, intent)
        else:
            asked = stamper.stamp(call.writer, call.asked_at, call.asking_entry(), call.input_digest)
            yield asked
            heapq.heappush(endings, (call.ended_at, asked.index, call, Previous(asked.index, asked.leaf_hash)))
            call = traffic.next_call()


def _clock_fields() -> dict[str, Field]:
    return {"audit.actor": "gateway-0", "audit.clock.offset_microseconds": 180, "audit.clock.source": "ntp"}


class _Stamper:
    """The log's stamps: index, sequence of the writer, time of the log."""

    def __init__(self) -> None:
        self.index = 0
        self._sequences: dict[str, int] = {}

    def stamp(
        self, writer: str, moment: datetime, entry: Entry, sealed: str | None = None, previous: Previous | None = None
    ) -> StampedEntry:
        """`sealed` stands for the root over the entry's sealed fields: 32 bytes that nobody can tell from random ones."""
        self._sequences[writer] = sequence = self._sequences.get(writer, 0) + 1
        root = None if sealed is None else parse_bytes32(sealed, "sealed")
        log_time = format_time(moment + timedelta(milliseconds=4))
        record = encode_record(entry, writer, sequence, log_time, previous, root, "standard" if root else None)
        self.index += 1
        return StampedEntry(self.index - 1, hash_leaf(record), record, entry, writer, sequence, read_call_id(entry.fields))
