"""The acceptance list of what is around products: categories, collections, promotions, pictures, reviews, wishes."""

import uuid
from functools import cached_property
from typing import Any

import httpx
import pytest

from tests.api.shop import Client, Shop, a_product, assert_problem
from tests.api.test_contract_accounts import Refusal, Row, a_picture, assert_described, assert_shows, is_like
from tests.api.test_contract_listings import PRODUCT, STRANGERS
from tests.api.test_contract_listings import Scene as Offers

CATEGORY = {
    "id": int,
    "uuid": str,
    "name": str,
    "slug": str,
    "description": str,
    "image": str,
    "active": bool,
    "order": int,
    "attributes": list,
}
NODE = {**CATEGORY, "children": list}
COLLECTION = {
    "id": int,
    "uuid": str,
    "name": str,
    "slug": str,
    "description": str,
    "image": str,
    "active": bool,
    "order": int,
}
PROMOTION = {
    **COLLECTION,
    "discountType": str,
    "discountValue": (int, float),
    "startDate": str,
    "endDate": str,
}
REVIEW = {
    "id": int,
    "uuid": str,
    "rating": int,
    "comment": str,
    "date": str,
    "reviewerName": str,
    "reviewerEmail": str,
    "createdAt": str,
}
S4_CATEGORY = {
    "name": "{new_name}",
    "slug": "{new_slug}",
    "description": "All of it",
    "image": "https://cdn.example.com/c.jpg",
    "active": True,
    "order": 3,
}
S4_PROMOTION = {
    **S4_CATEGORY,
    "discountType": "percentage",
    "discountValue": 10,
    "startDate": "2026-01-01T00:00:00Z",
    "endDate": "2099-01-01T00:00:00Z",
    # Not in the document; without it every other test's order would be cheaper.
    "minSubtotal": 900_000,
}
S4_SAVED = {name: value for name, value in S4_CATEGORY.items() if name != "name"}
SCHEMA = {"key": str, "label": str, "type": str, "required": bool}
SAID = {"rating": 5, "comment": "Great product!"}

