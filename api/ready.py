"""Products at hand as ready bytes, for as long as the catalogue has not moved since they were read."""

from __future__ import annotations

from collections import OrderedDict
from time import monotonic
from typing import Final

import msgspec

from api.reading import Positions

MOST_AT_HAND: Final = 5_000
AT_MOST: Final = 1.0
"""Seconds; an upper bound, should the message that the catalogue has moved have been lost."""


class Ready(msgspec.Struct, frozen=True):
    body: bytes
    headers: list[tuple[bytes, bytes]]
    position: int
    until: float


class ReadyProducts:
    """Holds what everybody may see. ``listening`` says whether we hear of what happens to the catalogue."""

    read_model: Final = "products"

    def __init__(self) -> None:
        self._positions: Positions | None = None
        self._products: OrderedDict[str, Ready] = OrderedDict()

    def follow(self, positions: Positions | None) -> None:
        """Hold products while these positions are told to us; nothing while they are not."""
        self._positions = positions
        self._products.clear()

    def at(self, reference: str) -> Ready | None:
        ready = self._products.get(reference)
        if ready is None or self._positions is None:
            return None
        if self._positions.known(self.read_model) != ready.position or monotonic() > ready.until:
            del self._products[reference]
            return None
        return ready

    def keep(self, reference: str, body: bytes, position: int) -> None:
        """``position`` is what was known before the product was read, so that it is in there for sure."""
        if self._positions is None or not position:
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-log-position", b"%d" % position),
        ]
        self._products[reference] = Ready(body, headers, position, monotonic() + AT_MOST)
        if len(self._products) > MOST_AT_HAND:
            self._products.popitem(last=False)
