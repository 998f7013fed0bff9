"""The acceptance list of carts: each row of the contract as its document writes it, and what carts do besides."""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cached_property
from typing import Any

import httpx
import msgspec
import pytest

from api.models import AppliedCoupon
from api.models import Cart as CartModel
from application.bootstrap import write_side
from application.carts.abandoning import AbandonCart
from application.ports import Metadata
from domain.carts.events import cart_of
from domain.kernel import AccountId
from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem
from tests.api.test_contract_accounts import Refusal, Row, assert_shows

NUMBER = (int, float)
S2_LINE = {
    "id": int,
    "title": str,
    "price": NUMBER,
    "quantity": int,
    "total": NUMBER,
    "discountPercentage": NUMBER,
    "discountedTotal": NUMBER,
    "thumbnail": str,
}
S2_CART = {
    "id": str,
    "products": [S2_LINE],
    "total": NUMBER,
    "discountedTotal": NUMBER,
    "userId": int,
    "totalProducts": int,
    "totalQuantity": int,
}
S4_CART = {"userId": int, "items": [{"productId": int, "qty": int}], "updatedAt": str}
S0_CART = {"id": str, "items": [{"productId": int, "qty": int}], "total": NUMBER}
NOTHING = {"products": [], "items": [], "total": 0, "totalProducts": 0, "totalQuantity": 0}

ROWS = (
    Row("S0-CART-01", "user", "GET /cart?with={held}", 200, S0_CART),
    Row(
        "S0-CART-02",
        "user",
        "POST /cart/items",
        201,
        {"items": [{"itemId": "{product}", "productId": "{product}", "qty": 2}]},
        {"productId": "{product}", "qty": 2},
    ),
    Row("S0-CART-03", "user", "PATCH /cart/items/{held}", 200, {"totalQuantity": 3}, {"qty": 3}),
    Row("S0-CART-03 0 removes", "user", "PATCH /cart/items/{held}", 200, NOTHING, {"qty": 0}),
    Row("S0-CART-04", "user", "DELETE /cart/items/{held}", 200, NOTHING),
    Row("S2-CART-01", "user", "POST /cart", 200, S2_CART, {"products": [{"id": "{product}", "quantity": 2}]}),
    Row("S2-CART-02", "user", "GET /cart?with={held}", 200, S2_CART),
    Row("S4-CART-01", "user", "GET /cart?with={held}", 200, S4_CART),
    Row("S4-CART-02", "user", "POST /cart", 201, S4_CART, {"productId": "{product}", "qty": 1}),
    Row("S4-CART-03", "user", "PATCH /cart/{held}", 200, {"totalQuantity": 4}, {"qty": 4}),
    Row("S4-CART-04", "user", "DELETE /cart/{held}", 200, NOTHING),
    Row(
        "S2-COUP-01",
        "user",
        "POST /checkout/apply-coupon?with={held}",
        200,
        {"code": "{coupon}", "discount": NUMBER, "subtotal": NUMBER, "total": NUMBER},
        {"code": "{coupon}"},
    ),
    Row("S2-COUP-02", "user", "DELETE /checkout/remove-coupon?with={applied}", 200, {"coupon": None}),
)

