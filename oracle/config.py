"""One frozen Config, read once at the door from a TOML file and handed in from there.

Relative paths are relative to the file. Unknown keys are refused: a misspelt setting must not silently become a default. Secrets are
never in the file, only paths of files that hold them, and such files must not be readable by others.
"""

from __future__ import annotations

import dataclasses
import math
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from oracle.encoding import parse_address
from oracle.errors import ConfigRejected, MalformedInput
from oracle.records import Address

SECRET_MODE = 0o600
MINIMUM_PASSWORD_LENGTH = 12


@dataclass(frozen=True, slots=True)
class ChainConfig:
    rpc: str | tuple[str, ...] = dataclasses.field(repr=False)  # URL of a JSON-RPC endpoint, or of several; may hold an API key
    deployment: Path  # JSON with chain_id, block_number and the contracts' addresses, written by `affidavit deploy`
    confirmations: int = 0  # blocks on top of a block before it is acted on
    poll_seconds: float = 0.5
    quorum: int | None = None  # how many of several endpoints must agree; more than half where not given
    max_lag_blocks: int = 8  # an endpoint further behind the others is not asked


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerConfig:
    """A key behind a remote signer (`oracle.attest.remote`)."""

    signer_url: str | None = None  # its base URL
    signer_api: str = "web3signer"  # its eth1 HTTP interface; or "eth", JSON-RPC as Web3Signer speaks it; or "clef", as clef does
    signer_address: str | None = None  # whose key it is
    signer_ca_file: Path | None = None  # PEM: who is believed to be the signer, instead of the system's authorities
    signer_certificate_file: Path | None = None  # PEM with key: what we show the signer


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyConfig(SignerConfig):
    """A key that signs: in a keystore here, or behind a remote signer. One of the two."""

    keystore: Path | None = None  # encrypted key (Web3 Secret Storage v3)
    password_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig(KeyConfig):
    """The key signs claims."""

    name: str
    listen: str  # host:port
    database: str  # SQLAlchemy URL
    models: tuple[Path, ...]  # model directories
    log_url: str
    log_token_file: Path
    minimum_fee_wei: int = 0
    workers: int = 1
    max_input_bytes: int = 1 << 20
    minimum_proof_fee_wei: int = 0  # on top of minimum_fee_wei, where a request demands a proof
    heed_posted_asks: bool = True  # refuse what pays less than the operator itself posted in FeeQuotes
    enclave_keystore: Path | None = None  # the key in this node's enclave, attested to by operators (docs/enclaves.md)
    enclave_password_file: Path | None = None
    bls_keystore: Path | None = None  # BLS key (EIP-2335) that signs claims, too; registered with `affidavit operator set-bls-key`
    bls_password_file: Path | None = None  # password_file where not given
    prove: bool = False  # make the proofs that policies demand; canonical models only
    beneficiary: str | None = None  # who is paid for a proof; the operator of the signing key where not given
    log_policy: str = "closed"  # or "open": answer with an alarm when the log does not take a record, and tell it later
    executor: str = "processes"  # where opaque models run and proofs are made; or a Dask scheduler, "tls://host:port"
    executor_ca_file: Path | None = None  # with tls://: whom the node takes for its cluster
    executor_cert_file: Path | None = None
    executor_key_file: Path | None = None
    job_seconds: float = 60.0  # of one model run or proof; then its process is ended
    job_memory_mib: int = 4096  # of a child process, libraries and models included
    job_tries: int = 3  # a run or proof that loses its process so often is given up
    job_queue: int = 64  # runs and proofs that may wait for a process


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayConfig(KeyConfig):
    """The key pays for and signs transactions."""

    listen: str
    database: str  # SQLite: one relay; PostgreSQL: any number of replicas, of which one works
    nodes: tuple[str, ...]  # base URLs
    log_url: str
    log_token_file: Path
    batch_size: int = 16
    collect_seconds: float = 0.2  # pause between two looks at the nodes
    final_blocks: int | None = None  # blocks on top of a block before it counts as final; as chain.confirmations where not given
    refund_expired: bool = True  # ask for the refund of expired on-chain requests, at the relay's cost
    minimum_fee_wei: int = 0  # what a request must offer, or this relay does not work for it; 0 is for local chains only
    minimum_fee_per_callback_gas_wei: int = 0  # and this much more for each unit of callback gas it asks for
    minimum_proof_fee_wei: int = 0  # and this much more where it demands a proof
    max_callback_gas: int = 1_000_000
    bump_permille: int = 125  # by how much a replacement raises both fees of a transaction that waits
    bump_seconds: float = 15.0  # how long one may wait before that
    job_budget_wei: int = 50_000_000_000_000_000  # what one delivery, refund or finalization may cost in gas, at most
    budget_percent_of_fee: int = 0  # and no more than this part of the request's fee, for deliveries; 0: its fee is no measure


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig(SignerConfig):
    """The signer signs anchors, in the place of `anchor_keystore`."""

    listen: str
    origin: str  # C2SP origin line, a schema-less URL such as "example.org/affidavit"
    directory: Path  # tiles and checkpoint, served as static files
    database: str  # entries, and ciphertexts of sealed fields and bodies
    checkpoint_database: str  # the last signed checkpoint; never restored from a backup
    custody_database: str  # keys of what is kept encrypted; its backups live for days only
    custody_key_file: Path  # wraps those keys; encrypted with its own password
    custody_password_file: Path
    key_file: Path  # Ed25519 note key, encrypted with the password
    password_file: Path
    tokens_file: Path  # JSON {"writers": {name: token digest}, "readers": {…}}
    anchor_keystore: Path | None = None  # signs anchors and pays for their transactions; or signer_url
    anchor_seconds: float = 60.0
    witnesses: Path | None = None  # a policy file (c2sp.org/tlog-policy) with the witnesses' URLs
    witness_seconds: float = 1.0
    retention: tuple[str, ...] = ("standard:1096",)  # classes of content as name:days, the default first
    prune_seconds: float = 3600.0
    clock_seconds: float = 3600.0  # between two records of what the kernel says of the clock


