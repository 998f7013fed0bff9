"""Four clients buy, each knowing nothing but its own document; sellers and admins do their part.

Whatever they are answered is as the API's own description says.
"""

import io
import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pypdf import PdfReader

from domain.accounts.events import Role
from tests.api.described import described
from tests.api.shop import PASSWORD, Client, Shop, a_product, soon, text_of
from tests.conftest import FreshDatabase

S2_ADDRESS = {
    "firstName": "John",
    "lastName": "Doe",
    "address": "123 Main St",
    "city": "New York",
    "state": "NY",
    "zipCode": "10001",
    "country": "USA",
    "phone": "+1234567890",
}
S3_ADDRESS = {
    "full_name": "John Doe",
    "address_line1": "123 Main St",
    "city": "New York",
    "state": "NY",
    "postal_code": "10001",
    "country": "USA",
    "is_default": True,
}
S4_ADDRESS = {
    "label": "Home",
    "line1": "1 A St",
    "city": "New York",
    "state": "NY",
    "zip": "10001",
    "country": "USA",
}


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    """With everything that is at work in a shop."""
    folder = servers_folder / "journeys"
    with (
        fresh_database() as url,
        Shop(url, folder, mail=True) as shop,
        shop.also("workers.reactor"),
        shop.also("workers.scheduler"),
        described(shop),
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
    return admin.made("/products/add", a_product(category))


def mailbox() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def answered(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def seen(shop: Shop, client: Client, path: str) -> Any:
    """As it is after all that has happened so far."""
    return answered(client.get(path, headers={"X-Min-Log-Position": str(shop.head())}))


def pays_in_the_app(shop: Shop, client_secret: str, card: str = "pm_card_visa") -> Mapping[str, Any]:
    """What the provider's own script does in an app; the secret is all that it knows."""
    intent_id = client_secret.partition("_secret_")[0]
    paid = httpx.post(
        f"{shop.stripe.url}/v1/payment_intents/{intent_id}/confirm",
        data={"payment_method": card},
        headers={"Authorization": f"Bearer {shop.stripe.key}"},
    )
    told: Mapping[str, Any] = answered(paid)
    return told


def test_s0_the_app(shop: Shop, product: dict[str, Any]) -> None:
    person = {"email": mailbox(), "password": PASSWORD, "username": f"u{uuid.uuid4().hex[:12]}"}
    app = shop.client(answered(shop.guest.post("/auth/signup", person), 201)["token"])
    item = answered(app.get(f"/products/{product['id']}"))["id"]
    answered(app.post("/cart/items", {"productId": item, "qty": 3}), 201)
    answered(app.patch(f"/cart/items/{item}", {"qty": 1}))
    cart = answered(app.get("/cart"))
    assert [(line["productId"], line["qty"]) for line in cart["items"]] == [(item, 1)]

    bought = answered(app.post("/orders/checkout", {"cartId": cart["id"]}), 201)
    order, intent = bought["order"], bought["paymentIntent"]
    assert (order["status"], order["total"]) == ("pending", cart["totals"]["total"])
    assert pays_in_the_app(shop, intent["clientSecret"])["status"] == "succeeded"
    confirmed = answered(app.post(f"/orders/{order['id']}/confirm"))
    assert (confirmed["id"], confirmed["paymentStatus"]) == (order["id"], "paid")

    told = answered(app.get(f"/orders/{order['id']}"))
    assert (told["status"], told["payment"]["status"]) == ("processing", "paid")
    assert [each["id"] for each in answered(app.get("/orders"))["orders"]] == [order["id"]]
    assert answered(app.get("/cart"))["items"] == []
    assert order["id"] in text_of(shop.mail(person["email"], "is confirmed"))


def test_s2_the_spa(shop: Shop, admin: Client, product: dict[str, Any]) -> None:
    code = f"SAVE{uuid.uuid4().hex[:8]}".upper()
    answered(
        admin.post(
            "/admin/promotions",
            {"name": "Ten off", "code": code, "discountType": "percentage", "discountValue": 10},
        ),
        201,
    )
    person = {"email": mailbox(), "password": PASSWORD, "firstName": "John", "lastName": "Doe"}
    registered = answered(shop.guest.post("/auth/register", person), 201)
    spa = shop.client(registered["token"])
    kept = {"products": [{"id": product["id"], "quantity": 2}]}
    cart = answered(spa.post("/cart", kept))
    assert (cart["userId"], cart["totalProducts"], cart["totalQuantity"]) == (registered["user"]["id"], 1, 2)
    assert (cart["total"], cart["discountedTotal"]) == (2399.98, 2267.98)
    coupon = answered(spa.post("/checkout/apply-coupon", {"code": code}))
    assert (coupon["code"], coupon["subtotal"], coupon["discount"]) == (code, 2267.98, 226.80)
    methods = answered(spa.get("/shipping/methods"))
    rates = answered(spa.post("/shipping/rates", {"address": S2_ADDRESS}))
    assert [rate["methodId"] for rate in rates] == [method["id"] for method in methods]

    # The client makes its intent first, with what it has reckoned itself.
    amount = round(coupon["total"] * 100)
    intent = answered(spa.post("/payments/intents", {"amount": amount, "currency": "usd"}), 201)
    assert (intent["amount"], intent["currency"]) == (amount, "usd")
    assert intent["status"] == "requires_payment_method"
    order = answered(
        spa.post(
            "/orders",
            {
                **kept,
                "shippingAddress": S2_ADDRESS,
                "billingAddress": S2_ADDRESS,
                "paymentMethod": "card",
                "paymentIntentId": intent["id"],
            },
        ),
        201,
    )
    assert (order["total"], order["paymentIntentId"]) == (coupon["total"], intent["id"])
    assert (order["shippingAddress"], order["billingAddress"]) == (S2_ADDRESS, S2_ADDRESS)
    assert order["products"][0].items() >= {
        "id": product["id"], "title": product["title"], "price": 1199.99, "quantity": 2, "total": 2399.98,
        "discountPercentage": 5.5, "discountedTotal": 2267.98, "thumbnail": product["thumbnail"],
    }.items()  # fmt: skip
    path = f"/payments/intents/{intent['id']}"
    paid = answered(spa.post(f"{path}/confirm", {"paymentMethodId": "pm_card_visa"}))
    assert (paid["status"], paid["amount"]) == ("succeeded", amount)
    assert answered(spa.get(f"{path}/status")) == {"status": "succeeded"}
    mine = f"/orders/{order['id']}"
    assert answered(spa.get("/orders?skip=0&limit=10"))["products"][0]["id"] == order["id"]
    assert answered(spa.get(f"{mine}/tracking")) | {"parcels": []} == {
        "orderId": order["id"], "status": "pending", "carrier": None, "trackingNumber": None,
        "trackingUrl": None, "estimatedDelivery": None, "events": [], "parcels": [],
    }  # fmt: skip
    answered(spa.post(f"{mine}/notes", {"note": "Please ring twice"}), 201)

    sent = {
        "status": "shipped",
        "trackingNumber": "1Z999AA10123456784",
        "carrier": "UPS",
        "note": "Shipped via UPS Ground",
    }
    shipped = answered(admin("PUT", f"{mine}/status", json=sent))
    assert (shipped["status"], shipped["trackingNumber"], shipped["carrier"]) == (
        "shipped",
        "1Z999AA10123456784",
        "UPS",
    )
    too_late = answered(spa("PUT", f"{mine}/cancel", json={"reason": "Changed my mind"}), 422)
    assert (too_late["code"], too_late["message"]) == (
        "ORDER_CANNOT_CANCEL",
        "Cannot cancel order that has been shipped",
    )
    scan = {"status": "in_transit", "location": "Newark, NJ", "description": "In transit to destination"}
    answered(admin.post(f"{mine}/tracking-events", scan), 201)
    tracking = seen(shop, spa, f"{mine}/tracking")
    assert (tracking["status"], [event["location"] for event in tracking["events"]]) == (
        "in_transit",
        ["Newark, NJ"],
    )
    assert tracking["trackingUrl"].startswith("https://www.ups.com/")

    answered(admin("PUT", f"{mine}/status", json={"status": "delivered"}))
    invoice = spa.get(f"{mine}/invoice", headers={"Accept": "application/pdf"})
    assert invoice.headers["content-type"] == "application/pdf"
    assert invoice.headers["content-disposition"] == f'attachment; filename="invoice-{order["id"]}.pdf"'
    printed = "".join(page.extract_text() for page in PdfReader(io.BytesIO(invoice.content)).pages)
    assert order["id"] in printed
    assert f"{order['total']:,.2f}" in printed

    returned = answered(spa.post(f"{mine}/return", {"reason": "It does not fit"}), 201)
    assert (returned["orderId"], returned["status"]) == (order["id"], "requested")
    for step in ("approve", "receive"):
        answered(admin.post(f"{mine}/returns/{returned['id']}/{step}"))
    soon(lambda: seen(shop, spa, mine)["paymentStatus"] == "refunded", "the money back")
    told = seen(shop, spa, mine)
    assert (told["status"], told["returnStatus"], told["refundedAmount"]) == (
        "delivered",
        "refunded",
        order["total"],
    )
    assert f"{order['total']:,.2f}" in text_of(shop.mail(person["email"], "refund"))
    assert answered(spa.get(f"/products/{product['id']}"))["stock"] == product["stock"]
    (refund,) = answered(spa.get(f"{mine}/refunds"))
    assert (refund["amount"], refund["status"]) == (order["total"], "succeeded")


def test_s3_the_marketplace(shop: Shop, product: dict[str, Any]) -> None:
    person = {"full_name": "John Doe", "email": mailbox(), "password": PASSWORD}
    client = shop.client(answered(shop.guest.post("/auth/register", person), 201)["token"])
    address = answered(client.post("/users/addresses", S3_ADDRESS), 201)["uuid"]
    wanted = {
        "items": [{"product_id": product["uuid"], "quantity": 1}],
        "shipping_address_id": address,
    }
    before = shop.version(product["uuid"])
    preview = answered(client.post("/orders/checkout", wanted))
    assert preview["total"] == round(preview["subtotal"] + preview["shipping"] + preview["tax"], 2)
    assert shop.version(product["uuid"]) == before

    placed = answered(client.post("/orders", {**wanted, "payment_method": "card"}), 201)
    assert (placed["status"], placed["total"], placed["payment_url"]) == ("pending", preview["total"], None)
    assert str(uuid.UUID(placed["order_id"])) == placed["uuid"]
    assert shop.version(product["uuid"]) == before + 1
    # "Success Webhook -> Update Order (Confirmed)": nobody tells us but the provider.
    pays_in_the_app(shop, placed["clientSecret"])
    path = f"/orders/{placed['order_id']}"
    soon(lambda: seen(shop, client, path)["status"] == "processing", "the provider's message")
    history = answered(client.get("/orders?page=1"))
    assert history["pagination"] == {"total": 1, "page": 1, "limit": 20, "pages": 1}
    assert history["data"][0].items() >= {"uuid": placed["order_id"], "paymentStatus": "paid"}.items()

    as_it_speaks = {"Accept": "application/json; case=snake"}
    again = answered(client.post("/orders", {**wanted, "payment_method": "card"}, headers=as_it_speaks), 201)
    assert str(uuid.UUID(again["order_id"])) == again["uuid"]
    assert {"status", "payment_url", "total_amount"} <= again.keys()


def test_s4_the_fashion_shop(shop: Shop, admin: Client, product: dict[str, Any]) -> None:
    person = {"name": "John Doe", "email": mailbox(), "password": PASSWORD}
    client = shop.client(answered(shop.guest.post("/auth/register", person), 201)["token"])
    cart = answered(client.post("/cart", {"productId": product["id"], "qty": 1}), 201)
    item = cart["items"][0]["itemId"]
    answered(client.patch(f"/cart/{item}", {"qty": 2}))
    order = answered(
        client.post("/orders", {"shippingAddress": S4_ADDRESS, "payment": {"method": "card"}}), 201
    )
    assert (order["orderStatus"], order["paymentStatus"], order["totalAmount"]) == (
        "pending",
        "pending",
        order["total"],
    )
    assert order["items"] == [
        {"productId": product["id"], "qty": 2, "quantity": 2, "priceAtPurchase": 1199.99}
    ]
    assert order["shippingAddress"]["address"] == "1 A St"
    pays_in_the_app(shop, order["clientSecret"])
    mine = f"/orders/{order['id']}"
    soon(lambda: seen(shop, client, mine)["paymentStatus"] == "paid", "the provider's message")

    listed = seen(shop, admin, "/admin/orders?status=processing")
    assert order["id"] in [each["id"] for each in listed["orders"]]
    shipped = answered(admin.patch(f"/admin{mine}/status", {"orderStatus": "shipped"}))
    assert shipped["orderStatus"] == "shipped"
    assert answered(admin.patch(f"{mine}/status", {"orderStatus": "delivered"}))["orderStatus"] == "delivered"
    told = seen(shop, client, mine)
    assert (told["orderStatus"], told["trackingStatus"]) == ("delivered", "delivered")
    today = datetime.now(UTC).date()
    report = seen(shop, admin, f"/admin/reports/sales?start={today}&end={today}")
    assert report["orders"] == sum(day["orders"] for day in report["byDay"]) >= 1
    assert report["revenue"] >= order["total"]
    for asked in ({"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}):
        for path in ("/admin/reports/sales", "/admin/reports/inventory"):
            table = admin.get(path, **asked)
            assert table.headers["content-type"].startswith("text/csv")


def test_sellers_send_what_is_theirs(
    shop: Shop, admin: Client, category: str, product: dict[str, Any]
) -> None:
    person = {"email": mailbox(), "password": PASSWORD, "username": f"s{uuid.uuid4().hex[:12]}"}
    seller = shop.client(answered(shop.guest.post("/auth/signup", person), 201)["token"])
    offered = answered(seller.post("/products", a_product(category, stock=6, status="active")), 201)
    buyer = shop.user()
    order = answered(
        buyer.post(
            "/orders",
            {
                "products": [{"id": each["id"], "quantity": 2} for each in (offered, product)],
                "shippingAddress": S2_ADDRESS,
                "paymentMethod": "card",
            },
        ),
        201,
    )
    answered(
        buyer.post(
            f"/payments/intents/{order['paymentIntentId']}/confirm", {"paymentMethodId": "pm_card_visa"}
        )
    )
    mine = f"/orders/{order['id']}"
    (sold,) = seen(shop, seller, "/sellers/me/orders")["orders"]
    assert [line["id"] for line in sold["products"]] == [offered["id"]]
    assert sold["shippingAddress"]["city"] == "New York"
    for same in (mine, f"/sellers/me{mine}"):
        assert seen(shop, seller, same)["products"] == sold["products"]
    sent = {"status": "shipped", "trackingNumber": "00340434161094021501", "carrier": "DHL"}
    assert answered(seller("PUT", f"{mine}/status", json=sent))["status"] == "shipped"
    told = seen(shop, buyer, mine)
    assert (told["status"], [parcel["status"] for parcel in told["parcels"]]) == (
        "processing",
        ["shipped", "processing"],
    )
    answered(admin("PUT", f"{mine}/parcels/2/status", json={"status": "shipped"}))
    assert seen(shop, buyer, mine)["status"] == "shipped"
    scarce = answered(admin.get("/admin/reports/inventory", headers={"X-Min-Log-Position": str(shop.head())}))
    assert [line["inventoryCount"] for line in scarce["products"] if line["productId"] == offered["id"]] == [
        4
    ]
    answered(admin.post("/admin/jobs/low-stock-alerts/run"), 202)
    assert offered["title"] in text_of(shop.mail(person["email"], "Low stock"))
    earned = seen(shop, seller, "/sellers/me/reports/sales")
    assert (earned["orders"], earned["items"], earned["netRevenue"]) == (1, 2, earned["revenue"])
    answered(admin.post(f"{mine}/refunds", {"amount": order["total"], "reason": "Both came broken"}), 201)
    soon(lambda: seen(shop, buyer, mine)["paymentStatus"] == "refunded", "the refund")
    back = seen(shop, seller, "/sellers/me/reports/sales")
    assert (back["refunds"], back["lostDisputes"], back["netRevenue"]) == (earned["revenue"], 0, 0)
    shares = seen(shop, admin, "/admin/reports/sales?by=seller")["sellers"]
    (share,) = [each for each in shares if each["sellerId"] == offered["sellerId"]]
    assert {name: back[name] for name in ("revenue", "refunds", "netRevenue")}.items() <= share.items()


def test_admins_look_after_it(shop: Shop, admin: Client, product: dict[str, Any]) -> None:
    buyer = shop.user()
    lines = {"products": [{"id": product["id"], "quantity": 1}], "shippingAddress": S2_ADDRESS}
    order = answered(buyer.post("/orders", lines), 201)
    path = f"/payments/intents/{order['paymentIntentId']}/confirm"
    declined = answered(buyer.post(path, {"paymentMethodId": "pm_card_chargeDeclined"}), 422)
    assert declined["code"] == "PAYMENT_FAILED"
    assert seen(shop, buyer, f"/orders/{order['id']}")["paymentStatus"] == "failed"
    answered(buyer.post(path, {"paymentMethodId": "pm_card_mastercard"}))
    refund = answered(
        admin.post(f"/orders/{order['id']}/refunds", {"amount": 10.5, "reason": "A scratch"}), 201
    )
    soon(
        lambda: seen(shop, buyer, f"/orders/{order['id']}")["paymentStatus"] == "partially_refunded",
        "the refund",
    )
    (kept,) = [each for each in seen(shop, admin, "/admin/refunds")["refunds"] if each["id"] == refund["id"]]
    assert (kept["amount"], kept["status"]) == (10.5, "succeeded")
    cancelled = answered(admin("PUT", f"/orders/{order['id']}/cancel", json={"reason": "Out of stock"}))
    assert (cancelled["status"], cancelled["cancelReason"]) == ("cancelled", "Out of stock")
    soon(lambda: seen(shop, buyer, f"/orders/{order['id']}")["paymentStatus"] == "refunded", "the rest")
    payment = seen(shop, admin, f"/admin/payments/{order['paymentIntentId']}")
    assert (
        sum(each["amount"] for each in payment["refunds"]) == payment["amount"] == round(order["total"] * 100)
    )
    for listed in (
        "/admin/payments",
        "/admin/returns",
        "/admin/jobs",
        "/orders/all",
        "/admin/reports/sales?by=seller",
        "/admin/reports/sales?by=product",
    ):
        for style in ("", "page=1", "cursor="):
            answered(admin.get(f"{listed}{'&' if '?' in listed else '?'}{style}"))
    names = [job["name"] for job in answered(admin.get("/admin/jobs"))["jobs"]]
    assert {"reconcile-payments", "cancel-unpaid-orders", "daily-sales-report"} <= set(names)
    answered(admin.get(f"/admin/jobs/{names[0]}/runs"))