REFUSALS = (
    *(
        Refusal(row_id, "guest", call, 401, "UNAUTHORIZED", body)
        for row_id, call, body in (
            ("S0-CART-01", "GET /cart", None),
            ("S0-CART-02", "POST /cart/items", {"productId": 1, "qty": 1}),
            ("S0-CART-03", "PATCH /cart/items/1", {"qty": 1}),
            ("S0-CART-04", "DELETE /cart/items/1", None),
            ("S2-CART-01", "POST /cart", {"products": []}),
            ("S2-CART-02", "GET /cart", None),
            ("S4-CART-01", "GET /cart", None),
            ("S4-CART-02", "POST /cart", {"productId": 1, "qty": 1}),
            ("S4-CART-03", "PATCH /cart/1", {"qty": 1}),
            ("S4-CART-04", "DELETE /cart/1", None),
            ("S2-COUP-01", "POST /checkout/apply-coupon", {"code": "A"}),
            ("S2-COUP-02", "DELETE /checkout/remove-coupon", None),
            ("C29", "DELETE /cart", None),
            ("C29", "POST /cart/acknowledge", None),
        )
    ),
    *(
        Refusal(row_id, "user", call, status, "VALIDATION_ERROR", body, fields)
        for row_id, call, status, body, fields in (
            ("S0-CART-02", "POST /cart/items", 422, {"productId": "{product}", "qty": 0}, ("quantity",)),
            ("S0-CART-02", "POST /cart/items", 422, {"qty": 1}, ("productId",)),
            ("S0-CART-03", "PATCH /cart/items/{held}", 422, {"qty": -1}, ("quantity",)),
            ("S0-CART-03", "PUT /cart/items/{held}", 422, {}, ("quantity",)),
            ("S4-CART-02", "POST /cart", 400, {"productId": "{product}", "qty": 0}, ("quantity",)),
            ("S4-CART-02", "POST /cart", 400, {"qty": 1}, ("productId",)),
            ("S4-CART-03", "PATCH /cart/{held}", 400, {"qty": 1000}, ("quantity",)),
            (
                "S2-CART-01",
                "POST /cart",
                400,
                {"products": [{"id": "{product}", "quantity": 0}]},
                ("products[0].quantity",),
            ),
            ("S2-CART-01", "POST /cart", 400, {"products": [{"quantity": 1}]}, ("products[0].productId",)),
            ("S2-CART-01", "POST /cart", 400, {"products": "all"}, ("products",)),
            ("S2-CART-01", "POST /cart", 400, {"items": [7]}, ("items[0]",)),
            (
                "S2-CART-01",
                "POST /cart",
                400,
                {"productId": 1, "items": [{"productId": "{product}"}]},
                ("productId",),
            ),
            ("S2-COUP-01", "POST /checkout/apply-coupon", 400, {}, ("code",)),
        )
    ),
    *(
        Refusal(row_id, "user", call, status, code, body)
        for row_id, call, status, code, body in (
            ("S0-CART-02", "POST /cart/items", 404, "PRODUCT_NOT_FOUND", {"productId": 999_999_999}),
            ("S0-CART-02", "POST /cart/items", 409, "LISTING_SOLD", {"productId": "{sold}", "qty": 1}),
            ("S0-CART-03", "PATCH /cart/items/{product}", 404, "CART_ITEM_NOT_FOUND", {"qty": 1}),
            ("S0-CART-03", "PATCH /cart/items/{held}", 422, "INSUFFICIENT_STOCK", {"qty": 51}),
            ("S0-CART-04", "DELETE /cart/items/{product}", 404, "CART_ITEM_NOT_FOUND", None),
            (
                "S2-CART-01",
                "POST /cart",
                404,
                "PRODUCT_NOT_FOUND",
                {"products": [{"id": "{product}"}, {"id": 999_999_999}]},
            ),
            (
                "S2-CART-01",
                "POST /cart",
                422,
                "INSUFFICIENT_STOCK",
                {"products": [{"id": "{product}", "quantity": 51}]},
            ),
            ("S4-CART-02", "POST /cart", 422, "INSUFFICIENT_STOCK", {"productId": "{product}", "qty": 51}),
            ("S4-CART-03", "PATCH /cart/{product}", 404, "CART_ITEM_NOT_FOUND", {"qty": 1}),
            ("S4-CART-04", "DELETE /cart/{product}", 404, "CART_ITEM_NOT_FOUND", None),
            (
                "S2-COUP-01",
                "POST /checkout/apply-coupon?with={held}",
                422,
                "COUPON_INVALID",
                {"code": "NOSUCH10"},
            ),
            ("S2-COUP-02", "DELETE /checkout/remove-coupon", 404, "COUPON_NOT_APPLIED", None),
        )
    ),
)


