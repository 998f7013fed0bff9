"""Processes are killed in the middle of their work: what was acknowledged is there, and nothing is there twice."""

import asyncio
import itertools
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from api.wire import encode
from application.bootstrap import write_side
from domain.accounts.events import Role
from domain.kernel import Event, ListingId, Recorded
from domain.listings.events import StockReserved
from domain.listings.listing import LISTINGS, Listing
from domain.orders.events import OrderConfirmed, OrderPaymentLinked, OrderPlaced
from domain.orders.order import ORDERS
from projections.orders.order import order_body
from tests.api.logged import assert_dense, events_of, streams_of, whole_log
from tests.api.shop import ADDRESS, Shop, a_product
from tests.conftest import FreshDatabase
from tests.support import eventually
from workers.local.process import answers_http

CLIENTS = 4
STOCK = 100_000
ORDERS_BETWEEN = 30
"""How many more orders are answered before the next process is killed."""


@pytest.fixture
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    folder = servers_folder / "crashing"
    with fresh_database() as url, Shop(url, folder) as shop:
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Asked:
    """What a client asked for, and what it was told in the end."""

    path: str
    key: str
    request: dict[str, Any]
    answer: dict[str, Any]


@dataclass(frozen=True)
class Order:
    placing: Asked
    paying: Asked | None

    @property
    def uuid(self) -> str:
        return str(self.placing.answer["uuid"])

    @property
    def intent_id(self) -> str:
        return str(self.placing.answer["paymentIntentId"])


