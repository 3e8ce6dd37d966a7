"""Keys at rest: what is refused, and that nothing of a key or password ever comes out."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from eth_account import Account

from oracle.attest.keys import create_keystore, load_account, write_keystore
from oracle.attest.sign import AccountSigner
from oracle.encoding import keccak256
from oracle.errors import ConfigRejected, InvariantBroken
from oracle.records import Bytes32

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    folder = tmp_path_factory.mktemp("keys")
    password_file = folder / "password"
    password_file.write_text(PASSWORD + "\n")
    password_file.chmod(0o600)
    keystore = folder / "deep/key.json"
    return keystore, password_file, create_keystore(keystore, password_file)


def test_a_key_comes_back_and_signs(made: tuple[Path, Path, str]) -> None:
    keystore, password_file, address = made
    account = load_account(keystore, password_file)
    assert account.address == address
    assert AccountSigner(account).address == address
    assert stat.S_IMODE(keystore.stat().st_mode) == 0o600
    assert json.loads(keystore.read_text())["crypto"]["kdf"] == "scrypt"


def test_a_key_is_never_overwritten(made: tuple[Path, Path, str]) -> None:
    keystore, password_file, _ = made
    before = keystore.read_bytes()
    with pytest.raises(ConfigRejected, match="existing"):
        create_keystore(keystore, password_file)
    assert keystore.read_bytes() == before


def test_neither_key_nor_password_is_in_any_text(made: tuple[Path, Path, str], tmp_path: Path) -> None:
    keystore, password_file, _ = made
    account = load_account(keystore, password_file)
    texts = [repr(AccountSigner(account)), str(AccountSigner(account)), keystore.read_text()]
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong password of mine")
    wrong.chmod(0o600)
    with pytest.raises(ConfigRejected) as caught:
        load_account(keystore, wrong)
    assert caught.value.__cause__ is None
    texts.append(str(caught.value))
    for secret in (bytes(account.key).hex(), PASSWORD, "wrong password of mine"):
        assert not any(secret in text for text in texts)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "null", '"x"', "{}", '{"version": 3}', '{"version": 3, "crypto": {}}', '{"version": 9}']
)
def test_files_that_are_no_keystores_are_refused(made: tuple[Path, Path, str], tmp_path: Path, content: str) -> None:
    (tmp_path / "key.json").write_text(content)
    with pytest.raises(ConfigRejected, match=r"key\.json"):
        load_account(tmp_path / "key.json", made[1])


def test_missing_files_open_passwords_and_short_ones_are_refused(made: tuple[Path, Path, str], tmp_path: Path) -> None:
    keystore, password_file, _ = made
    with pytest.raises(ConfigRejected, match="readable"):
        load_account(tmp_path / "nothing.json", password_file)
    with pytest.raises(ConfigRejected, match="readable"):
        load_account(keystore, tmp_path / "nothing")
    readable = tmp_path / "open"
    readable.write_text(PASSWORD)
    readable.chmod(0o644)
    with pytest.raises(ConfigRejected, match="0600"):
        load_account(keystore, readable)
    short = tmp_path / "short"
    short.write_text("hunter2")
    short.chmod(0o600)
    with pytest.raises(ConfigRejected, match="at least 12"):
        write_keystore(Account.create(), tmp_path / "k.json", short)
    assert not (tmp_path / "k.json").exists()


def test_only_digests_are_signed(made: tuple[Path, Path, str]) -> None:
    signer = AccountSigner(load_account(*made[:2]))
    assert len(signer.sign_digest(keccak256(b"x"))) == 65
    with pytest.raises(InvariantBroken):
        signer.sign_digest(Bytes32(b"short"))
