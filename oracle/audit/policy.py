"""C2SP tlog-policy: which logs are known, which witnesses, and which of them must have cosigned a checkpoint for it to be believed.

    log example.org/affidavit+1397c29a+AQOh… https://log.example.org
    witness north north.example/w+…+BF… https://north.example
    witness south south.example/w+…+BK…
    group both all north south          # all, any, or a number: how many of the members
    quorum both                         # a witness, a group, or none

Lines end in a newline, words are separated by spaces and tabs, `#` begins a comment line. Names are opaque bytes; they mean nothing outside
the file. What is used must stand on a line above. Source: c2sp.org/tlog-policy. Witness keys are of signature types 0x04 and 0x06.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from oracle.audit.cosign import WitnessKey, parse_witness_vkey
from oracle.audit.note import VerifierKey, parse_vkey
from oracle.errors import ConfigRejected, NoteRejected, PolicyRejected

NONE = "none"
MAX_POLICY_BYTES = 1 << 18
MAX_LINES_OF_A_KIND = 256
_NUMBER = re.compile(r"[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class PolicyLog:
    """A log that is accepted."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness, by its name in the policy. The URL is its submission prefix (c2sp.org/tlog-witness)."""

    name: str
    key: WitnessKey
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Witnesses when at least `threshold` of its members, witnesses or groups, do."""

    name: str
    threshold: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed policy. `groups` are in the order of the file, so that members stand before the groups they are in."""

    logs: tuple[PolicyLog, ...]
    witnesses: tuple[PolicyWitness, ...]
    groups: tuple[Group, ...]
    quorum: str  # name of a witness or group, or "none"

    def is_met(self, cosigned: Collection[str]) -> bool:
        """Whether these witnesses, by their names here, are enough."""
        witnessing = {w.name for w in self.witnesses if w.name in cosigned}
        for group in self.groups:
            if sum(member in witnessing for member in group.members) >= group.threshold:
                witnessing.add(group.name)
        return self.quorum == NONE or self.quorum in witnessing

    def name_of(self, key: WitnessKey) -> str:
        """The name of a witness that is in the policy."""
        return next(w.name for w in self.witnesses if w.key == key)

    @property
    def keys(self) -> list[WitnessKey]:
        return [w.key for w in self.witnesses]


class _Reader:
    """What was defined on the lines so far."""

    def __init__(self) -> None:
        self.logs: list[PolicyLog] = []
        self.witnesses: list[PolicyWitness] = []
        self.groups: list[Group] = []
        self.quorum: str | None = None
        self._names: set[str] = set()  # of witnesses and groups
        self._grouped: set[str] = set()

    def log(self, words: list[str]) -> None:
        _require_count("log", words, 1, 2)
        log = PolicyLog(parse_vkey(words[0]), *words[1:])
        _require_new("log", log.key.public, [known.key.public for known in self.logs])
        self.logs.append(log)

    def witness(self, words: list[str]) -> None:
        _require_count("witness", words, 2, 3)
        witness = PolicyWitness(words[0], parse_witness_vkey(words[1]), *words[2:])
        _require_new("witness", witness.key.public, [known.key.public for known in self.witnesses])
        self._define(witness.name)
        self.witnesses.append(witness)

    def group(self, words: list[str]) -> None:
        _require_count("group", words, 3, MAX_LINES_OF_A_KIND)
        name, threshold, members = words[0], words[1], words[2:]
        for member in members:
            self._require_known(member, "group member")
            if member in self._grouped:
                raise PolicyRejected("group member", "a name that is in no group yet", _show(member))
            self._grouped.add(member)
        self.groups.append(Group(name, _read_threshold(threshold, len(members)), tuple(members)))
        self._define(name)

    def set_quorum(self, words: list[str]) -> None:
        _require_count("quorum", words, 1, 1)
        if self.quorum is not None:
            raise PolicyRejected("quorum", "one line", "two")
        if words[0] != NONE:
            self._require_known(words[0], "quorum")
        self.quorum = words[0]

    def finish(self) -> Policy:
        if self.quorum is None:
            raise PolicyRejected("policy", "a line `quorum`", "none")
        return Policy(tuple(self.logs), tuple(self.witnesses), tuple(self.groups), self.quorum)

    def _define(self, name: str) -> None:
        if name == NONE or name in self._names:
            raise PolicyRejected("name", "one that is not taken", _show(name))
        self._names.add(name)

    def _require_known(self, name: str, what: str) -> None:
        if name not in self._names:
            raise PolicyRejected(what, "a witness or group of a line above", _show(name))


def parse_policy(data: bytes) -> Policy:
    """Raises PolicyRejected, naming the line."""
    reader = _Reader()
    kinds: Mapping[str, Callable[[list[str]], None]] = {
        "log": reader.log,
        "witness": reader.witness,
        "group": reader.group,
        "quorum": reader.set_quorum,
    }
    counts = dict.fromkeys(kinds, 0)
    for number, line in enumerate(_split_lines(data), start=1):
        words = [word for word in re.split("[ \t]+", line) if word]
        if not words or words[0].startswith("#"):
            continue
        if words[0] not in kinds:
            raise PolicyRejected(f"policy line {number}", "log, witness, group or quorum", _show(words[0]))
        counts[words[0]] += 1
        if counts[words[0]] > MAX_LINES_OF_A_KIND:
            raise PolicyRejected(f"policy line {number}", f"at most {MAX_LINES_OF_A_KIND} lines of a kind", "more")
        try:
            kinds[words[0]](words[1:])
        except (PolicyRejected, NoteRejected) as error:
            raise PolicyRejected(f"policy line {number}: {error.what}", error.expected, error.got) from error
    return reader.finish()


def load_policy(path: Path) -> Policy:
    """The policy in a file. Raises ConfigRejected naming the file."""
    try:
        return parse_policy(path.read_bytes())
    except OSError as error:
        raise ConfigRejected(f"witness policy {path}", "a readable file", error.strerror) from error
    except PolicyRejected as error:
        raise ConfigRejected(f"witness policy {path}: {error.what}", error.expected, error.got) from error


def _split_lines(data: bytes) -> list[str]:
    if len(data) > MAX_POLICY_BYTES:
        raise PolicyRejected("policy", f"at most {MAX_POLICY_BYTES} bytes", len(data))
    bad = next((byte for byte in data if (byte < 0x20 and byte not in b"\t\n") or byte == 0x7F), None)
    if bad is not None:
        raise PolicyRejected("policy", "no control characters but tab and newline", f"{bad:#04x}")
    if not data.endswith(b"\n"):
        raise PolicyRejected("policy", "lines that end in a newline", "a cut last line" if data else "nothing")
    return data.decode("utf-8", "surrogateescape").split("\n")[:-1]


def _require_count(what: str, words: list[str], least: int, most: int) -> None:
    if not least <= len(words) <= most:
        raise PolicyRejected(f"{what} line", f"{least} to {most} words" if least != most else f"{least} word", len(words))


def _require_new(what: str, public: bytes, known: list[bytes]) -> None:
    if public in known:
        raise PolicyRejected(f"{what} key", "a public key of its own", "one that another line has")


def _read_threshold(word: str, members: int) -> int:
    if word in ("all", "any"):
        return members if word == "all" else 1
    if not _NUMBER.fullmatch(word) or int(word) > members:
        raise PolicyRejected("group threshold", f"all, any, or 1 to {members}", _show(word))
    return int(word)


def _show(name: str) -> str:
    return ascii(name)[:60]
