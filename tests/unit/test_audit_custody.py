"""Custody: what it keeps, what nobody can read after it is destroyed, and what a hold keeps from being destroyed. On both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from oracle.audit.content import Content, ContentState
from oracle.audit.custody import Custody, Hold, Keeping
from oracle.audit.custodykey import CustodyKey, read_custody_key, write_custody_key
from oracle.audit.keys import read_key_file
from oracle.audit.log import Keeper, Log, Places
from oracle.audit.record import parse_record
from oracle.audit.retention import parse_retention
from oracle.audit.seal import Sealed
from oracle.audit.server import read_contents
from oracle.audit.store import content as content_table
from oracle.config import ChainConfig, Config, LogConfig, read_secret
from oracle.errors import ConfigRejected, EntryRejected, ErasureHeld, InvariantBroken, LogRefused
from oracle.pipeline.keys import new_log
from oracle.pipeline.log import rotate_custody_key
from oracle.records import Appended, Bytes32, Entry, EntryKind
from oracle.seams import SystemClock
from oracle.store import insert_all, open_database
from tests.twins.logs import check_secret, open_log, secret_entry
from tests.twins.postgres import NewDatabase

KEY = CustodyKey(bytes(range(32)))
CALL = Bytes32(b"\x07" * 32)
LATER = 2_000_000_000


class Scene:
    """Custody on two databases, with rows put where the log would put them."""

    def __init__(self, log: str, custody: str) -> None:
        self.urls = (log, custody)
        self.custody = Custody.open(log, custody, KEY)
        self.log = open_database(log, "log")

    def keep(self, index: int, person: str = "", call_id: Bytes32 | None = None, expires: int = LATER, writer: str = "app") -> Content:
        content = Content(Sealed.of({"audit.user": person or "nobody", "a.number": index}), {"a.body": f"body of {index}".encode()})
        rows = self.custody.keep([Keeping(index, writer, person, call_id, expires, content)])
        with self.log.begin() as connection:
            insert_all(connection, content_table, rows)
        return content

    def subject(self, person: str, writer: str = "app") -> bytes:
        found = self.custody.find_subject(writer, person)
        assert found is not None
        return found

    def ciphertexts(self) -> list[int]:
        with self.log.begin() as connection:
            return sorted({row[0] for row in connection.execute(text('SELECT "index" FROM content'))})

    def execute(self, statement: str, which: int, **values: Any) -> None:
        engine = create_engine(self.urls[which])
        with engine.begin() as connection:
            connection.execute(text(statement), values)
        engine.dispose()

    def again(self, key: CustodyKey = KEY) -> Custody:
        self.custody.close()
        self.custody = Custody.open(*self.urls, key)
        return self.custody


@pytest.fixture
def scene(new_database: NewDatabase) -> Iterator[Scene]:
    made = Scene(new_database(), new_database())
    yield made
    made.custody.close()
    made.log.dispose()


def test_ciphertexts_that_were_just_removed_are_no_empty_content(scene: Scene) -> None:
    """Keys and ciphertexts lie in two databases, and an erasure may come between the reading of the one and of the other."""
    scene.keep(1)
    scene.execute("DELETE FROM content", 0)
    assert scene.custody.content(1) is None


def test_what_is_erased_while_its_reading_is_logged_is_not_shown(tmp_path: Path) -> None:
    log = open_log(tmp_path)
    for number in range(2):
        log.append("app", secret_entry(number))
    append = log.append

    def slowly(writer: str, entry: Entry, key: str | None = None) -> Appended:
        log.custody.destroy_records([0])
        return append(writer, entry, key)

    log.append = slowly  # type: ignore[method-assign]
    assert list(read_contents(log, "reader", 0, 2)["contents"]) == ["1"]
    log.close()


def test_a_record_that_comes_while_its_person_is_erased_is_of_nobody_erased(scene: Scene) -> None:
    """The keys made for it are under a subject that is destroyed with them, or under a new one: never under one that is gone."""
    scene.keep(1, "mary")
    mary = scene.subject("mary")
    custody, log = scene.custody, scene.log
    content = Content(Sealed.of({"audit.user": "mary"}), {})
    original, is_reading, erased = custody._subjects_of, threading.Event(), threading.Event()

    def slowly(*arguments: Any) -> Any:
        found = original(*arguments)
        is_reading.set()
        erased.wait(1)  # where nobody waits for this transaction, the erasure is done by now
        return found

    def erase() -> None:
        is_reading.wait()
        custody.destroy_subject(mary)
        erased.set()

    thread = threading.Thread(target=erase)
    thread.start()
    custody._subjects_of = slowly  # type: ignore[method-assign]
    rows = custody.keep([Keeping(2, "app", "mary", None, LATER, content)])
    thread.join()
    with log.begin() as connection:
        insert_all(connection, content_table, rows)
    assert (custody.state(2) is ContentState.PRESENT) == (custody.content(2) is not None)


# ---- attacks ------------------------------------------------------------------------------------------------------------------------
def test_a_ciphertext_moved_to_another_record_does_not_open(scene: Scene) -> None:
    scene.keep(1, "ann")
    scene.keep(2, "ann")
    scene.execute(
        'UPDATE content SET ciphertext = (SELECT ciphertext FROM content WHERE "index" = 1 AND name = \'a.body\') WHERE "index" = 2', 0
    )
    with pytest.raises(InvariantBroken):
        scene.custody.content(2)


def test_a_wrapped_key_moved_to_another_record_does_not_open(scene: Scene) -> None:
    scene.keep(1, "ann")
    scene.keep(2, "ann")
    scene.execute('UPDATE record_keys SET wrapped_key = (SELECT wrapped_key FROM record_keys WHERE "index" = 1) WHERE "index" = 2', 1)
    with pytest.raises(InvariantBroken):
        scene.custody.content(2)


def test_another_custody_key_opens_nothing(scene: Scene) -> None:
    scene.keep(1)
    with pytest.raises(ConfigRejected, match="custody was begun with"):
        scene.again(CustodyKey.generate())


def test_neither_database_holds_anything_readable(scene: Scene) -> None:
    scene.keep(1, "ann@example.org")
    for which in (0, 1):
        engine = create_engine(scene.urls[which])
        tables = ("content",) if which == 0 else ("subjects", "record_keys", "custody_secrets")
        with engine.begin() as connection:
            everything = b"".join(repr(tuple(row)).encode() for t in tables for row in connection.execute(text(f"SELECT * FROM {t}")))
        engine.dispose()
        assert b"ann" not in everything
        assert b"body of" not in everything
        assert KEY.secret.hex().encode() not in everything


def test_a_backup_of_the_log_does_not_bring_back_what_was_erased(scene: Scene) -> None:
    """The ciphertexts come back; their keys do not: they were never in that database."""
    scene.keep(1, "ann")
    with scene.log.begin() as connection:
        rows = [dict(row) for row in connection.execute(content_table.select()).mappings()]
    scene.custody.destroy_records([1])
    assert scene.ciphertexts() == []
    with scene.log.begin() as connection:
        insert_all(connection, content_table, rows)
    assert scene.custody.content(1) is None
    assert scene.again().content(1) is None
    assert scene.custody.sweep() == 1
    assert scene.ciphertexts() == []


def test_destroyed_keys_are_not_left_in_the_files(tmp_path: Path) -> None:
    """SQLite: neither in free pages nor in the journal."""
    scene = Scene(f"sqlite:///{tmp_path}/log.sqlite", f"sqlite:///{tmp_path}/custody.sqlite")
    for index in range(50):
        scene.keep(index, "ann")
    engine = create_engine(scene.urls[1])
    with engine.begin() as connection:
        wrapped = [row[0] for row in connection.execute(text("SELECT wrapped_key FROM record_keys"))]
        wrapped += [row[0] for row in connection.execute(text("SELECT wrapped_key FROM subjects"))]
    engine.dispose()
    files = lambda: b"".join(p.read_bytes() for p in tmp_path.glob("custody.sqlite*"))  # noqa: E731
    assert all(key in files() for key in wrapped)
    scene.custody.destroy_subject(scene.subject("ann"))
    assert not any(key in files() for key in wrapped)
    scene.custody.close()


# ---- keeping and reading ------------------------------------------------------------------------------------------------------------
def test_what_is_kept_is_read_again(scene: Scene) -> None:
    kept = scene.keep(5, "ann", CALL)
    assert scene.custody.content(5) == kept == scene.again().content(5)
    assert [scene.custody.state(i) for i in (5, 6)] == [ContentState.PRESENT, ContentState.NONE]
    assert scene.custody.content(6) is None
    assert scene.custody.subject_of(6) is None


def test_an_index_that_was_not_committed_is_given_again(scene: Scene) -> None:
    """Keys are durable first: those of a batch whose rows were lost give way to those of the next record at that index."""
    scene.custody.keep([Keeping(0, "app", "ann", None, LATER, Content(None, {"a.b": b"lost"}))])
    kept = scene.keep(0, "bob")
    assert scene.custody.content(0) == kept
    assert scene.custody.records_of(scene.subject("ann")) == []


def test_a_subject_is_one_person_of_one_writer(scene: Scene) -> None:
    for index, (person, writer) in enumerate([("ann", "app"), ("bob", "app"), ("ann", "app"), ("ann", "other"), ("", "app")]):
        scene.keep(index, person, writer=writer)
    ann = scene.subject("ann")
    assert scene.custody.records_of(ann) == [0, 2]
    assert len({scene.custody.subject_of(i) for i in range(5)}) == 4
    assert scene.subject("ann", "other") != ann
    assert scene.custody.find_subject("app", "carol") is None
    with pytest.raises(EntryRejected, match="a person"):
        scene.custody.find_subject("app", "")


# ---- destroying ---------------------------------------------------------------------------------------------------------------------
def test_erasing_records(scene: Scene) -> None:
    kept = [scene.keep(index, "ann") for index in range(4)]
    assert scene.custody.destroy_records([3, 1, 1, 99]) == [1, 3]
    assert scene.custody.destroy_records([3, 1]) == [], "what is destroyed is destroyed once"
    assert [scene.custody.content(i) for i in range(4)] == [kept[0], None, kept[2], None]
    assert [scene.custody.state(i) for i in range(4)] == [ContentState.PRESENT, ContentState.ERASED] * 2
    assert scene.ciphertexts() == [0, 2]


def test_erasing_a_person(scene: Scene) -> None:
    kept = {index: scene.keep(index, person) for index, person in enumerate(["ann", "bob", "ann"])}
    ann = scene.subject("ann")
    assert scene.custody.destroy_subject(ann) == [0, 2]
    assert scene.custody.content(1) == kept[1]
    assert scene.custody.find_subject("app", "ann") is None, "nothing links the person to the records any more"
    scene.keep(3, "ann")
    assert scene.subject("ann") != ann
    assert scene.custody.state(0) is ContentState.ERASED
    assert scene.custody.destroy_subject(ann) == []


def test_what_is_past_its_retention(scene: Scene) -> None:
    for index, expires in enumerate([100, 300, 200, 100]):
        scene.keep(index, expires=expires)
    at = lambda seconds: datetime.fromtimestamp(seconds, UTC)  # noqa: E731
    assert scene.custody.expired(at(99)) == []
    assert scene.custody.expired(at(200)) == [0, 2, 3]
    assert scene.custody.expired(at(200), limit=2) == [0, 2]
    scene.custody.place_hold(Hold("h", first_index=2, last_index=2))
    scene.custody.destroy_records([0])
    assert scene.custody.expired(at(1000)) == [1, 3]


# ---- holds --------------------------------------------------------------------------------------------------------------------------
def hold_of(scene: Scene, name: str) -> Hold:
    return {
        "everything": Hold("h"),
        "a range": Hold("h", first_index=1, last_index=2),
        "from an index on": Hold("h", first_index=2),
        "a call": Hold("h", call_id=CALL),
        "a person": Hold("h", subject=scene.subject("ann")),
        "a person in a range": Hold("h", subject=scene.subject("ann"), first_index=2),
    }[name]


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("everything", {0, 1, 2, 3}),
        ("a range", {1, 2}),
        ("from an index on", {2, 3}),
        ("a call", {1, 3}),
        ("a person", {0, 2}),
        ("a person in a range", {2}),
    ],
)
def test_what_a_hold_keeps(scene: Scene, name: str, held: set[int]) -> None:
    for index, (person, call_id) in enumerate([("ann", None), ("bob", CALL), ("ann", None), ("", CALL)]):
        scene.keep(index, person, call_id, expires=1)
    hold = hold_of(scene, name)
    scene.custody.place_hold(hold)
    scene.custody.place_hold(hold)
    assert scene.custody.holds() == [hold]
    for index in range(4):
        assert scene.custody.holds(index) == ([hold] if index in held else [])
        if index in held:
            with pytest.raises(ErasureHeld, match=f"entry {index}"):
                scene.custody.destroy_records([index])
    assert scene.custody.expired(datetime.now(UTC)) == sorted({0, 1, 2, 3} - held)
    with pytest.raises(ErasureHeld):
        scene.custody.destroy_records([0, 1, 2, 3])
    assert [scene.custody.state(i) for i in range(4)] == [ContentState.PRESENT] * 4, "one that is held keeps all that were named with it"
    scene.custody.release_hold("h")
    assert scene.custody.destroy_records([0, 1, 2, 3]) == [0, 1, 2, 3]


def test_a_hold_on_one_record_keeps_its_person_from_erasure(scene: Scene) -> None:
    scene.keep(0, "ann")
    scene.keep(1, "ann")
    scene.custody.place_hold(Hold("h", first_index=1, last_index=1))
    with pytest.raises(ErasureHeld):
        scene.custody.destroy_subject(scene.subject("ann"))
    assert scene.custody.content(0) is not None


def test_a_hold_and_an_erasure_at_once(scene: Scene) -> None:
    """Whichever comes first: a record that is held after its hold was placed is never found erased by a later one."""
    for index in range(40):
        scene.keep(index)
    erased: list[int] = []
    placed: dict[int, bool] = {}  # by index: was it still there when its hold stood?

    def erase() -> None:
        for index in range(40):
            with suppress(ErasureHeld):
                erased.extend(scene.custody.destroy_records([index]))

    def hold() -> None:
        for index in reversed(range(40)):
            scene.custody.place_hold(Hold(f"h{index}", first_index=index, last_index=index))
            placed[index] = scene.custody.state(index) is ContentState.PRESENT

    threads = [threading.Thread(target=erase), threading.Thread(target=hold)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {i for i, is_there in placed.items() if is_there} == {i for i in range(40) if i not in erased}


# ---- the custody key ----------------------------------------------------------------------------------------------------------------
def test_rotating_the_custody_key(scene: Scene) -> None:
    kept = [scene.keep(0, "ann"), scene.keep(1, "bob"), scene.keep(2, "carl")]
    scene.custody.destroy_subject(scene.subject("carl"))
    subject, new = scene.subject("ann"), CustodyKey.generate()
    assert scene.custody.rotate(new) == 2
    assert scene.custody.content(0) == kept[0]
    assert scene.again(new).content(1) == kept[1]
    assert scene.subject("ann") == subject
    assert scene.custody.content(2) is None
    with pytest.raises(ConfigRejected):
        scene.again(KEY)


def test_the_key_file(tmp_path: Path) -> None:
    path = tmp_path / "custody-key.json"
    write_custody_key(path, KEY, "a long password")
    assert read_custody_key(path, "a long password") == KEY
    assert KEY.secret.hex() not in path.read_text()
    with pytest.raises(ConfigRejected, match="existing"):
        write_custody_key(path, KEY, "a long password")
    with pytest.raises(ConfigRejected, match="right password"):
        read_custody_key(path, "another password")
    path.write_text(path.read_text().replace(KEY.id.hex(), "00" * 8))
    with pytest.raises(ConfigRejected):
        read_custody_key(path, "a long password")


def test_rotating_by_command(tmp_path: Path) -> None:
    """Keys, file and record change together; the old password opens nothing any more."""
    for name, password in (
        ("password", "the password of the log"),
        ("custodian", "the custodian's password"),
        ("next", "the next custodian's"),
    ):
        (tmp_path / name).write_text(password + "\n")
        (tmp_path / name).chmod(0o600)
    made = new_log(tmp_path / "keys", "log.example/affidavit", tmp_path / "password", ["app"], [], tmp_path / "custodian")
    database = lambda name: f"sqlite:///{tmp_path}/{name}.sqlite"  # noqa: E731
    settings = LogConfig(
        listen="127.0.0.1:1",
        origin="log.example/affidavit",
        directory=tmp_path / "log",
        database=database("log"),
        checkpoint_database=database("checkpoint"),
        custody_database=database("custody"),
        custody_key_file=made.custody_key_file,
        custody_password_file=tmp_path / "custodian",
        key_file=made.key_file,
        password_file=tmp_path / "password",
        tokens_file=made.tokens_file,
    )
    config = Config(ChainConfig("http://127.0.0.1:1", tmp_path / "deployment.json"), log=settings)
    log = start(settings)
    log.append("app", secret_entry(0, person="ann"))
    with pytest.raises(LogRefused, match="another process"):
        rotate_custody_key(config, tmp_path / "next")
    log.close()
    (tmp_path / "keys/custody-key.new.json").unlink()
    assert rotate_custody_key(config, tmp_path / "next") == made.custody_key_file
    with pytest.raises(ConfigRejected, match="right password"):
        start(settings)
    log = start(replace(settings, custody_password_file=tmp_path / "next"))
    check_secret(log, 0, 0)
    told = parse_record(log.entries.read(1, 2)[0].record)
    assert (told.kind, told.fields["audit.key.kind"]) == (EntryKind.KEY_ROTATION, "custody")
    log.close()


def start(settings: LogConfig) -> Log:
    key = read_custody_key(settings.custody_key_file, read_secret(settings.custody_password_file))
    places = Places(settings.directory, settings.database, settings.checkpoint_database, settings.custody_database)
    signer = read_key_file(settings.key_file, read_secret(settings.password_file))
    return Log.open(places, signer, Keeper(key, parse_retention(settings.retention)), SystemClock())
