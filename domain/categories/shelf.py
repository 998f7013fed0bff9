"""A shelf: how many listings of some are in a category.

A category may only go when nothing is in it, and no decision may ask a read model. So every listing is counted in the
same append that brings it into a category. One count per category would make all who offer something in it wait for
each other; there are several, by the listing's number, and whoever deletes the category looks at them all.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from domain.categories.events import ListingShelved, ListingUnshelved, ShelfEvent
from domain.kernel import Decider


class Shelf(msgspec.Struct, frozen=True):
    listings: int = 0

    @classmethod
    def evolve(cls, shelf: Shelf | None, event: ShelfEvent) -> Shelf:
        listings = shelf.listings if shelf else 0
        match event:
            case ListingShelved():
                return cls(listings + 1)
            case ListingUnshelved():
                return cls(listings - 1)
            case _:
                assert_never(event)


CATEGORY_SHELVES: Decider[Shelf, ShelfEvent] = Decider("category_shelves", Shelf.evolve, snapshot=Shelf)
