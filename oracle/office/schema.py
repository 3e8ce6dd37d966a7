"""The office's tables. Migrations make the same. What a case's states mean stands in `oracle.office.cases`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData()
_ID = BigInteger().with_variant(Integer, "sqlite")

ACTORS = Table("actors", METADATA, Column("person", String(800), primary_key=True), Column("actor", String(64)))
"""Who is behind a pseudonym. Nowhere else does a person's name stand beside the id that records have."""

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("digest", LargeBinary(32), primary_key=True),  # of the cookie's value, which is kept nowhere
    Column("person", String(800)),
    Column("name", String(300)),
    Column("via", String(8)),
    Column("token_digest", LargeBinary(32)),  # of the token it was opened with; another token in the people file ends the session
    Column("roles", Text),
    Column("last_seen", BigInteger),
    Column("expires", BigInteger),
)
SIGN_INS = Table(
    "sign_ins",
    METADATA,
    Column("state_digest", LargeBinary(32), primary_key=True),
    Column("browser_digest", LargeBinary(32)),
    Column("nonce", String(64)),
    Column("verifier", String(128)),
    Column("expires", BigInteger),
)
CASES = Table(
    "cases",
    METADATA,
    Column("number", _ID, primary_key=True, autoincrement=True),
    Column("id", String(32)),
    Column("kind", String(16)),
    Column("state", String(20)),
    Column("requester", String(64)),
    Column("requested", String(32)),
    Column("until", String(32)),
    Column("details", Text),
    Column("problem", Text),
)
TRANSITIONS = Table(
    "transitions",
    METADATA,
    Column("case_id", String(32), ForeignKey("cases.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(24)),
    Column("actor", String(64)),
    Column("time", String(32)),
    Column("until", String(32)),
    Column("entry", Text),  # what is to be appended; gone once it is in the log
    Column("index", BigInteger),  # where it is in the log; null while that is not known
)
NAMED_ENTRIES = Table(
    "named_entries",
    METADATA,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("case_id", String(32), ForeignKey("cases.id"), primary_key=True),
)
"""Which entries of the log a case is about, so that an entry's page finds its reviews and disclosures."""
