"""The acceptance list of offering things: each row of the contract, asked as its document writes it."""

import uuid
from functools import cached_property
from typing import Any, Literal

import httpx
import pytest

from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem
from tests.api.test_contract_accounts import Refusal, Row, assert_described, assert_shows
from tests.api.test_contract_accounts import Scene as People

PRODUCT = {
    "id": int,
    "uuid": str,
    "slug": str,
    "title": str,
    "description": str,
    "price": (int, float),
    "discountPercentage": (int, float),
    "thumbnail": str,
    "images": list,
    "category": str,
    "brand": str,
    "stock": int,
    "rating": (int, float),
    "reviewCount": int,
    "reviews": list,
}
S0_PRODUCT = {
    "title": "Silk dress",
    "brand": "Reformation",
    "category": "{dresses}",
    "size": "M",
    "condition": "good",
    "price": 89.5,
    "descriptionShort": "Worn once",
    "mediaIds": [],
}
S1_LISTING = {
    "title": "Silk dress",
    "description": "Worn once, and cleaned.",
    "categoryId": "{dresses}",
    "price": 89.5,
    "condition": "good",
    "attributes": {"size": "M"},
    "location": {"lat": 52.516272, "lng": 13.377722},
    "currency": "USD",
}
S2_PRODUCT = {
    "title": "iPhone 15 Pro",
    "description": "Latest Apple smartphone with A17 Pro chip",
    "price": 1199.99,
    "discountPercentage": 5.5,
    "thumbnail": "https://cdn.example.com/iphone15.jpg",
    "images": ["https://cdn.example.com/iphone15-1.jpg"],
    "category": "{category}",
    "brand": "Apple",
    "stock": 50,
}
S3_PRODUCT = {
    "title": "Vintage jacket",
    "price": 45.0,
    "description": "From the nineties.",
    "stock_quantity": 1,
    "images": ["https://cdn.example.com/jacket.jpg"],
    "category_id": "{category_uuid}",
    "shipping_profile_id": "{shipping}",
}
S4_PRODUCT = {
    "title": "Wool scarf",
    "slug": "{new_slug}",
    "description": "Warm.",
    "images": ["https://cdn.example.com/scarf.jpg"],
    "price": 40,
    "salePrice": 30,
    "categories": ["{category_uuid}", "{dresses}"],
    "collections": ["{collection}"],
    "tags": ["wool"],
    "inventoryCount": 12,
}

STRANGERS: tuple[tuple[Literal["guest", "user"], int, str], ...] = (
    ("guest", 401, "UNAUTHORIZED"),
    ("user", 403, "FORBIDDEN"),
)

