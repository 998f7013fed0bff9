from types import SimpleNamespace
from typing import Any

import pytest

from api.catalogue import MOST_NAMED, ProductQuery, search
from api.input import decode_query
from domain.kernel import InvalidInputError
from projections.products.query import ProductFilter, ProductPage
from tests.api.shop import Client, Shop, a_product, assert_problem


@pytest.fixture
def seller(shop: Shop) -> Client:
    return shop.user("/auth/signup")


@pytest.fixture(scope="module")
def shelf(admin: Client) -> str:
    """Three products in a category of their own, and the first of its own parent."""
    parent = admin.made("/admin/categories", {"name": "Instruments"})
    slug: str = admin.made("/admin/categories", {"name": "Theremins", "parent": parent["slug"]})["slug"]
    for title, price, brand, stock in (
        ("Moog Etherwave", 900, "Moog", 3), ("Alien Howler", 50.5, "Noname", 0), ("Zither-Theremin", 300, "Moog", 1),
    ):  # fmt: skip
        admin.made("/products/add", a_product(slug, title=title, price=price, brand=brand, stock=stock))
    return slug


class TestCategories:
    def test_are_a_tree_and_found_by_any_name(self, shop: Shop, admin: Client) -> None:
        home = admin.made("/admin/categories", {"name": "Home"})
        garden = admin.made("/categories", {"name": "Garden & Plants", "parent_id": home["id"], "order": 3})
        assert (garden["slug"], garden["parentId"]) == ("garden-plants", home["id"])
        position = {"X-Min-Log-Position": str(shop.head())}
        (node,) = [
            node
            for node in shop.guest.get("/categories", headers=position).json()
            if node["id"] == home["id"]
        ]
        assert node["children"] == [garden]
        for ref in (garden["id"], garden["uuid"], garden["slug"]):
            assert shop.guest.get(f"/categories/{ref}").json() == garden
        assert {"home", "garden-plants"} <= set(shop.guest.get("/products/categories").json())
        assert_problem(shop.guest.get("/categories/nowhere"), 404, "CATEGORY_NOT_FOUND")
        assert_problem(admin.post("/admin/categories", {"name": "Home"}), 409, "SLUG_EXISTS", "slug")

    def test_are_for_admins_to_make(self, seller: Client) -> None:
        assert_problem(seller.post("/admin/categories", {"name": "Mine"}), 403, "FORBIDDEN")


class TestWhatIsAskedFor:
    @pytest.mark.parametrize("name", ["collection", "facets", "collections"])
    def test_costs_no_more_than_a_few_questions(self, name: str) -> None:
        few, many = (
            ",".join(f"x{each}" for each in range(number)) for number in (MOST_NAMED, MOST_NAMED + 1)
        )
        decode_query(f"{name}={few}".encode(), ProductQuery)
        with pytest.raises(InvalidInputError) as refused:
            decode_query(f"{name}={many}".encode(), ProductQuery)
        assert list(refused.value.details) == [name.removesuffix("s") if name != "facets" else name]


class TestSearchingAnIndex:
    async def test_what_it_finds_is_shown_as_fresh_as_was_asked_for(self) -> None:
        """The index is ahead of the catalogue, which its hits are fetched from."""
        positions = {"product_search": 9, "products": 7}
        asked: list[str] = []

        class Reading:
            async def fresh(self, connection: Any, projection: str) -> int:
                asked.append(projection)
                return positions[projection]

        class Search:
            read_model = "product_search"

            async def search(self, wanted: ProductFilter) -> ProductPage:
                return ProductPage(total=0, bodies=(), engine="opensearch")

        backend: Any = SimpleNamespace(read=SimpleNamespace(search=Search()), reading=Reading())
        connection: Any = None
        position, _ = await search(connection, ProductFilter(words="phone"), backend)
        assert (position, asked) == (7, ["product_search", "products"])


class TestSearchingByTitle:
    @pytest.mark.parametrize("title", ["Node.js in Practice", "Rocket X-15", "Either/Or: a Life"])
    def test_what_is_found_by_its_parts_is_found_by_its_whole_title(
        self, shop: Shop, admin: Client, category: str, *, title: str
    ) -> None:
        made = admin.made("/products/add", a_product(category, title=title))
        position = {"X-Min-Log-Position": str(shop.head())}
        found = shop.guest.get("/products/search", params={"q": title}, headers=position).json()
        assert [one["id"] for one in found["products"]] == [made["id"]]


