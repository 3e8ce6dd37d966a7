"""Asking from the command line: by a transaction, or by a signature that the API takes. Nothing the API says is signed unchecked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oracle.encoding import pack_policy, parse_hex, to_hex
from oracle.errors import ChainError, InputRejected, MalformedInput, RequestUnpaid
from oracle.pipeline.accepting import check_asks, check_disputable, check_limits, check_provable, check_terms, check_window
from oracle.pipeline.asking import Wanted, build_request
from oracle.pipeline.catalogue import DescribedModel
from oracle.pipeline.client import ApiClient
from oracle.pipeline.inputs import Integers, Raw, Reals, Tensors, WantedInput, encode_input
from oracle.pipeline.session import Session
from oracle.pipeline.typed import WantedTensor
from oracle.records import Address, Asked, Bytes32, Policy
from oracle.relay.contracts import Contracts
from oracle.relay.paying import asset_of, plan_payment
from oracle.relay.transact import Call
from oracle.wire import require_fields

MAX_INPUT_FILE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Terms:
    """What the asker demands and offers. The deadline is `patience_seconds` from now, by the chain's clock where that is ahead."""

    policy: Policy
    fee_wei: int
    callback_gas: int
    patience_seconds: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A request that was asked. `transaction` and `block_number` are None for a signed one."""

    request_id: Bytes32
    deadline: int
    transaction: Bytes32 | None = None
    block_number: int | None = None

    def to_json(self) -> dict[str, str | int]:
        fields: dict[str, str | int] = {"request_id": to_hex(self.request_id), "deadline": self.deadline}
        if self.transaction is not None and self.block_number is not None:
            fields |= {"transaction": to_hex(self.transaction), "block_number": self.block_number}
        return fields


def ask_on_chain(session: Session, model: DescribedModel, wanted: WantedInput, terms: Terms) -> Outcome:
    """Sends `Coprocessor.request` and waits until it is mined.

    Raises InputRejected; RequestRejected beyond what the contract takes; PolicyRejected or RequestUnpaid where nobody would answer;
    CallReverted or ChainError.
    """
    policy, now = pack_policy(terms.policy), now_of(session)
    deadline = now + terms.patience_seconds
    check_limits(deadline, terms.callback_gas, datetime.fromtimestamp(now, UTC))
    check_window(terms.policy)
    check_provable(terms.policy, model)
    check_disputable(terms.policy, session.contracts)
    data = encode_input(model, wanted)
    _check_asks(session.contracts, model.model_id, terms)
    asking = (terms.callback_gas, deadline, session.account)
    receipt = session.sender.send(_asking_call(session, (model.model_id, data, policy), terms.fee_wei, asking))
    mined = session.contracts.requested_in(receipt.block_hash)
    asked = next((a for a in mined if a.transaction == receipt.transaction), None)
    if asked is None:
        raise ChainError("the endpoint shows no request in the transaction that made one")
    return Outcome(asked.request_id, deadline, receipt.transaction, receipt.block_number)


def _check_asks(contracts: Contracts, model_id: Bytes32, terms: Terms) -> None:
    """Before the fee is locked up until the deadline."""
    if contracts.deployment.fee_quotes is not None:
        active = sorted(o.operator for o in contracts.operators() if o.is_active)
        check_asks(terms.fee_wei, terms.policy, contracts.asks_of_all(active, model_id))


def _asking_call(session: Session, what: tuple[object, ...], fee_wei: int, how: tuple[object, ...]) -> Call:
    """Ether goes with the request; a token is in the account's balance already. Raises RequestUnpaid where there is too little."""
    contracts = session.contracts
    if asset_of(contracts) is None:
        return contracts.call("Coprocessor", "request", *what, *how, value_wei=fee_wei)
    if (balance_wei := contracts.balance_of(session.account)) < fee_wei:
        raise RequestUnpaid(f"deposit of {session.account}", f"{fee_wei} (`affidavit deposit`)", balance_wei)
    return contracts.call("Coprocessor", "requestFromBalance", *what, fee_wei, *how)


def ask_signed(session: Session, model: DescribedModel, wanted: WantedInput, terms: Terms, api: str) -> Outcome:
    """Signs a request and posts it. Raises what the API refuses it for, or PeerError."""
    asked = sign_request(session, model, wanted, terms)
    answer = ApiClient(api).submit(asked)
    if answer.get("request_id") != to_hex(asked.request_id):
        raise MalformedInput("request id of the API", to_hex(asked.request_id), str(answer.get("request_id"))[:80])
    return Outcome(asked.request_id, asked.request.deadline)


