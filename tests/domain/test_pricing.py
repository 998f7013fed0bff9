"""What an order costs."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import Money, minor_units
from domain.orders.events import OrderLine, PostalAddress
from domain.orders.pricing import Tariff, line_totals, totals_of
from domain.placing import WantedLine, order_of
from tests.domain.builders import ORDER_ID, a_listing, an_account, deals, listing_id

TARIFF = Tariff()

prices = st.integers(1, 1_000_000)
discounts = st.decimals(0, 100, places=2)
quantities = st.integers(1, 999)


def lines_of(*wanted: tuple[int, Decimal, int]) -> tuple[OrderLine, ...]:
    listings = {
        listing_id(number): a_listing(
            number=number, price=Money(price), discount_percentage=discount, stock=999
        )
        for number, (price, discount, _) in enumerate(wanted, 1)
    }
    placed, _ = order_of(
        [
            WantedLine(listing_id=listing_id(number), quantity=quantity)
            for number, (_, _, quantity) in enumerate(wanted, 1)
        ],
        listings,
        deals(TARIFF),
        sellers={},
        order_id=ORDER_ID,
        number="ORD-2026112101",
        buyer=an_account(),
        shipping_address=PostalAddress(),
        billing_address=None,
        payment_method="card",
    )
    return placed.lines


class TestALine:
    def test_the_contracts_example(self) -> None:
        total, discounted = line_totals(Money(119_999), Decimal("5.5"), 2)
        assert (total.units(), discounted.units()) == (2399.98, 2267.98)

    @given(prices, discounts, quantities)
    def test_a_discount_never_costs_and_never_pays_out(
        self, price: int, discount: Decimal, quantity: int
    ) -> None:
        total, discounted = line_totals(Money(price), discount, quantity)
        assert Money(0) <= discounted <= total


class TestAnOrder:
    def test_the_contracts_example(self) -> None:
        totals = totals_of(lines_of((119_999, Decimal("5.5"), 2)), TARIFF)
        assert [part.units() for part in (totals.subtotal, totals.tax, totals.shipping, totals.total)] == [
            2267.98,
            181.44,
            0,
            2449.42,
        ]

    def test_a_small_order_pays_for_shipping(self) -> None:
        totals = totals_of(lines_of((10_000, Decimal(0), 1)), TARIFF)
        assert (totals.shipping.units(), totals.total.units()) == (5.0, 113.0)

    @given(st.lists(st.tuples(prices, discounts, quantities), min_size=1, max_size=5))
    def test_the_parts_are_the_whole_in_any_order(self, wanted: list[tuple[int, Decimal, int]]) -> None:
        lines = lines_of(*wanted)
        totals = totals_of(lines, TARIFF)
        assert totals.total == totals.subtotal + totals.tax + totals.shipping
        assert totals.subtotal.minor == sum(line.discounted_total.minor for line in lines)
        assert totals_of(tuple(reversed(lines)), TARIFF) == totals


class TestMoney:
    @pytest.mark.parametrize(
        ("amount", "cents"), [(9.99, 999), (0.1, 10), (19.9, 1990), (1, 100), ("1199.99", 119_999)]
    )
    def test_what_clients_write_becomes_cents(self, amount: float | str, cents: int) -> None:
        assert minor_units(amount) == cents

    def test_nothing_is_finer_than_a_cent(self) -> None:
        with pytest.raises(ValueError, match="finer than a cent"):
            minor_units(9.999)

    def test_currencies_do_not_mix(self) -> None:
        with pytest.raises(ValueError, match="do not add up"):
            Money(1, "USD") + Money(1, "EUR")
