"""Mails about orders from end to end: what is done over HTTP, and what arrives at a mail server because of it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from application.bootstrap import write_side
from application.ports import Metadata
from domain.accounts.events import Role
from domain.kernel import stream_id
from domain.orders.events import OrderStatus
from domain.orders.order import ORDERS
from domain.orders.parcels import Shipment
from projections.bootstrap import read_side
from projections.inventory.projector import INVENTORY
from tests.api.shop import ADDRESS, Client, Shop, a_product, a_registration, text_of
from tests.conftest import FreshDatabase


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    """With a reactor, which asks the provider for refunds."""
    folder = servers_folder / "order-mails"
    with (
        fresh_database() as url,
        Shop(url, folder, mail=True, WEB_ORIGIN="https://shop.example") as shop,
        shop.also("workers.reactor"),
    ):
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def admin(shop: Shop) -> Client:
    return shop.staff(Role.ADMIN)


@pytest.fixture(scope="module")
def product(admin: Client) -> dict[str, Any]:
    slug = admin.made("/admin/categories", {"name": "Smartphones"})["slug"]
    return admin.made("/products/add", a_product(slug, title="<b>Phone</b>", stock=50))


class Buyer:
    """Somebody with an order, and with a mailbox."""

    def __init__(self, shop: Shop, product: dict[str, Any]) -> None:
        person = a_registration()
        self.shop = shop
        self.email = person["email"]
        self.client = shop.client(shop.guest.made("/auth/register", person)["token"])
        lines = [{"id": product["id"], "quantity": 2}]
        self.order = self.client.made("/orders", {"products": lines, "shippingAddress": ADDRESS})

    def pay(self, method: str = "pm_card_visa") -> int:
        path = f"/payments/intents/{self.order['paymentIntentId']}/confirm"
        return self.client.post(path, {"paymentMethodId": method}).status_code

    def goes_on(self, to: OrderStatus) -> None:
        """As its sender does."""
        shipment = Shipment(
            carrier="DHL", tracking_number="JJD0001", tracking_url="https://dhl.example/JJD0001"
        )

        async def go_on() -> None:
            async with write_side(self.shop.settings) as write:
                await write.store.change(
                    ORDERS,
                    stream_id("order", self.order["id"]),
                    lambda order: (
                        order.advance(to, write.clock.now(), parcels=[1], may_skip=True, shipment=shipment)
                        if order is not None
                        else []
                    ),
                    Metadata(actor="tests"),
                )

        self.shop.run(go_on())

    def mail(self, subject: str) -> EmailMessage:
        return self.shop.mail(self.email, subject)

    def subjects(self) -> list[str]:
        """In the order in which they came, but for those that came with the account."""
        return [
            mail["Subject"].replace(self.order["id"], "…")
            for mail in self.shop.mails(self.email)
            if self.order["id"] in mail["Subject"]
        ]


@pytest.fixture
def buyer(shop: Shop, product: dict[str, Any]) -> Buyer:
    return Buyer(shop, product)


def html_of(mail: EmailMessage) -> str:
    body = mail.get_body(("html",))
    assert body is not None
    html: str = body.get_content()
    return html


def test_an_order_is_confirmed_sent_and_delivered(buyer: Buyer) -> None:
    assert buyer.pay() == 200
    confirmation = buyer.mail("is confirmed")
    order = buyer.order
    text = text_of(confirmation)
    assert f"https://shop.example/orders/{order['id']}" in text
    assert "2 x <b>Phone</b>" in text
    assert f"Total: {order['total']:,.2f} USD" in text
    assert ADDRESS["city"] in text
    assert "&lt;b&gt;Phone&lt;/b&gt;" in html_of(confirmation)
    buyer.goes_on(OrderStatus.SHIPPED)
    shipped = text_of(buyer.mail("on its way"))
    assert "Tracking number: JJD0001" in shipped
    assert "https://dhl.example/JJD0001" in shipped
    buyer.goes_on(OrderStatus.DELIVERED)
    buyer.mail("has arrived")
    assert buyer.subjects() == [
        "Your order … is confirmed",
        "A parcel of your order … is on its way",
        "A parcel of your order … has arrived",
    ]


def test_one_that_is_paid_for_and_cancelled_brings_its_money_back(buyer: Buyer) -> None:
    assert buyer.pay() == 200
    buyer.mail("is confirmed")
    cancelled = buyer.client("PUT", f"/orders/{buyer.order['id']}/cancel", json={"reason": "No more"})
    assert cancelled.status_code == 200, cancelled.text
    told = text_of(buyer.mail("was cancelled"))
    assert f"You get {buyer.order['total']:,.2f} USD back" in told
    assert f"We have sent {buyer.order['total']:,.2f} USD back" in text_of(buyer.mail("A refund"))


def test_a_card_that_is_declined_again_and_again_is_told_of_once(buyer: Buyer) -> None:
    for _ in range(3):
        assert buyer.pay("pm_card_chargeDeclined") != 200
    failed = text_of(buyer.mail("failed"))
    assert f"https://shop.example/orders/{buyer.order['id']}" in failed
    assert buyer.pay() == 200
    buyer.mail("is confirmed")
    assert buyer.subjects() == ["The payment of your order … failed", "Your order … is confirmed"]


def test_admins_are_told_once_of_what_the_house_has_few_of(shop: Shop, admin: Client) -> None:
    slug = admin.made("/admin/categories", {"name": "Lamps"})["slug"]
    scarce = [admin.made("/products/add", a_product(slug, stock=stock)) for stock in (4, 2)]
    shop.run(wait_for_inventory(shop))
    for _ in range(2):
        run_scheduler(shop)
    told = text_of(shop.mail("", "Low stock"))
    assert told.index(f"2 x {scarce[1]['title']}") < told.index(f"4 x {scarce[0]['title']}")
    assert f"https://shop.example/products/{scarce[0]['slug']}" in told
    assert len([mail for mail in shop.mails() if mail["Subject"] == "Low stock"]) == 1


async def wait_for_inventory(shop: Shop) -> None:
    async with read_side(shop.database_url, connections=1) as read:
        await read.positions.wait(INVENTORY.name, shop.head(), 20)


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
