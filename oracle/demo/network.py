"""Lays out a whole network in one folder: a chain, contracts, models, operators, and the configuration of every process.

    with running_network(folder, Plan(operators=3)) as network:
        ...

Everything is as an operator would do it: encrypted keystores, passwords and tokens in files of mode 0600, one TOML file a process. Only the
keys that hold the test ether are the publicly known ones of `seeds/keys`.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oracle.attest.keys import LIGHT_SCRYPT_N, write_keystore
from oracle.attest.sign import AccountSigner
from oracle.config import write_secret
from oracle.demo.enclaves import register_simulated
from oracle.demo.local_keys import find_seeds, local_account
from oracle.demo.processes import Processes, find_free_port
from oracle.office.people import Role, add_person
from oracle.pipeline import deploy as deploying
from oracle.pipeline.deploy import DeploymentPlan, DisputeTerms, create_consumer
from oracle.pipeline.keys import new_log
from oracle.pipeline.registering import register_directory
from oracle.pipeline.seat import take_seat
from oracle.pipeline.session import Session, load_signer, save_deployment
from oracle.pipeline.witness import new_witness
from oracle.records import Address, Bytes32
from oracle.relay.anvil import STATES_KEPT, EmbeddedChain, start_chain
from oracle.relay.contracts import Contracts
from oracle.relay.deployed import call_at
from oracle.relay.deployment import Deployment
from oracle.relay.endpoint import Endpoint
from oracle.relay.sender import Sender
from oracle.seams import Signer

ORIGIN = "affidavit.local/log"
WITNESS = "affidavit.local/witness"
STAKE_WEI = 10**18
TOKENS_WEI = 10**21
_OFFICE_DATABASES = {"database": "office", "log_database": "log", "custody_database": "custody", "index_database": "index"}
WATCHER = "operator-5"
"""The role whose test ether pays for challenges, in networks of up to five operators."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to lay out. Model directories are relative to seeds/models."""

    operators: int = 3
    voters: int = 0  # so many more operators, who run no node: only a watcher that votes for them and puts up no bond
    provers: int = 1  # so many of the nodes, from the first on, make proofs
    enclaves: int = 0  # so many of the nodes, from the first on, have a simulated enclave, to which the two after them attest
    is_watched: bool = True  # a watcher executes deliveries again
    is_witnessed: bool = True  # a witness cosigns the log's checkpoints
    models: tuple[str, ...] = ("digits-mlp/canonical", "digits-cnn/opaque")
    unregistered_models: tuple[str, ...] = ()
    block_seconds: float = 1.0
    anchor_seconds: float = 5.0
    disputes: DisputeTerms = field(default_factory=DisputeTerms)
    minimum_fee_wei: int = 0
    requests_per_minute: int = 600  # that the API takes from one requester
    workers: int = 1  # of each node
    settles_in_token: bool = False  # fees and stakes in a DemoToken, which operators and the requester hold
    chain_options: tuple[str, ...] = ("--mixed-mining", "--slots-in-an-epoch", "1")
    chain_states: int = STATES_KEPT  # of the newest blocks


