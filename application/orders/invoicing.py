"""Invoices: their numbers, which have no holes, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import msgspec

from application.orders.references import known_order
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Invoice,
    InvoiceLine,
    InvoiceParty,
    InvoiceSum,
    Loaded,
    Metadata,
    Proposal,
    StreamRef,
)
from domain.kernel import OrderId, SellerId
from domain.money import Money
from domain.orders.events import PostalAddress, TaxLine
from domain.orders.invoices import INVOICE_SERIES, InvoiceSeries, invoice_number, series_of
from domain.orders.order import ORDERS, Order
from domain.sellers.events import ShopProfile

_NAMELESS: Final = "A seller at this shop"


class IssueInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """The order is paid. Asked twice, it is the same invoice."""

    order_id: OrderId


async def issue_invoice(
    command: IssueInvoice, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Order]:
    """The number is given in the same append, so that none is ever lost, and two who ask at once get one."""
    now = clock.now()
    order_ref: StreamRef[Any, Any] = StreamRef(ORDERS, command.order_id)
    series_ref: StreamRef[Any, Any] = StreamRef(INVOICE_SERIES, series_of(now.year))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Order]:
        order = known_order(loaded[0].state)
        (given,) = InvoiceSeries.give(loaded[1].state, now.year, order.id)
        issued = order.issue_invoice(invoice_number(given.year, given.serial), now)
        return Proposal(
            outcome=ORDERS.after(order, issued),
            events=[(order_ref, issued), (series_ref, [given] if issued else [])],
        )

    return await store.change_together([order_ref, series_ref], decide, metadata)


def invoice_of(
    order: Order,
    sellers: Mapping[SellerId, ShopProfile],
    card: str = "",
    *,
    numbers: Mapping[SellerId, int] | None = None,
) -> Invoice:
    """What the order says, as an invoice says it. Before it is issued there is no number, and it says that.

    ``sellers`` are who is known to sell what is in it, ``card`` is what it was paid with, as far as we know. By their
    ``numbers`` those sellers are told apart who have no name, or none any more.
    """
    several = len(order.seller_ids) > 1
    names = {each: _name_of(sellers.get(each), (numbers or {}).get(each, 0)) for each in order.seller_ids}
    return Invoice(
        number=order.invoice_number,
        order_number=order.number,
        currency=order.total.currency,
        facts=tuple(_facts(order, card)),
        sellers=tuple(
            InvoiceParty(lines=(names[each], *_address_of(sellers.get(each)))) for each in order.seller_ids
        ),
        buyer=_party(order.billing_address or order.shipping_address),
        destination=None if order.billing_address is None else _party(order.shipping_address),
        lines=tuple(
            InvoiceLine(
                title=line.title,
                quantity=line.quantity,
                price=_figure(line.price),
                discount=_figure(line.discounted_total - line.total) if line.discount_percentage else "",
                total=_figure(line.discounted_total),
                seller=names[line.seller_id] if several else "",
            )
            for line in order.lines
        ),
        sums=tuple(_sums(order)),
        remarks=tuple(_remarks(order)),
    )


def _facts(order: Order, card: str) -> Iterator[tuple[str, str]]:
    if order.invoice_number:
        yield "Invoice number", order.invoice_number
    if order.invoiced_at is not None:
        yield "Invoice date", _day(order.invoiced_at)
    yield "Order number", order.number
    yield "Order date", _day(order.placed_at)
    if order.confirmed_at is not None:
        yield "Paid on", _day(order.confirmed_at)
    if card and order.paid:
        yield "Paid with", card


def _sums(order: Order) -> Iterator[InvoiceSum]:
    none = Money(0, order.total.currency)
    yield InvoiceSum(label="Subtotal", amount=_figure(order.subtotal))
    for applied in order.promotions:
        named = f"{applied.name} ({applied.code})" if applied.code else applied.name
        if applied.discount.minor:
            yield InvoiceSum(label=f"Discount: {named}", amount=_figure(none - applied.discount))
        if applied.free_shipping:
            yield InvoiceSum(label=f"Free shipping: {named}", amount=_figure(none))
    yield InvoiceSum(label="Shipping", amount=_figure(order.shipping))
    for tax in _taxes(order):
        label = f"{tax.name} {_percent(tax.rate)} % of {_figure(tax.base)}"
        yield InvoiceSum(label=label, amount=_figure(tax.amount))
    yield InvoiceSum(label="Total", amount=_figure(order.total), strong=True)
    if order.refunded.minor:
        yield InvoiceSum(label="Refunded", amount=_figure(none - order.refunded))
        left = order.total - order.refunded
        yield InvoiceSum(label="Total after refunds", amount=_figure(left), strong=True)


def _taxes(order: Order) -> Sequence[TaxLine]:
    """Orders of earlier days say only how much it was: their one rate is what that was of the goods."""
    if order.taxes or not order.tax.minor:
        return order.taxes
    goods = order.subtotal - order.discount
    rate = (Decimal(order.tax.minor) / goods.minor).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return (TaxLine(rate=rate, base=goods, amount=order.tax),)


def _remarks(order: Order) -> Iterator[str]:
    if not order.invoice_number and not order.paid:
        yield "This is not an invoice: the order is not paid."
    elif not order.invoice_number:
        yield "This is not an invoice yet: it will be issued shortly."
    if order.cancelled:
        yield "The order was cancelled."


def _party(address: PostalAddress) -> InvoiceParty:
    name = f"{address.first_name} {address.last_name}".strip()
    town = " ".join(part for part in (address.zip_code, address.city) if part)
    lines = (name, address.address, town, address.state, address.country)
    return InvoiceParty(lines=tuple(line for line in lines if line))


def _name_of(profile: ShopProfile | None, number: int) -> str:
    """A shop that is closed has no name any more, and somebody who sells now and then may never have had one."""
    nameless = f"Seller {number}" if number else _NAMELESS
    if profile is None:
        return nameless
    return profile.shop_name or profile.return_address.full_name or nameless


def _address_of(profile: ShopProfile | None) -> tuple[str, ...]:
    if profile is None:
        return ()
    at = profile.return_address
    town = " ".join(part for part in (at.zip_code, at.city) if part)
    lines = (at.address, at.address_line2, town, at.state, at.country)
    return tuple(line for line in lines if line)


def _figure(amount: Money) -> str:
    """``-1,234.50``"""
    return f"{Decimal(amount.minor) / 100:,.2f}"


def _percent(rate: Decimal) -> str:
    return f"{(rate * 100).normalize():f}"


def _day(at: datetime) -> str:
    return at.date().isoformat()
