"""Orders that are cancelled: by those who placed them, by admins and by time, with all that follows at the provider."""

import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.accounts.events import Role
from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem, soon
from tests.conftest import FreshDatabase

PATIENCE = "2s"


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    """With a reactor, and with little patience for those who do not pay."""
    folder = servers_folder / "cancelling"
    with (
        fresh_database() as url,
        Shop(url, folder, ORDER_UNPAID_AFTER=PATIENCE) as shop,
        shop.also("workers.reactor"),
    ):
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def admin(shop: Shop) -> Client:
    return shop.staff(Role.ADMIN)


@pytest.fixture(scope="module")
def category(admin: Client) -> str:
    slug: str = admin.made("/admin/categories", {"name": "Smartphones"})["slug"]
    return slug


@pytest.fixture
def product(admin: Client, category: str) -> dict[str, Any]:
    return admin.made("/products/add", a_product(category, stock=10))


def order(buyer: Client, product: dict[str, Any], quantity: int = 2, **fields: Any) -> dict[str, Any]:
    lines = [{"id": product["id"], "quantity": quantity}]
    return buyer.made("/orders", {"products": lines, "shippingAddress": ADDRESS, **fields})


def pay(buyer: Client, placed: dict[str, Any]) -> None:
    confirm = f"/payments/intents/{placed['paymentIntentId']}/confirm"
    assert buyer.made(confirm, {"paymentMethodId": "pm_card_visa"})["status"] == "succeeded"


def at_stripe(shop: Shop, what: str) -> dict[str, Any]:
    simulator = shop.client(shop.stripe.key, origin=shop.stripe.url)
    answer: dict[str, Any] = simulator("GET", f"{shop.stripe.url}/v1/{what}").json()
    return answer


def stock(shop: Shop, product: dict[str, Any]) -> int:
    headers = {"X-Min-Log-Position": str(shop.head())}
    left: int = shop.guest.get(f"/products/{product['id']}", headers=headers).json()["stock"]
    return left


