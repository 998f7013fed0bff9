"""The acceptance list of payments: intents both ways, confirming, and what Stripe says, against its simulator."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from application.bootstrap import write_side
from domain.kernel import stream_id
from projections.bootstrap import read_side
from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem, soon
from tests.api.test_contract_accounts import is_like
from workers.local.stripe_simulator import StripeSimulator, signature
from workers.reconciling import reconcile_payments

PRICE = 1199.99
TOTAL = 122_471
"""Cents of one product with its discount, its tax, and no shipping."""

PAYMENT = {
    "id",
    "clientSecret",
    "orderId",
    "amount",
    "currency",
    "status",
    "brand",
    "last4",
    "paymentUrl",
    "nextAction",
    "failureCode",
    "failureMessage",
    "refunds",
    "createdAt",
}
WEBHOOKS = ("/payments/stripe", "/payments/webhook", "/webhooks/stripe")

ROWS = (
    ("S0-ORD-02", "post", "/orders/{id}/confirm", ("200", "401", "403", "404", "409", "422")),
    ("S0-PAY-01", "post", "/payments/stripe", ("200",)),
    ("S1-ORD-04", "post", "/payments/webhook", ("200",)),
    ("S2-PAY-01", "post", "/payments/intents", ("201", "401", "403", "404", "422")),
    ("S2-PAY-02", "post", "/payments/intents/{id}/confirm", ("200", "401", "403", "404", "422")),
    ("S2-PAY-03", "get", "/payments/intents/{id}/status", ("200", "401", "403", "404")),
    ("S2-PAY-04", "post", "/payments/stripe", ("200",)),
    ("S3-PAY-01", "post", "/payments/stripe", ("200",)),
    ("S4-PAY-01", "post", "/payments/stripe", ("200",)),
    ("admin list", "get", "/admin/payments", ("200", "401", "403")),
    ("admin one", "get", "/admin/payments/{id}", ("200", "401", "403", "404")),
    (
        "admin retry",
        "post",
        "/admin/payments/{id}/refunds/{id}/retry",
        ("200", "401", "403", "404", "422"),
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_description_knows_every_row_and_every_refusal(
    shop: Shop, row: tuple[str, str, str, tuple[str, ...]]
) -> None:
    _, method, path, statuses = row
    paths = httpx.get(f"{shop.origin}/docs/json").json()["paths"]
    (operation,) = (
        operations[method]
        for template, operations in paths.items()
        if method in operations
        and template.count("{") == path.count("{")
        and is_like(path, template.removeprefix("/api/v1"))
    )
    assert set(statuses) <= operation["responses"].keys()


def an_order(product: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    return {"products": [{"id": product["id"], "quantity": 1}], "shippingAddress": ADDRESS, **fields}


def with_key(**headers: str) -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex, **headers}


@pytest.fixture
def order(buyer: Client, product: dict[str, Any]) -> dict[str, Any]:
    return buyer.made("/orders", an_order(product))


@pytest.fixture
def intent(buyer: Client) -> dict[str, Any]:
    """Prepared before there is an order."""
    return buyer.made("/payments/intents", {"amount": TOTAL, "currency": "usd"})


def at_the_simulator(shop: Shop, path: str, **form: str) -> dict[str, Any]:
    answered = httpx.post(
        f"{shop.stripe.url}{path}", data=form, headers={"Authorization": f"Bearer {shop.stripe.key}"}
    )
    assert answered.status_code == 200, answered.text
    body: dict[str, Any] = answered.json()
    return body


def seen_by(client: Client, shop: Shop, path: str) -> dict[str, Any]:
    """As it is after all that has happened so far."""
    answered = client.get(path, headers={"X-Min-Log-Position": str(shop.head())})
    assert answered.status_code == 200, answered.text
    body: dict[str, Any] = answered.json()
    return body


def is_paid(client: Client, shop: Shop, order: Mapping[str, Any]) -> bool:
    return bool(seen_by(client, shop, f"/orders/{order['id']}")["paymentStatus"] == "paid")


class TestS2Pay01Intents:
    def test_for_an_order(self, buyer: Client, order: dict[str, Any]) -> None:
        body = {"amount": TOTAL, "currency": "usd", "metadata": {"orderId": order["id"], "customerId": "7"}}
        made = buyer.post("/payments/intents", body)
        assert made.status_code == 201
        intent = made.json()
        assert set(intent) == PAYMENT
        assert intent["id"] == order["paymentIntentId"]
        assert intent["id"].startswith("pi_")
        assert (intent["orderId"], intent["amount"], intent["currency"]) == (order["id"], TOTAL, "usd")
        assert intent["status"] == "requires_payment_method"
        assert buyer.made("/payments/intents", {**body, "metadata": {"order_id": order["uuid"]}}) == intent

    def test_before_the_order(self, shop: Shop, buyer: Client, admin: Client) -> None:
        headers = with_key()
        first = buyer.post("/payments/intents", {"amount": TOTAL}, headers=headers)
        again = buyer.post("/payments/intents", {"amount": TOTAL}, headers=headers)
        assert (first.status_code, again.json()) == (201, first.json())
        intent = first.json()
        assert set(intent) == PAYMENT
        assert (intent["orderId"], intent["status"]) == (None, "requires_payment_method")
        assert intent["clientSecret"]
        kept = at_stripe(shop, intent["id"])
        me = buyer.get("/users/me").json()
        assert kept["metadata"] == {"accountUuid": me["uuid"]}
        shown = seen_by(admin, shop, f"/admin/payments/{intent['id']}")
        assert (shown["userId"], shown["orderUuid"], shown["unsettled"]) == (me["id"], None, True)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({}, "amount"),
            ({"amount": 0}, "amount"),
            ({"amount": -1}, "amount"),
            ({"amount": 49}, "amount"),
            ({"amount": 100_000_000}, "amount"),
            ({"amount": 12.5}, "amount"),
            ({"amount": "100"}, "amount"),
            ({"amount": True}, "amount"),
            ({"amount": 10**30}, "amount"),
            ({"amount": 100, "currency": "eur"}, "currency"),
            ({"amount": 100, "currency": "dollars"}, "currency"),
            ({"amount": 100, "metadata": "order"}, "metadata"),
        ],
    )
    def test_refuses_what_cannot_be_taken(
        self, shop: Shop, buyer: Client, body: dict[str, Any], field: str
    ) -> None:
        head = shop.head()
        assert_problem(buyer.post("/payments/intents", body), 400, "VALIDATION_ERROR", field)
        assert shop.head() == head

    def test_refuses_another_amount_and_others_orders(
        self, shop: Shop, buyer: Client, order: dict[str, Any]
    ) -> None:
        body = {"amount": TOTAL - 1, "metadata": {"orderId": order["id"]}}
        head = shop.head()
        assert_problem(buyer.post("/payments/intents", body), 422, "PAYMENT_AMOUNT_MISMATCH", "amount")
        assert shop.head() == head
        assert_problem(shop.user().post("/payments/intents", body), 403, "FORBIDDEN")
        assert_problem(shop.guest.post("/payments/intents", body), 401, "UNAUTHORIZED")
        unknown = {"amount": TOTAL, "metadata": {"orderId": "ORD-1999010101"}}
        assert_problem(buyer.post("/payments/intents", unknown), 404, "ORDER_NOT_FOUND")


class TestOrdersWithAnIntent:
    def test_are_paid_by_it(
        self, shop: Shop, buyer: Client, product: dict[str, Any], intent: dict[str, Any]
    ) -> None:
        order = buyer.made("/orders", an_order(product, paymentIntentId=intent["id"]))
        assert (order["paymentIntentId"], order["paymentStatus"]) == (intent["id"], "pending")
        assert order["paymentIntent"]["orderId"] == order["id"]
        assert order["clientSecret"] == intent["clientSecret"]
        buyer.made(f"/payments/intents/{intent['id']}/confirm", {"paymentMethodId": "pm_card_visa"})
        assert is_paid(buyer, shop, order)

    def test_are_paid_at_once_by_what_was_confirmed_before(
        self, shop: Shop, buyer: Client, admin: Client, product: dict[str, Any], intent: dict[str, Any]
    ) -> None:
        path = f"/payments/intents/{intent['id']}"
        buyer.made(f"{path}/confirm", {"paymentMethodId": "pm_card_visa"})
        assert buyer.get(f"{path}/status").json() == {"status": "succeeded"}
        order = buyer.made("/orders", an_order(product, payment_intent_id=intent["id"]))
        assert (order["status"], order["paymentStatus"]) == ("processing", "paid")
        assert order["paymentIntent"]["status"] == "succeeded"
        stock = seen_by(admin, shop, f"/products/{product['id']}")["stock"]
        assert stock == product["stock"] - 1

    def test_refuse_what_is_not_theirs_to_pay_with(
        self, shop: Shop, buyer: Client, product: dict[str, Any], intent: dict[str, Any]
    ) -> None:
        theirs = shop.user().made("/payments/intents", {"amount": TOTAL})
        little = buyer.made("/payments/intents", {"amount": TOTAL - 1})
        taken = buyer.made("/payments/intents", {"amount": TOTAL})
        buyer.made("/orders", an_order(product, paymentIntentId=taken["id"]))
        head = shop.head()
        for named, field in (
            (theirs["id"], "paymentIntentId"),
            (little["id"], "amount"),
            (taken["id"], "paymentIntentId"),
        ):
            refused = buyer.post("/orders", an_order(product, paymentIntentId=named))
            assert_problem(refused, 422, "PAYMENT_AMOUNT_MISMATCH", field)
        refused = buyer.post("/orders", an_order(product, paymentIntentId="pi_unknown"))
        assert_problem(refused, 422, "PAYMENT_FAILED", "paymentIntentId")
        assert shop.head() == head

    def test_know_one_that_only_stripe_knows(
        self, shop: Shop, buyer: Client, product: dict[str, Any]
    ) -> None:
        made = at_the_simulator(
            shop,
            "/v1/payment_intents",
            amount=str(TOTAL),
            currency="usd",
            **{"automatic_payment_methods[enabled]": "true"},
        )
        order = buyer.made("/orders", an_order(product, paymentIntentId=made["id"]))
        assert (order["paymentIntentId"], order["paymentStatus"]) == (made["id"], "pending")


class TestS2Pay02Confirming:
    def test_a_good_card(self, shop: Shop, buyer: Client, order: dict[str, Any]) -> None:
        path = f"/payments/intents/{order['paymentIntentId']}"
        paid = buyer.post(f"{path}/confirm", {"payment_method_id": "pm_card_visa"})
        assert paid.status_code == 200
        body = paid.json()
        assert set(body) == PAYMENT
        assert (body["id"], body["status"]) == (order["paymentIntentId"], "succeeded")
        assert (body["amount"], body["currency"], body["brand"], body["last4"]) == (
            TOTAL,
            "usd",
            "visa",
            "4242",
        )
        assert is_paid(buyer, shop, order)
        assert buyer.made(f"{path}/confirm", {"paymentMethodId": "pm_card_visa"}) == body

    def test_a_declined_card_and_then_a_good_one(
        self, shop: Shop, buyer: Client, order: dict[str, Any]
    ) -> None:
        path = f"/payments/intents/{order['paymentIntentId']}"
        refused = buyer.post(f"{path}/confirm", {"paymentMethodId": "pm_card_chargeDeclined"})
        problem = assert_problem(refused, 422, "PAYMENT_FAILED", "code")
        assert problem["details"] == {"code": "card_declined"}
        assert buyer.get(f"{path}/status").json() == {"status": "failed"}
        shown = seen_by(buyer, shop, f"/orders/{order['id']}")
        assert (shown["status"], shown["paymentStatus"]) == ("pending", "failed")
        asked = {"amount": TOTAL, "metadata": {"orderId": order["id"]}}
        again = buyer.made("/payments/intents", asked)
        assert (again["id"], again["failureCode"]) == (order["paymentIntentId"], "card_declined")
        paid = buyer.made(f"{path}/confirm", {"paymentMethodId": "pm_card_mastercard"})
        assert (paid["status"], paid["failureCode"], paid["brand"]) == ("succeeded", None, "mastercard")
        assert is_paid(buyer, shop, order)

    @pytest.mark.parametrize("outcome", ["succeeded", "failed"])
    def test_a_card_that_needs_the_payer(
        self, shop: Shop, buyer: Client, order: dict[str, Any], outcome: str
    ) -> None:
        path = f"/payments/intents/{order['paymentIntentId']}"
        body = {"paymentMethodId": "pm_card_threeDSecure2Required"}
        waiting = buyer.made(f"{path}/confirm", body)
        assert waiting["status"] == "requires_confirmation"
        assert waiting["nextAction"] == {"type": "use_stripe_sdk", "url": None}
        assert waiting["paymentUrl"] is None
        sent = buyer.made(f"{path}/confirm", {**body, "returnUrl": "https://shop.example.com/orders"})
        assert sent["nextAction"] == {"type": "redirect_to_url", "url": sent["paymentUrl"]}
        assert order["paymentIntentId"] in sent["paymentUrl"]
        at_the_simulator(
            shop,
            f"/simulator/payment_intents/{order['paymentIntentId']}/authenticate",
            outcome=outcome,
        )
        soon(
            lambda: buyer.get(f"{path}/status").json() == {"status": outcome},
            "Stripe's message of how that ended",
        )
        assert is_paid(buyer, shop, order) == (outcome == "succeeded")

    def test_refusals(self, shop: Shop, buyer: Client, intent: dict[str, Any]) -> None:
        path = f"/payments/intents/{intent['id']}/confirm"
        card = {"paymentMethodId": "pm_card_visa"}
        head = shop.head()
        assert_problem(buyer.post(path, {}), 400, "VALIDATION_ERROR", "paymentMethodId")
        unsafe = {**card, "returnUrl": "javascript:alert(1)"}
        assert_problem(buyer.post(path, unsafe), 400, "VALIDATION_ERROR", "returnUrl")
        assert_problem(shop.guest.post(path, card), 401, "UNAUTHORIZED")
        assert_problem(shop.user().post(path, card), 403, "FORBIDDEN")
        unknown = buyer.post("/payments/intents/pi_none/confirm", card)
        assert_problem(unknown, 404, "PAYMENT_NOT_FOUND")
        no_card = buyer.post(path, {"paymentMethodId": "pm_none"})
        assert_problem(no_card, 400, "VALIDATION_ERROR", "payment_method")
        assert seen_by(buyer, shop, f"/payments/intents/{intent['id']}/status") == {
            "status": "requires_payment_method"
        }
        assert shop.head() >= head


class TestS2Pay03Status:
    def test_is_exactly_that(self, shop: Shop, buyer: Client, intent: dict[str, Any]) -> None:
        path = f"/payments/intents/{intent['id']}/status"
        assert buyer.get(path).json() == {"status": "requires_payment_method"}
        assert_problem(shop.guest.get(path), 401, "UNAUTHORIZED")
        assert_problem(shop.user().get(path), 403, "FORBIDDEN")
        assert_problem(buyer.get("/payments/intents/pi_none/status"), 404, "PAYMENT_NOT_FOUND")


class TestS0Ord02ConfirmingTheOrder:
    def test_is_so_when_stripe_says_so(self, shop: Shop, buyer: Client, order: dict[str, Any]) -> None:
        path = f"/orders/{order['id']}/confirm"
        refused = assert_problem(buyer.post(path), 409, "PAYMENT_NOT_SUCCEEDED", "paymentStatus")
        assert refused["details"] == {"paymentStatus": "pending"}
        at_the_simulator(
            shop,
            f"/v1/payment_intents/{order['paymentIntentId']}/confirm",
            payment_method="pm_card_visa",
        )
        headers = with_key()
        for body in (None, {"paymentIntentId": order["paymentIntentId"]}):
            confirmed = buyer.post(path, body)
            assert confirmed.status_code == 200
            assert confirmed.json()["id"] == order["id"]
            assert (confirmed.json()["status"], confirmed.json()["paymentStatus"]) == ("processing", "paid")
        answers = [buyer.post(path, headers=headers) for _ in range(2)]
        assert answers[0].json() == answers[1].json()
        assert buyer.post(f"/orders/{order['uuid']}/confirm").status_code == 200

    def test_pays_it_where_a_card_is_named(self, shop: Shop, buyer: Client, order: dict[str, Any]) -> None:
        path = f"/orders/{order['id']}/confirm"
        declined = buyer.post(path, {"paymentMethodId": "pm_card_chargeDeclined"})
        assert_problem(declined, 422, "PAYMENT_FAILED", "code")
        waiting = buyer.post(path, {"paymentMethodId": "pm_card_threeDSecure2Required"})
        assert_problem(waiting, 409, "PAYMENT_NOT_SUCCEEDED")
        headers = with_key()
        for _ in range(2):
            paid = buyer.post(path, {"paymentMethodId": "pm_card_visa"}, headers=headers)
            assert (paid.status_code, paid.json()["paymentStatus"]) == (200, "paid")

    def test_refusals(self, shop: Shop, buyer: Client, order: dict[str, Any], intent: dict[str, Any]) -> None:
        path = f"/orders/{order['id']}/confirm"
        assert_problem(shop.guest.post(path), 401, "UNAUTHORIZED")
        assert_problem(shop.user().post(path), 403, "FORBIDDEN")
        assert_problem(buyer.post("/orders/ORD-1999010101/confirm"), 404, "ORDER_NOT_FOUND")
        # S0 alone names this path, and has 422 for what is not valid (C4).
        assert_problem(buyer.post(path, {"paymentIntentId": 7}), 422, "VALIDATION_ERROR", "paymentIntentId")
        other = buyer.post(path, {"paymentIntentId": intent["id"]})
        assert_problem(other, 422, "PAYMENT_AMOUNT_MISMATCH", "paymentIntentId")
        buyer.made(f"/orders/{order['id']}/cancel")
        assert_problem(buyer.post(path), 409, "ORDER_ALREADY_FINAL")


def an_event(kind: str, about: Mapping[str, Any], **fields: Any) -> bytes:
    event = {
        "id": f"evt_{uuid.uuid4().hex}",
        "object": "event",
        "created": 1_700_000_000,
        "type": kind,
        "data": {"object": dict(about)},
        **fields,
    }
    return json.dumps(event).encode()


def sent(shop: Shop, body: bytes, path: str = "/payments/stripe") -> httpx.Response:
    headers = {
        "Stripe-Signature": signature(body, shop.stripe.webhook_secret),
        "Content-Type": "application/json",
    }
    return shop.guest("POST", path, content=body, headers=headers)


def at_stripe(shop: Shop, intent_id: str) -> dict[str, Any]:
    answered = httpx.get(
        f"{shop.stripe.url}/v1/payment_intents/{intent_id}",
        headers={"Authorization": f"Bearer {shop.stripe.key}"},
    )
    body: dict[str, Any] = answered.json()
    return body


def kept_events(shop: Shop, event_id: str) -> list[dict[str, Any]]:
    """What stands in the log of a message that was about nothing of ours."""
    with psycopg.connect(shop.database_url) as connection:
        rows = connection.execute(
            "SELECT state FROM stored_events WHERE originator_id = %s",
            [stream_id("provider-event", event_id)],
        ).fetchall()
    return [json.loads(bytes(state))["data"] for (state,) in rows]


class TestWebhooks:
    """S0-PAY-01, S1-ORD-04, S2-PAY-04, S3-PAY-01, S4-PAY-01."""

    @pytest.mark.parametrize("path", WEBHOOKS)
    def test_that_it_is_paid(
        self, shop: Shop, buyer: Client, admin: Client, order: dict[str, Any], path: str
    ) -> None:
        about = {**at_stripe(shop, order["paymentIntentId"]), "status": "succeeded"}
        body = an_event("payment_intent.succeeded", about)
        answered = sent(shop, body, path)
        assert (answered.status_code, answered.json()) == (200, {"received": True})
        head = shop.head()
        assert sent(shop, body, path).status_code == 200
        assert sent(shop, an_event("payment_intent.succeeded", about), path).status_code == 200
        assert shop.head() == head
        shown = seen_by(buyer, shop, f"/orders/{order['id']}")
        assert (shown["status"], shown["paymentStatus"]) == ("processing", "paid")

    @pytest.mark.parametrize("path", WEBHOOKS)
    def test_a_bad_signature(self, shop: Shop, order: dict[str, Any], path: str) -> None:
        body, head = an_event("payment_intent.succeeded", {"id": order["paymentIntentId"]}), shop.head()
        secret = shop.stripe.webhook_secret
        for signed in (signature(body, "whsec_another"), signature(body + b" ", secret), "", "t=1,v1=x"):
            headers = {"Stripe-Signature": signed, "Content-Type": "application/json"}
            refused = shop.guest("POST", path, content=body, headers=headers)
            assert_problem(refused, 400, "INVALID_SIGNATURE", "Stripe-Signature")
        assert shop.head() == head

    def test_every_word_of_it_in_a_bad_order(self, shop: Shop, buyer: Client, order: dict[str, Any]) -> None:
        about = at_stripe(shop, order["paymentIntentId"])
        status = f"/payments/intents/{about['id']}/status"
        for kind, changed, shown in (
            ("processing", {"status": "processing"}, "processing"),
            ("requires_action", {"status": "requires_action"}, "requires_confirmation"),
            (
                "payment_failed",
                {"last_payment_error": {"code": "card_declined", "message": "No"}, "latest_charge": "ch_1"},
                "failed",
            ),
            ("succeeded", {"status": "succeeded"}, "succeeded"),
            ("processing", {"status": "processing"}, "succeeded"),
            ("payment_failed", {"last_payment_error": {"code": "card_declined"}}, "succeeded"),
            ("canceled", {"status": "canceled"}, "succeeded"),
        ):
            assert sent(shop, an_event(f"payment_intent.{kind}", {**about, **changed})).status_code == 200
            assert buyer.get(status).json() == {"status": shown}
        assert is_paid(buyer, shop, order)

    def test_one_that_is_closed_gives_way_to_another(
        self, shop: Shop, buyer: Client, order: dict[str, Any]
    ) -> None:
        at_the_simulator(shop, f"/v1/payment_intents/{order['paymentIntentId']}/cancel")
        soon(
            lambda: seen_by(buyer, shop, f"/orders/{order['id']}")["paymentIntentId"] is None,
            "Stripe's message that it is closed",
        )
        asked = {"amount": TOTAL, "metadata": {"orderId": order["id"]}}
        another = buyer.made("/payments/intents", asked)
        assert another["id"] != order["paymentIntentId"]
        closed = buyer.post(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
        assert_problem(closed, 422, "PAYMENT_FAILED")
        buyer.made(f"/payments/intents/{another['id']}/confirm", {"paymentMethodId": "pm_card_visa"})
        assert is_paid(buyer, shop, order)

    def test_money_that_went_back_at_stripe_itself(
        self, shop: Shop, buyer: Client, admin: Client, order: dict[str, Any]
    ) -> None:
        intent_id = order["paymentIntentId"]
        buyer.made(f"/payments/intents/{intent_id}/confirm", {"paymentMethodId": "pm_card_visa"})
        at_the_simulator(shop, "/v1/refunds", payment_intent=intent_id, amount="471")

        def noted() -> bool:
            return bool(seen_by(admin, shop, f"/admin/payments/{intent_id}")["refunds"])

        soon(noted, "Stripe's message of the refund")
        shown = seen_by(buyer, shop, f"/orders/{order['id']}")
        assert (shown["paymentStatus"], shown["refundedAmount"]) == ("partially_refunded", 4.71)
        kept = seen_by(admin, shop, f"/admin/payments/{intent_id}")
        (refund,) = kept["refunds"]
        assert (refund["amount"], refund["reason"], refund["status"]) == (
            471,
            "at_the_provider",
            "succeeded",
        )
        assert refund["providerId"].startswith("re_")
        assert kept["refundableAmount"] == TOTAL - 471
        at_the_simulator(shop, "/v1/refunds", payment_intent=intent_id)
        soon(
            lambda: seen_by(buyer, shop, f"/orders/{order['id']}")["paymentStatus"] == "refunded",
            "Stripe's message of the second one",
        )

    def test_what_the_bank_says(
        self, shop: Shop, buyer: Client, admin: Client, order: dict[str, Any]
    ) -> None:
        intent_id = order["paymentIntentId"]
        buyer.made(f"/payments/intents/{intent_id}/confirm", {"paymentMethodId": "pm_card_visa"})
        about = {
            "id": f"dp_{uuid.uuid4().hex}",
            "object": "dispute",
            "payment_intent": intent_id,
            "amount": TOTAL,
            "currency": "usd",
            "reason": "fraudulent",
        }
        for kind, status in (("created", "needs_response"), ("closed", "lost"), ("updated", "under_review")):
            said = an_event(f"charge.dispute.{kind}", {**about, "status": status})
            assert sent(shop, said).status_code == 200
        kept = seen_by(admin, shop, f"/admin/payments/{intent_id}")
        (dispute,) = kept["disputes"]
        assert (dispute["id"], dispute["amount"], dispute["reason"], dispute["status"]) == (
            about["id"],
            TOTAL,
            "fraudulent",
            "lost",
        )
        account = kept["userId"]
        listed = seen_by(admin, shop, f"/admin/payments?disputed=true&userId={account}")
        assert [payment["id"] for payment in listed["payments"]] == [intent_id]

    @pytest.mark.parametrize(
        ("kind", "about"),
        [
            ("customer.created", {"id": "cus_1", "object": "customer", "email": "jane@example.com"}),
            ("payment_intent.succeeded", {"id": "pi_of_somebody_else", "object": "payment_intent",
                                          "amount": 1, "currency": "usd", "created": 1,
                                          "status": "succeeded", "metadata": {"orderId": "ORD-1"}}),
            ("payment_intent.succeeded", {"id": "pi_broken"}),
            ("payment_intent.payment_failed", {"id": "pi_broken", "amount": None, "currency": 7}),
            ("charge.refunded", {"id": "ch_1", "object": "charge", "payment_intent": "pi_none"}),
            ("charge.refunded", {"id": "ch_1", "object": "charge", "payment_intent": None}),
            ("refund.updated", {"id": "re_1", "object": "refund"}),
            ("charge.dispute.created", {"id": "dp_1", "object": "dispute"}),
            ("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_none", "amount": 1,
                                        "currency": "usd", "status": "lost"}),
        ],
    )  # fmt: skip
    def test_what_is_about_nothing_of_ours_is_acknowledged_and_kept(
        self, shop: Shop, kind: str, about: dict[str, Any]
    ) -> None:
        body = an_event(kind, about)
        head = shop.head()
        for path in WEBHOOKS:
            answered = sent(shop, body, path)
            assert (answered.status_code, answered.json()) == (200, {"received": True})
        assert shop.head() == head + 1
        event_id = json.loads(body)["id"]
        (kept,) = kept_events(shop, event_id)
        assert kept == {
            "event_id": event_id,
            "kind": kind,
            "object_id": about["id"],
            "created_at": "2023-11-14T22:13:20Z",
        }

    @pytest.mark.parametrize(
        "body", [b'{"object": "event"}', b'{"object": "event", "data": 7, "created": "x"}']
    )
    def test_what_is_signed_and_says_nothing_is_kept_too(self, shop: Shop, body: bytes) -> None:
        assert sent(shop, body).status_code == 200
        head = shop.head()
        assert sent(shop, body).status_code == 200
        assert shop.head() == head

    @pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"7", b"null"])
    def test_what_is_no_event_is_refused(self, shop: Shop, body: bytes) -> None:
        head = shop.head()
        assert_problem(sent(shop, body), 400, "INVALID_SIGNATURE", "Stripe-Signature")
        assert shop.head() == head


class TestWhatTakesItsTime:
    def status(self, client: Client, shop: Shop, order: Mapping[str, Any]) -> str:
        status: str = seen_by(client, shop, f"/orders/{order['id']}")["paymentStatus"]
        return status

    @pytest.mark.parametrize(
        ("method", "end", "of_order"),
        [
            ("pm_usBankAccount_success", "succeeded", "paid"),
            ("pm_usBankAccount_insufficientFunds", "failed", "failed"),
        ],
    )
    def test_money_from_a_bank(
        self, shop: Shop, buyer: Client, order: dict[str, Any], *, method: str, end: str, of_order: str
    ) -> None:
        path = f"/payments/intents/{order['paymentIntentId']}"
        assert buyer.made(f"{path}/confirm", {"paymentMethodId": method})["status"] == "processing"
        assert self.status(buyer, shop, order) == "pending"
        confirmed = buyer.post(f"/orders/{order['id']}/confirm")
        assert_problem(confirmed, 409, "PAYMENT_NOT_SUCCEEDED", "paymentStatus")
        soon(lambda: buyer.get(f"{path}/status").json() == {"status": end}, "the end of it")
        assert self.status(buyer, shop, order) == of_order

    def test_a_dispute_of_the_bank(
        self, shop: Shop, buyer: Client, admin: Client, order: dict[str, Any]
    ) -> None:
        path = f"/payments/intents/{order['paymentIntentId']}"
        buyer.made(f"{path}/confirm", {"paymentMethodId": "pm_card_createDispute"})

        def disputes() -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = seen_by(admin, shop, f"/admin/payments/{order['paymentIntentId']}")[
                "disputes"
            ]
            return found

        soon(lambda: bool(disputes()), "the dispute")
        (dispute,) = disputes()
        assert (dispute["amount"], dispute["reason"]) == (TOTAL, "fraudulent")
        at_the_simulator(shop, f"/simulator/disputes/{dispute['id']}/settle", outcome="lost")
        soon(lambda: disputes()[0]["status"] == "lost", "the end of the dispute")

    @pytest.mark.parametrize(
        ("card", "end", "of_order"),
        [
            ("pm_card_pendingRefund", "succeeded", "refunded"),
            ("pm_card_refundFail", "failed", "paid"),
        ],
    )
    def test_money_that_goes_back(
        self,
        shop: Shop,
        buyer: Client,
        admin: Client,
        order: dict[str, Any],
        *,
        card: str,
        end: str,
        of_order: str,
    ) -> None:
        path = f"/payments/intents/{order['paymentIntentId']}"
        buyer.made(f"{path}/confirm", {"paymentMethodId": card})
        with shop.also("workers.reactor"):
            buyer.made(f"/orders/{order['id']}/cancel")

            def refunds() -> list[str]:
                shown = seen_by(admin, shop, f"/admin/payments/{order['paymentIntentId']}")
                return [refund["status"] for refund in shown["refunds"]]

            soon(lambda: refunds() == [end], "the end of the refund", within=30)
        assert self.status(buyer, shop, order) == of_order


class TestAdmins:
    def test_see_all_payments_in_three_styles_and_by_what_they_are(
        self, shop: Shop, buyer: Client, admin: Client, order: dict[str, Any]
    ) -> None:
        me = buyer.get("/users/me").json()
        free = [buyer.made("/payments/intents", {"amount": 100 + number}) for number in range(3)]
        buyer.made(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
        base = f"/admin/payments?userId={me['id']}"
        whole = seen_by(admin, shop, base)
        assert set(whole) == {"payments", "total", "skip", "limit", "nextCursor"}
        assert whole["total"] == 4
        ids = [payment["id"] for payment in whole["payments"]]
        assert set(ids) == {order["paymentIntentId"], *(each["id"] for each in free)}
        page = seen_by(admin, shop, f"{base}&page=2&limit=1")
        assert page["pagination"] == {"total": 4, "page": 2, "limit": 1, "pages": 4}
        assert [payment["id"] for payment in page["data"]] == ids[1:2]
        first = seen_by(admin, shop, f"{base}&cursor=&limit=2")
        second = seen_by(admin, shop, f"{base}&limit=2&cursor={first['nextCursor']}")
        assert [payment["id"] for payment in (*first["payments"], *second["payments"])] == ids
        for query, found in (
            ("status=succeeded", [order["paymentIntentId"]]),
            (f"orderId={order['id']}", [order["paymentIntentId"]]),
            (f"order_id={order['uuid']}", [order["paymentIntentId"]]),
            ("disputed=true", []),
            ("disputed=false&status=failed", []),
        ):
            listed = seen_by(admin, shop, f"{base}&{query}")
            assert [payment["id"] for payment in listed["payments"]] == found, query
        by_uuid = seen_by(admin, shop, f"/admin/payments?userId={me['uuid']}")
        assert by_uuid["total"] == 4
        for query, field in (("status=paid", "status"), ("disputed=maybe", "disputed"), ("page=0", "page")):
            assert_problem(admin.get(f"/admin/payments?{query}"), 400, "VALIDATION_ERROR", field)

    def test_see_what_an_operator_needs_and_no_secret(
        self, shop: Shop, buyer: Client, admin: Client, order: dict[str, Any]
    ) -> None:
        intent_id = order["paymentIntentId"]
        buyer.made(f"/payments/intents/{intent_id}/confirm", {"paymentMethodId": "pm_card_visa"})
        shown = seen_by(admin, shop, f"/admin/payments/{intent_id}")
        assert set(shown) == (PAYMENT - {"clientSecret"}) | {
            "uuid",
            "orderUuid",
            "userId",
            "userUuid",
            "closed",
            "unsettled",
            "refundableAmount",
            "disputed",
            "disputes",
            "updatedAt",
        }
        assert (shown["orderId"], shown["orderUuid"]) == (order["id"], order["uuid"])
        assert (shown["status"], shown["unsettled"], shown["refundableAmount"]) == ("succeeded", False, TOTAL)
        assert "secret" not in json.dumps(shown)

    def test_are_the_only_ones(
        self, shop: Shop, buyer: Client, admin: Client, intent: dict[str, Any]
    ) -> None:
        for path in ("/admin/payments", f"/admin/payments/{intent['id']}"):
            assert_problem(shop.guest.get(path), 401, "UNAUTHORIZED")
            assert_problem(buyer.get(path), 403, "FORBIDDEN")
        assert_problem(admin.get("/admin/payments/pi_none"), 404, "PAYMENT_NOT_FOUND")


@pytest.fixture
def unheard(shop: Shop, tmp_path: Path) -> Iterator[StripeSimulator]:
    """A Stripe all of whose messages are lost on the way."""
    simulator = StripeSimulator(tmp_path / "stripe")
    shop.run(simulator.__aenter__())
    yield simulator
    shop.run(simulator.__aexit__(None, None, None))


class TestReconciling:
    async def reconcile(self, shop: Shop, unheard: StripeSimulator) -> int:
        class Soon:
            def now(self) -> datetime:
                return datetime.now(UTC) + timedelta(minutes=2)

        settings = msgspec.structs.replace(shop.settings, stripe_api_base=unheard.url)
        async with (
            write_side(settings) as write,
            read_side(shop.database_url, connections=1) as read,
        ):
            return await reconcile_payments(write.bus, read.reads, Soon(), actor="tests")

    def test_repairs_what_lost_messages_left(
        self, shop: Shop, buyer: Client, product: dict[str, Any], unheard: StripeSimulator
    ) -> None:
        with shop.another_api(STRIPE_API_BASE=unheard.url) as origin:
            there = shop.client(buyer.token, origin=origin)
            orders = [there.made("/orders", an_order(product)) for _ in range(4)]
        paid, closed, declined, back = (order["paymentIntentId"] for order in orders)
        for intent_id, card in ((paid, "visa"), (declined, "chargeDeclined"), (back, "visa")):
            httpx.post(
                f"{unheard.url}/v1/payment_intents/{intent_id}/confirm",
                data={"payment_method": f"pm_card_{card}"},
                headers=self.key(unheard),
            )
        closing = httpx.post(f"{unheard.url}/v1/payment_intents/{closed}/cancel", headers=self.key(unheard))
        assert closing.status_code == 200
        httpx.post(f"{unheard.url}/v1/refunds", data={"payment_intent": back}, headers=self.key(unheard))

        def told() -> list[str]:
            return [seen_by(buyer, shop, f"/orders/{order['id']}")["paymentStatus"] for order in orders]

        assert told() == ["pending"] * 4
        shop.run(self.reconcile(shop, unheard))
        assert told() == ["paid", "pending", "failed", "refunded"]
        assert seen_by(buyer, shop, f"/orders/{orders[1]['id']}")["paymentIntentId"] is None
        # The one that has no payment any more gets another one in the next round, and nothing is done twice.
        head = shop.head()
        for _ in range(2):
            shop.run(self.reconcile(shop, unheard))
        another = seen_by(buyer, shop, f"/orders/{orders[1]['id']}")["paymentIntentId"]
        assert another not in (None, closed)
        assert shop.head() >= head + 2
        assert shop.version(orders[0]["uuid"]) == shop.version(orders[3]["uuid"]) - 1

    @staticmethod
    def key(simulator: StripeSimulator) -> dict[str, str]:
        return {"Authorization": f"Bearer {simulator.key}"}


PAN = re.compile(rb"(?<![0-9a-fA-F-])(?:4242424242424242|4000\d{12}|5555555555554444|(?:\d{4}[ -]){3}\d{4})")
CVC = re.compile(rb'"?\b(?:cvc|cvv|card_number|cardNumber|exp_month|exp_year)\b', re.IGNORECASE)


def test_of_a_card_nothing_is_kept_but_brand_and_last4(
    shop: Shop, buyer: Client, order: dict[str, Any]
) -> None:
    """Neither in the log, nor in read models, answers kept, or our own logs; though a client sends us a whole card."""
    path = f"/payments/intents/{order['paymentIntentId']}/confirm"
    card = {"number": "4242424242424242", "cvc": "123", "exp_month": 12, "exp_year": 2034}
    refused = buyer.post(path, {"card": card, "cardNumber": card["number"]}, headers=with_key())
    assert_problem(refused, 400, "VALIDATION_ERROR", "paymentMethodId")
    for method in ("pm_card_chargeDeclined", "pm_card_visa"):
        buyer.post(path, {"paymentMethodId": method, "card": card}, headers=with_key())
    whole = {**at_stripe(shop, order["paymentIntentId"]), "card": card, "status": "succeeded"}
    assert sent(shop, an_event("payment_intent.succeeded", whole)).status_code == 200
    assert sent(shop, an_event("payment_method.attached", {"id": "pm_1", "card": card})).status_code == 200
    assert is_paid(buyer, shop, order)
    with psycopg.connect(shop.database_url) as connection:
        tables = [
            name
            for (name,) in connection.execute(
                "SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables "
                "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_type = 'BASE TABLE'"
            )
        ]
        assert any("payments" in table for table in tables)
        for table in tables:
            for row in connection.execute(f"SELECT * FROM {table}").fetchall():
                for value in row:
                    content = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
                    assert not PAN.search(content), (table, content[:500])
                    assert not CVC.search(content), (table, content[:500])
    lines = shop.log_lines().encode()
    assert not PAN.search(lines)
    assert not CVC.search(lines)


def test_a_product_of_its_own_is_not_sold_twice_by_one_payment(
    shop: Shop, buyer: Client, admin: Client, category: str
) -> None:
    last = admin.made("/products/add", a_product(category, stock=1))
    intent = buyer.made("/payments/intents", {"amount": TOTAL})
    assert buyer.post("/orders", an_order(last, paymentIntentId=intent["id"])).status_code == 201
    assert_problem(
        buyer.post("/orders", an_order(last, paymentIntentId=intent["id"])), 422, "INSUFFICIENT_STOCK"
    )
