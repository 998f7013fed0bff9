"""Money: minor units of one currency, and how percentages of it are rounded."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import msgspec


class Money(msgspec.Struct, frozen=True, order=True):
    """``minor`` units (cents) of an ISO 4217 ``currency``. Sums of different currencies are a bug."""

    minor: int
    currency: str = "USD"

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor + other.minor, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(self.minor - other.minor, self.currency)

    def __mul__(self, factor: int) -> Money:
        return Money(self.minor * factor, self.currency)

    def less(self, percent: Decimal) -> Money:
        """This sum without ``percent`` of it, rounded half up to a whole minor unit (C48)."""
        return Money(_half_up(self.minor * (100 - percent) / 100), self.currency)

    def percent_down_to(self, reduced: Money) -> Decimal:
        """The percentage without which this sum is ``reduced``: with two decimals, or as many more as it takes."""
        self._same(reduced)
        exact = Decimal(100) * (self.minor - reduced.minor) / self.minor
        for places in range(2, 10):
            percent = exact.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
            if self.less(percent) == reduced:
                return percent
        return exact

    def share(self, rate: Decimal) -> Money:
        """``rate`` (0.08 = 8 %) of this sum, rounded half up to a whole minor unit."""
        return Money(_half_up(self.minor * rate), self.currency)

    def units(self) -> float:
        """The amount as clients write it: 11.99 for 1199 cents (C48)."""
        return self.minor / 100

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise ValueError(f"{self.currency} and {other.currency} do not add up")


def minor_units(amount: float | Decimal | str) -> int:
    """Cents of an amount as clients write it; an amount finer than a cent is refused with ``ValueError``."""
    cents = Decimal(str(amount)) * 100
    if cents != cents.to_integral_value():
        raise ValueError("finer than a cent")
    return int(cents)


def _half_up(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), rounding=ROUND_HALF_UP))
