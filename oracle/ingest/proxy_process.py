"""The proxy's process: its settings checked, its parts put together."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import urlsplit

import httpx

from oracle import journal
from oracle.audit.access import load_access
from oracle.audit.calls import ContentMode
from oracle.audit.client import LogClient
from oracle.audit.late import LogPolicy
from oracle.config import ProxyConfig, read_secret
from oracle.errors import ConfigRejected
from oracle.ingest.proxy import Proxy, make_app
from oracle.ingest.recorder import Recorder
from oracle.ingest.spool import Spool, derive_key
from oracle.pipeline.background import Background


def run_proxy(config: ProxyConfig) -> None:
    """`affidavit proxy serve`: until SIGTERM. Raises ConfigRejected or StoreError at the start."""
    journal.configure(f"proxy {config.name}")
    proxy = open_proxy(config)
    journal.get("proxy").info("started", upstream=urlsplit(config.upstream).hostname, content=config.content, log_policy=config.log_policy)
    try:
        Background().run({}, make_app(proxy), config.listen)
    finally:
        proxy.recorder.close()
    journal.get("proxy").info("stopped")


def open_proxy(config: ProxyConfig) -> Proxy:
    """The parts of a proxy. Raises ConfigRejected naming a setting."""
    _check(config)
    token = read_secret(config.log_token_file)
    spool = None if config.spool is None else Spool.open(config.spool, token)
    log = LogClient(config.log_url, token)
    mode = ContentMode(config.content)
    recorder = Recorder(log, config.name, config.system, content=mode, on_failure=config.log_policy, spool=spool, capture="proxy")
    timeout = httpx.Timeout(config.upstream_timeout_seconds, connect=min(10.0, config.upstream_timeout_seconds))
    return Proxy(
        recorder=recorder,
        upstream=open_upstream(config.upstream, timeout),
        is_log_ready=log.is_ready,
        pseudonym_key=derive_key(token, b"affidavit proxy callers"),
        provider=config.provider,
        retention=config.retention,
        callers=None if config.callers_file is None else load_access(config.callers_file),
        upstream_key=None if config.upstream_key_file is None else read_secret(config.upstream_key_file),
        forwards_others=config.other_paths == "forward",
        forward_headers=config.forward_headers,
        max_body_bytes=config.max_body_bytes,
        max_answer_bytes=config.max_answer_bytes,
        max_open_calls=config.max_open_calls,
    )


def open_upstream(url: str, timeout: httpx.Timeout) -> httpx.AsyncClient:
    """One base URL: no redirects, no proxy of the environment, and no cookies, which would wander from caller to caller."""
    jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(base_url=url, timeout=timeout, follow_redirects=False, trust_env=False, cookies=jar)


def _check(config: ProxyConfig) -> None:
    words: dict[str, set[str]] = {"content": set(ContentMode), "log_policy": set(LogPolicy), "other_paths": {"refuse", "forward"}}
    for name, known in words.items():
        if getattr(config, name) not in known:
            raise ConfigRejected(f"proxy: {name}", "one of " + ", ".join(sorted(known)), getattr(config, name))
    address = urlsplit(config.upstream)
    if address.scheme not in ("http", "https") or not address.hostname or address.query or address.fragment or address.username:
        raise ConfigRejected("proxy: upstream", "an http or https URL without query or credentials", address.scheme or "another")
    if config.log_policy == LogPolicy.OPEN and config.spool is None:
        raise ConfigRejected("proxy: spool", "a path, where log_policy is open", "none")
    if config.upstream_key_file is not None and config.callers_file is None:
        raise ConfigRejected("proxy: callers_file", "one beside upstream_key_file: anyone could spend that key", "none")
    credentials = {"authorization", "cookie", "host", "content-length", "transfer-encoding", "connection", "accept-encoding"}
    if bad := credentials & {name.lower() for name in config.forward_headers}:
        raise ConfigRejected("proxy: forward_headers", "none of those that this proxy sets itself", sorted(bad)[0])
