"""The command line: a thin door. Each file is one group of commands; what they do is in `oracle.pipeline`.

Exit codes: 0 done; 1 a bug of ours, with its traceback; 2 something handed to us is not acceptable; 3 the world failed (chain,
disk, a peer). Secrets are read from files, never from arguments or the environment. Everything heavy is imported inside the command that
needs it, so that `affidavit --help` stays fast.
"""

from __future__ import annotations

import sys

from oracle import heaps
from oracle.errors import Rejected, WorldError
from oracle.printing import printable

EXIT_REJECTED = 2
EXIT_WORLD = 3


def main() -> None:
    """The console script `affidavit`."""
    heaps.limit_heaps()
    from oracle.cli.tree import app

    try:
        app()
    except Rejected as error:
        _fail(str(error), EXIT_REJECTED)
    except WorldError as error:
        cause = f" ({type(error.__cause__).__name__}: {error.__cause__})" if error.__cause__ else ""
        _fail(f"{error}{cause}", EXIT_WORLD)


def _fail(text: str, code: int) -> None:
    """One line that a terminal shows and does not obey, whatever the text holds: peers are quoted in it."""
    sys.stderr.write("affidavit: " + printable(" ".join(text.split())) + "\n")
    raise SystemExit(code)
