"""What promotions and coupons make of a price, whatever they are."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.kernel import CategoryId, PromotionId, SellerId, stream_id
from domain.money import Money
from domain.orders.events import OrderLine
from domain.orders.pricing import Tariff, Totals, coupon_fault, totals_of
from domain.orders.shipping import Sending, ShippingMethod, ShippingRates
from domain.orders.spreading import spread
from domain.orders.taxes import FlatTax, TaxByCountry
from domain.placing import line_of
from domain.promotions.events import CouponFault, DiscountType, Offer, Scope, ScopeKind, Terms
from domain.sellers.events import ShippingProfile
from tests.domain.builders import NOW, a_listing, listing_id

TARIFF = Tariff()
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Carts and promotions of every kind take their time to make on a busy machine."""
SELLERS = [SellerId(stream_id("seller", number)) for number in (1, 2)]
CATEGORIES: dict[str, dict[str, Any]] = {
    slug: {"category": slug, "category_id": CategoryId(stream_id("category", slug))} for slug in ("a", "b")
}

PROFILES = [UUID(int=number) for number in (1, 2)]

lines_st = st.lists(
    st.tuples(
        st.integers(1, 30_000),
        st.sampled_from(["a", "b"]),
        st.sampled_from(SELLERS),
        st.integers(1, 9),
        st.sampled_from([None, *PROFILES]),
    ),
    min_size=1,
    max_size=6,
).map(
    lambda wanted: [
        line_of(
            a_listing(
                number=number,
                price=Money(price),
                seller_id=seller,
                shipping_profile_id=profile,
                **CATEGORIES[category],
            ),
            quantity,
            None,
        )
        for number, (price, category, seller, quantity, profile) in enumerate(wanted, 1)
    ]
)
small_lines_st = st.lists(
    st.tuples(st.integers(1, 400), st.sampled_from(["a", "b"]), st.sampled_from(SELLERS)),
    min_size=1,
    max_size=3,
).map(
    lambda wanted: [
        line_of(
            a_listing(number=number, price=Money(price), seller_id=seller, **CATEGORIES[category]), 1, None
        )
        for number, (price, category, seller) in enumerate(wanted, 1)
    ]
)
rates_st = st.builds(
    ShippingRates,
    elsewhere=st.sampled_from([0, 20, 500]),
    by_country=st.sampled_from([{}, {"DE": 700}]),
    free_from=st.sampled_from([100, 15_000]),
    express=st.sampled_from([0, 20, 1000]),
)
profiles_st = st.builds(
    ShippingProfile,
    base_cost=st.integers(0, 900).map(Money),
    per_item_cost=st.integers(0, 300).map(Money),
    free_over=st.none() | st.integers(1, 60_000).map(Money),
)
sendings_st = st.builds(
    Sending,
    destination=st.sampled_from(["", "DE", "FR"]),
    method=st.sampled_from(ShippingMethod),
    profiles=st.fixed_dictionaries({}, optional=dict.fromkeys(PROFILES, profiles_st)),
)
taxes_st = st.one_of(
    st.builds(FlatTax, rate=st.decimals("0", "0.3", places=3)),
    st.builds(
        TaxByCountry,
        rates=st.fixed_dictionaries({"DE": st.decimals("0", "0.3", places=3)}),
        elsewhere=st.decimals("0", "0.3", places=3),
    ),
)
tariffs_st = st.builds(
    Tariff,
    taxes=taxes_st,
    shipping=rates_st,
    smallest_payment=st.sampled_from([0, 1, 50, 300]),
)
places_st = st.tuples(tariffs_st, sendings_st)
scopes = st.one_of(
    st.just(Scope()),
    st.sampled_from(["a", "b"]).map(lambda one: Scope(kind=ScopeKind.CATEGORIES, categories=(one,))),
    st.sampled_from(["a", "b"]).map(
        lambda one: Scope(kind=ScopeKind.CATEGORIES, category_ids=(CATEGORIES[one]["category_id"],))
    ),
    st.sampled_from(SELLERS).map(lambda one: Scope(kind=ScopeKind.SELLERS, sellers=(one,))),
    st.integers(1, 6).map(lambda one: Scope(kind=ScopeKind.PRODUCTS, listings=(listing_id(one),))),
)
terms_st = st.builds(
    Terms,
    name=st.just("Sale"),
    slug=st.just("sale"),
    discount_type=st.sampled_from(DiscountType),
    percentage=st.decimals(0, 100, places=2),
    amount=st.integers(1, 60_000).map(Money),
    max_discount=st.none(),
    min_subtotal=st.integers(0, 30_000).map(Money),
    usage_limit=st.none(),
    per_customer_limit=st.none(),
    scope=scopes,
    starts_at=st.just(NOW),
    ends_at=st.none(),
    stackable=st.booleans(),
    priority=st.integers(-2, 2),
).flatmap(
    lambda terms: st.one_of(st.none(), st.integers(1, 20_000).map(Money)).map(
        lambda most: (
            replace(terms, max_discount=most) if terms.discount_type is DiscountType.PERCENTAGE else terms
        )
    )
)
offers_st = st.lists(terms_st, max_size=4).map(
    lambda all_terms: [offer(number, terms) for number, terms in enumerate(all_terms, 1)]
)
coupons_st = st.one_of(st.none(), terms_st.map(lambda terms: offer(9, replace(terms, code="CODE"))))