class TestSelling:
    def test_a_draft_is_seen_by_its_seller_alone_until_it_is_published(
        self, shop: Shop, seller: Client, category: str, admin: Client
    ) -> None:
        draft = seller.made("/listings", a_product(category, stock_quantity=7))
        assert (draft["status"], draft["stock"]) == ("draft", 50)
        ref = f"/products/{draft['id']}"
        assert seller.get(ref).json()["status"] == "draft"
        position = {"X-Min-Log-Position": str(shop.head())}
        assert admin.get(ref, headers=position).status_code == 200
        assert_problem(shop.guest.get(ref, headers=position), 404, "PRODUCT_NOT_FOUND")
        assert_problem(shop.user().post(f"{ref}/publish"), 403, "FORBIDDEN")
        assert_problem(shop.user("/auth/signup").post(f"{ref}/publish"), 403, "FORBIDDEN")
        published = seller.post(f"{ref}/publish")
        assert published.json()["status"] == "active"
        assert published.headers["etag"] == '"2"'
        position = {"X-Min-Log-Position": published.headers["x-log-position"]}
        for name in (draft["id"], draft["uuid"], draft["slug"]):
            assert shop.guest.get(f"/products/{name}", headers=position).json()["id"] == draft["id"]
        assert seller.made(f"/listings/{draft['uuid']}/unpublish")["status"] == "draft"

    def test_price_stock_and_details_change_by_put_and_patch_alike(
        self, shop: Shop, seller: Client, category: str
    ) -> None:
        listing = seller.made("/products", a_product(category, status="active"))
        ref = f"/products/{listing['slug']}"
        changed = seller("PUT", ref, json={"price": 89.99, "stock": 150})
        assert changed.json() == listing | {
            "price": 89.99, "salePrice": 85.04, "stock": 150,
        }  # fmt: skip
        stale = {"If-Match": '"2"'}
        assert_problem(seller.patch(ref, {"title": "Another"}, headers=stale), 409, "VERSION_CONFLICT")
        fresh = {"If-Match": changed.headers["etag"]}
        assert (
            seller.patch(ref, {"title": "Another", "discount_percentage": 0}, headers=fresh).json()["title"]
            == "Another"
        )
        assert seller.get(ref).json()["salePrice"] == 89.99
        assert_problem(
            seller.patch(ref, {"price": 1}, headers={"If-Match": "2"}), 400, "VALIDATION_ERROR", "If-Match"
        )
        assert_problem(shop.user("/auth/signup").patch(ref, {"price": 1}), 403, "FORBIDDEN")

    def test_what_is_not_complete_is_not_published(self, seller: Client, category: str) -> None:
        bare = seller.made("/products", {"title": "Bare", "price": 5, "category_id": category})
        refused = seller.post(f"/products/{bare['id']}/publish")
        assert_problem(refused, 422, "LISTING_NOT_PUBLISHABLE", "images", "description")

    @pytest.mark.parametrize(
        ("field", "value", "fault"),
        [
            ("title", "ab", "Must be at least 3 characters"),
            ("title", 7, "Must be a text"),
            ("title", "a\0b", "Must not contain the character NUL"),
            ("description", "short", "Must be at least 10 characters"),
            ("price", 0, "Must be greater than 0"),
            ("price", -1, "Must be greater than 0"),
            ("price", 1.999, "Must have at most 2 decimals"),
            ("price", "12", "Must be a number"),
            ("price", True, "Must be a number"),
            ("price", 10**12, "Must be at most 100000000"),
            ("discountPercentage", 101, "Must be at most 100"),
            ("thumbnail", "no url", "Must be a valid URL"),
            ("thumbnail", None, "Is required"),
            ("images", "https://a.example/b.jpg", "Must be a list"),
            ("category", "nowhere", "Does not exist"),
            ("brand", "", "Must not be empty"),
            ("stock", -1, "Must be at least 0"),
            ("stock", 10**20, "Must be at most 1000000000"),
            ("stock", 1.5, "Must be an integer"),
        ],
    )
    def test_each_field_is_refused_by_name(
        self, shop: Shop, admin: Client, category: str, *, field: str, value: Any, fault: str
    ) -> None:
        head = shop.head()
        refused = admin.post("/products/add", a_product(category) | {field: value})
        assert assert_problem(refused, 400, "VALIDATION_ERROR", field)["details"] == {field: [fault]}
        assert shop.head() == head

    def test_faults_within_lists_say_where(self, admin: Client, category: str) -> None:
        refused = admin.post("/products/add", a_product(category, images=["https://a.example/b.jpg", "no"]))
        assert_problem(refused, 400, "VALIDATION_ERROR", "images[1]")

    def test_adding_to_the_catalogue_is_for_admins(self, seller: Client, category: str) -> None:
        assert_problem(seller.post("/products/add", a_product(category)), 403, "FORBIDDEN")