ROWS = (
    Row(
        "S0-PROD-01",
        "seller",
        "POST /products",
        201,
        {**PRODUCT, "status": "draft", "brand": "Reformation", "stock": 1, "description": "Worn once"},
        S0_PRODUCT,
    ),
    Row("S0-PROD-02", "seller", "PATCH /products/{draft}", 200, {**PRODUCT, "price": 75}, {"price": 75}),
    Row("S0-PROD-03", "seller", "POST /products/{draft}/publish", 200, {**PRODUCT, "status": "active"}),
    Row("S0-ADM-01", "admin", "POST /admin/products/{active}/hide", 200, {**PRODUCT, "hidden": True}),
    Row("S0-ADM-02", "admin", "POST /admin/products/{hidden}/unhide", 200, {**PRODUCT, "hidden": False}),
    Row("S0-ADM-03", "admin", "POST /admin/products/{active}/remove", 200, {"id": int, "removed": True}),
    Row(
        "S1-LIST-01", "seller", "POST /listings", 201, {**PRODUCT, "status": "draft", "stock": 1}, S1_LISTING
    ),
    Row("S1-LIST-02", "seller", "PATCH /listings/{active}", 200, {"title": "A dress"}, {"title": "A dress"}),
    Row("S1-LIST-03", "seller", "POST /listings/{draft}/publish", 200, {**PRODUCT, "status": "active"}),
    Row("S1-LIST-04", "seller", "POST /listings/{active}/unpublish", 200, {**PRODUCT, "status": "draft"}),
    # C7 has S2's answer for the same action by another name.
    Row(
        "S1-LIST-05",
        "seller",
        "DELETE /listings/{active}",
        200,
        {**PRODUCT, "isDeleted": True, "deletedOn": str},
    ),
    Row("S1-ADM-02", "admin", "DELETE /admin/listings/{active}", 204, None, {"reason": "spam"}),
    Row("S1-ADM-03", "admin", "POST /admin/listings/{deleted}/restore", 200, {**PRODUCT, "status": "active"}),
    Row(
        "S1-ADM-04",
        "admin",
        "PUT /admin/listings/{active}/flags",
        200,
        {"flags": ["counterfeit"]},
        {"flags": ["counterfeit", "counterfeit"], "note": "look again"},
    ),
    Row("S2-PROD-06", "admin", "POST /products/add", 201, {**PRODUCT, "status": "active"}, S2_PRODUCT),
    Row(
        "S2-PROD-07",
        "admin",
        "PUT /products/{active}",
        200,
        {**PRODUCT, "price": 1099.99, "stock": 45},
        {"price": 1099.99, "stock": 45},
    ),
    Row(
        "S2-PROD-08",
        "admin",
        "DELETE /products/{active}",
        200,
        {**PRODUCT, "isDeleted": True, "deletedOn": str},
    ),
    Row("S2-PROD-09", "admin", "POST /products", 201, {**PRODUCT, "status": "active"}, S2_PRODUCT),
    Row("S2-PROD-10", "admin", "PATCH /products/{active}", 200, {"price": 9.99}, {"price": 9.99}),
    Row(
        "S3-PROD-03",
        "seller",
        "POST /products",
        201,
        {**PRODUCT, "status": "active", "stock": 1, "sellerId": "{shop_id}"},
        S3_PRODUCT,
    ),
    Row("S3-PROD-04", "seller", "PATCH /products/{active_uuid}", 200, {"stock": 3}, {"stock_quantity": 3}),
    # C7: S2's 200 with a body wins over S3's 204.
    Row("S3-PROD-05", "seller", "DELETE /products/{active_uuid}", 200, {"isDeleted": True}),
    Row(
        "S4-ADMPROD-02",
        "admin",
        "POST /admin/products",
        201,
        {
            **PRODUCT,
            "slug": "{new_slug}",
            "salePrice": 30,
            "discountPercentage": 25,
            "stock": 12,
            "tags": ["wool"],
            "status": "active",
        },
        S4_PRODUCT,
    ),
    Row(
        "S4-ADMPROD-04",
        "admin",
        "PATCH /admin/products/{active}",
        200,
        {"stock": 2, "salePrice": 10, "discountPercentage": 50},
        {"inventoryCount": 2, "price": 20, "salePrice": 10},
    ),
    Row("S4-ADMPROD-05", "admin", "DELETE /admin/products/{active}", 204),
)

