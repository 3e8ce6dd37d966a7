"""A key that lives elsewhere: a signer that speaks Web3Signer's eth1 HTTP interface, such as Web3Signer itself before a vault or an HSM.

    GET  /api/v1/eth1/publicKeys            ["0x‹64 bytes: x‖y›", …]
    POST /api/v1/eth1/sign/‹public key›     {"data": "0x‹preimage›"}  →  0x‹r‖s‖v›, over keccak256(preimage)

The signer is trusted with the key and with nothing else: what it returns is used only where the expected address signed exactly this.
What the interface is: docs.web3signer.consensys.io, and core/…/openapi-specs/eth1/web3signer.yaml in its source.
"""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from oracle.attest.keys import load_account
from oracle.attest.remote_http import TIMEOUT_SECONDS, ask
from oracle.attest.remote_rpc import METHODS, RpcSigner
from oracle.attest.sign import AccountSigner
from oracle.config import KeyConfig, read_address
from oracle.encoding import keccak256, parse_address, parse_hex, to_hex
from oracle.errors import ClaimRejected, ConfigRejected, MalformedInput, PeerError
from oracle.records import Address
from oracle.seams import PreimageSigner, Show
from oracle.signatures import recover_signer

PUBLIC_KEY_BYTES = 64
WEB3SIGNER = "web3signer"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class RemoteSigner:
    """`oracle.seams.PreimageSigner` over HTTP. Safe to use from several threads."""

    def __init__(self, url: str, address: Address, http: httpx.Client | None = None) -> None:
        self._http = http or httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, follow_redirects=False)
        self._address = address
        self._key = self._find_key()

    def __repr__(self) -> str:
        return f"RemoteSigner({self._address})"

    @property
    def address(self) -> Address:
        return self._address

    def sign_preimage(self, preimage: bytes, show: Show | None = None) -> bytes:  # noqa: ARG002, it hashes what it is given
        """65 bytes r‖s‖v over keccak256(preimage), checked. Raises PeerError where the signer does not answer, or with anything else."""
        told = ask(self._http, "POST", f"/api/v1/eth1/sign/{self._key}", {"data": to_hex(preimage)})
        try:
            answer = told.decode("utf-8", "replace").strip()
            signature = parse_hex(answer.strip('"'), "signature of the remote signer", 65)
            signer = recover_signer(keccak256(preimage), signature)
        except (MalformedInput, ClaimRejected) as error:
            raise PeerError(f"the remote signer's answer is no signature: {error}") from error
        if signer != self._address:
            raise PeerError(f"the remote signer signed as {signer}, not as {self._address}, or something else") from None
        return signature

    def _find_key(self) -> str:
        """How the signer calls the key of our address. Raises ConfigRejected where it has none."""
        try:
            keys = json.loads(ask(self._http, "GET", "/api/v1/eth1/publicKeys"))
            found = {_address_of(key): key for key in keys}
        except (ValueError, TypeError, RecursionError, MalformedInput) as error:
            raise PeerError("the remote signer's list of public keys is none") from error
        if self._address not in found:
            raise ConfigRejected("signer_address", f"one of the {len(found)} keys of the remote signer", self._address)
        return str(found[self._address])


def open_signer(config: KeyConfig, what: str) -> PreimageSigner:
    """The key of a configuration: a keystore here, or a remote signer. Raises ConfigRejected where it names neither or both, PeerError."""
    has_keystore, is_remote = config.keystore is not None, config.signer_url is not None
    if has_keystore == is_remote:
        raise ConfigRejected(f"{what}: keystore, signer_url", "one of the two", "both" if is_remote else "neither")
    if config.keystore is not None:
        if config.password_file is None:
            raise ConfigRejected(f"{what}: password_file", "the password of the keystore", "nothing")
        return AccountSigner(load_account(config.keystore, config.password_file))
    if config.signer_url is None or config.signer_address is None:
        raise ConfigRejected(f"{what}: signer_address", "the address whose key the remote signer has", "nothing")
    if config.signer_api not in (WEB3SIGNER, *METHODS):
        raise ConfigRejected(f"{what}: signer_api", ", ".join((WEB3SIGNER, *METHODS)), config.signer_api)
    _require_private(config.signer_url, what)
    verify = _trust(config.signer_ca_file, config.signer_certificate_file, what)
    address = read_address(config.signer_address, f"{what}: signer_address")
    http = httpx.Client(base_url=config.signer_url, timeout=TIMEOUT_SECONDS, follow_redirects=False, verify=verify)
    if config.signer_api == WEB3SIGNER:
        return RemoteSigner(config.signer_url, address, http)
    return RpcSigner(address, http, METHODS[config.signer_api])


def _require_private(url: str, what: str) -> None:
    """Whoever can ask the signer can sign: elsewhere than on this machine it is asked over TLS."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ConfigRejected(f"{what}: signer_url", "https://…, or http:// on this machine", url)


def _trust(ca_file: Path | None, certificate_file: Path | None, what: str) -> ssl.SSLContext:
    """Whom we believe to be the signer (the system's authorities, or this one), and the certificate with key that we show it."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate_file is not None:
            context.load_cert_chain(certificate_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigRejected(f"{what}: signer_ca_file, signer_certificate_file", "PEM files", str(error)) from error
    return context


def _address_of(public_key: object) -> Address:
    return parse_address(to_hex(keccak256(parse_hex(public_key, "public key", PUBLIC_KEY_BYTES))[-20:]), "address of a public key")
