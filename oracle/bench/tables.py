"""Every benchmark's table, with the machine and the versions it was measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version

from rich.console import Console
from rich.table import Table

from oracle.bench import gas, inference, line, policies
from oracle.bench.sustained import Load
from oracle.errors import ConfigRejected
from oracle.relay.artifacts import load_compiler_version

Row = tuple[str, ...]
PROOF_WIDTH = 130
console = Console()


def machine() -> str:
    """One line that stands under every table."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    names = ", ".join(f"{name} {version(name)}" for name in ("onnxruntime", "web3", "sqlalchemy")) + f", solc {load_compiler_version()}"
    return f"{os.cpu_count()} cores {platform.machine()}, {memory_gib:.0f} GiB, Python {platform.python_version()}, {names}"


def show(title: str, columns: Sequence[str], rows: Iterable[Row]) -> None:
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def show_gas() -> None:
    columns = ("policy", "deliver", "finalize", "both")
    show("Gas of one delivery by policy: digits-mlp, no callback (whole transactions)", columns, policies.measure_policies())
    by_signers, by_batch = gas.measure()
    show("Gas of one delivery (whole transaction)", ("signers", "no callback", "callback to DigitGate"), by_signers)
    show("Gas of a batch, 2 signers, no callback", ("items", "transaction", "per item", "ratio to one alone"), by_batch)
    show("Gas around proofs of digits-mlp (whole transactions)", ("what", "gas"), gas.measure_proofs())


def show_inference() -> None:
    show("One inference on a node", inference.COLUMNS, inference.measure())


def show_line() -> None:
    show("The whole line, 3 nodes, quorum 2 or a proof, one machine", ("what", "figure"), line.measure())


def show_load(rate: float, seconds: float) -> None:
    """A steady load, for as long as is asked."""
    rows = line.measure_load(Load(rate, seconds), Console(stderr=True).print)
    show("The whole line under a steady load, 3 nodes, quorum 2, one machine", ("what", "figure"), rows)
    console.print(machine(), soft_wrap=True)


def show_audit(records: int) -> None:
    """A million records on each database take half an hour, so it runs only where it is named."""
    from oracle.bench import audit

    notes, wide = Console(stderr=True), Console(width=max(PROOF_WIDTH, console.width))
    rows = audit.measure(audit.Sizes.of(records), notes.print)
    table = Table(*audit.COLUMNS, title=f"The audit log, {records:,} records", title_justify="left")
    for row in rows:
        table.add_row(*row)
    wide.print(table)


def show_pages(records: int) -> None:
    """Needs Chromium."""
    from oracle.bench import pages

    show(f"The pages over {records:,} records, in Chromium", pages.COLUMNS, pages.measure(records))
    console.print(machine(), soft_wrap=True)


def show_restarts() -> None:
    """Kills every process of a network, again and again; takes some minutes, so it runs only where it is named."""
    from oracle.bench import restarts

    show("kill -9, then started again at once", restarts.COLUMNS, restarts.measure(Console(stderr=True).print))
    console.print(machine(), soft_wrap=True)


def show_proofs(only: Sequence[str], with_ezkl: bool) -> None:
    """Takes from minutes (ours alone) to an hour, so it runs only where it is named; its tables come as they are known."""
    from circuits.bench import proofs
    from circuits.errors import CircuitError

    notes, wide = Console(stderr=True), Console(width=max(PROOF_WIDTH, console.width))
    try:
        for result in proofs.run(only, with_ezkl, notes.print):
            table = Table(*result.columns, title=result.title, title_justify="left")
            for row in result.rows:
                table.add_row(*row)
            wide.print(table, *result.notes, sep="\n")
    except CircuitError as error:
        raise ConfigRejected(str(error)) from error


BENCHES: dict[str, Callable[[], None]] = {"gas": show_gas, "inference": show_inference, "line": show_line}


def run(names: Sequence[str]) -> None:
    """Runs the named benchmarks, all where none is named."""
    for name in names or tuple(BENCHES):
        BENCHES[name]()
    console.print(machine(), soft_wrap=True)
