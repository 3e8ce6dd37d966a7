"""The embedded chain: one anvil process, started on a free port of the loopback, stopped with its owner."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from oracle.errors import WorldError

START_SECONDS = 30.0
STOP_SECONDS = 15.0
STATES_KEPT = 500
"""Of the newest blocks, in memory, each 0.1 MB of a new chain and 7 MB of one with 30,000 deliveries. Anvil would write older ones to the
disk, and leave them there when it is killed."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class EmbeddedChain:
    """A running anvil. Its ten funded development accounts come from the mnemonic everybody knows: never use them elsewhere."""

    rpc: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Asks it to end (it then writes its state, where it was given a file), and kills it if it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def find_anvil() -> Path:
    """The native anvil that bootstrap installed beside the package, else the one on the PATH. Raises WorldError."""
    installed = sorted((Path(__file__).parents[2] / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))
    if installed:
        return installed[0]
    if found := shutil.which("anvil"):
        return Path(found)
    raise WorldError("anvil is not installed: run scripts/bootstrap, or put it on the PATH")


def start_chain(
    *,
    chain_id: int = 31337,
    port: int = 0,
    state: Path | None = None,
    block_seconds: float | None = None,
    reader: str | None = None,
    states: int | None = STATES_KEPT,
    options: Sequence[str] = (),
) -> EmbeddedChain:
    """Starts anvil with Osaka's rules and EIP-7825's gas cap, and waits until it listens.

    `port` 0 takes a free one. `state` is read if it exists and written at the end. Without `block_seconds` every transaction is mined at
    once. `reader` is the one origin whose pages a browser lets read this chain; without it none may. Of blocks older than the newest
    `states` nobody can ask for the state; blocks, transactions and events are all there. With None all states are kept, most of them
    where the option `--cache-path` says. On Linux the chain dies with the thread that started it, however that ends. Raises WorldError
    when it does not start.
    """
    command = [str(find_anvil()), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
    command += ["--hardfork", "osaka", "--enable-tx-gas-limit", *options]
    command += [] if states is None else ["--prune-history", str(states)]
    command += ["--allow-origin", reader] if reader else ["--no-cors"]
    command += ["--state", str(state)] if state else []
    command += ["--block-time", str(block_seconds)] if block_seconds else []
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C goes to the owner, who then stops it in order
        preexec_fn=die_with_parent,
    )
    try:
        port = _wait_for_port(process)
        threading.Thread(target=_drain, args=(process,), daemon=True, name="anvil output").start()
        return EmbeddedChain(f"http://127.0.0.1:{port}", process)
    except BaseException:
        process.kill()
        process.wait()
        raise


@contextmanager
def running_chain(**options: object) -> Iterator[EmbeddedChain]:
    """`start_chain` for the length of a block."""
    chain = start_chain(**options)  # type: ignore[arg-type]
    try:
        yield chain
    finally:
        chain.stop()


def die_with_parent() -> None:
    """Runs in the child: a chain must not outlive an owner that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_port(process: subprocess.Popen[bytes]) -> int:
    """The port of anvil's line "Listening on 127.0.0.1:port"."""
    deadline, seen = time.monotonic() + START_SECONDS, b""
    if process.stdout is None:
        raise WorldError("anvil was started without a pipe")
    while time.monotonic() < deadline:
        ready, _, _ = select.select([process.stdout], [], [], 0.2)
        chunk = os.read(process.stdout.fileno(), 65536) if ready else b""
        seen += chunk
        if found := re.search(rb"Listening on [^\s:]+:(\d+)", seen):
            return int(found[1])
        if ready and not chunk:
            break
    raise WorldError(f"anvil did not start: {seen.decode(errors='replace')[-500:]}")


def _drain(process: subprocess.Popen[bytes]) -> None:
    """Reads and drops what anvil prints: a full pipe would stop it."""
    if process.stdout is None:
        return
    with process.stdout as output:
        while os.read(output.fileno(), 65536):
            pass
