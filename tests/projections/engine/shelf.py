"""A small read model and a shop that fills the log, for tests of what carries read models in general."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
from opensearchpy import AsyncOpenSearch
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import BigInteger, Column, Index, LargeBinary, Text
from sqlalchemy.schema import SchemaItem

from application.adapters.appending import Append, NewEvent
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import LogDatastore, PostgresEventLog
from application.adapters.keys import MemoryPersonKeys
from application.adapters.schema import create_schema_async
from application.ports import Doorbell, Metadata, StoredEvent
from domain.kernel import CategoryId, Event, ListingId, Recorded, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingPriceChanged, StockAdjusted
from domain.money import Money
from domain.registry import AGGREGATES, EVENTS
from projections.engine import Engine, prepare
from projections.generations import Generation, Generations
from projections.idling import Idling
from projections.projection import Doc, Projection, Rows, SearchIndex, read_model
from projections.runner import CATCH_UP_BATCH, Runner
from workers.lease import lone_connection
from workers.projector import OUTAGES, sinks

METADATA = Metadata(actor="tests")
ENGINES = ("postgres", "opensearch")


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    title: str
    price: int
    stock: int
    events: int


class Faults(msgspec.Struct):
    """What the projection cannot do at the moment."""

    folding: set[int] = msgspec.field(default_factory=set)
    naming: set[int] = msgspec.field(default_factory=set)


def shelf_projection(
    name: str, engine: str = "postgres", *, version: int = 1, faults: Faults | None = None
) -> Projection[Shelf]:
    """``faults`` name prices: the event that sets such a one is poison. Version 2 has a column more, counts double."""
    broken = faults or Faults()

    def keys(recorded: Recorded[Any]) -> Sequence[UUID]:
        if isinstance(recorded.event, ListingPriceChanged) and recorded.event.price.minor in broken.naming:
            raise LookupError("whose price is it?")
        return (recorded.event.listing_id,)

    def fold(shelf: Shelf | None, recorded: Recorded[Any], _: UUID) -> Shelf | None:
        match recorded.event:
            case ListingCreated(number=number, title=title, price=price, stock=stock):
                return Shelf(number=number, title=title, price=price.minor, stock=stock, events=version)
            case ListingPriceChanged(price=price):
                assert shelf is not None
                if price.minor in broken.folding:
                    raise ValueError("this price is poison")
                return msgspec.structs.replace(shelf, price=price.minor, events=shelf.events + version)
            case StockAdjusted(stock=stock):
                assert shelf is not None
                return msgspec.structs.replace(shelf, stock=stock, events=shelf.events + version)
        raise AssertionError(recorded)

    def row(shelf: Shelf) -> dict[str, Any]:
        own: dict[str, Any] = {
            "number": shelf.number,
            "title": shelf.title,
            "body": msgspec.json.encode(shelf),
        }
        return own if version == 1 else {**own, "price": shelf.price}

    columns: list[SchemaItem] = [
        Column("number", BigInteger, nullable=False),
        Column("title", Text, nullable=False),
        Column("body", LargeBinary, nullable=False),
    ]
    if version > 1:
        columns.append(Column("price", BigInteger, nullable=False))
    table = read_model(name, *columns, Index(f"idx_{name}_number", "number"))
    mappings = {"dynamic": False, "properties": {"number": {"type": "long"}, "title": {"type": "keyword"}}}
    return Projection(
        name=name,
        version=version,
        events=(ListingCreated, ListingPriceChanged, StockAdjusted),
        document=Shelf,
        keys=keys,
        fold=fold,
        into=Rows(table=table, row=row)
        if engine == "postgres"
        else SearchIndex(mappings=mappings, source=msgspec.structs.asdict),
    )


class Shop:
    """Appends to a real log, and knows by itself what every shelf must look like."""

    def __init__(self, url: str, events: PostgresEventLog, codec: EventCodec, keys: MemoryPersonKeys) -> None:
        self.url = url
        self.log = events
        self.keys = keys
        self.position = 0
        self.shelves: dict[UUID, Shelf] = {}
        self._versions: dict[UUID, int] = {}
        self._codec = codec

    async def create(self, number: int, title: str = "a thing", price: int = 100) -> UUID:
        listing = stream_id("listing", number)
        await self._append(listing, [self._created(listing, number, title, price)])
        return listing

    async def fill(self, listings: int, events_each: int = 1, first: int = 1) -> None:
        """Many listings with some price changes, in few appends."""
        for start in range(first, first + listings, 100):
            batch: list[tuple[UUID, Event]] = []
            for number in range(start, min(start + 100, first + listings)):
                listing = stream_id("listing", number)
                batch.append((listing, self._created(listing, number, f"thing {number}", number)))
                batch += [
                    (listing, self._priced(listing, number + change)) for change in range(1, events_each)
                ]
            await self._append_all(batch)

    async def price(self, listing: UUID, minor: int) -> int:
        return await self._append(listing, [self._priced(listing, minor)])

    async def stock(self, listing: UUID, stock: int) -> int:
        return await self._append(listing, [StockAdjusted(listing_id=ListingId(listing), stock=stock)])

    async def rename_to_nul(self, number: int) -> UUID:
        """A title that JSON and the log can hold and Postgres' text cannot."""
        return await self.create(number, title="nul \x00 inside")

    def _created(self, listing: UUID, number: int, title: str, price: int) -> ListingCreated:
        return ListingCreated(
            listing_id=ListingId(listing),
            number=number,
            seller_id=SellerId(UUID(int=1)),
            slug=f"thing-{number}",
            title=title,
            description="something to buy",
            price=Money(price),
            category_id=CategoryId(UUID(int=2)),
            category="things",
        )

    def _priced(self, listing: UUID, minor: int) -> ListingPriceChanged:
        return ListingPriceChanged(listing_id=ListingId(listing), price=Money(minor))

    async def _append(self, stream: UUID, events: Sequence[Event]) -> int:
        return await self._append_all([(stream, event) for event in events])

    async def _append_all(self, events: Sequence[tuple[UUID, Event]]) -> int:
        position = await self.record(events)
        for stream, event in events:
            self.shelves[stream] = _shelf(self.shelves.get(stream), event)
        return position

    async def record(self, events: Sequence[tuple[UUID, Event]]) -> int:
        """Events of any kind, of which no shelf is known."""
        new: list[NewEvent] = []
        for stream, event in events:
            version = self._versions[stream] = self._versions.get(stream, 0) + 1
            tag, state = await self._codec.encode(event, stream, datetime.now(UTC), METADATA)
            new.append(NewEvent(stream, version, tag, state))
        position = await self.log.append(Append(events=new))
        self.position = max(self.position, position)
        return position