class Scene:
    """Somebody new with an empty cart, and what they can buy, as far as a row asks for it."""

    def __init__(self, shop: Shop, admin: Client, category: str) -> None:
        self.shop, self.admin, self.category = shop, admin, category
        self.guest = shop.guest

    def call(self, row: Row | Refusal) -> httpx.Response:
        method, path = self.filled(row.call).split(" ", 1)
        body = self.filled(row.body)
        client = self.guest if row.who == "guest" else self.user
        return client(method, path, json=body) if body is not None else client(method, path)

    def filled(self, value: Any) -> Any:
        """The same with ``{words}`` replaced; one that stands alone is a number where it is one."""
        if isinstance(value, dict):
            return {name: self.filled(part) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.filled(part) for part in value)
        if not isinstance(value, str):
            return value
        for word in ("product", "held", "sold", "coupon", "applied"):
            if value == f"{{{word}}}":
                return getattr(self, word)
            if f"{{{word}}}" in value:
                value = value.replace(f"{{{word}}}", str(getattr(self, word)))
        return value

    @cached_property
    def user(self) -> Client:
        return self.shop.user()

    def offer(self, **fields: Any) -> dict[str, Any]:
        return self.admin.made("/products/add", a_product(self.category, **fields))

    @cached_property
    def product(self) -> int:
        number: int = self.offer()["id"]
        return number

    @property
    def held(self) -> int:
        self.user.made("/cart/items", {"productId": self.product, "qty": 1})
        return self.product

    @cached_property
    def sold(self) -> int:
        number: int = self.offer(unique=True, stock=1)["id"]
        self.buy(self.shop.user(), number)
        return number

    def buy(self, buyer: Client, number: int) -> None:
        order = buyer.made(
            "/orders", {"products": [{"id": number, "quantity": 1}], "shippingAddress": ADDRESS}
        )
        buyer.made(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )

    @cached_property
    def coupon(self) -> str:
        code: str = self.admin.made(
            "/admin/promotions",
            {
                "name": "Coupon",
                "code": f"C{uuid.uuid4().hex[:10]}".upper(),
                "discountType": "percentage",
                "discountValue": 10,
            },
        )["code"]
        return code

    @property
    def applied(self) -> str:
        assert self.held
        self.user.made("/checkout/apply-coupon", {"code": self.coupon})
        return self.coupon


@pytest.fixture
def scene(shop: Shop, admin: Client, category: str) -> Scene:
    return Scene(shop, admin, category)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_row(scene: Scene, row: Row) -> None:
    response = scene.call(row)
    assert response.status_code == row.status, response.text
    assert_shows(response.json(), scene.filled(row.answer))
    if row.id != "S2-COUP-01":
        msgspec.convert(response.json(), CartModel)
        assert scene.user.get("/cart").json() == response.json()
    else:
        msgspec.convert(response.json(), AppliedCoupon)
        assert scene.user.get("/cart").json() == response.json()["cart"]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: f"{row.id} {row.who} {row.status} {row.code}")
def test_row_refuses(scene: Scene, row: Refusal) -> None:
    filled = Refusal(row.id, row.who, scene.filled(row.call), row.status, row.code, scene.filled(row.body))
    assert scene.user.get("/cart").status_code == 200  # somebody is there before anything is counted
    head = scene.shop.head()
    assert_problem(scene.call(filled), row.status, row.code, *row.fields)
    assert scene.shop.head() == head


class TestEveryWayToALine:
    @pytest.mark.parametrize("reference", ["id", "uuid", "slug"])
    @pytest.mark.parametrize("path", ["/cart", "/cart/items"])
    def test_by_any_reference_on_either_path(self, scene: Scene, path: str, reference: str) -> None:
        product = scene.offer()
        named = product[reference]
        assert scene.user.made(path, {"product_id": named})["totalQuantity"] == 1
        for method, quantity in (("PATCH", 3), ("PUT", 2)):
            changed = scene.user(method, f"{path}/{named}", json={"quantity": quantity})
            assert (changed.status_code, changed.json()["totalQuantity"]) == (200, quantity)
        gone = scene.user("DELETE", f"{path}/{named}")
        assert (gone.status_code, gone.json()["products"]) == (200, [])

    def test_items_is_no_product(self, scene: Scene) -> None:
        assert scene.held
        assert_problem(scene.user.patch("/cart/items", {"quantity": 1}), 405, "METHOD_NOT_ALLOWED")
        cleared = scene.user("DELETE", "/cart/items")
        assert (cleared.status_code, cleared.json()["products"]) == (200, [])

    def test_clearing_takes_all_of_it_and_is_no_error_where_there_is_nothing(self, scene: Scene) -> None:
        assert scene.applied
        cleared = scene.user("DELETE", "/cart")
        assert cleared.status_code == 200
        assert_shows(cleared.json(), {**NOTHING, "coupon": None, "notices": []})
        head = scene.shop.head()
        again = scene.user("DELETE", "/cart")
        assert (again.status_code, again.json()) == (200, cleared.json())
        assert scene.shop.user()("DELETE", "/cart").json()["updatedAt"] is None
        assert scene.shop.head() > head  # the new person's registration
        assert scene.user.get("/cart").json() == cleared.json()

    def test_in_snake_case_for_whoever_asks(self, scene: Scene) -> None:
        assert scene.held
        snake = scene.user.get("/cart", headers={"Accept": "application/json; case=snake"}).json()
        assert {"user_id", "updated_at", "total_products"} <= snake.keys()
        assert {"item_id", "product_id", "qty", "quantity"} <= snake["items"][0].keys()
        plain = scene.user.get("/cart").json()
        assert not any("_" in name for name in (*plain, *plain["items"][0], *plain["products"][0]))

    def test_says_when_it_was_touched_last(self, scene: Scene) -> None:
        first = scene.user.made("/cart", {"productId": scene.product})
        assert first["items"][0]["addedAt"] == first["updatedAt"]
        second = scene.user.patch(f"/cart/{scene.product}", {"qty": 2}).json()
        assert datetime.fromisoformat(second["updatedAt"]) >= datetime.fromisoformat(first["updatedAt"])
        assert second["items"][0]["addedAt"] == first["items"][0]["addedAt"]