ROWS = (
    # Categories
    Row("S1-CAT-01", "guest", "GET /categories?parentId={tree}&depth=1", 200, [NODE]),
    Row("S1-CAT-02", "guest", "GET /categories/{tree}", 200, {**NODE, "attributes": [SCHEMA]}),
    Row("S1-CAT-03", "guest", "GET /categories/{below}/attributes", 200, {"attributes": [SCHEMA]}),
    Row("S3-PROD-06", "guest", "GET /categories", 200, [{**NODE, "uuid": str}]),
    Row("S4-CAT-03", "guest", "GET /categories", 200, [NODE]),
    Row("S4-ADMCAT-01", "admin", "GET /admin/categories?active=true", 200, {"categories": [CATEGORY]}),
    Row("S4-ADMCAT-02", "admin", "POST /admin/categories", 201, {**CATEGORY, **S4_SAVED}, S4_CATEGORY),
    Row("S4-ADMCAT-03", "admin", "GET /admin/categories/{below}", 200, CATEGORY),
    Row(
        "S4-ADMCAT-04",
        "admin",
        "PATCH /admin/categories/{below}",
        200,
        {"active": False, "order": 7},
        {"active": False, "order": 7},
    ),
    Row("S4-ADMCAT-05", "admin", "DELETE /admin/categories/{below}", 204),
    # Collections
    Row("S4-CAT-04", "guest", "GET /collections?of={collection}", 200, [{**COLLECTION, "active": True}]),
    Row(
        "S4-CAT-05",
        "guest",
        "GET /categories/{category}/collections/{collection_slug}/products",
        200,
        {"products": list, "total": int, "skip": 0, "limit": 10},
    ),
    Row(
        "S4-ADMCOLL-01",
        "admin",
        "GET /admin/collections?search={collection_slug}",
        200,
        {"collections": [COLLECTION]},
    ),
    Row("S4-ADMCOLL-02", "admin", "POST /admin/collections", 201, {**COLLECTION, **S4_SAVED}, S4_CATEGORY),
    Row("S4-ADMCOLL-03", "admin", "GET /admin/collections/{collection}", 200, COLLECTION),
    Row(
        "S4-ADMCOLL-04",
        "admin",
        "PATCH /admin/collections/{collection}",
        200,
        {"active": False},
        {"active": False},
    ),
    Row("S4-ADMCOLL-05", "admin", "DELETE /admin/collections/{collection}", 204),
    # Promotions
    Row("S4-CAT-06", "guest", "GET /promotions?of={promotion}", 200, [PROMOTION]),
    Row(
        "S4-ADMPROMO-01",
        "admin",
        "GET /admin/promotions?search={promotion_slug}",
        200,
        {"promotions": [PROMOTION]},
    ),
    Row(
        "S4-ADMPROMO-02",
        "admin",
        "POST /admin/promotions",
        201,
        {
            **PROMOTION,
            **S4_SAVED,
            "discountType": "percentage",
            "discountValue": 10,
            "startDate": "2026-01-01T00:00:00.000Z",
            "endDate": "2099-01-01T00:00:00.000Z",
        },
        S4_PROMOTION,
    ),
    Row("S4-ADMPROMO-03", "admin", "GET /admin/promotions/{promotion}", 200, PROMOTION),
    Row(
        "S4-ADMPROMO-04",
        "admin",
        "PATCH /admin/promotions/{promotion}",
        200,
        {"active": False, "discountType": "fixed", "discountValue": 5.5},
        {"active": False, "discountType": "fixed", "discountValue": 5.5},
    ),
    Row("S4-ADMPROMO-05", "admin", "DELETE /admin/promotions/{promotion}", 204),
    Row(
        "S2-COUP-01",
        "user",
        "POST /checkout/apply-coupon",
        200,
        {"code": "{coupon}", "discount": (int, float), "subtotal": (int, float), "total": (int, float)},
        {"code": "{coupon_in_cart}"},
    ),
    Row("S2-COUP-02", "user", "DELETE /checkout/remove-coupon?was={applied_coupon}", 200, {"coupon": None}),
    # Pictures
    Row(
        "S0-MEDIA-01",
        "seller",
        "POST /media/signed-url",
        200,
        {"url": str, "key": str},
        {"mimeType": "image/heic", "sizeBytes": 5_242_880},
    ),
    Row(
        "S0-MEDIA-02",
        "seller",
        "POST /media/complete",
        200,
        {
            "id": str,
            "key": str,
            "mimeType": "image/png",
            "sizeBytes": int,
            "width": 4,
            "height": 4,
            "url": str,
        },
        {"key": "{sent_key}", "width": 4, "height": 4},
    ),
    Row(
        "S1-MEDIA-01",
        "seller",
        "POST /media/signed-url",
        200,
        {"url": str, "key": str, "mediaId": str, "expiresAt": str, "headers": dict},
        {"mime": "image/png", "size": 7},
    ),
    Row(
        "S1-MEDIA-02",
        "seller",
        "POST /media/complete",
        200,
        {"status": "processing"},
        {"key": "{sent_key}"},
    ),
    Row(
        "S1-MEDIA-03",
        "seller",
        "POST /listings/{active}/images",
        201,
        {"id": str, "listingId": int, "key": str, "orderIndex": 0, "url": str},
        {"mediaId": "{uploaded}", "orderIndex": 0},
    ),
    Row(
        "S1-MEDIA-04",
        "seller",
        "PUT /listings/{active}/images/order",
        200,
        {"images": [{"id": "{uploaded}", "orderIndex": 0}]},
        {"imageIds": ["{shown}"]},
    ),
    Row("S1-MEDIA-05", "seller", "DELETE /listings/{active}/images/{shown}", 204),
    # Reviews
    Row("S2-REV-01", "user", "POST /products/{active}/reviews", 201, {**REVIEW, **SAID}, SAID),
    Row("S3-INT-03", "user", "POST /products/{active_uuid}/reviews", 201, {**REVIEW, **SAID}, SAID),
    Row("S2-REV-02", "user", "PUT /reviews/{review}", 200, {**REVIEW, **SAID, "rating": 2}, {"rating": 2}),
    Row("S2-REV-03", "user", "DELETE /reviews/{review}", 204),
    Row(
        "S3-INT-04",
        "guest",
        "GET /products/{reviewed}/reviews?page=1",
        200,
        {"data": [REVIEW], "pagination": {"total": 1, "page": 1, "limit": 20, "pages": 1}},
    ),
    # Wishes
    Row(
        "S2-WISH-01",
        "user",
        "GET /wishlist?of={wished}",
        200,
        {"items": [{"id": int, "product": PRODUCT, "createdAt": str}], "total": 1, "skip": 0, "limit": 10},
    ),
    Row(
        "S2-WISH-02",
        "user",
        "POST /wishlist",
        201,
        {"id": int, "product": {"id": int, "title": str}},
        {"productId": "{active}"},
    ),
    Row("S2-WISH-03", "user", "DELETE /wishlist/{wished}", 204),
    # Products as admins read them, and their search
    Row("S4-ADMPROD-03", "admin", "GET /admin/products/{draft}", 200, {**PRODUCT, "status": "draft"}),
    Row("S1-SRCH-01", "admin", "POST /search/index/replay", 202, {"replayed": int}, {"dryRun": True}),
)

