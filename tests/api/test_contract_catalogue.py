"""The acceptance list of reading the catalogue: each row of the contract, asked as its document writes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest

from application.adapters.numbers import PostgresNumbers
from application.bootstrap import WriteSide, write_side
from application.ports import Metadata, Proposal, StreamRef
from domain.kernel import CategoryId, Event, ListingId, OrderId, SellerId, stream_id
from domain.listings.events import (
    ListingCreated,
    ListingDeleted,
    ListingEvent,
    ListingExpired,
    ListingFlagged,
    ListingHidden,
    ListingPublished,
    ListingSlugChanged,
    ListingSold,
    Location,
)
from domain.listings.listing import LISTINGS
from domain.money import Money
from domain.sellers.events import HOUSE_SELLER
from tests.api.shop import Client, Shop, assert_problem

METADATA = Metadata(actor="tests")


class Thing(NamedTuple):
    """A listing that a test has put into the log itself, however far commands may have come."""

    id: UUID
    number: int
    slug: str


class Stock:
    """Puts listings into the shop, all in a category of their own."""

    def __init__(self, shop: Shop, admin: Client) -> None:
        self.shop = shop
        parent = admin.made("/admin/categories", {"name": f"All {uuid4().hex[:8]}"})
        made = admin.made("/admin/categories", {"name": f"Of {uuid4().hex[:8]}", "parent": parent["slug"]})
        self.parent, self.category = parent, made

    def add(self, **fields: Any) -> Thing:
        return self.added([fields])[0]

    def added(self, wanted: Sequence[dict[str, Any]], *, seller: SellerId = HOUSE_SELLER) -> list[Thing]:
        async def add() -> list[Thing]:
            async with write_side(self.shop.settings) as write:
                return [await self._add(write, seller, dict(fields)) for fields in wanted]

        found: list[Thing] = self.shop.run(add())
        return found

    async def _add(self, write: WriteSide, seller: SellerId, fields: dict[str, Any]) -> Thing:
        number = await PostgresNumbers(write.database).next("listings")
        listing_id = ListingId(stream_id("listing", number))
        publish = fields.pop("publish", True)
        created = ListingCreated(
            **{
                "listing_id": listing_id,
                "number": number,
                "seller_id": seller,
                "slug": f"thing-{uuid4().hex[:10]}",
                "title": f"Thing {number}",
                "description": "Something worth having.",
                "price": Money(1_000),
                "category_id": CategoryId(UUID(self.category["uuid"])),
                "category": self.category["slug"],
                "stock": 3,
                "images": ("https://cdn.example.com/1.jpg",),
                **fields,
            }
        )
        events: list[Event] = [created, *([ListingPublished(listing_id=listing_id)] if publish else [])]

        def decide(_: Any) -> Proposal[None]:
            return Proposal(outcome=None, events=[(StreamRef(LISTINGS, listing_id), events)])

        await write.store.change_together([], decide, METADATA)
        return Thing(listing_id, number, created.slug)

    def then(self, thing: Thing, *events: ListingEvent) -> None:
        async def record() -> None:
            async with write_side(self.shop.settings) as write:
                await write.store.change(LISTINGS, thing.id, lambda _: list(events), METADATA)

        self.shop.run(record())

    def get(self, path: str, *, client: Client | None = None, **query: Any) -> Any:
        """What is answered once all that has happened is seen."""
        headers = {"X-Min-Log-Position": str(self.shop.head())}
        response = (client or self.shop.guest).get(path, params=query, headers=headers)
        assert response.status_code == 200, response.text
        return response.json()

    def found(self, path: str = "", *, client: Client | None = None, **query: Any) -> list[int]:
        """The numbers of what is listed."""
        where = path or f"/products/category/{self.category['slug']}"
        body = self.get(where, client=client, **query)
        return [product["id"] for product in body.get("products", body.get("data"))]


@pytest.fixture
def stock(shop: Shop, admin: Client) -> Stock:
    return Stock(shop, admin)


@pytest.fixture
def seller(shop: Shop) -> Client:
    return shop.user("/auth/signup")


def seller_id(client: Client, stock: Stock) -> SellerId:
    return SellerId(UUID(stock.get("/sellers/me", client=client)["id"]))


class TestThreeStyles:
    def test_s2_skips_and_limits(self, stock: Stock) -> None:
        """S2-PROD-01, S2-PROD-05."""
        things = stock.added([{} for _ in range(12)])
        page = stock.get(f"/products/category/{stock.category['slug']}")
        assert list(page) == ["products", "total", "skip", "limit", "nextCursor"]
        assert (page["total"], page["skip"], page["limit"], len(page["products"])) == (12, 0, 10, 10)
        rest = stock.get("/products", category=stock.category["slug"], skip=10, limit=5)
        assert [product["id"] for product in rest["products"]] == [thing.number for thing in things[10:]]
        assert (rest["total"], rest["skip"], rest["limit"], rest["nextCursor"]) == (12, 10, 5, None)

    def test_s3_turns_pages(self, stock: Stock) -> None:
        """S3-PROD-01, S4-CAT-01; an S3-only parameter is enough to be answered in S3's shape."""
        things = stock.added([{"price": Money(price)} for price in (300, 100, 200)])
        page = stock.get("/products", category_id=stock.category["uuid"], sort="price_asc", page=2, limit=2)
        assert list(page) == ["data", "pagination"]
        assert page["pagination"] == {"total": 3, "page": 2, "limit": 2, "pages": 2}
        assert [product["id"] for product in page["data"]] == [things[0].number]
        for only in (
            {"category_id": stock.category["id"]},
            {"category": stock.category["slug"], "sort": "newest"},
        ):
            first = stock.get("/products", **only)
            assert first["pagination"] == {"total": 3, "page": 1, "limit": 20, "pages": 1}
        assert "products" in stock.get("/products", category_id=stock.category["id"], skip=0)

    def test_s0_and_s1_follow_a_cursor(self, stock: Stock) -> None:
        """S0-CAT-01, S1-LIST-07."""
        things = stock.added([{"price": Money(100 + number % 2)} for number in range(5)])
        where: dict[str, Any] = {
            "category": stock.category["slug"],
            "sortBy": "price",
            "order": "desc",
            "limit": 2,
        }
        for path in ("/products", "/listings"):
            seen: list[int] = []
            cursor: str | None = ""
            for _ in range(3):
                page = stock.get(path, **where, cursor=cursor)
                assert list(page) == ["products", "nextCursor", "limit"]
                seen += [product["id"] for product in page["products"]]
                cursor = page["nextCursor"]
            assert cursor is None
            assert seen == [things[place].number for place in (1, 3, 0, 2, 4)]
        assert stock.get("/products", cursor="")["limit"] == 20
        # Whoever began by skipping goes on by the cursor.
        first = stock.get("/products", **where)
        second = stock.get("/products", **where, cursor=first["nextCursor"])
        assert [product["id"] for product in second["products"]] == [
            things[3 - 1].number and things[0].number,
            things[2].number,
        ]

    def test_a_cursor_is_good_for_its_own_question_only(self, shop: Shop, stock: Stock) -> None:
        stock.added([{} for _ in range(3)])
        where: dict[str, Any] = {"category": stock.category["slug"], "limit": 1}
        cursor = stock.get("/products", **where, cursor="")["nextCursor"]
        assert cursor is not None
        assert len(stock.found("/products", **where, cursor=cursor)) == 1
        assert len(stock.found("/products", category=stock.category["slug"], limit=2, cursor=cursor)) == 2
        for path, query in (
            ("/products", {**where, "sort": "newest"}),
            ("/products", {**where, "inStock": "true"}),
            ("/products", {"limit": 1}),
            (f"/products/category/{stock.category['slug']}", {"limit": 1}),
        ):
            refused = shop.guest.get(path, params={**query, "cursor": cursor})
            assert_problem(refused, 400, "VALIDATION_ERROR", "cursor")
        for forged in ("x", cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB"), "é", "a" * 1_999):
            refused = shop.guest.get("/products", params={**where, "cursor": forged})
            assert_problem(refused, 400, "VALIDATION_ERROR", "cursor")

    @pytest.mark.parametrize(
        ("query", "limit"),
        [
            ({}, 10), ({"page": 1}, 20), ({"cursor": ""}, 20),
            ({"limit": 0}, 100), ({"limit": 101, "page": 1}, 100), ({"limit": 1_000_000, "cursor": ""}, 100),
        ],
    )  # fmt: skip
    def test_limits_are_those_of_each_style(self, stock: Stock, query: dict[str, Any], limit: int) -> None:
        page = stock.get("/products", **query)
        assert page.get("limit", page.get("pagination", {}).get("limit")) == limit


class TestFilters:
    """C22: the union on every list."""

    def test_every_list_takes_them(self, stock: Stock, admin: Client) -> None:
        """S2-PROD-05, S4-CAT-05."""
        cheap, dear = stock.added([{"price": Money(500)}, {"price": Money(900)}])
        collection = admin.made("/admin/collections", {"name": f"Best {uuid4().hex[:8]}"})
        admin.made(
            f"/admin/collections/{collection['id']}/products", {"products": [dear.number, cheap.number]}
        )
        slug = stock.category["slug"]
        for path in (
            "/products",
            f"/products/category/{slug}",
            f"/products/category/{stock.parent['slug']}",
            f"/categories/{slug}/products",
            f"/collections/{collection['slug']}/products",
            f"/categories/{slug}/collections/{collection['slug']}/products",
        ):
            query: dict[str, Any] = {"category": slug, "collection": collection["slug"]}
            assert stock.found(path, **query, maxPrice=6) == [cheap.number]
            assert stock.found(path, **query, price="6-") == [dear.number]
            assert stock.found(path, **query, sort="price_desc", page=1) == [dear.number, cheap.number]
            assert stock.found(path, **query, cursor="", limit=1, sortBy="price") == [cheap.number]
            assert stock.get(path, **query)["total"] == 2
        arranged = f"/collections/{collection['slug']}/products"
        assert stock.found(arranged) == [dear.number, cheap.number]
        first = stock.get(arranged, cursor="", limit=1)
        assert stock.found(arranged, cursor=first["nextCursor"], limit=1) == [cheap.number]
        both = stock.get(f"/products/{dear.number}")
        assert both["collections"] == [collection["id"]]

    def test_prices_are_bounds_or_a_range(self, shop: Shop, stock: Stock) -> None:
        numbers = [
            thing.number for thing in stock.added([{"price": Money(price)} for price in (500, 1_050, 2_000)])
        ]
        for query, found in (
            ({"minPrice": 10.5}, numbers[1:]),
            ({"min_price": 10.5, "max_price": 10.5}, numbers[1:2]),
            ({"price": "5-10.50"}, numbers[:2]),
            ({"price": "-10"}, numbers[:1]),
            ({"price": "10.51-"}, numbers[2:]),
            ({"price[gte]": 6, "price[lte]": 15}, numbers[1:2]),
        ):
            assert stock.found(**query) == found
        assert_problem(shop.guest.get("/products?price=cheap"), 400, "VALIDATION_ERROR", "price")

    def test_attributes_brands_and_tags_may_be_several(self, stock: Stock) -> None:
        small, medium, other = stock.added(
            [
                {
                    "attributes": {"size": "S", "gender": "unisex", "ram_gb": 16},
                    "brand": "Moog",
                    "tags": ("a",),
                },
                {
                    "attributes": {"size": "M", "gender": "men", "ram_gb": 8},
                    "brand": "Korg",
                    "tags": ("a", "b"),
                },
                {"attributes": {"colours": ["red", "blue"], "new": True}, "brand": "Nord", "tags": ()},
            ]
        )
        for query, found in (
            ({"size": "S"}, [small]),
            ({"size": "S,M"}, [small, medium]),
            ({"size": ["S", "M"]}, [small, medium]),
            ({"size": "S,M", "gender": "men"}, [medium]),
            ({"attributes[ram_gb]": "8.0"}, [medium]),
            ({"attributes[colours]": "blue"}, [other]),
            ({"attributes[new]": "true"}, [other]),
            ({"brand": "Moog,Nord"}, [small, other]),
            ({"brand": ["Moog", "Korg"], "tags": "b"}, [medium]),
            ({"tag": "a"}, [small, medium]),
        ):
            assert stock.found(**query) == [thing.number for thing in found], query
        shown = stock.get(f"/products/{small.number}")
        assert (shown["size"], shown["gender"]) == ("S", "unisex")
        assert shown["attributes"] == {"size": "S", "gender": "unisex", "ram_gb": 16}
        assert "material" not in shown

    def test_rating_and_stock(self, stock: Stock) -> None:
        """S2-PROD-01."""
        good, bad = stock.added(
            [{"imported_rating": Decimal("4.6")}, {"imported_rating": Decimal("2.1"), "stock": 0}]
        )
        assert stock.found(minRating=4.5) == [good.number]
        assert stock.found(inStock="true") == stock.found(in_stock="true") == [good.number]
        assert stock.found(sort="rating_desc", skip=0) == [good.number, bad.number]
        assert stock.found(sortBy="rating") == [bad.number, good.number]

    def test_what_is_near(self, shop: Shop, stock: Stock) -> None:
        """S1-LIST-07."""
        places = [(52.52, 13.40), (52.40, 13.06), (48.14, 11.58), (0.0, 179.9)]
        berlin, potsdam, munich, date_line = (
            thing.number
            for thing in stock.added([{"location": Location(lat=lat, lng=lng)} for lat, lng in places])
        )
        nowhere = stock.add().number
        here: dict[str, Any] = {"lat": 52.52, "lng": 13.41}
        assert stock.found(**here, distance=10) == [berlin]
        assert stock.found(**here, distance=30) == [berlin, potsdam]
        everywhere = [berlin, potsdam, munich, date_line, nowhere]
        assert stock.found(**here, sort="distance", skip=0) == everywhere
        assert stock.found(latitude=0, longitude=-179.9, radius=50) == [date_line]
        assert nowhere in stock.found()
        for query, fields in (
            ("distance=10", ("lat", "lng")),
            ("lat=1&distance=10", ("lng",)),
            ("lat=91&lng=0", ("lat",)),
            ("lat=0&lng=0&distance=0", ("distance",)),
            ("sort=distance", ("sort",)),
            ("sortBy=distance", ("sortBy",)),
            ("sort=manual", ("sort",)),
        ):
            assert_problem(shop.guest.get(f"/products?{query}"), 400, "VALIDATION_ERROR", *fields)

    def test_who_sells_it(self, stock: Stock, seller: Client) -> None:
        """S3-PROD-01."""
        own = seller_id(seller, stock)
        (theirs,) = stock.added([{}], seller=own)
        house = stock.add()
        assert stock.found(sellerId=str(own)) == stock.found(seller_id=str(own), skip=0) == [theirs.number]
        assert stock.found(seller_id=str(HOUSE_SELLER), skip=0) == [house.number]
        assert stock.found(seller=str(uuid4())) == []

    def test_words(self, shop: Shop, stock: Stock) -> None:
        """S2-PROD-04, S1-LIST-07."""
        word = f"zyx{uuid4().hex[:8]}"
        titled, branded = stock.added([{"title": f"A {word} lamp"}, {"brand": word.title()}])
        for path, name in (
            ("/products/search", "q"),
            ("/products", "text"),
            ("/listings", "text"),
            ("/products", "search"),
        ):
            query: dict[str, Any] = {name: word, "skip": 0}
            found = stock.found(path, **query)
            assert sorted(found) == [titled.number, branded.number]
        assert stock.found("/products/search", q=word, sort="newest", page=1) == [
            branded.number,
            titled.number,
        ]
        first = stock.get("/products/search", q=word, limit=1, cursor="")
        second = stock.found("/products/search", q=word, limit=1, cursor=first["nextCursor"])
        assert {first["products"][0]["id"], *second} == {titled.number, branded.number}
        assert_problem(shop.guest.get("/products/search"), 400, "VALIDATION_ERROR", "q")


class TestOneProduct:
    def test_by_any_of_its_names(self, stock: Stock) -> None:
        """S0-CAT-02, S1-LIST-06, S2-PROD-03, S3-PROD-02, S4-CAT-02."""
        thing = stock.add(tags=("a", "b"), discount_percentage=Decimal(10), extras={"sku": "A-1"})
        shown = [stock.get(f"{path}/{ref}") for path in ("/products", "/listings") for ref in thing]
        assert all(body == shown[0] for body in shown)
        body = shown[0]
        assert (
            body
            | {
                "id": thing.number,
                "uuid": str(thing.id),
                "slug": thing.slug,
                "price": 10,
                "salePrice": 9,
                "discountPercentage": 10,
                "category": stock.category["slug"],
                "categoryId": stock.category["id"],
                "categories": [stock.category["id"]],
                "collections": [],
                "tags": ["a", "b"],
                "stock": 3,
                "inStock": True,
                "availabilityStatus": "Low Stock",
                "images": ["https://cdn.example.com/1.jpg"],
                "thumbnail": "https://cdn.example.com/1.jpg",
                "media": [],
                "status": "active",
                "sku": "A-1",
                "reviews": [],
                "rating": 0,
            }
            == body
        )
        assert set(body["seller"]) == {"id", "shopName", "slug", "logoUrl"}
        assert body["seller"]["id"] == body["sellerId"]
        assert not body.keys() & {"moderation", "flags", "isDeleted"}

    def test_an_etag_is_good_for_if_match(self, shop: Shop, stock: Stock, admin: Client) -> None:
        thing = stock.add()
        headers = {"X-Min-Log-Position": str(shop.head())}
        etag = shop.guest.get(f"/products/{thing.number}", headers=headers).headers["etag"]
        path = f"/products/{thing.number}"
        changed = admin.patch(path, {"title": "Otherwise"}, headers={"If-Match": etag})
        assert changed.status_code == 200, changed.text
        assert_problem(
            admin.patch(path, {"title": "Late"}, headers={"If-Match": etag}), 409, "VERSION_CONFLICT"
        )

    def test_a_former_slug_leads_to_it(self, shop: Shop, stock: Stock, admin: Client) -> None:
        thing = stock.add()
        new = f"{thing.slug}-new"
        stock.then(thing, ListingSlugChanged(listing_id=ListingId(thing.id), slug=new))
        headers = {"X-Min-Log-Position": str(shop.head())}
        for client, path in (
            (shop.guest, "/products"), (shop.guest, "/listings"), (admin, "/admin/products"),
        ):  # fmt: skip
            moved = client.get(f"{path}/{thing.slug}?select=title", headers=headers)
            assert (moved.status_code, moved.headers["location"]) == (
                301,
                f"/api/v1{path}/{new}?select=title",
            )
            assert (
                client.get(urlsplit(moved.headers["location"]).path.removeprefix("/api/v1")).json()["slug"]
                == new
            )

    def test_select_picks_fields(self, stock: Stock) -> None:
        thing = stock.add(title="Chosen")
        chosen = {"id": thing.number, "title": "Chosen", "price": 10}
        assert stock.get(f"/products/{thing.number}", select="title,price,nothing") == chosen
        assert stock.get("/products", category=stock.category["slug"], select="title,price")["products"] == [
            chosen
        ]

    def test_a_sold_one_is_read_and_not_found(self, stock: Stock) -> None:
        """C27."""
        thing = stock.add(unique=True, stock=1)
        stock.then(thing, ListingSold(listing_id=ListingId(thing.id), order_id=OrderId(uuid4())))
        assert stock.get(f"/products/{thing.number}")["status"] == "sold"
        assert stock.found() == []

    def test_a_hidden_one_is_for_its_seller_and_admins(
        self, shop: Shop, stock: Stock, seller: Client, admin: Client
    ) -> None:
        (thing,) = stock.added([{}], seller=seller_id(seller, stock))
        stock.then(
            thing,
            ListingFlagged(listing_id=ListingId(thing.id), flags=("dubious",), note="ask the police"),
            ListingHidden(listing_id=ListingId(thing.id), reason="counterfeit"),
        )
        path = f"/listings/{thing.number}"
        own = stock.get(path, client=seller)
        assert (own["moderation"], own["moderationReason"], own["flags"]) == (
            "hidden",
            "counterfeit",
            ["dubious"],
        )
        assert "flagNote" not in own
        assert stock.get(path, client=admin)["flagNote"] == "ask the police"
        assert stock.get(f"/admin/listings/{thing.number}", client=admin)["flagNote"] == "ask the police"
        for stranger in (shop.guest, shop.user()):
            assert_problem(stranger.get(path), 404, "PRODUCT_NOT_FOUND")
        assert stock.found() == []

    def test_a_deleted_one_is_gone_but_for_who_asks_for_it(
        self, shop: Shop, stock: Stock, seller: Client, admin: Client
    ) -> None:
        """C25."""
        (thing,) = stock.added([{}], seller=seller_id(seller, stock))
        at = datetime(2026, 11, 21, tzinfo=UTC)
        stock.then(thing, ListingDeleted(listing_id=ListingId(thing.id), deleted_at=at))
        path = f"/products/{thing.number}"
        headers = {"X-Min-Log-Position": str(shop.head())}
        for client in (shop.guest, seller, admin):
            assert_problem(client.get(path, headers=headers), 404, "PRODUCT_NOT_FOUND")
        for client in (seller, admin):
            gone = stock.get(path, client=client, includeDeleted="true")
            assert (gone["isDeleted"], gone["deletedOn"]) == (True, "2026-11-21T00:00:00.000Z")
        assert stock.get(f"/admin/products/{thing.number}", client=admin)["isDeleted"]
        assert_problem(shop.guest.get(path, params={"includeDeleted": "true"}), 404, "PRODUCT_NOT_FOUND")


class TestListsOfWhoKeepsThem:
    def test_a_seller_lists_all_of_their_own(self, shop: Shop, stock: Stock, seller: Client) -> None:
        """S1-LIST-07."""
        own = seller_id(seller, stock)
        draft, active, expired, gone = stock.added([{"publish": False}, {}, {}, {}], seller=own)
        stock.then(expired, ListingExpired(listing_id=ListingId(expired.id)))
        stock.then(gone, ListingDeleted(listing_id=ListingId(gone.id), deleted_at=datetime.now(UTC)))
        for query, found in (
            ({"seller": "me"}, [draft, active, expired]),
            ({"status": "draft"}, [draft]),
            ({"status": "draft,expired"}, [draft, expired]),
            ({"seller": str(own), "status": "active,draft"}, [draft, active]),
            ({"status": "active"}, [active]),
        ):
            asked: dict[str, Any] = {"category": stock.category["slug"], **query}
            listed = stock.found("/listings", client=seller, **asked)
            assert listed == [thing.number for thing in found], query
        (shown,) = stock.get("/listings", client=seller, status="draft")["products"]
        assert (shown["moderation"], "flagNote" in shown) == ("visible", False)
        assert_problem(shop.guest.get("/listings?status=draft"), 401, "UNAUTHORIZED")
        assert_problem(shop.guest.get("/listings?seller=me"), 401, "UNAUTHORIZED")
        refused = shop.user("/auth/signup").get("/listings", params={"status": "draft", "seller": str(own)})
        assert_problem(refused, 403, "FORBIDDEN")
        assert_problem(shop.guest.get("/listings?status=lost"), 400, "VALIDATION_ERROR", "status")

    def test_admins_list_everybodys(self, shop: Shop, stock: Stock, seller: Client, admin: Client) -> None:
        """S1-ADM-01, S4-ADMPROD-01."""
        own = seller_id(seller, stock)
        draft, hidden, gone = stock.added([{"publish": False, "title": "Unfinished"}, {}, {}], seller=own)
        active = stock.add()
        stock.then(hidden, ListingHidden(listing_id=ListingId(hidden.id), reason="spam"))
        stock.then(
            gone,
            ListingFlagged(listing_id=ListingId(gone.id), flags=("dubious", "old"), note=""),
            ListingDeleted(listing_id=ListingId(gone.id), deleted_at=datetime.now(UTC)),
        )
        category: dict[str, Any] = {"category": stock.category["slug"]}
        for path in ("/admin/products", "/admin/listings"):
            for query, found in (
                ({}, [draft, hidden, gone, active]),
                ({"status": "draft"}, [draft]),
                ({"moderation": "hidden"}, [hidden]),
                ({"flag": "dubious"}, [gone]),
                ({"deleted": "true"}, [gone]),
                ({"deleted": "false", "sort": "newest", "skip": 0}, [active, hidden, draft]),
                ({"seller": str(own), "status": "active"}, [hidden, gone]),
                ({"q": "unfinished"}, [draft]),
            ):
                listed = stock.found(path, client=admin, **category, **query)
                assert listed == [thing.number for thing in found], query
        page = stock.get("/admin/listings", client=admin, **category, page=1, limit=1)
        assert page["pagination"] == {"total": 4, "page": 1, "limit": 1, "pages": 4}
        assert page["data"][0]["flagNote"] == ""
        first = stock.get("/admin/listings", client=admin, **category, cursor="", limit=3)
        rest = stock.found("/admin/listings", client=admin, **category, cursor=first["nextCursor"], limit=3)
        assert rest == [active.number]
        assert_problem(shop.guest.get("/admin/products"), 401, "UNAUTHORIZED")
        assert_problem(seller.get("/admin/products"), 403, "FORBIDDEN")
        assert_problem(seller.get(f"/admin/listings/{draft.number}"), 403, "FORBIDDEN")
        assert_problem(admin.get("/admin/listings/999999999"), 404, "PRODUCT_NOT_FOUND")
        assert_problem(admin.get("/admin/listings?moderation=odd"), 400, "VALIDATION_ERROR", "moderation")


class TestCategoriesThatChange:
    def test_products_stay_with_their_category(self, stock: Stock, admin: Client) -> None:
        thing = stock.add()
        slug = f"{stock.category['slug']}-new"
        admin.patch(f"/admin/categories/{stock.category['id']}", {"slug": slug})
        assert stock.get(f"/products/{thing.number}")["category"] == slug
        other = admin.made("/admin/categories", {"name": f"Heir {uuid4().hex[:8]}"})
        gone = admin("DELETE", f"/admin/categories/{slug}", params={"reassignTo": other["slug"]})
        assert gone.status_code == 204, gone.text
        shown = stock.get(f"/products/{thing.number}")
        assert (shown["category"], shown["categoryId"]) == (other["slug"], other["id"])
        for name in (slug, other["slug"], other["id"], stock.category["id"]):
            assert stock.found(f"/products/category/{name}") == [thing.number]

    def test_categories_are_slugs(self, stock: Stock) -> None:
        """S2-PROD-02."""
        slugs = stock.get("/products/categories")
        assert stock.category["slug"] in slugs
        assert stock.get("/products/category-list") == slugs