class TestSyncing:
    def test_replaces_the_content_and_keeps_the_coupon(self, scene: Scene) -> None:
        other = scene.offer(price=10, discountPercentage=0)
        assert scene.applied
        version = scene.shop.version(self.cart_id(scene))
        synced = scene.user.post("/cart", {"items": [{"product_id": other["slug"], "qty": 3}]})
        assert synced.status_code == 200
        assert [(line["id"], line["quantity"]) for line in synced.json()["products"]] == [(other["id"], 3)]
        assert synced.json()["coupon"]["code"] == scene.coupon
        assert scene.shop.version(self.cart_id(scene)) == version + 1
        assert scene.user.get("/cart").json() == synced.json()

    def test_a_cart_can_be_sent_back_as_it_came_and_nothing_happens(self, scene: Scene) -> None:
        assert scene.held
        cart = scene.user.get("/cart").json()
        head = scene.shop.head()
        again = scene.user.post("/cart", cart)
        assert (again.status_code, again.json()) == (200, cart)
        assert scene.shop.head() == head

    def test_what_is_named_twice_is_there_in_the_sum(self, scene: Scene) -> None:
        twice = [{"id": scene.product, "quantity": 2}, {"productId": str(scene.product), "qty": 3}]
        cart = scene.user.post("/cart", {"products": twice}).json()
        assert [(line["id"], line["quantity"]) for line in cart["products"]] == [(scene.product, 5)]

    def test_nothing_is_a_content_too(self, scene: Scene) -> None:
        assert scene.held
        assert_shows(scene.user.post("/cart", {"products": []}).json(), NOTHING)

    @staticmethod
    def cart_id(scene: Scene) -> str:
        cart_id: str = scene.user.get("/cart").json()["id"]
        return cart_id


class TestMerging:
    def test_adds_what_is_to_be_had_and_tells_of_the_rest(self, scene: Scene) -> None:
        few, kept = scene.offer(stock=5), scene.offer()
        scene.user.made("/cart", {"productId": kept["id"], "quantity": 2})
        body = {
            "merge": True,
            "items": [
                {"productId": few["id"], "quantity": 4},
                {"productId": few["uuid"], "quantity": 3},
                {"productId": kept["id"], "quantity": 1},
                {"productId": scene.sold, "quantity": 1},
                {"productId": "no-such-thing", "quantity": 1},
                {"productId": 999_999_999, "quantity": 2},
            ],
        }
        merged = scene.user.post("/cart", body)
        assert merged.status_code == 200, merged.text
        cart = merged.json()
        msgspec.convert(cart, CartModel)
        assert [(line["id"], line["quantity"]) for line in cart["products"]] == [
            (kept["id"], 3),
            (few["id"], 5),
        ]
        assert cart["notices"] == [
            notice("reduced", few["id"], "insufficient_stock", 5, 7),
            notice("unavailable", scene.sold, "sold", 0, 1),
            notice("unavailable", "no-such-thing", "unavailable", 0, 1),
            notice("unavailable", 999_999_999, "unavailable", 0, 2),
        ]
        assert scene.user.get("/cart").json() == {**cart, "notices": []}

    def test_a_repeated_one_is_carried_out_once(self, scene: Scene) -> None:
        body = {"merge": True, "products": [{"id": scene.product, "quantity": 2}]}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        first = scene.user.post("/cart", body, headers=key)
        again = scene.user.post("/cart", body, headers=key)
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotency-replayed"] == "true"
        assert scene.user.get("/cart").json()["totalQuantity"] == 2
        assert scene.user.post("/cart", body).json()["totalQuantity"] == 4

    def test_a_price_that_the_client_showed_and_that_is_another_one_now_is_told(self, scene: Scene) -> None:
        product = scene.offer(price=20, discountPercentage=10)
        body = {"merge": True, "items": [{"productId": product["id"], "quantity": 1, "price": 15}]}
        cart = scene.user.post("/cart", body).json()
        change = {"from": 13.5, "to": 18}
        assert cart["notices"] == [{"type": "price_changed", "productId": product["id"], **change}]
        assert cart["products"][0]["priceChanged"] == change
        assert scene.user.get("/cart").json() == cart

    def test_there_are_never_more_than_a_cart_holds(self, scene: Scene) -> None:
        plenty = scene.offer(stock=5000)
        body = {"merge": True, "items": [{"productId": plenty["id"], "quantity": 999}] * 2}
        cart = scene.user.post("/cart", body).json()
        assert cart["totalQuantity"] == 999
        assert cart["notices"] == [notice("reduced", plenty["id"], "cart_full", 999, 1998)]
        strict = scene.user.post("/cart", {**body, "merge": False})
        assert_problem(strict, 400, "VALIDATION_ERROR", "quantity")


