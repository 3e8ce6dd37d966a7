"""The tries of a block: the Merkle-Patricia trees over its transactions and its receipts, and proofs of one item.

A block's header holds the roots, and its hash is the hash of the header. So a proof of a receipt together with the header shows, to
anybody who knows the block's hash, what happened in it. Sources: Ethereum yellow paper, appendices B (RLP), C (hex-prefix) and D (trie).
What is made here is checked by `oracle.audit.bundle_verify`, which shares no code with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oracle.encoding import keccak256
from oracle.errors import InvariantBroken

Item = bytes | Sequence["Item"]
"""What RLP writes: bytes, or a list of items."""

_Pairs = Sequence[tuple[tuple[int, ...], bytes]]
_Node = list["bytes | _Node"]


def encode_rlp(item: Item) -> bytes:
    """The RLP of bytes or of a list."""
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _prefixed(0x80, item)
    return _prefixed(0xC0, b"".join(encode_rlp(part) for part in item))


def _prefixed(base: int, content: bytes) -> bytes:
    if len(content) < 56:
        return bytes([base + len(content)]) + content
    size = encode_number(len(content))
    return bytes([base + 55 + len(size)]) + size + content


def encode_number(value: int) -> bytes:
    """Big-endian, without leading zeroes; nothing for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


@dataclass(frozen=True, slots=True)
class Trie:
    """The trie over a block's items in their order, keyed by the RLP of their index."""

    root: bytes  # its hash, 32 bytes
    nodes: dict[bytes, tuple[bytes, _Node]]  # by hash: the encoding, and what it encodes

    @classmethod
    def of(cls, items: Sequence[bytes]) -> Trie:
        return cls.over({encode_rlp(encode_number(index)): item for index, item in enumerate(items)})

    @classmethod
    def over(cls, items: dict[bytes, bytes]) -> Trie:
        """The trie of any keys, none of which is empty."""
        nodes: dict[bytes, tuple[bytes, _Node]] = {}
        node = _build(sorted((_nibbles(key), value) for key, value in items.items()), nodes)
        encoded = encode_rlp(node)
        root = keccak256(encoded)
        if isinstance(node, list):
            nodes[root] = (encoded, node)
        return cls(root, nodes)

    def prove(self, index: int) -> list[bytes]:
        """The encodings of the nodes on the path to item `index`, the root's first."""
        return self.prove_key(encode_rlp(encode_number(index)))

    def prove_key(self, key: bytes) -> list[bytes]:
        """Raises InvariantBroken for a key that is not there."""
        path, proof, reference = _nibbles(key), [], self.root
        while True:
            encoded, node = self.nodes[reference]
            proof.append(encoded)
            found, path = _follow(node, path)
            while isinstance(found, list):  # short enough to stand in its parent
                found, path = _follow(found, path)
            if not path:
                return proof
            reference = found


def _nibbles(key: bytes) -> tuple[int, ...]:
    return (*(nibble for byte in key for nibble in (byte >> 4, byte & 15)), _END)


_END = 16
"""Stands at the end of every path: a leaf's flag, and a branch's place for its own value."""


def _build(pairs: _Pairs, nodes: dict[bytes, tuple[bytes, _Node]]) -> bytes | _Node:
    if not pairs:
        return b""
    if len(pairs) == 1:
        return [_pack_path(pairs[0][0]), pairs[0][1]]
    shared = _shared_length(pairs[0][0], pairs[-1][0])
    if shared:
        rest = [(path[shared:], value) for path, value in pairs]
        return [_pack_path(pairs[0][0][:shared]), _refer(_build(rest, nodes), nodes)]
    children = [[(path[1:], value) for path, value in pairs if path[0] == nibble] for nibble in range(_END)]
    own = next((value for path, value in pairs if path[0] == _END), b"")
    return [*(_refer(_build(child, nodes), nodes) for child in children), own]


def _refer(node: bytes | _Node, nodes: dict[bytes, tuple[bytes, _Node]]) -> bytes | _Node:
    """How a parent names its child: by hash, or by the child itself where that is shorter."""
    encoded = encode_rlp(node)
    if not isinstance(node, list) or len(encoded) < 32:
        return node
    digest = keccak256(encoded)
    nodes[digest] = (encoded, node)
    return digest


def _shared_length(first: tuple[int, ...], last: tuple[int, ...]) -> int:
    """How far sorted paths go together."""
    shared = 0
    while first[shared] == last[shared] != _END:
        shared += 1
    return shared


def _pack_path(path: tuple[int, ...]) -> bytes:
    """Hex-prefix: a nibble of flags (2: leaf, 1: an odd number of nibbles follows), filled up to bytes."""
    is_leaf = path[-1] == _END
    nibbles = path[:-1] if is_leaf else path
    flag = 2 * is_leaf + len(nibbles) % 2
    filled = (flag, *nibbles) if flag & 1 else (flag, 0, *nibbles)
    return bytes(high << 4 | low for high, low in zip(filled[::2], filled[1::2], strict=True))


def _follow(node: _Node, path: tuple[int, ...]) -> tuple[bytes | _Node, tuple[int, ...]]:
    """(the child or the value, what is left of the path)."""
    if len(node) == 17:
        return node[path[0]], path[1:]
    flags = node[0]
    if not isinstance(flags, bytes):
        raise InvariantBroken("a trie node without a path")
    count = 2 * len(flags) - (1 if flags[0] >> 4 & 1 else 2)
    is_leaf = flags[0] >> 4 >= 2
    if _pack_path(path if is_leaf else path[:count]) != flags:
        raise InvariantBroken("a key that is not in this trie")
    return node[1], path[count + is_leaf :]
