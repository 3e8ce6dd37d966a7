"""What a record can be found by: the words and identifiers in its public text.

    word           a run of letters, digits and underscores, case folded, Unicode NFKC; "gpt-4o" is two of them
    identifier     hex of 8 bytes and more, UUIDs, and words that look like numbers of something: seen once or a few times each
    repeated hex   digests and addresses that stand in many records (a model, a policy, a contract): indexed as words are

Words and repeated hex become terms with a bitmap each. Identifiers, of which a log has more than records, become 64-bit keys: the keyed
BLAKE2b of the text under a key that is random for each index, so that nobody can choose two identifiers with one key.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache

from oracle.audit.record import Record
from oracle.records import FieldValue

KEY_BYTES = 16
MAX_TERM = 200  # characters; what is longer goes by its digest
_MAX_WORD = 48

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{16,128})")
_UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")
_WORD = re.compile(r"\w+")
_REPEATED = {
    "audit.coprocessor",
    "audit.log_id",
    "audit.model.weights_digest",
    "audit.model_id",
    "audit.policy",
    "audit.prompt_template_digest",
    "audit.caller.stream",
}
_TRANSACTIONS = {"audit.transaction", "audit.request.transaction"}
_ADDRESS_DIGITS = 40


@lru_cache(maxsize=1 << 14)
def facet(name: str, value: str) -> str:
    """The term of a field that is filtered by its whole value."""
    return _bounded(f"{name}=", value)


def hex_term(digits: str) -> str:
    return f"hex={digits}"


def _bounded(prefix: str, value: str) -> str:
    """Databases take neither NUL nor terms of any length."""
    if len(value) <= MAX_TERM and value.isprintable():
        return prefix + value
    return f"{prefix}#{hashlib.sha256(value.encode()).hexdigest()}"


def read_hex(text: str) -> str | None:
    """The digits, in lower case and without 0x, where the text is an identifier in hex."""
    match = _HEX.fullmatch(text)
    return match[1].lower() if match else None


class Keys:
    """Identifiers to 64-bit keys, under the index's own key."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def _key(self, space: bytes, text: str) -> int:
        return int.from_bytes(hashlib.blake2b(space + text.encode(), digest_size=8, key=self._secret).digest(), "big")

    def of_hex(self, digits: str) -> int:
        return self._key(b"h", digits)

    def of_transaction(self, digits: str) -> int:
        return self._key(b"t", digits)

    def of_word(self, word: str) -> int:
        return self._key(b"w", word)


def is_identifier(word: str) -> bool:
    """Whether a word is one of very many: long, and with a digit in it, or too long for a word."""
    return len(word) > _MAX_WORD or (len(word) >= 12 and any(c.isdigit() for c in word))


def words(text: str) -> tuple[str, ...]:
    """The words of a text, each once, in their order: of records and of what is searched for alike."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return tuple(dict.fromkeys(_WORD.findall(_UUID.sub(lambda match: match[0].replace("-", ""), folded))))


@lru_cache(maxsize=1 << 14)
def word_terms(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(terms, identifiers) of the words of a text, in a record or searched for."""
    found = words(text)
    return tuple(f"word={word}" for word in found if not is_identifier(word)), tuple(word for word in found if is_identifier(word))


def collect(record: Record, leaf_digits: str, keys: Keys) -> tuple[set[str], set[int]]:
    """The terms and keys of one record, without those of its call."""
    terms = {facet("kind", record.kind), facet("writer", record.writer), f"word={record.kind}"}
    found = {keys.of_hex(leaf_digits)}
    for name, value in _texts(record):
        digits = read_hex(value)
        if digits is None:
            of_words, identifiers = word_terms(value)
            terms.update(of_words)
            found.update(map(keys.of_word, identifiers))
        elif name in _REPEATED or len(digits) == _ADDRESS_DIGITS:
            terms.add(hex_term(digits))
        else:
            found.add(keys.of_hex(digits))
            if name in _TRANSACTIONS:
                found.add(keys.of_transaction(digits))
    return terms, found


def _texts(record: Record) -> Iterator[tuple[str, str]]:
    """Every string in the record's public text, with the name it stands under."""
    yield "audit.writer", record.writer
    if record.previous is not None:
        yield "audit.call.previous_leaf", record.previous.leaf_hash.hex()
    if record.sealed is not None:
        yield "audit.sealed", record.sealed.hex()
    if record.retention is not None:
        yield "audit.retention.class", record.retention
    for name, value in record.fields.items():
        for text in _strings(value):
            yield name, text


def _strings(value: FieldValue) -> Iterable[str]:
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, list) else ()
