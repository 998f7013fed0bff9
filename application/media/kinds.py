"""What a file is, as its first bytes tell: by what they begin with, viewers know how to read it."""

from __future__ import annotations

from typing import Final

BEGINNING: Final = 32
"""As many bytes as it takes."""

_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""Brands of still pictures and of short sequences in the container of ISO 23008-12; of the latter we show the first."""


def kind_of(beginning: bytes) -> str:
    """One of the types that we take, or nothing."""
    if beginning.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if beginning.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "image/webp"
    if beginning[4:8] == b"ftyp" and beginning[8:12] in _HEIC:
        return "image/heic"
    return ""