REFUSALS = (
    *(
        Refusal(row_id, who, call, status, code, body)
        for who, status, code in STRANGERS
        for row_id, call, body in (
            ("S0-PROD-01", "POST /products", S0_PRODUCT),
            ("S0-PROD-02", "PATCH /products/{active}", {"price": 1}),
            ("S0-PROD-03", "POST /products/{draft}/publish", None),
            ("S0-ADM-01", "POST /admin/products/{active}/hide", None),
            ("S0-ADM-02", "POST /admin/products/{active}/unhide", None),
            ("S0-ADM-03", "POST /admin/products/{active}/remove", None),
            ("S1-LIST-01", "POST /listings", S1_LISTING),
            ("S1-LIST-02", "PATCH /listings/{active}", {"price": 1}),
            ("S1-LIST-03", "POST /listings/{draft}/publish", None),
            ("S1-LIST-04", "POST /listings/{active}/unpublish", None),
            ("S1-LIST-05", "DELETE /listings/{active}", None),
            ("S1-ADM-02", "DELETE /admin/listings/{active}", None),
            ("S1-ADM-03", "POST /admin/listings/{active}/restore", None),
            ("S1-ADM-04", "PUT /admin/listings/{active}/flags", {"flags": []}),
            ("S2-PROD-06", "POST /products/add", S2_PRODUCT),
            ("S2-PROD-07", "PUT /products/{active}", {"price": 1}),
            ("S2-PROD-08", "DELETE /products/{active}", None),
            ("S3-PROD-03", "POST /products", {**S3_PRODUCT, "shipping_profile_id": ""}),
            ("S3-PROD-04", "PATCH /products/{active_uuid}", {"price": 1}),
            ("S3-PROD-05", "DELETE /products/{active_uuid}", None),
            ("S4-ADMPROD-02", "POST /admin/products", S4_PRODUCT),
            ("S4-ADMPROD-04", "PATCH /admin/products/{active}", {"price": 1}),
            ("S4-ADMPROD-05", "DELETE /admin/products/{active}", None),
        )
    ),
    # Somebody who sells, and not this.
    *(
        Refusal(row_id, "other", call, 403, "FORBIDDEN", body)
        for row_id, call, body in (
            ("S0-PROD-02", "PATCH /products/{active}", {"price": 1}),
            ("S0-PROD-03", "POST /products/{draft}/publish", None),
            ("S1-LIST-04", "POST /listings/{active}/unpublish", None),
            ("S1-LIST-05", "DELETE /listings/{active}", None),
            ("S2-PROD-07", "PUT /products/{active}", {"price": 1}),
            ("S3-PROD-05", "DELETE /products/{active_uuid}", None),
            ("S2-PROD-06", "POST /products/add", S2_PRODUCT),
            ("S0-ADM-01", "POST /admin/products/{active}/hide", None),
        )
    ),
    *(
        Refusal(row_id, "admin", call, 404, "PRODUCT_NOT_FOUND", body)
        for name in ("{missing}", "no-such-thing", "{deleted}")
        for row_id, call, body in (
            ("S2-PROD-07", f"PUT /products/{name}", {"price": 1}),
            ("S2-PROD-08", f"DELETE /products/{name}", None),
            ("S0-PROD-03", f"POST /products/{name}/publish", None),
            ("S1-LIST-04", f"POST /listings/{name}/unpublish", None),
            ("S1-ADM-02", f"DELETE /admin/listings/{name}", None),
        )
    ),
    *(
        Refusal(row_id, "admin", call, 404, "PRODUCT_NOT_FOUND", body)
        for row_id, call, body in (
            ("S0-ADM-01", "POST /admin/products/{missing}/hide", None),
            ("S0-ADM-02", "POST /admin/products/{missing}/unhide", None),
            ("S0-ADM-03", "POST /admin/products/{missing}/remove", None),
            ("S1-ADM-03", "POST /admin/listings/{missing}/restore", None),
            ("S1-ADM-04", "PUT /admin/listings/{missing}/flags", {"flags": []}),
        )
    ),
    Refusal("S0-ADM-01", "admin", "POST /admin/products/{hidden}/hide", 409, "LISTING_ALREADY_HIDDEN"),
    Refusal("S0-ADM-02", "admin", "POST /admin/products/{active}/unhide", 409, "LISTING_NOT_HIDDEN"),
    Refusal("S1-ADM-03", "admin", "POST /admin/listings/{active}/restore", 409, "LISTING_NOT_DELETED"),
    Refusal("S0-PROD-02", "seller", "PATCH /products/{sold}", 409, "LISTING_SOLD", {"price": 1}),
    Refusal("S0-PROD-03", "seller", "POST /products/{sold}/publish", 409, "LISTING_SOLD"),
    Refusal("S1-LIST-05", "seller", "DELETE /listings/{ordered}", 409, "LISTING_IN_OPEN_ORDER"),
    Refusal(
        "S0-PROD-03",
        "seller",
        "POST /products/{bare}/publish",
        422,
        "LISTING_NOT_PUBLISHABLE",
        None,
        ("images", "description", "attributes.size"),
    ),
    Refusal(
        "S1-LIST-03",
        "seller",
        "POST /listings/{bare}/publish",
        422,
        "LISTING_NOT_PUBLISHABLE",
        None,
        ("images", "description", "attributes.size"),
    ),
    Refusal(
        "S1-LIST-01",
        "seller",
        "POST /listings",
        400,
        "VALIDATION_ERROR",
        {**S1_LISTING, "attributes": {"size": "XL", "watt": 60}},
        ("attributes.size", "attributes.watt"),
    ),
    Refusal(
        "S1-LIST-02",
        "seller",
        "PATCH /listings/{active}",
        400,
        "VALIDATION_ERROR",
        {"attributes": {"size": None}},
        ("attributes.size",),
    ),
    Refusal(
        "S1-LIST-01",
        "seller",
        "POST /listings",
        400,
        "VALIDATION_ERROR",
        {**S1_LISTING, "categoryId": "nowhere"},
        ("category",),
    ),
    Refusal(
        "S3-PROD-03",
        "seller",
        "POST /products",
        400,
        "VALIDATION_ERROR",
        {**S3_PRODUCT, "shipping_profile_id": str(uuid.uuid4())},
        ("shippingProfileId",),
    ),
    Refusal(
        "S4-ADMPROD-02",
        "admin",
        "POST /admin/products",
        409,
        "SLUG_EXISTS",
        {**S4_PRODUCT, "slug": "{taken}"},
        ("slug",),
    ),
    Refusal(
        "S4-ADMPROD-04",
        "admin",
        "PATCH /admin/products/{active}",
        409,
        "SLUG_EXISTS",
        {"slug": "{taken}"},
        ("slug",),
    ),
    Refusal(
        "S4-ADMPROD-02",
        "admin",
        "POST /admin/products",
        400,
        "VALIDATION_ERROR",
        {**S4_PRODUCT, "discountPercentage": 10},
        ("salePrice",),
    ),
    *(
        Refusal(
            "S2-PROD-06",
            "admin",
            "POST /products/add",
            400,
            "VALIDATION_ERROR",
            {name: value for name, value in S2_PRODUCT.items() if name != missing},
            (missing,),
        )
        for missing in ("title", "description", "price", "thumbnail", "category", "brand", "stock")
    ),
    *(
        Refusal(
            "S4-ADMPROD-02",
            "admin",
            "POST /admin/products",
            400,
            "VALIDATION_ERROR",
            {**S4_PRODUCT, "slug": slug},
            ("slug",),
        )
        for slug in ("search", "add", "categories", "123", str(uuid.uuid4()), "No Slug")
    ),
)


