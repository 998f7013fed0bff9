"""Whoever works for them is killed and what the provider says is lost, while eight clients buy: the money is safe."""

from __future__ import annotations

import asyncio
import random
import shutil
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import pytest

from api.wire import encode
from application.bootstrap import WriteSide, write_side
from application.errors import ConcurrentChangeError, UnavailableError
from domain.accounts.events import Role
from domain.kernel import Event, Recorded
from domain.listings.listing import LISTINGS, Listing
from domain.orders.events import OrderStatus, ReturnStatus
from domain.orders.order import ORDERS, Order
from domain.payments.payment import PAYMENTS, Payment, PaymentState, RefundState
from projections.bootstrap import ReadSide, read_side
from projections.orders.order import order_body
from tests.api.logged import assert_dense, streams_of, whole_log
from tests.api.shop import ADDRESS, Shop, a_product
from tests.conftest import FreshDatabase
from tests.support import eventually
from workers.jobs import cancel_unpaid, retry_refunds
from workers.local.process import Process, answers_http
from workers.reconciling import reconcile_payments

CLIENTS: Final = 8
PLENTY, SCARCE = 100_000, 60
ORDERS_BETWEEN: Final = 25
"""How many more orders are answered before somebody is killed again."""
KILLED: Final = ("api", "reactor", "relay", "projector")
FATES: Final = {
    "paid": 8,
    "declined": 2,
    "at the bank": 2,
    "by a second factor": 2,
    "left": 1,
    "cancelled": 2,
    "returned": 2,
}
"""What becomes of an order that was placed, and how often."""


@pytest.fixture
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    """With a reactor, and with little patience for those who do not pay."""
    folder = servers_folder / "surviving"
    with (
        fresh_database() as url,
        Shop(url, folder, ORDER_UNPAID_AFTER="2s", REFUND_RETRY_AFTER="1s") as shop,
        shop.also("workers.reactor") as reactor,
    ):
        shop.processes["reactor"] = reactor
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Client:
    """Asks until it is answered, each time with the key of the first."""

    http: httpx.AsyncClient
    origin: str
    cut_off: int = 0

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None, *statuses: int
    ) -> dict[str, Any]:
        key = str(uuid.uuid4())
        while True:
            try:
                answer = await self.http.request(method, path, json=body, headers={"Idempotency-Key": key})
            except httpx.TransportError:
                self.cut_off += 1
                await eventually(
                    lambda: answers_http(f"{self.origin}/health", any_status=True), within=30, what="an API"
                )
                continue
            if answer.status_code in {503, 409} and answer.status_code not in statuses:
                # Back, and not yet whole; or others change the same thing: nothing was acknowledged.
                continue
            assert answer.status_code in statuses, f"{method} {path} {body}: {answer.text}"
            found: dict[str, Any] = {"status_code": answer.status_code, **answer.json()}
            return found


