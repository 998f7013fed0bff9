"""Carries the log to JetStream, in order. Its place is what the stream itself holds; it has no state of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol

import nats.errors
import psycopg
import structlog
from nats.aio.client import Client
from nats.js.api import Header, PubAck
from nats.js.errors import APIError
from prometheus_client import Counter, Gauge

from application.adapters.database import Database
from application.adapters.event_log import LogDatastore, PostgresEventLog
from application.cancelling import obey_cancellation
from application.errors import UnavailableError
from application.ports import StoredEvent
from application.settings import Settings
from domain.registry import AGGREGATES
from workers.jetstream import (
    DOORBELL,
    LOCAL_NATS,
    STREAM,
    connect,
    ensure_stream,
    headers_of,
    subject_of,
)
from workers.lease import while_leading
from workers.signals import until_signalled
from workers.starting import start
from workers.waiting import Bell, patient

BATCH: Final = 1_000
GATHER: Final = 0.003
ACK_WITHIN: Final = 5.0
WRONG_LAST_SEQUENCE: Final = 10071
REACH_BACK: Final = 10_000
"""How much of a long log an empty stream gets: consumers read what is older from the log."""

# A missing table is one that nobody has made yet: the relay may be the first to start.
OUTAGES: Final = (
    nats.errors.Error,
    TimeoutError,
    OSError,
    psycopg.OperationalError,
    psycopg.errors.UndefinedTable,
    UnavailableError,
)

log = structlog.get_logger()


class Log(Protocol):
    async def head(self) -> int: ...

    async def read(self, after: int, limit: int) -> list[StoredEvent]: ...


class OutOfStepError(Exception):
    """The stream is not where we left it: it was wiped, or somebody else publishes too."""


class Relay:
    """Every message says what must be the last one before it, so that neither a lost message nor a second relay can
    leave a hole or change the order: the stream refuses, and we look again where it is.
    """

    def __init__(
        self,
        log: Log,
        client: Client,
        aggregates: Mapping[str, str],
        *,
        published: Callable[[int, int, int], None] = lambda position, events, head: None,
    ) -> None:
        self._log = log
        self._client = client
        self._stream = client.jetstream(timeout=ACK_WITHIN)
        self._aggregates = aggregates
        self._published = published
        self._bell = Bell()
        self._at: tuple[int, int] | None = None

    async def run(self) -> None:
        """Until cancelled. Whatever is down is waited for."""
        bell = await self._client.subscribe(DOORBELL, cb=self._bell.hear)
        retrying = patient("relay", OUTAGES, first=0.1, longest=1.0)
        try:
            while True:
                await retrying(self._go_on)
        finally:
            # The server forgets the subscription with the connection anyway.
            with suppress(nats.errors.Error):
                await bell.unsubscribe()

    async def _go_on(self) -> None:
        """Whatever goes wrong, we look again where the stream is."""
        obey_cancellation()
        at, self._at = self._at, None
        try:
            self._at = await self._resume() if at is None else await self._publish_next(*at)
        except OutOfStepError as step:
            log.info("relay looks again", reason=str(step))

    async def _resume(self) -> tuple[int, int]:
        sequence, last = await ensure_stream(self._stream)
        if last is not None and await self._log.read(last.position - 1, 1) != [last]:
            # The log was restored from a backup, or is another one altogether. The log is the truth.
            log.warning("the stream is of another log and is made anew", position=last.position)
            await self._stream.delete_stream(STREAM)
            sequence, last = await ensure_stream(self._stream)
        position = last.position if last is not None else max(0, await self._log.head() - REACH_BACK)
        log.info("relay resumes", position=position, sequence=sequence)
        return sequence, position

    async def _publish_next(self, sequence: int, position: int) -> tuple[int, int]:
        self._bell.hush()
        stored = await self._log.read(position, BATCH)
        if not stored:
            await self._bell.wait()
            return sequence, position
        sequence = await self._publish(stored, sequence)
        position = stored[-1].position
        self._published(position, len(stored), position if len(stored) < BATCH else await self._log.head())
        return sequence, position

    async def _publish(self, stored: Sequence[StoredEvent], sequence: int) -> int:
        waiting: list[asyncio.Future[PubAck]] = []
        try:
            async with asyncio.timeout(ACK_WITHIN):
                for before, event in enumerate(stored, start=sequence):
                    headers = headers_of(event) | {Header.EXPECTED_LAST_SEQUENCE: str(before)}
                    subject = subject_of(event, self._aggregates)
                    waiting.append(await self._stream.publish_async(subject, event.state, headers=headers))
                acknowledged = await asyncio.gather(*waiting)
        except APIError as refusal:
            if refusal.err_code != WRONG_LAST_SEQUENCE:
                raise
            raise OutOfStepError(str(refusal.description)) from refusal
        finally:
            for future in waiting:
                future.cancel()
        expected = sequence + len(stored)
        if acknowledged[-1].seq != expected:
            raise OutOfStepError(f"sequence {acknowledged[-1].seq} instead of {expected}")
        return expected


async def main(settings: Settings) -> None:
    url = settings.database_url
    position_published = Gauge("tradelog_relay_position", "Position of the newest event on the stream")
    lag = Gauge("tradelog_relay_lag", "Events that the log has and the stream has not")
    events_published = Counter("tradelog_relay_events", "Events published")

    def published(position: int, events: int, head: int) -> None:
        position_published.set(position)
        events_published.inc(events)
        lag.set(max(0, head - position))

    async with Database(url, connections=2) as database:
        events = PostgresEventLog(LogDatastore(url), database=database)
        client = await connect(settings.nats_url or LOCAL_NATS, "relay")
        relay = Relay(events, client, AGGREGATES, published=published)
        try:
            await until_signalled(while_leading(url, "tradelog.relay", relay.run))
        finally:
            await client.close()


if __name__ == "__main__":
    start("relay", main)
