"""What is shown of orders, products and carts once their people are erased, or their sellers suspended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from sqlalchemy import Column, Computed

from application.adapters.keys import MemoryPersonKeys
from domain.accounts.events import AccountErased, AccountRegistered
from domain.carts.events import CartItemAdded, CartItemQuantityChanged, CartOpened, cart_of
from domain.kernel import AccountId, Event, OrderId, Recorded, ReviewId, SellerId, stream_id
from domain.listings.events import (
    ListingFlagged,
    ListingHidden,
    ListingPublished,
    ListingRelocated,
    ListingUnpublished,
    Location,
    StockAdjusted,
)
from domain.money import Money
from domain.orders.events import (
    OrderConfirmed,
    OrderLine,
    OrderNoteAdded,
    OrderPlaced,
    OrderReturnRejected,
    OrderReturnRequested,
    PostalAddress,
    ReturnedLine,
)
from domain.orders.pricing import Tariff
from domain.reviews.events import ReviewSubmitted
from domain.sellers.events import (
    PersonalSellerOpened,
    SellerClosed,
    SellerReinstated,
    SellerSuspended,
    ShopProfile,
    seller_of,
)
from projections.accounts.projector import ACCOUNT_LIST
from projections.adapters.opensearch_client import opensearch_client
from projections.adapters.read_pool import ReadPool
from projections.carts.projector import CART_CONTENTS
from projections.carts.query import cart_of_account
from projections.categories.projector import CATEGORY_TREE
from projections.orders.projector import ORDER_LIST
from projections.orders.query import order_by_id
from projections.product_search.projector import PRODUCT_SEARCH
from projections.products.product import Product
from projections.products.projector import PRODUCTS, products
from projections.products.query import ProductFilter, product_by, products_page
from projections.projection import Projection, Rows, read_model
from projections.promotions.projector import PROMOTION_LIST
from projections.sellers.projector import SELLER_LIST
from tests.domain.builders import NOW, a_listing_created, listing_id
from tests.projections.engine.shelf import Stand, open_pool, open_shop, until

ADA, BOB = AccountId(stream_id("account", 1)), AccountId(stream_id("account", 2))
NORTH, SOUTH = seller_of(ADA), seller_of(BOB)
ADAS_ORDER, BOBS_ORDER = OrderId(stream_id("order", 1)), OrderId(stream_id("order", 2))
SUMS = (
    "SELECT coalesce(sum(review_count), 0), coalesce(sum(rating_sum), 0), count(*) FILTER (WHERE visible)"
    " FROM products WHERE seller_id = %s"
)
NOWHERE = dict.fromkeys(
    ("firstName", "lastName", "address", "city", "state", "zipCode", "country", "phone"), ""
)


class Shown:
    """The read models, carried by an engine, and a log to write to."""

    def __init__(self, stand: Stand, reads: ReadPool) -> None:
        self.stand = stand
        self.reads = reads

    async def record(self, *events: Event) -> None:
        await self.stand.shop.record([(stream_of(event), event) for event in events])
        await self.caught_up()

    async def caught_up(self) -> None:
        head = await self.stand.shop.log.head()

        async def all_reached() -> bool:
            with suppress(psycopg.errors.UndefinedTable):  # the engine has not made it yet
                rows = await self.stand.generations.list_projections()
                return len(rows) > 0 and all(row.active.position >= head for row in rows)
            return False

        await until(all_reached)

    async def rebuilt(self, projection: Projection[Any]) -> str:
        """How the read model compares with one that is made from the log alone."""
        generations = self.stand.generations
        before = (await generations.projection(projection.name)).active.generation
        await self.stand.asked(await generations.request_rebuild(projection.name))

        async def is_decided() -> bool:
            row = (await generations.rows(projection.name))[0]
            return row.generation > before and row.state in ("active", "failed")

        await until(is_decided)
        row = (await generations.rows(projection.name))[0]
        return row.error or row.comparison

    async def product(self, number: int) -> tuple[dict[str, Any], bool]:
        found = await product_by(self.reads, number)
        assert found is not None
        seen = await self.reads.one("SELECT visible FROM products WHERE number = %s", number)
        assert seen is not None
        return json.loads(found.body), seen[0]

    async def listed(self) -> list[int]:
        """The products that everybody sees."""
        page = await products_page(self.reads, ProductFilter())
        return [json.loads(body)["id"] for body in page.bodies]

    async def order(self, order_id: UUID) -> dict[str, Any]:
        found = await order_by_id(self.reads, order_id)
        assert found is not None
        built: dict[str, Any] = json.loads(found.body)
        return built

    async def cart(self, owner: AccountId) -> dict[str, Any]:
        built: dict[str, Any] = json.loads(await cart_of_account(self.reads, owner, 1, Tariff(), NOW))
        return built

    async def has_forgotten(self, text: str) -> None:
        """Once the generations that are superseded are gone, too."""

        async def is_gone() -> bool:
            with suppress(psycopg.errors.UndefinedTable):  # dropped while we look
                return not await self.holds(text)
            return False

        await until(is_gone)

    async def holds(self, text: str) -> bool:
        async with self.stand.pool.connection() as connection:
            tables = await connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '_g[0-9]+$'"
            )
            for (table,) in await tables.fetchall():
                found = await connection.execute(
                    f"SELECT count(*) FROM {table} WHERE strpos(convert_from(document, 'UTF8'), %s) > 0".encode(),
                    (text,),
                )
                if await found.fetchone() != (0,):
                    return True
        return False


@asynccontextmanager
async def showing(
    url: str, *projections: Projection[Any], search: Any = None, keys: MemoryPersonKeys | None = None
) -> AsyncIterator[Shown]:
    async with open_shop(url, keys=keys) as shop, open_pool(url) as pool, ReadPool(url) as reads:
        stand = Stand(shop, pool, search, "postgres")
        async with stand.running(*projections):
            shown = Shown(stand, reads)
            await shown.caught_up()
            yield shown


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Shown]:
    async with showing(
        database_url, PRODUCTS, SELLER_LIST, ORDER_LIST, CART_CONTENTS, PROMOTION_LIST, CATEGORY_TREE
    ) as shown:
        yield shown


def stream_of(event: Event) -> UUID:
    persons = ("review_id", "order_id", "cart_id", "listing_id", "seller_id", "account_id")
    for name in (*persons, "collection_id", "media_id", "category_id"):
        if (stream := getattr(event, name, None)) is not None:
            return UUID(str(stream))
    raise AssertionError(event)


def published(number: int, seller: SellerId = NORTH) -> list[Event]:
    listing = listing_id(number)
    return [a_listing_created(number, seller_id=seller), ListingPublished(listing_id=listing)]


def reviewed(number: int, reviewer: AccountId, name: str, rating: int) -> ReviewSubmitted:
    return ReviewSubmitted(
        review_id=ReviewId(stream_id("review", f"{number}:{name}")),
        number=number,
        listing_id=listing_id(number),
        reviewer_id=reviewer,
        rating=rating,
        comment="as described",
        reviewer_name=name,
        reviewer_email=f"{name}@example.com".lower().replace(" ", "."),
        submitted_at=NOW,
    )


def placed(order_id: OrderId, buyer: AccountId, name: str) -> OrderPlaced:
    price = Money(1000)
    line = OrderLine(
        listing_id=listing_id(1),
        number=1,
        seller_id=NORTH,
        title="Listing 1",
        thumbnail="",
        price=price,
        discount_percentage=Decimal(0),
        quantity=1,
        total=price,
        discounted_total=price,
    )
    address = PostalAddress(first_name=name, address="1 High Street", city="Bath", zip_code="1", country="GB")
    return OrderPlaced(
        order_id=order_id,
        number=f"ORD-{order_id.int % 1000}",
        account_id=buyer,
        account_number=1,
        lines=(line,),
        subtotal=price,
        tax=Money(0),
        shipping=Money(0),
        total=price,
        payment_method="card",
        shipping_address=address,
        billing_address=address,
        placed_at=NOW,
    )


def said(order_id: OrderId, buyer: AccountId) -> list[Event]:
    """A note, and a return that was not taken."""
    return [
        OrderNoteAdded(
            order_id=order_id,
            account_id=buyer,
            note_id=UUID(int=1),
            author=1,
            note="ring at Mrs Somerville",
            created_at=NOW,
        ),
        OrderReturnRequested(
            order_id=order_id,
            account_id=buyer,
            return_id=UUID(int=2),
            lines=(ReturnedLine(listing_id=listing_id(1), quantity=1),),
            reason="my hand shakes",
            requested_at=NOW,
        ),
        OrderReturnRejected(
            order_id=order_id,
            account_id=buyer,
            return_id=UUID(int=2),
            reason="smells of Mr Babbage",
            rejected_at=NOW,
        ),
    ]


def erased(person: AccountId) -> AccountErased:
    return AccountErased(account_id=person, erased_at=NOW + timedelta(days=30))


def suspended(seller: SellerId = NORTH) -> SellerSuspended:
    return SellerSuspended(seller_id=seller, account_id=ADA, cause="admin")


def reinstated(seller: SellerId = NORTH) -> SellerReinstated:
    return SellerReinstated(seller_id=seller, account_id=ADA, cause="admin")


class TestOrders:
    async def test_the_buyers_addresses_are_blank_and_the_sums_stay(self, shown: Shown) -> None:
        await shown.record(placed(ADAS_ORDER, ADA, "Augusta"), placed(BOBS_ORDER, BOB, "Robert"))
        before, other = await shown.order(ADAS_ORDER), await shown.order(BOBS_ORDER)
        assert before["billingAddress"]["firstName"] == "Augusta"
        await shown.record(erased(ADA))
        after = await shown.order(ADAS_ORDER)
        assert after == {
            **{name: value for name, value in before.items() if name != "billingAddress"},
            "shippingAddress": NOWHERE,
        }
        assert await shown.order(BOBS_ORDER) == other
        assert not await shown.holds("Augusta")
        await shown.record(OrderConfirmed(order_id=ADAS_ORDER, intent_id="pi_1", confirmed_at=NOW))
        confirmed = await shown.order(ADAS_ORDER)
        assert (confirmed["shippingAddress"], confirmed["paymentStatus"]) == (NOWHERE, "paid")

    async def test_nor_is_what_was_said_about_it(self, shown: Shown) -> None:
        await shown.record(placed(ADAS_ORDER, ADA, "Augusta"), *said(ADAS_ORDER, ADA))
        assert await shown.holds("ring at Mrs Somerville")
        await shown.record(erased(ADA))
        after = await shown.order(ADAS_ORDER)
        assert [note["note"] for note in after["notes"]] == [""]
        assert [(each["reason"], each["rejectionReason"]) for each in after["returns"]] == [("", None)]
        for words in ("ring at Mrs Somerville", "my hand shakes", "smells of Mr Babbage"):
            assert not await shown.holds(words)
        await shown.stand.shop.keys.destroy(ADA)
        assert (await shown.rebuilt(ORDER_LIST)).startswith("equal to generation 1")

    async def test_made_from_the_log_without_the_key_they_are_the_same(self, shown: Shown) -> None:
        await shown.record(placed(ADAS_ORDER, ADA, "Augusta"), placed(BOBS_ORDER, BOB, "Robert"), erased(ADA))
        await shown.stand.shop.keys.destroy(ADA)
        assert (await shown.rebuilt(ORDER_LIST)).startswith("equal to generation 1")


class TestProducts:
    async def test_a_reviewers_name_is_blank_and_the_stars_stay(self, shown: Shown) -> None:
        await shown.record(
            *published(1),
            reviewed(1, ADA, "Augusta King", 5),
            reviewed(1, BOB, "Robert Boyle", 2),
            *published(2, SOUTH),
            reviewed(2, ADA, "Augusta King", 1),
        )
        before, _ = await shown.product(1)
        assert await shown.holds("augusta.king@")
        await shown.record(erased(ADA))
        after, visible = await shown.product(1)
        assert visible
        assert [review["reviewerName"] for review in after["reviews"]] == ["", "Robert Boyle"]
        assert [review["reviewerEmail"] for review in after["reviews"]] == ["", "r***@example.com"]
        assert [review["comment"] for review in after["reviews"]] == ["", "as described"]
        assert {**after, "reviews": []} == {**before, "reviews": []}
        assert after["rating"] == 3.5
        assert not await shown.holds("Augusta")
        assert not await shown.holds("augusta")
        await shown.stand.shop.keys.destroy(ADA)
        assert (await shown.rebuilt(PRODUCTS)).startswith("equal to generation 1")

    async def test_those_of_a_suspended_seller_vanish_and_come_back_as_they_were(self, shown: Shown) -> None:
        draft = a_listing_created(3, seller_id=NORTH)
        await shown.record(*published(1), *published(2), draft, *published(4, SOUTH))
        before = [(await shown.product(number))[0] for number in (1, 2, 3, 4)]
        assert await shown.listed() == [1, 2, 4]
        await shown.record(suspended())
        assert await shown.listed() == [4]
        assert [(await shown.product(number))[1] for number in (1, 2, 3, 4)] == [False, False, False, True]
        await shown.record(reinstated())
        assert await shown.listed() == [1, 2, 4]
        assert [(await shown.product(number))[0] for number in (1, 2, 3, 4)] == before

    async def test_what_happens_meanwhile_counts_once_they_are_back(self, shown: Shown) -> None:
        await shown.record(*published(1), a_listing_created(2, seller_id=NORTH), suspended())
        await shown.record(
            ListingUnpublished(listing_id=listing_id(1)),
            ListingPublished(listing_id=listing_id(2)),
            StockAdjusted(listing_id=listing_id(2), stock=3),
        )
        assert await shown.listed() == []
        await shown.record(reinstated())
        assert await shown.listed() == [2]
        assert (await shown.product(2))[0]["stock"] == 3

    async def test_those_of_a_closed_seller_are_gone_for_ever_and_say_no_more_where_they_were(
        self, shown: Shown
    ) -> None:
        known: dict[str, Any] = {"listing_id": listing_id(1), "account_id": ADA}
        home = ListingRelocated(location=Location(lat=48.4, lng=9.99, city="Ulm"), **known)
        watched = ListingFlagged(flags=("odd",), note="known all over Ulm", **known)
        hidden = ListingHidden(reason="stolen in Ulm", **known)
        await shown.record(*published(1), home, watched, hidden, *published(2, SOUTH))
        assert await shown.holds("Ulm")
        await shown.record(erased(ADA), SellerClosed(seller_id=NORTH, account_id=ADA))
        assert await shown.listed() == [2]
        assert (await shown.product(1))[0]["location"] is None
        assert await shown.reads.one("SELECT lat, lng FROM products WHERE number = 1") == (None, None)
        assert not await shown.holds("Ulm")
        await shown.stand.shop.keys.destroy(ADA)
        assert (await shown.rebuilt(PRODUCTS)).startswith("equal to generation 1")

    async def test_a_shop_is_summed_up(self, shown: Shown) -> None:
        await shown.record(
            *published(1),
            *published(2),
            a_listing_created(3, seller_id=NORTH),
            reviewed(1, ADA, "A", 5),
            reviewed(1, BOB, "B", 2),
            reviewed(2, BOB, "B", 4),
        )
        assert await shown.reads.one(SUMS, NORTH) == (3, 11, 2)
        assert await shown.reads.one(SUMS, SOUTH) == (0, 0, 0)
        await shown.record(suspended())
        assert await shown.reads.one(SUMS, NORTH) == (3, 11, 0)

    async def test_the_former_read_model_is_served_until_the_new_one_is_ready(
        self, database_url: str
    ) -> None:
        """Its table lacks the columns and indexes of today; carts are asked of both."""
        former, keys = former_products(), MemoryPersonKeys()
        cart = cart_of(BOB)
        async with showing(
            database_url, former, CART_CONTENTS, PROMOTION_LIST, CATEGORY_TREE, SELLER_LIST, keys=keys
        ) as shown:
            await shown.record(
                *published(1),
                reviewed(1, ADA, "Augusta King", 5),
                CartOpened(cart_id=cart, account_id=BOB),
                CartItemAdded(cart_id=cart, listing_id=listing_id(1), quantity=2),
            )
            assert (await shown.cart(BOB))["totalQuantity"] == 2
        async with showing(
            database_url, PRODUCTS, CART_CONTENTS, PROMOTION_LIST, CATEGORY_TREE, SELLER_LIST, keys=keys
        ) as shown:
            assert (await shown.cart(BOB))["totalQuantity"] == 2

            async def is_new() -> bool:
                status = await shown.stand.generations.projection(PRODUCTS.name)
                return status.active.version == PRODUCTS.version

            await until(is_new)
            assert await shown.reads.one(SUMS, NORTH) == (1, 5, 1)
            await shown.record(suspended(), erased(ADA))
            assert await shown.listed() == []
            await shown.has_forgotten("Augusta")


class TestCarts:
    async def test_the_owners_is_gone(self, shown: Shown) -> None:
        cart, other = cart_of(ADA), cart_of(BOB)
        await shown.record(*published(1, SOUTH))
        for cart_id, owner in ((cart, ADA), (other, BOB)):
            await shown.record(
                CartOpened(cart_id=cart_id, account_id=owner),
                CartItemAdded(cart_id=cart_id, listing_id=listing_id(1), quantity=2),
            )
        await shown.record(erased(ADA))
        assert (await shown.cart(ADA))["products"] == []
        assert (await shown.cart(BOB))["totalQuantity"] == 2
        assert await shown.reads.all("SELECT key FROM carts") == [(other,)]
        await shown.record(CartItemQuantityChanged(cart_id=cart, listing_id=listing_id(1), quantity=1))
        assert await shown.reads.all("SELECT key FROM carts") == [(other,)]
        assert await shown.stand.generations.dead_letters() == []

    async def test_of_what_a_suspended_seller_sells_nothing_but_the_number_is_told(
        self, shown: Shown
    ) -> None:
        cart = cart_of(ADA)
        await shown.record(
            *published(1),
            *published(2, SOUTH),
            CartOpened(cart_id=cart, account_id=ADA),
            CartItemAdded(cart_id=cart, listing_id=listing_id(1), quantity=2),
            CartItemAdded(cart_id=cart, listing_id=listing_id(2), quantity=1),
        )
        before = await shown.cart(ADA)
        assert [line["id"] for line in before["products"]] == [1, 2]
        await shown.record(suspended())
        after = await shown.cart(ADA)
        assert [(line["id"], line["title"], line["reason"]) for line in after["products"][:1]] == [
            (1, "", "unavailable")
        ]
        assert after["products"][1:] == before["products"][1:]
        assert after["total"] == 10
        await shown.record(reinstated())
        assert await shown.cart(ADA) == before


class TestSearch:
    async def test_what_is_hidden_is_not_in_the_index(self, database_url: str, opensearch_url: str) -> None:
        client = opensearch_client(opensearch_url)
        projection = replace(PRODUCT_SEARCH, name=f"products_{uuid4().hex[:12]}")

        async def found() -> dict[UUID, str]:
            answer = await client.search(index=projection.name, body={"query": {"match_all": {}}})
            return {UUID(hit["_id"]): hit["_source"]["title"] for hit in answer["hits"]["hits"]}

        try:
            async with showing(database_url, projection, search=client) as shown:
                await shown.record(*published(1), *published(2, SOUTH), reviewed(1, ADA, "Augusta King", 5))
                everything = {listing_id(1): "Listing 1", listing_id(2): "Listing 2"}
                assert await found() == everything
                await shown.record(suspended())
                assert await found() == {listing_id(2): "Listing 2"}
                assert (await shown.rebuilt(projection)).startswith("equal to generation 1")
                assert await found() == {listing_id(2): "Listing 2"}
                await shown.record(reinstated())
                assert await found() == everything
                assert await shown.holds("Augusta")
                await shown.record(erased(ADA))
                await shown.has_forgotten("Augusta")
                assert set(await client.indices.get(index=f"{projection.name}*")) == {f"{projection.name}_g2"}
                await shown.record(SellerClosed(seller_id=NORTH, account_id=ADA))
                assert await found() == {listing_id(2): "Listing 2"}
        finally:
            await client.indices.delete(index=f"{projection.name}*")
            await client.close()


def former_products() -> Projection[Product]:
    """As it was before there were subjects."""
    added = {"review_count", "rating_sum"}
    own = [each for each in list(products.columns)[3:] if each.name not in added]
    columns = [
        Column(
            each.name,
            each.type,
            *([Computed(each.computed.sqltext, persisted=True)] if each.computed is not None else []),
        )
        for each in own
    ]
    into = PRODUCTS.into
    assert isinstance(into, Rows)

    def row(product: Product) -> dict[str, Any]:
        return {name: value for name, value in into.row(product).items() if name not in added}

    return replace(
        PRODUCTS,
        version=1,
        into=Rows(table=read_model("products", *columns), row=row),
        subjects=None,
        concerning={},
    )


def test_an_account_forgets_its_shop_with_its_person_whatever_becomes_of_the_shops_own_events() -> None:
    registered = AccountRegistered(account_id=ADA, number=1, email="a@b.c", username="ada", password_hash="")
    profile = ShopProfile(shop_name="Adas Emporium", slug="adas")
    opened = PersonalSellerOpened(seller_id=NORTH, account_id=ADA, account_number=1, profile=profile)
    erased = AccountErased(account_id=ADA, erased_at=NOW)
    history: list[Recorded[Event]] = [
        Recorded(
            event=event,
            id=uuid4(),
            stream=ADA,
            aggregate="accounts",
            version=position,
            position=position,
            timestamp=NOW,
            actor="tests",
        )
        for position, event in enumerate((registered, opened, erased), 1)
    ]
    document = None
    for recorded in history:
        document = ACCOUNT_LIST.fold(document, recorded, ADA)
    assert document is not None
    assert b"mporium" not in msgspec.json.encode(document)
    # Where it was parked, the erasure comes once at once and once in its turn.
    assert ACCOUNT_LIST.fold(document, history[-1], ADA) == document