def _shelf(shelf: Shelf | None, event: Event) -> Shelf:
    match event:
        case ListingCreated(number=number, title=title, price=price, stock=stock):
            return Shelf(number=number, title=title, price=price.minor, stock=stock, events=1)
        case ListingPriceChanged(price=price):
            assert shelf is not None
            return msgspec.structs.replace(shelf, price=price.minor, events=shelf.events + 1)
        case StockAdjusted(stock=stock):
            assert shelf is not None
            return msgspec.structs.replace(shelf, stock=stock, events=shelf.events + 1)
    raise AssertionError(event)


@asynccontextmanager
async def open_shop(
    url: str, doorbell: Doorbell | None = None, keys: MemoryPersonKeys | None = None
) -> AsyncIterator[Shop]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await create_schema_async(connection)
    keys = keys or MemoryPersonKeys()
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    async with (
        Database(url) as database,
        PostgresEventLog(LogDatastore(url), database=database, codec=codec, doorbell=doorbell) as events,
    ):
        yield Shop(url, events, codec, keys)


@asynccontextmanager
async def open_pool(url: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with AsyncConnectionPool(
        url, min_size=1, max_size=12, open=False, kwargs={"autocommit": True}, timeout=5
    ) as pool:
        yield pool


class Polled:
    """A feed without a stream: everything is read from the log, as while NATS is away."""

    def __init__(self, events: PostgresEventLog) -> None:
        self._log = events

    async def after(self, position: int, limit: int, timeout: float) -> Sequence[StoredEvent] | None:
        found = await self._log.read(position, limit)
        if not found:
            await asyncio.sleep(0.01)
        # A long way behind the head, the feed has nothing.
        return None if len(found) == limit else found

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]:
        return await self._log.decode(stored)


