"""An order as the books have it: what it brought in, and what of that went back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date
from typing import Any, assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.kernel import ListingId, Recorded, SellerId
from domain.money import Money
from domain.orders.bearing import borne
from domain.orders.events import (
    OrderConfirmed,
    OrderDisputed,
    OrderLine,
    OrderPlaced,
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnReceived,
    OrderReturnRequested,
)
from domain.orders.returns import worth_by_line
from domain.payments.payment import LOST_DISPUTE


class SoldLine(msgspec.Struct, frozen=True, kw_only=True):
    """``revenue`` is what the goods came to after all discounts, before tax and shipping."""

    listing_id: ListingId
    seller_id: SellerId
    units: int
    revenue: int


class SoldReturn(msgspec.Struct, frozen=True, kw_only=True):
    """So many ``units`` of each line come back. ``worth`` is known once they are here: by line, then tax and shipping.

    ``unpaid`` is what came back before its money had come, which is asked back as soon as it does.
    """

    id: UUID
    units: tuple[int, ...]
    worth: tuple[int, ...] = ()
    unpaid: bool = False
    refund_id: str = ""


class WentBack(msgspec.Struct, frozen=True, kw_only=True):
    """What each line, and last tax and shipping, bears of a refund or, if ``lost``, of a dispute, by its name.

    Less than nothing where it came to us again.
    """

    day: date
    name: str
    lost: bool
    parts: tuple[int, ...]


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """``day`` is that of UTC on which its money came, by the payment ``intent_id``.

    What went back of any other payment is nothing to sales: that money was never taken for one. Who bears the rest is
    said in ``domain/orders/bearing.py``. All sums are in minor units.
    """

    total: int
    tax: int
    shipping: int
    lines: tuple[SoldLine, ...]
    day: date | None = None
    intent_id: str = ""
    returns: tuple[SoldReturn, ...] = ()
    back: tuple[WentBack, ...] = ()


def fold(sale: Sale | None, recorded: Recorded[Any], _: UUID) -> Sale:
    event = recorded.event
    if isinstance(event, OrderPlaced):
        return Sale(
            total=event.total.minor,
            tax=event.tax.minor,
            shipping=event.shipping.minor,
            lines=tuple(map(_line, event.lines)),
        )
    assert sale is not None, "an order's first event is OrderPlaced"
    match event:
        case OrderConfirmed(confirmed_at=at, intent_id=intent_id):
            return replace(sale, day=at.astimezone(UTC).date(), intent_id=intent_id)
        case OrderReturnRequested():
            return _return_requested(sale, event)
        case OrderReturnReceived():
            return _return_received(sale, event)
        case _:
            return _moved(sale, event, recorded.timestamp.astimezone(UTC).date())


def _moved(sale: Sale, event: OrderRefunded | OrderRefundFailed | OrderDisputed, day: date) -> Sale:
    """Money that was paid by whichever payment goes back, or comes again."""
    if sale.day is None or event.intent_id != sale.intent_id:
        return sale
    match event:
        case OrderRefunded():
            return _refunded(sale, event, day)
        case OrderRefundFailed(refund_id=refund_id):
            return _given_back(sale, day, refund_id, lost=False)
        case OrderDisputed():
            return _disputed(sale, event, day)
        case _:
            assert_never(event)


def _line(line: OrderLine) -> SoldLine:
    revenue: Money = line.discounted_total - line.promotion_discount
    return SoldLine(
        listing_id=line.listing_id, seller_id=line.seller_id, units=line.quantity, revenue=revenue.minor
    )


def _return_requested(sale: Sale, event: OrderReturnRequested) -> Sale:
    wanted = {line.listing_id: line.quantity for line in event.lines}
    units = tuple(wanted.get(line.listing_id, 0) for line in sale.lines)
    return replace(sale, returns=(*sale.returns, SoldReturn(id=event.return_id, units=units)))


def _return_received(sale: Sale, event: OrderReturnReceived) -> Sale:
    """It is worth so much as all that has come back is worth more by it."""
    before = [each for each in sale.returns if each.worth]
    returned = next(each for each in sale.returns if each.id == event.return_id)
    worth = zip(_worth(sale, [*before, returned]), _worth(sale, before), strict=True)
    received = replace(
        returned,
        worth=tuple(now - earlier for now, earlier in worth),
        unpaid=sale.day is None,
        refund_id=event.refund_id,
    )
    return _with_returns(sale, [received])


def _worth(sale: Sale, returns: Sequence[SoldReturn]) -> list[int]:
    units = [sum(each.units[index] for each in returns) for index in range(len(sale.lines))]
    charged = [(line.revenue, line.units) for line in sale.lines]
    return worth_by_line(charged, units, sale.tax, sale.shipping)


def _with_returns(sale: Sale, changed: Iterable[SoldReturn]) -> Sale:
    by_id = {each.id: each for each in changed}
    return replace(sale, returns=tuple(by_id.get(each.id, each) for each in sale.returns))


def _refunded(sale: Sale, event: OrderRefunded, day: date) -> Sale:
    returns = [
        each
        for each in sale.returns
        if each.worth and (each.id == event.return_id or each.refund_id == event.refund_id)
    ]
    if not returns:
        unpaid = [each for each in sale.returns if each.unpaid and not each.refund_id]
        returns = [replace(each, refund_id=event.refund_id) for each in unpaid]
        sale = _with_returns(sale, returns)
    return _gone(sale, day, event.refund_id, event.amount.minor, returns)


def _disputed(sale: Sale, event: OrderDisputed, day: date) -> Sale:
    """By the provider's words a dispute is lost, or is not, or not any more."""
    sale = _given_back(sale, day, event.dispute_id, lost=True)
    if event.status != LOST_DISPUTE:
        return sale
    amount = event.amount.minor if event.amount.currency == Money(0).currency else sale.total
    return _gone(sale, day, event.dispute_id, amount, lost=True)


