"""The acceptance list of checking out: each row of the contract, asked as its document writes it."""

import uuid
from functools import cached_property
from typing import Any

import httpx
import pytest

from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem
from tests.api.test_contract_accounts import S2_ADDRESS, S3_ADDRESS, Refusal, Row, assert_shows
from tests.api.test_contract_accounts import Scene as People

S2_POSTAL = {name: value for name, value in S2_ADDRESS.items() if name not in {"label", "isDefault"}}
INTENT = {"id": str, "clientSecret": str, "amount": 11300, "currency": "usd", "status": str, "createdAt": str}
METHOD = {"methodId": str, "name": str, "amount": (int, float), "currency": "USD", "estimatedDays": int}
COSTS = {"subtotal": 100.0, "tax": 8.0, "shipping": 5.0, "total": 113.0}
LINE = {
    "id": int,
    "title": str,
    "price": 100.0,
    "quantity": 1,
    "total": 100.0,
    "discountPercentage": 0.0,
    "discountedTotal": 100.0,
    "thumbnail": str,
}
ORDER = {
    **COSTS,
    "id": str,
    "orderId": str,
    "order_id": str,
    "uuid": str,
    "userId": int,
    "products": [LINE],
    "items": [{"productId": int, "quantity": 1, "priceAtPurchase": 100.0}],
    "totalAmount": 113.0,
    "status": "pending",
    "orderStatus": "pending",
    "paymentStatus": "pending",
    "paymentMethod": "card",
    "paymentIntentId": str,
    "clientSecret": str,
    "paymentIntent": INTENT,
    "paymentUrl": None,
    "payment_url": None,
    "createdAt": str,
    "updatedAt": str,
}
PREVIEW = {
    **COSTS,
    "products": [LINE],
    "discount": 0.0,
    "coupon": None,
    "promotions": [],
    "taxes": [{"name": "Tax", "rate": 0.08, "base": 100.0, "amount": 8.0}],
    "shippingMethod": "standard",
    "shippingMethods": [METHOD],
    "currency": "USD",
}
CHECKED_OUT = {**PREVIEW, **ORDER, "order": {**COSTS, "id": str, "status": "pending"}}
"""S3's 100 and 5, with the tax that its text names (C36)."""

S3_LINES = [{"product_id": "{product_uuid}", "quantity": 1}]
SHIPPED_TO_S2 = {"shippingAddress": S2_POSTAL}

ROWS = (
    Row("S0-ORD-01 cart", "user", "POST /orders/checkout", 201, CHECKED_OUT, {"cartId": "{cart}"}),
    Row(
        "S0-ORD-01 items",
        "user",
        "POST /orders/checkout",
        201,
        CHECKED_OUT,
        {"items": [{"productId": "{product_uuid}", "qty": 1}]},
    ),
    Row(
        "S3-ORD-01",
        "user",
        "POST /orders/checkout",
        200,
        PREVIEW,
        {"items": S3_LINES, "shipping_address_id": "{address_uuid}"},
    ),
    Row(
        "S3-ORD-02",
        "user",
        "POST /orders",
        201,
        {"order_id": str, "status": "pending", "payment_url": None, "shippingAddress": {"city": "New York"}},
        {"items": S3_LINES, "shipping_address_id": "{address_uuid}", "payment_method": "card"},
    ),
    Row(
        "S2-ORD-01",
        "user",
        "POST /orders",
        201,
        {**ORDER, "shippingAddress": S2_POSTAL, "billingAddress": S2_POSTAL},
        {
            "products": "{products}",
            "shippingAddress": S2_POSTAL,
            "billingAddress": S2_POSTAL,
            "paymentMethod": "card",
        },
    ),
    Row(
        "S4-ORD-01",
        "user",
        "POST /orders",
        201,
        {**ORDER, "items": [{"productId": int, "quantity": 1, "priceAtPurchase": 100.0}]},
        {
            "items": [{"productId": "{product}", "qty": 1}],
            "addressId": "{address}",
            "payment": {"method": "card"},
        },
    ),
    Row(
        "S4-ORD-01 cart",
        "user",
        "POST /orders",
        201,
        ORDER,
        {"shippingAddress": "{s4_address_and_a_cart}", "payment": {}},
    ),
    Row(
        "S1-ORD-01",
        "user",
        "POST /orders",
        201,
        {
            **ORDER,
            "status": "pending",
            "payment": {"status": "pending", "intentId": str},
            "paymentIntent": INTENT,
        },
        {"items": [{"listingId": "{product_uuid}", "quantity": 1}], "addressId": "{address}"},
    ),
    Row(
        "S2-SHIP-01",
        "user",
        "POST /shipping/rates",
        200,
        [METHOD],
        {"address": S2_POSTAL, "items": [{"id": "{product_uuid}", "quantity": 1}]},
    ),
    Row(
        "S2-SHIP-02",
        "guest",
        "GET /shipping/methods",
        200,
        [
            {
                "id": str,
                "name": str,
                "description": str,
                "baseAmount": (int, float),
                "currency": "USD",
                "estimatedDays": int,
            }
        ],
    ),
)

