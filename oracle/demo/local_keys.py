"""The publicly known development keys of `seeds/keys/local.json`: for chains on this machine that live for minutes, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

from eth_account import Account
from eth_account.signers.local import LocalAccount

from oracle.errors import ConfigRejected


def find_seeds() -> Path:
    """The seeds folder of the checkout this package runs from. Raises ConfigRejected where there is none."""
    seeds = Path(__file__).parents[2] / "seeds"
    if not (seeds / "keys/local.json").exists():
        raise ConfigRejected("seeds", "a checkout of the project, with its folder seeds/", f"none at {seeds}")
    return seeds


def local_account(role: str) -> LocalAccount:
    """The account of a role: deployer, requester, relay, log, operator-0 to operator-5."""
    rows = json.loads((find_seeds() / "keys/local.json").read_text())["keys"]
    account: LocalAccount = Account.from_key(next(row["private_key"] for row in rows if row["role"] == role))
    return account
