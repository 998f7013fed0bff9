"""Filling carts, on a log in memory: who is first, what is left out, and what is told of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from application.accounts.standing import GrantRole
from application.adapters.appending import Snapshot
from application.carts.abandoning import AbandonCart
from application.carts.couponing import RemoveCoupon
from application.carts.filling import (
    AcknowledgePrices,
    AddToCart,
    ChangeCartItem,
    ClearCart,
    MergeCart,
    PricedCart,
    SyncCart,
)
from application.listings.changing import ChangeListing, listings_called
from application.ports import AlreadyAnsweredError, Answer, Metadata, Once
from domain.accounts.events import Caller, Role
from domain.carts.cart import CARTS, Cart, HeldCoupon, OwnListingError
from domain.carts.events import (
    CartAbandoned,
    CartCleared,
    CartItemQuantityChanged,
    CartPricesAcknowledged,
    CartSynced,
    cart_of,
)
from domain.filling import LeftOut, Reason, Wish, seen
from domain.kernel import AccountId, CartId, Decider, ListingId
from domain.listings.listing import LISTINGS, InsufficientStockError, Listing, ProductNotFoundError
from domain.money import Money
from domain.promotions.promotion import CouponNotAppliedError
from domain.sellers.events import seller_of
from tests.application.shop import METADATA, Counting, Shop
from tests.domain.builders import listing_id


@pytest.fixture
def shop() -> Shop:
    return Shop()


def wish(listing: Listing | ListingId, quantity: int = 1, price: int | None = None) -> Wish:
    known = isinstance(listing, Listing)
    return Wish(
        reference=str(listing.number) if isinstance(listing, Listing) else "999",
        listing_id=listing.id if isinstance(listing, Listing) else listing,
        quantity=quantity,
        price=None if price is None or not known else Money(price),
    )


async def add(shop: Shop, buyer: Caller, listing: Listing, quantity: int = 1) -> PricedCart:
    command = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=quantity)
    cart: PricedCart = (await shop.handle(command)).state
    return cart


async def merge(shop: Shop, buyer: Caller, *wishes: Wish) -> PricedCart:
    cart: PricedCart = (await shop.handle(MergeCart(account_id=buyer.account_id, wishes=wishes))).state
    return cart


async def cart_now(shop: Shop, buyer: Caller) -> Cart:
    cart: Cart = await shop.now(CARTS, cart_of(buyer.account_id))
    return cart


async def reprice(shop: Shop, listing: Listing, price: int) -> None:
    admin = Caller(
        account_id=(await shop.buyer(f"admin{price}")).account_id, number=9, roles=frozenset({Role.ADMIN})
    )
    await shop.handle(ChangeListing(listing_id=listing.id, caller=admin, price=Money(price)))


class TestSyncing:
    async def test_is_one_append_of_one_event(self, shop: Shop) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        await add(shop, buyer, one, 3)
        head = await shop.log.head()
        command = SyncCart(account_id=buyer.account_id, wishes=(wish(two, 2), wish(one, 1), wish(two, 1)))
        synced = await shop.handle(command)
        (event,) = await shop.events_after(head)
        assert isinstance(event, CartSynced)
        assert list(synced.state.cart.lines.items()) == [(two.id, 3), (one.id, 1)]
        await shop.handle(command)
        assert await shop.log.head() == head + 1

    async def test_is_refused_as_a_whole(self, shop: Shop) -> None:
        there, few, buyer = await shop.listing(), await shop.listing(stock=1), await shop.buyer()
        head = await shop.log.head()
        for wrong, refusal in (
            (wish(few, 2), InsufficientStockError),
            (wish(listing_id(99)), ProductNotFoundError),
            (Wish(reference="gone", listing_id=None, quantity=1), ProductNotFoundError),
        ):
            with pytest.raises(refusal) as refused:
                await shop.handle(SyncCart(account_id=buyer.account_id, wishes=(wish(there), wrong)))
            assert refused.value.details["productId"] in (few.number, 999, "gone")
        assert await shop.log.head() == head

    async def test_nobody_buys_what_they_sell(self, shop: Shop) -> None:
        seller = await shop.buyer("seller")
        await shop.handle(GrantRole(account_id=seller.account_id, role=Role.SELLER))
        own = await shop.listing(seller_id=seller_of(seller.account_id))
        with pytest.raises(OwnListingError):
            await shop.handle(SyncCart(account_id=seller.account_id, wishes=(wish(own),)))
        merged = await merge(shop, seller, wish(own))
        assert merged.left_out == [LeftOut(reference=own.number, requested=1, reason=Reason.OWN_LISTING)]


class TestMerging:
    async def test_what_cannot_be_had_is_left_out_or_reduced(self, shop: Shop) -> None:
        few, none, kept = await shop.listing(stock=2), await shop.listing(stock=0), await shop.listing()
        buyer = await shop.buyer()
        await add(shop, buyer, kept, 4)
        merged = await merge(shop, buyer, wish(few, 5), wish(none, 1), wish(kept, 2), wish(listing_id(99)))
        assert merged.cart.lines == {kept.id: 6, few.id: 2}
        assert merged.left_out == [
            LeftOut(reference=few.number, requested=5, quantity=2, reason=Reason.INSUFFICIENT_STOCK),
            LeftOut(reference=none.number, requested=1, reason=Reason.OUT_OF_STOCK),
            LeftOut(reference=999, requested=1, reason=Reason.UNAVAILABLE),
        ]

    async def test_never_takes_anything_away(self, shop: Shop) -> None:
        listing, buyer, other = await shop.listing(stock=5), await shop.buyer(), await shop.buyer("other")
        await add(shop, buyer, listing, 4)
        await shop.order(other, (listing, 3))
        merged = await merge(shop, buyer, wish(listing, 1))
        assert merged.cart.lines == {listing.id: 4}
        left = LeftOut(reference=listing.number, requested=5, quantity=4, reason=Reason.INSUFFICIENT_STOCK)
        assert merged.left_out == [left]

    async def test_what_is_left_out_is_not_left_out_because_of_an_old_memory(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(stock=5), await shop.buyer()
        order = await shop.order(await shop.buyer("other"), (listing, 5))
        assert (await shop.listing_now(listing)).available == 0
        elsewhere = shop.another_store()
        await elsewhere.change(
            LISTINGS, listing.id, lambda there: there.release(order.id, 5) if there else [], METADATA
        )
        merged = await merge(shop, buyer, wish(listing, 5))
        assert (merged.cart.lines, merged.left_out) == ({listing.id: 5}, [])

    async def test_a_cart_that_is_full_takes_no_more_lines(self, shop: Shop) -> None:
        listings = [await shop.listing() for _ in range(102)]
        buyer = await shop.buyer()
        merged = await merge(shop, buyer, *map(wish, listings))
        assert len(merged.cart.lines) == 100
        assert [(left.reference, left.reason) for left in merged.left_out] == [
            (listing.number, Reason.CART_FULL) for listing in listings[100:]
        ]

    async def test_is_carried_out_once(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        once = Once(
            scope=f"user:{buyer.account_id}",
            key="k",
            request_hash=b"h",
            answer=lambda _: Answer(status=200, body=b""),
        )
        command = MergeCart(account_id=buyer.account_id, wishes=(wish(listing, 2),))
        await shop.handle(command, Metadata(actor="test", once=once))
        with pytest.raises(AlreadyAnsweredError):
            await shop.handle(command, Metadata(actor="test", once=once))
        assert await shop.cart_lines(buyer) == {listing.id: 2}

    async def test_what_was_shown_at_another_price_is_told(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(price=1000), await shop.buyer()
        merged = await merge(shop, buyer, wish(listing, 1, price=800))
        (line,) = seen(merged.cart, merged.shelf.listings, merged.shelf.hidden, None)
        assert (line.shown_before, line.sale_price) == (Money(800), Money(1000))


class TestPrices:
    async def test_are_remembered_and_acknowledged(self, shop: Shop) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        for listing in (one, two):
            await add(shop, buyer, listing)
        await reprice(shop, one, 1200)
        await reprice(shop, two, 1300)
        head = await shop.log.head()
        await shop.handle(ChangeCartItem(account_id=buyer.account_id, listing_id=one.id, quantity=1))
        after = await shop.handle(AcknowledgePrices(account_id=buyer.account_id))
        await shop.handle(AcknowledgePrices(account_id=buyer.account_id))
        events = await shop.events_after(head)
        assert [type(event) for event in events] == [CartItemQuantityChanged, CartPricesAcknowledged]
        assert [each.price for each in after.state.cart.shown.values()] == [Money(1200), Money(1300)]
        assert (await cart_now(shop, buyer)).touched_at == shop.clock.at

    async def test_of_an_old_cart_are_unknown_until_somebody_looks(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        cart, opened = Cart.open(cart_of(buyer.account_id), buyer.account_id)
        old = [*opened, *cart.add(listing.id, 2)]
        await shop.store.change(CARTS, cart.id, lambda _: old, METADATA)
        shown = (await add(shop, buyer, await shop.listing())).cart
        assert shown.shown_of(listing.id).price is None
        acknowledged = await shop.handle(AcknowledgePrices(account_id=buyer.account_id))
        assert acknowledged.state.cart.shown_of(listing.id).price == Money(1000)


class TestEmptying:
    async def test_by_its_owner_takes_the_coupon_too(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        assert (await shop.handle(ClearCart(account_id=buyer.account_id))).position == 0
        await add(shop, buyer, listing)
        head = await shop.log.head()
        cleared = await shop.handle(ClearCart(account_id=buyer.account_id))
        assert await shop.events_after(head) == [
            CartCleared(cart_id=cart_of(buyer.account_id), at=shop.clock.at)
        ]
        assert (cleared.state.cart.lines, cleared.state.dealt.coupon) == ({}, None)
        with pytest.raises(CouponNotAppliedError):
            await shop.handle(RemoveCoupon(account_id=buyer.account_id))

    async def test_because_nobody_has_come_back_is_for_the_cart_to_decide(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        await add(shop, buyer, listing)
        command = AbandonCart(cart_id=cart_of(buyer.account_id))
        shop.clock.at += timedelta(days=29)
        await shop.handle(ChangeCartItem(account_id=buyer.account_id, listing_id=listing.id, quantity=2))
        shop.clock.at += timedelta(days=29)
        head = await shop.log.head()
        await shop.handle(command)
        assert await shop.log.head() == head
        shop.clock.at += timedelta(days=1)
        for _ in range(2):
            await shop.handle(command)
        assert await shop.events_after(head) == [CartAbandoned(cart_id=command.cart_id, at=shop.clock.at)]
        await shop.handle(AbandonCart(cart_id=CartId(listing_id(1))))
        assert await shop.log.head() == head + 1


class TestAtOnce:
    async def test_two_processes_that_fill_one_cart_lose_nothing(self, shop: Shop) -> None:
        buyer = await shop.buyer()
        listings = [await shop.listing() for _ in range(12)]
        buses = (shop.bus, shop.bus_on(shop.another_store()))
        answers = await asyncio.gather(
            *(
                buses[turn % 2].handle(
                    AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1), METADATA
                )
                for turn, listing in enumerate(listings)
            )
        )
        assert set(await shop.cart_lines(buyer)) == {listing.id for listing in listings}
        for changed in answers:
            priced: PricedCart = changed.state
            assert priced.cart.lines.keys() <= priced.shelf.listings.keys()

    async def test_a_cart_that_another_process_has_changed_is_answered_whole(self, shop: Shop) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        await add(shop, buyer, one)
        elsewhere = shop.bus_on(shop.another_store())
        await elsewhere.handle(
            AddToCart(account_id=buyer.account_id, listing_id=two.id, quantity=1), METADATA
        )
        changed = await shop.handle(
            ChangeCartItem(account_id=buyer.account_id, listing_id=one.id, quantity=5)
        )
        assert changed.state.cart.lines == {one.id: 5, two.id: 1}
        assert set(changed.state.shelf.listings) == {one.id, two.id}

    async def test_merging_and_ordering_at_once_leave_what_was_not_bought(self, shop: Shop) -> None:
        one, two, buyer = await shop.listing(), await shop.listing(), await shop.buyer()
        await add(shop, buyer, one)
        order, merged = await asyncio.gather(
            shop.order(buyer, (one, 1)), merge(shop, buyer, wish(one, 2), wish(two, 1))
        )
        assert [line.listing_id for line in order.lines] == [one.id]
        left = await shop.cart_lines(buyer)
        assert left[two.id] == 1
        assert left.get(one.id, 0) in (0, 2)
        assert merged.left_out == []


class TestAnOrderOfIt:
    async def test_is_refused_where_a_line_cannot_be_had_and_names_it(self, shop: Shop) -> None:
        buyer, other = await shop.buyer(), await shop.buyer("other")
        few, fine = await shop.listing(stock=2), await shop.listing()
        for listing in (few, fine):
            await add(shop, buyer, listing, 2)
        await shop.order(other, (few, 1))
        head = await shop.log.head()
        with pytest.raises(InsufficientStockError) as refused:
            await shop.order(buyer)
        assert refused.value.details["productId"] == few.number
        assert await shop.log.head() == head


class TestWhatItCosts:
    async def test_to_add_to_a_cart_is_one_round_trip(self) -> None:
        shop = Counting()
        buyer, listings = await shop.buyer(), [await shop.listing() for _ in range(20)]
        for listing in listings:
            await add(shop, buyer, listing)
        before = shop.round_trips
        for listing in listings:
            await add(shop, buyer, listing)
            await shop.handle(ChangeCartItem(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        assert shop.round_trips == before + 2 * len(listings)

    async def test_to_know_what_many_slugs_mean_is_one_round_trip(self) -> None:
        shop = Counting()
        listings = [await shop.listing() for _ in range(5)]
        before = shop.round_trips
        references = [*(listing.slug for listing in listings), "nobody-has-this", str(listings[0].number)]
        found = await listings_called([*references, str(listings[1].id)], shop.store, shop.keys)
        assert found == [*(listing.id for listing in listings), None, listings[0].id, listings[1].id]
        assert shop.round_trips == before + 1

    async def test_events_are_small(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        await add(shop, buyer, listing)
        head = await shop.log.head()
        await add(shop, buyer, listing)
        (stored,) = await shop.log.read(head, 1)
        assert len(stored.state) < 500


class FormerCart(msgspec.Struct, frozen=True, kw_only=True):
    """As carts were kept before they knew prices."""

    id: CartId
    account_id: AccountId
    lines: dict[ListingId, int]
    coupon: HeldCoupon | None = None


class TestSnapshots:
    async def test_of_a_former_shape_are_not_read(self, shop: Shop) -> None:
        """They are known by their shape, so that nothing that they lack is missed."""
        listing, buyer = await shop.listing(), await shop.buyer()
        for _ in range(3):
            await add(shop, buyer, listing)
        cart_id = cart_of(buyer.account_id)
        former = msgspec.json.encode(
            FormerCart(id=cart_id, account_id=buyer.account_id, lines={listing.id: 77})
        )
        decider: Decider[Any, Any] = Decider("carts", Cart.evolve, snapshot=FormerCart)
        topic = shop.store._topic(decider)
        snapshot = Snapshot(stream=cart_id, version=4, topic=topic, state=former)
        await shop.log.save_snapshot(snapshot)
        with_it = (await shop.another_store().load(decider, cart_id)).state
        assert with_it == msgspec.json.decode(former, type=FormerCart)
        loaded = await shop.another_store().load(CARTS, cart_id)
        assert loaded.present == await cart_now(shop, buyer)
        assert loaded.present.lines == {listing.id: 3}