class Scene(People):
    """Who sells what, made when it is asked for."""

    def __init__(self, shop: Shop, admin: Client, category: dict[str, Any], dresses: str) -> None:
        super().__init__(shop, admin)
        self._category = category
        self.dresses = dresses
        self.new_slug = f"scarf-{uuid.uuid4().hex[:8]}"

    @property
    def category(self) -> str:
        return self._text(self._category["slug"])

    @property
    def category_uuid(self) -> str:
        return self._text(self._category["uuid"])

    @cached_property
    def other(self) -> Client:
        """Who sells, and not this."""
        return self._shop.user("/auth/signup")

    def filled(self, value: Any) -> Any:
        return [self.filled(each) for each in value] if isinstance(value, list) else super().filled(value)

    def head(self) -> int:
        return self._shop.head()

    @cached_property
    def collection(self) -> str:
        return self._text(self.admin.made("/admin/collections", {"name": uuid.uuid4().hex})["uuid"])

    def _offered(self, **fields: Any) -> dict[str, Any]:
        return self.seller.made("/listings", a_product(self.dresses, size="M", **fields))

    @cached_property
    def draft(self) -> str:
        return self._text(self._offered()["id"])

    @cached_property
    def bare(self) -> str:
        body = {"title": "Bare", "price": 1, "category": self.dresses}
        return self._text(self.seller.made("/listings", body)["id"])

    @cached_property
    def _active(self) -> dict[str, Any]:
        return self._offered(status="active")

    @property
    def active(self) -> str:
        return self._text(self._active["id"])

    @property
    def active_uuid(self) -> str:
        return self._text(self._active["uuid"])

    @property
    def taken(self) -> str:
        return self._text(self._offered()["slug"])

    @property
    def hidden(self) -> str:
        self.admin.made(f"/admin/products/{self.active}/hide", {"reason": "fake"})
        return self.active

    @property
    def deleted(self) -> str:
        assert self.admin("DELETE", f"/admin/products/{self.active}").status_code == 204
        return self.active

    @property
    def missing(self) -> str:
        return "999999999"

    def _order(self, product: dict[str, Any]) -> dict[str, Any]:
        items = [{"product_id": product["uuid"], "qty": 1}]
        return self.user.made("/orders", {"items": items, "shippingAddress": ADDRESS})

    @property
    def ordered(self) -> str:
        self._order(self._active)
        return self.active

    @cached_property
    def sold(self) -> str:
        """The only one of it, which somebody has paid."""
        body = {**self.filled(S1_LISTING), "images": ["https://a.example/b.jpg"], "status": "active"}
        only = self.seller.made("/listings", body)
        intent = self._order(only)["paymentIntentId"]
        self.user.made(f"/payments/intents/{intent}/confirm", {"paymentMethodId": "pm_card_visa"})
        return self._text(only["id"])