_ROUTES = (
    ("S0-ORD-01", "/orders/checkout", {"items": S3_LINES}),
    ("S3-ORD-01", "/orders/checkout", {"items": S3_LINES, "shipping_address_id": "{address_uuid}"}),
    ("S2-ORD-01", "/orders", {"products": S3_LINES, "shippingAddress": S2_POSTAL}),
    ("S3-ORD-02", "/orders", {"items": S3_LINES, "shipping_address_id": "{address_uuid}"}),
)
_MISSING = str(uuid.UUID(int=7))

REFUSALS = (
    *(
        Refusal(number, "guest", f"POST {path}", 401, "UNAUTHORIZED", {**body, "shipping_address_id": 1})
        for number, path, body in _ROUTES
    ),
    Refusal("S2-SHIP-01", "guest", "POST /shipping/rates", 401, "UNAUTHORIZED", {"address": S2_POSTAL}),
    *(
        Refusal(number, "user", f"POST {path}", 404, "PRODUCT_NOT_FOUND", {**body, **wrong})
        for number, path, body in _ROUTES
        for wrong in (
            {
                name: [{"product_id": _MISSING, "quantity": 1}]
                for name in body
                if name in {"items", "products"}
            },
        )
    ),
    *(
        Refusal(number, "user", f"POST {path}", 422, "INSUFFICIENT_STOCK", {**body, **wrong})
        for number, path, body in _ROUTES
        for wrong in (
            {
                name: [{"product_id": "{product_uuid}", "quantity": 99}]
                for name in body
                if name in {"items", "products"}
            },
        )
    ),
    *(
        Refusal(number, "user", f"POST {path}", 409, "PRICE_CHANGED", {**body, **wrong})
        for number, path, body in _ROUTES
        for wrong in (
            {
                name: [{"product_id": "{product_uuid}", "price": 90}]
                for name in body
                if name in {"items", "products"}
            },
        )
    ),
    *(
        Refusal(
            number, "user", f"POST {path}", 404, "ADDRESS_NOT_FOUND", {"items": S3_LINES, name: reference}
        )
        for number, path in (("S3-ORD-01", "/orders/checkout"), ("S3-ORD-02", "/orders"))
        for name, reference in (
            ("shipping_address_id", 999_999),
            ("shippingAddressId", _MISSING),
            ("shipping_address_id", "home"),
            ("shippingAddressId", "{others_address}"),
        )
    ),
    Refusal(
        "S1-ORD-01",
        "user",
        "POST /orders",
        404,
        "ADDRESS_NOT_FOUND",
        {"items": S3_LINES, "addressId": _MISSING},
    ),
    Refusal(
        "S2-ORD-01",
        "user",
        "POST /orders",
        400,
        "VALIDATION_ERROR",
        {"products": S3_LINES},
        ("shippingAddress",),
    ),
    Refusal(
        "S2-ORD-01",
        "user",
        "POST /orders",
        400,
        "VALIDATION_ERROR",
        {"products": [{"quantity": 1}], **SHIPPED_TO_S2},
        ("products[0].productId",),
    ),
    Refusal("S4-ORD-01", "user", "POST /orders", 422, "CART_EMPTY", SHIPPED_TO_S2),
    Refusal(
        "S4-ORD-01", "user", "POST /orders", 404, "CART_NOT_FOUND", {"cartId": _MISSING, **SHIPPED_TO_S2}
    ),
    Refusal(
        "S0-ORD-01",
        "user",
        "POST /orders/checkout",
        404,
        "CART_NOT_FOUND",
        {"cartId": "{others_cart}"},
    ),
    Refusal("S0-ORD-01", "user", "POST /orders/checkout", 422, "CART_EMPTY", {"cartId": "{empty_cart}"}),
    Refusal(
        "S0-ORD-01",
        "user",
        "POST /orders/checkout",
        400,
        "VALIDATION_ERROR",
        {"cartId": "{cart}", "items": S3_LINES},
        ("cartId", "items"),
    ),
    Refusal("S0-ORD-01", "user", "POST /orders/checkout", 400, "VALIDATION_ERROR", {}, ("items",)),
    Refusal(
        "S3-ORD-01",
        "user",
        "POST /orders/checkout",
        400,
        "VALIDATION_ERROR",
        {"items": S3_LINES, "mode": "perhaps"},
        ("mode",),
    ),
    Refusal(
        "S3-ORD-02",
        "user",
        "POST /orders",
        400,
        "VALIDATION_ERROR",
        {"items": S3_LINES, "shippingMethod": "by pigeon"},
        ("shippingMethod",),
    ),
    Refusal(
        "S2-SHIP-01",
        "user",
        "POST /shipping/rates",
        404,
        "PRODUCT_NOT_FOUND",
        {"address": S2_POSTAL, "items": [{"id": _MISSING}]},
    ),
    Refusal("S2-SHIP-01", "user", "POST /shipping/rates", 422, "CART_EMPTY", {"address": S2_POSTAL}),
    Refusal(
        "S2-SHIP-01",
        "user",
        "POST /shipping/rates",
        400,
        "VALIDATION_ERROR",
        {"items": S3_LINES},
        ("address",),
    ),
    Refusal(
        "S2-SHIP-01",
        "user",
        "POST /shipping/rates",
        400,
        "VALIDATION_ERROR",
        {"items": S3_LINES, "address": {"city": "New York"}},
        ("address.country",),
    ),
)


