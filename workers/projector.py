"""Keeps the read models up to date, rebuilds them when asked to, and tells the API how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
import nats.errors
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import TransportError
from prometheus_client import Counter, Gauge
from psycopg_pool import AsyncConnectionPool
from tenacity import retry, retry_if_exception_type, wait_exponential

from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import LogDatastore, PostgresEventLog
from application.adapters.keys import MasterKeys, PostgresPersonKeys
from application.adapters.schema import create_schema_async
from application.cancelling import obey_cancellation
from application.errors import UnavailableError
from application.ports import StoredEvent
from application.settings import Settings
from domain.registry import AGGREGATES, EVENTS
from projections.adapters.opensearch_client import opensearch_client
from projections.adapters.opensearch_sink import OpenSearchSink
from projections.adapters.postgres_sink import PostgresSink
from projections.bootstrap import projections_of
from projections.engine import Engine, SinkFor
from projections.generations import ADVANCED_SUBJECT, CONTROL_SUBJECT, Moved
from projections.ports import Sink
from projections.projection import Projection, Rows
from projections.runner import Advanced
from workers.feed import StreamFeed
from workers.jetstream import LOCAL_NATS, connect
from workers.lease import lone_connection
from workers.signals import until_signalled
from workers.starting import start

CONNECTED_POLL: Final = 0.1
OUTAGES: Final = (psycopg.OperationalError, OSError, UnavailableError, TransportError)


def sinks(pool: AsyncConnectionPool[Any], search: AsyncOpenSearch | None) -> SinkFor:
    """Where each projection's generations are kept."""

    def sink_for(projection: Projection[Any], generation: int) -> Sink:
        if isinstance(projection.into, Rows):
            return PostgresSink(
                pool,
                projection.name,
                generation,
                projection.version,
                projection.into.table,
                subjects=projection.subjects is not None,
            )
        assert search is not None, f"{projection.name} needs OPENSEARCH_URL"
        return OpenSearchSink(pool, search, projection, generation)

    return sink_for


class Projector:
    """Feed and engine on one NATS connection."""

    def __init__(
        self,
        projections: Sequence[Projection[Any]],
        *,
        events: PostgresEventLog,
        pool: AsyncConnectionPool[Any],
        connect: Callable[[], Awaitable[psycopg.AsyncConnection[Any]]],
        client: Client,
        search: AsyncOpenSearch | None = None,
        measure: Callable[[Advanced, int], None] = lambda advanced, head: None,
        erased: Callable[[UUID], None] = lambda person: None,
    ) -> None:
        self._client = client
        self._measure = measure
        self._untold: dict[str, Moved] = {}
        self._news = asyncio.Event()
        self.feed = StreamFeed(events, client, outages=OUTAGES)
        self.engine: Engine[StoredEvent] = Engine(
            projections,
            pool=pool,
            connect=connect,
            log=events,
            feed=self.feed,
            sink_for=sinks(pool, search),
            outages=OUTAGES,
            advanced=self._advanced,
            erased=erased,
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.feed.run())
            group.create_task(self.engine.run())
            group.create_task(self._tell())
            group.create_task(self._listen())

    async def _listen(self) -> None:
        # NATS may come later than we do; the log is polled until then, and requests are looked for.
        while not self._client.is_connected:
            await asyncio.sleep(CONNECTED_POLL)
        await self._client.subscribe(CONTROL_SUBJECT, cb=self._rung)

    async def _rung(self, message: Msg) -> None:
        self.engine.ring()

    def _advanced(self, advanced: Advanced) -> None:
        self._measure(advanced, self.feed.head)
        moved = Moved(
            name=advanced.name,
            generation=advanced.generation,
            position=advanced.position,
            after=advanced.after,
            changed=advanced.changed,
        )
        before = self._untold.get(advanced.name)
        self._untold[advanced.name] = moved if before is None else before.then(moved)
        self._news.set()

    async def _tell(self) -> None:
        """Whoever misses some of it, or was not there yet, looks in the table, and takes all documents for changed.

        The table says nothing of a document that was parked and is repaired, so what cannot be told is told with what
        comes next.
        """
        while True:
            obey_cancellation()
            await self._news.wait()
            self._news.clear()
            untold, self._untold = self._untold, {}
            for name, moved in untold.items():
                if not await self._told(moved):
                    later = self._untold.get(name)
                    self._untold[name] = moved if later is None else moved.then(later)

    async def _told(self, moved: Moved) -> bool:
        if not self._client.is_connected:
            return False
        try:
            await self._client.publish(ADVANCED_SUBJECT, msgspec.json.encode(moved))
        except nats.errors.Error:
            return False
        return True


def measured() -> Callable[[Advanced, int], None]:
    """What Prometheus is told of each batch."""
    position = Gauge("tradelog_projection_position", "Position of the read model", ["projection"])
    lag = Gauge(
        "tradelog_projection_lag", "Events that the log has and the read model has not", ["projection"]
    )
    batches = Counter("tradelog_projection_batches", "Batches saved", ["projection"])
    events = Counter("tradelog_projection_events", "Positions passed", ["projection"])

    def measure(advanced: Advanced, head: int) -> None:
        position.labels(advanced.name).set(advanced.position)
        lag.labels(advanced.name).set(max(0, head - advanced.position))
        batches.labels(advanced.name).inc()
        events.labels(advanced.name).inc(advanced.events)

    return measure


@retry(retry=retry_if_exception_type(psycopg.OperationalError), wait=wait_exponential(multiplier=0.1, max=2))
async def _make_log(url: str) -> None:
    """We may be the first to start, and Postgres may not have."""
    async with await lone_connection(url) as connection:
        await create_schema_async(connection)


async def main(settings: Settings) -> None:
    url = settings.database_url
    await _make_log(url)
    async with (
        Database(url) as database,
        AsyncConnectionPool(
            url, min_size=2, max_size=40, timeout=10, open=False, kwargs={"autocommit": True}
        ) as pool,
    ):
        keys = PostgresPersonKeys(database, MasterKeys.parse(settings.tradelog_master_key))
        events = PostgresEventLog(
            LogDatastore(url), database=database, codec=EventCodec(EVENTS, AGGREGATES, keys)
        )
        client = Client()
        search = opensearch_client(settings.opensearch_url) if settings.opensearch_url else None
        projector = Projector(
            projections_of(search=search is not None),
            events=events,
            pool=pool,
            connect=lambda: lone_connection(url),
            client=client,
            search=search,
            measure=measured(),
            erased=keys.withdraw,
        )

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(connect(settings.nats_url or LOCAL_NATS, "projector", client))
                await projector.run()

        try:
            await until_signalled(work())
        finally:
            await client.close()
            if search is not None:
                await search.close()


if __name__ == "__main__":
    start("projector", main)
