"""Several JSON-RPC endpoints as one: what decides needs a quorum, what is sent goes to all, what fails is not asked for a while.

The rules of agreement stand in `agreement`, the circuit breaker in `upstream`. Here they are put together:

1. An endpoint is asked while its circuit is closed, it is on the right chain, and not more than `lag_blocks` behind. Checked when it is
   first used, every CHECK_SECONDS after, and by the probe that closes its circuit. Whoever is not asked is named in journal and metrics.
2. A question that needs a quorum goes to all at once, and is decided as soon as `quorum` say the same. "There is none" is decided only
   after the others had ABSENCE_SECONDS to object, and does not count from those who are behind the block the others speak of.
3. Where the newest block differs, the question is put again about the newest block that `quorum` have.
4. Without a quorum: NoQuorum (they disagree) or ChainError (too few answer). Never a guess.
5. Whoever said something else than was agreed is asked again a moment later, about one block; who still does is outvoted: journal, metrics.

One endpoint alone is asked as it always was: whatever it says, and whenever, unless it named a time itself (Retry-After).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import httpx

from oracle import journal
from oracle.encoding import keccak256, parse_hex, to_hex
from oracle.errors import AmbiguousSend, ChainError, ConfigRejected, InvariantBroken
from oracle.relay import agreement
from oracle.relay.agreement import Rule, Vote, count_agreed, find_attested, is_at_head, pin, rule_of
from oracle.relay.failures import NonceUsed, NoQuorum, TransactionInvalid, refusal_of
from oracle.relay.upstream import Answer, Circuit, Fault, Upstream, name_endpoints

LAG_BLOCKS = 8
MOST_TOGETHER = 64
"""Questions in one JSON-RPC batch; providers allow a hundred and more."""
MOST_AT_ONCE = 8
"""Questions on which several endpoints vote at the same time."""
TIMEOUT_SECONDS = 15.0
STATES = ("ready", "open", "half_open", "unchecked", "wrong_chain", "lagging")


@dataclass(frozen=True, slots=True)
class Pauses:
    """Seconds. Tests make them shorter."""

    check: float = 5.0  # between two looks at chain and head of an endpoint
    absence: float = 1.0  # given to others before "there is none" is believed, and before the quorum-th highest is taken
    confirm: float = 1.0  # before whoever dissented is asked again


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """What journal, metrics and /health may say of an endpoint: nothing of its URL but `name`."""

    name: str
    state: str  # one of STATES
    reason: str  # of the last fault, "" where there was none
    chain_id: int | None
    head: int | None
    latency_seconds: float | None
    answers: int
    faults: dict[str, int]
    outvoted: dict[str, int]


class Endpoints:
    """Raises ConfigRejected for URLs that are none, given twice, or a quorum that they cannot have. Safe to use from several threads."""

    def __init__(
        self,
        urls: str | Sequence[str],
        chain_id: int | None = None,
        quorum: int | None = None,
        lag_blocks: int = LAG_BLOCKS,
        timeout_seconds: float = TIMEOUT_SECONDS,
        pauses: Pauses | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        given = [urls] if isinstance(urls, str) else list(urls)
        if not given or len(set(given)) != len(given):
            raise ConfigRejected("rpc", "at least one URL, each once", len(given))
        self.quorum = len(given) // 2 + 1 if quorum is None else quorum
        if not 1 <= self.quorum <= len(given):
            raise ConfigRejected("quorum", f"1 to {len(given)}, the number of endpoints", self.quorum)
        self._upstreams = [
            Upstream(url, name, timeout_seconds, transport, clock) for url, name in zip(given, name_endpoints(given), strict=True)
        ]
        self._chain_id, self._lag_blocks, self._timeout = chain_id, lag_blocks, timeout_seconds
        self._pauses, self._clock = pauses or Pauses(), clock
        self._changed = threading.Condition()
        self._next_check: dict[Upstream, float] = {}
        self._checking: set[Upstream] = set()
        self._confirming: set[Upstream] = set()
        self._told: dict[Upstream, str] = {}
        self._is_introduced = False

    def request(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        """A JSON-RPC response. Raises ChainError, NoQuorum, AmbiguousSend (for what was sent), or Fault for one endpoint alone."""
        if len(self._upstreams) == 1:
            return self._ask_only(method, params)
        if method == agreement.SEND:
            return self._broadcast(params)
        rule = rule_of(method, params)
        if rule is Rule.ANY or self.quorum == 1:
            return self._ask_first(method, params)
        return self._ask_ranked(method, params) if rule is Rule.RANKED else self._ask_same(method, params)

    def request_each(self, method: str, each: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
        """As `request` for each of these parameters: one endpoint alone, which needs no vote, is asked for them together; several are asked
        for some at a time, and vote on each."""
        if len(each) < 2:
            return [self.request(method, params) for params in each]
        if len(self._upstreams) > 1:
            with ThreadPoolExecutor(min(len(each), MOST_AT_ONCE), "questions") as pool:
                return list(pool.map(lambda params: self.request(method, params), each))
        responses: list[dict[str, Any]] = []
        for start in range(0, len(each), MOST_TOGETHER):
            answer = self._upstreams[0].ask_many(method, each[start : start + MOST_TOGETHER])
            if isinstance(answer, Fault):
                raise answer
            responses += map(dict, answer)
        return responses

    def require_chain(self, chain_id: int) -> None:
        """Of several: raises ConfigRejected where so many are on another chain that there can be no quorum."""
        if len(self._upstreams) == 1:
            return
        self._check_due()
        with self._changed:
            self._changed.wait_for(lambda: not self._checking, self._timeout)
        wrong = [f"{s.chain_id} at {s.name}" for s in self.snapshot() if s.chain_id not in (None, chain_id)]
        if len(self._upstreams) - len(wrong) < self.quorum:
            raise ConfigRejected("chain id of the endpoints", chain_id, ", ".join(wrong))

    def snapshot(self) -> list[EndpointStatus]:
        """The endpoints in the order they were given in."""
        return [self._status_of(upstream) for upstream in self._upstreams]

    def describe(self) -> dict[str, Any]:
        """As /health tells it: how many must agree, and the state of each."""
        return {"quorum": self.quorum, "endpoints": [asdict(one) for one in self.snapshot()]}

    def _status_of(self, upstream: Upstream) -> EndpointStatus:
        state, record = self._state_of(upstream), upstream.record
        with upstream.lock:
            faults, outvoted = dict(record.faults), dict(record.outvoted)
        return EndpointStatus(
            upstream.name, state, record.reason, record.chain_id, record.head, record.latency_seconds, record.answers, faults, outvoted
        )

    # ---- who is asked ----------------------------------------------------------------------------------------------------------------
    def _state_of(self, upstream: Upstream) -> str:
        with upstream.lock:
            circuit, record = upstream.breaker.circuit, upstream.record
            if circuit is not Circuit.CLOSED:
                return str(circuit)
            if len(self._upstreams) == 1:
                return "ready"
            if record.chain_id is None:
                return "unchecked"
            if record.chain_id != self._chain_id:
                return "wrong_chain"
            return "lagging" if record.is_behind else "ready"

    def _find_usable(self, needed: int, states: frozenset[str] = frozenset({"ready"})) -> list[Upstream]:
        """Whoever may be asked, after waiting for checks that run. Raises ChainError for fewer than `needed`."""
        is_first = self._check_due()
        patience = self._timeout if is_first else self._pauses.absence
        with self._changed:
            self._changed.wait_for(lambda: not self._checking or len(self._in_states(states)) >= needed, patience)
            if not self._is_introduced:  # at the start the others get a moment too, or nobody would object or be sent to
                self._changed.wait_for(lambda: not self._checking, self._pauses.absence)
                self._is_introduced = True
        if len(found := self._in_states(states)) < needed:
            told = "; ".join(f"{s.name} is {s.state}" + (f" ({s.reason})" if s.reason else "") for s in self.snapshot())
            raise ChainError(f"{len(found)} of {len(self._upstreams)} endpoints can be asked, {needed} are needed: {told}")
        return found

    def _in_states(self, states: frozenset[str]) -> list[Upstream]:
        return [u for u in self._upstreams if self._state_of(u) in states]

    def _check_due(self) -> bool:
        """Starts the checks that are due, each in a thread of its own. Returns whether some endpoint was never checked before."""
        now = self._clock()
        with self._changed:
            is_first = any(u not in self._told for u in self._upstreams)
            for upstream in self._upstreams:
                if upstream not in self._checking and self._is_check_due(upstream, now):
                    self._next_check[upstream] = now + self._pauses.check
                    self._checking.add(upstream)
                    threading.Thread(target=self._check, args=(upstream,), name=f"check {upstream.name}", daemon=True).start()
        return is_first

    def _is_check_due(self, upstream: Upstream, now: float) -> bool:
        with upstream.lock:
            if upstream.breaker.is_probe_due(now):
                upstream.breaker.begin_probe()
                return True
            return upstream.breaker.circuit is Circuit.CLOSED and self._next_check.get(upstream, now) <= now

    def _check(self, upstream: Upstream) -> None:
        try:
            chain, head = (upstream.ask(method, []) for method in (agreement.CHAIN_ID, agreement.HEAD))
            if chain.vote is not None and head.vote is not None:
                self._take_check(upstream, int(chain.vote.key), int(head.vote.key))
            elif (answer := chain if chain.error is not None else head).error is not None:
                with upstream.lock:  # it does not even say its chain: such as a key that is not valid
                    upstream.record.chain_id, upstream.record.reason = None, f"error: {answer.error}"[:200]
        finally:
            with upstream.lock:
                upstream.breaker.end_probe(self._clock())
            self._tell(upstream)
            with self._changed:
                self._checking.discard(upstream)
                self._changed.notify_all()

    def _take_check(self, upstream: Upstream, chain_id: int, head: int) -> None:
        """What others were seen to have before is a lower bound of what they have now, so nobody is called behind who is not."""
        with self._changed:
            upstream.record.chain_id, upstream.record.head = chain_id, head
            if self._chain_id is None:  # nobody said which: the one that a quorum is on
                agreed = count_agreed([Vote(str(u.record.chain_id)) for u in self._upstreams if u.record.chain_id is not None], self.quorum)
                self._chain_id = None if agreed is None else int(agreed.key)
            heads = [u.record.head for u in self._upstreams if u.record.head is not None and u.record.chain_id == self._chain_id]
            known = find_attested(heads, self.quorum)
            upstream.record.is_behind = known is not None and head < known - self._lag_blocks

    def _tell(self, upstream: Upstream) -> None:
        """Journals a change of state, once."""
        status = self._status_of(upstream)
        with self._changed:
            before, self._told[upstream] = self._told.get(upstream), status.state
        if before in (None, status.state) and (before is not None or status.state == "ready"):
            return
        logger, facts = journal.get("endpoints"), {"endpoint": status.name, "state": status.state, "chain_id": status.chain_id}
        if status.state == "ready":
            logger.info("endpoint is asked again", **facts)
        elif status.state != "half_open":
            logger.warning("endpoint is not asked", **facts, head=status.head, reason=status.reason)

    # ---- asking ----------------------------------------------------------------------------------------------------------------------
    def _ask_only(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        answer = self._upstreams[0].ask(method, params, is_voting=False)
        if answer.response is None:
            raise answer.fault or InvariantBroken("neither an answer nor a fault")
        return dict(answer.response)

    def _ask_first(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        """The healthiest, then the next. An endpoint's own error is passed on only when all have one."""
        refused: Answer | None = None
        fault: Exception | None = None
        for upstream in sorted(self._find_usable(1), key=Upstream.badness):
            answer = upstream.ask(method, params)
            if answer.vote is not None and answer.response is not None:
                return dict(answer.response)
            self._tell(upstream)
            refused, fault = (answer if answer.error else refused), answer.fault or fault
        if refused is not None and refused.response is not None:
            return dict(refused.response)
        raise ChainError(f"no endpoint answers {method}") from fault

    def _ask_same(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        asked = self._find_usable(self.quorum)
        question = _Question(asked, method, params, self._tell)
        answers = self._wait_for_same(question)
        agreed = self._agree(answers)
        if agreed is None and is_at_head(method, params):
            question, answers = self._ask_pinned(asked, method, params)
            agreed = self._agree(answers)
        if agreed is not None:
            question.watch(lambda answer: self._look_at(answer, agreed, method, params))
            return _response_of(answers, agreed)
        if rule_of(method, params) is Rule.KNOWN and sum(answer.vote is not None for answer in answers) >= self.quorum:
            return {"jsonrpc": "2.0", "id": 1, "result": None}
        return self._fail(method, answers)

    def _wait_for_same(self, question: _Question) -> list[Answer]:
        def is_settled(answers: Sequence[Answer]) -> bool:
            agreed = count_agreed(_votes(answers), self.quorum)
            return agreed is not None and not agreed.is_absent

        return question.wait(is_settled, lambda a: count_agreed(_votes(a), self.quorum) is not None, self._pauses.absence, self._timeout)

    def _agree(self, answers: Sequence[Answer]) -> Vote | None:
        agreed = count_agreed(_votes(answers), self.quorum)
        newest = max((a.vote.block_number for a in answers if a.vote is not None and a.vote.block_number is not None), default=None)
        if agreed is None or not agreed.is_absent or newest is None:
            return agreed
        heads = self._heads_of([a.upstream for a in answers if a.vote is not None and a.vote.is_absent])
        return count_agreed(
            [a.vote for a in answers if a.vote and (not a.vote.is_absent or heads.get(a.upstream, -1) >= newest)], self.quorum
        )

    def _heads_of(self, asked: Sequence[Upstream]) -> dict[Upstream, int]:
        question = _Question(asked, agreement.HEAD, [], self._tell)
        answers = question.wait(lambda _: False, lambda a: len(_votes(a)) >= self.quorum, self._pauses.absence, self._timeout)
        return {a.upstream: int(a.vote.key) for a in answers if a.vote is not None}

    def _ask_pinned(self, asked: Sequence[Upstream], method: str, params: Sequence[Any]) -> tuple[_Question, list[Answer]]:
        """The question again, about the newest block that a quorum has, to those who have it."""
        heads = self._heads_of(asked)
        head = find_attested(heads.values(), self.quorum)
        if head is None:
            raise ChainError(f"too few endpoints say their newest block, {self.quorum} are needed")
        question = _Question([u for u, number in heads.items() if number >= head], method, pin(method, params, head), self._tell)
        return question, self._wait_for_same(question)

    def _ask_ranked(self, method: str, params: Sequence[Any]) -> dict[str, Any]:
        question = _Question(self._find_usable(self.quorum), method, params, self._tell)
        answers = question.wait(lambda _: False, lambda a: len(_votes(a)) >= self.quorum, self._pauses.absence, self._timeout)
        ranked = sorted(
            (a for a in answers if a.vote is not None and a.vote.rank is not None), key=lambda a: -(a.vote.rank or 0) if a.vote else 0
        )
        if len(ranked) >= self.quorum and (response := ranked[self.quorum - 1].response) is not None:
            return dict(response)
        agreed = count_agreed(_votes(answers), self.quorum)
        return _response_of(answers, agreed) if agreed is not None else self._fail(method, answers)

    def _fail(self, method: str, answers: Sequence[Answer]) -> dict[str, Any]:
        """The error that a quorum gives as its own, or raises: ChainError for too few answers, NoQuorum for answers that contradict."""
        refused = [a for a in answers if a.error is not None]
        if len(refused) >= self.quorum and refused[0].response is not None:
            return dict(refused[0].response)
        told = "; ".join(f"{a.upstream.name}: {a.vote.key[:80] if a.vote else a.fault or a.error}" for a in answers)
        if len(_votes(answers)) + len(refused) < self.quorum:
            raise ChainError(f"too few endpoints answer {method}, {self.quorum} are needed: {told}")
        raise NoQuorum(f"fewer than {self.quorum} endpoints agree on {method}: {told}")

    # ---- who lies --------------------------------------------------------------------------------------------------------------------
    def _look_at(self, answer: Answer, agreed: Vote, method: str, params: Sequence[Any]) -> None:
        """An answer other than the agreed one, early or late: it may be a block ahead or behind, so it is asked again first."""
        if answer.vote is None or answer.vote.key == agreed.key:
            return
        with self._changed:
            if answer.upstream in self._confirming:
                return
            self._confirming.add(answer.upstream)
        threading.Thread(target=self._confirm, args=(answer.upstream, method, params), name="dissent", daemon=True).start()

    def _confirm(self, suspect: Upstream, method: str, params: Sequence[Any]) -> None:
        try:
            time.sleep(self._pauses.confirm)
            heads = self._heads_of(self._in_states(frozenset({"ready"})))
            head = find_attested(heads.values(), self.quorum)
            if head is None or suspect not in heads:
                return
            question = _Question(list(heads), method, pin(method, params, head), self._tell)
            answers = question.wait(lambda _: False, lambda _: False, 0.0, self._timeout)
            self._judge(suspect, method, answers, heads)
        finally:
            with self._changed:
                self._confirming.discard(suspect)

    def _judge(self, suspect: Upstream, method: str, answers: Sequence[Answer], heads: dict[Upstream, int]) -> None:
        agreed = count_agreed(_votes(answers), self.quorum)
        said = next((a.vote for a in answers if a.upstream is suspect), None)
        if agreed is None or said is None or said.key == agreed.key:
            return
        block = said.block_number if agreed.is_absent else agreed.block_number
        who = [suspect] if said.is_absent else [a.upstream for a in answers if a.vote is not None and a.vote.is_absent]
        if (
            block is not None
            and (said.is_absent or agreed.is_absent)
            and sum(heads[u] >= block for u in who) < (1 if said.is_absent else self.quorum)
        ):
            return  # whoever has nothing is only behind
        if suspect.outvote(method):
            journal.get("endpoints").warning(
                "endpoint outvoted", endpoint=suspect.name, method=method, said=said.key[:200], agreed=agreed.key[:200]
            )

    # ---- sending ---------------------------------------------------------------------------------------------------------------------
    def _broadcast(self, params: Sequence[Any]) -> dict[str, Any]:
        """To all, also those behind. One that takes it (or has it) is enough; without one, no answer from any means that it may have."""
        asked = self._find_usable(1, frozenset({"ready", "lagging"}))
        question = _Question(asked, agreement.SEND, params, self._tell)
        answers = question.wait(lambda a: bool(_votes(a)), lambda _: False, 0.0, self._timeout + 1)
        if _votes(answers):
            return {"jsonrpc": "2.0", "id": 1, "result": to_hex(keccak256(parse_hex(params[0], "raw transaction")))}
        unsure = [a for a in answers if a.fault is not None and not a.fault.is_unsent]
        if unsure or len(answers) < len(asked):
            raise AmbiguousSend("no endpoint took the transaction, and not all said that they did not") from (
                unsure[0].fault if unsure else None
            )
        return self._combine_refusals(answers)

    def _combine_refusals(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """All refused. That it can never be mined is believed of a quorum alone: it fails the jobs it carries."""
        refused = [(refusal_of(str(a.error["message"])), a) for a in answers if a.error is not None]
        never = [a for error, a in refused if isinstance(error, TransactionInvalid)]
        used = [a for error, a in refused if isinstance(error, NonceUsed)]
        chosen = never if len(never) >= self.quorum else used
        if chosen and chosen[0].response is not None:
            return dict(chosen[0].response)
        told = "; ".join(f"{a.upstream.name}: {a.error['message'] if a.error else a.fault}"[:200] for a in answers)
        raise ChainError(f"no endpoint took the transaction: {told}")


class _Question:
    """One question to several endpoints at once, each answered in a thread of its own. Who waits need not wait for all."""

    def __init__(self, asked: Sequence[Upstream], method: str, params: Sequence[Any], tell: Callable[[Upstream], None]) -> None:
        self._asked, self._method, self._params, self._tell = asked, method, params, tell
        self._changed = threading.Condition()
        self._answers: list[Answer] = []
        self._failure: BaseException | None = None
        self._watch: Callable[[Answer], None] | None = None
        for upstream in asked:
            threading.Thread(target=self._ask, args=(upstream,), name=f"ask {upstream.name}", daemon=True).start()

    def _ask(self, upstream: Upstream) -> None:
        try:
            answer = upstream.ask(self._method, self._params)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
            raise
        with self._changed:
            self._answers.append(answer)
            watch = self._watch
            self._changed.notify_all()
        if answer.fault is not None:
            self._tell(upstream)
        if watch is not None:
            watch(answer)

    def wait(
        self, is_settled: Callable[[list[Answer]], bool], is_enough: Callable[[list[Answer]], bool], grace: float, timeout: float
    ) -> list[Answer]:
        """What is there when all answered, when it is settled, `grace` seconds after it was enough, or after `timeout` seconds."""
        limit, was_enough = time.monotonic() + timeout, False
        with self._changed:
            while len(self._answers) < len(self._asked) and not is_settled(self._answers):
                if self._failure is not None:
                    raise InvariantBroken("asking an endpoint failed") from self._failure
                if not was_enough and is_enough(self._answers):
                    was_enough, limit = True, min(limit, time.monotonic() + grace)
                if (left := limit - time.monotonic()) <= 0:
                    break
                self._changed.wait(left)
            return list(self._answers)

    def watch(self, look: Callable[[Answer], None]) -> None:
        """Looks at every answer, also those that come later."""
        with self._changed:
            self._watch, here = look, list(self._answers)
        for answer in here:
            look(answer)


def _votes(answers: Sequence[Answer]) -> list[Vote]:
    return [answer.vote for answer in answers if answer.vote is not None]


def _response_of(answers: Sequence[Answer], agreed: Vote) -> dict[str, Any]:
    return dict(next(a.response for a in answers if a.vote is not None and a.vote.key == agreed.key and a.response is not None))
