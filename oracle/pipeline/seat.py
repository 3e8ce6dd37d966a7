"""An operator's seat in the OperatorRegistry: taking it, staking more, leaving, and getting the stake back."""

from __future__ import annotations

from oracle.encoding import compute_possession_digest
from oracle.errors import RequestRejected, RequestUnknown
from oracle.pipeline.deploy import register_operator
from oracle.pipeline.session import Session
from oracle.records import Address, Operator
from oracle.relay.contracts import Contracts
from oracle.seams import Signer

MAX_SEATS = 256


def find_seat(contracts: Contracts, operator: Address) -> Operator:
    """Raises RequestUnknown where the account is no operator."""
    seat = next((o for o in contracts.operators() if o.operator == operator), None)
    if seat is None:
        raise RequestUnknown("operator", "a registered one", operator)
    return seat


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


def add_stake(session: Session, amount_wei: int) -> Operator:
    """Raises CallReverted where the account is no operator or is leaving."""
    session.sender.send(session.contracts.call("OperatorRegistry", "addStake", value_wei=amount_wei))
    return find_seat(session.contracts, session.account)


def rotate_signer(session: Session, signer: Signer) -> Operator:
    """Replaces the seat's signing key by `signer`, which proves that it is ours to use."""
    deployment = session.contracts.deployment
    digest = compute_possession_digest(session.account, signer.address, deployment.chain_id, deployment.operator_registry)
    session.sender.send(session.contracts.call("OperatorRegistry", "rotateSigner", signer.address, signer.sign_digest(digest)))
    return find_seat(session.contracts, session.account)


def begin_exit(session: Session) -> Operator:
    """Inactive at once; the stake stays slashable until the unbonding delay is over."""
    session.sender.send(session.contracts.call("OperatorRegistry", "beginExit"))
    return find_seat(session.contracts, session.account)


def withdraw_stake(session: Session, to: Address) -> None:
    """Pays the stake out and frees the seat. Raises CallReverted while the unbonding delay runs."""
    session.sender.send(session.contracts.call("OperatorRegistry", "withdrawStake", to))
