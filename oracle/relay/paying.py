"""What a deployment settles in, and the calls that pay: ether goes with the call, a token is approved before.

Amounts are in wei whatever the asset is: its smallest unit. Gas is paid in the chain's own coin always.
"""

from __future__ import annotations

from dataclasses import dataclass

from oracle.errors import RequestUnpaid
from oracle.records import Address
from oracle.relay.contracts import Contracts
from oracle.relay.failures import CallReverted
from oracle.relay.sender import Sender
from oracle.relay.transact import Call

_WITH_TOKEN = {"deposit": "depositToken", "register": "registerWithToken", "addStake": "addTokenStake"}
"""The function that takes tokens in place of the ether of this one; it takes the amount as its last argument."""


@dataclass(frozen=True, slots=True)
class Payment:
    """A call that pays. `approvals` are mined before it, in this order; none for ether."""

    function: str
    call: Call
    approvals: tuple[Call, ...] = ()

    def send(self, sender: Sender) -> None:
        """Sends all of it, each when the one before is mined. Raises CallReverted or AmbiguousSend, as `Sender.send`."""
        for call in (*self.approvals, self.call):
            sender.send(call)


def asset_of(contracts: Contracts) -> Address | None:
    """The token the deployment settles in; None for ether, also where it was deployed before there was a choice."""
    try:
        asset = Address(contracts.view_at("Coprocessor", contracts.deployment.coprocessor, "ASSET"))
    except CallReverted:
        return None
    return None if int(asset, 16) == 0 else asset


def tokens_of(contracts: Contracts, token: Address, account: Address) -> int:
    """What the account holds of the token itself, in its smallest unit."""
    return int(contracts.view_at("IERC20Metadata", token, "balanceOf", account))


def plan_payment(contracts: Contracts, payer: Address, contract: str, function: str, *arguments: object, amount_wei: int) -> Payment:
    """A call of `contract` that pays `amount_wei` out of the payer's account, in the deployment's asset.

    `function` is the one that takes ether. Raises RequestUnpaid where the payer holds too few tokens.
    """
    token = asset_of(contracts)
    if token is None:
        return Payment(function, contracts.call(contract, function, *arguments, value_wei=amount_wei))
    held_wei = tokens_of(contracts, token, payer)
    if held_wei < amount_wei:
        raise RequestUnpaid(f"tokens of {payer}", f"{amount_wei} of {token}", held_wei)
    name = _WITH_TOKEN[function]
    call = contracts.call(contract, name, *arguments, amount_wei)
    assert call.to is not None
    return Payment(name, call, _approvals(contracts, token, payer, call.to, amount_wei))


def _approvals(contracts: Contracts, token: Address, owner: Address, spender: Address, amount_wei: int) -> tuple[Call, ...]:
    """Exactly the amount, never more. Some tokens take a new allowance only after the old one was set to zero."""
    allowed_wei = int(contracts.view_at("IERC20Metadata", token, "allowance", owner, spender))
    if allowed_wei >= amount_wei:
        return ()
    amounts = (0, amount_wei) if allowed_wei else (amount_wei,)
    return tuple(contracts.call_at("IERC20Metadata", token, "approve", spender, amount) for amount in amounts)