_KEPT = (
    ("S4-ADMCAT", "categories", "CATEGORY_NOT_FOUND", S4_CATEGORY),
    ("S4-ADMCOLL", "collections", "COLLECTION_NOT_FOUND", S4_CATEGORY),
    ("S4-ADMPROMO", "promotions", "PROMOTION_NOT_FOUND", S4_PROMOTION),
)

REFUSALS = (
    *(
        Refusal(f"{prefix}-0{number}", who, call, status, code, body)
        for who, status, code in STRANGERS
        for prefix, things, _, made in _KEPT
        for number, call, body in (
            (1, f"GET /admin/{things}", None),
            (2, f"POST /admin/{things}", made),
            (3, f"GET /admin/{things}/{{missing}}", None),
            (4, f"PATCH /admin/{things}/{{missing}}", {"active": False}),
            (5, f"DELETE /admin/{things}/{{missing}}", None),
        )
    ),
    *(
        Refusal(f"{prefix}-0{number}", "admin", f"{method} /admin/{things}/{name}", 404, code, body)
        for prefix, things, code, _ in _KEPT
        for name in ("{missing}", "no-such-thing", str(uuid.UUID(int=7)))
        for number, method, body in ((3, "GET", None), (4, "PATCH", {"active": False}), (5, "DELETE", None))
    ),
    *(
        Refusal(f"{prefix}-02", "admin", f"POST /admin/{things}", 400, "VALIDATION_ERROR", body, fields)
        for prefix, things, _, made in _KEPT
        for body, fields in (
            ({name: value for name, value in made.items() if name != "name"}, ("name",)),
            ({**made, "slug": "No Slug"}, ("slug",)),
            ({**made, "slug": "123"}, ("slug",)),
            ({**made, "active": "perhaps"}, ("active",)),
        )
    ),
    Refusal(
        "S4-ADMCAT-02",
        "admin",
        "POST /admin/categories",
        409,
        "SLUG_EXISTS",
        {**S4_CATEGORY, "slug": "{category}"},
        ("slug",),
    ),
    Refusal(
        "S4-ADMCOLL-02",
        "admin",
        "POST /admin/collections",
        409,
        "SLUG_EXISTS",
        {**S4_CATEGORY, "slug": "{collection_slug}"},
        ("slug",),
    ),
    Refusal(
        "S4-ADMPROMO-02",
        "admin",
        "POST /admin/promotions",
        409,
        "SLUG_EXISTS",
        {**S4_PROMOTION, "slug": "{promotion_slug}"},
        ("slug",),
    ),
    Refusal(
        "S4-ADMPROMO-02",
        "admin",
        "POST /admin/promotions",
        400,
        "VALIDATION_ERROR",
        {**S4_PROMOTION, "endDate": "2025-01-01T00:00:00Z"},
        ("endDate",),
    ),
    Refusal("S4-ADMCAT-05", "admin", "DELETE /admin/categories/{used}", 409, "CATEGORY_NOT_EMPTY"),
    Refusal("S1-CAT-02", "guest", "GET /categories/{missing}", 404, "CATEGORY_NOT_FOUND"),
    Refusal("S1-CAT-03", "guest", "GET /categories/{missing}/attributes", 404, "CATEGORY_NOT_FOUND"),
    *(
        Refusal("S4-CAT-05", "guest", f"GET /categories/{one}/collections/{other}/products", 404, code)
        for one, other, code in (
            ("no-such-thing", "{collection_slug}", "CATEGORY_NOT_FOUND"),
            ("{category}", "no-such-thing", "COLLECTION_NOT_FOUND"),
        )
    ),
    Refusal("S2-COUP-01", "guest", "POST /checkout/apply-coupon", 401, "UNAUTHORIZED", {"code": "A10"}),
    Refusal("S2-COUP-01", "user", "POST /checkout/apply-coupon", 400, "VALIDATION_ERROR", {}, ("code",)),
    Refusal(
        "S2-COUP-01",
        "user",
        "POST /checkout/apply-coupon?with={coupon_in_cart}",
        422,
        "COUPON_INVALID",
        {"code": "NOSUCH10"},
    ),
    Refusal("S2-COUP-02", "guest", "DELETE /checkout/remove-coupon", 401, "UNAUTHORIZED"),
    Refusal("S2-COUP-02", "user", "DELETE /checkout/remove-coupon", 404, "COUPON_NOT_APPLIED"),
    *(
        Refusal(row_id, "guest", call, 401, "UNAUTHORIZED", body)
        for row_id, call, body in (
            ("S0-MEDIA-01", "POST /media/signed-url", {"mimeType": "image/png", "sizeBytes": 7}),
            ("S0-MEDIA-02", "POST /media/complete", {"key": "a/b"}),
            ("S1-MEDIA-03", "POST /listings/{active}/images", {"mediaId": "a"}),
            ("S1-MEDIA-04", "PUT /listings/{active}/images/order", {"imageIds": []}),
            ("S1-MEDIA-05", "DELETE /listings/{active}/images/{missing}", None),
            ("S2-REV-01", "POST /products/{active}/reviews", SAID),
            ("S2-REV-02", "PUT /reviews/{review}", {"rating": 1}),
            ("S2-REV-03", "DELETE /reviews/{review}", None),
            ("S2-WISH-01", "GET /wishlist", None),
            ("S2-WISH-02", "POST /wishlist", {"productId": 1}),
            ("S2-WISH-03", "DELETE /wishlist/1", None),
            ("S4-ADMPROD-03", "GET /admin/products/{active}", None),
            ("S1-SRCH-01", "POST /search/index/replay", None),
        )
    ),
    *(
        Refusal(
            "S0-MEDIA-01",
            "seller",
            "POST /media/signed-url",
            422,
            "VALIDATION_ERROR",
            {"mimeType": kind, "sizeBytes": size},
            fields,
        )
        for kind, size, fields in (
            ("image/gif", 7, ("mimeType",)),
            ("image/png", 5_242_881, ("sizeBytes",)),
            ("image/png", 0, ("sizeBytes",)),
        )
    ),
    Refusal("S0-MEDIA-02", "seller", "POST /media/complete", 422, "VALIDATION_ERROR", {}, ("key",)),
    Refusal("S0-MEDIA-02", "other", "POST /media/complete", 403, "FORBIDDEN", {"key": "{sent_key}"}),
    Refusal(
        "S0-MEDIA-02",
        "seller",
        "POST /media/complete",
        404,
        "MEDIA_NOT_FOUND",
        {"key": str(uuid.UUID(int=7))},
    ),
    *(
        Refusal(row_id, "other", call, 403, "FORBIDDEN", body)
        for row_id, call, body in (
            ("S1-MEDIA-03", "POST /listings/{active}/images", {"mediaId": "{uploaded}"}),
            ("S1-MEDIA-04", "PUT /listings/{active}/images/order", {"imageIds": ["{shown}"]}),
            ("S1-MEDIA-05", "DELETE /listings/{active}/images/{shown}", None),
            ("S2-REV-02", "PUT /reviews/{review}", {"rating": 1}),
            ("S2-REV-03", "DELETE /reviews/{review}", None),
        )
    ),
    *(
        Refusal(row_id, "user", call, 404, "PRODUCT_NOT_FOUND", body)
        for row_id, call, body in (
            ("S2-REV-01", "POST /products/{missing}/reviews", SAID),
            ("S3-INT-04", "GET /products/{missing}/reviews", None),
            ("S2-WISH-02", "POST /wishlist", {"productId": 999999999}),
        )
    ),
    Refusal("S2-WISH-02", "user", "POST /wishlist", 400, "VALIDATION_ERROR", {}, ("productId",)),
    Refusal("S2-REV-02", "user", "PUT /reviews/{missing}", 404, "REVIEW_NOT_FOUND", {"rating": 1}),
    Refusal("S2-REV-03", "user", "DELETE /reviews/{missing}", 404, "REVIEW_NOT_FOUND"),
    Refusal("S2-REV-01", "user", "POST /products/{reviewed}/reviews", 409, "ALREADY_REVIEWED", SAID),
    *(
        Refusal("S2-REV-01", "user", "POST /products/{active}/reviews", 400, "VALIDATION_ERROR", body, fields)
        for body, fields in (
            ({"rating": 6, "comment": "a"}, ("rating",)),
            ({"rating": 4.5, "comment": "a"}, ("rating",)),
            ({"rating": 0, "comment": " "}, ("rating", "comment")),
            ({}, ("rating", "comment")),
        )
    ),
    Refusal("S4-ADMPROD-03", "user", "GET /admin/products/{active}", 403, "FORBIDDEN"),
    Refusal("S4-ADMPROD-03", "admin", "GET /admin/products/{missing}", 404, "PRODUCT_NOT_FOUND"),
    Refusal("S1-SRCH-01", "user", "POST /search/index/replay", 403, "FORBIDDEN"),
    Refusal(
        "S1-SRCH-01",
        "admin",
        "POST /search/index/replay",
        400,
        "VALIDATION_ERROR",
        {"types": ["listing.sold"]},
        ("types[0]",),
    ),
)


