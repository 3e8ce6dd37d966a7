"""What a relay works for: its price and its limit, kept in its database, so that intake, sending and the API go by the same rule.

Fees go to operators; what the relay pays is gas. Its terms therefore bound what a stranger can make it spend: a key costs nothing, so no
limit per requester does. With a price of 0 the relay works for free.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from oracle.encoding import unpack_policy
from oracle.errors import ConfigRejected, InvariantBroken, PolicyRejected, RequestRejected, RequestUnpaid
from oracle.records import Request
from oracle.relay.schema import TERMS


@dataclass(frozen=True, slots=True)
class Terms:
    """The relay's own; the contract's limits hold besides. Raises ConfigRejected for a negative value."""

    minimum_fee_wei: int = 0
    minimum_fee_per_callback_gas_wei: int = 0
    max_callback_gas: int = 1_000_000
    minimum_proof_fee_wei: int = 0  # on top, where a proof is demanded: its verification is most of such a delivery's gas

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if (value := getattr(self, name)) < 0:
                raise ConfigRejected(f"relay: {name}", "0 or more", value)

    def compute_least_fee_wei(self, callback_gas: int, is_proven: bool = False) -> int:
        proof_wei = self.minimum_proof_fee_wei if is_proven else 0
        return self.minimum_fee_wei + callback_gas * self.minimum_fee_per_callback_gas_wei + proof_wei

    def check(self, request: Request) -> None:
        """Raises RequestRejected for too much callback gas, RequestUnpaid for too small a fee, PolicyRejected for a malformed policy."""
        if request.callback_gas > self.max_callback_gas:
            raise RequestRejected("request.callback_gas", f"at most {self.max_callback_gas} at this relay", request.callback_gas)
        is_proven = unpack_policy(request.policy).proof
        least_wei = self.compute_least_fee_wei(request.callback_gas, is_proven)
        if request.fee_wei < least_wei:
            what = f"at least {least_wei} wei at this relay for {request.callback_gas} callback gas{' and a proof' if is_proven else ''}"
            raise RequestUnpaid("request.fee_wei", what, f"{request.fee_wei} wei")

    def find_problem(self, request: Request) -> str | None:
        """Why this relay does not work for a request, in words; None where it does."""
        try:
            self.check(request)
        except (RequestRejected, RequestUnpaid, PolicyRejected) as error:
            return f"the relay's terms are not met: {error}"
        return None


def read_terms(connection: Connection) -> Terms:
    """Those of the relay that last started on this database; those of `Terms()` where none has yet."""
    row = connection.execute(select(TERMS)).one_or_none()
    if row is None:
        raise InvariantBroken("the migrations leave one row of terms, and none is there")
    return Terms(**{name: int(getattr(row, name)) for name in Terms.__slots__})


def write_terms(connection: Connection, terms: Terms) -> None:
    values = {name: str(getattr(terms, name)) for name in terms.__slots__}
    connection.execute(update(TERMS).values(**values))
