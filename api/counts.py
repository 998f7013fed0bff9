"""How many entries a list has, remembered until something happens: counting them costs more than a page of them."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

MOST_COUNTED: Final = 5_000


class Counts:
    """By what was asked, whichever page of it; ``position`` is how far the read model is known to be."""

    def __init__(self) -> None:
        self._counted: OrderedDict[bytes, tuple[int, int]] = OrderedDict()

    def of(self, asked: bytes, position: int) -> int | None:
        """The number, if nothing has happened since it was counted."""
        total, counted_at = self._counted.get(_short(asked), (0, -1))
        return total if counted_at >= position else None

    def keep(self, asked: bytes, total: int, position: int) -> None:
        """``position`` is what was known before it was counted."""
        question = _short(asked)
        self._counted[question] = (total, position)
        self._counted.move_to_end(question)
        if len(self._counted) > MOST_COUNTED:
            self._counted.popitem(last=False)


def _short(asked: bytes) -> bytes:
    """In a question there may be all listings of a collection, and many questions are remembered."""
    return blake2b(asked, digest_size=32).digest()