@dataclass
class Customer(Client):
    """Buys again and again, and does with it what buyers do."""

    chance: random.Random = field(default_factory=random.Random)
    products: Sequence[dict[str, Any]] = ()
    office: Client | None = None
    simulator: httpx.AsyncClient | None = None
    placed: list[dict[str, Any]] = field(default_factory=list)
    fates: Counter[str] = field(default_factory=Counter)

    async def shop_until(self, closed: asyncio.Event) -> None:
        while not closed.is_set():
            await self.buy()

    async def buy(self) -> None:
        chosen = self.chance.sample(self.products, self.chance.randint(1, len(self.products)))
        lines = {"products": [{"id": each["id"], "quantity": self.chance.randint(1, 2)} for each in chosen]}
        if self.chance.random() < 0.4:  # what is in the cart is gone from there once it is bought
            line = {"productId": self.products[0]["id"], "quantity": 2}
            await self.ask("POST", "/cart", line, 201)
            lines = {}
        order = await self.ask("POST", "/orders", {**lines, "shippingAddress": ADDRESS}, 201, 422)
        if order["status_code"] == 422:
            assert order["code"] == "INSUFFICIENT_STOCK"
            return
        self.placed.append(order)
        (fate,) = self.chance.choices(list(FATES), list(FATES.values()))
        self.fates[fate] += 1
        await self.pay(order, fate)
        match fate:
            case "cancelled":
                await self.ask("PUT", f"/orders/{order['id']}/cancel", {"reason": "Not wanted"}, 200)
            case "returned":
                await self.send_back(order)

    async def pay(self, order: Mapping[str, Any], fate: str) -> None:
        intent_id = order["paymentIntentId"]
        confirm = f"/payments/intents/{intent_id}/confirm"
        match fate:
            case "left":
                return
            case "declined":
                refused = await self.ask("POST", confirm, card("pm_card_chargeDeclined"), 422)
                assert refused["code"] == "PAYMENT_FAILED"
            case "at the bank":
                await self.ask("POST", confirm, card("pm_usBankAccount_success"), 200)
                return
            case "by a second factor":
                await self.ask("POST", confirm, card("pm_card_threeDSecure2Required"), 200)
                assert self.simulator is not None
                path = f"/simulator/payment_intents/{intent_id}/authenticate"
                (await self.simulator.post(path)).raise_for_status()
                return
        method = self.chance.choice(("pm_card_visa", "pm_card_pendingRefund"))
        paid = await self.ask("POST", confirm, card(method), 200)
        assert paid["status"] == "succeeded"

    async def send_back(self, order: Mapping[str, Any]) -> None:
        assert self.office is not None
        path = f"/orders/{order['id']}"
        await self.office.ask("PATCH", f"/admin{path}/status", {"status": "delivered"}, 200)
        asked = await self.ask("POST", f"{path}/return", {"reason": "It does not fit"}, 201)
        restock = self.chance.random() < 0.7
        await self.office.ask("POST", f"{path}/returns/{asked['id']}/receive", {"restock": restock}, 200)


def card(method: str) -> dict[str, str]:
    return {"paymentMethodId": method}


@pytest.mark.parametrize("seed", [6])
def test_the_money_is_where_the_goods_are_not(shop: Shop, seed: int) -> None:
    admin = shop.staff(Role.ADMIN)
    category = admin.made("/admin/categories", {"name": "Smartphones"})["slug"]
    products = [
        admin.made("/products/add", a_product(category, stock=stock)) for stock in (PLENTY, PLENTY, SCARCE)
    ]
    stock = {uuid.UUID(product["uuid"]): product["stock"] for product in products}
    tokens = [admin.token, *shop.tokens(CLIENTS)]
    customers = shop.run(kill_while_selling(shop, tokens, products, seed))
    placed = [order for customer in customers for order in customer.placed]
    assert len(placed) >= 6 * ORDERS_BETWEEN
    assert sum((customer.fates for customer in customers), Counter()).keys() == FATES.keys()
    assert min(customer.cut_off for customer in customers) >= 1

    shop.run(everything_has_ended(shop))
    assert dropped_by_stripe(shop) > 0
    recorded, charges, intents, compared = shop.run(what_there_is(shop))
    assert_dense(recorded)
    assert_stock_is_right(recorded, stock)
    orders = folded(recorded, ORDERS)
    assert Counter(str(order_id) for order_id in orders) == Counter(order["uuid"] for order in placed)
    assert_money_is_right(list(orders.values()), list(folded(recorded, PAYMENTS).values()), charges, intents)
    assert {name: equal for name, equal in compared.items() if not equal.startswith("equal to")} == {}
    assert_buyers_see_the_log(shop, customers, recorded)


