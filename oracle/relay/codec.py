"""The ABI codec for what strangers wrote: a text that is none must not hide what stands beside it, such as a model behind its data URI."""

from __future__ import annotations

from typing import Any

from eth_abi.codec import ABICodec, ABIDecoder
from eth_abi.decoding import StringDecoder
from eth_abi.registry import BaseEquals
from eth_abi.registry import registry as default_registry


class _Tolerant(ABICodec):
    """Encodes as the codec it is made of, and reads texts with what is no UTF-8 in them replaced by U+FFFD."""

    def __init__(self, strict: ABICodec) -> None:
        super().__init__(strict._registry)
        readers = default_registry.copy()  # type: ignore[no-untyped-call]
        readers.unregister_decoder("string")
        reader = StringDecoder(handle_string_errors="replace")  # type: ignore[no-untyped-call]
        readers.register_decoder(BaseEquals("string", with_sub=False), reader, label="string")  # type: ignore[no-untyped-call]
        self._reader = ABIDecoder(readers)

    def decode(self, *arguments: Any, **settings: Any) -> tuple[Any, ...]:
        return self._reader.decode(*arguments, **settings)


def make_tolerant(strict: ABICodec) -> ABICodec:
    """A codec that differs from `strict` in one thing: it reads every text."""
    return _Tolerant(strict)
