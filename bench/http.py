"""What a request costs over HTTP: rates with one API process, and round trips to the database."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from functools import partial
from time import perf_counter

import httpx
import uvloop

from bench.at_hand import at_hand
from bench.load import Load, drive, order_request, request
from bench.roundtrips import counting_proxy
from bench.shop import Shop, open_shop
from bench.table import Row, show

LIST = "/api/v1/products/category/things?limit=20&brand=Acme&minPrice=5"
CONNECTIONS = 16
SECONDS = 6.0
WAITS = 90
"""Of one thing there are never more than 99 in a cart."""


def _repeated(message: bytes) -> Iterator[bytes]:
    return itertools.repeat(message)


def _once(message: bytes, _: int) -> Iterator[bytes]:
    return iter([message])


def _adding(shop: Shop, connection: int) -> Iterator[bytes]:
    token = shop.tokens[connection]
    for turn in itertools.count():
        product = shop.listings[(connection * 7 + turn) % 20]
        # The quantity stays in bounds: a line is set anew after it was added to.
        if turn % 100 == 99:
            for other in shop.listings[:20]:
                yield request("DELETE", f"/api/v1/cart/items/{other}", token=token)
        yield request("POST", "/api/v1/cart/items", token=token, body={"productId": product, "quantity": 1})


def _ordering(shop: Shop, connection: int) -> Iterator[bytes]:
    for turn in itertools.count():
        product = shop.listings[(connection + turn * CONNECTIONS) % len(shop.listings)]
        yield order_request(shop.tokens[connection], product, key=f"bench-{connection}-{turn}")


async def rates(shop: Shop) -> list[Row]:
    """One API process, ``CONNECTIONS`` connections."""
    async with shop.api() as port:
        detail = await at_hand(shop, port, f"/api/v1/products/{shop.listings[0]}")
        guarded = request("GET", f"/api/v1/products/{shop.listings[0]}", token=shop.tokens[0])
        fetched = await _measured(port, lambda _: _repeated(guarded), 200)
        listing = await _measured(port, lambda _: _repeated(request("GET", LIST)), 200)
        asked_anew = request("GET", LIST, token=shop.tokens[0])
        listed = await _measured(port, lambda _: _repeated(asked_anew), 200)
        adding = await _measured(port, lambda connection: _adding(shop, connection), 200, 201)
        ordering = await _measured(port, lambda connection: _ordering(shop, connection), 201)
    return [
        *detail,
        Row(name="product detail by a member (never at hand, one fetch)", value=f"{fetched.rate:,.0f}/s"),
        _rate_row("list of 20 with two filters", listing, 1500),
        Row(name="list of 20 with two filters by a member (never at hand)", value=f"{listed.rate:,.0f}/s"),
        _rate_row("add to cart", adding, 1500),
        _rate_row("POST /orders (one line, Idempotency-Key)", ordering, 500),
    ]


async def waiting(shop: Shop) -> list[Row]:
    """How long somebody waits who reads, right after a write, what that write is nothing to: their wishlist."""
    token = shop.tokens[-1]
    rows: list[Row] = []
    async with (
        shop.api() as port,
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}/api/v1", headers={"Authorization": f"Bearer {token}"}
        ) as client,
    ):
        others: asyncio.Task[Load] | None = None
        for meanwhile in ("nobody else", f"{CONNECTIONS} others add to their carts"):
            if rows:
                busy = drive(
                    port, lambda number: _adding(shop, number), connections=CONNECTIONS, seconds=SECONDS
                )
                others = asyncio.create_task(busy)
            waits: list[float] = []
            while len(waits) < WAITS and (others is None or not others.done()):
                line = {"productId": shop.listings[-1 - len(rows)], "quantity": 1}
                written = (await client.post("/cart/items", json=line)).raise_for_status()
                client.cookies.clear()
                position = {"X-Min-Log-Position": written.headers["X-Log-Position"]}
                began = perf_counter()
                (await client.get("/wishlist", headers=position)).raise_for_status()
                waits.append(perf_counter() - began)
            p50, p99 = (sorted(waits)[int(len(waits) * share)] * 1000 for share in (0.5, 0.99))
            rows.append(Row(name=f"meanwhile {meanwhile}", value=f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"))
        if others is not None:
            (await others).require(200, 201)
    return rows


async def round_trips(shop: Shop) -> list[Row]:
    """How often a request waits for the database, by a proxy that counts; each request is sent warm."""
    async with (
        counting_proxy(shop.postgres.url) as (proxied, counter),
        shop.api(database_url=proxied) as api,
    ):
        token, product = shop.tokens[0], shop.listings[1]
        cases = [
            ("product detail", 1, lambda _: request("GET", f"/api/v1/products/{product}"), 200),
            (
                "add to cart",
                2,
                lambda _: request(
                    "POST", "/api/v1/cart/items", token=token, body={"productId": product, "qty": 1}
                ),
                201,
            ),
            ("POST /orders", 4, lambda turn: order_request(token, product, key=f"trips-{turn}"), 201),
        ]
        rows: list[Row] = []
        for name, most, make, status in cases:
            counts: list[int] = []
            for turn in range(5):
                before = counter.round_trips
                message = make(turn)
                (await drive(api, partial(_once, message), connections=1)).require(status)
                counts.append(counter.round_trips - before)
            value = f"{counts[0]} cold, {min(counts[1:])} warm"
            rows.append(Row(name=name, value=value, target=f"≤ {most}", reached=min(counts[1:]) <= most))
        return rows


async def _measured(port: int, requests: object, *statuses: int) -> Load:
    assert callable(requests)
    await drive(port, requests, connections=CONNECTIONS, seconds=1.0)
    return (await drive(port, requests, connections=CONNECTIONS, seconds=SECONDS)).require(*statuses)


def _rate_row(name: str, load: Load, target: int) -> Row:
    value = f"{load.rate:,.0f}/s, p50 {load.percentile(0.5):.1f} ms, p99 {load.percentile(0.99):.1f} ms"
    return Row(name=name, value=value, target=f"≥ {target:,}/s", reached=load.rate >= target)


async def rows() -> dict[str, list[Row]]:
    async with open_shop() as shop:
        return {
            "HTTP, one API process, 16 connections": await rates(shop),
            "Reading one's write where it changed nothing": await waiting(shop),
            "Round trips to Postgres per request": await round_trips(shop),
        }


if __name__ == "__main__":
    for title, found in uvloop.run(rows()).items():
        show(title, found)