class Stand:
    """A shop, read models, and what tests look at."""

    def __init__(
        self,
        shop: Shop,
        pool: AsyncConnectionPool[Any],
        search: AsyncOpenSearch | None,
        engine: str,
        search_url: str = "",
    ) -> None:
        self.search_url = search_url
        self.shop = shop
        self.pool = pool
        self.search = search
        self.kind = engine
        self.name = f"shelves_{uuid4().hex[:12]}"
        self.faults = Faults()
        self.sink_for = sinks(pool, search)
        self.generations = Generations(pool)

    def projection(self, version: int = 1) -> Projection[Shelf]:
        return shelf_projection(self.name, self.kind, version=version, faults=self.faults)

    def runner(
        self, projection: Projection[Doc], generation: int = 1, *, batch: int = CATCH_UP_BATCH
    ) -> Runner[Doc, StoredEvent]:
        return Runner(
            projection,
            generation,
            sink=self.sink_for(projection, generation),
            log=self.shop.log,
            feed=Polled(self.shop.log),
            idling=Idling(self.generations.move_all),
            outages=OUTAGES,
            batch=batch,
        )

    def engine(self, *projections: Projection[Any], batch: int = 500) -> Engine[StoredEvent]:
        return Engine(
            projections or (self.projection(),),
            pool=self.pool,
            connect=lambda: lone_connection(self.shop.url),
            log=self.shop.log,
            feed=Polled(self.shop.log),
            sink_for=self.sink_for,
            outages=OUTAGES,
            batch=batch,
        )

    @asynccontextmanager
    async def running(
        self, *projections: Projection[Any], batch: int = 500
    ) -> AsyncIterator[Engine[StoredEvent]]:
        async with self.carrying(self.engine(*projections, batch=batch)) as engine:
            yield engine

    @asynccontextmanager
    async def carrying(self, engine: Engine[StoredEvent]) -> AsyncIterator[Engine[StoredEvent]]:
        async with background(engine.run()):
            yield engine

    async def position(self, name: str | None = None) -> int:
        """Of the generation that is served; 0 before there is one."""
        rows = await self.generations.list_projections(name or self.name)
        return rows[0].active.position if rows else 0

    async def recorded(self, events: Sequence[tuple[UUID, Event]], *read_models: Projection[Any]) -> None:
        """The events, each in its stream, and in all these read models."""
        position = await self.shop.record(list(events))

        async def seen() -> bool:
            return all([await self.position(each.name) >= position for each in read_models])

        await until(seen)

    async def folded(self, projection: Projection[Any]) -> dict[UUID, Any]:
        """What the whole log comes to, read anew."""
        documents: dict[UUID, Any] = {}
        for recorded in await self.shop.log.decode(await self.shop.log.read(0, 10_000)):
            if type(recorded.event) in projection.events:
                for key in projection.keys(recorded):
                    documents[key] = projection.fold(documents.get(key), recorded, key)
        return {key: document for key, document in documents.items() if document is not None}

    async def kept(self, projection: Projection[Any]) -> dict[UUID, Any]:
        """What the read model has."""
        async with self.pool.connection() as connection:
            rows = await connection.execute(f"SELECT key, document FROM {projection.name}".encode())
            return {key: msgspec.json.decode(found, type=projection.document) async for key, found in rows}

    async def caught_up(self) -> None:
        target = await self.shop.log.head()

        async def reached() -> bool:
            with suppress(psycopg.OperationalError):  # a test may have cut our connections, too
                return await self._reached(target)
            return False

        await until(reached)

    async def _reached(self, target: int) -> bool:
        async with self.pool.connection() as connection:
            found = await connection.execute("SELECT to_regclass('projection_generations') IS NOT NULL")
            row = await found.fetchone()
        return row is not None and bool(row[0]) and await self.position() >= target

    async def served(self, generation: int) -> None:
        async def is_served() -> bool:
            return (await self.generations.projection(self.name)).active.generation == generation

        await until(is_served)

    async def is_state(self, state: str) -> bool:
        return (await self.latest()).state == state

    async def has_state(self, generation: int, state: str) -> bool:
        rows = await self.generations.rows(self.name)
        return any(row.generation == generation and row.state == state for row in rows)

    async def latest(self) -> Generation:
        return (await self.generations.rows(self.name))[0]

    async def asked(self, request: int) -> str:
        """What a request came to."""

        async def done() -> bool:
            return (await self.generations.request(request)).done_at is not None

        await until(done)
        return (await self.generations.request(request)).outcome

    async def seen(self) -> dict[UUID, Shelf]:
        """What readers see."""
        return await self.seen_as(Shelf)

    async def seen_as(self, document: type[Doc]) -> dict[UUID, Doc]:
        if self.kind == "postgres":
            async with self.pool.connection() as connection:
                rows = await connection.execute(f"SELECT key, body FROM {self.name}".encode())
                return {key: msgspec.json.decode(body, type=document) async for key, body in rows}
        assert self.search is not None
        found = await self.search.search(index=self.name, body={"query": {"match_all": {}}, "size": 10_000})
        return {UUID(hit["_id"]): msgspec.convert(hit["_source"], document) for hit in found["hits"]["hits"]}


@asynccontextmanager
async def open_stand(url: str, *read_models: Projection[Any]) -> AsyncIterator[Stand]:
    """With the tables of these read models, on Postgres alone."""
    async with open_shop(url) as shop, open_pool(url) as pool:
        stand = Stand(shop, pool, None, "postgres")
        await prepare(pool, read_models, stand.sink_for)
        yield stand


@asynccontextmanager
async def background(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """``work`` for as long as the block lasts; what it raises fails the test."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        ended = task.done()
        task.cancel()
        await asyncio.wait([task])
        if ended and not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def until(condition: Callable[[], bool | Awaitable[bool]], within: float = 20.0) -> None:
    async with asyncio.timeout(within):
        while True:
            met = condition()
            if await met if inspect.isawaitable(met) else met:
                return
            await asyncio.sleep(0.01)
