"""What both engines count alike: which facets there are, in which ranges and order, and how many values of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from projections.products.query import Facet, FacetValue, ProductFilter

PRICE_STEPS: Final = (0, 25, 50, 100, 250, 500, 1000, 2500)
"""Where the ranges of the price facet begin, in units of the currency."""

OWN: Final = ("category", "brand", "price")
"""The facets that are no attributes."""

ATTRIBUTES: Final = ""
"""All those together that nothing is filtered by."""

MOST_VALUES: Final = 100
MOST_FACTS: Final = 1_000


def is_counted(asked: ProductFilter, name: str) -> bool:
    return bool(name) and (asked.every_facet or name in asked.facets)


def in_order(found: Mapping[str, Sequence[FacetValue]]) -> list[Facet]:
    """``category``, ``brand`` and ``price`` first, then the attributes by their keys; none without a value."""
    names = [*OWN, *sorted(found.keys() - set(OWN))]
    return [Facet(name=name, values=found[name]) for name in names if name in found]