class Scene(Offers):
    """What else there is around what is sold."""

    @cached_property
    def tree(self) -> str:
        size = {"key": "size", "label": "Size", "type": "enum", "options": ["S", "M"], "required": True}
        made = self.admin.made("/admin/categories", {"name": uuid.uuid4().hex, "attributes": [size]})
        child = {"name": uuid.uuid4().hex, "parentId": made["id"]}
        self._below = self.admin.made("/admin/categories", child)
        return self._text(made["id"])

    @property
    def below(self) -> str:
        assert self.tree
        return self._text(self._below["slug"])

    @property
    def used(self) -> str:
        assert self.active
        return self.dresses

    @cached_property
    def collection_slug(self) -> str:
        return self._text(self.admin.get(f"/admin/collections/{self.collection}").json()["slug"])

    @cached_property
    def _promotion(self) -> dict[str, Any]:
        body = {**S4_PROMOTION, "name": uuid.uuid4().hex, "slug": f"p-{uuid.uuid4().hex}"}
        return self.admin.made("/admin/promotions", body)

    @property
    def promotion(self) -> str:
        return self._text(self._promotion["id"])

    @property
    def promotion_slug(self) -> str:
        return self._text(self._promotion["slug"])

    @cached_property
    def coupon(self) -> str:
        code = f"C{uuid.uuid4().hex[:10]}".upper()
        made = self.admin.made(
            "/admin/promotions",
            {"name": "Coupon", "code": code, "discountType": "percent", "discountValue": 10},
        )
        return self._text(made["code"])

    @property
    def coupon_in_cart(self) -> str:
        self.user.made("/cart/items", {"productId": self.active, "qty": 1})
        return self.coupon

    @property
    def applied_coupon(self) -> str:
        self.user.made("/checkout/apply-coupon", {"code": self.coupon_in_cart})
        return self.coupon

    @cached_property
    def _sent(self) -> dict[str, Any]:
        picture = a_picture("PNG")
        upload = self.seller.made("/media/signed-url", {"mimeType": "image/png", "sizeBytes": len(picture)})
        stored = httpx.put(upload["url"], content=picture, headers=upload["headers"])
        assert stored.status_code == 200, stored.text
        return upload

    @property
    def sent_key(self) -> str:
        return self._text(self._sent["key"])

    @cached_property
    def uploaded(self) -> str:
        return self._text(self.seller.made("/media/complete", {"key": self.sent_key})["id"])

    @cached_property
    def shown(self) -> str:
        made = self.seller.made(f"/listings/{self.active}/images", {"mediaId": self.uploaded})
        return self._text(made["id"])

    @cached_property
    def review(self) -> str:
        return self._text(self.user.made(f"/products/{self.active}/reviews", SAID)["id"])

    @property
    def reviewed(self) -> str:
        assert self.review
        return self.active

    @property
    def wished(self) -> str:
        return self._text(self.user.made("/wishlist", {"productId": self.active})["id"])


