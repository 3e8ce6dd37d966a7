"""What is changed in the running of a log, put into the log: its configuration as it starts, and the rotation of its custody key.

A configuration is told when it is another one than that of the last record of it, so that a log that starts ten times a day with the
same has one record. Nothing of it is secret: names of writers and readers, retention classes, digests of the witness policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from oracle.audit.access import OWN_WRITER
from oracle.audit.log import Log
from oracle.audit.record import parse_record
from oracle.audit.tree import sha256
from oracle.encoding import to_hex
from oracle.records import Appended, Entry, EntryKind, FieldValue
from oracle.seams import format_time

CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Running:
    """How a log is run. `witness_policy` is the policy file's bytes, empty where there is none."""

    version: str
    writers: Sequence[str]
    readers: Sequence[str]
    retention: Sequence[str]
    witness_policy: bytes = b""
    anchor_key: str = ""

    def fields(self) -> dict[str, FieldValue]:
        fields: dict[str, FieldValue] = {
            "audit.actor": OWN_WRITER,
            "audit.config.action": CHANGED,
            "audit.config.readers": sorted(self.readers),
            "audit.config.retention": list(self.retention),
            "audit.config.version": self.version,
            "audit.config.writers": sorted(self.writers),
        }
        if self.witness_policy:
            fields["audit.config.witness_policy_digest"] = to_hex(sha256(self.witness_policy))
        if self.anchor_key:
            fields["audit.config.anchor_key"] = self.anchor_key
        return fields


def tell_running(log: Log, running: Running) -> Appended | None:
    """Appends a `config` record where the last one says something else; returns its place, None where nothing changed."""
    fields, last = running.fields(), log.entries.last_config(log.checkpoint.size)
    if last is not None and parse_record(last.record).fields == fields:
        return None
    return log.append(OWN_WRITER, Entry(EntryKind.CONFIG, format_time(log.now()), fields))


def custody_rotation_entry(key_id: bytes, moment: datetime) -> Entry:
    """The custody key was replaced by the one of this id."""
    fields: dict[str, FieldValue] = {
        "audit.actor": OWN_WRITER,
        "audit.key.action": "rotated",
        "audit.key.id": key_id.hex(),
        "audit.key.kind": "custody",
    }
    return Entry(EntryKind.KEY_ROTATION, format_time(moment), fields)
