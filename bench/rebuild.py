"""How fast the product read model is: from the log's beginning, and from a command to its being seen.

``python -m bench.rebuild`` prints the rows; ``make bench`` puts them into its table.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from nats.aio.client import Client
from psycopg_pool import AsyncConnectionPool

from application.adapters.appending import Append, NewEvent
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import LogDatastore, PostgresEventLog
from application.adapters.keys import MemoryPersonKeys
from application.adapters.schema import create_schema_async
from application.ports import Metadata
from bench.table import Row, show
from domain.kernel import CategoryId, Event, ListingId, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingPriceChanged, ListingPublished, StockAdjusted
from domain.money import Money
from domain.registry import AGGREGATES, EVENTS
from projections.adapters.positions import Positions
from projections.generations import Generations
from projections.ports import UnknownProjectionError
from projections.products.projector import PRODUCTS
from workers.jetstream import DOORBELL, connect
from workers.lease import lone_connection
from workers.local.nats import Nats
from workers.local.postgres import Postgres
from workers.projector import Projector
from workers.relay import Relay

LOG_EVENTS: Final = 200_000
EVENTS_EACH: Final = 20
COMMANDS_PER_SECOND: Final = 500
SECONDS: Final = 10
METADATA: Final = Metadata(actor="bench")


class Writer:
    """Listings as sellers make and change them."""

    def __init__(self, events: PostgresEventLog, codec: EventCodec) -> None:
        self._log = events
        self._codec = codec
        self._versions: dict[UUID, int] = {}

    async def append(self, events: Sequence[tuple[UUID, Event]]) -> int:
        new: list[NewEvent] = []
        for stream, event in events:
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
            tag, state = await self._codec.encode(event, stream, datetime.now(UTC), METADATA)
            new.append(NewEvent(stream, version, tag, state))
        return await self._log.append(Append(events=new))

    async def fill(self, events: int) -> None:
        numbers = range(1, events // EVENTS_EACH + 1)
        for start in range(0, len(numbers), 50):
            await asyncio.gather(*(self.append(history(number)) for number in numbers[start : start + 50]))


def history(number: int) -> list[tuple[UUID, Event]]:
    listing = ListingId(stream_id("listing", number))
    created = ListingCreated(
        listing_id=listing,
        number=number,
        seller_id=SellerId(UUID(int=number % 100)),
        slug=f"product-{number}",
        title=f"A very useful product {number}",
        description="It does what it should, it lasts, and it looks well on any shelf. " * 3,
        price=Money(1_000 + number),
        category_id=CategoryId(UUID(int=number % 20)),
        category=f"category-{number % 20}",
        brand=f"Brand {number % 50}",
        tags=("useful", "lasting"),
        stock=100,
        thumbnail="https://cdn.example/thumbnail.webp",
        images=("https://cdn.example/1.webp", "https://cdn.example/2.webp"),
        extras={"sku": f"SKU-{number}", "weight": 4},
    )
    changes: list[Event] = [created, ListingPublished(listing_id=listing)]
    for change in range(EVENTS_EACH - 2):
        if change % 2:
            changes.append(StockAdjusted(listing_id=listing, stock=100 + change))
        else:
            changes.append(ListingPriceChanged(listing_id=listing, price=Money(1_000 + number + change)))
    return [(listing, event) for event in changes]


class Running:
    """A projector with the product read model, and what writes to its log."""

    def __init__(self, writer: Writer, pool: AsyncConnectionPool[Any], relay: Relay, client: Client) -> None:
        self.writer = writer
        self.pool = pool
        self.relay = relay
        self.client = client
        self.generations = Generations(pool)


class _Bell:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._ringing: set[asyncio.Task[None]] = set()

    def ring(self, position: int) -> None:
        task = asyncio.create_task(self._client.publish(DOORBELL, b""))
        self._ringing.add(task)
        task.add_done_callback(self._ringing.discard)


@asynccontextmanager
async def running(url: str, nats_url: str, events: int) -> AsyncIterator[Running]:
    """With ``events`` in the log before anything else starts."""
    async with AsyncExitStack() as stack:
        client = await connect(nats_url, "bench")
        stack.push_async_callback(client.close)
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await create_schema_async(connection)
        codec = EventCodec(EVENTS, AGGREGATES, MemoryPersonKeys())
        database = await stack.enter_async_context(Database(url))
        log = await stack.enter_async_context(
            PostgresEventLog(LogDatastore(url), database=database, codec=codec, doorbell=_Bell(client))
        )
        writer = Writer(log, codec)
        await writer.fill(events)
        pool = await stack.enter_async_context(
            AsyncConnectionPool(url, min_size=2, max_size=12, open=False, kwargs={"autocommit": True})
        )
        relay = Relay(log, client, AGGREGATES)
        projector = Projector(
            [PRODUCTS], events=log, pool=pool, connect=lambda: lone_connection(url), client=client
        )
        for work in (projector.run(), relay.run()):
            task = asyncio.create_task(work)
            stack.push_async_callback(_ended, task)
        yield Running(writer, pool, relay, client)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def rebuild(url: str, nats_url: str, events: int = LOG_EVENTS) -> list[Row]:
    """From the request to the switch, comparison of all rows included; indexes too."""
    async with running(url, nats_url, events) as here:
        await _at(here, events)
        started = time.perf_counter()
        await here.generations.request_rebuild(PRODUCTS.name)
        while (await here.generations.projection(PRODUCTS.name)).active.generation != 2:
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - started
        comparison = (await here.generations.projection(PRODUCTS.name)).active.comparison
    rate = events / seconds
    value = f"{rate:,.0f} events/s ({events:,} events in {seconds:.1f} s, {comparison})"
    return [Row(name="rebuild of products", value=value, target="≥ 10,000 events/s", reached=rate >= 10_000)]


async def visible(
    url: str, nats_url: str, rate: int = COMMANDS_PER_SECOND, seconds: int = SECONDS
) -> list[Row]:
    """From a command's being sent to its being visible in the product read model, writers at a steady rate."""
    delays: list[float] = []
    async with running(url, nats_url, 1_000) as here:
        await _at(here, 1_000)
        positions = Positions(here.pool)
        await positions.listen(here.client)
        started = time.perf_counter() + 0.1

        async def command(number: int) -> None:
            listing = ListingId(stream_id("listing", 1 + number % 50))
            sent = time.perf_counter()
            async with locks[number % 50]:
                position = await here.writer.append(
                    [(listing, StockAdjusted(listing_id=listing, stock=number))]
                )
            await positions.wait(PRODUCTS.name, position, timeout=10)
            delays.append(time.perf_counter() - sent)
            if number % 10 == 0:
                await _check_row(here, listing, position)

        locks = [asyncio.Lock() for _ in range(50)]
        async with asyncio.TaskGroup() as group:
            for number in range(rate * seconds):
                await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
                group.create_task(command(number))
        took = time.perf_counter() - started
        await positions.close()
    ordered = sorted(delays[rate:])
    p50, p99 = (ordered[int(len(ordered) * part)] * 1_000 for part in (0.5, 0.99))
    value = f"p50 {p50:.0f} ms, p99 {p99:.0f} ms ({len(delays) / took:.0f} commands/s for {seconds} s)"
    return [Row(name="append to visible in products", value=value, target="p99 ≤ 100 ms", reached=p99 <= 100)]