@pytest.fixture(scope="module")
def things(admin: Client) -> dict[str, Any]:
    return admin.made("/admin/categories", {"name": "Things that are kept"})


@pytest.fixture(scope="module")
def dresses(admin: Client) -> str:
    slug: str = admin.made("/admin/categories", {"name": "Dresses that are kept"})["slug"]
    return slug


@pytest.fixture
def scene(shop: Shop, admin: Client, things: dict[str, Any], dresses: str) -> Scene:
    return Scene(shop, admin, things, dresses)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(scene: Scene, row: Row) -> None:
    filled = Row(row.id, row.who, scene.filled(row.call), row.status, row.answer, scene.filled(row.body))
    response = scene.call(filled, headers={"X-Min-Log-Position": str(scene.head())})
    assert response.status_code == row.status, response.text
    if row.status == 204:
        assert response.content == b""
        return
    assert response.headers["content-type"] == "application/json"
    assert_shows(response.json(), scene.filled(row.answer))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.id} {row.who} {row.status} {row.fields}")
def test_row_refuses(scene: Scene, row: Refusal) -> None:
    filled = Refusal(row.id, row.who, scene.filled(row.call), row.status, row.code, scene.filled(row.body))
    response = scene.call(filled, headers={"X-Min-Log-Position": str(scene.head())})
    assert_problem(response, row.status, row.code, *row.fields)


