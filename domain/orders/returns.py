"""Returns: what comes back of an order, and what that was worth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """What so many units of these lines were sold for, with their part of ``tax``; and, of all, ``shipping``."""
    sold = tuple(lines)
    charged = [((line.discounted_total - line.promotion_discount).minor, line.quantity) for line in sold]
    back = [units.get(line.listing_id, 0) for line in sold]
    return Money(sum(worth_by_line(charged, back, tax.minor, shipping.minor)), tax.currency)


def worth_by_line(
    charged: Sequence[tuple[int, int]], back: Sequence[int], tax: int, shipping: int
) -> list[int]:
    """The same by line, and then what is not the goods': tax and shipping. All sums are in minor units.

    ``charged`` is what each line came to and of how many units it was, ``back`` how many of these come back. Of
    several returns each is worth what this grows by: so all that comes back of an order is worth its total, to the
    cent, in how many parts it may come (half up, C48).
    """
    of_lines = zip(charged, back, strict=True)
    goods = [_part(amount, min(units, quantity), quantity) for (amount, quantity), units in of_lines]
    if all(units >= quantity for (_, quantity), units in zip(charged, back, strict=True)):
        return [*goods, tax + shipping]
    return [*goods, _part(tax, sum(goods), sum(amount for amount, _ in charged))]


def _part(amount: int, of: int, whole: int) -> int:
    if not whole:
        return 0
    return int((Decimal(amount) * of / whole).quantize(Decimal(1), rounding=ROUND_HALF_UP))