@dataclass(slots=True)
class Network:
    """A running network."""

    directory: Path
    plan: Plan
    chain: EmbeddedChain
    processes: Processes
    contracts: Contracts
    vkey: str = ""
    log_url: str = ""
    relay_url: str = ""
    api_url: str = ""
    watch_url: str = ""
    witness_url: str = ""
    node_urls: tuple[str, ...] = ()
    voter_urls: tuple[str, ...] = ()
    model_ids: dict[str, Bytes32] = field(default_factory=dict)

    @property
    def deployment_file(self) -> Path:
        return self.directory / "deployment.json"

    @property
    def password_file(self) -> Path:
        return self.directory / "password"

    @property
    def policy_file(self) -> Path:
        """Whose cosignatures an auditor of this network's log asks for."""
        return self.directory / "witness-policy"

    @property
    def auditor_token_file(self) -> Path:
        return self.directory / "log-keys/auditor.token"

    def session(self, role: str) -> Session:
        """One of the publicly known local accounts, ready to send."""
        signer = AccountSigner(local_account(role))
        return Session(self.contracts, signer, Sender(self.contracts, signer))

    def environment(self) -> dict[str, str]:
        """What the `affidavit` command reads from the environment to find this network."""
        policy = {"AFFIDAVIT_WITNESS_POLICY": str(self.policy_file)} if self.plan.is_witnessed else {}
        return policy | {
            "AFFIDAVIT_RPC": self.chain.rpc,
            "AFFIDAVIT_DEPLOYMENT": str(self.deployment_file),
            "AFFIDAVIT_API": self.api_url,
            "AFFIDAVIT_KEYSTORE": str(self.directory / "requester.key"),
            "AFFIDAVIT_PASSWORD_FILE": str(self.password_file),
            "AFFIDAVIT_LOG": self.log_url,
            "AFFIDAVIT_VKEY": self.vkey,
            "AFFIDAVIT_ANCHOR_KEY": local_account("log").address,
            "AFFIDAVIT_TOKEN_FILE": str(self.auditor_token_file),
            "AFFIDAVIT_WRITER_TOKEN_FILE": str(self.directory / "log-keys/application.token"),
            "AFFIDAVIT_OFFICE": self.api_url,
            "AFFIDAVIT_OFFICE_TOKEN_FILE": str(self.person_token_file(Role.AUDITOR)),
            "AFFIDAVIT_PEOPLE_FILE": str(self.people_file),
        }

    @property
    def people_file(self) -> Path:
        return self.directory / "office/people.json"

    def person_token_file(self, role: Role) -> Path:
        """The token of the person who has that role, and is named like it."""
        return self.directory / f"office/{role}.token"

    def node(self, index: int) -> str:
        """The name of a node's process."""
        return f"node-{index}"

    @property
    def voters(self) -> tuple[str, ...]:
        """The names of the voters' watchers. The first votes for the operator after those who run a node, and so on."""
        return tuple(f"watch-{self.plan.operators + number}" for number in range(self.plan.voters))


@contextmanager
def running_network(directory: Path, plan: Plan, progress: Progress = lambda _text: None) -> Iterator[Network]:
    """Lays out and starts everything, hands it out when all is ready, stops everything at the end. Raises what went wrong."""
    directory.mkdir(parents=True, exist_ok=True)
    progress("Starting a chain")
    api_url = f"http://127.0.0.1:{find_free_port()}"  # known before the chain starts: the pages served there read it
    chain = start_chain(block_seconds=plan.block_seconds, reader=api_url, states=plan.chain_states, options=plan.chain_options)
    try:
        with Processes(directory) as processes:
            network = _lay_out(directory, plan, chain, processes, api_url, progress)
            progress("Starting the log, the nodes, the relay and the API")
            _start(network)
            yield network
    finally:
        chain.stop()


def _lay_out(directory: Path, plan: Plan, chain: EmbeddedChain, processes: Processes, api_url: str, progress: Progress) -> Network:
    _write_secret(directory / "password", secrets.token_urlsafe(24))
    progress("Making encrypted keys")
    _make_keys(directory, plan)
    progress("Deploying the contracts")
    deployment = _deploy(chain.rpc, plan)
    save_deployment(deployment, directory / "deployment.json")
    network = Network(directory, plan, chain, processes, Contracts(chain.rpc, deployment), api_url=api_url)
    network.contracts.check_deployment()
    progress("Registering models and operators")
    for name in plan.models:
        path = find_seeds() / "models" / name
        network.model_ids[name] = register_directory(network.session("deployer"), path, path.as_uri()).model_id
    for index in range(plan.operators + plan.voters):
        signer = load_signer(directory / f"node-{index}.key", network.password_file)
        take_seat(network.session(f"operator-{index}"), signer, STAKE_WEI, index)
    _register_enclaves(network)
    _write_configurations(network)
    return network


def _register_enclaves(network: Network) -> None:
    def signer_of(name: str) -> Signer:
        return load_signer(network.directory / f"{name}.key", network.password_file)

    for index in range(network.plan.enclaves):
        model = next(find_seeds() / "models" / name for name in network.plan.models if name.endswith("/opaque"))
        attesting = [signer_of(network.node((index + k) % network.plan.operators)) for k in (1, 2)]
        register_simulated(network.session(f"operator-{index}"), signer_of(f"enclave-{index}"), model, attesting)


def _deploy(rpc: str, plan: Plan) -> Deployment:
    """Open admission: nobody else reaches a local chain."""
    signer = AccountSigner(local_account("deployer"))
    sender = Sender(Endpoint(rpc), signer)
    asset = _issue_token(sender, plan) if plan.settles_in_token else None
    me, proposers = signer.address, (signer.address,)
    terms = DeploymentPlan(guardian=me, proposers=proposers, minimum_stake_wei=STAKE_WEI, asset=asset, disputes=plan.disputes)
    return deploying.deploy(sender, terms)


