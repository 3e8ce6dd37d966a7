"""An operator's seat in the OperatorRegistry: taking it, staking more, leaving, and getting the stake back.

Everything that can be refused is refused before a transaction is sent, in words: `plan_…` reads the chain and returns what would be sent
and what it may cost; `carry_out` sends it. A dry run is a plan that nobody carries out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum

from oracle.attest.bls import BlsSigner
from oracle.encoding import compute_bls_possession_digest, compute_possession_digest, to_hex
from oracle.errors import ChainError, RequestRejected, RequestUnknown, RequestUnpaid
from oracle.limits import ZERO_ADDRESS
from oracle.pipeline.deploy import register_operator
from oracle.pipeline.session import Session
from oracle.records import Address, Bytes32, Operator
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted
from oracle.relay.fees import compute_fees
from oracle.relay.paying import Payment, asset_of, plan_payment
from oracle.relay.sender import GAS_MARGIN_PERCENT
from oracle.relay.transact import Call
from oracle.seams import Signer

MAX_SEATS = 256
TOKEN_STAKE_GAS = 150_000
"""More than `addTokenStake` with a plain ERC-20 costs; for the plan of a stake whose approval is not mined yet."""


class SeatStatus(IntEnum):
    """IOperatorRegistry.SeatStatus."""

    VACANT = 0
    ACTIVE = 1
    INACTIVE = 2  # stake below the minimum, or admission revoked
    EXITING = 3


@dataclass(frozen=True, slots=True)
class Quality:
    """IFraudProofs.qualityOf: answers it was paid for, late ones among them, and how often it was slashed."""

    delivered: int
    late: int
    slashed: int


@dataclass(frozen=True, slots=True)
class Seat:
    """An operator's row, and what waits to be withdrawn. `exit_at`: seconds since 1970; 0 unless exiting."""

    index: int
    operator: Address
    signer: Address
    status: SeatStatus
    stake_wei: int
    exit_at: int
    minimum_stake_wei: int
    unbonding_seconds: int
    rewards_wei: int  # from slashings, `OperatorRegistry.withdrawOwed`
    fees_wei: int  # earned, and deposited: `affidavit withdraw`
    asset: Address | None  # the token all of these are in; None: ether
    quality: Quality

    def to_json(self) -> dict[str, str | int | bool | None]:
        return {
            "index": self.index,
            "operator": self.operator,
            "signer": self.signer,
            "status": self.status.name.lower(),
            "is_active": self.status is SeatStatus.ACTIVE,
            "stake_wei": str(self.stake_wei),
            "minimum_stake_wei": str(self.minimum_stake_wei),
            "unbonding_seconds": self.unbonding_seconds,
            "withdrawable_at": format_moment(self.exit_at) if self.exit_at else None,
            "rewards_wei": str(self.rewards_wei),
            "fees_wei": str(self.fees_wei),
            "asset": self.asset,
            "delivered": self.quality.delivered,
            "late": self.quality.late,
            "slashed": self.quality.slashed,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """A call that the contracts accept now, and the most it can cost. `seat`: before it."""

    function: str
    call: Call
    seat: Seat
    gas: int
    most_cost_wei: int  # gas at the highest fee it would be sent with; the value is not in it
    approvals: tuple[Call, ...] = ()  # sent before it, where a token pays; their gas is counted

    def to_json(self) -> dict[str, object]:
        return {
            "dry_run": True,
            "function": f"OperatorRegistry.{self.function}",
            "to": self.call.to,
            "value_wei": str(self.call.value_wei),
            "data": to_hex(self.call.data),
            "approvals": len(self.approvals),
            "gas": self.gas,
            "most_cost_wei": str(self.most_cost_wei),
            "seat": self.seat.to_json(),
        }


# ---- the BLS key -----------------------------------------------------------------------------------------------------------------------
def set_bls_key(session: Session, bls: BlsSigner) -> Operator:
    """Registers the account's BLS key for its seat, or replaces it; the key it has already is left as it is.

    Raises RequestUnknown where the account has no seat, RequestRejected where the deployment has no BlsKeys or the seat is not active,
    CallReverted where the contract refuses (another's key).
    """
    contracts, deployment = session.contracts, session.contracts.deployment
    if deployment.bls_keys is None:
        raise RequestRejected("deployment", "one with the contract BlsKeys", "an older one")
    seat = _find_operator(contracts, session.account)
    if not seat.is_active:
        raise RequestRejected("operator seat", "an active one", f"seat {seat.index}, which is not")
    if seat.bls_key != bls.key:
        digest = compute_bls_possession_digest(session.account, bls.key, deployment.chain_id, deployment.bls_keys)
        session.sender.send(contracts.call("BlsKeys", "register", seat.index, bls.key, bls.prove_possession(digest)))
    return _find_operator(contracts, session.account)


def _find_operator(contracts: Contracts, account: Address) -> Operator:
    seat = next((o for o in contracts.operators() if o.operator == account), None)
    if seat is None:
        raise RequestUnknown("operator", "a registered one", account)
    return seat


# ---- reading ---------------------------------------------------------------------------------------------------------------------------
def read_seat(contracts: Contracts, operator: Address) -> Seat:
    """Raises RequestUnknown where the account is no operator."""
    registry = contracts.deployment.operator_registry

    def view(function: str, *arguments: object) -> int:
        return int(contracts.view_at("OperatorRegistry", registry, function, *arguments))

    try:
        index, (signer, status, exit_at, account, stake_wei) = contracts.view_at("OperatorRegistry", registry, "operatorInfo", operator)
    except CallReverted as reverted:
        if reverted.error == "NotSeated":
            raise RequestUnknown("operator", "a registered one", operator) from reverted
        raise
    return Seat(
        index=index,
        operator=Address(account),
        signer=Address(signer),
        status=SeatStatus(status),
        stake_wei=stake_wei,
        exit_at=exit_at,
        minimum_stake_wei=view("MIN_STAKE_WEI"),
        unbonding_seconds=view("UNBONDING_SECONDS"),
        rewards_wei=view("owedTo", operator),
        fees_wei=contracts.balance_of(operator),
        asset=asset_of(contracts),
        quality=read_quality(contracts, operator),
    )


def read_quality(contracts: Contracts, operator: Address) -> Quality:
    """Zeros for who never was an operator."""
    return Quality(*contracts.view_at("FraudProofs", contracts.deployment.fraud_proofs, "qualityOf", operator))


# ---- taking a seat ---------------------------------------------------------------------------------------------------------------------
def take_seat(session: Session, signer: Signer, stake_wei: int, index: int | None) -> Operator:
    """Registers the account with `signer` as its signing key, on `index` or the lowest free one. Again: the seat it has."""
    operators = session.contracts.operators()
    mine = next((o.index for o in operators if o.operator == session.account), None)
    wanted = index if index is not None else mine if mine is not None else _lowest_free({o.index for o in operators})
    return register_operator(session.contracts, session.sender, signer, wanted, stake_wei)


def _lowest_free(taken: set[int]) -> int:
    free = next((i for i in range(MAX_SEATS) if i not in taken), None)
    if free is None:
        raise RequestRejected("operator seat", "a free one", f"all {MAX_SEATS} are taken")
    return free


# ---- what can be done with one ---------------------------------------------------------------------------------------------------------
def plan_stake(session: Session, amount_wei: int) -> Plan:
    """Adds to the stake. Raises RequestUnknown, RequestRejected while leaving, RequestUnpaid where the account has too little."""
    seat = _staying(session)
    payment = plan_payment(session.contracts, session.account, "OperatorRegistry", "addStake", amount_wei=amount_wei)
    return _plan_call(session, seat, payment)


def plan_rotation(session: Session, signer: Signer) -> Plan:
    """Replaces the seat's signing key by `signer`, which proves that it is ours to use.

    Raises RequestRejected while leaving, for the key the seat has, and for one that another operator ever used.
    """
    seat = _staying(session)
    if seat.signer == signer.address:
        raise RequestRejected("signing key", "another one than the seat has", signer.address)
    if (user := session.contracts.operator_of(signer.address)) not in (None, session.account):
        raise RequestRejected("signing key", "one that no other operator ever used", f"{signer.address}, of operator {user}")
    deployment = session.contracts.deployment
    digest = compute_possession_digest(session.account, signer.address, deployment.chain_id, deployment.operator_registry)
    return _plan(session, seat, "rotateSigner", signer.address, signer.sign_digest(digest))


def plan_unbonding(session: Session) -> Plan:
    """Inactive at once; the stake stays slashable until the unbonding delay is over. Raises RequestRejected where that runs already."""
    return _plan(session, _staying(session), "beginExit")


def plan_withdrawal(session: Session, to: Address) -> Plan:
    """Pays the stake out and frees the seat. Raises RequestRejected before the unbonding was begun, and before it is over."""
    seat = read_seat(session.contracts, session.account)
    if to == ZERO_ADDRESS:
        raise RequestRejected("--to", "an address that is not zero", to)
    if seat.status is not SeatStatus.EXITING:
        raise RequestRejected("stake", "one that is unbonding (`affidavit operator unbond`)", f"a seat that is {seat.status.name.lower()}")
    if (now := session.contracts.pending_time()) < seat.exit_at:
        due, left = format_moment(seat.exit_at), seat.exit_at - now
        raise RequestRejected("stake", f"a withdrawal from {due} on", f"{left} seconds of unbonding left")
    return _plan(session, seat, "withdrawStake", to)


def carry_out(session: Session, plan: Plan) -> Bytes32:
    """Sends what was planned and waits until it is mined. Returns the transaction's hash.

    Raises CallReverted where the contracts refuse it after all, AmbiguousSend where it was not seen mined in time.
    """
    for approval in plan.approvals:
        session.sender.send(approval)
    return session.sender.send(plan.call).transaction


def _staying(session: Session) -> Seat:
    seat = read_seat(session.contracts, session.account)
    if seat.status is SeatStatus.EXITING:
        raise RequestRejected("operator", "one that is not leaving", f"one whose stake comes free at {format_moment(seat.exit_at)}")
    return seat


def _plan(session: Session, seat: Seat, function: str, *arguments: object) -> Plan:
    return _plan_call(session, seat, Payment(function, session.contracts.call("OperatorRegistry", function, *arguments)))


def _plan_call(session: Session, seat: Seat, payment: Payment) -> Plan:
    contracts, call = session.contracts, payment.call
    value_wei = call.value_wei
    ether_wei = contracts.ether_of(session.account)
    if value_wei > ether_wei:
        raise RequestUnpaid(f"ether of {session.account}", f"{value_wei} wei to stake", f"{ether_wei} wei")
    gas = _estimate_gas(session, payment) * (100 + GAS_MARGIN_PERCENT) // 100
    cost_wei = gas * compute_fees(contracts.fee_history()).max_fee_wei
    if value_wei + cost_wei > ether_wei:
        raise RequestUnpaid(f"ether of {session.account}", f"{value_wei} wei and up to {cost_wei} wei for gas", f"{ether_wei} wei")
    return Plan(payment.function, call, seat, gas, cost_wei, payment.approvals)


def _estimate_gas(session: Session, payment: Payment) -> int:
    """A call that needs an approval first would revert now, so it is not asked for what it costs."""
    estimate = session.contracts.estimate_gas
    if not payment.approvals:
        return estimate(payment.call, session.account)
    # A second approval that raises what the first lowers is estimated on the state before both: dearer, never cheaper.
    return sum(estimate(call, session.account) for call in payment.approvals) + TOKEN_STAKE_GAS


# ---- the same, without a plan between ----------------------------------------------------------------------------------------------------
def add_stake(session: Session, amount_wei: int) -> Seat:
    """The seat after more was staked."""
    return _do(session, lambda: plan_stake(session, amount_wei))


def rotate_signer(session: Session, signer: Signer) -> Seat:
    """The seat with its new signing key."""
    return _do(session, lambda: plan_rotation(session, signer))


def _do(session: Session, make_plan: Callable[[], Plan]) -> Seat:
    carry_out(session, make_plan())
    return read_seat(session.contracts, session.account)


def format_moment(seconds: int) -> str:
    """RFC 3339, UTC. Raises ChainError for a moment after the year 9999, which no contract of ours gives."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise ChainError("the registry gave a moment that is none") from error
