"""Configuration is refused loudly, never completed silently; secrets stay in files nobody else can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from oracle.config import load_config, parse_listen, read_secret
from oracle.errors import ConfigRejected

GOOD = """
[chain]
rpc = "http://127.0.0.1:8545"
deployment = "deployment.json"
poll_seconds = 1

[log]
listen = "127.0.0.1:9000"
origin = "affidavit.example/log"
directory = "log"
database = "sqlite:///{dir}/log.sqlite"
checkpoint_database = "sqlite:///{dir}/checkpoint.sqlite"
custody_database = "sqlite:///{dir}/custody.sqlite"
custody_key_file = "custody-key"
custody_password_file = "custody-password"
key_file = "key"
password_file = "password"
tokens_file = "tokens.json"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "affidavit.toml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.chain.deployment == tmp_path / "deployment.json"
    assert config.chain.poll_seconds == 1.0
    assert config.log is not None
    assert config.log.database == f"sqlite:///{tmp_path}/log.sqlite"
    assert config.log.anchor_keystore is None
    assert config.node is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("poll_seconds", "pol_seconds"), "pol_seconds"),
        (("poll_seconds = 1", 'poll_seconds = "1"'), "poll_seconds"),
        (("poll_seconds = 1", "poll_seconds = true"), "poll_seconds"),
        (("poll_seconds = 1", "poll_seconds = nan"), "poll_seconds"),
        (("poll_seconds = 1", "poll_seconds = inf"), "poll_seconds"),
        (("poll_seconds = 1", "poll_seconds = -0.5"), "poll_seconds"),
        (('rpc = "http://127.0.0.1:8545"', ""), "rpc"),
        (('rpc = "http://127.0.0.1:8545"', "rpc = 8545"), "rpc"),
        (("[log]", "[logs]"), "logs"),
        (("[chain]", "chain = 1\n[log2]"), "log2"),
        (("[chain]", "[chain"), "TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], named: str) -> None:
    with pytest.raises(ConfigRejected, match=named):
        load_config(write(tmp_path, GOOD.replace(*change)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigRejected, match=r"nothing\.toml"):
        load_config(tmp_path / "nothing.toml")


def test_a_secret_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("correct horse\nsecond line\n")
    path.chmod(0o600)
    assert read_secret(path) == "correct horse"
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(ConfigRejected, match="0600") as caught:
            read_secret(path)
        assert "horse" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n", "  \nx"])
def test_an_empty_secret_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "password"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(ConfigRejected):
        read_secret(path)


@pytest.mark.parametrize("text", ["", ":1", "host:", "host:x", "host:65536", "host:-1", "host"])
def test_listen_addresses(text: str) -> None:
    assert parse_listen("127.0.0.1:80") == ("127.0.0.1", 80)
    with pytest.raises(ConfigRejected):
        parse_listen(text)


def test_a_secret_that_is_no_text_is_refused_without_being_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b"hunter2\xff")
    file.chmod(0o600)
    with pytest.raises(ConfigRejected, match="UTF-8") as caught:
        read_secret(file)
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)