def offer(number: int, terms: Terms) -> Offer:
    return Offer(promotion_id=PromotionId(stream_id("promotion", number)), number=number, terms=terms)


def some(number: int = 1, **fields: Any) -> Offer:
    given = {"name": "Sale", "slug": "sale", "starts_at": NOW, "stackable": True, **fields}
    return offer(number, Terms(**given))


def percent(value: str, number: int = 1, **fields: Any) -> Offer:
    return some(number, discount_type=DiscountType.PERCENTAGE, percentage=Decimal(value), **fields)


def fixed(amount: int, number: int = 1, **fields: Any) -> Offer:
    return some(number, discount_type=DiscountType.FIXED, amount=Money(amount), **fields)


def lines(*prices: int) -> list[OrderLine]:
    return [
        line_of(a_listing(number=number, price=Money(price)), 1, None)
        for number, price in enumerate(prices, 1)
    ]


def summed(totals: Totals) -> Money:
    return totals.subtotal - totals.discount + totals.tax + totals.shipping


class TestWhateverThereIs:
    @PATIENT
    @given(lines_st, offers_st, coupons_st, places_st)
    def test_nothing_is_negative_and_the_parts_are_the_whole(
        self,
        lines: list[OrderLine],
        offers: list[Offer],
        coupon: Offer | None,
        place: tuple[Tariff, Sending],
    ) -> None:
        tariff, sending = place
        totals = totals_of(lines, tariff, offers=offers, coupon=coupon, sending=sending)
        assert totals.total == summed(totals)
        assert sum(part.minor for part in totals.parcels.values()) == totals.shipping.minor
        assert list(totals.parcels) == list(dict.fromkeys(line.seller_id for line in lines))
        assert min(totals.parcels.values()) >= Money(0)
        assert sum(tax.amount.minor for tax in totals.taxes) == totals.tax.minor
        assert min(totals.tax, totals.shipping, totals.discount, totals.subtotal - totals.discount) >= Money(
            0
        )
        assert sum(share.minor for share in totals.shares.values()) == totals.discount.minor
        assert sum(applied.discount.minor for applied in totals.promotions) == totals.discount.minor
        for line in lines:
            assert Money(0) <= totals.shares.get(line.listing_id, Money(0)) <= line.discounted_total

    @PATIENT
    @given(lines_st, offers_st, coupons_st, sendings_st, st.randoms(use_true_random=False))
    def test_the_order_of_lines_and_offers_does_not_matter(
        self, lines: list[OrderLine], offers: list[Offer], coupon: Offer | None, sending: Sending, random: Any
    ) -> None:
        totals = totals_of(lines, TARIFF, offers=offers, coupon=coupon, sending=sending)
        shuffled, others = random.sample(lines, len(lines)), random.sample(offers, len(offers))
        assert totals_of(shuffled, TARIFF, offers=others, coupon=coupon, sending=sending) == totals

    @PATIENT
    @given(lines_st, offers_st, coupons_st, terms_st, places_st)
    def test_one_offer_more_never_raises_the_total(
        self,
        lines: list[OrderLine],
        offers: list[Offer],
        coupon: Offer | None,
        more: Terms,
        place: tuple[Tariff, Sending],
    ) -> None:
        tariff, sending = place

        def total(offers: list[Offer], coupon: Offer | None) -> Money:
            return totals_of(lines, tariff, offers=offers, coupon=coupon, sending=sending).total

        before = total(offers, coupon)
        assert total([*offers, offer(8, more)], coupon) <= before
        assert total(offers, None) >= before

    @PATIENT
    @given(
        lines_st,
        st.lists(terms_st, min_size=1, max_size=4),
        coupons_st,
        st.tuples(st.decimals(0, 100, places=2), st.integers(0, 500)),
        places_st,
    )
    def test_a_larger_discount_never_raises_the_total(
        self,
        lines: list[OrderLine],
        all_terms: list[Terms],
        coupon: Offer | None,
        growth: tuple[Decimal, int],
        place: tuple[Tariff, Sending],
    ) -> None:
        (points, cents), (tariff, sending) = growth, place
        first, *others = all_terms
        larger = replace(
            first, percentage=min(first.percentage + points, Decimal(100)), amount=first.amount + Money(cents)
        )
        rest = [offer(number, terms) for number, terms in enumerate(others, 2)]
        before = totals_of(lines, tariff, offers=[offer(1, first), *rest], coupon=coupon, sending=sending)
        after = totals_of(lines, tariff, offers=[offer(1, larger), *rest], coupon=coupon, sending=sending)
        assert after.total <= before.total

    @PATIENT
    @given(lines_st, offers_st)
    def test_a_coupon_of_nothing_changes_nothing(self, lines: list[OrderLine], offers: list[Offer]) -> None:
        for stackable in (True, False):
            nothing = percent("0", 9, code="ZERO", stackable=stackable)
            assert totals_of(lines, TARIFF, offers=offers, coupon=nothing) == totals_of(
                lines, TARIFF, offers=offers
            )


