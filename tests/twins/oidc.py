"""Two OpenID Connect providers: the certified `oidc-provider` of npm in a process of its own, and one of ours that lies as it is told."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from oracle.demo.processes import find_free_port

HERE = Path(__file__).parent
SECRET = "a secret between the two"


@contextmanager
def real_provider(redirect_url: str, people: Mapping[str, list[str]]) -> Iterator[str]:
    """The issuer's address. Signing in as a name of `people` gives the claim `groups`."""
    port = find_free_port()
    command = ["node", str(HERE / "oidc_provider.mjs"), str(port), redirect_url, json.dumps(people)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.strip() == "ready":
                break
        else:
            raise AssertionError("".join(seen))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def sign_in(location: str, name: str, redirect_url: str) -> dict[str, str]:
    """What a person does in a browser: signs in, consents, and is sent back. The query that comes to the redirect address."""
    with httpx.Client() as browser:
        for _step in range(12):
            answer = browser.get(location)
            while answer.status_code in (302, 303):
                location = urljoin(location, answer.headers["location"])
                if location.startswith(redirect_url):
                    return {key: values[0] for key, values in parse_qs(urlsplit(location).query).items()}
                answer = browser.get(location)
            assert answer.status_code == 200, answer.text
            form = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            assert form is not None, answer.text
            fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', answer.text))
            if 'name="login"' in answer.text:
                fields |= {"login": name, "password": "anything"}
            posted = browser.post(urljoin(location, html.unescape(form[1])), data=fields)
            assert posted.status_code in (302, 303), posted.text
            location = urljoin(location, posted.headers["location"])
            if location.startswith(redirect_url):
                return {key: values[0] for key, values in parse_qs(urlsplit(location).query).items()}
        raise AssertionError("the provider never sent the browser back")


class LyingProvider:
    """A provider behind a transport. Tests change `claims`, `document`, `sign` or `jwks` before the code is exchanged."""

    issuer = "https://id.example.org"
    client_id = "affidavit"

    def __init__(self, now: Callable[[], int]) -> None:
        self.key: Any = rsa.generate_private_key(65537, 2048)
        self.algorithm = "RS256"
        self.now = now
        self.nonce = ""
        self.changes: dict[str, Any] = {}
        self.removed: set[str] = set()
        self.header: dict[str, Any] = {"kid": "one"}
        self.document: dict[str, Any] = {}
        self.sign: Callable[[dict[str, Any]], str] = self.sign_honestly
        self.forms: list[dict[str, list[str]]] = []
        self.token_status = 200

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def claims(self) -> dict[str, Any]:
        now = self.now()
        claims = {"iss": self.issuer, "aud": self.client_id, "sub": "ada-at-id", "exp": now + 300, "iat": now, "nonce": self.nonce}
        claims |= {"groups": ["auditors"]}
        return {name: value for name, value in (claims | self.changes).items() if name not in self.removed}

    def sign_honestly(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self.key, self.algorithm, headers=self.header)

    def jwk(self) -> dict[str, Any]:
        kinds: list[tuple[type, Any]] = [
            (rsa.RSAPrivateKey, RSAAlgorithm),
            (ec.EllipticCurvePrivateKey, ECAlgorithm),
            (ed25519.Ed25519PrivateKey, OKPAlgorithm),
        ]
        algorithm = next(algorithm for kind, algorithm in kinds if isinstance(self.key, kind))
        return algorithm.to_jwk(self.key.public_key(), as_dict=True) | {"kid": "one", "use": "sig"}  # type: ignore[no-any-return]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == "/.well-known/openid-configuration":
            base = {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize"}
            base |= {"token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/jwks"}
            return httpx.Response(200, json=base | self.document)
        if path == "/jwks":
            return httpx.Response(200, json={"keys": [self.jwk()]})
        assert path == "/token"
        self.forms.append(parse_qs(request.content.decode()))
        if self.token_status != 200:
            return httpx.Response(self.token_status, json={"error": "invalid_grant"})
        return httpx.Response(200, json={"access_token": "unused", "token_type": "Bearer", "id_token": self.sign(self.claims())})
