import threading
import uuid
from typing import Any

import pytest

from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem
from workers.local.stripe_simulator import signature


class TestTheCart:
    def test_tells_nothing_of_what_nobody_may_see_any_more(
        self, shop: Shop, admin: Client, product: dict[str, Any], buyer: Client
    ) -> None:
        """Its seller may still change it, and an admin had a reason to hide it."""
        path = f"/products/{product['id']}"
        buyer.made("/cart", {"productId": product["id"]})
        for gone, back in (
            ((f"{path}/unpublish", None), f"{path}/publish"),
            ((f"/admin{path}/hide", {"reason": "fake"}), f"/admin{path}/unhide"),
            ((f"/admin{path}/remove", {"reason": "fake"}), f"/admin{path}/restore"),
        ):
            taken = admin.post(*gone)
            seen = {"X-Min-Log-Position": taken.headers["x-log-position"]}
            cart = buyer.get("/cart", headers=seen).json()
            (line,) = cart["products"]
            told = {name: line[name] for name in ("id", "uuid", "quantity", "available", "reason")}
            assert told == {
                "id": product["id"],
                "uuid": product["uuid"],
                "quantity": 1,
                "available": False,
                "reason": "unavailable",
            }
            assert not any(value for name, value in line.items() if name not in told)
            assert (cart["total"], cart["totals"]["total"]) == (0, 0)
            notice = {"type": "unavailable", "productId": product["id"], "reason": "unavailable"}
            assert cart["notices"] == [notice]
            assert product["title"] not in buyer.post("/cart/acknowledge").text
            given = admin.post(back)
            seen = {"X-Min-Log-Position": given.headers["x-log-position"]}
            back_again = buyer.get("/cart", headers=seen).json()
            assert (back_again["products"][0]["available"], back_again["notices"]) == (True, [])
            assert back_again["total"] == product["price"]

    def test_is_filled_changed_and_emptied_by_every_spelling(
        self, shop: Shop, admin: Client, category: str, buyer: Client, product: dict[str, Any]
    ) -> None:
        other = admin.made("/products/add", a_product(category, price=10, discountPercentage=0))
        assert buyer.get("/cart").json()["products"] == []
        buyer.made("/cart/items", {"product_id": product["uuid"], "qty": 1})
        buyer.made("/cart", {"productId": product["id"], "quantity": 2})
        cart = buyer.made("/cart", {"productId": other["slug"]})
        assert [
            {name: value for name, value in item.items() if name != "addedAt"} for item in cart["items"]
        ] == [
            {"itemId": number, "productId": number, "quantity": quantity, "qty": quantity, "available": True}
            for number, quantity in ((product["id"], 3), (other["id"], 1))
        ]
        assert (cart["totalProducts"], cart["totalQuantity"]) == (2, 4)
        assert buyer.get("/cart").json() == cart
        changed = buyer.patch(f"/cart/{other['id']}", {"qty": 5}).json()
        assert changed["totalQuantity"] == 8
        assert buyer.patch(f"/cart/items/{other['id']}", {"quantity": 0}).json()["totalProducts"] == 1
        assert buyer("DELETE", f"/cart/items/{product['uuid']}").json()["products"] == []
        assert_problem(buyer("DELETE", f"/cart/{product['id']}"), 404, "CART_ITEM_NOT_FOUND")

    @pytest.mark.parametrize("quantity", [0, -1, 10**9, 1.5, "2", True, [], 10**30])
    def test_refuses_quantities_that_are_none(
        self, shop: Shop, buyer: Client, product: dict[str, Any], quantity: Any
    ) -> None:
        head = shop.head()
        refused = buyer.post("/cart", {"productId": product["id"], "quantity": quantity})
        assert_problem(refused, 400, "VALIDATION_ERROR", "quantity")
        assert shop.head() == head

    def test_an_id_of_something_else_is_no_product(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        line = {"productId": product["id"], "quantity": 1}
        order = buyer.made("/orders", {"shippingAddress": ADDRESS, "products": [line]})
        head = shop.head()
        wrong = {"productId": order["uuid"], "quantity": 1}
        assert_problem(buyer.post("/cart", wrong), 404, "PRODUCT_NOT_FOUND")
        body = {"shippingAddress": ADDRESS, "products": [wrong]}
        assert_problem(buyer.post("/orders", body), 404, "PRODUCT_NOT_FOUND")
        intent = {"amount": 1, "metadata": {"orderId": product["uuid"]}}
        assert_problem(buyer.post("/payments/intents", intent), 404, "ORDER_NOT_FOUND")
        role = admin.patch(f"/admin/users/{product['uuid']}/role", {"role": "seller"})
        assert_problem(role, 404, "USER_NOT_FOUND")
        listing = a_product(product["uuid"])
        assert_problem(admin.post("/products/add", listing), 400, "VALIDATION_ERROR", "category")
        assert shop.head() == head

    def test_refuses_what_is_not_there(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        head = shop.head()
        assert_problem(buyer.post("/cart", {"productId": 999_999}), 404, "PRODUCT_NOT_FOUND")
        assert_problem(buyer.post("/cart", {"quantity": 1}), 400, "VALIDATION_ERROR", "productId")
        assert_problem(buyer.post("/cart", {"productId": {"a": 1}}), 400, "VALIDATION_ERROR", "productId")
        assert_problem(
            buyer.post("/cart", {"productId": product["id"], "quantity": 51}), 422, "INSUFFICIENT_STOCK"
        )
        assert shop.head() == head


class TestOrdering:
    def order(self, product: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return {"products": [{"id": product["id"], "quantity": 1}], "shippingAddress": ADDRESS, **fields}

    @pytest.mark.parametrize("quantity", [0, -1, 10**9, "2"])
    def test_refuses_quantities_that_are_none(
        self, shop: Shop, buyer: Client, product: dict[str, Any], quantity: Any
    ) -> None:
        head = shop.head()
        body = self.order(product, products=[{"id": product["id"], "quantity": quantity}])
        assert_problem(buyer.post("/orders", body), 400, "VALIDATION_ERROR", "products[0].quantity")
        assert shop.head() == head

    def test_refuses_what_cannot_be_had(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        head = shop.head()
        unknown = self.order(product, products=[{"id": 999_999, "quantity": 1}])
        assert_problem(buyer.post("/orders", unknown), 404, "PRODUCT_NOT_FOUND")
        much = self.order(product, products=[{"id": product["id"], "quantity": 51}])
        problem = assert_problem(buyer.post("/orders", much), 422, "INSUFFICIENT_STOCK")
        assert problem["details"] == {"productId": product["id"], "available": 50, "requested": 51}
        assert_problem(buyer.post("/orders", {"shippingAddress": ADDRESS}), 422, "CART_EMPTY")
        dearer = self.order(
            product, items=None, products=[{"id": product["id"], "quantity": 1, "price": 1000}]
        )
        changed = assert_problem(buyer.post("/orders", dearer), 409, "PRICE_CHANGED")
        assert changed["details"] == {
            "productId": product["id"],
            "price": 1199.99,
            "subtotal": 1133.99,
            "discount": 0,
            "tax": 90.72,
            "shipping": 0,
            "total": 1224.71,
        }
        assert_problem(
            buyer.post("/orders", self.order(product, products=[])), 400, "VALIDATION_ERROR", "products"
        )
        assert shop.head() == head

    def test_is_only_for_what_the_client_showed_last(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        shown = buyer.made("/cart", {"productId": product["id"]})["totals"]["total"]
        admin.patch(f"/products/{product['id']}", {"price": 1000})
        head, wrongs = shop.head(), (-1, "1020.60", 1.001, True)
        told: dict[str, Any] = {}
        for body in (
            {"shippingAddress": ADDRESS, "expectedTotal": shown},
            self.order(product, expected_total=shown),
        ):
            problem = assert_problem(
                buyer.post("/orders", body),
                409,
                "PRICE_CHANGED",
                *("subtotal", "discount", "tax", "shipping", "total"),
            )
            told = problem["details"]
            assert told["total"] == 1020.6
        for wrong in wrongs:
            refused = buyer.post("/orders", self.order(product, expectedTotal=wrong))
            assert_problem(refused, 400, "VALIDATION_ERROR", "expectedTotal")
        assert shop.head() == head
        agreed = buyer.made("/orders", self.order(product, expectedTotal=told["total"]))
        assert agreed["total"] == 1020.6

    def test_nobody_buys_what_they_sell(self, shop: Shop, category: str) -> None:
        seller = shop.user("/auth/signup")
        own = seller.made("/products", a_product(category))
        head = shop.head()
        refused = seller.post("/orders", self.order(own))
        assert_problem(refused, 422, "OWN_LISTING", "productId")
        assert shop.head() == head

    def test_is_told_with_the_version_of_what_was_made(
        self, shop: Shop, admin: Client, category: str, buyer: Client
    ) -> None:
        made = admin.post("/products/add", a_product(category))
        path = f"/products/{made.json()['id']}"
        fresh = {"If-Match": made.headers["etag"]}
        assert admin.patch(path, {"price": 7}, headers=fresh).status_code == 200
        assert_problem(admin.patch(path, {"price": 8}, headers=fresh), 409, "VERSION_CONFLICT")
        for quantity in (1, 2):
            buyer.made("/cart", {"productId": made.json()["id"], "quantity": quantity})
        placed = buyer.post("/orders", {"shippingAddress": ADDRESS})
        assert placed.headers["etag"] == f'"{shop.version(placed.json()["uuid"])}"'

    def test_names_what_is_missing_in_the_address(
        self, shop: Shop, buyer: Client, product: dict[str, Any]
    ) -> None:
        head = shop.head()
        nowhere = self.order(product) | {"shippingAddress": None}
        assert_problem(buyer.post("/orders", nowhere), 400, "VALIDATION_ERROR", "shippingAddress")
        partly = {"line1": "1 Road", "city": "Rome", "country": "IT"}
        refused = buyer.post("/orders", self.order(product, shippingAddress=partly))
        assert_problem(refused, 400, "VALIDATION_ERROR", "shippingAddress.zipCode")
        assert shop.head() == head

    def test_takes_every_spelling_of_an_address(self, buyer: Client, product: dict[str, Any]) -> None:
        address = {
            "full_name": "Ada King",
            "address_line1": "1 Road",
            "city": "Rome",
            "postal_code": "1",
            "country": "IT",
        }
        order = buyer.made(
            "/orders", self.order(product, shipping_address=address) | {"shippingAddress": None}
        )
        assert order["shippingAddress"] == {
            "firstName": "Ada", "lastName": "King", "address": "1 Road", "city": "Rome", "state": "", "zipCode": "1",
            "country": "IT", "phone": "",
        }  # fmt: skip

    def test_others_orders_are_nobodys_business(
        self, shop: Shop, buyer: Client, admin: Client, product: dict[str, Any]
    ) -> None:
        order = buyer.made("/orders", self.order(product))
        stranger = shop.user()
        head = shop.head()
        position = {"X-Min-Log-Position": str(head)}
        problem = assert_problem(stranger.get(f"/orders/{order['id']}", headers=position), 403, "FORBIDDEN")
        assert problem["message"] == "You don't have permission to view this order"
        assert admin.get(f"/orders/{order['id'].lower()}").status_code == 200
        assert_problem(stranger.get("/orders/ORD-1999010101"), 404, "ORDER_NOT_FOUND")
        intent = order["paymentIntentId"]
        confirm = {"paymentMethodId": "pm_card_visa"}
        assert_problem(stranger.post(f"/payments/intents/{intent}/confirm", confirm), 403, "FORBIDDEN")
        assert_problem(stranger.get(f"/payments/intents/{intent}/status"), 403, "FORBIDDEN")
        asked = {"amount": 1, "metadata": {"orderId": order["id"]}}
        assert_problem(stranger.post("/payments/intents", asked), 403, "FORBIDDEN")
        assert_problem(stranger.get("/payments/intents/pi_none/status"), 404, "PAYMENT_NOT_FOUND")
        assert_problem(stranger.post("/payments/intents", {"amount": 1}), 400, "VALIDATION_ERROR", "amount")
        assert shop.head() == head

    def test_the_last_units_go_to_as_many_buyers_as_there_are_units(
        self, shop: Shop, admin: Client, category: str
    ) -> None:
        scarce = admin.made("/products/add", a_product(category, stock=3))
        buyers = [shop.user() for _ in range(8)]
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda one=one: statuses.append(one.post("/orders", self.order(scarce)).status_code)
            )
            for one in buyers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [201] * 3 + [422] * 5


class TestOnce:
    def test_a_retry_gets_the_first_answer_and_nothing_happens_again(
        self, shop: Shop, buyer: Client, product: dict[str, Any]
    ) -> None:
        body = {"products": [{"id": product["id"], "quantity": 1}], "shippingAddress": ADDRESS}
        key = {"Idempotency-Key": uuid.uuid4().hex}
        first = buyer.post("/orders", body, headers=key)
        assert first.status_code == 201
        assert "idempotency-replayed" not in first.headers
        head = shop.head()
        again = buyer.post("/orders", body, headers=key)
        assert again.status_code == 201
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json() == first.json()
        other = buyer.post("/orders", body | {"paymentMethod": "klarna"}, headers=key)
        assert_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
        assert shop.head() == head

    def test_holds_for_every_kind_of_command(
        self, shop: Shop, admin: Client, category: str, buyer: Client, product: dict[str, Any]
    ) -> None:
        requests: list[tuple[Client, str, str, Any]] = [
            (shop.guest, "POST", "/auth/register", {"email": f"{uuid.uuid4().hex}@example.com", "password": "Abcdefg1",
                                                    "name": "A B"}),
            (admin, "POST", "/admin/categories", {"name": uuid.uuid4().hex}),
            (admin, "POST", "/products/add", a_product(category)),
            (admin, "PATCH", f"/products/{product['id']}", {"price": 7}),
            (admin, "POST", f"/products/{product['id']}/unpublish", None),
            (admin, "POST", f"/products/{product['id']}/publish", None),
            (buyer, "POST", "/cart", {"productId": product["id"]}),
            (buyer, "PATCH", f"/cart/{product['id']}", {"quantity": 4}),
            (buyer, "DELETE", f"/cart/{product['id']}", None),
        ]  # fmt: skip
        for client, method, path, body in requests:
            key = {"Idempotency-Key": uuid.uuid4().hex}
            first = client(method, path, json=body, headers=key)
            head = shop.head()
            again = client(method, path, json=body, headers=key)
            assert first.status_code in {200, 201}, first.text
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.headers["idempotency-replayed"] == "true", path
            assert shop.head() == head

    def test_a_key_is_one_persons_and_a_sane_text(self, shop: Shop, product: dict[str, Any]) -> None:
        key = {"Idempotency-Key": "the same"}
        for buyer in (shop.user(), shop.user()):
            cart = buyer.post("/cart", {"productId": product["id"]}, headers=key)
            assert cart.json()["totalQuantity"] == 1
            assert "idempotency-replayed" not in cart.headers
        for bad in ("", "k" * 256, "tab\tkey"):
            refused = shop.user().post(
                "/cart", {"productId": product["id"]}, headers={"Idempotency-Key": bad}
            )
            assert_problem(refused, 400, "VALIDATION_ERROR", "Idempotency-Key")


class TestWebhooks:
    def event(self, order: dict[str, Any], kind: str = "payment_intent.succeeded", **fields: Any) -> bytes:
        import json

        intent = {
            "id": order["paymentIntentId"], "object": "payment_intent", "amount": 126_198, "currency": "usd",
            "status": "succeeded", "created": 1_700_000_000, "metadata": {"orderId": order["id"]}, **fields,
        }  # fmt: skip
        return json.dumps(
            {"id": f"evt_{order['uuid']}{kind}", "object": "event", "type": kind, "data": {"object": intent}}
        ).encode()

    def send(self, shop: Shop, body: bytes, signed: str, path: str = "/payments/stripe") -> Any:
        headers = {"Stripe-Signature": signed, "Content-Type": "application/json"}
        return shop.guest("POST", path, content=body, headers=headers)

    @pytest.fixture
    def order(self, buyer: Client, product: dict[str, Any]) -> dict[str, Any]:
        placed = buyer.made(
            "/orders", {"products": [{"id": product["id"], "quantity": 1}], "shippingAddress": ADDRESS}
        )
        assert placed["paymentIntent"]["amount"] == 122_471
        return placed

    def test_a_replayed_one_counts_once_by_whatever_path(
        self, shop: Shop, buyer: Client, order: dict[str, Any]
    ) -> None:
        body = self.event(order, amount=122_471)
        signed = signature(body, shop.stripe.webhook_secret)
        assert self.send(shop, body, signed).json() == {"received": True}
        head = shop.head()
        for path in ("/payments/stripe", "/payments/webhook", "/webhooks/stripe"):
            assert self.send(shop, body, signed, path).status_code == 200
        failed = self.event(order, "payment_intent.payment_failed", amount=122_471)
        assert self.send(shop, failed, signature(failed, shop.stripe.webhook_secret)).status_code == 200
        assert shop.head() == head
        paid = buyer.get(f"/orders/{order['id']}", headers={"X-Min-Log-Position": str(head)}).json()
        assert paid["paymentStatus"] == "paid"

    def test_a_forged_one_is_refused(self, shop: Shop, order: dict[str, Any]) -> None:
        body, head = self.event(order, amount=122_471), shop.head()
        secret = shop.stripe.webhook_secret
        for signed in (
            signature(body, "whsec_another"),
            signature(body + b" ", secret),
            "",
            signature(body, secret, at=1),
        ):
            assert_problem(self.send(shop, body, signed), 400, "INVALID_SIGNATURE", "Stripe-Signature")
        assert shop.head() == head

    def test_one_over_another_amount_pays_nothing_and_goes_back(
        self, shop: Shop, buyer: Client, order: dict[str, Any]
    ) -> None:
        """Stripe must not be refused: it would say so again for three days, and the money is there."""
        body = self.event(order, amount=1)
        assert self.send(shop, body, signature(body, shop.stripe.webhook_secret)).status_code == 200
        head = shop.head()
        assert self.send(shop, body, signature(body, shop.stripe.webhook_secret)).status_code == 200
        assert shop.head() == head
        seen = {"X-Min-Log-Position": str(head)}
        assert buyer.get(f"/orders/{order['id']}", headers=seen).json()["paymentStatus"] == "pending"
        another = buyer.made("/payments/intents", {"amount": 122_471, "metadata": {"orderId": order["id"]}})
        assert another["id"] != order["paymentIntentId"]
