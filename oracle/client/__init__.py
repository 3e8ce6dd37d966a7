"""A client for programs: asks on chain or by a signature, follows to the end, and believes nothing but its own endpoint and keys.

    from oracle.client import Client, Terms
    client = Client(rpc=…, deployment=Path("deployment.json"), api=…, log_vkey=…)
    asked = client.ask(model, Reals(pixels), Terms(Policy(quorum=2), fee_wei=…, callback_gas=0, patience_seconds=600))
    for event in client.follow(asked.request_id): …
    verified = client.verify(asked.request_id)

`AsyncClient` is the same for asyncio. What each check rests on is in docs/clients.md.
"""

from oracle.client.asynchronous import AsyncClient
from oracle.client.client import Client
from oracle.client.evidence import LoggedEvidence, ProvenEntry, verify_logged
from oracle.client.verifying import Verified, compare_receipt, verify_on_chain
from oracle.pipeline.inputs import Integers, Raw, Reals, Tensors
from oracle.pipeline.requesting import Outcome, Terms
from oracle.relay.disputes import Dispute, Phase
from oracle.relay.disputes import Outcome as DisputeOutcome

__all__ = [
    "AsyncClient",
    "Client",
    "Dispute",
    "DisputeOutcome",
    "Integers",
    "LoggedEvidence",
    "Outcome",
    "Phase",
    "ProvenEntry",
    "Raw",
    "Reals",
    "Tensors",
    "Terms",
    "Verified",
    "compare_receipt",
    "verify_logged",
    "verify_on_chain",
]
