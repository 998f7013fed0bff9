"""Offering things, on a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from application.accounts.registering import NewPerson, RegisterAccount
from application.categories.changing import ChangeCategory, change_category
from application.categories.creating import CreateCategory
from application.categories.deleting import DeleteCategory
from application.collections.keeping import CreateCollection, DeleteCollection
from application.errors import ConcurrentChangeError
from application.listings.changing import ChangeListing, change_listing, listing_called
from application.listings.creating import CreateListing, create_listing
from application.listings.deleting import DeleteListing, RestoreListing
from application.listings.moderating import FlagListing, HideListing, RemoveListing, UnhideListing
from application.listings.publishing import (
    ExpireListing,
    PublishListing,
    RenewListing,
    UnpublishListing,
    publish_listing,
)
from application.ports import AlreadyAnsweredError, Answer, Changed, EventStore, Metadata, Once
from application.sellers.judging import SuspendSeller
from application.sellers.keeping import AddShippingProfile, RemoveShippingProfile
from domain.accounts.events import Caller, Role
from domain.attributes import Attribute, AttributeType
from domain.categories.category import Category, SlugExistsError
from domain.categories.events import ListingShelved, ListingUnshelved, shelves_of
from domain.categories.shelf import CATEGORY_SHELVES
from domain.categories.tree import CategoryNotEmptyError
from domain.claims.events import ValueClaimed
from domain.collections.collection import COLLECTIONS, Collection
from domain.collections.events import CollectionProductsAdded, CollectionProductsRemoved
from domain.kernel import DomainError, ForbiddenError, InvalidInputError, SellerId
from domain.listings.events import (
    ListingCategorized,
    ListingCreated,
    ListingDeleted,
    ListingDetailsChanged,
    ListingDiscountChanged,
    ListingExpired,
    ListingPriceChanged,
    ListingPublished,
    ListingRelocated,
    ListingRenewed,
    ListingShippingChosen,
    ListingSlugChanged,
    ListingStatus,
    ListingUnpublished,
    Location,
    StockAdjusted,
)
from domain.listings.listing import (
    LIFETIME,
    LISTINGS,
    Listing,
    ListingInOrderError,
    ListingNotPublishableError,
    ListingSoldError,
    ProductNotFoundError,
)
from domain.money import Money
from domain.sellers.events import HOUSE_SELLER, ShippingProfile, seller_of
from domain.sellers.seller import SellerRequiredError
from tests.application.shop import METADATA, Shop
from tests.domain.builders import ADMIN

SIZE = Attribute(key="size", label="Size", type=AttributeType.ENUM, options=("S", "M"), required=True)
WATT = Attribute(key="watt", label="Watt", type=AttributeType.NUMBER)
IMAGE = "https://example.com/1.webp"


class Bazaar(Shop):
    """With categories, and people who sell in them."""

    async def category(self, name: str, *attributes: Attribute, **fields: Any) -> Category:
        command = CreateCategory(name=name, attributes=attributes, **fields)
        category: Category = (await self.handle(command)).state.category
        return category

    async def collection(self, name: str) -> Collection:
        collection: Collection = (await self.handle(CreateCollection(name=name))).state
        return collection

    async def seller(self, name: str = "jane") -> Caller:
        """Somebody with a personal shop, as signing up makes them (C24)."""
        person = NewPerson(email=f"{name}@example.com", roles=frozenset({Role.SELLER}))
        account = (await self.handle(RegisterAccount(person=person))).state.account
        return Caller(account_id=account.id, number=account.number, roles=frozenset({Role.SELLER}))

    async def offer(self, category: str = "lamps", by: Caller | None = None, **fields: Any) -> Listing:
        listing: Listing = (await self.handle(offering(category, by, **fields))).state
        return listing

    async def change(self, listing: Listing, by: Caller = ADMIN, **fields: Any) -> Listing:
        changed: Listing = (await self.handle(changing(listing, by, **fields))).state
        return changed

    async def counted(self, category: Category) -> int:
        shelves = [await self.now(CATEGORY_SHELVES, shelf) for shelf in shelves_of(category.id)]
        return sum(shelf.listings for shelf in shelves if shelf is not None)

    async def refuses(
        self, command: object, error: type[DomainError], details: Any = None, metadata: Metadata = METADATA
    ) -> None:
        """It is refused like this, and nothing of it is recorded."""
        head = await self.log.head()
        with pytest.raises(error) as refusal:
            await self.handle(command, metadata)
        assert details is None or refusal.value.details == details
        assert await self.log.head() == head


def offering(category: str = "lamps", by: Caller | None = None, **fields: Any) -> CreateListing:
    given: dict[str, Any] = {
        "title": "Old lamp",
        "description": "It still burns.",
        "price": Money(1000),
        "images": (IMAGE,),
        "stock": 5,
        **fields,
    }
    seller_id = SellerId(HOUSE_SELLER) if by is None else seller_of(by.account_id)
    return CreateListing(seller_id=seller_id, category=category, **given)


def changing(listing: Listing, by: Caller = ADMIN, **fields: Any) -> ChangeListing:
    return ChangeListing(listing_id=listing.id, caller=by, **fields)


def once(key: str) -> Metadata:
    return Metadata(
        actor="test",
        once=Once(
            scope="test",
            key=key,
            request_hash=key.encode(),
            answer=lambda changed: Answer(status=200, body=str(changed.state.id).encode()),
        ),
    )


async def both(*commands: Any) -> list[Any]:
    return await asyncio.gather(*commands, return_exceptions=True)


@pytest.fixture
async def shop() -> Bazaar:
    shop = Bazaar()
    await shop.category("Lamps")
    return shop


class Numbers:
    def __init__(self, first: int) -> None:
        self._next = first

    async def next(self, name: str) -> int:
        self._next += 1
        return self._next


class TestCreating:
    async def test_is_one_append_of_all_that_it_concerns(self, shop: Bazaar) -> None:
        lights = await shop.category("Lights")
        sale = await shop.collection("Sale")
        head = await shop.log.head()
        listing = await shop.offer(
            category="",
            categories=("lamps", "lights", "lamps"),
            collections=("sale",),
            attributes={"style": "old", "size": None},
            extras={"sku": "L-1"},
            location=Location(lat=52.516272, lng=13.377722, city="Berlin"),
            publish=True,
        )
        lamps, further = listing.category_ids
        events = await shop.events_after(head)
        assert [type(event) for event in events] == [
            ListingCreated,
            ListingPublished,
            ValueClaimed,
            ListingShelved,
            ListingShelved,
            CollectionProductsAdded,
        ]
        assert (listing.category, further) == ("lamps", lights.id)
        assert events[3:] == [
            ListingShelved(category_id=lamps, listing_id=listing.id),
            ListingShelved(category_id=lights.id, listing_id=listing.id),
            CollectionProductsAdded(collection_id=sale.id, listings=(listing.id,)),
        ]
        assert (listing.attributes, listing.extras) == ({"style": "old"}, {"sku": "L-1"})
        assert listing.location == Location(lat=52.52, lng=13.38, city="Berlin")
        assert (listing.slug, listing.thumbnail) == ("old-lamp", IMAGE)

    async def test_a_category_comes_before_the_others(self, shop: Bazaar) -> None:
        lights = await shop.category("Lights")
        listing = await shop.offer(category="lights", categories=("lamps",))
        assert (listing.category_id, listing.category) == (lights.id, "lights")
        assert len(listing.further_category_ids) == 1

    async def test_one_description_stands_for_the_other(self, shop: Bazaar) -> None:
        listing = await shop.offer(description="", description_short="A lamp", publish=True)
        assert (listing.description, listing.description_short) == ("A lamp", "A lamp")

    async def test_a_sale_price_is_a_discount(self, shop: Bazaar) -> None:
        listing = await shop.offer(sale_price=Money(850))
        assert listing.discount_percentage == Decimal(15)
        await shop.refuses(
            offering(sale_price=Money(850), discount_percentage=Decimal(10)),
            InvalidInputError,
            {"salePrice": ["Must be the price less the discountPercentage"]},
        )

    @pytest.mark.parametrize(
        ("fields", "details"),
        [
            ({"category": "nowhere"}, {"category": ["Does not exist"]}),
            (
                {"category": "", "categories": ("lamps", "no-1", "99")},
                {"categories[1]": ["Does not exist"], "categories[2]": ["Does not exist"]},
            ),
            ({"collections": ("no", "7")}, {"collections[0]": ["Does not exist"]}),
            ({"media_ids": (UUID(int=7),), "caller": ADMIN}, {"mediaIds[0]": ["Does not exist"]}),
            ({"shipping_profile_id": UUID(int=7)}, {"shippingProfileId": ["Does not exist"]}),
            ({"attributes": {"watt": 60}}, {"attributes.watt": ["Is not an attribute of this category"]}),
            ({"attributes": {"size": 60}}, {"attributes.size": ["Must be a text"]}),
        ],
    )
    async def test_what_it_names_must_be_there(self, shop: Bazaar, fields: Any, details: Any) -> None:
        await shop.refuses(offering(**{"category": "lamps", **fields}), InvalidInputError, details)

    async def test_of_a_collection_that_was_never_made(self, shop: Bazaar) -> None:
        """By its number it might be one; only the decision can tell."""
        await shop.refuses(
            offering(collections=("7",)), InvalidInputError, {"collections[0]": ["Does not exist"]}
        )

    async def test_a_category_that_nobody_sees_takes_nothing(self, shop: Bazaar) -> None:
        attic = await shop.category("Attic", active=False)
        await shop.category("Boxes", parent="attic")
        for reference in ("attic", "boxes"):
            await shop.refuses(offering(reference), InvalidInputError, {"category": ["Is not active"]})
            await shop.refuses(
                offering(categories=(reference,)), InvalidInputError, {"categories[0]": ["Is not active"]}
            )
        assert await shop.counted(attic) == 0

    async def test_a_draft_may_be_incomplete_and_what_is_published_may_not(self, shop: Bazaar) -> None:
        await shop.category("Shirts", SIZE)
        await shop.refuses(
            offering("shirts", images=(), publish=True),
            ListingNotPublishableError,
            {"images": ["Must have at least one image"], "attributes.size": ["Is required"]},
        )
        draft = await shop.offer("shirts", images=())
        assert draft.status is ListingStatus.DRAFT
        whole = await shop.offer("shirts", attributes={"size": "M"}, publish=True)
        assert whole.status is ListingStatus.ACTIVE

    async def test_by_a_shipping_profile_of_ones_own(self, shop: Bazaar) -> None:
        jane, john = await shop.seller(), await shop.seller("john")
        profile = ShippingProfile(name="Post", base_cost=Money(500))
        command = AddShippingProfile(seller_id=seller_of(jane.account_id), profile=profile)
        profile_id = (await shop.handle(command)).state.id
        assert (await shop.offer(by=jane, shipping_profile_id=profile_id)).shipping_profile_id == profile_id
        await shop.refuses(
            offering(by=john, shipping_profile_id=profile_id),
            InvalidInputError,
            {"shippingProfileId": ["Does not exist"]},
        )

    async def test_what_people_offer_is_there_for_sixty_days(self, shop: Bazaar) -> None:
        jane = await shop.seller()
        listing = await shop.offer(by=jane, publish=True)
        assert listing.expires_at == shop.clock.now() + LIFETIME
        assert (await shop.offer(publish=True)).expires_at is None
        assert (await shop.offer(by=jane)).expires_at is None

    async def test_a_slug_is_taken_once(self, shop: Bazaar) -> None:
        first = await shop.offer()
        second = await shop.offer()
        assert (first.slug, second.slug) == ("old-lamp", f"old-lamp-{second.number}")
        await shop.offer(slug=f"old-lamp-{second.number + 2}")
        assert (await shop.offer()).slug.startswith("old-lamp-")
        long = [await shop.offer(title="Lamp " * 40) for _ in range(2)]
        assert max(len(listing.slug) for listing in long) <= 100
        await shop.refuses(offering(slug="old-lamp"), SlugExistsError, {"slug": ["Is already taken"]})

    async def test_once_is_once_though_what_it_named_is_gone(self, shop: Bazaar) -> None:
        sale = await shop.collection("Sale")
        command = offering(collections=("sale",))
        listing = (await shop.handle(command, once("k"))).state
        await shop.change(listing, collections=(), collected_in=(sale.id,))
        await shop.handle(DeleteCollection(collection="sale"))
        with pytest.raises(AlreadyAnsweredError) as answered:
            await shop.handle(command, once("k"))
        assert answered.value.answer.body == str(listing.id).encode()

    async def test_a_slug_that_two_want_at_once_is_one_ones(self, shop: Bazaar) -> None:
        results = await both(
            *(_create(shop, shop.another_store(), offering(slug="mine"), number) for number in (100, 200))
        )
        assert sorted(type(result).__name__ for result in results) == ["Changed", "SlugExistsError"]


def _create(shop: Bazaar, store: EventStore, command: CreateListing, number: int) -> Any:
    return create_listing(
        command,
        METADATA,
        store=store,
        keys=shop.keys,
        numbers=Numbers(number),
        clock=shop.clock,
        lifetime=LIFETIME,
    )


class TestChanging:
    async def test_only_what_differs_is_recorded(self, shop: Bazaar) -> None:
        listing = await shop.offer(description_short="Lamp", attributes={"style": "old"}, publish=True)
        same: dict[str, Any] = {
            "title": listing.title,
            "description": listing.description,
            "description_short": listing.description_short,
            "brand": "",
            "tags": (),
            "thumbnail": IMAGE,
            "images": (IMAGE,),
            "attributes": {"style": "old", "size": None},
            "common": {"style": "old"},
            "extras": {"sku": None},
            "category": "lamps",
            "categories": ("lamps",),
            "collections": (),
            "slug": "old-lamp",
            "price": Money(1000),
            "discount_percentage": Decimal(0),
            "sale_price": Money(1000),
            "stock": 5,
            "location": None,
            "shipping_profile_id": None,
        }
        head = await shop.log.head()
        assert await shop.change(listing, **same) == listing
        assert await shop.log.head() == head

    async def test_each_field_has_its_event(self, shop: Bazaar) -> None:
        lights = await shop.category("Lights")
        listing = await shop.offer()
        head = await shop.log.head()
        changed = await shop.change(
            listing,
            title="Lamp",
            attributes={"style": "old"},
            extras={"sku": "L-1"},
            category="lights",
            slug="lamp",
            price=Money(2000),
            sale_price=Money(1000),
            stock=7,
            location=Location(lat=1.004, lng=2),
        )
        events = await shop.events_after(head)
        assert events == [
            ListingDetailsChanged(
                listing_id=listing.id, title="Lamp", attributes={"style": "old"}, extras={"sku": "L-1"}
            ),
            ListingCategorized(listing_id=listing.id, category_id=lights.id, category="lights"),
            ListingPriceChanged(listing_id=listing.id, price=Money(2000)),
            ListingDiscountChanged(listing_id=listing.id, discount_percentage=Decimal("50.00")),
            StockAdjusted(listing_id=listing.id, stock=7),
            ListingRelocated(listing_id=listing.id, location=Location(lat=1.0, lng=2)),
            ListingSlugChanged(listing_id=listing.id, slug="lamp"),
            ValueClaimed(kind="listing-slug", owner=listing.id),
            ListingUnshelved(category_id=listing.category_id, listing_id=listing.id),
            ListingShelved(category_id=lights.id, listing_id=listing.id),
        ]
        assert changed.number == listing.number

    async def test_a_discount_goes_with_its_sale_price(self, shop: Bazaar) -> None:
        listing = await shop.offer(discount_percentage=Decimal(10))
        assert (await shop.change(listing, sale_price=None)).discount_percentage == 0

    async def test_attributes_and_extras_are_changed_one_by_one(self, shop: Bazaar) -> None:
        await shop.category("Bulbs", WATT)
        listing = await shop.offer(
            "bulbs", attributes={"watt": 60, "style": "old"}, extras={"sku": "1", "weight": 2}
        )
        changed = await shop.change(
            listing, attributes={"watt": 40}, common={"style": None}, extras={"sku": None}
        )
        assert (changed.attributes, changed.extras) == ({"watt": 40}, {"weight": 2})
        assert (await shop.change(listing, attributes=None)).attributes == {}

    async def test_a_slug_that_it_had_leads_to_it_and_is_nobody_elses(self, shop: Bazaar) -> None:
        listing, other = await shop.offer(), await shop.offer(title="Other")
        await shop.change(listing, slug="lamp")
        for reference in ("old-lamp", "lamp", str(listing.number), str(listing.id)):
            assert await listing_called(reference, shop.store, shop.keys) == listing.id
        for command in (
            offering(slug="old-lamp"),
            changing(other, slug="old-lamp"),
            changing(other, slug="lamp"),
        ):
            await shop.refuses(command, SlugExistsError)
        back = await shop.change(listing, slug="old-lamp")
        assert (back.slug, back.former_slugs) == ("old-lamp", ("lamp",))
        assert (await shop.offer()).slug == f"old-lamp-{other.number + 2}"

    async def test_a_slug_that_two_want_at_once_is_one_ones(self, shop: Bazaar) -> None:
        listings = [await shop.offer(), await shop.offer()]
        results = await both(
            *(
                change_listing(
                    changing(listing, slug="mine"), METADATA, store=shop.another_store(), keys=shop.keys
                )
                for listing in listings
            )
        )
        assert sorted(type(result).__name__ for result in results) == ["Changed", "SlugExistsError"]

    async def test_of_two_edits_of_one_version_one_is_refused(self, shop: Bazaar) -> None:
        listing = await shop.offer()
        metadata = Metadata(actor="test", expected_version=1)
        results = await both(
            *(
                change_listing(
                    changing(listing, title=title), metadata, store=shop.another_store(), keys=shop.keys
                )
                for title in ("One", "Two")
            )
        )
        assert sorted(type(result).__name__ for result in results) == ["Changed", "ConcurrentChangeError"]
        await shop.refuses(changing(listing, price=Money(1)), ConcurrentChangeError, metadata=metadata)

    async def test_what_is_shown_as_the_stock_can_be_sent_back(self, shop: Bazaar) -> None:
        listing, buyer = await shop.offer(publish=True), await shop.buyer()
        await shop.order(buyer, (listing, 2))
        head = await shop.log.head()
        assert (await shop.change(listing, stock=3)).stock == 5
        assert await shop.log.head() == head
        assert (await shop.change(listing, stock=8)).available == 8

    async def test_is_for_its_seller_and_admins(self, shop: Bazaar) -> None:
        jane, john = await shop.seller(), await shop.seller("john")
        listing = await shop.offer(by=jane)
        await shop.refuses(changing(listing, john, title="Mine"), ForbiddenError)
        await shop.refuses(DeleteListing(listing_id=listing.id, caller=john), ForbiddenError)
        assert (await shop.change(listing, jane, title="Lamp")).title == "Lamp"
        assert (await shop.change(listing, ADMIN, title="Light")).title == "Light"

    async def test_what_is_sold_stays_as_it_is(self, shop: Bazaar) -> None:
        listing, buyer = await shop.offer(stock=1, unique=True, publish=True), await shop.buyer()
        order = await shop.order(buyer, (listing, 1))
        await shop.store.change(LISTINGS, listing.id, lambda now: now.commit(order.id, 1), METADATA)  # type: ignore[union-attr]
        await shop.refuses(changing(listing, title="Lamp"), ListingSoldError)
        await shop.refuses(PublishListing(listing_id=listing.id, caller=ADMIN), ListingSoldError)

    async def test_nothing_that_is_not_there_is_changed(self, shop: Bazaar) -> None:
        nothing = ChangeListing(listing_id=UUID(int=7), caller=ADMIN, title="x")  # type: ignore[arg-type]
        await shop.refuses(nothing, ProductNotFoundError)


class TestCategories:
    async def test_a_listing_is_counted_where_it_is(self, shop: Bazaar) -> None:
        lights, old = await shop.category("Lights"), await shop.category("Old things")
        listing = await shop.offer(categories=("old-things",))
        moved = await shop.change(listing, category="lights")
        assert moved.category_ids == (lights.id, old.id)
        assert (await shop.counted(lights), await shop.counted(old)) == (1, 1)
        await shop.handle(DeleteCategory(category="lamps"))
        only = await shop.change(listing, categories=("old-things",))
        assert (only.category_ids, only.category) == ((old.id,), "old-things")
        assert (await shop.counted(lights), await shop.counted(old)) == (0, 1)
        await shop.refuses(DeleteCategory(category="old-things"), CategoryNotEmptyError, {"listings": 1})

    async def test_what_is_deleted_is_still_counted(self, shop: Bazaar) -> None:
        """It can be restored, and must have a category then."""
        listing = await shop.offer(publish=True)
        await shop.handle(DeleteListing(listing_id=listing.id, caller=ADMIN))
        await shop.refuses(DeleteCategory(category="lamps"), CategoryNotEmptyError, {"listings": 1})

    async def test_in_another_category_it_must_say_what_that_asks_for(self, shop: Bazaar) -> None:
        await shop.category("Shirts", SIZE)
        await shop.category("Bulbs", WATT)
        listing = await shop.offer("bulbs", attributes={"watt": 60}, publish=True)
        await shop.refuses(
            changing(listing, category="shirts"),
            InvalidInputError,
            {"attributes.watt": ["Is not an attribute of this category"], "attributes.size": ["Is required"]},
        )
        moved = await shop.change(listing, category="shirts", attributes={"watt": None, "size": "M"})
        assert (moved.category, moved.attributes) == ("shirts", {"size": "M"})

    async def test_one_that_is_stricter_by_now_waits_for_the_next_edit_of_its_words(
        self, shop: Bazaar
    ) -> None:
        bulbs = await shop.category("Bulbs")
        listing, draft = await shop.offer("bulbs", publish=True), await shop.offer("bulbs")
        await shop.handle(ChangeCategory(category_id=bulbs.id, attributes=(SIZE,)))
        assert (await shop.change(listing, price=Money(1), stock=0, slug="bulb")).price == Money(1)
        await shop.refuses(
            changing(listing, title="Bulb"), InvalidInputError, {"attributes.size": ["Is required"]}
        )
        assert (await shop.change(draft, title="Bulb")).title == "Bulb"
        await shop.refuses(
            PublishListing(listing_id=draft.id, caller=ADMIN),
            ListingNotPublishableError,
            {"attributes.size": ["Is required"]},
        )

    async def test_what_everybody_sees_stays_complete(self, shop: Bazaar) -> None:
        listing = await shop.offer(publish=True)
        await shop.refuses(
            changing(listing, images=(), description=""),
            InvalidInputError,
            {"images": ["Must have at least one image"], "description": ["Is required"]},
        )

    async def test_of_one_that_is_deleted_its_successor_takes_the_place(self, shop: Bazaar) -> None:
        lamps = await shop.category("Desk lamps")
        lights = await shop.category("Lights", WATT)
        listing = await shop.offer("desk-lamps", publish=True)
        await shop.handle(DeleteCategory(category="desk-lamps", reassign_to="lights"))
        head = await shop.log.head()
        moved = await shop.change(listing, attributes={"watt": 60})
        assert (moved.category_ids, moved.category) == ((lights.id,), "lights")
        assert (await shop.events_after(head))[1:] == [
            ListingCategorized(listing_id=listing.id, category_id=lights.id, category="lights"),
            ListingUnshelved(category_id=lamps.id, listing_id=listing.id),
            ListingShelved(category_id=lights.id, listing_id=listing.id),
        ]
        await shop.refuses(DeleteCategory(category="lights"), CategoryNotEmptyError, {"listings": 1})

    async def test_published_in_one_that_has_a_successor_by_now(self, shop: Bazaar) -> None:
        await shop.category("Desk lamps")
        await shop.category("Lights", SIZE)
        draft = await shop.offer("desk-lamps")
        await shop.handle(DeleteCategory(category="desk-lamps", reassign_to="lights"))
        await shop.refuses(
            PublishListing(listing_id=draft.id, caller=ADMIN),
            ListingNotPublishableError,
            {"attributes.size": ["Is required"]},
        )

    async def test_into_one_that_is_going_nothing_comes(self, shop: Bazaar) -> None:
        """Each process knows nothing of the other one's: the move or the deletion, and never both."""
        for round_ in range(10):
            going = await shop.category(f"Going {round_}")
            listing = await shop.offer()
            results = await both(
                change_listing(
                    changing(listing, category=str(going.number)),
                    METADATA,
                    store=shop.another_store(),
                    keys=shop.keys,
                ),
                shop.handle(DeleteCategory(category=str(going.id))),
            )
            moved, gone = (isinstance(result, Changed) for result in results)
            assert moved != gone, results
            assert await shop.counted(going) == int(moved)

    async def test_an_inactive_one_keeps_what_is_in_it(self, shop: Bazaar) -> None:
        bulbs = await shop.category("Bulbs")
        listing = await shop.offer("bulbs", publish=True)
        await shop.handle(ChangeCategory(category_id=bulbs.id, active=False))
        assert (await shop.change(listing, category="bulbs", title="Bulb")).title == "Bulb"
        other = await shop.offer()
        await shop.refuses(
            changing(other, category="bulbs"), InvalidInputError, {"category": ["Is not active"]}
        )