@dataclass(frozen=True, slots=True)
class ApiConfig:
    listen: str
    database: str  # the relay's
    log_url: str
    log_token_file: Path
    log_vkey: str  # C2SP verifier key of the log
    models: tuple[Path, ...]
    max_body_bytes: int = 1 << 20
    requests_per_minute: int = 600  # accepted signed requests per requester
    max_event_streams: int = 64  # followed at once; those beyond are refused


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchConfig(KeyConfig):
    """The key pays for and signs challenges."""

    listen: str
    database: str
    models: tuple[Path, ...]  # what can be executed again; wrong answers of canonical ones are proven wrong, of opaque ones disputed
    beneficiary: str | None = None  # who is rewarded for proofs; the account itself where not given
    operator: str | None = None  # for whom it votes where committees are drawn; the key must be the operator's account or signing key
    dispute: bool = True  # put up the bond where an answer is wrong and nothing can be proven
    job_seconds: float = 60.0  # of one run of an opaque model; then its process is ended
    job_memory_mib: int = 4096  # of that process, libraries and models included


@dataclass(frozen=True, slots=True)
class OidcConfig:
    issuer: str  # as its discovery document names it
    client_id: str
    redirect_url: str  # https://…/audit/v1/oidc/callback, as the provider has it
    roles: dict[str, str]  # value of the claim → role of the office
    roles_claim: str = "roles"
    client_secret_file: Path | None = None  # none for a public client
    scopes: tuple[str, ...] = ("openid",)


@dataclass(frozen=True, slots=True)
class OfficeConfig:
    """The office lives in the API's process, and reads the log and the chain that [api] and [chain] name."""

    database: str  # people's pseudonyms, sessions, cases
    people_file: Path  # JSON {name: {roles, token digest}}, written by `affidavit people`
    log_token_file: Path  # the office's token as a writer of the log
    log_database: str  # the log's own: ciphertexts of what is kept encrypted
    custody_database: str
    custody_key_file: Path
    custody_password_file: Path
    index_database: str  # what the log is searched by; made again where it is missing
    rpc_url: str  # the chain's endpoint that browsers read for themselves
    anchor_key: str | None = None  # address that signs the log's anchors
    witness_policy_file: Path | None = None
    web_directory: Path | None = None  # the built pages; those of this checkout where not given
    nodes: tuple[str, ...] = ()  # base URLs, for the page of operations
    anchor_late_seconds: float = 3600.0  # an entry older than this and not anchored is an alarm
    oidc: OidcConfig | None = None


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    listen: str
    upstream: str  # base URL of an OpenAI-compatible service, such as "https://api.example.org/v1"
    log_url: str
    log_token_file: Path
    name: str = "proxy"  # the actor of its entries
    system: str = ""  # the AI system the calls belong to
    provider: str = "openai"  # gen_ai.provider.name
    content: str = "sealed"  # or "digests", or "none": what is never sent to the log
    log_policy: str = "closed"  # or "open": forward with an alarm when the log does not answer
    spool: Path | None = None  # where records wait for the log; needed when open
    callers_file: Path | None = None  # JSON as of a log's tokens: who may call, by token; digests of addresses are recorded where not given
    upstream_key_file: Path | None = None  # the key the upstream wants; the caller's own is passed on where not given
    other_paths: str = "refuse"  # or "forward"
    forward_headers: tuple[str, ...] = ("openai-beta", "openai-organization", "openai-project")  # of requests, in lower case
    retention: str = ""  # class in the log
    max_body_bytes: int = 4 << 20  # of a request
    max_answer_bytes: int = 16 << 20
    max_open_calls: int = 256
    upstream_timeout_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class Config:
    chain: ChainConfig
    node: NodeConfig | None = None
    relay: RelayConfig | None = None
    log: LogConfig | None = None
    api: ApiConfig | None = None
    watch: WatchConfig | None = None
    office: OfficeConfig | None = None
    proxy: ProxyConfig | None = None