async def _at(here: Running, position: int) -> None:
    while True:
        try:
            if (await here.generations.projection(PRODUCTS.name)).active.position >= position:
                return
        except (psycopg.errors.UndefinedTable, UnknownProjectionError):
            pass  # the projector has not made its tables yet
        await asyncio.sleep(0.02)


async def _check_row(here: Running, listing: ListingId, position: int) -> None:
    """What was said to be visible is."""
    async with here.pool.connection() as connection:
        found = await connection.execute("SELECT position FROM products WHERE key = %s", (listing,))
        row = await found.fetchone()
    assert row is not None, "the product is not there"
    assert row[0] >= position, f"the row is at {row[0]}, the command was recorded at {position}"


async def rows() -> dict[str, list[Row]]:
    """On servers of their own, Postgres with fsync on; one process for relay, projector and writers."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    found: list[Row] = []
    for measure in (rebuild, visible):
        with tempfile.TemporaryDirectory(prefix="tradelog-bench-", ignore_cleanup_errors=True) as name:
            async with Postgres(Path(name) / "postgres") as postgres, Nats(Path(name) / "nats") as nats:
                found += await measure(postgres.url, nats.url)
    return {"Read models": found}


if __name__ == "__main__":
    for title, measured in asyncio.run(rows()).items():
        show(title, measured)
