"""The acceptance list of what goes back, and of invoices: goods, money and paper, over HTTP, with a reactor at work."""

import asyncio
import io
import shutil
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from application.bootstrap import write_side
from application.ports import Metadata
from domain.accounts.events import Role
from domain.kernel import OrderId, stream_id
from domain.orders.events import OrderEvent, OrderStatus
from domain.orders.order import ORDERS, Order
from domain.paying import NO_ORDER
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS, Payment
from tests.api.shop import ADDRESS, PASSWORD, Client, Shop, a_product, assert_problem, soon
from tests.api.test_contract_accounts import assert_shows
from tests.conftest import FreshDatabase

RETURN = {
    "id": str,
    "orderId": str,
    "status": "requested",
    "reason": "It does not fit",
    "items": [{"id": int, "productId": int, "title": str, "quantity": int}],
    "createdAt": str,
}
REFUND = {"id": str, "amount": (int, float), "reason": str, "status": str, "createdAt": str}
WHY = {"reason": "It does not fit"}
MISSING = "ORD-1999010101"


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    """With a reactor."""
    folder = servers_folder / "returns"
    with fresh_database() as url, Shop(url, folder) as shop, shop.also("workers.reactor"):
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
def buyer(shop: Shop) -> Client:
    return shop.user()


@pytest.fixture
def product(admin: Client, category: str) -> dict[str, Any]:
    return admin.made("/products/add", a_product(category, price=20, discountPercentage=0, stock=10))


def a_seller(shop: Shop) -> Client:
    registration = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    made = shop.guest.made("/auth/signup", {**registration, "username": f"s{uuid.uuid4().hex[:12]}"})
    return shop.client(made["token"])


def offered_by(seller: Client, category: str) -> dict[str, Any]:
    wanted = a_product(category, price=20, discountPercentage=0, stock=10, status="active")
    return seller.made("/products", wanted)


def bought(
    buyer: Client,
    *products: dict[str, Any],
    quantity: int = 3,
    pay: bool = True,
    card: str = "pm_card_visa",
) -> dict[str, Any]:
    lines = [{"id": product["id"], "quantity": quantity} for product in products]
    placed = buyer.made("/orders", {"products": lines, "shippingAddress": ADDRESS})
    if pay:
        confirm = f"/payments/intents/{placed['paymentIntentId']}/confirm"
        assert buyer.made(confirm, {"paymentMethodId": card})["status"] == "succeeded"
    return placed


def deliver(shop: Shop, placed: dict[str, Any], *parcels: int) -> None:
    """Into the log itself: how orders are sent and arrive is not what these tests are about."""

    async def arrive() -> None:
        async with write_side(shop.settings) as write:

            def arrived(order: Order | None) -> list[OrderEvent]:
                assert order is not None
                numbers = parcels or tuple(parcel.number for parcel in order.parcels)
                now = write.clock.now()
                return order.advance(OrderStatus.DELIVERED, now, parcels=numbers, may_skip=True)

            order_id = OrderId(uuid.UUID(placed["uuid"]))
            await write.store.change(ORDERS, order_id, arrived, Metadata(actor="tests"))

    shop.run(arrive())


def ask_back(shop: Shop, intent_id: str) -> None:
    """As it is done with what nobody has placed an order with, when enough time has passed."""

    async def ask() -> None:
        async with write_side(shop.settings) as write:

            def asked(payment: Payment | None) -> list[PaymentEvent]:
                assert payment is not None
                return payment.request_refund(payment.refundable, NO_ORDER)

            metadata = Metadata(actor="tests")
            await write.store.change(PAYMENTS, stream_id("payment", intent_id), asked, metadata)

    shop.run(ask())


def stock(shop: Shop, product: dict[str, Any]) -> int:
    headers = {"X-Min-Log-Position": str(shop.head())}
    left: int = shop.guest.get(f"/products/{product['id']}", headers=headers).json()["stock"]
    return left


def text_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/pdf"
    pages = PdfReader(io.BytesIO(answer.content)).pages
    return " ".join(" ".join(page.extract_text().split()) for page in pages)


