"""What a change of one product means to the lists of others: whether it may have to show up there now, or elsewhere.

A list that shows the product is another one anyway. These words are for the many that do not: a sale that leaves
something on the shelf, a corrected draft, or a word of a review that is taken back concern none of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from projections.products.product import Product

LISTED: Final = "listed"
"""It came, went, or is said to be something else: any list may have to show it now, or in another place."""

RATED: Final = "rated"
"""Another rating: of concern where products are found or sorted by it."""

IN_STOCK: Final = "in_stock"
"""The last one was sold, or there are some again: of concern where only what can be had is asked for."""

_COUNTED: Final = frozenset({"stock", "reserved"})
_ELSEWHERE: Final = frozenset(
    {"listing", "updated_at", "opinions", "review_count", "rating_sum", "own_count", "version"}
)
"""What no list is chosen or sorted by, or what is looked at by its own name below."""


def effects_on_lists(before: Product | None, after: Product | None) -> Collection[str]:
    shown = [product for product in (before, after) if product is not None and product.visible]
    if not shown:
        return ()
    if before is None or after is None or len(shown) == 1:
        return (LISTED,)
    effects = []
    if _differ(before, after, _ELSEWHERE) or _differ(before.listing, after.listing, _COUNTED):
        effects.append(LISTED)
    if (before.rating, before.review_count) != (after.rating, after.review_count):
        effects.append(RATED)
    if (before.listing.available > 0) != (after.listing.available > 0):
        effects.append(IN_STOCK)
    return effects


def _differ(before: msgspec.Struct, after: msgspec.Struct, but_for: Collection[str]) -> bool:
    """A field that nobody has thought of here counts."""
    return any(
        getattr(before, name) != getattr(after, name)
        for name in before.__struct_fields__
        if name not in but_for
    )
