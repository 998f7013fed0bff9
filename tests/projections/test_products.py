"""The catalogue's read model: what happens to a listing and around it, and what is shown of it then."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.accounts.events import Caller
from domain.categories.events import CategoryDeleted, CategoryUpdated
from domain.collections.events import (
    CollectionProductsAdded,
    CollectionProductsArranged,
    CollectionProductsRemoved,
)
from domain.kernel import (
    AccountId,
    CategoryId,
    CollectionId,
    Event,
    MediaId,
    Recorded,
    SellerId,
    stream_id,
)
from domain.listings.events import (
    ListingCategorized,
    ListingDeleted,
    ListingFlagged,
    ListingHidden,
    ListingMedia,
    ListingMediaAttached,
    ListingMediaDetached,
    ListingPublished,
    ListingRestored,
    ListingSlugChanged,
    ListingSold,
    Location,
    StockAdjusted,
    StockRestored,
)
from domain.media.events import MediaProcessed, MediaProcessingFailed, Variant
from domain.sellers.events import PersonalSellerOpened, ShopProfile, seller_of
from projections.numbers import number_behind
from projections.products.product import Product, availability, facts_of, low_stock_of, product_body
from projections.products.projector import PRODUCTS, fold_product
from projections.products.query import FoundProduct, product_by
from projections.sellers.projector import SELLER_LIST
from tests.domain.builders import NOW, ORDER_ID, a_listing, a_listing_created, listing_id
from tests.projections.test_forgetting import Shown, showing

ADA = Caller(account_id=AccountId(stream_id("account", 1)), number=1)
NORTH = seller_of(ADA.account_id)
SUMMER = CollectionId(stream_id("collection", 7))
PICTURE, OTHER = (MediaId(stream_id("media", name)) for name in ("a", "b"))


def cat(number: int) -> CategoryId:
    return CategoryId(stream_id("category", number))


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Shown]:
    async with showing(database_url, PRODUCTS, SELLER_LIST) as shown:
        yield shown


async def found(shown: Shown, reference: int | UUID | str = 1) -> FoundProduct:
    product = await product_by(shown.reads, reference)
    assert product is not None
    return product


async def body(shown: Shown, *names: str) -> Any:
    whole = json.loads((await found(shown)).body)
    return [whole[name] for name in names] if len(names) > 1 else whole[names[0]]


async def row(shown: Shown, *names: str) -> Any:
    values = await shown.reads.one(f"SELECT {', '.join(names)} FROM products WHERE number = 1")
    assert values is not None
    return values


def variant(name: str, width: int) -> Variant:
    return Variant(
        name=name, key=f"media/{name}.webp", mime_type="image/webp", width=width, height=width, size=width * 9
    )


def attached(media_id: MediaId, index: int) -> ListingMediaAttached:
    media = ListingMedia(media_id=media_id, mime_type="image/heic", size=4096)
    return ListingMediaAttached(listing_id=listing_id(1), media=media, index=index)


def processed(media_id: MediaId) -> MediaProcessed:
    return MediaProcessed(
        media_id=media_id,
        owner_id=ADA.account_id,
        width=1200,
        height=800,
        variants=(variant("large", 1000), variant("thumbnail", 150)),
    )


class TestCategories:
    async def test_a_product_is_where_its_category_is_by_now(self, shown: Shown) -> None:
        created = a_listing_created(
            category_id=cat(2), category="lamps", further_category_ids=(cat(3), cat(4))
        )
        await shown.record(created, ListingPublished(listing_id=listing_id(1)))
        assert await body(shown, "category", "categoryId", "categories") == ["lamps", 2, [2, 3, 4]]
        updated = await body(shown, "updatedAt")
        await shown.record(
            CategoryUpdated(category_id=cat(2), slug="lights"), CategoryUpdated(category_id=cat(3), slug="x")
        )
        assert await body(shown, "category", "categoryId", "updatedAt") == ["lights", 2, updated]
        await shown.record(
            CategoryDeleted(category_id=cat(2), successor_id=cat(4), successor_slug="home"),
            CategoryUpdated(category_id=cat(4), slug="at-home"),
        )
        assert await body(shown, "category", "categoryId", "categories") == ["at-home", 4, [4, 3]]
        assert await row(shown, "category_ids", "version") == ([cat(4), cat(3)], 2)
        await shown.record(
            ListingCategorized(listing_id=listing_id(1), category_id=cat(9), category="tables")
        )
        await shown.record(CategoryUpdated(category_id=cat(4), slug="nobody"))
        assert await body(shown, "category", "categories") == ["tables", [9]]
        assert (await shown.rebuilt(PRODUCTS)).startswith("equal to generation 1")

    async def test_what_is_only_called_otherwise_concerns_no_product(self, shown: Shown) -> None:
        await shown.record(a_listing_created(category_id=cat(2)))
        before = await row(shown, "position")
        await shown.record(CategoryUpdated(category_id=cat(2), name="Lights"))
        assert await row(shown, "position") == before


class TestCollections:
    async def test_a_product_says_in_which_it_is(self, shown: Shown) -> None:
        first, second = listing_id(1), listing_id(2)
        other = CollectionId(stream_id("collection", 8))
        await shown.record(
            a_listing_created(1),
            a_listing_created(2),
            CollectionProductsAdded(collection_id=SUMMER, listings=(first, second, listing_id(99))),
            CollectionProductsAdded(collection_id=other, listings=(first,)),
        )
        assert await body(shown, "collections") == [7, 8]
        await shown.record(CollectionProductsArranged(collection_id=SUMMER, listings=(second,)))
        assert await body(shown, "collections") == [8]
        await shown.record(
            CollectionProductsArranged(collection_id=SUMMER, listings=(second, first)),
            CollectionProductsRemoved(collection_id=other, listings=(first,)),
        )
        assert await body(shown, "collections") == [7]
        assert (await shown.rebuilt(PRODUCTS)).startswith("equal to generation 1")


class TestPictures:
    def after(self, *events: Event) -> dict[str, Any]:
        product: Product | None = None
        for version, event in enumerate((a_listing_created(thumbnail=""), *events), start=1):
            stream = UUID(str(getattr(event, "listing_id", None) or getattr(event, "media_id", None)))
            recorded = Recorded(
                event=event,
                id=UUID(int=version),
                stream=stream,
                aggregate="listings",
                version=version,
                position=version,
                timestamp=NOW,
                actor="tests",
            )
            if product is None or PRODUCTS.takes(product, recorded, listing_id(1)):
                product = fold_product(product, recorded, listing_id(1))
        assert product is not None
        return product_body(product)

    def test_have_an_address_once_they_are_processed(self) -> None:
        failed = MediaProcessingFailed(media_id=OTHER, owner_id=ADA.account_id, reason="no picture")
        before = self.after(attached(PICTURE, 0), attached(OTHER, 0))
        assert before["images"] == ["https://example.com/1.webp"]
        assert before["thumbnail"] == "https://example.com/1.webp"
        assert [(each["status"], each["url"], each["position"]) for each in before["media"]] == [
            ("processing", "", 0),
            ("processing", "", 1),
        ]
        after = self.after(attached(PICTURE, 0), attached(OTHER, 0), processed(PICTURE), failed)
        assert after["images"] == ["media:///media/large.webp", "https://example.com/1.webp"]
        assert after["thumbnail"] == "media:///media/thumbnail.webp"
        assert [(each["mediaId"], each["status"], each["width"]) for each in after["media"]] == [
            (str(OTHER), "failed", 0),
            (str(PICTURE), "ready", 1200),
        ]
        assert after["media"][1]["variants"][1] == {
            "name": "thumbnail",
            "url": "media:///media/thumbnail.webp",
            "mimeType": "image/webp",
            "width": 150,
            "height": 150,
            "size": 1350,
        }

    def test_that_are_not_shown_any_more_change_nothing(self) -> None:
        detached = ListingMediaDetached(listing_id=listing_id(1), media_id=PICTURE)
        assert self.after(attached(PICTURE, 0), detached, processed(PICTURE))["images"] == [
            "https://example.com/1.webp"
        ]


class TestItsLife:
    async def test_who_may_read_it_and_what_they_read(self, shown: Shown) -> None:
        await shown.record(
            PersonalSellerOpened(
                seller_id=NORTH,
                account_id=ADA.account_id,
                account_number=1,
                profile=ShopProfile(shop_name="North", slug="north"),
            ),
            a_listing_created(
                seller_id=NORTH, unique=True, stock=1, location=Location(lat=52.5, lng=13.4, city="Berlin")
            ),
        )
        assert await row(shown, "visible", "readable", "version") == (False, False, 1)
        draft = await found(shown)
        assert draft.seller is not None
        assert json.loads(draft.seller)["seller"]["profile"]["shop_name"] == "North"
        await shown.record(
            ListingPublished(listing_id=listing_id(1), expires_at=NOW + timedelta(days=60)),
            ListingSlugChanged(listing_id=listing_id(1), slug="new"),
        )
        assert ((await found(shown, "new")).moved_from, (await found(shown, "listing-1")).moved_from) == (
            "",
            "listing-1",
        )
        location, expires, sold = await body(shown, "location", "expiresAt", "soldAt")
        assert (location, expires[:10], sold) == (
            {"lat": 52.5, "lng": 13.4, "city": "Berlin"},
            "2027-01-20",
            None,
        )
        await shown.record(ListingSold(listing_id=listing_id(1), order_id=ORDER_ID))
        assert await row(shown, "visible", "readable") == (False, True)
        assert await body(shown, "soldAt") is not None
        await shown.record(StockRestored(listing_id=listing_id(1), order_id=ORDER_ID, quantity=1))
        assert await body(shown, "status", "soldAt") == ["active", None]
        await shown.record(
            ListingFlagged(listing_id=listing_id(1), flags=("dubious",), note="looks stolen"),
            ListingHidden(listing_id=listing_id(1), reason="counterfeit"),
            ListingDeleted(listing_id=listing_id(1), deleted_at=NOW),
        )
        gone = await found(shown)
        assert (gone.readable, gone.deleted) == (False, True)
        assert json.loads(gone.kept) == {
            "moderation": "hidden",
            "moderationReason": "counterfeit",
            "flags": ["dubious"],
            "flagNote": "looks stolen",
            "isDeleted": True,
            "deletedOn": "2026-11-21T12:00:00.000Z",
        }
        await shown.record(ListingRestored(listing_id=listing_id(1)))
        assert await row(shown, "deleted", "moderation", "flags", "visible") == (
            False,
            "hidden",
            ["dubious"],
            False,
        )
        assert (await shown.rebuilt(PRODUCTS)).startswith("equal to generation 1")

    async def test_there_are_few_or_none_of_it(self, shown: Shown) -> None:
        await shown.record(a_listing_created(stock=6))
        words = []
        for stock in (5, 0, 8):
            await shown.record(StockAdjusted(listing_id=listing_id(1), stock=stock))
            words.append(await body(shown, "availabilityStatus", "inStock"))
        assert words == [["Low Stock", True], ["Out of Stock", False], ["In Stock", True]]


def test_what_came_as_low_stays_so_until_there_is_more() -> None:
    low = low_stock_of(a_listing(stock=7, extras={"availabilityStatus": "Low Stock"}))
    assert [availability(units, low) for units in (0, 6, 7, 8)] == [
        "Out of Stock",
        "Low Stock",
        "Low Stock",
        "In Stock",
    ]
    assert low_stock_of(a_listing(stock=7, extras={"availabilityStatus": "In Stock"})) == 5


def test_facts_are_one_for_each_value() -> None:
    listing = a_listing(
        attributes={"size": "M", "ram": 16.0, "colours": ["red", "blue"], "new": True, "w": 1.5}
    )
    assert facts_of(listing) == ["size=M", "ram=16", "colours=red", "colours=blue", "new=true", "w=1.5"]


def test_nobody_is_shown_anothers_number() -> None:
    assert [number_behind("category", cat(number)) for number in (1, 1000, 1001)] == [1, 1000, 1001]
    assert number_behind("category", UUID(int=5)) is None
    assert number_behind("collection", cat(1)) is None


def test_a_listings_own_fields_are_not_overruled() -> None:
    listing = a_listing(extras={"sku": "A-1", "price": 0, "sellerId": "me", "meta": {"barcode": "7"}})
    product = Product(listing=listing, created_at=NOW, updated_at=NOW, imported_rating=None)
    built = PRODUCTS.into.row(product)["body"]  # type: ignore[union-attr]
    whole = json.loads(built)
    assert (whole["price"], whole["sku"], whole["meta"]) == (10, "A-1", {"barcode": "7"})
    assert whole["sellerId"] == str(SellerId(listing.seller_id))
