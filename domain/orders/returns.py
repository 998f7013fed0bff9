"""Returns: what comes back of an order, and what that was worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import msgspec

from domain.kernel import ListingId
from domain.money import Money
from domain.orders.events import OrderLine, ReturnStatus

OPEN_RETURNS = frozenset({ReturnStatus.REQUESTED, ReturnStatus.APPROVED})


class Return(msgspec.Struct, frozen=True, kw_only=True):
    """``lines`` are the units of each listing that come back; ``refund`` is what was asked back for them."""

    id: UUID
    lines: dict[ListingId, int]
    reason: str
    status: ReturnStatus
    requested_at: datetime
    resolved_at: datetime | None = None
    received_at: datetime | None = None
    rejection: str = ""
    restocked: bool = False
    refund: Money = Money(0)
    refund_id: str = ""

    @property
    def arrived(self) -> bool:
        return self.received_at is not None


def units_of(returns: Iterable[Return]) -> dict[ListingId, int]:
    """How many of each listing they are together."""
    units: dict[ListingId, int] = {}
    for each in returns:
        for listing_id, quantity in each.lines.items():
            units[listing_id] = units.get(listing_id, 0) + quantity
    return units


def worth_of(
    lines: Iterable[OrderLine], tax: Money, shipping: Money, units: Mapping[ListingId, int]
) -> Money:
    """What so many units of these lines were sold for, with their part of ``tax``; and, of all of them, ``shipping``.

    Of several returns each is worth what this grows by: so all that comes back of an order is worth its total, to the
    cent, in how many parts it may come (half up, C48).
    """
    whole = back = 0
    everything = True
    for line in lines:
        charged = (line.discounted_total - line.promotion_discount).minor
        quantity = min(units.get(line.listing_id, 0), line.quantity)
        whole += charged
        back += _part(charged, quantity, line.quantity)
        everything = everything and quantity == line.quantity
    if everything:
        return Money(whole, tax.currency) + tax + shipping
    return Money(back + _part(tax.minor, back, whole), tax.currency)


def _part(amount: int, of: int, whole: int) -> int:
    if not whole:
        return 0
    return int((Decimal(amount) * of / whole).quantize(Decimal(1), rounding=ROUND_HALF_UP))