class Scene(People):
    def __init__(self, shop: Shop, admin: Client, category: str) -> None:
        super().__init__(shop, admin)
        self._category = category

    @cached_property
    def _product(self) -> dict[str, Any]:
        offered = a_product(self._category, price=100, discountPercentage=0)
        return self.admin.made("/products/add", offered)

    @property
    def product(self) -> str:
        return self._text(self._product["id"])

    @property
    def product_uuid(self) -> str:
        return self._text(self._product["uuid"])

    @property
    def products(self) -> list[dict[str, Any]]:
        return [{"id": self._product["id"], "quantity": 1}]

    @cached_property
    def cart(self) -> str:
        return self._text(self.user.made("/cart", {"productId": self.product_uuid})["id"])

    @property
    def empty_cart(self) -> str:
        return self._text(self.user.get("/cart").json()["id"])

    @property
    def others_cart(self) -> str:
        return self._text(self.other.made("/cart", {"productId": self.product_uuid})["id"])

    @property
    def others_address(self) -> str:
        return self._text(self.other.made("/users/me/addresses", S3_ADDRESS)["uuid"])

    @cached_property
    def address_uuid(self) -> str:
        return self._text(self.user.made("/users/me/addresses", S3_ADDRESS)["uuid"])

    @property
    def s4_address_and_a_cart(self) -> dict[str, str]:
        assert self.cart
        return {"line1": "1 A St", "city": "New York", "zip": "10001", "country": "USA"}

    def filled(self, value: Any) -> Any:
        """A list in a body is filled in, too; and what is all of a value may be more than a text."""
        if isinstance(value, list):
            return [self.filled(item) for item in value]
        if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
            return getattr(self, value.strip("{}"))
        return super().filled(value)


@pytest.fixture
def scene(shop: Shop, admin: Client, category: str) -> Scene:
    return Scene(shop, admin, category)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(scene: Scene, row: Row) -> None:
    response = scene.call(row)
    assert response.status_code == row.status, response.text
    assert_shows(response.json(), scene.filled(row.answer))


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.id} {row.status}")
def test_row_refuses(shop: Shop, scene: Scene, row: Refusal) -> None:
    method, path = row.call.split(" ")
    body, client = scene.filled(row.body), getattr(scene, row.who)
    head = shop.head()
    assert_problem(client(method, path, json=body), row.status, row.code, *row.fields)
    assert shop.head() == head