class TestFinding:
    def titles(self, shop: Shop, path: str, **query: Any) -> list[str]:
        response = shop.guest.get(path, params=query, headers={"X-Min-Log-Position": str(shop.head())})
        assert response.status_code == 200, response.text
        return [product["title"] for product in response.json()["products"]]

    def test_pages_are_sorted_and_filtered(self, shop: Shop, shelf: str) -> None:
        path = f"/products/category/{shelf}"
        assert self.titles(shop, path) == ["Moog Etherwave", "Alien Howler", "Zither-Theremin"]
        assert self.titles(shop, path, sortBy="price", order="desc") == [
            "Moog Etherwave",
            "Zither-Theremin",
            "Alien Howler",
        ]
        assert self.titles(shop, path, sort_by="title") == [
            "Alien Howler",
            "Moog Etherwave",
            "Zither-Theremin",
        ]
        assert self.titles(shop, path, sort="price_asc", limit=1, skip=1) == ["Zither-Theremin"]
        assert self.titles(shop, path, minPrice=50.5, maxPrice=300) == ["Alien Howler", "Zither-Theremin"]
        assert self.titles(shop, path, brand="Moog", inStock="true", maxPrice="500") == ["Zither-Theremin"]
        assert self.titles(shop, "/products", category="instruments") == self.titles(shop, path)
        assert self.titles(shop, "/products/category/nowhere") == []

    def test_words_are_found_in_title_and_brand(self, shop: Shop, shelf: str) -> None:
        assert self.titles(shop, "/products/search", q="howler") == ["Alien Howler"]
        assert set(self.titles(shop, "/products/search", q="moog")) == {"Moog Etherwave", "Zither-Theremin"}
        response = shop.guest.get("/products/search", params={"q": "theremin", "limit": 1})
        assert response.headers["x-search-engine"] == "postgres"
        assert response.json().keys() == {"products", "total", "skip", "limit", "nextCursor"}

    def test_limits_are_bounded(self, shop: Shop, shelf: str) -> None:
        for asked, given in ((None, 10), (0, 100), (7, 7), (100_000, 100)):
            params = {} if asked is None else {"limit": asked}
            assert shop.guest.get("/products", params=params).json()["limit"] == given

    @pytest.mark.parametrize(
        ("path", "query", "field"),
        [
            ("/products", "limit=-1", "limit"),
            ("/products", "limit=ten", "limit"),
            ("/products", "skip=-1", "skip"),
            ("/products", "sortBy=colour", "sortBy"),
            ("/products", "sort=colour", "sort"),
            ("/products", "order=up", "order"),
            ("/products", "minPrice=nan", "minPrice"),
            ("/products", "maxPrice=-5", "maxPrice"),
            ("/products", "inStock=maybe", "inStock"),
            ("/products", "brand=a%00b", "brand"),
            ("/products/search", "", "q"),
            ("/products/search", "q=", "q"),
        ],
    )
    def test_a_query_that_makes_no_sense_is_refused_by_name(
        self, shop: Shop, path: str, query: str, field: str
    ) -> None:
        assert_problem(shop.guest.get(f"{path}?{query}"), 400, "VALIDATION_ERROR", field)

    def test_an_unknown_product_is_not_found_whatever_it_is_called(self, shop: Shop) -> None:
        for ref in (
            "999999999",
            "9" * 30,
            "no-such-thing",
            "5e0e7d5c-0000-4000-8000-000000000000",
            "a%00b",
            "-1",
        ):
            problem = assert_problem(shop.guest.get(f"/products/{ref}"), 404, "PRODUCT_NOT_FOUND")
            assert problem["message"] == "Product not found"

    def test_a_product_at_hand_is_dropped_when_it_changes(
        self, shop: Shop, admin: Client, category: str
    ) -> None:
        made = admin.made("/products/add", a_product(category))
        path = f"/products/{made['id']}"
        first = shop.guest.get(path, headers={"X-Min-Log-Position": str(shop.head())}).json()
        assert shop.guest.get(path).json() == first
        changed = admin.patch(path, {"price": 5})
        seen = shop.guest.get(path, headers={"X-Min-Log-Position": changed.headers["x-log-position"]})
        assert seen.json()["price"] == 5
        assert int(seen.headers["x-log-position"]) >= int(changed.headers["x-log-position"])
        assert shop.guest.get(path).json()["price"] == 5
