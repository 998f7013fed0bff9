"""The fonts of invoices, whatever the machine has, and what stands for a character that none of them has."""

from __future__ import annotations

import re
import tempfile
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Final

import pymupdf_fonts
import typst
from anyascii import anyascii

FAMILIES: Final = ("Libertinus Serif", "FiraGO", "Noto Sans CJK SC", "DejaVu Sans Mono")
"""In the order in which they are asked. After them Typst asks all others that there are."""

_STANDARD: Final = "ua-1"
"""PDF/UA, which screen readers can read: nothing is written there in a character that has no glyph."""

_JOINER: Final = "\u200d"
_NOT_ALONE: Final = frozenset({"Mn", "Mc", "Me", "Cf", "Sk"})
"""Categories of marks, of what is not printed, and of modifiers, such as the colour of somebody's skin."""
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\ufeff]")
_TRIAL: Final = '#set document(title: "-", date: none)\n#set text(font: {families})\n'
_PLACE = re.compile(r"\.typ:(\d+):")


class TypstPanicError(Exception):
    """Typst has come upon a state that its authors took for impossible, as with marks that stand on nothing."""


class Fonts:
    """Typst's own (Latin, Greek, Cyrillic, Hebrew, Armenian), FiraGO (Arabic, Thai, Devanagari, Georgian), Noto's CJK.

    ``further`` are folders with more, for what those do not have. All are looked through once, here.
    """

    def __init__(self, further: Sequence[Path] = ()) -> None:
        families = ", ".join(f'"{family}"' for family in FAMILIES)
        self._trial = _TRIAL.format(families=f"({families})")
        cjk = Path(str(files("noto_cjk_sans_otc")))
        with tempfile.TemporaryDirectory(prefix="tradelog-fonts-") as folder:
            unpacked = Path(folder)
            # Typst reads a font from its file when it first needs it, and keeps it. This one comes in a Python module.
            (unpacked / "FiraGO-Regular.ttf").write_bytes(pymupdf_fonts.myfont("figo"))
            self._all = typst.Fonts(include_system_fonts=False, font_paths=[unpacked, cjk, *further])
            lacking = self.missing(["\N{THAI CHARACTER KO KAI}"])
        assert not lacking, "FiraGO has Thai, and is read by now"

    def pdf(self, source: bytes, inputs: Mapping[str, str] | None = None) -> bytes:
        """``TypstError`` if something has no glyph, ``TypstPanicError`` where Typst itself fails."""
        try:
            made = typst.compile(
                source, sys_inputs=dict(inputs or {}), font_paths=self._all, pdf_standards=_STANDARD
            )
        except Exception:
            raise
        except BaseException as panic:
            # What panics in Rust is no Exception in Python, which would end more than an invoice.
            if type(panic).__name__ != "PanicException":
                raise
            raise TypstPanicError(str(panic)) from panic
        assert isinstance(made, bytes), "one document is one file"
        return made

    def missing(self, characters: Iterable[str]) -> set[str]:
        """Those without a glyph. Each is a character with what is put on it, and tried apart from the others."""
        asked = sorted(set(characters))
        escaped = ("".join(f"\\u{{{ord(each):x}}}" for each in character) for character in asked)
        try:
            self.pdf((self._trial + "\n".join(f'#par[#text("x{each}x")]' for each in escaped)).encode())
        except typst.TypstError as refused:
            # It names the line of each character that it cannot show.
            first = self._trial.count("\n") + 1
            return {asked[int(line) - first] for line in _PLACE.findall(refused.diagnostic)}
        return set()


def characters_of(text: str) -> Iterator[str]:
    """Letters with the marks that are put on them, and pictures that are joined to one. What nobody sees is a space."""
    seen = _UNSEEN.sub(" ", text)
    start = 0
    for place in range(1, len(seen) + 1):
        if place < len(seen):
            kind = unicodedata.category(seen[place])
            if kind in _NOT_ALONE or seen[place - 1] == _JOINER:
                continue
        yield seen[start:place]
        start = place


def in_latin(text: str, missing: Collection[str]) -> str:
    """``Lamp [:tada:]``: what is missing in Latin letters, or by its number where those have nothing for it."""
    parts = groupby(characters_of(text), key=missing.__contains__)
    return "".join(_romanized("".join(run)) if is_missing else "".join(run) for is_missing, run in parts)


def _romanized(run: str) -> str:
    letters = "".join(
        anyascii(each) or ("" if unicodedata.category(each) in _NOT_ALONE else f"U+{ord(each):04X}")
        for each in run
    )
    return f"[{letters}]" if letters else ""