def sign_request(session: Session, model: DescribedModel, wanted: WantedInput, terms: Terms) -> Asked:
    """A signed request for this deployment, every field of it made here."""
    now = now_of(session)
    whole = Wanted(
        model_id=model.model_id,
        input=wanted,
        policy=terms.policy,
        fee_wei=terms.fee_wei,
        callback_gas=terms.callback_gas,
        deadline=now + terms.patience_seconds,
        requester=session.account,
        refund_to=session.account,
    )
    moment = datetime.fromtimestamp(now, UTC)
    request, request_id, data = build_request(whole, model, session.contracts.domain, moment)
    policy = check_terms(request, moment)
    check_provable(policy, model)
    check_disputable(policy, session.contracts)
    return Asked(request_id, request, data, session.signer.sign_digest(request_id))


def now_of(session: Session) -> int:
    """Seconds since 1970 by the later of two clocks: this machine's, and the next block's."""
    return max(int(datetime.now(UTC).timestamp()), session.contracts.pending_time())


def deposit(session: Session, amount_wei: int) -> int:
    """Deposits in the Coprocessor and returns the balance there, in wei; a token is approved first. Raises RequestUnpaid."""
    plan_payment(session.contracts, session.account, "Coprocessor", "deposit", amount_wei=amount_wei).send(session.sender)
    return session.contracts.balance_of(session.account)


def withdraw_balance(session: Session, to: Address) -> int:
    """Pays the account's whole balance in the Coprocessor out, and returns it in wei; 0 where there is none."""
    balance_wei = session.contracts.balance_of(session.account)
    if balance_wei:
        session.sender.send(session.contracts.call("Coprocessor", "withdraw", balance_wei, to))
    return balance_wei


# ---- input files -------------------------------------------------------------------------------------------------------------------
def read_input(path: Path) -> WantedInput:
    """An input file, by its suffix: .bin (bytes), .npy (one array), .json (a list of real numbers, or an object as the API takes).

    Raises InputRejected naming the file.
    """
    readers: dict[str, Callable[[Path], WantedInput]] = {".bin": _read_bytes, ".npy": _read_array, ".json": _read_json}
    if path.suffix not in readers:
        raise InputRejected(f"input {path}", "a .json, .npy or .bin file", path.suffix or "no suffix")
    try:
        if path.stat().st_size > MAX_INPUT_FILE_BYTES:
            raise InputRejected(f"input {path}", f"at most {MAX_INPUT_FILE_BYTES} bytes", path.stat().st_size)
        return readers[path.suffix](path)
    except OSError as error:
        raise InputRejected(f"input {path}", "a readable file", error.strerror) from error


def _read_bytes(path: Path) -> WantedInput:
    return Raw(path.read_bytes())


def _read_array(path: Path) -> WantedInput:
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputRejected(f"input {path}", "an array of numbers", str(error)[:80]) from error
    if array.dtype.kind in "iu":
        return Integers(tuple(array.ravel().tolist()))
    if array.dtype.kind == "f":
        return Reals(tuple(array.ravel().astype(float).tolist()))
    raise InputRejected(f"input {path}", "an array of numbers", str(array.dtype))


def _read_json(path: Path) -> WantedInput:
    try:
        value = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputRejected(f"input {path}", "JSON", str(error)[:80]) from error
    if isinstance(value, list):
        return Reals(_numbers(value, path))
    if not isinstance(value, dict) or len(value) != 1:
        raise InputRejected(f"input {path}", 'a list of numbers, or one of "real", "integers", "hex", "tensors"', type(value).__name__)
    kind, content = next(iter(value.items()))
    return _read_kind(kind, content, path)


def _read_kind(kind: str, content: Any, path: Path) -> WantedInput:
    if kind == "real":
        return Reals(_numbers(content, path))
    if kind == "integers":
        if not isinstance(content, list) or any(type(v) is not int for v in content):
            raise InputRejected(f"input {path}", "a list of integers", "something else")
        return Integers(tuple(content))
    if kind == "hex":
        return Raw(parse_hex(content, f"input {path}"))
    if kind == "tensors" and isinstance(content, Mapping):
        return Tensors({name: _read_tensor(t, f"input {path}, tensor {name}") for name, t in content.items()})
    raise InputRejected(f"input {path}", 'one of "real", "integers", "hex", "tensors"', kind[:40])


def _numbers(values: Any, path: Path) -> tuple[float, ...]:
    if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise InputRejected(f"input {path}", "a list of numbers", "something else")
    try:
        return tuple(map(float, values))
    except OverflowError as error:
        raise InputRejected(f"input {path}", "numbers that float64 holds", "one that is too large") from error


def _read_tensor(value: Any, what: str) -> WantedTensor:
    fields = require_fields(value, what, {"shape", "values"})
    shape, values = fields["shape"], fields["values"]
    if not isinstance(shape, list) or any(type(d) is not int or d < 0 for d in shape) or not isinstance(values, list):
        raise InputRejected(what, "a shape of sizes and a list of values", "something else")
    if any(not isinstance(v, int | float | str) for v in values):
        raise InputRejected(what, "numbers, booleans or strings", "something else")
    return WantedTensor(tuple(shape), tuple(values))