@pytest.fixture(scope="module")
def things(admin: Client) -> dict[str, Any]:
    return admin.made("/admin/categories", {"name": "Things of rows"})


@pytest.fixture(scope="module")
def dresses(admin: Client) -> str:
    size = {"key": "size", "label": "Size", "type": "enum", "options": ["S", "M"], "required": True}
    slug: str = admin.made("/admin/categories", {"name": "Dresses of rows", "attributes": [size]})["slug"]
    return slug


@pytest.fixture
def scene(shop: Shop, admin: Client, things: dict[str, Any], dresses: str) -> Scene:
    return Scene(shop, admin, things, dresses)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(scene: Scene, row: Row) -> None:
    response = scene.call(row)
    assert response.status_code == row.status, response.text
    if row.status == 204:
        assert response.content == b""
        return
    assert response.headers["content-type"] == "application/json"
    assert_shows(response.json(), scene.filled(row.answer))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.id} {row.who} {row.status} {row.fields}")
def test_row_refuses(scene: Scene, row: Refusal) -> None:
    assert_problem(scene.call(row), row.status, row.code, *row.fields)


def test_every_row_is_asked_for_in_one_way() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


def test_the_description_knows_every_row_and_every_refusal(shop: Shop) -> None:
    paths = httpx.get(f"{shop.origin}/docs/json").json()["paths"]
    assert_described(paths, (*ROWS, *REFUSALS))


