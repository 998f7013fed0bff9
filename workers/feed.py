"""The newest events for a process's projections: from JetStream as they happen, from the log where that has holes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, Protocol

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from application.cancelling import obey_cancellation
from application.ports import StoredEvent
from domain.kernel import Event, Recorded
from workers.jetstream import STREAM, SUBJECTS, ensure_stream, stored_of

RING: Final = 10_000
REFILL: Final = 1_000
SILENCE: Final = 1.0
"""How long the stream may be silent before we look whether the log is, too."""

POLL: Final = 0.05
"""How often we look in the log while the stream does not carry."""

RESUBSCRIBE: Final = 2.0

log = structlog.get_logger()


class Log(Protocol):
    async def head(self) -> int: ...

    async def read(self, after: int, limit: int) -> list[StoredEvent]: ...

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]: ...


class StreamFeed:
    """A window over the end of the log, without holes. The stream makes it fast, the log makes it whole.

    Nothing is asked of the stream but to hand over what is new: what it lost, reordered, repeats, or never had is
    seen by the positions and read from the log.
    """

    def __init__(self, events: Log, client: Client, *, outages: tuple[type[Exception], ...]) -> None:
        self._log = events
        self._client = client
        self._outages = outages
        self._base = 0
        self._last: int | None = None
        self._ring: list[StoredEvent] = []
        self._decoded: dict[int, Recorded[Event]] = {}
        self._decoding = asyncio.Lock()
        self._grown = asyncio.Event()
        self._arrived: list[StoredEvent] = []
        self._message = asyncio.Event()
        self._subscription: JetStreamContext.PushSubscription | None = None
        self._carried = False
        self._refilled = 0

    @property
    def head(self) -> int:
        """Of the log, as far as we know."""
        return self._last or 0

    @property
    def refilled(self) -> int:
        """How many events came from the log rather than from the stream."""
        return self._refilled

    async def after(self, position: int, limit: int, timeout: float) -> Sequence[StoredEvent] | None:
        if self._last is None or position < self._base:
            return None
        if position >= self._last:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while position >= self._last:
                        await self._grown.wait()
            if position < self._base:
                return None
        start = position - self._base
        return self._ring[start : start + limit]

    async def decode(self, stored: Sequence[StoredEvent]) -> list[Recorded[Event]]:
        async with self._decoding:
            missing = [each for each in stored if each.position not in self._decoded]
            for recorded in await self._log.decode(missing):
                self._decoded[recorded.position] = recorded
            return [self._decoded[each.position] for each in stored]

    async def run(self) -> None:
        """Until cancelled. With NATS away the log is polled; with the log away too we wait."""
        subscribing = asyncio.create_task(self._keep_subscribed())
        try:
            while True:
                try:
                    if self._last is None:
                        self._base = self._last = await self._log.head()
                    await self._follow()
                except self._outages as outage:
                    log.warning("feed waits", error=str(outage) or repr(outage))
                    await asyncio.sleep(SILENCE)
        finally:
            subscribing.cancel()

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(SILENCE if self._carried else POLL):
                    await self._message.wait()
            self._message.clear()
            arrived, self._arrived = self._arrived, []
            if arrived:
                await self._take(arrived)
            elif await self._refill(REFILL):
                self._carried = False  # the stream is silent and the log is not

    async def _take(self, arrived: Sequence[StoredEvent]) -> None:
        for each in arrived:
            assert self._last is not None, "messages are taken once the window is open"
            if each.position <= self._last:
                continue
            while self._last < each.position - 1:
                if not await self._refill(each.position - 1 - self._last):
                    log.error("the stream is ahead of the log", position=each.position, log=self._last)
                    return
            self._carried = True
            self._append([each])

    async def _refill(self, limit: int) -> int:
        assert self._last is not None, "as above"
        missing = await self._log.read(self._last, min(limit, REFILL))
        self._append(missing)
        self._refilled += len(missing)
        return len(missing)

    def _append(self, stored: Sequence[StoredEvent]) -> None:
        if not stored:
            return
        self._ring.extend(stored)
        self._last = stored[-1].position
        if len(self._ring) > 2 * RING:
            del self._ring[:RING]
            self._base += RING
            # By position: who was slow may have had some decoded that were out of the window by then.
            self._decoded = {
                position: recorded for position, recorded in self._decoded.items() if position > self._base
            }
        self._grown.set()
        self._grown = asyncio.Event()

    async def _keep_subscribed(self) -> None:
        """A consumer dies with the stream that it reads, and nobody says so. So while the stream does not carry we
        subscribe anew, until it does.
        """
        while True:
            if not self._carried and self._client.is_connected:
                try:
                    await self._subscribe()
                except (nats.errors.Error, TimeoutError, OSError) as error:
                    log.info("feed is not subscribed", error=str(error) or repr(error))
            obey_cancellation()
            await asyncio.sleep(RESUBSCRIBE)

    async def _subscribe(self) -> None:
        if self._subscription is not None:
            with suppress(nats.errors.Error, TimeoutError, OSError):
                await self._subscription.unsubscribe()
            self._subscription = None
        stream = self._client.jetstream(timeout=RESUBSCRIBE)
        await ensure_stream(stream)
        self._subscription = await stream.subscribe(
            SUBJECTS,
            stream=STREAM,
            cb=self._hear,
            config=ConsumerConfig(
                deliver_policy=DeliverPolicy.NEW,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=30.0,
                mem_storage=True,
            ),
        )

    async def _hear(self, message: Msg) -> None:
        self._arrived.append(stored_of(message))
        self._message.set()
