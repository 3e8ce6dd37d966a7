"""`affidavit demo` as a person runs it: everything it promises to show is shown, and nothing stays behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

AFFIDAVIT = [sys.executable, "-m", "oracle.cli"]


def running(text: str) -> list[str]:
    """Command lines of the processes of this machine that contain `text`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            found.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in found if text in line]


def test_the_whole_story(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AFFIDAVIT, "demo"],
        capture_output=True,
        text=True,
        timeout=300,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        check=False,
    )
    text = done.stdout
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(re.findall(r"label \d, read on chain as \d, signed by operator \d, operator \d", text)) == 5
    assert len(re.findall(r"label \d, read on chain as \d, proven by 0x[0-9a-fA-F]{40}", text)) == 2
    assert len(re.findall(r"[\d,]+ gas, callback succeeded", text)) == 7
    assert len(re.findall(r"log entries \d+(?:, \d+){4,}", text)) == 5
    assert "read as" in text
    assert [int(n) for n in re.findall(r"^  (\d)\. [a-z- ]+: passed\.", text, re.MULTILINE)] == [*range(1, 9), *range(1, 8)]
    assert text.count("8 steps, all passed") == 8
    assert re.search(r"enclave key 0x[0-9a-fA-F]{40}, operator 0x[0-9a-fA-F]{40}, platform SIMULATED", text)
    assert "a policy that wants a real one is refused: policy enclave: " in text
    assert re.search(r"signed by operator \d and operator \d and by the enclave; [\d,]+ gas", text)
    assert re.search(r"replaced in 0x[0-9a-f]{64}, [\d,]+ gas: the honest scores", text)
    assert text.count("has 0 ETH of its stake left") == 2
    assert "QuorumNotMet(2, 1)" in text
    assert "WrongSigner" in text
    assert "the same scores as before" in text
    for what, step in (("a record", 1), ("a tile of hashes", 2), ("the checkpoint", 3)):
        assert f"a byte of {what}: the audit fails at step {step}, " in text
    assert "the auditor's own approval is refused: " in text
    assert re.search(r"approves, and \d+ bytes are shown: the input that was asked about", text)
    assert re.search(r"the log of readers has it: auditor read entry \d+, record \d+", text)
    assert re.search(r"the key custodian's approval is refused: entry \d+: expected no legal hold on it", text)
    assert re.search(r"the keys of [1-9]\d* records are destroyed", text)
    assert re.search(r"the call is audited again: entry, inclusion, checkpoint signature, anchors, .*on-chain receipt", text)
    assert list(tmp_path.iterdir()) == []
    assert running(str(tmp_path)) == []


def test_serve_stays_until_it_is_stopped(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*AFFIDAVIT, "demo", "--serve"],
        stdout=(tmp_path / "out").open("w"),
        stderr=subprocess.STDOUT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    )
    try:
        deadline = time.monotonic() + 300
        while "The network stays until Ctrl-C" not in (text := (tmp_path / "out").read_text()):
            assert process.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.5)
        assert "export AFFIDAVIT_API=http://127.0.0.1:" in text
        assert re.search(r"The pages are at http://127.0.0.1:\d+/audit", text)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert running(str(tmp_path)) == []