class TestWhatHasChangedMeanwhile:
    def test_a_price_is_told_until_it_is_acknowledged(self, scene: Scene) -> None:
        product = scene.offer(price=20, discountPercentage=0)
        scene.user.made("/cart", {"productId": product["id"], "quantity": 2})
        self.change(scene, product, price=25)
        cart = scene.user.get("/cart", headers=now(scene.shop)).json()
        change = {"from": 20, "to": 25}
        assert cart["products"][0]["priceChanged"] == change
        assert cart["notices"] == [{"type": "price_changed", "productId": product["id"], **change}]
        assert cart["total"] == 50
        seen = scene.user.made("/cart/acknowledge")
        assert seen["notices"] == []
        assert "priceChanged" not in seen["products"][0]
        head = scene.shop.head()
        assert scene.user.made("/cart/acknowledge") == seen == scene.user.get("/cart").json()
        assert scene.shop.head() == head

    def test_setting_the_same_quantity_acknowledges_one_line(self, scene: Scene) -> None:
        one, two = scene.offer(price=20), scene.offer(price=20)
        for product in (one, two):
            scene.user.made("/cart", {"productId": product["id"]})
            self.change(scene, product, price=30)
        shown = scene.user.get("/cart", headers=now(scene.shop)).json()
        assert [each["productId"] for each in shown["notices"]] == [one["id"], two["id"]]
        after = scene.user.patch(f"/cart/{one['id']}", {"qty": 1}).json()
        assert [each["productId"] for each in after["notices"]] == [two["id"]]
        assert scene.user.get("/cart").json() == after

    def test_a_price_that_is_back_where_it_was_is_no_news(self, scene: Scene) -> None:
        product = scene.offer(price=20)
        scene.user.made("/cart", {"productId": product["id"]})
        for price in (30, 20):
            self.change(scene, product, price=price)
        assert scene.user.get("/cart", headers=now(scene.shop)).json()["notices"] == []

    def test_what_there_is_too_little_of_is_marked_and_in_no_sum(self, scene: Scene) -> None:
        scarce, plenty = (
            scene.offer(price=10, discountPercentage=0),
            scene.offer(price=7, discountPercentage=0),
        )
        scene.user.made("/cart", {"productId": scarce["id"], "quantity": 5})
        whole = scene.user.made("/cart", {"productId": plenty["id"]})
        assert whole["total"] == 57
        for stock, reason, available in ((3, "insufficient_stock", 3), (0, "out_of_stock", None)):
            self.change(scene, scarce, stock=stock)
            cart = scene.user.get("/cart", headers=now(scene.shop)).json()
            msgspec.convert(cart, CartModel)
            line = cart["products"][0]
            assert (line["available"], line["reason"], line.get("availableQuantity")) == (
                False,
                reason,
                available,
            )
            assert (line["title"], line["price"]) == (scarce["title"], 10)
            assert (cart["total"], cart["discountedTotal"], cart["totals"]["subtotal"]) == (7, 7, 7)
            assert (cart["totalProducts"], cart["totalQuantity"]) == (2, 6)
            refused = scene.user.post("/orders", {"shippingAddress": ADDRESS})
            assert_problem(refused, 422, "INSUFFICIENT_STOCK", "productId", "available", "requested")
            assert refused.json()["details"]["productId"] == scarce["id"]
            # Whoever adds something else is told the same.
            assert scene.user.patch(f"/cart/{plenty['id']}", {"qty": 1}).json() == cart
        assert scene.user("DELETE", f"/cart/{scarce['id']}").json()["notices"] == []
        scene.user.made("/orders", {"shippingAddress": ADDRESS})

    def test_what_is_sold_says_so(self, scene: Scene) -> None:
        only = scene.offer(unique=True, stock=1)
        scene.user.made("/cart", {"productId": only["id"]})
        scene.buy(scene.shop.user(), only["id"])
        cart = scene.user.get("/cart", headers=now(scene.shop)).json()
        line = cart["products"][0]
        assert (line["reason"], line["title"], cart["totals"]["total"]) == ("sold", only["title"], 0)
        refused = scene.user.post("/orders", {"shippingAddress": ADDRESS})
        assert_problem(refused, 409, "LISTING_SOLD", "productId")

    def test_a_coupon_takes_nothing_off_what_cannot_be_had(self, scene: Scene) -> None:
        gone, there = (
            scene.offer(price=100, discountPercentage=0),
            scene.offer(price=10, discountPercentage=0),
        )
        for product in (gone, there):
            scene.user.made("/cart", {"productId": product["id"]})
        self.change(scene, gone, stock=0)
        applied = scene.user.made("/checkout/apply-coupon", {"code": scene.coupon}, headers=now(scene.shop))
        assert (applied["discount"], applied["subtotal"]) == (1, 10)
        assert scene.user.get("/cart").json() == applied["cart"]
        removed = scene.user("DELETE", "/checkout/remove-coupon")
        assert (removed.status_code, removed.json()["coupon"]) == (200, None)
        assert removed.json() == scene.user.get("/cart").json()
        scene.user("DELETE", f"/cart/{there['id']}")
        refused = scene.user.post("/checkout/apply-coupon", {"code": scene.coupon})
        assert_problem(refused, 422, "COUPON_INVALID")

    @staticmethod
    def change(scene: Scene, product: dict[str, Any], **fields: Any) -> None:
        changed = scene.admin.patch(f"/products/{product['id']}", fields)
        assert changed.status_code == 200, changed.text


