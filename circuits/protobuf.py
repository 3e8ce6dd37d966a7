"""The protocol buffer wire format, as far as writing an ONNX file needs it.

Our own few lines instead of a library, so that the bytes of a file depend on nothing but its content: fields in
ascending number, minimal varints, no unknown fields. Source: protobuf.dev, "Encoding".
"""

from __future__ import annotations

VARINT, LENGTH_DELIMITED = 0, 2


def encode_varint(value: int) -> bytes:
    """Base-128, least significant group first; a negative number as its 64-bit two's complement."""
    value %= 1 << 64
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(field: int, value: int) -> bytes:
    return encode_varint(field << 3 | VARINT) + encode_varint(value)


def data(field: int, value: bytes) -> bytes:
    """A bytes field or an embedded message."""
    return encode_varint(field << 3 | LENGTH_DELIMITED) + encode_varint(len(value)) + value


def text(field: int, value: str) -> bytes:
    return data(field, value.encode())
