"""One account at one deployment: what a person's command acts with. The key comes from an encrypted keystore, its password from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from oracle.attest.bls import BlsSigner
from oracle.attest.bls_keystore import load_bls_signer
from oracle.attest.keys import load_account
from oracle.attest.sign import AccountSigner
from oracle.config import ChainConfig
from oracle.errors import ConfigRejected
from oracle.records import Address
from oracle.relay.contracts import Contracts
from oracle.relay.deployment import Deployment, load_deployment, write_deployment
from oracle.relay.endpoint import Endpoint
from oracle.relay.endpoints import Endpoints
from oracle.relay.sender import PersonalSender, Sender
from oracle.seams import Signer


@dataclass(frozen=True, slots=True)
class Session:
    contracts: Contracts
    signer: Signer
    sender: Sender

    @property
    def account(self) -> Address:
        return self.signer.address


def load_signer(keystore: Path, password_file: Path) -> Signer:
    """Raises ConfigRejected naming the file that is wrong."""
    return AccountSigner(load_account(keystore, password_file))


def load_bls(keystore: Path, password_file: Path) -> BlsSigner:
    """Raises ConfigRejected naming the file that is wrong."""
    return load_bls_signer(keystore, password_file)


def connect(chain: ChainConfig) -> Contracts:
    """The deployment of a configuration, behind its endpoints; nothing is asked yet. Raises ConfigRejected."""
    deployment = load_deployment(chain.deployment)
    return Contracts(Endpoints(chain.rpc, deployment.chain_id, chain.quorum, chain.max_lag_blocks), deployment)


def open_chain(rpc: str | Sequence[str], deployment: Path) -> Contracts:
    """A deployment to read from, once the endpoint was seen to have it. Raises ConfigRejected or ChainError."""
    contracts = Contracts(rpc, load_deployment(deployment))
    contracts.check_deployment()
    return contracts


def open_session(rpc: str | Sequence[str], deployment: Path, keystore: Path, password_file: Path) -> Session:
    """A deployment to act on. Raises ConfigRejected naming the file that is wrong, or ChainError."""
    signer = load_signer(keystore, password_file)
    contracts = open_chain(rpc, deployment)
    return Session(contracts, signer, PersonalSender(contracts, signer))


def open_sender(rpc: str | Sequence[str], keystore: Path, password_file: Path) -> Sender:
    """An account at an endpoint where nothing needs to be deployed yet."""
    return PersonalSender(Endpoint(rpc), load_signer(keystore, password_file))


def require_absent(path: Path) -> None:
    """Raises ConfigRejected where a file is there already: a deployment's addresses are not overwritten."""
    if path.exists():
        raise ConfigRejected(f"deployment {path}", "a path that does not exist yet", "an existing file")


def save_deployment(deployment: Deployment, path: Path) -> None:
    """Writes deployment.json, which every process of the network is given."""
    require_absent(path)
    write_deployment(deployment, path)
