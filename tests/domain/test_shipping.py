"""What it costs to send an order, who bears it, and where things cannot be sent."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel import SellerId, stream_id
from domain.money import Money
from domain.orders.events import OrderLine, TaxLine
from domain.orders.pricing import Tariff, totals_of
from domain.orders.shipping import (
    Sending,
    ShippingMethod,
    ShippingNotAvailableError,
    ShippingRates,
    days_of,
    freight_of,
    require_sendable,
)
from domain.orders.spreading import shared_out
from domain.orders.taxes import FlatTax, TaxByCountry
from domain.placing import line_of, profiles_of
from domain.promotions.events import DiscountType
from domain.sellers.events import HouseSellerOpened, ShippingProfile, ShippingProfileAdded
from domain.sellers.seller import SELLERS
from tests.domain.builders import a_listing
from tests.domain.test_promotion_pricing import some

ANN, BOB, CAY = (SellerId(stream_id("seller", name)) for name in ("ann", "bob", "cay"))
RATES = ShippingRates()
SMALL, LARGE = UUID(int=1), UUID(int=2)
PROFILES = {
    SMALL: ShippingProfile(name="Small", base_cost=Money(300), per_item_cost=Money(50)),
    LARGE: ShippingProfile(
        name="Large",
        base_cost=Money(900),
        per_item_cost=Money(100),
        free_over=Money(20_000),
        countries=("US", "CA"),
        handling_days=4,
    ),
}
EXPRESS = ShippingMethod.EXPRESS


def line(
    number: int, seller: SellerId, price: int, quantity: int = 1, profile: UUID | None = None
) -> OrderLine:
    listing = a_listing(
        number=number, price=Money(price), seller_id=seller, shipping_profile_id=profile, stock=999
    )
    return line_of(listing, quantity, None)


def to(destination: str = "", **fields: Any) -> Sending:
    return Sending(destination=destination, profiles=PROFILES, **fields)


def costs(lines: list[OrderLine], sending: Sending, rates: ShippingRates = RATES) -> dict[SellerId, int]:
    subtotal = sum(each.discounted_total.minor for each in lines)
    return dict(freight_of(lines, subtotal, rates, sending).standard)


class TestAParcel:
    def test_without_a_profile_the_flat_rate_is_paid_once_by_all_in_proportion(self) -> None:
        lines = [line(1, ANN, 3000), line(2, BOB, 1000), line(3, ANN, 1000)]
        assert costs(lines, to()) == {ANN: 400, BOB: 100}

    def test_which_is_free_from_some_subtotal_on(self) -> None:
        assert costs([line(1, ANN, 14_999)], to()) == {ANN: 500}
        assert costs([line(1, ANN, 15_000)], to()) == {ANN: 0}

    def test_with_a_profile_each_further_unit_costs(self) -> None:
        assert costs([line(1, ANN, 1000, 3, SMALL)], to()) == {ANN: 400}

    def test_of_several_profiles_the_dearest_counts_for_all_that_is_in_it(self) -> None:
        lines = [line(1, ANN, 1000, 2, SMALL), line(2, ANN, 1000, 1, LARGE), line(3, ANN, 500)]
        assert costs(lines, to()) == {ANN: 900 + 3 * 100}

    def test_a_profile_is_free_over_what_its_own_parcel_is_worth(self) -> None:
        lines = [line(1, ANN, 19_000, 1, LARGE), line(2, BOB, 90_000)]
        assert costs(lines, to()) == {ANN: 900, BOB: 0}
        assert costs([line(1, ANN, 20_000, 1, LARGE)], to()) == {ANN: 0}

    def test_sellers_are_summed(self) -> None:
        lines = [line(1, ANN, 1000, 1, SMALL), line(2, BOB, 1000, 1, LARGE), line(3, CAY, 1000)]
        assert costs(lines, to()) == {ANN: 300, BOB: 900, CAY: 500}

    def test_a_profile_that_was_removed_is_none(self) -> None:
        assert costs([line(1, ANN, 1000, 1, UUID(int=9))], to()) == {ANN: 500}

    def test_nothing_is_sent_for_nothing(self) -> None:
        assert freight_of([], 0, RATES, to("US", method=EXPRESS)).whole == 0
        assert totals_of([], Tariff(), sending=to("US", method=EXPRESS)).total == Money(0)

    def test_profiles_are_those_of_all_sellers(self) -> None:
        opened = HouseSellerOpened(seller_id=ANN, shop_name="House", slug="house")
        added = ShippingProfileAdded(
            seller_id=ANN, account_id=None, profile_id=SMALL, profile=PROFILES[SMALL]
        )
        seller = SELLERS.after(None, [opened, added])
        assert profiles_of([seller]) == {SMALL: PROFILES[SMALL]}


class TestWhereItGoes:
    RATES = ShippingRates(elsewhere=1500, by_country={"US": 500, "CA": 1200})

    @pytest.mark.parametrize(("country", "rate"), [("US", 500), ("CA", 1200), ("DE", 1500), ("", 1500)])
    def test_each_country_has_its_rate(self, country: str, rate: int) -> None:
        assert costs([line(1, ANN, 1000)], to(country), self.RATES) == {ANN: rate}

    def test_where_nothing_goes_elsewhere_the_cart_shows_the_first_rate(self) -> None:
        rates = ShippingRates(elsewhere=None, by_country={"US": 700, "CA": 1200})
        assert costs([line(1, ANN, 1000)], to(), rates) == {ANN: 700}

    def test_what_a_profile_does_not_send_there_is_named(self) -> None:
        lines = [line(1, ANN, 1000, 1, LARGE), line(2, BOB, 1000, 1, SMALL), line(3, ANN, 1000)]
        require_sendable(lines, RATES, to("US"))
        require_sendable(lines, RATES, to())
        with pytest.raises(ShippingNotAvailableError) as refused:
            require_sendable(lines, RATES, to("DE"))
        assert refused.value.details == {"country": "DE", "productIds": [1]}
        assert "'Listing 1'" in refused.value.message

    def test_nor_does_the_shop_send_what_has_no_profile_where_it_has_no_rate(self) -> None:
        rates = ShippingRates(elsewhere=None, by_country={"US": 700})
        lines = [line(1, ANN, 1000), line(2, BOB, 1000, 1, SMALL), line(3, BOB, 1000)]
        with pytest.raises(ShippingNotAvailableError) as refused:
            require_sendable(lines, rates, to("DE"))
        assert refused.value.details == {"country": "DE", "productIds": [1]}


class TestExpress:
    def test_costs_a_surcharge_once_which_all_parcels_bear(self) -> None:
        lines = [line(1, ANN, 3000, 1, SMALL), line(2, BOB, 1000)]
        totals = totals_of(lines, Tariff(), sending=to("US", method=EXPRESS))
        assert totals.shipping == Money(300 + 500 + 1000)
        assert totals.parcels == {ANN: Money(300 + 750), BOB: Money(500 + 250)}

    def test_is_not_freed_by_what_frees_the_rest(self) -> None:
        free = some(discount_type=DiscountType.FREE_SHIPPING)
        totals = totals_of([line(1, ANN, 1000)], Tariff(), offers=[free], sending=to(method=EXPRESS))
        assert (totals.shipping, totals.parcels) == (Money(1000), {ANN: Money(1000)})
        totals = totals_of([line(1, ANN, 20_000)], Tariff(), sending=to(method=EXPRESS))
        assert totals.shipping == Money(1000)

    def test_free_shipping_that_is_not_all_free_leaves_the_surcharge_whole(self) -> None:
        free = some(discount_type=DiscountType.FREE_SHIPPING)
        tariff = Tariff(shipping=ShippingRates(express=10))
        totals = totals_of([line(1, ANN, 20)], tariff, offers=[free], sending=to(method=EXPRESS))
        assert (totals.shipping, totals.total) == (Money(28), Money(50))

    def test_is_there_earlier_unless_a_seller_needs_longer(self) -> None:
        assert days_of([line(1, ANN, 1000)], to()) == 5
        assert days_of([line(1, ANN, 1000)], to(method=EXPRESS)) == 2
        assert days_of([line(1, ANN, 1000, 1, LARGE), line(2, BOB, 1)], to(method=EXPRESS)) == 5


class TestTaxes:
    def test_a_flat_tax_is_one_line(self) -> None:
        totals = totals_of([line(1, ANN, 1000)], Tariff())
        assert totals.taxes == (TaxLine(rate=Decimal("0.08"), base=Money(1000), amount=Money(80)),)

    def test_no_tax_is_no_line(self) -> None:
        assert totals_of([line(1, ANN, 1000)], Tariff(taxes=FlatTax(rate=Decimal(0)))).taxes == ()
        assert FlatTax().on(Money(0), "US") == ()

    @pytest.mark.parametrize(("country", "tax"), [("DE", 190), ("FR", 200), ("US", 50), ("", 50)])
    def test_each_country_has_its_own(self, country: str, tax: int) -> None:
        rates = {"DE": Decimal("0.19"), "FR": Decimal("0.20")}
        tariff = Tariff(taxes=TaxByCountry(rates=rates, elsewhere=Decimal("0.05")))
        assert totals_of([line(1, ANN, 1000)], tariff, sending=to(country)).tax == Money(tax)


class TestSharingOut:
    @given(st.integers(0, 100_000), st.lists(st.integers(0, 10_000), min_size=1, max_size=8))
    def test_all_of_it_is_shared_and_who_weighs_more_bears_no_less(
        self, amount: int, weights: list[int]
    ) -> None:
        parts = shared_out(amount, weights)
        assert sum(parts) == amount
        assert min(parts) >= 0
        if any(weights):
            by_weight = sorted(zip(weights, parts, strict=True))
            assert all(one[1] <= other[1] + 1 for one, other in pairwise(by_weight))