def load_config(path: Path) -> Config:
    """Raises ConfigRejected naming the file and the key that is wrong."""
    config: Config = _section(Config, _read_document(path), str(path), path.parent.resolve())
    return config


def load_proxy_config(path: Path) -> ProxyConfig:
    """The table [proxy] of a file, which needs no [chain] beside it: a recording proxy knows no chain. Raises ConfigRejected."""
    document = _read_document(path)
    if "proxy" not in document:
        raise ConfigRejected(f"configuration {path}", "a table [proxy]", "none")
    if document.keys() != {"proxy"}:
        _section(Config, document, str(path), path.parent.resolve())
    config: ProxyConfig = _section(ProxyConfig, document["proxy"], f"{path}: proxy", path.parent.resolve())
    return config


def _read_document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigRejected(f"configuration {path}", "a readable file", error.strerror) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigRejected(f"configuration {path}", "TOML", str(error)) from error


def _section(kind: Any, table: object, where: str, base: Path) -> Any:
    if not isinstance(table, Mapping):
        raise ConfigRejected(where, "a table", type(table).__name__)
    hints = get_type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    if unknown := table.keys() - fields.keys():
        raise ConfigRejected(f"{where}: {sorted(unknown)[0]}", "a known setting", "an unknown one")
    for name, f in fields.items():
        if f.default is dataclasses.MISSING and name not in table:
            raise ConfigRejected(f"{where}: {name}", "a value", "nothing")
    return kind(**{name: _value(hints[name], value, f"{where}: {name}", base) for name, value in table.items()})


def _value(hint: Any, value: object, where: str, base: Path) -> Any:
    if isinstance(hint, UnionType):
        kinds = [h for h in get_args(hint) if h is not type(None)]
        hint = next((h for h in kinds if get_origin(h) is tuple and isinstance(value, list)), kinds[0])
    if dataclasses.is_dataclass(hint):
        return _section(hint, value, where, base)
    if hint is Path and isinstance(value, str):
        return base / value
    if get_origin(hint) is dict and isinstance(value, Mapping):  # dict[str, X]
        return {key: _value(get_args(hint)[1], item, f"{where}: {key}", base) for key, item in value.items()}
    if get_args(hint) and isinstance(value, list):  # tuple[X, ...]
        return tuple(_value(get_args(hint)[0], item, where, base) for item in value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return _seconds(float(value), where)
    if hint in (str, int, bool) and type(value) is hint:
        return value.replace("{dir}", str(base)) if isinstance(value, str) else value
    raise ConfigRejected(where, getattr(hint, "__name__", str(hint)), type(value).__name__)


def _seconds(value: float, where: str) -> float:
    """Every float here is a number of seconds."""
    if not 0 <= value < math.inf:
        raise ConfigRejected(where, "a number of seconds from 0", value)
    return value


def read_secret(path: Path) -> str:
    """The first line of a secret's file. Raises ConfigRejected where it is missing, empty or readable by others."""
    try:
        mode = path.stat().st_mode
        text = path.read_text().split("\n", 1)[0].strip()
    except OSError as error:
        raise ConfigRejected(f"secret file {path}", "a readable file", error.strerror) from error
    except UnicodeDecodeError:
        # The cause is dropped: it holds the whole content.
        raise ConfigRejected(f"secret file {path}", "text in UTF-8", "other bytes") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigRejected(f"secret file {path}", "mode 0600", oct(stat.S_IMODE(mode)))
    if not text:
        raise ConfigRejected(f"secret file {path}", "a secret on its first line", "nothing")
    return text


def write_secret(path: Path, what: str, text: str) -> None:
    """A new file of mode 0600, on the disk before this returns. Raises ConfigRejected where one is there: none is ever overwritten."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE)
    except FileExistsError as error:
        raise ConfigRejected(f"{what} {path}", "a path for a new file", "an existing file") from error
    except OSError as error:
        raise ConfigRejected(f"{what} {path}", "a writable path", error.strerror) from error
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_new_password(path: Path) -> str:
    """As `read_secret`, for a password that is about to protect something: at least MINIMUM_PASSWORD_LENGTH characters."""
    password = read_secret(path)
    if len(password) < MINIMUM_PASSWORD_LENGTH:
        raise ConfigRejected(f"password in {path}", f"at least {MINIMUM_PASSWORD_LENGTH} characters", len(password))
    return password


def read_address(text: str, what: str) -> Address:
    """A setting that is an Ethereum address. Raises ConfigRejected naming it."""
    try:
        return parse_address(text, what)
    except MalformedInput as error:
        raise ConfigRejected(error.what, error.expected, error.got) from error


def parse_listen(text: str) -> tuple[str, int]:
    """(host, port) of "host:port". Raises ConfigRejected."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 <= int(port) < 65536:
        raise ConfigRejected("listen", "host:port", text)
    return host, int(port)