@dataclass
class Customer:
    """Buys again and again, with a key for each request, and repeats what was not answered until it is."""

    http: httpx.AsyncClient
    origin: str
    products: Sequence[dict[str, Any]]
    orders: list[Order] = field(default_factory=list)
    cut_off: int = 0

    async def shop_until(self, closed: asyncio.Event) -> None:
        for turn in itertools.count():
            if closed.is_set():
                return
            if turn % 3 == 2:  # what is in the cart is gone from there once it is bought
                await self.ask("/cart", {"productId": self.products[0]["id"], "quantity": 2}, 201)
                lines: dict[str, Any] = {}
            else:
                chosen = self.products[turn % 2 :]
                lines = {"products": [{"id": each["id"], "quantity": 1 + turn % 3} for each in chosen]}
            placing = await self.ask("/orders", {**lines, "shippingAddress": ADDRESS}, 201)
            paying = None
            if turn % 2:
                intent = placing.answer["paymentIntentId"]
                card = {"paymentMethodId": "pm_card_visa"}
                paying = await self.ask(f"/payments/intents/{intent}/confirm", card, 200)
                assert paying.answer["status"] == "succeeded"
            self.orders.append(Order(placing, paying))

    async def ask(self, path: str, body: dict[str, Any], status: int) -> Asked:
        key = str(uuid.uuid4())
        while True:
            try:
                answer = await self.http.post(path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.cut_off += 1
                await eventually(
                    lambda: answers_http(f"{self.origin}/health", any_status=True), within=30, what="an API"
                )
                continue
            if answer.status_code == 503:  # back, and not yet whole: nothing was acknowledged
                continue
            assert answer.status_code == status, answer.text
            return Asked(path, key, body, answer.json())


def test_what_was_acknowledged_is_there_once_whoever_was_killed(shop: Shop) -> None:
    admin = shop.staff(Role.ADMIN)
    category = admin.made("/admin/categories", {"name": "Smartphones"})["slug"]
    products = [admin.made("/products/add", a_product(category, stock=STOCK)) for _ in range(2)]
    customers = shop.run(crash_while_selling(shop, products, shop.tokens(CLIENTS)))

    # Each was in the middle of something at each death of the API, or came to a closed door.
    assert min(customer.cut_off for customer in customers) >= 2
    orders = [order for customer in customers for order in customer.orders]
    assert len(orders) >= 5 * ORDERS_BETWEEN
    assert len({order.placing.key for order in orders}) == len(orders)

    recorded, listings = shop.run(read_log(shop, products))
    assert len(recorded) == shop.head()
    assert_dense(recorded)

    placed = events_of(recorded, OrderPlaced)
    assert sorted(str(each.order_id) for each in placed) == sorted(order.uuid for order in orders)
    linked = events_of(recorded, OrderPaymentLinked)
    assert sorted((str(each.order_id), each.intent_id) for each in linked) == sorted(
        (order.uuid, order.intent_id) for order in orders
    )
    confirmed = [str(each.order_id) for each in events_of(recorded, OrderConfirmed)]
    assert sorted(confirmed) == sorted(order.uuid for order in orders if order.paying)

    reserved = events_of(recorded, StockReserved)
    lines = [(each.order_id, line.listing_id, line.quantity) for each in placed for line in each.lines]
    assert sorted((each.order_id, each.listing_id, each.quantity) for each in reserved) == sorted(lines)
    for listing in listings:
        sold = [(order_id, quantity) for order_id, listing_id, quantity in lines if listing_id == listing.id]
        paid = sum(quantity for order_id, quantity in sold if str(order_id) in confirmed)
        unpaid = sum(quantity for order_id, quantity in sold if str(order_id) not in confirmed)
        assert (listing.stock, listing.reserved) == (STOCK - paid, unpaid)
        now = {"X-Min-Log-Position": str(shop.head())}
        seen = shop.guest.get(f"/products/{listing.number}", headers=now).json()
        assert seen["stock"] == STOCK - paid - unpaid

    assert_read_models_equal_the_log(shop, customers, recorded)
    assert_each_key_still_has_its_answer(shop, customers)


async def crash_while_selling(
    shop: Shop, products: Sequence[dict[str, Any]], tokens: Sequence[str]
) -> list[Customer]:
    closed = asyncio.Event()
    customers = [
        Customer(
            httpx.AsyncClient(
                base_url=f"{shop.origin}/api/v1", timeout=20, headers={"Authorization": f"Bearer {token}"}
            ),
            shop.origin,
            products,
        )
        for token in tokens
    ]

    async def more() -> None:
        """Whatever was killed last, the customers are served."""
        wanted = sum(len(customer.orders) for customer in customers) + ORDERS_BETWEEN
        await eventually(
            lambda: sum(len(customer.orders) for customer in customers) >= wanted or selling.done(),
            within=40,
            what="selling",
        )

    async def sell() -> None:
        async with asyncio.TaskGroup() as group:
            for customer in customers:
                group.create_task(customer.shop_until(closed))

    selling = asyncio.create_task(sell())
    try:
        for name in ("api", "relay", "projector", "api"):
            await more()
            shop.processes[name].kill()
            shop.processes[name].start()
        await more()
    finally:
        closed.set()
        await selling
        for customer in customers:
            await customer.http.aclose()
    return customers


async def read_log(
    shop: Shop, products: Sequence[dict[str, Any]]
) -> tuple[list[Recorded[Event]], list[Listing]]:
    async with write_side(shop.settings) as write:
        recorded = await whole_log(write)
        ids = [ListingId(uuid.UUID(product["uuid"])) for product in products]
        return recorded, [(await write.store.load(LISTINGS, each)).present for each in ids]


def assert_read_models_equal_the_log(
    shop: Shop, customers: Sequence[Customer], recorded: Sequence[Recorded[Any]]
) -> None:
    """Every order is served to its buyer as its events say."""
    histories = streams_of(recorded, ORDERS.name)
    now = {"X-Min-Log-Position": str(recorded[-1].position)}
    for customer in customers:
        token = customer.http.headers["authorization"].removeprefix("Bearer ")
        client = shop.client(token)
        assert client.get("/orders", headers=now).json()["total"] == len(customer.orders)
        for order in customer.orders:
            seen = client.get(f"/orders/{order.placing.answer['id']}", headers=now)
            assert seen.status_code == 200, seen.text
            expected = ("processing", "paid") if order.paying else ("pending", "pending")
            assert (seen.json()["status"], seen.json()["paymentStatus"]) == expected
            history = histories[uuid.UUID(order.uuid)]
            state = ORDERS.after(None, [each.event for each in history])
            assert seen.json() == msgspec.json.decode(encode(order_body(state, history[-1].timestamp)))


def assert_each_key_still_has_its_answer(shop: Shop, customers: Sequence[Customer]) -> None:
    head = shop.head()
    for customer in customers:
        client = shop.client(customer.http.headers["authorization"].removeprefix("Bearer "))
        for order in customer.orders:
            again = client.post(
                "/orders", order.placing.request, headers={"Idempotency-Key": order.placing.key}
            )
            assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
            assert again.json()["uuid"] == order.uuid
            if order.paying:
                paid = client.post(
                    order.paying.path, order.paying.request, headers={"Idempotency-Key": order.paying.key}
                )
                assert (paid.status_code, paid.json()) == (200, order.paying.answer)
    assert shop.head() == head