def _issue_token(sender: Sender, plan: Plan) -> Address:
    """A DemoToken, of which every operator and the requester get TOKENS_WEI."""
    holders = [f"operator-{i}" for i in range(plan.operators + plan.voters)] + ["requester"]
    token = create_consumer(sender, "DemoToken", TOKENS_WEI * len(holders))
    for role in holders:
        sender.send(call_at("DemoToken", token, "transfer", local_account(role).address, TOKENS_WEI))
    return token


def _make_keys(directory: Path, plan: Plan) -> None:
    """A keystore for every process that signs. Nodes get fresh keys; relay and log spend test ether, so theirs are the known ones."""
    from eth_account import Account

    accounts = {f"node-{i}": Account.create() for i in range(plan.operators + plan.voters)}
    accounts |= {f"watch-{i}": local_account(f"operator-{i}") for i in range(plan.operators, plan.operators + plan.voters)}
    accounts |= {"relay": local_account("relay"), "anchor": local_account("log"), "requester": local_account("requester")}
    accounts |= {f"enclave-{i}": Account.create() for i in range(plan.enclaves)}
    accounts["watch"] = local_account(WATCHER)
    for name, account in accounts.items():  # the password is 24 random bytes, so a light scrypt loses nothing
        write_keystore(account, directory / f"{name}.key", directory / "password", LIGHT_SCRYPT_N)


def _write_secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n")


def _write_configurations(network: Network) -> None:
    directory, plan = network.directory, network.plan
    names = [network.node(i) for i in range(plan.operators)]
    log = new_log(
        directory / "log-keys",
        ORIGIN,
        network.password_file,
        [*(f"{name}:chain" for name in (*names, "relay")), "office:office", "application:calls"],
        ["auditor", "api"],
    )
    network.vkey = log.vkey
    ports = [find_free_port() for _ in range(plan.operators + plan.voters + 4)]
    network.log_url, network.relay_url, network.watch_url, network.witness_url = (f"http://127.0.0.1:{port}" for port in ports[:4])
    network.node_urls = tuple(f"http://127.0.0.1:{port}" for port in ports[4 : 4 + plan.operators])
    network.voter_urls = tuple(f"http://127.0.0.1:{port}" for port in ports[4 + plan.operators :])
    models = [str(find_seeds() / "models" / name) for name in plan.models + plan.unregistered_models]
    relay_database = f"sqlite:///{directory}/relay.sqlite"
    common = {"password_file": "password", "log_url": network.log_url}
    _write_toml(
        network,
        "log",
        origin=ORIGIN,
        listen=_listen(network.log_url),
        directory="log",
        database=f"sqlite:///{directory}/log.sqlite",
        checkpoint_database=f"sqlite:///{directory}/checkpoint.sqlite",
        custody_database=f"sqlite:///{directory}/custody.sqlite",
        custody_key_file="log-keys/custody-key.json",
        custody_password_file="password",  # noqa: S106, a path
        key_file="log-keys/log-key.json",
        password_file="password",  # noqa: S106, a path
        tokens_file="log-keys/tokens.json",
        anchor_keystore="anchor.key",
        anchor_seconds=plan.anchor_seconds,
        **_make_witness(network),
    )
    for number, (name, url) in enumerate(zip(names, network.node_urls, strict=True)):
        _write_toml(
            network,
            "node",
            file=name,
            name=name,
            listen=_listen(url),
            database=f"sqlite:///{directory}/{name}.sqlite",
            keystore=f"{name}.key",
            models=models,
            log_token_file=f"log-keys/{name}.token",
            minimum_fee_wei=plan.minimum_fee_wei,
            prove=number < plan.provers,
            workers=plan.workers,
            **({"enclave_keystore": f"enclave-{number}.key", "enclave_password_file": "password"} if number < plan.enclaves else {}),
            **common,
        )
    _write_toml(
        network,
        "relay",
        listen=_listen(network.relay_url),
        database=relay_database,
        keystore="relay.key",
        nodes=list(network.node_urls),
        log_token_file="log-keys/relay.token",  # noqa: S106, a path
        **common,
    )
    _write_toml(
        network,
        "watch",
        listen=_listen(network.watch_url),
        database=f"sqlite:///{directory}/watch.sqlite",
        keystore="watch.key",
        password_file="password",  # noqa: S106, a path
        models=models,
    )
    _write_voters(network, models)
    _write_toml(
        network,
        "api",
        listen=_listen(network.api_url),
        database=relay_database,
        log_url=network.log_url,
        log_token_file="log-keys/api.token",  # noqa: S106, a path
        log_vkey=log.vkey,
        models=models,
        requests_per_minute=plan.requests_per_minute,
        office=_make_office(network),
    )