class TestAskingForIt:
    @pytest.mark.parametrize("row", ["S2-ORD-10"])
    def test_row(self, shop: Shop, buyer: Client, product: dict[str, Any], row: str) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        asked = {**WHY, "items": [{"id": product["id"], "quantity": 2}]}
        answer = buyer.post(f"/orders/{placed['id']}/return", asked)
        assert answer.status_code == 201, answer.text
        assert_shows(answer.json(), {**RETURN, "orderId": placed["id"]})
        (item,) = answer.json()["items"]
        assert (item["productId"], item["quantity"], item["title"]) == (product["id"], 2, product["title"])
        assert buyer.get(f"/orders/{placed['uuid']}/returns").json() == [answer.json()]

    def test_by_every_spelling_and_of_all_that_is_left(
        self, shop: Shop, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        path = f"/orders/{placed['uuid']}/return"
        for item in ({"product_id": product["uuid"], "qty": 1}, {"productId": product["slug"]}):
            assert buyer.made(path, {**WHY, "items": [item]})["items"][0]["quantity"] == 1
        assert buyer.made(f"/orders/{placed['id']}/returns", WHY)["items"][0]["quantity"] == 1
        assert_problem(buyer.post(path, WHY), 422, "ORDER_CANNOT_RETURN", "status")
        assert len(buyer.get(f"/orders/{placed['id']}/returns").json()) == 3

    def test_is_refused_to_others_and_for_what_makes_no_sense(
        self, shop: Shop, admin: Client, category: str, buyer: Client, product: dict[str, Any]
    ) -> None:
        other = admin.made("/products/add", a_product(category))
        placed = bought(buyer, product)
        path = f"/orders/{placed['id']}/return"
        assert_problem(shop.guest.post(path, WHY), 401, "UNAUTHORIZED")
        assert_problem(shop.user().post(path, WHY), 403, "FORBIDDEN")
        assert_problem(buyer.post(f"/orders/{MISSING}/return", WHY), 404, "ORDER_NOT_FOUND")
        assert_problem(buyer.post(path, WHY), 422, "ORDER_CANNOT_RETURN", "status")
        deliver(shop, placed)
        for body, field in (
            ({}, "reason"),
            ({"reason": " "}, "reason"),
            ({"reason": 7}, "reason"),
            ({"reason": "x" * 1001}, "reason"),
            ({**WHY, "items": []}, "items"),
            ({**WHY, "items": "all"}, "items"),
            ({**WHY, "items": [{"quantity": 1}]}, "items[0].productId"),
            ({**WHY, "items": [{"id": product["id"], "quantity": 0}]}, "items[0].quantity"),
            ({**WHY, "items": [{"id": other["id"], "quantity": 1}]}, "items"),
        ):
            assert_problem(buyer.post(path, body), 400, "VALIDATION_ERROR", field)
        too_many = {**WHY, "items": [{"id": product["id"], "quantity": 4}]}
        refused = assert_problem(buyer.post(path, too_many), 422, "ORDER_CANNOT_RETURN", "items")
        assert refused["details"]["items"] == [{"productId": product["id"], "returnable": 3}]
        assert buyer.get(f"/orders/{placed['id']}/returns").json() == []

    def test_once_by_its_key(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        key = {"Idempotency-Key": uuid.uuid4().hex}
        body = {**WHY, "items": [{"id": product["id"], "quantity": 1}]}
        first, again = [buyer.post(f"/orders/{placed['id']}/return", body, headers=key) for _ in range(2)]
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
        assert len(buyer.get(f"/orders/{placed['id']}/returns").json()) == 1


class TestItsWay:
    def test_goods_and_money_come_back(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        assert stock(shop, product) == 7
        asked = buyer.made(
            f"/orders/{placed['id']}/return", {**WHY, "items": [{"id": product["id"], "quantity": 2}]}
        )
        path = f"/orders/{placed['id']}/returns/{asked['id']}"
        approved = admin.made(f"{path}/approve")
        assert (approved["status"], approved["resolvedAt"] is not None) == ("approved", True)
        received = admin.made(f"{path}/receive")
        worth = 2 * 20 + 3.2  # with its part of the tax
        assert (received["status"], received["refundAmount"], received["restocked"]) == (
            "received",
            worth,
            True,
        )
        assert stock(shop, product) == 9
        assert admin("PUT", f"{path}/receive").json()["refundAmount"] == worth
        assert stock(shop, product) == 9

        def seen() -> dict[str, Any]:
            body: dict[str, Any] = buyer.get(f"/orders/{placed['id']}/returns").json()[0]
            return body

        soon(lambda: seen()["status"] == "refunded", "the refund")
        order = buyer.get(f"/orders/{placed['id']}").json()
        assert (order["paymentStatus"], order["refundedAmount"]) == ("partially_refunded", worth)
        (refund,) = buyer.get(f"/orders/{placed['id']}/refunds").json()
        assert_shows(refund, {**REFUND, "amount": worth, "reason": "order_returned", "status": "succeeded"})
        assert refund["id"] == seen()["refundId"]
        # What is left of it comes to what is left of the money, to the cent.
        rest = buyer.made(f"/orders/{placed['id']}/return", WHY)
        admin.made(f"/orders/{placed['id']}/returns/{rest['id']}/receive")
        soon(lambda: buyer.get(f"/orders/{placed['id']}").json()["paymentStatus"] == "refunded", "the rest")
        assert buyer.get(f"/orders/{placed['id']}").json()["refundedAmount"] == placed["total"]
        assert stock(shop, product) == 10

    def test_by_the_status_that_it_is_to_have(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        asked = buyer.made(f"/orders/{placed['id']}/return", WHY)
        path = f"/orders/{placed['id']}/returns/{asked['id']}"
        assert admin("PUT", path, json={"status": "approved"}).json()["status"] == "approved"
        for body, field in (
            ({}, "status"),
            ({"status": "refunded"}, "status"),
            ({"status": "received", "amount": -1}, "amount"),
            ({"status": "received", "amount": 1.234}, "amount"),
            ({"status": "received", "restock": "no"}, "restock"),
        ):
            assert_problem(admin.patch(path, body), 400, "VALIDATION_ERROR", field)
        too_much = {"status": "received", "amount": placed["total"] + 0.01}
        refused = assert_problem(admin.patch(path, too_much), 422, "REFUND_TOO_LARGE")
        assert refused["details"] == {"refundable": placed["total"]}
        received = admin.patch(path, {"status": "received", "restock": False, "amount": 12.5}).json()
        assert (received["status"], received["restocked"], received["refundAmount"]) == (
            "received",
            False,
            12.5,
        )
        assert stock(shop, product) == 7
        refused = assert_problem(admin.patch(path, {"status": "rejected"}), 422, "INVALID_STATUS_TRANSITION")

    def test_one_that_is_refused_says_why_and_can_be_asked_for_again(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        asked = buyer.made(f"/orders/{placed['id']}/return", WHY)
        path = f"/orders/{placed['id']}/returns/{asked['id']}"
        rejected = admin.made(f"{path}/reject", {"reason": "It was worn"})
        assert (rejected["status"], rejected["rejectionReason"]) == ("rejected", "It was worn")
        assert_problem(admin.post(f"{path}/approve"), 422, "INVALID_STATUS_TRANSITION", "returnStatus")
        assert buyer.post(f"/orders/{placed['id']}/return", WHY).status_code == 201

    def test_is_judged_by_who_sold_all_of_it(
        self, shop: Shop, admin: Client, category: str, buyer: Client, product: dict[str, Any]
    ) -> None:
        seller = a_seller(shop)
        own = offered_by(seller, category)
        placed = bought(buyer, own, product, quantity=1)
        deliver(shop, placed)
        path = f"/orders/{placed['id']}/returns"
        theirs = buyer.made(path, {**WHY, "items": [{"id": own["id"]}]})
        others = buyer.made(path, {**WHY, "items": [{"id": product["id"]}]})
        for refused in (
            seller.post(f"{path}/{others['id']}/approve"),
            buyer.post(f"{path}/{theirs['id']}/approve"),
            a_seller(shop).post(f"{path}/{theirs['id']}/approve"),
            seller.post(f"{path}/{theirs['id']}/receive", {"amount": 1}),
        ):
            assert_problem(refused, 403, "FORBIDDEN")
        assert_problem(shop.guest.post(f"{path}/{theirs['id']}/approve"), 401, "UNAUTHORIZED")
        for missing in (uuid.UUID(int=7), "7", "none"):
            assert_problem(admin.post(f"{path}/{missing}/approve"), 404, "RETURN_NOT_FOUND")
        assert_problem(
            admin.post(f"/orders/{MISSING}/returns/{theirs['id']}/approve"), 404, "ORDER_NOT_FOUND"
        )
        assert buyer.get(path).json() == [theirs, others]
        seen = {"X-Min-Log-Position": str(shop.head())}
        assert [each["id"] for each in seller.get(path, headers=seen).json()] == [theirs["id"]]
        listed = seller.get("/sellers/me/returns", headers=seen).json()
        assert ([each["id"] for each in listed["returns"]], listed["total"]) == ([theirs["id"]], 1)
        stale = {"If-Match": '"1"'}
        assert_problem(seller.post(f"{path}/{theirs['id']}/approve", headers=stale), 409, "VERSION_CONFLICT")
        assert seller.made(f"{path}/{theirs['id']}/receive")["status"] == "received"
        assert_problem(shop.user().get(path), 403, "FORBIDDEN")
        assert_problem(shop.guest.get(path), 401, "UNAUTHORIZED")
        assert_problem(buyer.get(f"/orders/{MISSING}/returns"), 404, "ORDER_NOT_FOUND")

    def test_at_once_it_is_received_once(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        asked = buyer.made(f"/orders/{placed['id']}/return", WHY)
        path = f"/orders/{placed['id']}/returns/{asked['id']}/receive"
        clients = [shop.client(admin.token) for _ in range(4)]
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda client=client: statuses.append(client.post(path).status_code))
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 4
        assert stock(shop, product) == 10
        assert len(buyer.get(f"/orders/{placed['id']}/refunds").json()) == 1


class TestTheList:
    def test_of_admins_in_all_three_styles(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product)
        deliver(shop, placed)
        item = {"items": [{"id": product["id"], "quantity": 1}]}
        asked = [buyer.made(f"/orders/{placed['id']}/return", {**WHY, **item})["id"] for _ in range(3)]
        admin.made(f"/orders/{placed['id']}/returns/{asked[1]}/approve")
        newest = admin.get("/admin/returns?limit=3").json()
        assert [each["id"] for each in newest["returns"]] == asked[::-1]
        assert (newest["skip"], newest["limit"]) == (0, 3)
        paged = admin.get("/admin/returns?page=1&limit=2").json()
        assert [each["id"] for each in paged["data"]] == [asked[2], asked[1]]
        assert paged["pagination"]["total"] >= 3
        first = admin.get("/admin/returns?cursor=&limit=2").json()
        behind = admin.get(f"/admin/returns?cursor={first['nextCursor']}&limit=2").json()
        assert [each["id"] for each in (*first["returns"], *behind["returns"])][:3] == asked[::-1]
        approved = admin.get("/admin/returns?status=approved").json()["returns"]
        assert {each["status"] for each in approved} == {"approved"}
        assert asked[1] in [each["id"] for each in approved]

    def test_is_for_those_whom_it_concerns(self, shop: Shop, admin: Client, buyer: Client) -> None:
        assert_problem(shop.guest.get("/admin/returns"), 401, "UNAUTHORIZED")
        assert_problem(buyer.get("/admin/returns"), 403, "FORBIDDEN")
        assert_problem(buyer.get("/sellers/me/returns"), 403, "FORBIDDEN")
        assert_problem(admin.get("/admin/returns?status=lost"), 400, "VALIDATION_ERROR", "status")
        assert_problem(admin.get("/admin/returns?cursor=x"), 400, "VALIDATION_ERROR", "cursor")


class TestRefunds:
    def test_in_part_and_then_all_that_is_left(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product)
        path = f"/orders/{placed['id']}/refunds"
        key = {"Idempotency-Key": uuid.uuid4().hex}
        part = admin.post(path, {"amount": 12.5, "reason": "It was late"}, headers=key)
        assert part.status_code == 201, part.text
        assert_shows(part.json(), {**REFUND, "amount": 12.5, "reason": "It was late", "status": "requested"})
        again = admin.post(path, {"amount": 12.5, "reason": "It was late"}, headers=key)
        assert again.content == part.content

        def order() -> dict[str, Any]:
            body: dict[str, Any] = buyer.get(f"/orders/{placed['id']}").json()
            return body

        soon(lambda: order()["paymentStatus"] == "partially_refunded", "the refund")
        assert order()["refundedAmount"] == 12.5
        left = round(placed["total"] - 12.5, 2)
        refused = admin.post(path, {"amount": round(left + 0.01, 2), "reason": "x"})
        assert assert_problem(refused, 422, "REFUND_TOO_LARGE")["details"] == {"refundable": left}
        assert admin.made(path, {"reason": "It was lost"})["amount"] == left
        soon(lambda: order()["paymentStatus"] == "refunded", "the rest")
        assert_problem(admin.post(path, {"reason": "x"}), 422, "REFUND_TOO_LARGE")
        listed = buyer.get(path).json()
        assert [(each["amount"], each["status"]) for each in listed] == [
            (12.5, "succeeded"),
            (left, "succeeded"),
        ]
        seen = {"X-Min-Log-Position": str(shop.head())}
        kept = admin.get("/admin/refunds?status=succeeded", headers=seen).json()["refunds"]
        newest = {each["orderId"]: each["amount"] for each in kept[::-1]}
        assert newest[placed["id"]] == left
        retry = admin.post(f"{path}/{listed[0]['id']}/retry")
        assert_problem(retry, 422, "REFUND_NOT_FAILED", "status")
        assert_problem(admin.post(f"{path}/none/retry"), 404, "REFUND_NOT_FOUND")

    def test_are_for_admins_and_of_what_was_paid(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product, pay=False)
        path = f"/orders/{placed['id']}/refunds"
        assert_problem(shop.guest.post(path, WHY), 401, "UNAUTHORIZED")
        assert_problem(buyer.post(path, WHY), 403, "FORBIDDEN")
        assert_problem(buyer.post(f"{path}/x/retry"), 403, "FORBIDDEN")
        of_payment = f"/admin/payments/{placed['paymentIntentId']}/refunds/x/retry"
        assert_problem(shop.guest.post(of_payment), 401, "UNAUTHORIZED")
        for other in (buyer, shop.staff(Role.SELLER), shop.staff(Role.AUDITOR)):
            assert_problem(other.post(of_payment), 403, "FORBIDDEN")
        assert_problem(buyer.get("/admin/refunds"), 403, "FORBIDDEN")
        assert_problem(shop.guest.get("/admin/refunds"), 401, "UNAUTHORIZED")
        assert_problem(admin.get("/admin/refunds?status=lost"), 400, "VALIDATION_ERROR", "status")
        assert_problem(shop.user().get(path), 403, "FORBIDDEN")
        assert_problem(shop.guest.get(path), 401, "UNAUTHORIZED")
        assert_problem(admin.get(f"/orders/{MISSING}/refunds"), 404, "ORDER_NOT_FOUND")
        assert_problem(admin.post(f"/orders/{MISSING}/refunds", WHY), 404, "ORDER_NOT_FOUND")
        assert_problem(admin.post(path, WHY), 422, "NOT_PAID")
        for body, field in (
            ({}, "reason"),
            ({"reason": ""}, "reason"),
            ({**WHY, "amount": 0}, "amount"),
            ({**WHY, "amount": 1.001}, "amount"),
            ({**WHY, "amount": "all"}, "amount"),
        ):
            assert_problem(admin.post(path, body), 400, "VALIDATION_ERROR", field)
        assert buyer.get(path).json() == []


class TestMoneyThatTakesItsTime:
    """Or comes back: what the provider says of it days later."""

    @pytest.fixture(autouse=True)
    def only_when_told(self, shop: Shop) -> None:
        stripe = shop.client(shop.stripe.key, origin=shop.stripe.url)
        paced = stripe.post(f"{shop.stripe.url}/simulator/pace", {"settle_after": None})
        assert paced.status_code == 200, paced.text

    @staticmethod
    def settle(shop: Shop, placed: dict[str, Any], outcome: str) -> None:
        stripe = shop.client(shop.stripe.key, origin=shop.stripe.url)
        url = shop.stripe.url
        sent = stripe.get(f"{url}/v1/refunds?payment_intent={placed['paymentIntentId']}").json()["data"]
        settled = stripe("POST", f"{url}/simulator/refunds/{sent[0]['id']}/settle", data={"outcome": outcome})
        assert settled.status_code == 200, settled.text

    def test_is_sent_when_the_provider_says_so(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product, card="pm_card_pendingRefund")
        path = f"/orders/{placed['id']}/refunds"
        admin.made(path, {"amount": 5, "reason": "It was late"})
        stripe = shop.client(shop.stripe.key, origin=shop.stripe.url)
        asked = f"{shop.stripe.url}/v1/refunds?payment_intent={placed['paymentIntentId']}"
        soon(lambda: bool(stripe.get(asked).json()["data"]), "the refund at the provider")
        assert [each["status"] for each in buyer.get(path).json()] == ["requested"]
        assert buyer.get(f"/orders/{placed['id']}").json()["paymentStatus"] == "paid"
        self.settle(shop, placed, "succeeded")

        def order() -> dict[str, Any]:
            body: dict[str, Any] = buyer.get(f"/orders/{placed['id']}").json()
            return body

        soon(lambda: order()["paymentStatus"] == "partially_refunded", "the provider's word")
        assert order()["refundedAmount"] == 5
        assert [each["status"] for each in buyer.get(path).json()] == ["succeeded"]

    def test_that_did_not_arrive_is_with_us_again_and_is_sent_once_more(
        self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any]
    ) -> None:
        placed = bought(buyer, product, card="pm_card_refundFail")
        deliver(shop, placed)
        asked = buyer.made(f"/orders/{placed['id']}/return", WHY)
        admin.made(f"/orders/{placed['id']}/returns/{asked['id']}/receive")

        def order() -> dict[str, Any]:
            body: dict[str, Any] = buyer.get(f"/orders/{placed['id']}").json()
            return body

        soon(lambda: order()["paymentStatus"] == "refunded", "the refund")
        self.settle(shop, placed, "failed")
        soon(lambda: order()["paymentStatus"] == "paid", "its failure")
        path = f"/orders/{placed['id']}/refunds"
        (refund,) = buyer.get(path).json()
        assert (refund["status"], order()["returnStatus"]) == ("failed", "received")
        seen = {"X-Min-Log-Position": str(shop.head())}
        failed = admin.get("/admin/refunds?status=failed", headers=seen).json()["refunds"]
        assert placed["id"] in [each["orderId"] for each in failed]
        again = admin.made(f"{path}/{refund['id']}/retry")
        assert (again["retryOf"], again["amount"]) == (refund["id"], refund["amount"])
        soon(lambda: order()["paymentStatus"] == "refunded", "the second try")
        assert order()["returnStatus"] == "refunded"
        assert admin.made(f"{path}/{refund['id']}/retry")["id"] == again["id"]

    def test_is_sent_once_more_though_there_is_no_order(
        self, shop: Shop, admin: Client, buyer: Client
    ) -> None:
        intent_id = buyer.made("/payments/intents", {"amount": 700})["id"]
        paying = {"paymentMethodId": "pm_card_refundFail"}
        buyer.made(f"/payments/intents/{intent_id}/confirm", paying)
        ask_back(shop, intent_id)

        def refunds() -> list[dict[str, Any]]:
            seen = {"X-Min-Log-Position": str(shop.head())}
            found: list[dict[str, Any]] = admin.get(f"/admin/payments/{intent_id}", headers=seen).json()[
                "refunds"
            ]
            return found

        soon(lambda: [each["status"] for each in refunds()] == ["succeeded"], "the refund")
        (refund,) = refunds()
        path = f"/admin/payments/{intent_id}/refunds"
        retry = admin.post(f"{path}/{refund['id']}/retry")
        assert_problem(retry, 422, "REFUND_NOT_FAILED", "status")
        self.settle(shop, {"paymentIntentId": intent_id}, "failed")
        soon(lambda: [each["status"] for each in refunds()] == ["failed"], "its failure")
        seen = {"X-Min-Log-Position": str(shop.head())}
        failed = admin.get("/admin/refunds?status=failed", headers=seen).json()["refunds"]
        assert [(each["id"], each["orderId"]) for each in failed if each["paymentIntentId"] == intent_id] == [
            (refund["id"], None)
        ]
        key = {"Idempotency-Key": uuid.uuid4().hex}
        again = admin.post(f"{path}/{refund['id']}/retry", headers=key)
        assert again.status_code == 200, again.text
        assert again.json() == {
            "id": f"{intent_id}-2",
            "paymentIntentId": intent_id,
            "amount": 7,
            "currency": "USD",
            "reason": "no_order",
            "status": "requested",
            "failureReason": None,
            "retryOf": refund["id"],
            "createdAt": None,
        }
        assert admin.post(f"{path}/{refund['id']}/retry", headers=key).content == again.content
        assert admin.made(f"{path}/{refund['id']}/retry")["id"] == again.json()["id"]
        soon(lambda: [each["status"] for each in refunds()] == ["failed", "succeeded"], "the second try")
        assert_problem(admin.post(f"{path}/none/retry"), 404, "REFUND_NOT_FOUND")
        other = admin.post(f"/admin/payments/pi_none/refunds/{refund['id']}/retry")
        assert_problem(other, 404, "PAYMENT_NOT_FOUND")


class TestInvoices:
    @pytest.mark.parametrize("row", ["S2-ORD-08"])
    def test_row(self, shop: Shop, admin: Client, buyer: Client, product: dict[str, Any], row: str) -> None:
        placed = bought(buyer, product)
        path = f"/orders/{placed['id']}/invoice"

        def issued() -> bool:
            return "Invoice INV-" in text_of(buyer.get(path))

        soon(issued, "the invoice")
        answer = buyer.get(path, headers={"Accept": "application/pdf"})
        disposition = f'attachment; filename="invoice-{placed["id"]}.pdf"'
        assert answer.headers["content-disposition"] == disposition
        said = text_of(answer)
        for part in (
            f"Order number {placed['id']}",
            "Sold by Tradelog",
            "123 Main St 10001 New York USA",
            f"{product['title']} 3 20.00 60.00",
            "Subtotal 60.00",
            "Total",
        ):
            assert part in said, part
        assert f"Total {placed['total']:,.2f}" in said
        for name, client in ((placed["uuid"], buyer), (placed["id"], admin)):
            assert client.get(f"/orders/{name}/invoice").content == answer.content
        snake = buyer.get(path, headers={"Accept": "application/json; case=snake"})
        assert snake.content == answer.content

    def test_numbers_have_no_holes(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        placed = [bought(buyer, product, quantity=1) for _ in range(3)]

        def number(order: dict[str, Any]) -> int:
            _, _, after = text_of(buyer.get(f"/orders/{order['id']}/invoice")).partition("Invoice INV-2")
            return int(after[4:10]) if after[4:10].isdigit() else 0

        soon(lambda: all(number(order) for order in placed), "the invoices")
        numbers = sorted(number(order) for order in placed)
        assert numbers == list(range(numbers[0], numbers[0] + 3))

    def test_of_what_is_not_paid_is_none(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        placed = bought(buyer, product, pay=False)
        said = text_of(buyer.get(f"/orders/{placed['id']}/invoice"))
        assert said.startswith("Pro forma invoice This is not an invoice: the order is not paid.")

    def test_is_refused_to_others(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        placed = bought(buyer, product, pay=False)
        path = f"/orders/{placed['id']}/invoice"
        assert_problem(shop.guest.get(path), 401, "UNAUTHORIZED")
        assert_problem(shop.user().get(path), 403, "FORBIDDEN")
        assert_problem(buyer.get(f"/orders/{MISSING}/invoice"), 404, "ORDER_NOT_FOUND")
        assert_problem(buyer.get("/orders/none/invoice"), 404, "ORDER_NOT_FOUND")

    def test_many_at_once(self, shop: Shop, buyer: Client, product: dict[str, Any]) -> None:
        placed = bought(buyer, product, pay=False)
        url = f"{shop.origin}/api/v1/orders/{placed['id']}/invoice"

        async def ask() -> list[httpx.Response]:
            headers = {"Authorization": f"Bearer {buyer.token}"}
            async with httpx.AsyncClient(headers=headers, timeout=30) as http:
                return await asyncio.gather(*(http.get(url) for _ in range(12)))

        answers = shop.run(ask())
        assert len({answer.content for answer in answers}) == 1
