"""Keys at rest: Web3 Secret Storage v3 keystores (scrypt), their passwords in files of their own.

Neither key nor password ever appears in an argument list, an environment variable, a log line or an error.
"""

from __future__ import annotations

import json
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.config import read_new_password, read_secret, write_secret
from oracle.errors import ConfigRejected
from oracle.records import Address

SCRYPT_N = 1 << 18
"""Cost of one guess at a password: about a second and 256 MiB. The standard value of Web3 Secret Storage."""
LIGHT_SCRYPT_N = 1 << 12
"""For passwords that are random and long, where nobody guesses."""


def create_keystore(path: Path, password_file: Path) -> Address:
    """Writes a new random key, encrypted, to `path` (mode 0600) and returns its address.

    Raises ConfigRejected where the file exists already (a key is never overwritten), the password file is not acceptable
    (`oracle.config.read_secret`) or the password is shorter than 12 characters.
    """
    return write_keystore(Account.create(), path, password_file)


def write_keystore(account: LocalAccount, path: Path, password_file: Path, scrypt_n: int = SCRYPT_N) -> Address:
    """As `create_keystore`, for a key that exists already."""
    password = read_new_password(password_file)
    keystore = json.dumps(Account.encrypt(bytes(account.key), password, iterations=scrypt_n))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_secret(path, "keystore", keystore + "\n")
    return Address(account.address)


def load_account(path: Path, password_file: Path) -> LocalAccount:
    """The key of a keystore. Raises ConfigRejected naming the file where it is missing, malformed or the password is wrong."""
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ConfigRejected(f"keystore {path}", "a readable file", error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise ConfigRejected(f"keystore {path}", "JSON", "something else") from error
    password = read_secret(password_file)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(content, password))
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError):
        # The cause is dropped: its text may quote what was decrypted.
        raise ConfigRejected(f"keystore {path}", f"one that the password in {password_file} opens", "a failure to open it") from None
    return account
