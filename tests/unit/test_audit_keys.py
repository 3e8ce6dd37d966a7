"""The log's key at rest: what opens it, what does not, and what never leaks."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from oracle.audit.keys import read_key_file, read_vkey, write_key_file
from oracle.audit.note import generate_key
from oracle.errors import ConfigRejected

KEY = generate_key("log.example/affidavit")
PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "log-key.json"
    write_key_file(path, KEY, PASSWORD)
    return path


def test_round_trip(written: Path) -> None:
    assert read_key_file(written, PASSWORD) == KEY
    assert read_vkey(written) == KEY.verifier
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    assert KEY.seed.hex() not in written.read_text()
    assert KEY.encode() not in written.read_text()


def test_a_key_is_never_overwritten(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(ConfigRejected):
        write_key_file(written, generate_key("log.example/other"), PASSWORD)
    assert written.read_bytes() == before


def test_a_wrong_password_says_nothing_else(written: Path) -> None:
    with pytest.raises(ConfigRejected, match="the right password") as caught:
        read_key_file(written, "guess")
    assert "guess" not in str(caught.value)


def changed(written: Path, **changes: Any) -> str:
    return json.dumps(json.loads(written.read_text()) | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "affidavit/log-key@3"},
        {"name": str(generate_key("log.example/affidavit").verifier)},
        {"name": 7},
        {"nonce": "0x00"},
        {"nonce": "0x" + "00" * 12},
        {"sealed": "0x"},
        {"sealed": "zz"},
        {"scrypt": {}},
        {"scrypt": {"n": 3, "r": 8, "p": 1, "salt": "0x" + "00" * 16}},
        {"scrypt": {"n": 1 << 30, "r": 8, "p": 1, "salt": "0x" + "00" * 16}},
        {"scrypt": {"n": 1024, "r": 8, "p": 1 << 20, "salt": "0x" + "00" * 16}},
        {"scrypt": {"n": 1024, "r": 8, "p": 1, "salt": "0x" + "00" * 16}},
        {"more": 1},
    ],
)
def test_changed_key_files(written: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    (tmp_path / "key.json").write_text(changed(written, **changes))
    with pytest.raises(ConfigRejected):
        read_key_file(tmp_path / "key.json", PASSWORD)


@pytest.mark.parametrize("text", ["", "[]", "{", "{}", "\udcff"])
def test_what_is_no_key_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigRejected):
        read_key_file(tmp_path / "key.json", PASSWORD)
    with pytest.raises(ConfigRejected):
        read_vkey(tmp_path / "missing.json")
