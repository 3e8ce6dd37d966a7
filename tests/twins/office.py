"""An office over a log in memory and a real custody: for tests that are about cases and not about HTTP."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine, insert

from oracle.audit.content import Content
from oracle.audit.custody import Custody, Keeping
from oracle.audit.custodykey import CustodyKey
from oracle.audit.seal import Sealed
from oracle.audit.store import content as content_table
from oracle.office.duties import Duties
from oracle.records import Bytes32, Entry
from oracle.store import open_database
from tests.twins.clock import MovedClock
from tests.twins.log import LogTwin

SIZE = 1000
FOREVER = 1 << 40


class OfficeScene:
    """`restart` gives new objects on the same databases, as after a crash."""

    def __init__(self, new_database: Callable[[], str]) -> None:
        self.clock = MovedClock()
        self.log = LogTwin()
        self._database = new_database()
        self._engines: list[Engine] = []
        self.custody = Custody.open(new_database(), new_database(), CustodyKey(bytes(32)))
        self.duties = self.restart()

    def restart(self) -> Duties:
        self._engines.append(open_database(self._database, "office"))
        self.duties = Duties(self._engines[-1], self.log, self.custody, self.clock, lambda: SIZE)
        return self.duties

    def close(self) -> None:
        for engine in self._engines:
            engine.dispose()
        self.custody.close()

    def keep(self, index: int, secret: str = "a secret", reference: str = "", writer: str = "app", call_id: bytes | None = None) -> None:
        """Content of an entry: one sealed field and one body, both the secret."""
        content = Content(Sealed.of({"audit.user": secret}), {"gen_ai.input.messages.digest": secret.encode()})
        call = None if call_id is None else Bytes32(call_id)
        rows = self.custody.keep([Keeping(index, writer, reference, call, FOREVER, content)])
        with self.custody._log.begin() as connection:
            connection.execute(insert(content_table), rows)

    def entries(self, kind: str) -> list[Entry]:
        return [entry for entry in self.log.entries if entry.kind == kind]

    def actions(self, name: str) -> list[object]:
        """What happened, in the words of the records: `name` is the field that says so."""
        return [entry.fields[name] for entry in self.log.entries if name in entry.fields]