class TestAbandoning:
    def test_a_cart_that_nobody_has_come_back_to_is_empty(self, scene: Scene) -> None:
        assert scene.applied
        account = scene.user.get("/me").json()["uuid"]
        command = AbandonCart(cart_id=cart_of(AccountId(uuid.UUID(account))))

        async def abandon(**changed: str) -> int:
            settings = msgspec.structs.replace(scene.shop.settings, **changed)
            async with write_side(settings) as write:
                return (await write.bus.handle(command, Metadata(actor="tests"))).position

        assert scene.shop.run(abandon()) == 0
        position = scene.shop.run(abandon(cart_abandoned_after="0s"))
        cart = scene.user.get("/cart", headers={"X-Min-Log-Position": str(position)}).json()
        assert_shows(cart, {**NOTHING, "coupon": None, "notices": []})
        assert scene.user.made("/cart", {"productId": scene.product})["totalQuantity"] == 1


class TestAtOnce:
    def test_everything_that_was_answered_is_in_it(self, scene: Scene) -> None:
        products = [scene.offer() for _ in range(8)]
        barrier = threading.Barrier(len(products))

        def add(product: dict[str, Any]) -> httpx.Response:
            client = scene.shop.client(scene.user.token)
            barrier.wait()
            return client.post("/cart", {"productId": product["id"]})

        with ThreadPoolExecutor(len(products)) as threads:
            answers = list(threads.map(add, products))
        assert {each.status_code for each in answers} == {201}
        counts = sorted(each.json()["totalProducts"] for each in answers)
        assert counts == list(range(1, 9))
        assert scene.user.get("/cart", headers=now(scene.shop)).json()["totalProducts"] == 8


def notice(kind: str, product: int | str, reason: str, quantity: int, requested: int) -> dict[str, Any]:
    return {
        "type": kind,
        "productId": product,
        "reason": reason,
        "quantity": quantity,
        "requested": requested,
    }


def now(shop: Shop) -> dict[str, str]:
    """For a read that must know of everything so far."""
    return {"X-Min-Log-Position": str(shop.head())}