class TestTheSmallestPayment:
    @PATIENT
    @given(small_lines_st, offers_st, coupons_st, places_st)
    def test_a_total_is_nothing_or_can_be_paid_and_never_more_than_without_promotions(
        self,
        lines: list[OrderLine],
        offers: list[Offer],
        coupon: Offer | None,
        place: tuple[Tariff, Sending],
    ) -> None:
        tariff, sending = place
        totals = totals_of(lines, tariff, offers=offers, coupon=coupon, sending=sending)
        plain = totals_of(lines, tariff, sending=sending)
        least = min(tariff.smallest_payment, plain.total.minor)
        assert totals.total.minor == 0 or least <= totals.total.minor <= plain.total.minor
        assert totals.total == summed(totals)
        goods = totals.subtotal - totals.discount
        assert totals.taxes == tariff.taxes.on(goods, sending.destination)
        assert tariff.shipping.surcharge(sending.method) <= totals.shipping.minor <= plain.shipping.minor
        assert sum(share.minor for share in totals.shares.values()) == totals.discount.minor
        assert sum(applied.discount.minor for applied in totals.promotions) == totals.discount.minor
        for line in lines:
            assert Money(0) <= totals.shares.get(line.listing_id, Money(0)) <= line.discounted_total

    @PATIENT
    @given(small_lines_st, offers_st, coupons_st, terms_st)
    def test_one_offer_more_never_raises_the_total_there_either(
        self, lines: list[OrderLine], offers: list[Offer], coupon: Offer | None, more: Terms
    ) -> None:
        before = totals_of(lines, TARIFF, offers=offers, coupon=coupon).total
        assert totals_of(lines, TARIFF, offers=[*offers, offer(8, more)], coupon=coupon).total <= before

    @PATIENT
    @given(small_lines_st, offers_st, coupons_st, st.randoms(use_true_random=False))
    def test_nor_does_the_order_of_lines_and_offers_matter(
        self, lines: list[OrderLine], offers: list[Offer], coupon: Offer | None, random: Any
    ) -> None:
        totals = totals_of(lines, TARIFF, offers=offers, coupon=coupon)
        shuffled, others = random.sample(lines, len(lines)), random.sample(offers, len(offers))
        assert totals_of(shuffled, TARIFF, offers=others, coupon=coupon) == totals

    def test_a_discount_takes_off_no_more_than_leaves_it(self) -> None:
        free = some(2, discount_type=DiscountType.FREE_SHIPPING)
        for taken in (954, 980, 999):
            totals = totals_of(lines(600, 400), TARIFF, offers=[fixed(taken), free])
            assert (totals.discount, totals.tax, totals.shipping, totals.total) == (
                Money(954),
                Money(4),
                Money(0),
                Money(50),
            )
        assert totals_of(lines(600, 400), TARIFF, offers=[fixed(1000), free]).total == Money(0)

    def test_the_last_one_gives_back_first(self) -> None:
        free = some(3, discount_type=DiscountType.FREE_SHIPPING)
        totals = totals_of(lines(1000), TARIFF, offers=[fixed(500, 1), fixed(490, 2), free])
        assert [(applied.number, applied.discount.minor) for applied in totals.promotions] == [
            (1, 500),
            (2, 454),
            (3, 0),
        ]

    def test_where_the_goods_are_worth_too_little_shipping_is_not_all_free(self) -> None:
        free = some(2, discount_type=DiscountType.FREE_SHIPPING)
        totals = totals_of(lines(30), TARIFF, offers=[fixed(7), free])
        assert (totals.discount, totals.tax, totals.shipping, totals.total) == (
            Money(0),
            Money(2),
            Money(18),
            Money(50),
        )
        assert [applied.number for applied in totals.promotions] == [2]

    def test_what_is_too_small_without_promotions_stays_so(self) -> None:
        totals = totals_of(lines(30), Tariff(shipping=ShippingRates(elsewhere=0)), offers=[fixed(7)])
        assert (totals.discount, totals.total) == (Money(0), Money(32))