def _gone(
    sale: Sale,
    day: date,
    name: str,
    amount: int,
    returns: Collection[SoldReturn] = (),
    *,
    lost: bool = False,
) -> Sale:
    """``returns`` are those that it is for."""
    left = [whole - part for whole, part in zip(_brought_in(sale), _borne_by_now(sale), strict=True)]
    first = []
    if returns:
        worth = [sum(parts) for parts in zip(*(each.worth for each in returns), strict=True)]
        units = [sum(parts) for parts in zip(*(each.units for each in returns), strict=True)]
        same_lines = [most if back else 0 for most, back in zip(left, [*units, 0], strict=True)]
        first = [worth, same_lines]
    parts = borne(amount, left, *first)
    return _with_back(sale, WentBack(day=day, name=name, lost=lost, parts=tuple(parts)))


def _given_back(sale: Sale, day: date, name: str, *, lost: bool) -> Sale:
    """All of it that is not with us again."""
    held = _total(sale, [back for back in sale.back if (back.name, back.lost) == (name, lost)])
    if not sum(held):
        return sale
    by_now = _borne_by_now(sale)
    beyond = [0] * len(sale.lines) + [by_now[-1] - _brought_in(sale)[-1]]
    parts = borne(sum(held), by_now, beyond, held)
    return _with_back(sale, WentBack(day=day, name=name, lost=lost, parts=tuple(-part for part in parts)))


def _with_back(sale: Sale, back: WentBack) -> Sale:
    return replace(sale, back=(*sale.back, back))


def _brought_in(sale: Sale) -> list[int]:
    """By each line, and by tax and shipping."""
    revenues = [line.revenue for line in sale.lines]
    return [*revenues, max(sale.total - sum(revenues), 0)]


def _borne_by_now(sale: Sale) -> list[int]:
    return _total(sale, sale.back)


def _total(sale: Sale, backs: Iterable[WentBack]) -> list[int]:
    nothing = [0] * (len(sale.lines) + 1)
    return [sum(parts) for parts in zip(nothing, *(back.parts for back in backs), strict=True)]
