"""Seeded damage: other bytes near the true ones, each with a name, for parsers that must refuse every one of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

Damage = Callable[[random.Random, bytes], bytes]


def flip_bit(r: random.Random, data: bytes) -> bytes:
    at = r.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << r.randrange(8)]) + data[at + 1 :]


def replace_byte(r: random.Random, data: bytes) -> bytes:
    at = r.randrange(len(data))
    return data[:at] + bytes([r.randrange(256)]) + data[at + 1 :]


def insert_bytes(r: random.Random, data: bytes) -> bytes:
    at = r.randrange(len(data) + 1)
    return data[:at] + r.randbytes(r.randint(1, 4)) + data[at:]


def insert_space(r: random.Random, data: bytes) -> bytes:
    at = r.randrange(len(data) + 1)
    return data[:at] + r.choice([b" ", b"\n", b"\t", b"\r\n", b"\x00", "\u00a0".encode(), b"=", b"0"]) + data[at:]


def delete_bytes(r: random.Random, data: bytes) -> bytes:
    at = r.randrange(len(data))
    return data[:at] + data[at + r.randint(1, 8) :]


def cut_tail(r: random.Random, data: bytes) -> bytes:
    return data[: r.randrange(len(data))]


def cut_head(r: random.Random, data: bytes) -> bytes:
    return data[r.randint(1, len(data)) :]


def repeat_part(r: random.Random, data: bytes) -> bytes:
    start = r.randrange(len(data))
    end = min(len(data), start + r.randint(1, 40))
    return data[:end] + data[start:end] + data[end:]


def swap_parts(r: random.Random, data: bytes) -> bytes:
    if len(data) < 2:
        return data * 2
    a, b, c = sorted(r.sample(range(len(data) + 1), 3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def repeat_line(r: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    at = r.randrange(len(lines))
    return b"".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


def drop_line(r: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[r.randrange(len(lines))]
    return b"".join(lines)


def swap_lines(r: random.Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True)
    if len(lines) > 1:
        a, b = r.sample(range(len(lines)), 2)
        lines[a], lines[b] = lines[b], lines[a]
    return b"".join(lines)


BYTES: tuple[Damage, ...] = (
    flip_bit,
    replace_byte,
    insert_bytes,
    insert_space,
    delete_bytes,
    cut_tail,
    cut_head,
    repeat_part,
    swap_parts,
)
LINES: tuple[Damage, ...] = (repeat_line, drop_line, swap_lines)


def mutations(data: bytes, count: int, seed: int = 4, damages: tuple[Damage, ...] = BYTES + LINES) -> Iterator[tuple[str, bytes]]:
    """`count` different (name, bytes), none of them `data`; the same for the same seed."""
    r, seen = random.Random(seed), {data}
    while len(seen) <= count:
        damage = r.choice(damages)
        changed = damage(r, data)
        for _ in range(r.choice([0, 0, 0, 1, 2])):  # some are damaged more than once
            damage = r.choice(damages)
            changed = damage(r, changed) if changed else changed
        if changed not in seen:
            seen.add(changed)
            yield f"{damage.__name__} {len(seen) - 1}", changed