class TestSpreading:
    @PATIENT
    @given(st.lists(st.integers(0, 10_000), min_size=1, max_size=8), st.data())
    def test_the_parts_are_the_amount_and_none_exceeds_its_weight(
        self, weights: list[int], data: st.DataObject
    ) -> None:
        amount = data.draw(st.integers(0, sum(weights)))
        parts = spread(amount, weights)
        assert sum(parts) == amount
        assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))

    @PATIENT
    @given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.data())
    def test_more_to_spread_is_not_less_for_anybody(self, weights: list[int], data: st.DataObject) -> None:
        amount = data.draw(st.integers(0, sum(weights)))
        more = data.draw(st.integers(amount, sum(weights)))
        pairs = zip(spread(amount, weights), spread(more, weights), strict=True)
        assert all(before <= after for before, after in pairs)

    @pytest.mark.parametrize(
        ("amount", "weights", "parts"),
        [
            (10, [10, 10, 10], [4, 3, 3]),
            (1, [1, 1], [1, 0]),
            (5, [0, 5], [0, 5]),
            (0, [0, 0], [0, 0]),
            (100, [1, 1, 998], [0, 0, 100]),
        ],
    )
    def test_examples(self, amount: int, weights: list[int], parts: list[int]) -> None:
        assert spread(amount, weights) == parts


class TestExamples:
    def test_a_percentage_is_rounded_half_up_on_each_line(self) -> None:
        totals = totals_of(lines(105, 115), TARIFF, offers=[percent("10")])
        assert totals.shares == {listing_id(1): Money(11), listing_id(2): Money(12)}
        assert totals.discount == Money(23)

    def test_a_percentage_takes_off_its_most_at_most(self) -> None:
        totals = totals_of(lines(1000, 3000), TARIFF, offers=[percent("50", max_discount=Money(100))])
        assert totals.shares == {listing_id(1): Money(25), listing_id(2): Money(75)}

    def test_a_fixed_sum_takes_off_no_more_than_there_is(self) -> None:
        totals = totals_of(lines(300, 200), TARIFF, offers=[fixed(10_000)])
        assert (totals.discount, totals.tax, totals.shipping, totals.total) == (
            Money(500),
            Money(0),
            Money(500),
            Money(500),
        )

    def test_the_tax_is_on_what_is_left_and_shipping_is_judged_on_the_subtotal(self) -> None:
        totals = totals_of(lines(15_000), TARIFF, offers=[percent("10")])
        assert (totals.tax, totals.shipping, totals.total) == (Money(1080), Money(0), Money(14_580))

    def test_free_shipping_is_free(self) -> None:
        offers = [some(discount_type=DiscountType.FREE_SHIPPING)]
        totals = totals_of(lines(1000), TARIFF, offers=offers)
        assert (totals.discount, totals.shipping, totals.total) == (Money(0), Money(0), Money(1080))
        assert [applied.free_shipping for applied in totals.promotions] == [True]

    def test_the_first_in_priority_comes_first(self) -> None:
        totals = totals_of(lines(1000), TARIFF, offers=[fixed(100, 1), percent("50", 2, priority=1)])
        assert [(applied.number, applied.discount) for applied in totals.promotions] == [
            (2, Money(500)),
            (1, Money(100)),
        ]

    def test_one_that_does_not_stack_applies_alone_where_that_is_better(self) -> None:
        stacking = [percent("10", 1), percent("10", 2)]
        poor = totals_of(lines(1000), TARIFF, offers=[*stacking, percent("15", 3, stackable=False)])
        assert [applied.number for applied in poor.promotions] == [1, 2]
        rich = totals_of(lines(1000), TARIFF, offers=[*stacking, percent("20", 3, stackable=False)])
        assert [applied.number for applied in rich.promotions] == [3]

    def test_a_coupon_beaten_by_what_stands_alone_says_so_though_it_stacks(self) -> None:
        ours, own = lines(1000), percent("5", 9, code="FIVE")
        totals = totals_of(ours, TARIFF, offers=[percent("20", 3, stackable=False)], coupon=own)
        assert coupon_fault(ours, own, totals) is CouponFault.BETTER_OFFER_APPLIES

    def test_of_no_lines_there_is_nothing_to_pay(self) -> None:
        assert totals_of([], TARIFF, offers=[fixed(100)]).total == Money(0)