def run_scheduler(shop: Shop) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers.scheduler", "--once"],
        env={**os.environ, **shop.environment()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


class TestByTheBuyer:
    @pytest.mark.parametrize("method", ["PUT", "POST"])
    def test_one_that_is_not_paid_is_closed_at_the_provider(
        self, shop: Shop, product: dict[str, Any], buyer: Client, method: str
    ) -> None:
        placed = order(buyer, product)
        assert stock(shop, product) == 8
        path = f"/orders/{placed['id']}/cancel"
        answer = buyer(method, path, json={"reason": "Changed my mind"})
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert (body["id"], body["status"], body["cancelReason"], body["cancelledBy"]) == (
            placed["id"],
            "cancelled",
            "Changed my mind",
            "buyer",
        )
        assert body["cancelledAt"] == body["updatedAt"]
        shown = buyer.get(f"/orders/{placed['uuid']}").json()
        # Decided at one moment, recorded at the next.
        assert shown["updatedAt"] >= body["updatedAt"]
        assert {**shown, "updatedAt": body["updatedAt"]} == body
        assert stock(shop, product) == 10
        intent = placed["paymentIntentId"]
        soon(lambda: at_stripe(shop, f"payment_intents/{intent}")["status"] == "canceled", "closing")
        soon(lambda: buyer.get(f"/payments/intents/{intent}/status").json()["status"] == "failed", "closed")
        confirm = buyer.post(f"/payments/intents/{intent}/confirm", {"paymentMethodId": "pm_card_visa"})
        assert_problem(confirm, 422, "ORDER_CANCELLED")
        asked = {"amount": round(placed["total"] * 100), "metadata": {"orderId": placed["id"]}}
        assert_problem(buyer.post("/payments/intents", asked), 422, "ORDER_CANCELLED")
        head = shop.head()
        assert buyer(method, path).json()["cancelReason"] == "Changed my mind"
        assert shop.head() == head

    def test_of_one_that_is_paid_the_money_goes_back(
        self, shop: Shop, product: dict[str, Any], buyer: Client
    ) -> None:
        placed = order(buyer, product)
        pay(buyer, placed)
        assert buyer.made(f"/orders/{placed['id']}/cancel")["cancelReason"] == ""
        assert stock(shop, product) == 10

        def seen() -> dict[str, Any]:
            body: dict[str, Any] = buyer.get(f"/orders/{placed['id']}").json()
            return body

        soon(lambda: seen()["paymentStatus"] == "refunded", "the refund")
        assert (seen()["status"], seen()["refundedAmount"]) == ("cancelled", placed["total"])
        (refund,) = at_stripe(shop, f"refunds?payment_intent={placed['paymentIntentId']}")["data"]
        assert refund["amount"] == round(placed["total"] * 100)

    def test_is_refused_to_others_and_for_what_makes_no_sense(
        self, shop: Shop, admin: Client, product: dict[str, Any], buyer: Client
    ) -> None:
        placed, stranger = order(buyer, product), shop.user()
        path, head = f"/orders/{placed['id']}/cancel", shop.head()
        assert_problem(shop.guest.post(path), 401, "UNAUTHORIZED")
        assert_problem(stranger.post(path), 403, "FORBIDDEN")
        assert_problem(buyer.post("/orders/ORD-1999010101/cancel"), 404, "ORDER_NOT_FOUND")
        for reason in (7, "x" * 1001, True):
            assert_problem(buyer.post(path, {"reason": reason}), 400, "VALIDATION_ERROR", "reason")
        stale = {"If-Match": '"1"'}
        assert_problem(buyer.post(path, headers=stale), 409, "VERSION_CONFLICT")
        assert shop.head() == head
        key = {"Idempotency-Key": uuid.uuid4().hex}
        first = admin.post(path, {"reason": "Fraud"}, headers=key)
        assert (first.status_code, first.json()["cancelledBy"]) == (200, "admin")
        again = admin.post(path, {"reason": "Fraud"}, headers=key)
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")

    def test_at_the_moment_it_is_paid_it_is_neither_sold_nor_charged(
        self, shop: Shop, product: dict[str, Any]
    ) -> None:
        buyers = [shop.client(token) for token in shop.tokens(4)]
        placed = [order(buyer, product, 1) for buyer in buyers]

        def paying(number: int) -> None:
            intent = placed[number]["paymentIntentId"]
            body = {"paymentMethodId": "pm_card_visa"}
            buyers[number].post(f"/payments/intents/{intent}/confirm", body)

        def cancelling(number: int) -> None:
            assert buyers[number].post(f"/orders/{placed[number]['id']}/cancel").status_code == 200

        threads = [
            threading.Thread(target=what, args=(number,))
            for number in range(4)
            for what in (paying, cancelling)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for buyer, each in zip(buyers, placed, strict=True):
            intent = f"payment_intents/{each['paymentIntentId']}"

            def settled(buyer: Client = buyer, each: dict[str, Any] = each, intent: str = intent) -> bool:
                if at_stripe(shop, intent)["status"] == "canceled":
                    return True
                return bool(buyer.get(f"/orders/{each['id']}").json()["paymentStatus"] == "refunded")

            soon(settled, "the end of it")
            assert buyer.get(f"/orders/{each['id']}").json()["status"] == "cancelled"
        assert stock(shop, product) == 10


class TestByTime:
    def test_who_does_not_pay_loses_the_order_and_who_has_paid_keeps_it(
        self, shop: Shop, product: dict[str, Any], buyer: Client
    ) -> None:
        paid, unpaid = order(buyer, product, 3), order(buyer, product, 1)
        pay(buyer, paid)

        def timed_out() -> bool:
            run_scheduler(shop)
            return bool(buyer.get(f"/orders/{unpaid['id']}").json()["status"] == "cancelled")

        soon(timed_out, "the end of patience", within=40)
        seen = buyer.get(f"/orders/{unpaid['id']}").json()
        assert (seen["cancelReason"], seen["cancelledBy"]) == ("payment_timeout", "payment_timeout")
        assert at_stripe(shop, f"payment_intents/{unpaid['paymentIntentId']}")["status"] == "canceled"
        assert buyer.get(f"/orders/{paid['id']}").json()["status"] == "processing"
        assert stock(shop, product) == 7
