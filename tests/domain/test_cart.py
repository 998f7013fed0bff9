"""What can be done with a cart."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from domain.carts.cart import CARTS, Cart, CartFullError, CartItemNotFoundError, Shown
from domain.carts.events import (
    CartAbandoned,
    CartCheckedOut,
    CartCleared,
    CartEvent,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartLine,
    CartOpened,
    CartPricesAcknowledged,
    CartSynced,
    CouponApplied,
    CouponRemoved,
    ShownPrice,
    cart_of,
)
from domain.kernel import InvalidInputError, ListingId, PromotionId, stream_id
from domain.money import Money
from tests.domain.builders import BUYER, NOW, ORDER_ID, listing_id

PROMOTION = PromotionId(stream_id("promotion", 1))
NUMBERS = st.integers(1, 5)
QUANTITIES = st.sampled_from((-1, 0, 1, 2, 500, 999, 1000))
PRICES = st.sampled_from((Money(100), Money(90)))
ID = cart_of(BUYER.account_id)


def cart_after(*events: CartEvent) -> Cart:
    return CARTS.after(None, [CartOpened(cart_id=ID, account_id=BUYER.account_id), *events])


def added(number: int, quantity: int = 1) -> CartItemAdded:
    return CartItemAdded(cart_id=ID, listing_id=listing_id(number), quantity=quantity)


def a_line(number: int, quantity: int, price: Money | None = None) -> CartLine:
    return CartLine(listing_id=listing_id(number), quantity=quantity, price=price)


class TestAdding:
    def test_the_same_listing_twice_is_one_line(self) -> None:
        assert cart_after(added(1, 2), added(1, 3)).lines == {listing_id(1): 5}

    @pytest.mark.parametrize("quantity", [0, -1, 1000, 10**9])
    def test_a_quantity_out_of_bounds_is_refused_and_named(self, quantity: int) -> None:
        with pytest.raises(InvalidInputError) as refused:
            cart_after().add(listing_id(1), quantity)
        assert refused.value.details == {"quantity": ["Must be between 1 and 999"]}

    def test_the_sum_is_bounded_too(self) -> None:
        with pytest.raises(InvalidInputError):
            cart_after(added(1, 999)).add(listing_id(1), 1)

    def test_a_hundred_lines_are_enough(self) -> None:
        full = cart_after(*(added(number) for number in range(1, 101)))
        with pytest.raises(CartFullError):
            full.add(listing_id(101), 1)
        assert full.add(listing_id(100), 1) == [added(100)]


class TestChangingALine:
    def test_a_new_quantity(self) -> None:
        changed = CartItemQuantityChanged(cart_id=ID, listing_id=listing_id(1), quantity=4)
        assert cart_after(added(1)).change_quantity(listing_id(1), 4) == [changed]

    def test_the_same_quantity_changes_nothing(self) -> None:
        assert cart_after(added(1)).change_quantity(listing_id(1), 1) == []

    def test_zero_removes_it(self) -> None:
        removed = CartItemRemoved(cart_id=ID, listing_id=listing_id(1))
        assert cart_after(added(1)).change_quantity(listing_id(1), 0) == [removed]
        assert cart_after(added(1), removed).lines == {}

    def test_what_is_not_in_it_cannot_be_changed(self) -> None:
        with pytest.raises(CartItemNotFoundError):
            cart_after().change_quantity(listing_id(1), 1)


class TestCheckingOut:
    def test_only_the_ordered_lines_leave(self) -> None:
        events = cart_after(added(1), added(2)).check_out(ORDER_ID, (listing_id(2), listing_id(3)))
        assert events == [CartCheckedOut(cart_id=ID, order_id=ORDER_ID, listing_ids=(listing_id(2),))]
        assert cart_after(added(1), added(2), *events).lines == {listing_id(1): 1}

    def test_a_cart_that_holds_none_of_them_is_left_alone(self) -> None:
        assert cart_after(added(1)).check_out(ORDER_ID, (listing_id(2),)) == []


class TestSyncing:
    def test_the_content_is_replaced_in_one_event(self) -> None:
        lines = [a_line(2, 3), a_line(1, 1)]
        events = cart_after(added(1, 5), added(3)).sync(lines, NOW)
        assert events == [CartSynced(cart_id=ID, lines=tuple(lines), at=NOW)]
        after = cart_after(added(1, 5), added(3), *events)
        assert list(after.lines.items()) == [(listing_id(2), 3), (listing_id(1), 1)]
        assert after.touched_at == NOW

    def test_the_same_content_changes_nothing_and_another_order_of_it_does(self) -> None:
        lines = [a_line(1, 2, Money(500)), a_line(2, 1, None)]
        synced = CartSynced(cart_id=ID, lines=tuple(lines), at=NOW)
        assert cart_after(synced).sync(lines, NOW) == []
        assert cart_after(synced).sync(lines[::-1], NOW) != []

    def test_what_was_there_before_is_as_old_as_it_was(self) -> None:
        early = CartItemAdded(cart_id=ID, listing_id=listing_id(1), quantity=1, price=Money(1), at=NOW)
        later = NOW + timedelta(days=1)
        synced = CartSynced(cart_id=ID, lines=(a_line(1, 2), a_line(2, 2)), at=later)
        after = cart_after(early, synced)
        assert [after.shown_of(listing_id(number)).added_at for number in (1, 2)] == [NOW, later]

    @pytest.mark.parametrize(
        ("lines", "refusal"),
        [
            ([(number, 1) for number in range(1, 102)], CartFullError),
            ([(1, 0)], InvalidInputError),
            ([(1, 1000)], InvalidInputError),
        ],
    )
    def test_a_cart_holds_so_much_and_no_more(
        self, lines: list[tuple[int, int]], refusal: type[Exception]
    ) -> None:
        with pytest.raises(refusal):
            cart_after().sync([a_line(*line) for line in lines], NOW)

    def test_clearing_it_takes_the_coupon_too(self) -> None:
        cart = cart_after(added(1), CouponApplied(cart_id=ID, promotion_id=PROMOTION, code="A"))
        events = cart.clear(NOW)
        assert events == [CartCleared(cart_id=ID, at=NOW)]
        after = cart_after(added(1), *events)
        assert (after.lines, after.shown, after.coupon) == ({}, {}, None)
        assert after.clear(NOW) == []


class TestPricesThatWereShown:
    def test_are_those_of_the_last_time_a_line_was_set(self) -> None:
        cart = cart_after(
            CartItemAdded(cart_id=ID, listing_id=listing_id(1), quantity=1, price=Money(100), at=NOW),
            CartItemQuantityChanged(
                cart_id=ID, listing_id=listing_id(1), quantity=2, price=Money(90), at=NOW
            ),
        )
        assert cart.shown == {listing_id(1): Shown(price=Money(90), added_at=NOW)}

    def test_stay_known_where_nobody_says_what_it_costs(self) -> None:
        cart = cart_after(
            CartItemAdded(cart_id=ID, listing_id=listing_id(1), quantity=1, price=Money(100), at=NOW),
            CartItemQuantityChanged(cart_id=ID, listing_id=listing_id(1), quantity=2, at=NOW),
        )
        assert cart.shown_of(listing_id(1)).price == Money(100)

    def test_the_same_quantity_at_another_price_is_an_event(self) -> None:
        cart = cart_after(
            CartItemAdded(cart_id=ID, listing_id=listing_id(1), quantity=1, price=Money(100), at=NOW)
        )
        assert cart.change_quantity(listing_id(1), 1, Money(100), NOW) == []
        assert cart.change_quantity(listing_id(1), 1, Money(90), NOW) == [
            CartItemQuantityChanged(cart_id=ID, listing_id=listing_id(1), quantity=1, price=Money(90), at=NOW)
        ]

    def test_are_acknowledged_where_they_are_others_by_now(self) -> None:
        cart = cart_after(
            *(
                CartItemAdded(cart_id=ID, listing_id=listing_id(number), quantity=1, price=Money(100), at=NOW)
                for number in (1, 2, 3)
            )
        )
        prices = {listing_id(1): Money(100), listing_id(2): Money(90), listing_id(9): Money(1)}
        events = cart.acknowledge(prices, NOW)
        news = ShownPrice(listing_id=listing_id(2), price=Money(90))
        assert events == [CartPricesAcknowledged(cart_id=ID, prices=(news,), at=NOW)]
        after = CARTS.after(cart, events)
        assert after.acknowledge(prices, NOW) == []
        assert after.lines == cart.lines

    def test_are_gone_with_the_line(self) -> None:
        gone = CartItemRemoved(cart_id=ID, listing_id=listing_id(1), at=NOW)
        assert cart_after(added(1), gone).shown == {}


class TestAbandoning:
    def touched(self, at: datetime | None) -> Cart:
        return cart_after(CartItemAdded(cart_id=ID, listing_id=listing_id(1), quantity=1, at=at))

    def test_a_cart_that_nobody_has_touched_for_thirty_days_is_emptied(self) -> None:
        cart = self.touched(NOW - timedelta(days=30))
        events = cart.abandon(NOW)
        assert events == [CartAbandoned(cart_id=ID, at=NOW)]
        after = CARTS.after(cart, events)
        assert (after.lines, after.shown, after.touched_at) == ({}, {}, NOW)
        assert after.abandon(NOW + timedelta(days=60)) == []

    def test_one_that_was_touched_since_is_left_alone(self) -> None:
        assert self.touched(NOW - timedelta(days=30) + timedelta(seconds=1)).abandon(NOW) == []

    def test_one_that_does_not_know_when_it_was_touched_was_not_since_it_would_know(self) -> None:
        assert self.touched(None).abandon(NOW) == [CartAbandoned(cart_id=ID, at=NOW)]

    @pytest.mark.parametrize(
        "touch",
        [
            CartItemRemoved(cart_id=ID, listing_id=listing_id(2), at=NOW),
            CartItemQuantityChanged(cart_id=ID, listing_id=listing_id(1), quantity=2, at=NOW),
            CartSynced(cart_id=ID, lines=(CartLine(listing_id=listing_id(1), quantity=1),), at=NOW),
            CartPricesAcknowledged(cart_id=ID, prices=(), at=NOW),
            CartCheckedOut(cart_id=ID, order_id=ORDER_ID, listing_ids=(listing_id(2),), at=NOW),
            CouponApplied(cart_id=ID, promotion_id=PROMOTION, code="A", at=NOW),
            CouponRemoved(cart_id=ID, at=NOW),
        ],
        ids=lambda event: type(event).__name__,
    )
    def test_everything_that_is_done_with_it_touches_it(self, touch: CartEvent) -> None:
        long_ago = CartItemAdded(
            cart_id=ID, listing_id=listing_id(1), quantity=1, at=NOW - timedelta(days=90)
        )
        assert cart_after(long_ago, added(2), touch).abandon(NOW) == []

    def test_an_empty_one_with_a_coupon_is_emptied_too(self) -> None:
        applied = CouponApplied(cart_id=ID, promotion_id=PROMOTION, code="A", at=NOW - timedelta(days=31))
        assert cart_after(applied).abandon(NOW) == [CartAbandoned(cart_id=ID, at=NOW)]
        assert cart_after().abandon(NOW) == []


class CartMachine(RuleBasedStateMachine):
    """Whatever is done with a cart, it holds what a plain dictionary would hold, and never too much of anything."""

    def __init__(self) -> None:
        super().__init__()
        self.cart = cart_after()
        self.history: list[CartEvent] = []
        self.lines: dict[ListingId, int] = {}
        self.prices: dict[ListingId, Money] = {}
        self.coupon = False
        self.now = NOW

    def happened(self, events: Sequence[CartEvent]) -> None:
        cart = CARTS.after(self.cart, events)
        self.cart = cart
        self.history += events

    @rule(number=NUMBERS, quantity=QUANTITIES, price=PRICES)
    def add(self, number: int, quantity: int, price: Money) -> None:
        listing, wanted = listing_id(number), self.lines.get(listing_id(number), 0) + quantity
        if not 1 <= quantity <= wanted <= 999:
            with pytest.raises(InvalidInputError):
                self.cart.add(listing, quantity, price, self.now)
            return
        self.happened(self.cart.add(listing, quantity, price, self.now))
        self.lines[listing] = wanted
        self.prices[listing] = price

    @rule(number=NUMBERS, quantity=QUANTITIES, price=PRICES)
    def change(self, number: int, quantity: int, price: Money) -> None:
        listing = listing_id(number)
        if not 0 <= quantity <= 999 or listing not in self.lines:
            with pytest.raises((InvalidInputError, CartItemNotFoundError)):
                self.cart.change_quantity(listing, quantity, price, self.now)
            return
        self.happened(self.cart.change_quantity(listing, quantity, price, self.now))
        if quantity:
            self.lines[listing], self.prices[listing] = quantity, price
        else:
            del self.lines[listing], self.prices[listing]

    @rule(content=st.dictionaries(NUMBERS, st.integers(1, 999), max_size=4), price=PRICES)
    def sync(self, content: dict[int, int], price: Money) -> None:
        lines = [a_line(number, quantity, price) for number, quantity in content.items()]
        self.happened(self.cart.sync(lines, self.now))
        assert self.cart.sync(lines, self.now) == []
        self.lines = {line.listing_id: line.quantity for line in lines}
        self.prices = dict.fromkeys(self.lines, price)

    @rule(number=NUMBERS, price=PRICES)
    def acknowledge(self, number: int, price: Money) -> None:
        self.happened(self.cart.acknowledge({listing_id(number): price}, self.now))
        if listing_id(number) in self.lines:
            self.prices[listing_id(number)] = price

    @rule(numbers=st.sets(NUMBERS))
    def check_out(self, numbers: set[int]) -> None:
        ids = tuple(map(listing_id, numbers))
        self.happened(self.cart.check_out(ORDER_ID, ids, self.now))
        for listing in ids:
            self.lines.pop(listing, None)
            self.prices.pop(listing, None)

    @rule()
    def apply_coupon(self) -> None:
        self.happened(self.cart.apply_coupon(PROMOTION, "A", self.now))
        self.coupon = True

    @rule()
    def remove_coupon(self) -> None:
        self.happened(self.cart.remove_coupon(self.now))
        self.coupon = False

    @rule()
    def clear(self) -> None:
        self.happened(self.cart.clear(self.now))
        self.lines, self.prices, self.coupon = {}, {}, False

    @rule(days=st.integers(0, 40))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)
        touched = self.cart.touched_at
        events = self.cart.abandon(self.now)
        due = touched is not None and self.now - touched >= timedelta(days=30)
        assert bool(events) == (due and bool(self.lines or self.coupon))
        self.happened(events)
        if events:
            self.lines, self.prices, self.coupon = {}, {}, False

    @invariant()
    def holds_what_was_put_into_it(self) -> None:
        assert list(self.cart.lines.items()) == list(self.lines.items())
        assert {each: shown.price for each, shown in self.cart.shown.items()} == self.prices
        assert (self.cart.coupon is not None) == self.coupon
        assert all(1 <= quantity <= 999 for quantity in self.cart.lines.values())

    @invariant()
    def is_the_same_when_it_is_read_again(self) -> None:
        assert cart_after(*self.history) == self.cart


CartMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestWhateverIsDoneWithACart = CartMachine.TestCase
