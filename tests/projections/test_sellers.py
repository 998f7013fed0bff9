"""Shops and who follows them: events in, rows out, the same after a rebuild and nothing of who was erased."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.accounts.events import AccountErased
from domain.follows.events import SellerFollowed, SellerUnfollowed, follows_of
from domain.kernel import AccountId, CategoryId, Event, ListingId, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingPublished
from domain.money import Money
from domain.sellers.events import (
    HOUSE_SELLER,
    HouseSellerOpened,
    PersonalSellerOpened,
    SellerApplied,
    SellerClosed,
    SellerProfileUpdated,
    SellerReinstated,
    SellerStatus,
    SellerSuspended,
    SellerVerified,
    ShippingProfile,
    ShippingProfileAdded,
    ShopProfile,
    seller_of,
)
from projections.adapters.read_pool import ReadPool
from projections.follows.projector import FOLLOW_LIST
from projections.keyset import Piece
from projections.products.projector import PRODUCTS
from projections.projection import Projection
from projections.sellers.projector import SELLER_LIST
from projections.sellers.query import (
    SellerFilter,
    SortSellers,
    followed_by,
    follower_count_of,
    follows_seller,
    seller_by,
    sellers_page,
)
from projections.sellers.shop import FoundShop, Shop, own_body, public_body
from tests.projections.engine.shelf import Stand, open_stand

READ_MODELS: tuple[Projection[Any], ...] = (PRODUCTS, SELLER_LIST, FOLLOW_LIST)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN, BEA, FAN = (AccountId(stream_id("account", number)) for number in (1, 2, 3))
ANNS, BEAS = seller_of(ANN), seller_of(BEA)


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    async with open_stand(database_url, *READ_MODELS) as stand:
        yield stand


@asynccontextmanager
async def read_models(stand: Stand) -> AsyncIterator[None]:
    async with stand.running(*READ_MODELS):
        yield


async def record(stand: Stand, *events: Event) -> None:
    """The events, each in its stream, and in all three read models."""
    await stand.recorded([(stream_of(event), event) for event in events], *READ_MODELS)


def stream_of(event: Any) -> UUID:
    match event:
        case SellerFollowed() | SellerUnfollowed():
            return follows_of(event.account_id)
        case ListingCreated() | ListingPublished():
            return UUID(str(event.listing_id))
        case AccountErased():
            return UUID(str(event.account_id))
    return UUID(str(event.seller_id))


def applied(account_id: AccountId, number: int, name: str) -> SellerApplied:
    slug = name.lower().replace(" ", "-")
    return SellerApplied(
        seller_id=seller_of(account_id),
        account_id=account_id,
        account_number=number,
        profile=ShopProfile(shop_name=name, slug=slug, social_links={"instagram": "@vintage"}),
        agreed_at=AT,
    )


def verified(account_id: AccountId) -> SellerVerified:
    return SellerVerified(seller_id=seller_of(account_id), account_id=account_id)


def suspended(account_id: AccountId) -> SellerSuspended:
    return SellerSuspended(
        seller_id=seller_of(account_id), account_id=account_id, reason="fakes", cause="admin"
    )


def reinstated(account_id: AccountId) -> SellerReinstated:
    return SellerReinstated(seller_id=seller_of(account_id), account_id=account_id, cause="admin")


def followed(account_id: AccountId, seller_id: SellerId) -> SellerFollowed:
    return SellerFollowed(account_id=account_id, seller_id=seller_id, followed_at=AT)


def listed(number: int, seller_id: SellerId) -> list[Event]:
    listing_id = ListingId(stream_id("listing", number))
    return [
        ListingCreated(
            listing_id=listing_id,
            number=number,
            seller_id=seller_id,
            slug=f"thing-{number}",
            title=f"Thing {number}",
            description="Worth having.",
            price=Money(100),
            category_id=CategoryId(UUID(int=1)),
            category="things",
        ),
        ListingPublished(listing_id=listing_id),
    ]


def shown(found: FoundShop | None) -> dict[str, Any]:
    assert found is not None
    body: dict[str, Any] = msgspec.to_builtins(public_body(found, lambda logo: logo))
    return body


async def names(reads: ReadPool, **asked: Any) -> list[str]:
    found = await sellers_page(reads, SellerFilter(**asked), Piece())
    return [each.shop.seller.profile.shop_name for each in found.shops]


async def test_a_shop_is_found_by_all_its_names(stand: Stand, reads: ReadPool) -> None:
    async with read_models(stand):
        await record(stand, applied(ANN, 1, "Vintage Vault"), verified(ANN), followed(FAN, ANNS))
        await record(stand, *listed(1, ANNS), *listed(2, ANNS)[:1], *listed(3, BEAS))
        for reference in (1, ANN, ANNS, "vintage-vault"):
            body = shown(await seller_by(reads, reference))
            del body["createdAt"]
            assert body == {
                "id": str(ANNS),
                "shopName": "Vintage Vault",
                "slug": "vintage-vault",
                "kind": "shop",
                "status": "verified",
                "logoUrl": "",
                "bio": "",
                "category": "",
                "socialLinks": {"instagram": "@vintage"},
                "rating": 0,
                "reviewCount": 0,
                "followerCount": 1,
                "productCount": 1,
            }
        for reference in (2, BEA, BEAS, "vintage"):
            assert await seller_by(reads, reference) is None


async def test_lists_are_of_a_status_and_in_an_order(stand: Stand, reads: ReadPool) -> None:
    async with read_models(stand):
        await record(stand, HouseSellerOpened(seller_id=HOUSE_SELLER, shop_name="Tradelog", slug="house"))
        await record(stand, applied(ANN, 1, "Zoe's"), verified(ANN))
        await record(stand, applied(BEA, 2, "bea's"), verified(BEA), followed(FAN, ANNS))
        await record(stand, applied(FAN, 3, "Waiting"))
        assert await names(reads) == ["bea's", "Zoe's", "Tradelog"]
        assert await names(reads, sort=SortSellers.OLDEST) == ["Tradelog", "Zoe's", "bea's"]
        assert await names(reads, sort=SortSellers.FOLLOWERS) == ["Zoe's", "Tradelog", "bea's"]
        assert await names(reads, sort=SortSellers.NAME) == ["bea's", "Tradelog", "Zoe's"]
        assert await names(reads, words="'S", sort=SortSellers.NAME) == ["bea's", "Zoe's"]
        assert await names(reads, words="100%") == []
        assert await names(reads, status=SellerStatus.PENDING) == ["Waiting"]
        assert len(await names(reads, status=None)) == 4
        page = await sellers_page(reads, SellerFilter(), Piece(skip=1, limit=1))
        assert (page.total, [each.shop.seller.id for each in page.shops]) == (3, [ANNS])


async def test_who_is_suspended_is_out_of_sight_until_reinstated(stand: Stand, reads: ReadPool) -> None:
    async with read_models(stand):
        await record(stand, applied(ANN, 1, "Vintage Vault"), verified(ANN), followed(FAN, ANNS))
        await record(stand, suspended(ANN))
        assert await names(reads) == []
        assert (await followed_by(reads, FAN, Piece())).total == 0
        assert await follower_count_of(reads, ANNS) == 1
        await record(stand, reinstated(ANN))
        assert await names(reads) == ["Vintage Vault"]
        assert [each.shop.seller.id for each in (await followed_by(reads, FAN, Piece())).shops] == [ANNS]


async def test_followers_are_counted_and_listed(stand: Stand, reads: ReadPool) -> None:
    async with read_models(stand):
        for account_id, number in ((ANN, 1), (BEA, 2)):
            await record(stand, applied(account_id, number, f"Shop {number}"), verified(account_id))
        await record(stand, followed(FAN, ANNS), followed(FAN, BEAS), followed(ANN, BEAS))
        assert [await follower_count_of(reads, seller) for seller in (ANNS, BEAS)] == [1, 2]
        assert await follows_seller(reads, FAN, ANNS)
        assert not await follows_seller(reads, BEA, ANNS)
        assert (await followed_by(reads, FAN, Piece(limit=1))).total == 2
        await record(stand, SellerUnfollowed(account_id=FAN, seller_id=ANNS))
        assert [await follower_count_of(reads, seller) for seller in (ANNS, BEAS)] == [0, 2]
        assert not await follows_seller(reads, FAN, ANNS)
        assert [each.shop.seller.id for each in (await followed_by(reads, FAN, Piece())).shops] == [BEAS]


async def test_nothing_is_left_of_who_was_erased_and_a_rebuild_comes_to_the_same(
    stand: Stand, reads: ReadPool
) -> None:
    async with read_models(stand):
        await record(stand, applied(ANN, 1, "Vintage Vault"), verified(ANN), applied(BEA, 2, "Bea's"))
        await record(
            stand,
            followed(FAN, ANNS),
            verified(BEA),
            followed(ANN, BEAS),
            ShippingProfileAdded(
                seller_id=ANNS,
                account_id=ANN,
                profile_id=UUID(int=5),
                profile=ShippingProfile(name="By my brother", base_cost=Money(1)),
            ),
            suspended(ANN),
        )
        live = await stand.kept(SELLER_LIST)
        assert live == await stand.folded(SELLER_LIST)
        await record(
            stand,
            AccountErased(account_id=ANN, erased_at=AT),
            SellerClosed(seller_id=ANNS, account_id=ANN),
            SellerUnfollowed(account_id=ANN, seller_id=BEAS),
            AccountErased(account_id=FAN, erased_at=AT),
            SellerUnfollowed(account_id=FAN, seller_id=ANNS),
        )
        await stand.shop.keys.destroy(ANN)
        found = await seller_by(reads, 1)
        assert found is not None
        assert found.shop.seller.status is SellerStatus.CLOSED
        words = msgspec.json.encode(own_body(found, lambda logo: logo)) + b"".join(
            document for (document,) in await reads.all("SELECT document FROM sellers WHERE key = %s", ANNS)
        )
        for told in (b"Vintage", b"vintage", b"brother", b"fakes"):
            assert told not in words
        assert await seller_by(reads, "vintage-vault") is None
        assert await follower_count_of(reads, BEAS) == 0
        assert await reads.all("SELECT key FROM follows") == []
        for projection in (SELLER_LIST, FOLLOW_LIST):
            assert await stand.kept(projection) == await stand.folded(projection)


async def test_who_is_erased_is_forgotten_without_being_closed_too(stand: Stand, reads: ReadPool) -> None:
    profile = ShopProfile(shop_name="jane")
    opened = PersonalSellerOpened(seller_id=ANNS, account_id=ANN, account_number=1, profile=profile)
    renamed = SellerProfileUpdated(
        seller_id=ANNS, account_id=ANN, profile=ShopProfile(shop_name="Jane's"), changed=("shop_name",)
    )
    async with read_models(stand):
        await record(stand, opened, renamed, AccountErased(account_id=ANN, erased_at=AT))
        (shop,) = (await stand.kept(SELLER_LIST)).values()
        assert isinstance(shop, Shop)
        assert (shop.seller.status, shop.seller.profile) == (SellerStatus.CLOSED, ShopProfile())


async def test_a_slug_that_changes_hands_within_a_batch_is_with_its_new_owner(
    stand: Stand, reads: ReadPool
) -> None:
    def renamed(account_id: AccountId, slug: str) -> SellerProfileUpdated:
        profile = ShopProfile(shop_name=slug, slug=slug)
        return SellerProfileUpdated(
            seller_id=seller_of(account_id), account_id=account_id, profile=profile, changed=("slug",)
        )

    async with read_models(stand):
        await record(stand, applied(ANN, 1, "Lamps"), applied(BEA, 2, "Bowls"))
        await record(
            stand,
            SellerVerified(seller_id=BEAS, account_id=BEA),
            renamed(ANN, "lights"),
            renamed(BEA, "lamps"),
        )
    assert await stand.generations.dead_letters() == []
    for slug, seller_id in (("lamps", BEAS), ("lights", ANNS)):
        found = await seller_by(reads, slug)
        assert found is not None
        assert found.shop.seller.id == seller_id
