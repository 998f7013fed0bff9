"""Noting what there are but few left of."""

from __future__ import annotations

from application.listings.noting_low_stock import NoteLowStock
from domain.kernel import ListingId, SellerId, stream_id
from domain.listings.events import LowStockReached
from domain.listings.listing import Listing
from domain.sellers.events import (
    HOUSE_SELLER,
    SellerApplied,
    SellerEvent,
    SellerSuspended,
    SellerVerified,
    ShopProfile,
    seller_of,
)
from domain.sellers.seller import SELLERS
from tests.application.shop import METADATA, Shop


def note(*listings: Listing, seller_id: SellerId = HOUSE_SELLER) -> NoteLowStock:
    return NoteLowStock(
        seller_id=seller_id, listing_ids=tuple(listing.id for listing in listings), threshold=5
    )


async def a_shop(shop: Shop) -> tuple[SellerId, LowStockReached]:
    """A verified seller, and what is said of the first of their things."""
    jane = await shop.buyer("jane")
    seller_id = seller_of(jane.account_id)
    opened: list[SellerEvent] = [
        SellerApplied(
            seller_id=seller_id,
            account_id=jane.account_id,
            account_number=jane.number,
            profile=ShopProfile(),
            agreed_at=shop.clock.now(),
        ),
        SellerVerified(seller_id=seller_id, account_id=jane.account_id),
    ]
    await shop.store.change(SELLERS, seller_id, lambda _: opened, METADATA)
    reached = LowStockReached(
        listing_id=ListingId(stream_id("listing", 0)),
        seller_id=seller_id,
        account_id=jane.account_id,
        available=5,
        threshold=5,
    )
    return seller_id, reached


async def test_what_was_sold_down_to_few_is_noted_once() -> None:
    shop = Shop()
    emily, thing, plenty = await shop.buyer(), await shop.listing(stock=7), await shop.listing()
    await shop.order(emily, (thing, 3))
    head = await shop.log.head()
    noted = await shop.handle(note(thing, plenty))
    assert noted.state == (thing.id,)
    assert await shop.events_after(head) == [
        LowStockReached(listing_id=thing.id, seller_id=HOUSE_SELLER, available=4, threshold=5)
    ]
    assert (await shop.handle(note(thing, plenty))).state == ()


async def test_a_seller_is_told_of_what_is_theirs_alone() -> None:
    shop = Shop()
    seller_id, reached = await a_shop(shop)
    theirs = await shop.listing(stock=5, seller_id=seller_id)
    house = await shop.listing(stock=1)
    head = await shop.log.head()
    assert (await shop.handle(note(theirs, house, seller_id=seller_id))).state == (theirs.id,)
    (event,) = await shop.events_after(head)
    assert isinstance(event, LowStockReached)
    assert (event.listing_id, event.account_id) == (theirs.id, reached.account_id)


async def test_nobody_is_told_of_a_seller_who_may_not_sell() -> None:
    shop = Shop()
    seller_id, reached = await a_shop(shop)
    assert reached.account_id is not None
    theirs = await shop.listing(stock=5, seller_id=seller_id)
    suspended = SellerSuspended(seller_id=seller_id, account_id=reached.account_id, cause="admin")
    await shop.store.change(SELLERS, seller_id, lambda _: [suspended], METADATA)
    head = await shop.log.head()
    assert (await shop.handle(note(theirs, seller_id=seller_id))).state == ()
    assert await shop.events_after(head) == []


async def test_what_is_not_there_is_not_noted() -> None:
    shop = Shop()
    gone = NoteLowStock(
        seller_id=HOUSE_SELLER, listing_ids=(ListingId(stream_id("listing", 999)),), threshold=5
    )
    assert (await shop.handle(gone)).state == ()
