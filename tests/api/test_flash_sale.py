"""More buyers than units, at more than one door: who is told that it is theirs gets one, and nobody else."""

import asyncio
from collections import Counter
from typing import Any

import httpx

from application.bootstrap import write_side
from domain.kernel import Event
from domain.orders.events import OrderPlaced
from tests.api.shop import ADDRESS, Client, Shop, a_product, assert_problem

UNITS = 100
BUYERS = 64
TRIES = 2


def test_of_64_buyers_at_two_processes_exactly_100_orders_get_the_100_units(
    shop: Shop, admin: Client, category: str
) -> None:
    product = admin.made("/products/add", a_product(category, stock=UNITS))
    tokens = shop.tokens(BUYERS)
    before = shop.head()
    with shop.another_api() as other:
        answers: list[httpx.Response] = shop.run(rush(product["id"], tokens, (shop.origin, other)))

    assert Counter(answer.status_code for answer in answers) == {201: UNITS, 422: BUYERS * TRIES - UNITS}
    for refusal in (answer for answer in answers if answer.status_code == 422):
        assert_problem(refusal, 422, "INSUFFICIENT_STOCK")
    promised = [answer.json()["uuid"] for answer in answers if answer.status_code == 201]
    events = shop.run(events_after(shop, before))
    placed = [event for event in events if isinstance(event, OrderPlaced)]
    assert sorted(str(order.order_id) for order in placed) == sorted(promised)
    assert {(str(line.listing_id), line.quantity) for order in placed for line in order.lines} == {
        (product["uuid"], 1)
    }
    now = {"X-Min-Log-Position": str(shop.head())}
    seen = shop.guest.get(f"/products/{product['id']}", headers=now).json()
    assert (seen["stock"], seen["inStock"]) == (0, False)


async def rush(product: int, tokens: list[str], origins: tuple[str, str]) -> list[httpx.Response]:
    """Everybody at once, each at one of the doors, and once more as soon as they are answered."""
    at_once = asyncio.Barrier(len(tokens))

    async def buy(client: httpx.AsyncClient, token: str) -> list[httpx.Response]:
        body: dict[str, Any] = {"products": [{"id": product, "quantity": 1}], "shippingAddress": ADDRESS}
        await at_once.wait()
        return [
            await client.post("/api/v1/orders", json=body, headers={"Authorization": f"Bearer {token}"})
            for _ in range(TRIES)
        ]

    async with (
        httpx.AsyncClient(base_url=origins[0], timeout=30) as one,
        httpx.AsyncClient(base_url=origins[1], timeout=30) as two,
    ):
        doors = (one, two)
        each = await asyncio.gather(*(buy(doors[number % 2], token) for number, token in enumerate(tokens)))
    return [answer for answers in each for answer in answers]


async def events_after(shop: Shop, position: int) -> list[Event]:
    async with write_side(shop.settings) as write:
        stored = await write.log.read(position, 10_000)
        return [recorded.event for recorded in await write.log.decode(stored)]
