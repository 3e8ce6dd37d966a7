"""The letters of a PDF, embedded: DejaVu where the machine has it (Latin, Greek, Cyrillic and more), else the Vera that reportlab brings.

Debian has DejaVu in `fonts-dejavu-core`. A letter that the font does not have is written as its code point, never as an empty box.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

PLACES = (
    "/usr/share/fonts/truetype/dejavu",  # Debian, Ubuntu
    "/usr/share/fonts/dejavu-sans-fonts",  # Fedora
    "/usr/share/fonts/TTF",  # Arch
    "/usr/share/fonts/dejavu",  # Alpine
)
VARIABLE = "AFFIDAVIT_FONTS"
"""A folder to look into first."""


@dataclass(frozen=True)
class Fonts:
    """Names that reportlab knows the faces by, and which characters they all have."""

    plain: str
    bold: str
    mono: str
    known: frozenset[int]

    def writable(self, text: str) -> str:
        """The text, with code points for the letters there are no glyphs for."""
        if all(ord(c) in self.known or c == "\n" for c in text):
            return text
        return "".join(c if ord(c) in self.known or c == "\n" else f"<U+{ord(c):04X}>" for c in text)


@cache
def load_fonts(places: tuple[str, ...] | None = None) -> Fonts:
    """Registers the faces, once for each list of places."""
    given = os.environ.get(VARIABLE)
    for place in places if places is not None else (*((given,) if given else ()), *PLACES):
        faces = {face: Path(place) / f"DejaVuSans{suffix}.ttf" for face, suffix in (("", ""), ("-Bold", "-Bold"), ("-Mono", "Mono"))}
        if all(path.is_file() for path in faces.values()):
            return _register("DejaVu", faces)
    vera = Path(reportlab.__file__).parent / "fonts"
    return _register("Vera", {"": vera / "Vera.ttf", "-Bold": vera / "VeraBd.ttf", "-Mono": vera / "Vera.ttf"})


def _register(family: str, faces: Mapping[str, Path]) -> Fonts:
    known: frozenset[int] | None = None
    for face, path in faces.items():
        font = TTFont(f"{family}{face}", str(path))
        pdfmetrics.registerFont(font)
        here = frozenset(font.face.charToGlyph)
        known = here if known is None else known & here
    return Fonts(family, f"{family}-Bold", f"{family}-Mono", known or frozenset())