class TestFourWaysOfCreating:
    """C24b: an explicit status wins, and without one the body and the path tell."""

    @pytest.mark.parametrize(
        ("who", "path", "fields", "status"),
        [
            ("seller", "/products", {}, "active"),
            ("seller", "/products", {"status": "draft"}, "draft"),
            ("seller", "/products", {"descriptionShort": "Short"}, "draft"),
            ("seller", "/products", {"images": []}, "draft"),
            ("seller", "/listings", {}, "draft"),
            ("seller", "/listings", {"status": "active"}, "active"),
            ("admin", "/products/add", {}, "active"),
            ("admin", "/products/add", {"status": "draft"}, "draft"),
            ("admin", "/admin/products", {}, "active"),
            ("admin", "/admin/listings", {"status": "draft"}, "draft"),
        ],
    )
    def test_status(self, scene: Scene, *, who: str, path: str, fields: dict[str, Any], status: str) -> None:
        client: Client = getattr(scene, who)
        assert client.made(path, a_product(scene.category, **fields))["status"] == status

    @pytest.mark.parametrize(
        ("path", "given", "stock"),
        [
            ("/products", {}, 1),
            ("/listings", {}, 1),
            ("/listings", {"quantity": 4}, 4),
            ("/listings", {"stock": 0, "quantity": 4}, 0),
            ("/admin/products", {}, 0),
        ],
    )
    def test_stock(self, scene: Scene, *, path: str, given: dict[str, Any], stock: int) -> None:
        body = {"title": "Lamp", "price": 1, "category": scene.category, "status": "draft", **given}
        client = scene.admin if path.startswith("/admin") else scene.seller
        assert client.made(path, body)["stock"] == stock

    def test_of_things_that_nobody_counts_there_is_one_and_it_is_sold_once(self, scene: Scene) -> None:
        path = f"/listings/{scene.sold}"
        paid = {"X-Min-Log-Position": str(scene.head())}
        assert scene.seller.get(path, headers=paid).json()["status"] == "sold"

    def test_only_admins_put_things_into_collections(self, scene: Scene) -> None:
        body = a_product(scene.category, collections=[scene.collection])
        assert_problem(scene.seller.post("/products", body), 403, "FORBIDDEN")
        made = scene.admin.made("/admin/products", body)
        collected = scene.admin.get(f"/admin/collections/{scene.collection}").json()["products"]
        assert len(collected) == 1
        assert_problem(
            scene.seller.patch(f"/products/{scene.active}", {"collections": [scene.collection]}),
            403,
            "FORBIDDEN",
        )
        assert scene.admin.patch(f"/admin/products/{made['id']}", {"collections": []}).status_code == 200
        assert scene.admin.get(f"/admin/collections/{scene.collection}").json()["products"] == []


