"""The client for asyncio: the same calls, awaited. Each runs in a thread: signing, hashing and checking proofs are work, not waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from oracle.client.client import Client
from oracle.client.evidence import LoggedEvidence
from oracle.client.verifying import Verified
from oracle.pipeline.catalogue import DescribedModel
from oracle.pipeline.client import Progress, SentEvent
from oracle.pipeline.inputs import WantedInput
from oracle.pipeline.requesting import Outcome, Terms
from oracle.records import Address, Bytes32, Policy, Quote
from oracle.relay.disputes import Dispute

_END = object()


class AsyncClient:
    """Wraps a `Client`; everything is documented there. Two sends of one account wait for each other."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sending = asyncio.Lock()

    async def model(self, model_id: Bytes32) -> DescribedModel:
        return await asyncio.to_thread(self._client.model, model_id)

    async def ask(self, model: DescribedModel, wanted: WantedInput, terms: Terms) -> Outcome:
        async with self._sending:
            return await asyncio.to_thread(self._client.ask, model, wanted, terms)

    async def ask_signed(self, model: DescribedModel, wanted: WantedInput, terms: Terms) -> Outcome:
        return await asyncio.to_thread(self._client.ask_signed, model, wanted, terms)

    async def quote(self, model_id: Bytes32, policy: Policy) -> Quote:
        return await asyncio.to_thread(self._client.quote, model_id, policy)

    async def deposit(self, amount_wei: int) -> int:
        async with self._sending:
            return await asyncio.to_thread(self._client.deposit, amount_wei)

    async def follow(self, request_id: Bytes32) -> AsyncIterator[SentEvent]:
        """Every step, as it happens. Who stops listening leaves at most one wait for the next event behind, in a thread."""
        events = await asyncio.to_thread(self._client.follow, request_id)
        while (event := await asyncio.to_thread(next, events, _END)) is not _END:
            assert isinstance(event, SentEvent)
            yield event

    async def progress(self, request_id: Bytes32) -> Progress:
        return await asyncio.to_thread(self._client.progress, request_id)

    async def verify(
        self,
        request_id: Bytes32,
        *,
        model_id: Bytes32 | None = None,
        policy: Policy | None = None,
        confirmations: int = 0,
        require_complete: bool = False,
    ) -> Verified:
        def verify() -> Verified:
            return self._client.verify(
                request_id, model_id=model_id, policy=policy, confirmations=confirmations, require_complete=require_complete
            )

        return await asyncio.to_thread(verify)

    async def dispute(self, request_id: Bytes32, bond_wei: int) -> Dispute:
        async with self._sending:
            return await asyncio.to_thread(self._client.dispute, request_id, bond_wei)

    async def draw(self, request_id: Bytes32) -> Dispute:
        async with self._sending:
            return await asyncio.to_thread(self._client.draw, request_id)

    async def ruling(self, request_id: Bytes32) -> Dispute:
        return await asyncio.to_thread(self._client.ruling, request_id)

    async def take_bond(self, request_id: Bytes32, to: Address | None = None) -> int:
        async with self._sending:
            return await asyncio.to_thread(self._client.take_bond, request_id, to)

    async def receipt(self, request_id: Bytes32) -> dict[str, Any]:
        return await asyncio.to_thread(self._client.receipt, request_id)

    async def evidence(self, request_id: Bytes32) -> LoggedEvidence:
        return await asyncio.to_thread(self._client.evidence, request_id)
