"""The catalogue with 100,000 generated listings in it: what it costs to read, to search and to rebuild."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import sys
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import httpx
import psycopg
from rich.console import Console

from bench.at_hand import at_hand
from bench.load import Load, drive, request
from bench.shop import Shop, open_shop
from bench.table import Row, show
from projections.bootstrap import read_side
from projections.products.query import ProductFilter
from workers.assortment import Assortment
from workers.generating import Figures, generate_listings
from workers.seeding import Catalogue

LISTINGS: Final = 100_000
SELLERS: Final = 200
SEED: Final = 1
CONNECTIONS: Final = 16
SECONDS: Final = 6.0
PAGE: Final = 20
CHANGES: Final = 150
QUERIES: Final = 300
PAGES_EACH: Final = 20
FOLLOWING_WITHIN: Final = 900.0
FOUND_WITHIN: Final = 30.0


def _path(**parameters: object) -> bytes:
    return request("GET", f"/api/v1/products?{urlencode(parameters)}")


def _repeated(message: bytes) -> Callable[[int], Iterator[bytes]]:
    return lambda _: itertools.repeat(message)


class Asked:
    """What people ask of this catalogue, other things each time."""

    def __init__(self, numbers: list[int]) -> None:
        self.numbers = numbers
        catalogue = Catalogue.read()
        articles = [
            Assortment(catalogue, sellers=SELLERS, seed=SEED).article(index) for index in range(QUERIES)
        ]
        self.titles = [article.title for article in articles]
        self.brands = {article.category: article.brand for article in articles if article.brand}
        self._next = itertools.count()

    def details(self, _: int) -> Iterator[bytes]:
        """No two in a row of a hundred thousand are the same."""
        while True:
            number = self.numbers[next(self._next) % len(self.numbers)]
            yield request("GET", f"/api/v1/products/{number}")

    def lists(self, connection: int) -> Iterator[bytes]:
        """A category and a range of prices that nobody has asked for before."""
        chance = random.Random(connection)  # the same in each run
        categories = list(self.brands)
        while True:
            lowest = round(chance.uniform(1, 60), 2)
            yield _path(
                category=chance.choice(categories),
                minPrice=lowest,
                maxPrice=round(lowest * chance.uniform(1.5, 8), 2),
                limit=PAGE,
            )

    def words(self) -> list[str]:
        """Two or three words of a title, as somebody would search for it."""
        chance = random.Random(SEED)  # as above
        said = [title.split() for title in self.titles]
        return [" ".join(words[: chance.choice((2, 2, 3))]) for words in said]

    def beginnings(self) -> list[str]:
        """What is typed of them, letter by letter."""
        return [word[:length] for word in self.words() for length in (2, 4, 7) if len(word) >= length]


async def reading(shop: Shop, asked: Asked) -> list[Row]:
    """One API process, ``CONNECTIONS`` connections."""
    async with shop.api() as port:
        detail = await at_hand(shop, port, f"/api/v1/products/{asked.numbers[0]}")
        uncached = await _measured(port, asked.details)
        category, brand = next(iter(asked.brands.items()))
        fixed = await _measured(port, _repeated(_path(category=category, brand=brand, limit=PAGE)))
        varying = await _measured(port, asked.lists)
        pages = await _pages(port, list(asked.brands))
        cursor = await _measured(
            port, lambda connection: itertools.cycle(pages[connection:] + pages[:connection])
        )
    return [
        *detail,
        _rate_row("product detail, another one each time", uncached, 3_000),
        _rate_row(f"list page of {PAGE}, two filters, the same each time", fixed, 1_500),
        _rate_row(f"list page of {PAGE}, two filters, others each time", varying, 1_500),
        _rate_row(f"list page of {PAGE} by cursor, {len(pages)} of them", cursor, 0),
    ]


async def _pages(port: int, categories: list[str]) -> list[bytes]:
    """Requests for pages that follow another one, of every category."""
    pages: list[bytes] = []
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1") as client:
        for category in categories:
            cursor = ""
            for _ in range(PAGES_EACH):
                asked = {"category": category, "cursor": cursor, "limit": PAGE}
                cursor = (await client.get("/products", params=asked)).raise_for_status().json()["nextCursor"]
                if not cursor:
                    break
                pages.append(_path(**asked | {"cursor": cursor}))
    return pages


async def searching(shop: Shop, asked: Asked) -> list[Row]:
    """One connection. What the engine is asked directly is what our code has asked it for the same page."""
    assert shop.opensearch is not None, "the figures are about OpenSearch"
    sent: list[bytes] = []
    async with read_side(shop.postgres.url, opensearch_url=shop.opensearch.url, connections=2) as read:
        assert read.opensearch is not None, "as above"
        transport = read.opensearch.transport
        perform = transport.perform_request

        async def heard(method: str, url: str, params: Any = None, body: Any = None, **more: Any) -> Any:
            target = f"{url}?{urlencode(params)}" if params else url
            sent.append(request(method, target, body=body))
            return await perform(method, url, params=params, body=body, **more)

        transport.perform_request = heard  # type: ignore[method-assign]
        for words in asked.words():
            page = await read.search.search(ProductFilter(words=words, limit=PAGE))
            assert page.engine == "opensearch", "the engine that is measured is the one that answers"
    engine_port = urlsplit(shop.opensearch.url).port
    assert engine_port is not None
    over_http = [
        request("GET", f"/api/v1/products/search?{urlencode({'q': words, 'limit': PAGE})}")
        for words in asked.words()
    ]
    suggestions = [
        request("GET", f"/api/v1/search/suggest?{urlencode({'q': typed})}") for typed in asked.beginnings()
    ]
    direct: list[float] = []
    whole: list[float] = []
    async with shop.api() as port:
        for turn in range(
            3
        ):  # in turns, so that neither comes to a colder server; the first round warms up both
            for messages, to, latencies in ((sent, engine_port, direct), (over_http, port, whole)):
                load = await drive(to, lambda _, m=messages: iter(m), connections=1)
                latencies.extend(load.require(200).latencies if turn else ())
        await drive(port, lambda _: iter(suggestions[:100]), connections=1)
        typed = (await drive(port, lambda _: iter(suggestions), connections=1)).require(200)
    ours, theirs = median(whole) * 1000, median(direct) * 1000
    p95 = typed.percentile(0.95)
    return [
        Row(
            name=f"search page of {PAGE}, {QUERIES} different questions",
            value=f"{ours:.1f} ms, of which the engine {theirs:.1f} ms, at the median",
            target="≤ 3 ms more",
            reached=ours - theirs <= 3,
        ),
        Row(
            name="suggestions, what is typed of them",
            value=f"p95 {p95:.1f} ms (p50 {typed.percentile(0.5):.1f} ms)",
            target="p95 ≤ 30 ms",
            reached=p95 <= 30,
        ),
    ]


async def finding(shop: Shop) -> list[Row]:
    """From sending what publishes or hides a listing to search over HTTP having it, or no more."""
    assert shop.opensearch is not None, "as above"
    appeared: list[float] = []
    vanished: list[float] = []
    async with (
        shop.api() as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1") as client,
    ):
        headers = {"Authorization": f"Bearer {await shop.admin()}"}

        async def until_found(word: str, count: int) -> None:
            """As others see it: who has changed something waits for it with the first question (X-Min-Log-Position)."""
            client.cookies.clear()
            async with asyncio.timeout(FOUND_WITHIN):
                while True:
                    found = (await client.get("/products/search", params={"q": word})).raise_for_status()
                    by_engine = found.headers["X-Search-Engine"] == "opensearch"
                    if by_engine and found.json()["total"] == count:
                        return

        for _ in range(CHANGES):
            word = secrets.token_hex(8)
            number = await shop.draft(word)
            for path, count, took in (
                (f"/products/{number}/publish", 1, appeared),
                (f"/products/{number}/unpublish", 0, vanished),
            ):
                began = perf_counter()
                (await client.post(path, headers=headers)).raise_for_status()
                await until_found(word, count)
                took.append(perf_counter() - began)
    return [
        _delay_row("published to found", appeared),
        _delay_row("hidden to gone", vanished),
    ]


def _delay_row(name: str, took: list[float]) -> Row:
    ordered = sorted(took)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1000 for share in (0.5, 0.99))
    value = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms ({len(took)} times)"
    return Row(name=name, value=value, target="p99 < 1,000 ms", reached=p99 < 1_000)


async def rebuilding(shop: Shop) -> list[Row]:
    """From the request to the switch, the comparison of all rows included."""
    rows = []
    head = await shop.write.log.head()
    async with read_side(shop.postgres.url, connections=2) as read:
        for name in ("products", "product_search"):
            before = (await read.generations.projection(name)).active.generation
            began = perf_counter()
            await read.generations.request_rebuild(name)
            while (status := await read.generations.projection(name)).active.generation == before:
                assert status.latest.state in {"active", "building"}, status.latest.error
                await asyncio.sleep(0.1)
            seconds = perf_counter() - began
            value = f"{seconds:.0f} s, {head / seconds:,.0f} events/s ({head:,} events; {status.active.comparison})"
            rows.append(Row(name=f"rebuild of {name}", value=value))
    return rows


async def _measured(port: int, requests: Callable[[int], Iterator[bytes]]) -> Load:
    await drive(port, requests, connections=CONNECTIONS, seconds=1.0)
    return (await drive(port, requests, connections=CONNECTIONS, seconds=SECONDS)).require(200)


def _rate_row(name: str, load: Load, target: int) -> Row:
    value = f"{load.rate:,.0f}/s, p50 {load.percentile(0.5):.1f} ms, p99 {load.percentile(0.99):.1f} ms"
    return Row(
        name=name, value=value, target=f"≥ {target:,}/s" if target else "", reached=load.rate >= target
    )


async def _ready(shop: Shop, listings: int) -> tuple[Figures, Asked]:
    """A shop with so many listings, and both read models that far."""
    figures = await generate_listings(
        shop.environment, Console(width=140), listings=listings, sellers=SELLERS, seed=SEED
    )
    async with read_side(shop.postgres.url, connections=2) as read:
        await read.positions.wait("product_search", figures.position, timeout=FOLLOWING_WITHIN)
        found = await read.reads.all("SELECT number FROM products WHERE visible ORDER BY number")
    async with await psycopg.AsyncConnection.connect(shop.postgres.url, autocommit=True) as connection:
        await connection.execute("VACUUM ANALYZE")  # which comes by itself, some time
    numbers = [number for (number,) in found]
    random.Random(SEED).shuffle(numbers)  # as above
    return figures, Asked(numbers)


async def rows(listings: int = LISTINGS) -> dict[str, list[Row]]:
    async with open_shop(buyers=1, listings=0, search=True) as shop:
        figures, asked = await _ready(shop, listings)
        rate = sum(figures.fates.values()) / figures.seconds
        generated = Row(
            name="tradelog generate", value=f"{rate:,.0f} listings/s, {figures.position:,} events"
        )
        return {
            f"{listings:,} listings": [generated, *await rebuilding(shop)],
            f"Reading {listings:,} listings, one API process, {CONNECTIONS} connections": await reading(
                shop, asked
            ),
            f"Searching {listings:,} listings on OpenSearch, one API process": [
                *await searching(shop, asked),
                *await finding(shop),
            ],
        }


if __name__ == "__main__":
    for title, found in asyncio.run(rows(int(sys.argv[1]) if len(sys.argv) > 1 else LISTINGS)).items():
        show(title, found)