class TestCollections:
    async def test_it_is_in_those_that_are_named_from_then_on(self, shop: Bazaar) -> None:
        sale, new = await shop.collection("Sale"), await shop.collection("New")
        listing = await shop.offer(collections=("sale",))
        head = await shop.log.head()
        await shop.change(listing, collections=("new",), collected_in=(sale.id,))
        assert await shop.events_after(head) == [
            CollectionProductsAdded(collection_id=new.id, listings=(listing.id,)),
            CollectionProductsRemoved(collection_id=sale.id, listings=(listing.id,)),
        ]
        assert (await shop.now(COLLECTIONS, sale.id)).listings == ()

    async def test_is_for_admins_and_what_is_sent_back_is_no_change(self, shop: Bazaar) -> None:
        sale, jane = await shop.collection("Sale"), await shop.seller()
        listing = await shop.offer(by=jane)
        await shop.refuses(changing(listing, jane, collections=("sale",)), ForbiddenError)
        await shop.change(listing, collections=("sale",))
        same = await shop.change(listing, jane, collections=("sale",), collected_in=(sale.id,), title="Lamp")
        assert same.title == "Lamp"


class TestPublishing:
    async def test_it_is_there_for_everybody_until_its_time_is_over(self, shop: Bazaar) -> None:
        jane = await shop.seller()
        draft = await shop.offer(by=jane)
        publish = PublishListing(listing_id=draft.id, caller=jane)
        until = shop.clock.now() + LIFETIME
        head = await shop.log.head()
        for _ in range(2):
            assert (await shop.handle(publish)).state.expires_at == until
        assert await shop.events_after(head) == [ListingPublished(listing_id=draft.id, expires_at=until)]
        expire = ExpireListing(listing_id=draft.id)
        shop.clock.at = until - timedelta(seconds=1)
        assert (await shop.handle(expire)).position == 0
        shop.clock.at = until
        assert (await shop.handle(expire)).state.status is ListingStatus.EXPIRED
        assert (await shop.handle(expire)).position == 0
        renewed = (await shop.handle(RenewListing(listing_id=draft.id, caller=jane))).state
        assert (renewed.status, renewed.expires_at) == (ListingStatus.ACTIVE, until + LIFETIME)
        assert [type(event) for event in await shop.events_after(head)][1:] == [
            ListingExpired,
            ListingRenewed,
        ]

    async def test_by_an_admin_it_is_there_for_as_long_as_by_its_seller(self, shop: Bazaar) -> None:
        jane = await shop.seller()
        draft = await shop.offer(by=jane)
        published = (await shop.handle(PublishListing(listing_id=draft.id, caller=ADMIN))).state
        assert published.expires_at == shop.clock.now() + LIFETIME

    async def test_is_not_for_whoever_may_not_sell(self, shop: Bazaar) -> None:
        jane = await shop.seller()
        draft, active = await shop.offer(by=jane), await shop.offer(by=jane, publish=True)
        await shop.handle(SuspendSeller(seller_id=seller_of(jane.account_id), reason="fakes"))
        for command in (
            PublishListing(listing_id=draft.id, caller=jane),
            RenewListing(listing_id=active.id, caller=jane),
        ):
            await shop.refuses(command, SellerRequiredError)
        assert (
            await shop.handle(UnpublishListing(listing_id=active.id, caller=jane))
        ).state.expires_at is None

    async def test_not_in_a_category_that_nobody_sees(self, shop: Bazaar) -> None:
        bulbs = await shop.category("Bulbs")
        draft = await shop.offer("bulbs")
        await shop.handle(ChangeCategory(category_id=bulbs.id, active=False))
        await shop.refuses(
            PublishListing(listing_id=draft.id, caller=ADMIN),
            ListingNotPublishableError,
            {"category": ["Is not active"]},
        )

    async def test_while_its_category_is_being_deactivated(self, shop: Bazaar) -> None:
        """Whoever comes second decides on what the first one did, whatever the process remembers."""
        for round_ in range(10):
            bulbs = await shop.category(f"Bulbs {round_}")
            draft = await shop.offer(str(bulbs.number))
            store = shop.another_store()
            await store.load(LISTINGS, draft.id)
            publish = publish_listing(
                PublishListing(listing_id=draft.id, caller=ADMIN),
                METADATA,
                store=store,
                clock=shop.clock,
                lifetime=LIFETIME,
            )
            deactivate = change_category(
                ChangeCategory(category_id=bulbs.id, active=False),
                METADATA,
                store=shop.another_store(),
                keys=shop.keys,
            )
            head = await shop.log.head()
            await both(*((publish, deactivate) if round_ % 2 else (deactivate, publish)))
            kinds = [type(event).__name__ for event in await shop.events_after(head)]
            assert "CategoryDeactivated" in kinds
            if "ListingPublished" in kinds:
                assert kinds.index("ListingPublished") < kinds.index("CategoryDeactivated")

    async def test_a_draft_again(self, shop: Bazaar) -> None:
        listing = await shop.offer(publish=True)
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(UnpublishListing(listing_id=listing.id, caller=ADMIN))
        assert await shop.events_after(head) == [ListingUnpublished(listing_id=listing.id)]

    async def test_to_expire_what_is_not_there_is_nothing(self, shop: Bazaar) -> None:
        assert (await shop.handle(ExpireListing(listing_id=UUID(int=7)))).position == 0  # type: ignore[arg-type]