async def kill_while_selling(
    shop: Shop, tokens: Sequence[str], products: Sequence[dict[str, Any]], seed: int
) -> list[Customer]:
    chance = random.Random(seed)
    closed = asyncio.Event()
    simulator = httpx.AsyncClient(base_url=shop.stripe.url, headers=bearer(shop.stripe.key), timeout=20)
    bad = {"duplicate": 0.3, "drop": 0.2, "reorder": True, "seed": seed}
    (await simulator.post("/simulator/webhooks", json=bad)).raise_for_status()
    (await simulator.post("/simulator/pace", json={"settle_after": 0.3})).raise_for_status()

    def http(token: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=f"{shop.origin}/api/v1", timeout=20, headers=bearer(token))

    office = Client(http(tokens[0]), shop.origin)
    customers = [
        Customer(
            http(token),
            shop.origin,
            chance=random.Random(f"{seed}-{number}"),
            products=products,
            office=office,
            simulator=simulator,
        )
        for number, token in enumerate(tokens[1:])
    ]

    def sold() -> int:
        return sum(len(customer.placed) for customer in customers)

    async def more() -> None:
        """Whoever was killed last, the customers are served."""
        wanted = sold() + ORDERS_BETWEEN
        await eventually(lambda: sold() >= wanted or selling.done(), within=40, what="selling")

    async def sell() -> None:
        async with asyncio.TaskGroup() as group:
            for customer in customers:
                group.create_task(customer.shop_until(closed))

    selling = asyncio.create_task(sell())
    try:
        for name in [*chance.sample(KILLED, len(KILLED)), "api"]:
            await more()
            kill(shop.processes[name])
        await more()
    finally:
        closed.set()
        await selling
        for client in (*(customer.http for customer in customers), office.http, simulator):
            await client.aclose()
    return customers


def kill(process: Process) -> None:
    process.kill()
    process.start()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


class Later:
    """What the jobs leave alone because it is young is not, by this clock."""

    def __init__(self, write: WriteSide) -> None:
        self._write = write

    def now(self) -> datetime:
        return self._write.clock.now() + timedelta(minutes=10)


async def everything_has_ended(shop: Shop) -> None:
    """The jobs that repair what was lost, as often as it takes; nothing that was dropped is sent again."""
    async with write_side(shop.settings) as write, read_side(shop.database_url) as read:

        async def ended() -> bool:
            await repair(shop, write, read)
            recorded = await whole_log(write)
            payments = folded(recorded, PAYMENTS).values()
            return not any(payment.unsettled or owes(payment) for payment in payments) and all(
                order.status is not OrderStatus.PENDING and not awaits_money(order)
                for order in folded(recorded, ORDERS).values()
            )

        await eventually(ended, within=60, what="the end of everything")


async def repair(shop: Shop, write: WriteSide, read: ReadSide) -> None:
    later, patience = Later(write), shop.settings.unpaid_after
    with suppress(UnavailableError, ConcurrentChangeError, ExceptionGroup):  # they come again
        await cancel_unpaid(write.bus, read.reads, write.clock, patience)
        await reconcile_payments(write.bus, read.reads, later, actor="tests")
        await retry_refunds(write.bus, read.reads, later, shop.settings.refund_patience)


def owes(payment: Payment) -> bool:
    """Whether money that should be back is not."""
    return any(
        refund.status is RefundState.FAILED and not payment.retried(name)
        for name, refund in payment.refunds.items()
    )


def awaits_money(order: Order) -> bool:
    return any(each.status is ReturnStatus.RECEIVED and each.refund_id for each in order.returns)


async def what_there_is(
    shop: Shop,
) -> tuple[list[Recorded[Event]], list[dict[str, Any]], list[dict[str, Any]], dict[str, str]]:
    """The log, the provider's charges and intents, and how each read model compares with one made from the log."""
    async with write_side(shop.settings) as write, read_side(shop.database_url) as read:
        names = [each.name for each in await read.generations.list_projections()]
        requests = [await read.generations.request_check(name) for name in names]

        async def compared() -> bool:
            return all(
                [(await read.generations.request(each)).done_at is not None for each in requests]
            ) and all(status.building is None for status in await read.generations.list_projections())

        await eventually(compared, within=60, what="the comparison of read models with the log")
        newest = {name: (await read.generations.rows(name))[0] for name in names}
        return (
            await whole_log(write),
            await at_stripe(shop, "charges"),
            await at_stripe(shop, "payment_intents"),
            {name: row.error or row.comparison for name, row in newest.items()},
        )


