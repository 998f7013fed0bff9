"""What an order costs: one pure calculation, in minor units, rounded half up on each line (C48)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache, reduce
from operator import add

import msgspec

from domain.money import Money
from domain.orders.events import OrderLine


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """S2's flat tax, and shipping that is free from ``free_shipping_from`` on (A25, C36)."""

    tax_rate: Decimal = Decimal("0.08")
    shipping: int = 500
    free_shipping_from: int = 15_000


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    subtotal: Money
    tax: Money
    shipping: Money
    total: Money


@lru_cache(maxsize=16_384)
def line_totals(price: Money, discount_percentage: Decimal, quantity: int) -> tuple[Money, Money]:
    """A line at list price and as charged (S2 §6.2.1: 2 at 1199.99 less 5.5 % are 2399.98 and 2267.98)."""
    total = price * quantity
    return total, total.less(discount_percentage)


def totals_of(lines: Sequence[OrderLine], tariff: Tariff) -> Totals:
    subtotal = reduce(add, (line.discounted_total for line in lines))
    tax = subtotal.share(tariff.tax_rate)
    free = subtotal.minor >= tariff.free_shipping_from
    shipping = Money(0 if free else tariff.shipping, subtotal.currency)
    return Totals(subtotal=subtotal, tax=tax, shipping=shipping, total=subtotal + tax + shipping)