class TestShipping:
    async def test_is_chosen_among_the_sellers_own_and_left_again(self, shop: Bazaar) -> None:
        jane = await shop.seller()
        seller_id = seller_of(jane.account_id)
        profile = ShippingProfile(name="Post", base_cost=Money(500))
        add = AddShippingProfile(seller_id=seller_id, profile=profile)
        first, second = [(await shop.handle(add)).state.id for _ in range(2)]
        listing = await shop.offer(by=jane)
        head = await shop.log.head()
        # Also by an admin, who has none of these.
        assert (await shop.change(listing, ADMIN, shipping_profile_id=first)).shipping_profile_id == first
        assert await shop.events_after(head) == [
            ListingShippingChosen(listing_id=listing.id, shipping_profile_id=first)
        ]
        for gone in (first, second):
            await shop.handle(RemoveShippingProfile(seller_id=seller_id, profile_id=gone))
        # What is shown can be sent back, though it is gone by now.
        await shop.change(listing, jane, shipping_profile_id=first, title="Lamp")
        await shop.refuses(
            changing(listing, jane, shipping_profile_id=second),
            InvalidInputError,
            {"shippingProfileId": ["Does not exist"]},
        )
        assert (await shop.change(listing, jane, shipping_profile_id=None)).shipping_profile_id is None


