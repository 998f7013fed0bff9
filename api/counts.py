"""How many entries a list has, remembered for a moment: counting them costs more than showing a page of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from time import monotonic
from typing import Final

import msgspec

MOST_COUNTED: Final = 5_000
FOR: Final = 1.0
"""Seconds for which a number stands although something has happened since, for whoever does not wait for just that."""


class _Counted(msgspec.Struct, frozen=True):
    total: int
    position: int
    until: float


class Counts:
    """By what was asked; ``position`` is how far the read model was known to be before it was counted."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._counted: OrderedDict[bytes, _Counted] = OrderedDict()

    def of(self, asked: bytes, *, position: int, wanted: int) -> int | None:
        """The number, if nothing has happened since, or but lately and nothing that the reader must see."""
        counted = self._counted.get(_short(asked))
        if counted is None:
            return None
        lately = counted.position >= wanted and self._clock() < counted.until
        return counted.total if lately or counted.position >= position else None

    def keep(self, asked: bytes, total: int, position: int) -> None:
        question = _short(asked)
        self._counted[question] = _Counted(total, position, self._clock() + FOR)
        self._counted.move_to_end(question)
        if len(self._counted) > MOST_COUNTED:
            self._counted.popitem(last=False)


def _short(asked: bytes) -> bytes:
    """In a question there may be all listings of a collection, and many questions are remembered."""
    return blake2b(asked, digest_size=32).digest()
