from typing import Any

from tests.api.shop import ADDRESS, Client, Shop, a_registration, assert_problem, soon


def test_a_purchase_from_registration_to_the_paid_order(
    shop: Shop, product: dict[str, Any], auditor: Client
) -> None:
    registered = shop.guest.made("/auth/register", a_registration())
    buyer = shop.client(registered["token"])

    cart = buyer.made("/cart", {"productId": product["id"], "qty": 2})
    assert cart["totalQuantity"] == 2
    assert cart["products"][0]["discountedTotal"] == 2267.98

    order = buyer.made("/orders", {"shippingAddress": ADDRESS, "paymentMethod": "card"})
    assert (order["subtotal"], order["tax"], order["shipping"], order["total"]) == (
        2267.98,
        181.44,
        0,
        2449.42,
    )
    assert order["status"] == "pending"
    assert order["order_id"] == order["uuid"]
    assert order["clientSecret"].startswith(order["paymentIntentId"])
    assert order["paymentIntent"]["amount"] == 244942

    paid = buyer.made(
        f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
    )
    assert (paid["status"], paid["amount"], paid["currency"]) == ("succeeded", 244942, "usd")
    assert buyer.get(f"/payments/intents/{paid['id']}/status").json() == {"status": "succeeded"}

    seen = buyer.get(f"/orders/{order['id']}").json()
    assert (seen["status"], seen["paymentStatus"], seen["uuid"]) == ("processing", "paid", order["uuid"])
    assert buyer.get(f"/orders/{order['uuid']}").json() == seen
    listed = buyer.get("/orders").json()
    assert listed["products"] == listed["orders"] == [seen]
    assert (listed["total"], listed["skip"], listed["limit"]) == (1, 0, 10)
    assert buyer.get("/cart").json()["products"] == []
    assert buyer.get(f"/products/{product['id']}").json()["stock"] == product["stock"] - 2

    history = auditor.get(f"/audit/streams/{order['uuid']}").json()
    assert [event["type"] for event in history["events"]] == [
        "order_placed",
        "order_payment_linked",
        "order_confirmed",
    ]
    assert {event["actor"] for event in history["events"]} == {f"user:{registered['user']['uuid']}"}


def test_the_webhook_alone_pays_an_order(shop: Shop, product: dict[str, Any], buyer: Client) -> None:
    order = buyer.made(
        "/orders", {"items": [{"product_id": product["uuid"], "qty": 1}], "shipping_address": ADDRESS}
    )
    simulator = shop.client(shop.stripe.key, origin=shop.stripe.url)
    intent = order["paymentIntentId"]
    paid = simulator(
        "POST",
        f"{shop.stripe.url}/v1/payment_intents/{intent}/confirm",
        data={"payment_method": "pm_card_visa"},
    )
    assert paid.status_code == 200, paid.text
    soon(lambda: buyer.get(f"/orders/{order['id']}").json()["paymentStatus"] == "paid", "payment")


def test_a_declined_card_fails_and_another_one_may_be_tried(
    shop: Shop, product: dict[str, Any], buyer: Client
) -> None:
    order = buyer.made(
        "/orders", {"products": [{"id": product["id"], "quantity": 1}], "shippingAddress": ADDRESS}
    )
    confirm = f"/payments/intents/{order['paymentIntentId']}/confirm"
    assert_problem(buyer.post(confirm, {"paymentMethodId": "pm_card_chargeDeclined"}), 422, "PAYMENT_FAILED")
    assert buyer.made(confirm, {"payment_method_id": "pm_card_visa"})["status"] == "succeeded"


def test_the_intent_of_an_order_is_one_however_often_it_is_asked_for(
    product: dict[str, Any], buyer: Client
) -> None:
    order = buyer.made(
        "/orders", {"products": [{"id": product["id"], "quantity": 2}], "shippingAddress": ADDRESS}
    )
    asked = {"amount": 244942, "currency": "usd", "metadata": {"orderId": order["id"]}}
    assert buyer.made("/payments/intents", asked)["id"] == order["paymentIntentId"]
    wrong = buyer.post("/payments/intents", asked | {"amount": 24942})
    assert_problem(wrong, 422, "PAYMENT_AMOUNT_MISMATCH", "amount")