class TestChanging:
    def test_null_clears_what_can_be_cleared(self, scene: Scene) -> None:
        made = scene.seller.made(
            "/listings",
            a_product(
                scene.dresses, size="M", style="loud", tags=["a"], sku="1", location={"lat": 1, "lng": 2}
            ),
        )
        cleared = scene.seller.patch(
            f"/listings/{made['id']}",
            {
                "brand": None, "tags": None, "images": None, "discountPercentage": None, "style": None,
                "sku": None, "location": None, "thumbnail": None, "description": None,
            },
        )  # fmt: skip
        assert cleared.status_code == 200, cleared.text
        assert {name: cleared.json()[name] for name in ("brand", "tags", "images", "discountPercentage")} == {
            "brand": "", "tags": [], "images": [], "discountPercentage": 0,
        }  # fmt: skip
        for field in ("title", "price", "stock", "slug", "category"):
            refused = scene.seller.patch(f"/listings/{made['id']}", {field: None})
            assert_problem(refused, 400, "VALIDATION_ERROR", field)

    @pytest.mark.parametrize("case", ["camel", "snake"])
    def test_what_is_shown_can_be_sent_back(self, scene: Scene, case: str) -> None:
        accept = {"Accept": f"application/json; case={case}"}
        body = a_product(
            scene.dresses, size="M", salePrice=900, discountPercentage=None, location={"lat": 1, "lng": 2}
        )
        shown = scene.seller.made("/listings", body, headers=accept)
        head = scene.head()
        for path in (f"/listings/{shown['id']}", f"/products/{shown['slug']}"):
            saved = scene.seller("PUT", path, json=shown, headers=accept)
            assert saved.status_code == 200, saved.text
            assert saved.json() == shown
            read = scene.seller.get(path).json()
            assert scene.seller("PUT", path, json=read).status_code == 200
        assert scene.head() == head

    def test_what_others_say_of_it_is_part_of_the_answer(self, shop: Shop, scene: Scene) -> None:
        """S2 5.2.7: the whole product, which its client puts in the place of the one that it had."""
        path = f"/products/{scene.active}"
        said = scene.user.made(f"{path}/reviews", {"rating": 4, "comment": "Good"})
        read = shop.guest.get(path, headers={"X-Min-Log-Position": str(scene.head())}).json()
        key = {"Idempotency-Key": uuid.uuid4().hex}
        changed, again = (scene.admin("PUT", path, json={"price": 5}, headers=key) for _ in range(2))
        assert changed.content == again.content
        assert (changed.json()["rating"], changed.json()["reviewCount"]) == (4, 1)
        assert changed.json()["reviews"] == read["reviews"]
        scene.user("DELETE", f"/reviews/{said['id']}")
        shop.guest.get(path, headers={"X-Min-Log-Position": str(scene.head())})
        later = scene.admin("PUT", path, json={"price": 5}, headers=key).json()
        assert (later["price"], later["rating"], later["reviews"]) == (5, 0, [])

    def test_an_older_version_is_not_overwritten(self, scene: Scene) -> None:
        path = f"/products/{scene.active}"
        for call in (
            ("PATCH", path, {"price": 1}),
            ("DELETE", path, None),
            ("POST", f"{path}/unpublish", None),
            ("POST", f"{path}/renew", None),
        ):
            method, where, body = call
            options = {} if body is None else {"json": body}
            stale = scene.seller(method, where, headers={"If-Match": '"1"'}, **options)
            assert_problem(stale, 409, "VERSION_CONFLICT")
        fresh = scene.seller.patch(path, {"price": 1}, headers={"If-Match": '"2"'})
        assert (fresh.status_code, fresh.headers["etag"]) == (200, '"3"')

    def test_once_is_once(self, scene: Scene) -> None:
        for method, path, body in (
            ("POST", "/listings", a_product(scene.dresses, size="M")),
            ("POST", f"/listings/{scene.active}/unpublish", None),
            ("PATCH", f"/listings/{scene.active}", {"slug": f"s-{uuid.uuid4().hex}"}),
            ("DELETE", f"/listings/{scene.active}", None),
        ):
            key = {"Idempotency-Key": uuid.uuid4().hex}
            options = {} if body is None else {"json": body}
            first, again = (scene.seller(method, path, headers=key, **options) for _ in range(2))
            assert first.content == again.content
            assert again.headers["idempotency-replayed"] == "true"
            assert again.headers["x-log-position"] == first.headers["x-log-position"]

    def test_an_old_slug_goes_on_naming_it(self, scene: Scene) -> None:
        made = scene.seller.made("/listings", a_product(scene.dresses, size="M"))
        new = f"new-{uuid.uuid4().hex[:8]}"
        assert scene.seller.patch(f"/listings/{made['slug']}", {"slug": new}).json()["slug"] == new
        assert scene.seller.patch(f"/listings/{made['slug']}", {"price": 2}).json()["slug"] == new
        refused = scene.seller.post("/listings", a_product(scene.dresses, slug=made["slug"]))
        assert_problem(refused, 409, "SLUG_EXISTS", "slug")


class TestOutOfSight:
    def test_what_is_hidden_or_deleted_is_not_found(self, scene: Scene) -> None:
        path = f"/products/{scene.active}"

        def seen() -> int:
            position = {"X-Min-Log-Position": str(scene.head())}
            return scene.guest.get(path, headers=position).status_code

        assert seen() == 200
        hidden = scene.admin.made(f"/admin{path}/hide", {"reason": "fake"})
        assert (hidden["moderation"], hidden["moderationReason"]) == ("hidden", "fake")
        assert seen() == 404
        scene.admin.made(f"/admin{path}/unhide")
        assert seen() == 200
        scene.admin.made(f"/admin{path}/remove", {"reason": "fake"})
        assert seen() == 404
        refused = scene.seller.patch(path, {"price": 1})
        assert assert_problem(refused, 403, "FORBIDDEN")["details"] == {"reason": "fake"}
        scene.admin.made(f"/admin{path}/restore")
        assert seen() == 200
        assert scene.seller("DELETE", path).status_code == 200
        assert seen() == 404
        assert_problem(scene.seller("DELETE", path), 404, "PRODUCT_NOT_FOUND")