class TestDeleting:
    async def test_what_is_gone_is_gone_for_all_but_who_can_restore_it(self, shop: Bazaar) -> None:
        jane = await shop.seller()
        listing = await shop.offer(by=jane, publish=True)
        delete = DeleteListing(listing_id=listing.id, caller=jane, reason="mine")
        head = await shop.log.head()
        deleted = (await shop.handle(delete, once("gone"))).state
        assert await shop.events_after(head) == [
            ListingDeleted(
                listing_id=listing.id,
                deleted_at=shop.clock.now(),
                reason="mine",
                account_id=jane.account_id,
            )
        ]
        assert deleted.deleted
        with pytest.raises(AlreadyAnsweredError):
            await shop.handle(delete, once("gone"))
        for command in (
            delete,
            changing(listing, jane, title="Lamp"),
            changing(listing, ADMIN, price=Money(1)),
            PublishListing(listing_id=listing.id, caller=jane),
        ):
            await shop.refuses(command, ProductNotFoundError)
        restored = (await shop.handle(RestoreListing(listing_id=listing.id))).state
        assert restored == listing
        await shop.refuses(offering(slug="old-lamp"), SlugExistsError)

    async def test_waits_for_open_orders(self, shop: Bazaar) -> None:
        listing, buyer = await shop.offer(publish=True), await shop.buyer()
        await shop.order(buyer, (listing, 2))
        await shop.refuses(
            DeleteListing(listing_id=listing.id, caller=ADMIN), ListingInOrderError, {"reserved": 2}
        )


