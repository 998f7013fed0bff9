"""What it takes to sell: whole checkouts with Stripe's simulator beside, a flash sale, orders at a steady rate."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any, Final

import msgspec
import uvloop

from bench.load import ADDRESS, Caller, drive, order_request, request
from bench.roundtrips import counting_proxy
from bench.shop import Shop, open_shop
from bench.table import Row, show

CLIENTS: Final = 16
CHECKOUTS: Final = 1_500
UNITS: Final = 1_000
BUYERS: Final = 64
TRIES: Final = 24
STEADY_RATE: Final = 200
STEADY_SECONDS: Final = 10.0
STEADY_CONNECTIONS: Final = 32
TOLD_WITHIN: Final = 60.0


class Shown(msgspec.Struct):
    total: float


class Placed(msgspec.Struct, rename="camel"):
    uuid: str
    payment_intent_id: str


class Checkout:
    """Somebody who fills a cart with three things, looks what they come to, orders them and pays at the provider."""

    def __init__(self, shop: Shop, token: str, api: Caller, provider: Caller) -> None:
        assert shop.stripe is not None
        self._token = token
        self._api = api
        self._provider = provider
        self._key = shop.stripe.key

    async def buy(self, products: list[int], name: str) -> str:
        """The order's uuid, once the provider has taken the money."""
        ask, token = self._api.ask, self._token
        lines = [{"id": product, "quantity": 1} for product in products]
        await ask(request("POST", "/api/v1/cart", token=token, body={"products": lines}), 200)
        shown = await ask(
            request(
                "POST",
                "/api/v1/orders/checkout",
                token=token,
                body={"mode": "preview", "items": lines, "shippingAddress": ADDRESS},
            ),
            200,
        )
        total = msgspec.json.decode(shown, type=Shown).total
        body = {"shippingAddress": ADDRESS, "expectedTotal": total}
        headers = {"Idempotency-Key": name}
        placed = await ask(request("POST", "/api/v1/orders", token=token, body=body, headers=headers), 201)
        order = msgspec.json.decode(placed, type=Placed)
        await self._provider.ask(self._confirmation(order.payment_intent_id), 200)
        return order.uuid

    def _confirmation(self, intent_id: str) -> bytes:
        content = b"payment_method=pm_card_visa"
        head = (
            f"POST /v1/payment_intents/{intent_id}/confirm HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {self._key}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        return head.encode() + content


async def checkouts(shop: Shop) -> list[Row]:
    """From the first cart until we have heard of the last payment; then how often one of them waits for Postgres."""
    before = await shop.write.log.head()
    counts = itertools.count()
    async with shop.api(port=shop.door) as port:
        latencies: list[float] = []

        async def keep_buying(number: int) -> None:
            checkout = await _checkout(shop, shop.tokens[number], port)
            while (turn := next(counts)) < CHECKOUTS:
                began = perf_counter()
                await checkout.buy(_three(shop, turn), f"checkout-{turn}")
                latencies.append(perf_counter() - began)

        began = perf_counter()
        await asyncio.gather(*map(keep_buying, range(CLIENTS)))
        await _until_paid(shop, before, CHECKOUTS)
        took = perf_counter() - began
    rate = CHECKOUTS / took
    half, most = (sorted(latencies)[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    trips = await _round_trips(shop)
    return [
        Row(
            name=f"checkouts of three lines, {CLIENTS} clients, paid",
            value=f"{rate:,.0f}/s, p50 {half:.0f} ms, p99 {most:.0f} ms",
            target="≥ 150/s",
            reached=rate >= 150,
        ),
        Row(
            name="round trips to Postgres of one, webhook included",
            value=f"{trips[0]} cold, {min(trips[1:])} warm",
            target="≤ 12",
            reached=min(trips[1:]) <= 12,
        ),
    ]


async def flash_sale(shop: Shop) -> list[Row]:
    """One listing, ``BUYERS`` buyers from two API processes, who try on for a while after all is sold.

    How fast it is sold is until the last unit is; what comes after that is refused, and told besides.
    """
    (product,) = await shop.stock(1, units=UNITS)
    before = await shop.write.log.head()
    async with shop.api() as one, shop.api() as two:
        # What every process does once is not the sale's: it knows its buyers and has its connections open.
        for port in (one, two):
            warm = [
                order_request(token, shop.listings[0], key=f"warm-{port}-{product}-{token[-8:]}")
                for token in shop.tokens
            ]
            (await drive(port, lambda number, warm=warm: iter([warm[number]]), connections=BUYERS)).require(
                201
            )

        def buying(offset: int, connection: int) -> Any:
            token = shop.tokens[offset + connection]
            for turn in range(TRIES):
                yield order_request(token, product, key=f"flash-{product}-{offset}-{connection}-{turn}")

        loads = await asyncio.gather(
            *(
                drive(port, partial(buying, offset), connections=BUYERS // 2)
                for port, offset in ((one, 0), (two, BUYERS // 2))
            )
        )
    answered: Counter[int] = sum((load.require(201, 422).statuses for load in loads), Counter())
    took = max(load.seconds for load in loads)
    placed = 0
    for event in await _events(shop, before):
        placed += event.tag == "order_placed"
    placed -= 2 * BUYERS
    sale = max(load.last_of[201] for load in loads)
    rate = answered[201] / sale
    sold = answered[201] == placed == UNITS
    return [
        Row(
            name=f"{UNITS:,} units, {BUYERS} buyers, 2 processes: orders until all is sold",
            value=f"{rate:,.0f}/s (all {sum(answered.values()):,} answers: {sum(answered.values()) / took:,.0f}/s)",
            target="≥ 800/s",
            reached=rate >= 800,
        ),
        Row(
            name="sold",
            value=f"{answered[201]} answered, {placed} in the log, {answered[422]} refused with 422",
            target=f"exactly {UNITS:,}",
            reached=sold,
        ),
    ]


async def steady(shop: Shop) -> list[Row]:
    """Orders that come whether the last one is answered or not: what waits in our queue counts.

    The second such run of the same process: what a new shop does once, as telling Postgres what is in its tables, is
    not the orders'.
    """
    async with shop.api() as port:
        for run in ("first", "second"):
            latencies = await _steadily(shop, port, run)
    half, most = (sorted(latencies)[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    value = f"p50 {half:.1f} ms, p99 {most:.1f} ms"
    return [
        Row(name=f"POST /orders at {STEADY_RATE}/s", value=value, target="p99 ≤ 60 ms", reached=most <= 60)
    ]


async def _steadily(shop: Shop, port: int, run: str) -> list[float]:
    """Seconds from when each order was due until it was answered."""
    latencies: list[float] = []
    callers = [await Caller.to(port) for _ in range(STEADY_CONNECTIONS)]
    idle: asyncio.Queue[Caller] = asyncio.Queue()
    for caller in callers:
        idle.put_nowait(caller)
    began = perf_counter()

    async def order(turn: int, due: float) -> None:
        caller = await idle.get()
        token = shop.tokens[turn % len(shop.tokens)]
        product = shop.listings[turn % len(shop.listings)]
        await caller.ask(order_request(token, product, key=f"steady-{run}-{turn}"), 201)
        latencies.append(perf_counter() - due)
        idle.put_nowait(caller)

    async with asyncio.TaskGroup() as group:
        for turn in range(int(STEADY_RATE * STEADY_SECONDS)):
            due = began + turn / STEADY_RATE
            await asyncio.sleep(max(0.0, due - perf_counter()))
            group.create_task(order(turn, due))
    for caller in callers:
        caller.close()
    return latencies


async def _round_trips(shop: Shop) -> list[int]:
    """How often one checkout after the other waits for the database."""
    counts: list[int] = []
    async with (
        counting_proxy(shop.postgres.url) as (proxied, counter),
        shop.api(database_url=proxied, port=shop.door) as api,
    ):
        checkout = await _checkout(shop, shop.tokens[0], api)
        for turn in range(5):
            at, before = counter.round_trips, await shop.write.log.head()
            await checkout.buy(_three(shop, turn), f"trips-{turn}")
            await _until_paid(shop, before, 1)
            counts.append(counter.round_trips - at)
    return counts


async def _checkout(shop: Shop, token: str, port: int) -> Checkout:
    assert shop.stripe is not None
    return Checkout(shop, token, await Caller.to(port), await Caller.to(shop.stripe.port))


def _three(shop: Shop, turn: int) -> list[int]:
    return [shop.listings[(turn * 3 + index) % len(shop.listings)] for index in range(3)]


async def _until_paid(shop: Shop, position: int, orders: int) -> None:
    """Until so many orders were confirmed after that position."""
    confirmed = 0
    deadline = perf_counter() + TOLD_WITHIN
    while True:
        stored = await shop.write.log.read(position, 10_000)
        confirmed += sum(event.tag == "order_confirmed" for event in stored)
        if confirmed >= orders:
            return
        position = stored[-1].position if stored else position
        if perf_counter() > deadline:
            raise SystemExit(f"only {confirmed} of {orders} payments were heard of")
        await asyncio.sleep(0.02)


async def _events(shop: Shop, position: int) -> list[Any]:
    events: list[Any] = []
    while stored := await shop.write.log.read(position, 10_000):
        events += stored
        position = stored[-1].position
    return events


async def rows() -> dict[str, list[Row]]:
    measures: dict[str, Callable[[Shop], Any]] = {
        "Flash sale": flash_sale,
        "Orders at a steady rate": steady,
    }
    found: dict[str, list[Row]] = {}
    async with open_shop() as shop:
        for title, measure in measures.items():
            found[title] = await measure(shop)
    async with open_shop(payments=True) as shop:
        found["Whole checkouts, one API process, the provider out of process"] = await checkouts(shop)
    return found


if __name__ == "__main__":
    for title, table in uvloop.run(rows()).items():
        show(title, table)
