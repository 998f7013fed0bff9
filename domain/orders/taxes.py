"""Taxes: how much of what goods cost goes to the state where they are sent to (A25, C36)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

import msgspec

from domain.money import Money
from domain.orders.events import TaxLine


class Taxes(Protocol):
    """A way to tax. Where the goods cost more, no tax may be less: or a discount could make an order dearer."""

    def on(self, goods: Money, destination: str) -> tuple[TaxLine, ...]:
        """What there is to pay on ``goods``, after all discounts and without shipping.

        ``destination`` is a country (ISO 3166, two letters), or empty where nobody has said yet.
        """
        ...


class FlatTax(msgspec.Struct, frozen=True, kw_only=True):
    """The same everywhere: S2's 8 %, unless the shop says otherwise."""

    rate: Decimal = Decimal("0.08")

    def on(self, goods: Money, destination: str) -> tuple[TaxLine, ...]:
        return _lines(goods, self.rate)


class TaxByCountry(msgspec.Struct, frozen=True, kw_only=True):
    """One rate for each country that is named, and one for all others."""

    rates: Mapping[str, Decimal]
    elsewhere: Decimal = Decimal("0.08")

    def on(self, goods: Money, destination: str) -> tuple[TaxLine, ...]:
        return _lines(goods, self.rates.get(destination, self.elsewhere))


def _lines(goods: Money, rate: Decimal) -> tuple[TaxLine, ...]:
    """None where there is nothing to tax, or no tax."""
    if not rate or not goods.minor:
        return ()
    return (TaxLine(rate=rate, base=goods, amount=goods.share(rate)),)