class TestModerating:
    async def test_admins_take_out_of_sight_and_bring_back(self, shop: Bazaar) -> None:
        jane = await shop.seller()
        listing = await shop.offer(by=jane, publish=True)
        listing_id = listing.id
        hidden = (await shop.handle(HideListing(listing_id=listing_id, reason="fake"))).state
        assert (hidden.on_sale, hidden.moderation_reason) == (False, "fake")
        # Its seller may mend it meanwhile.
        await shop.change(listing, jane, title="Honest lamp")
        assert (await shop.handle(UnhideListing(listing_id=listing_id))).state.on_sale
        await shop.handle(RemoveListing(listing_id=listing_id, reason="fake"))
        await shop.refuses(changing(listing, jane, title="Lamp"), ForbiddenError, {"reason": "fake"})
        flagged = (await shop.handle(FlagListing(listing_id=listing_id, flags=("odd",), note="!"))).state
        assert (flagged.flags, flagged.flag_note) == (("odd",), "!")
        assert (await shop.handle(RestoreListing(listing_id=listing_id))).state.on_sale

    async def test_of_nothing_there_is_nothing_to_do(self, shop: Bazaar) -> None:
        nothing: Any = UUID(int=7)
        commands: Sequence[object] = (
            HideListing(listing_id=nothing),
            UnhideListing(listing_id=nothing),
            RemoveListing(listing_id=nothing),
            FlagListing(listing_id=nothing, flags=()),
            RestoreListing(listing_id=nothing),
            DeleteListing(listing_id=nothing, caller=ADMIN),
            RenewListing(listing_id=nothing, caller=ADMIN),
        )
        for command in commands:
            await shop.refuses(command, ProductNotFoundError)