def dropped_by_stripe(shop: Shop) -> int:
    answer = httpx.get(f"{shop.stripe.url}/simulator/webhooks", headers=bearer(shop.stripe.key)).json()
    dropped: int = answer["events"]["dropped"]
    return dropped


async def at_stripe(shop: Shop, resource: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    page: dict[str, Any] = {"limit": 100}
    async with httpx.AsyncClient(base_url=shop.stripe.url, headers=bearer(shop.stripe.key)) as http:
        while True:
            answer = (await http.get(f"/v1/{resource}", params=page)).json()
            found += answer["data"]
            if not answer["has_more"]:
                return found
            page["starting_after"] = found[-1]["id"]


def folded(recorded: Sequence[Recorded[Any]], decider: Any) -> dict[uuid.UUID, Any]:
    """All things of a kind, as the log leaves them."""
    return {
        stream: decider.fold(None, [each.event for each in history])
        for stream, history in streams_of(recorded, decider.name).items()
    }


def assert_stock_is_right(recorded: Sequence[Recorded[Any]], initial: Mapping[uuid.UUID, int]) -> None:
    """Never negative at any position; in the end what there was, without what was sold, with what came back."""
    orders: list[Order] = list(folded(recorded, ORDERS).values())
    for listing_id, history in streams_of(recorded, LISTINGS.name).items():
        listing: Listing | None = None
        for each in history:
            listing = LISTINGS.after(listing, [each.event])
            assert 0 <= listing.reserved <= listing.stock
        assert listing is not None
        sold = back = 0
        for order in orders:
            if order.committed and not order.cancelled:
                sold += sum(line.quantity for line in order.lines if line.listing_id == listing_id)
            back += sum(each.lines.get(listing.id, 0) for each in order.returns if each.restocked)
        assert (listing.stock, listing.reserved) == (initial[listing_id] - sold + back, 0)


def assert_money_is_right(
    orders: Sequence[Order],
    payments: Sequence[Payment],
    charges: Sequence[dict[str, Any]],
    intents: Sequence[dict[str, Any]],
) -> None:
    """By our books and by the provider's, each order has one payment that was made and not sent back, or none."""
    held: Counter[str] = Counter()
    for charge in charges:
        if charge["paid"]:
            held[charge["payment_intent"]] += charge["amount"] - charge["amount_refunded"]
    kept: Counter[Any] = Counter()
    paying: Counter[Any] = Counter()
    for payment in payments:
        made = payment.status is PaymentState.SUCCEEDED
        back = sum(
            each.amount.minor for each in payment.refunds.values() if each.status is RefundState.SUCCEEDED
        )
        assert held[payment.intent_id] == (payment.amount.minor - back if made else 0)
        kept[payment.order_id] += held[payment.intent_id]
        paying[payment.order_id] += bool(held[payment.intent_id])
    assert set(held) <= {payment.intent_id for payment in payments}, "money of which we know nothing"
    for order in orders:
        stands = order.paid and not order.cancelled
        assert kept[order.id] == (order.total.minor - order.refunded.minor if stands else 0)
        assert paying[order.id] <= 1
        assert stands or order.cancelled
    assert sum(held.values()) == sum(
        order.total.minor - order.refunded.minor for order in orders if not order.cancelled
    )
    assert {intent["status"] for intent in intents} == {"succeeded", "canceled"}


def assert_buyers_see_the_log(
    shop: Shop, customers: Sequence[Customer], recorded: Sequence[Recorded[Any]]
) -> None:
    histories = streams_of(recorded, ORDERS.name)
    now = {"X-Min-Log-Position": str(recorded[-1].position)}
    for customer in customers:
        client = shop.client(customer.http.headers["authorization"].removeprefix("Bearer "))
        assert client.get("/orders", headers=now).json()["total"] == len(customer.placed)
        for placed in customer.placed[::5]:
            history = histories[uuid.UUID(placed["uuid"])]
            state = ORDERS.after(None, [each.event for each in history])
            seen = client.get(f"/orders/{placed['id']}", headers=now).json()
            assert seen == msgspec.json.decode(encode(order_body(state, history[-1].timestamp)))