class TestCheckingOut:
    @pytest.fixture
    def address(self, buyer: Client) -> dict[str, Any]:
        return buyer.made("/users/me/addresses", S3_ADDRESS)

    @staticmethod
    def lines(product: dict[str, Any], quantity: int = 1) -> list[dict[str, Any]]:
        return [{"productId": product["id"], "quantity": quantity}]

    def test_a_preview_changes_nothing_and_is_what_the_order_costs(
        self, shop: Shop, buyer: Client, product: dict[str, Any], address: dict[str, Any]
    ) -> None:
        items = self.lines(product)
        head = shop.head()
        body = {"items": items, "shippingAddressId": address["id"], "shippingMethod": "express"}
        seen = buyer.post("/orders/checkout", body)
        assert seen.status_code == 200, seen.text
        preview = seen.json()
        assert shop.head() == head
        assert preview["shipping"] == 10  # of the standard part it is free
        bought = buyer.made("/orders/checkout", {**body, "mode": "create", "expectedTotal": preview["total"]})
        assert {name: bought[name] for name in preview} == preview
        assert bought["shippingAddress"]["zipCode"] == "10001"
        assert bought["order"]["id"] == bought["id"]

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({}, 201),
            ({"addressId": True}, 201),
            ({"shippingAddress": ADDRESS}, 201),
            ({"shippingAddressId": True}, 200),
            ({"shipping_address_id": True}, 200),
            ({"mode": "preview"}, 200),
            ({"mode": "create", "shipping_address_id": True}, 201),
        ],
        ids=str,
    )
    def test_what_is_sent_says_what_is_meant(
        self,
        buyer: Client,
        product: dict[str, Any],
        address: dict[str, Any],
        fields: dict[str, Any],
        status: int,
    ) -> None:
        given = {name: address["uuid"] if value is True else value for name, value in fields.items()}
        for spelling in ({"items": self.lines(product)}, {"products": self.lines(product)}):
            answer = buyer.post("/orders/checkout", {**spelling, **given})
            assert answer.status_code == status, answer.text
            assert ("paymentIntent" in answer.json()) is (status == 201)

    def test_the_cart_is_bought_by_its_id_unless_it_is_only_to_be_seen(
        self, shop: Shop, buyer: Client, product: dict[str, Any], address: dict[str, Any]
    ) -> None:
        cart = buyer.made("/cart", {"productId": product["id"], "quantity": 2})
        by_cart = {"cartId": cart["id"], "shippingAddressId": address["id"]}
        head = shop.head()
        seen = buyer.made("/orders/checkout", {**by_cart, "mode": "preview"})
        assert (seen["products"][0]["quantity"], shop.head()) == (2, head)
        bought = buyer.made("/orders/checkout", by_cart)
        assert bought["total"] == seen["total"]
        assert buyer.get("/cart").json()["products"] == []

    def test_s0_needs_no_address(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        bought = buyer.made("/orders/checkout", {"items": self.lines(product)})
        assert set(bought["shippingAddress"].values()) == {""}
        assert buyer.get(f"/orders/{bought['id']}").status_code == 200
        refused = buyer.post("/orders", {"items": self.lines(product)})
        assert_problem(refused, 400, "VALIDATION_ERROR", "shippingAddress")
        buyer.made("/users/me/addresses", S3_ADDRESS)
        bought = buyer.made("/orders/checkout", {"items": self.lines(product)})
        assert bought["shippingAddress"]["city"] == "New York"

    def test_repeated_with_a_key_it_is_the_same_order(self, buyer: Client, product: dict[str, Any]) -> None:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        body = {"items": self.lines(product)}
        first, second = (buyer.post("/orders/checkout", body, headers=key) for _ in range(2))
        assert first.status_code == second.status_code == 201
        assert first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true"

    def test_a_coupon_is_told_of(
        self, admin: Client, buyer: Client, product: dict[str, Any], address: dict[str, Any]
    ) -> None:
        code = f"C{uuid.uuid4().hex[:8]}".upper()
        admin.made(
            "/admin/promotions",
            {
                "name": "Ten",
                "code": code,
                "discountType": "percentage",
                "discountValue": 10,
                "startDate": "2026-01-01T00:00:00Z",
            },
        )
        body = {"items": self.lines(product), "shippingAddressId": address["id"], "couponCode": code}
        seen = buyer.made("/orders/checkout", body)
        assert seen["coupon"] == {"code": code, "name": "Ten", "applied": True, "reason": None}
        assert seen["discount"] > 0
        bought = buyer.made("/orders/checkout", {**body, "mode": "create"})
        assert (bought["coupon"], bought["total"]) == (seen["coupon"], seen["total"])
        unknown = {**body, "couponCode": "NOSUCHCODE"}
        assert_problem(buyer.post("/orders/checkout", unknown), 422, "COUPON_INVALID")

    def test_snake_case_comes_out_whole(self, buyer: Client, product: dict[str, Any]) -> None:
        headers = {"Accept": "application/json; case=snake"}
        bought = buyer.post("/orders/checkout", {"items": self.lines(product)}, headers=headers).json()
        assert {"payment_url", "payment_intent", "client_secret", "shipping_methods"} <= bought.keys()

    def test_both_ways_are_described(self, shop: Shop) -> None:
        document = httpx.get(f"{shop.origin}/docs/json").json()
        operation = document["paths"]["/api/v1/orders/checkout"]["post"]
        forms = operation["requestBody"]["content"]["application/json"]["schema"]["oneOf"]
        assert [form["required"] for form in forms] == [
            ["cartId"],
            ["items"],
            ["items", "shippingAddressId"],
        ]
        assert {"200", "201"} <= operation["responses"].keys()

    def test_every_spelling_of_an_order_is_understood(
        self, buyer: Client, product: dict[str, Any], address: dict[str, Any]
    ) -> None:
        spelt = {"full_name": "Ann Lee", "line1": "1 A St", "line2": "Flat 2", "city": "Rome", "zip": "1"}
        body = {
            "items": [{"product_id": product["slug"], "qty": 2}],
            "shipping_address": {**spelt, "country": "it"},
            "billing_address_id": str(address["id"]),
            "shipping_method": "express",
            "payment": {"method": "apple_pay"},
        }
        bought = buyer.made("/orders", body)
        assert bought["shippingAddress"] == {
            "firstName": "Ann",
            "lastName": "Lee",
            "address": "1 A St, Flat 2",
            "city": "Rome",
            "state": "",
            "zipCode": "1",
            "country": "it",
            "phone": "",
        }
        assert bought["billingAddress"]["address"] == "123 Main St"
        assert (bought["paymentMethod"], bought["shipping"]) == ("apple_pay", 10)
        seen = buyer.get(f"/orders/{bought['id']}").json()
        assert (seen["billingAddress"], seen["total"]) == (bought["billingAddress"], bought["total"])

    def test_the_body_of_a_payment_holds_no_card(
        self, shop: Shop, buyer: Client, product: dict[str, Any]
    ) -> None:
        payment = {"method": "card", "number": "4242424242424242", "cvc": "123"}
        body = {"items": self.lines(product), "shippingAddress": ADDRESS, "payment": payment}
        bought = buyer.post("/orders", body)
        assert bought.status_code == 201
        assert "4242424242424242" not in bought.text + shop.log_lines()


class TestSending:
    @pytest.fixture
    def seller(self, shop: Shop) -> Client:
        return shop.user("/auth/signup")

    def offered(self, seller: Client, category: str, **profile: Any) -> dict[str, Any]:
        made = seller.made("/shipping-profiles", {"name": "Own", "cost": 7, **profile})
        listing = a_product(category, price=20, discountPercentage=0, shipping_profile_id=made["id"])
        listing.pop("thumbnail")
        created = seller.made("/products", listing)
        return seller.made(f"/products/{created['id']}/publish")

    def test_by_a_sellers_own_profile_with_others_and_abroad(
        self, shop: Shop, seller: Client, buyer: Client, category: str, product: dict[str, Any]
    ) -> None:
        theirs = self.offered(seller, category, per_item_cost=1, countries=["United States"], handling_days=3)
        items = [{"id": theirs["id"], "quantity": 3}, {"id": product["id"], "quantity": 1}]
        rates = buyer.post("/shipping/rates", {"items": items, "address": {"country": "usa"}})
        assert rates.json() == [
            {
                "methodId": "standard",
                "name": "Standard",
                "amount": 9.0,
                "currency": "USD",
                "estimatedDays": 7,
            },
            {
                "methodId": "express",
                "name": "Express",
                "amount": 19.0,
                "currency": "USD",
                "estimatedDays": 4,
            },
        ]
        bought = buyer.made("/orders", {"items": items, "shippingAddress": ADDRESS})
        assert bought["shipping"] == 9
        head = shop.head()
        abroad = {**ADDRESS, "country": "Germany"}
        for path, body in (
            ("/orders", {"shippingAddress": abroad}),
            ("/orders/checkout", {"shippingAddress": abroad, "mode": "preview"}),
            ("/shipping/rates", {"address": abroad}),
        ):
            refused = assert_problem(
                buyer.post(path, {"items": items, **body}), 422, "SHIPPING_NOT_AVAILABLE"
            )
            assert refused["details"] == {"country": "DE", "productIds": [theirs["id"]]}
        assert shop.head() == head

    def test_rates_of_the_cart(self, buyer: Client, product: dict[str, Any]) -> None:
        buyer.made("/cart", {"productId": product["id"]})
        address = buyer.made("/users/me/addresses", S3_ADDRESS)
        by_id, by_uuid, default = (
            buyer.post("/shipping/rates", body).json()
            for body in ({"addressId": address["id"]}, {"shipping_address_id": address["uuid"]}, {})
        )
        assert by_id == by_uuid == default
        assert [rate["amount"] for rate in by_id] == [0, 10]

    def test_methods_can_be_kept_by_whoever_asks(self, shop: Shop) -> None:
        first = shop.guest.get("/shipping/methods")
        assert [method["baseAmount"] for method in first.json()] == [5, 15]
        again = shop.guest.get("/shipping/methods", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304

    def test_the_shop_says_what_it_costs_and_where(
        self, shop: Shop, admin: Client, buyer: Client, category: str
    ) -> None:
        environment = {
            "SHIPPING_RATES": "US=3.00,DE=9.00",
            "TAX_RATES": "DE=0.19",
            "EXPRESS_SURCHARGE": "4.00",
        }
        cheap = admin.made("/products/add", a_product(category, price=10, discountPercentage=0))
        body = {"items": [{"id": cheap["id"]}], "mode": "preview", "shippingMethod": "express"}
        with shop.another_api(**environment) as origin:
            there = shop.client(buyer.token, origin=origin)
            methods = there.get("/shipping/methods").json()
            assert [method["baseAmount"] for method in methods] == [3, 7]
            for country, costs in (
                ("USA", (0.8, 7, 17.8)),
                ("Deutschland", None),
                ("Germany", (1.9, 13, 24.9)),
            ):
                asked = there.post(
                    "/orders/checkout", {**body, "shippingAddress": {**ADDRESS, "country": country}}
                )
                if costs is None:
                    assert_problem(asked, 422, "SHIPPING_NOT_AVAILABLE")
                else:
                    seen = asked.json()
                    assert (seen["tax"], seen["shipping"], seen["total"]) == costs


class TestProof:
    def test_only_who_has_proved_their_address_may_order_where_the_shop_wants_that(
        self, shop: Shop, buyer: Client, product: dict[str, Any]
    ) -> None:
        (proved,) = shop.tokens(1)
        body = {"items": [{"id": product["id"]}], "shippingAddress": ADDRESS}
        with shop.another_api(REQUIRE_EMAIL_VERIFICATION="true") as origin:
            unproved = shop.client(buyer.token, origin=origin)
            head = shop.head()
            for path in ("/orders", "/orders/checkout"):
                assert_problem(unproved.post(path, body), 403, "EMAIL_NOT_VERIFIED")
            assert shop.head() == head
            assert unproved.post("/cart", {"productId": product["id"]}).status_code == 201
            assert shop.client(proved, origin=origin).post("/orders", body).status_code == 201


def test_every_row_is_asked_for_in_one_way() -> None:
    ids = [row.id for row in ROWS]
    assert len(ids) == len(set(ids))
