"""What can be done with a cart."""

from __future__ import annotations

import pytest

from domain.carts.cart import CARTS, Cart, CartFullError, CartItemNotFoundError
from domain.carts.events import (
    CartCheckedOut,
    CartEvent,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartOpened,
    cart_of,
)
from domain.kernel import InvalidInputError
from tests.domain.builders import BUYER, ORDER_ID, listing_id

ID = cart_of(BUYER.account_id)


def cart_after(*events: CartEvent) -> Cart:
    cart = CARTS.fold(None, [CartOpened(cart_id=ID, account_id=BUYER.account_id), *events])
    assert cart is not None
    return cart


def added(number: int, quantity: int = 1) -> CartItemAdded:
    return CartItemAdded(cart_id=ID, listing_id=listing_id(number), quantity=quantity)


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