def _write_voters(network: Network, models: list[str]) -> None:
    for index, (name, url) in enumerate(zip(network.voters, network.voter_urls, strict=True), network.plan.operators):
        _write_toml(
            network,
            "watch",
            file=name,
            listen=_listen(url),
            database=f"sqlite:///{network.directory}/{name}.sqlite",
            keystore=f"{name}.key",
            password_file="password",  # noqa: S106, a path
            models=models,
            operator=operator_address(index),
            dispute=False,
        )


def _make_witness(network: Network) -> dict[str, Any]:
    """A witness's key, the policy that asks for it, and what the log is told of it."""
    if not network.plan.is_witnessed:
        return {}
    made = new_witness(network.directory / "witness-keys", WITNESS, network.password_file)
    lines = [f"log {network.vkey} {network.log_url}", f"witness local {made.vkey} {network.witness_url}", "quorum local"]
    network.policy_file.write_text("\n".join(lines) + "\n")
    return {"witnesses": network.policy_file.name}


def _witness_command(network: Network) -> list[str]:
    keys = ["--key-file", str(network.directory / "witness-keys/witness-key.json"), "--password-file", str(network.password_file)]
    database = ["--database", f"sqlite:///{network.directory}/witness.sqlite"]
    return ["witness", "serve", *keys, *database, "--log", network.vkey, "--listen", _listen(network.witness_url)]


def _make_office(network: Network) -> dict[str, object]:
    """Five people, one with each role, and the settings of the office they work in."""
    directory = network.directory
    for role in Role:
        token = add_person(network.people_file, str(role), [role])
        write_secret(network.person_token_file(role), "token file", f"{token}\n")
    databases = {name: f"sqlite:///{directory}/{file}.sqlite" for name, file in _OFFICE_DATABASES.items()}
    witnessed = {"witness_policy_file": network.policy_file.name} if network.plan.is_witnessed else {}
    return (
        databases
        | witnessed
        | {
            "people_file": "office/people.json",
            "log_token_file": "log-keys/office.token",
            "custody_key_file": "log-keys/custody-key.json",
            "custody_password_file": "password",
            "rpc_url": network.chain.rpc,
            "anchor_key": local_account("log").address,
            "nodes": list(network.node_urls),
        }
    )


def _write_toml(network: Network, section: str, *, file: str | None = None, **settings: object) -> None:
    """A process's file: the chain, its own section, and every setting that is a table, as one beside it."""
    chain = {"rpc": network.chain.rpc, "deployment": "deployment.json", "poll_seconds": 0.2}
    tables = {name: value for name, value in settings.items() if isinstance(value, Mapping)}
    own = {name: value for name, value in settings.items() if name not in tables}
    lines = [
        f"[{name}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items())
        for name, table in ({"chain": chain, section: own} | tables).items()
    ]
    (network.directory / f"{file or section}.toml").write_text("\n".join(lines))


def _listen(url: str) -> str:
    return url.removeprefix("http://")


def _start(network: Network) -> None:
    """The log first: nodes are not ready before it is."""

    def config(name: str) -> list[str]:
        return ["--config", str(network.directory / f"{name}.toml")]

    processes = network.processes
    if network.plan.is_witnessed:
        processes.start("witness", _witness_command(network), network.witness_url)
    processes.start("log", ["log", "serve", *config("log")], network.log_url)
    for index, url in enumerate(network.node_urls):
        processes.start(network.node(index), ["node", *config(network.node(index))], url)
    processes.start("relay", ["relay", *config("relay")], network.relay_url)
    processes.start("api", ["api", *config("api")], network.api_url)
    if network.plan.is_watched:
        processes.start("watch", ["watch", *config("watch")], network.watch_url)
    for name, url in zip(network.voters, network.voter_urls, strict=True):
        processes.start(name, ["watch", *config(name)], url)
    processes.wait_ready()


def operator_address(index: int) -> Address:
    """The account of a local network's operator."""
    return Address(local_account(f"operator-{index}").address)