def test_every_row_is_asked_for_in_one_way() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))


def test_the_description_knows_every_row_and_every_refusal(shop: Shop) -> None:
    paths = httpx.get(f"{shop.origin}/docs/json").json()["paths"]
    assert_described(paths, (*ROWS, *REFUSALS))


@pytest.fixture(scope="module")
def named(shop: Shop, admin: Client, things: dict[str, Any]) -> dict[str, Any]:
    """Three of everything."""
    user, seller = shop.user(), shop.user("/auth/signup")
    products = [
        admin.made("/products/add", a_product(things["slug"], title=f"Three {number}"))["id"]
        for number in range(3)
    ]
    collection = admin.made("/admin/collections", {"name": uuid.uuid4().hex})
    admin("PUT", f"/admin/collections/{collection['id']}/products", json={"products": products})
    for number, product in enumerate(products):
        user.made(f"/products/{product}/reviews", SAID)
        shop.user().made(f"/products/{products[0]}/reviews", SAID)
        user.made("/wishlist", {"productId": product})
        body = {**S4_PROMOTION, "name": uuid.uuid4().hex, "slug": f"p-{uuid.uuid4().hex}"}
        admin.made("/admin/promotions", {**body, "order": number % 2})
        admin.made("/admin/collections", {"name": uuid.uuid4().hex})
        admin.made("/admin/categories", {"name": uuid.uuid4().hex, "order": number % 2})
    assert seller.get("/sellers/me").status_code == 200
    return {
        "guest": shop.guest,
        "admin": admin,
        "user": user,
        "category": things["slug"],
        "three": collection["slug"],
        "said": products[0],
    }


class TestListsComeInThreeStyles:
    """C8, on every list: the parameters choose."""

    LISTS = (
        ("guest", "/products", "products"),
        ("guest", "/listings", "products"),
        ("guest", "/products/search?q=three", "products"),
        ("guest", "/products/category/{category}", "products"),
        ("guest", "/categories/{category}/products", "products"),
        ("guest", "/collections/{three}/products", "products"),
        ("guest", "/categories/{category}/collections/{three}/products", "products"),
        ("admin", "/admin/products", "products"),
        ("admin", "/admin/listings", "products"),
        ("guest", "/products/{said}/reviews", "reviews"),
        ("user", "/users/me/reviews", "reviews"),
        ("admin", "/admin/reviews", "reviews"),
        ("user", "/wishlist", "items"),
        ("admin", "/admin/categories", "categories"),
        ("admin", "/admin/collections", "collections"),
        ("admin", "/admin/promotions", "promotions"),
        ("admin", "/admin/users", "users"),
        ("guest", "/sellers", "sellers"),
        ("admin", "/admin/sellers", "sellers"),
    )

    @pytest.mark.parametrize(("who", "path", "name"), LISTS, ids=[path for _, path, _ in LISTS])
    def test_by_its_parameters(
        self, shop: Shop, named: dict[str, Any], *, who: str, path: str, name: str
    ) -> None:
        client: Client = named[who]
        asked = path.format(**{word: named[word] for word in ("category", "three", "said")})
        headers = {"X-Min-Log-Position": str(shop.head())}

        def get(**query: Any) -> dict[str, Any]:
            url = httpx.URL(asked)
            response = client.get(str(url.copy_merge_params(query)), headers=headers)
            assert response.status_code == 200, response.text
            body: dict[str, Any] = response.json()
            return body

        plain = get()
        assert set(plain) == {name, "total", "skip", "limit", "nextCursor"}
        assert (plain["skip"], plain["limit"]) == (0, 10)
        total = plain["total"]
        whole = get(limit=0)
        assert (len(whole[name]), whole["limit"]) == (min(total, 100), 100)
        page = get(page=2, limit=1)
        assert page == {
            "data": whole[name][1:2],
            "pagination": {"total": total, "page": 2, "limit": 1, "pages": total},
        }
        assert get(page=1)["pagination"]["limit"] == 20
        first = get(cursor="", limit=2)
        assert set(first) == {name, "nextCursor", "limit"}
        assert get(cursor="")["limit"] == 20
        assert first[name] == whole[name][:2]
        second = get(cursor=first["nextCursor"], limit=2)
        assert second[name] == whole[name][2:4]
        # Who began without a cursor goes on with one.
        after = get(limit=1, skip=1)
        assert get(cursor=after["nextCursor"], limit=1)[name] == whole[name][2:3]
        separator = "&" if "?" in asked else "?"
        for wrong in ("limit=-1", "limit=a", "skip=-1", "page=0", "cursor=forged"):
            field = wrong.partition("=")[0]
            assert_problem(client.get(f"{asked}{separator}{wrong}"), 400, "VALIDATION_ERROR", field)

    def test_is_described(self, shop: Shop) -> None:
        paths = httpx.get(f"{shop.origin}/docs/json").json()["paths"]
        for _, path, _ in self.LISTS:
            asked = path.partition("?")[0]
            (operation,) = (
                operations["get"]
                for template, operations in paths.items()
                if template.count("{") == asked.count("{")
                and "get" in operations
                and is_like(asked, template.removeprefix("/api/v1"))
            )
            answered = operation["responses"]["200"]["content"]["application/json"]["schema"]
            name = answered["anyOf"][0]["$ref"]
            assert [each["$ref"].removeprefix(name) for each in answered["anyOf"]] == [
                "",
                "Numbered",
                "ByCursor",
            ]
            assert {"page", "skip", "limit", "cursor"} <= {each["name"] for each in operation["parameters"]}
        told = paths["/api/v1/products"]["get"]["description"]
        assert "``q``, ``search`` and ``text`` are one" in told


def test_the_description_knows_what_is_not_modified_and_what_has_moved(shop: Shop, category: str) -> None:
    paths = httpx.get(f"{shop.origin}/docs/json").json()["paths"]
    for template in (
        "/products",
        "/listings",
        "/products/categories",
        "/products/category/{category}",
        "/categories",
        "/categories/{ref}",
        "/categories/{ref}/attributes",
        "/collections",
        "/categories/{category}/products",
        "/categories/{category}/collections",
    ):
        path = template.replace("{category}", category).replace("{ref}", category)
        etag = shop.guest.get(path).headers["etag"]
        assert shop.guest.get(path, headers={"If-None-Match": etag}).status_code == 304, path
        assert "content" not in paths[f"/api/v1{template}"]["get"]["responses"]["304"], path
    told = paths["/api/v1/products/{ref}"]["get"]["responses"]
    assert {"301", "304"} <= told.keys()
    (attributes,) = (
        each for each in paths["/api/v1/products"]["get"]["parameters"] if each["name"] == "attributes"
    )
    assert attributes["style"] == "deepObject"
