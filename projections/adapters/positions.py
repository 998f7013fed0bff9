"""How far each read model is, so that a reader who must see its own write waits no longer than it has to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from psycopg_pool import AsyncConnectionPool

from projections.generations import ADVANCED_SUBJECT, Moved
from projections.ports import StaleReadError

POLL: Final = 0.02

_MOVED: Final = msgspec.json.Decoder(Moved)


class Listener(Protocol):
    """Whoever holds something that was made of read models."""

    def hear(self, moved: Moved) -> None:
        """The projector says so; in order, but a message may be missing."""
        ...

    def find(self, name: str, generation: int, position: int) -> None:
        """The table says so; what happened on the way there we may have heard, or hear yet, or have missed."""
        ...


class Positions:
    """Told by the projector over NATS; looks in the table only while somebody waits, because messages may be lost."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._known: dict[str, int] = {}
        self._moved = asyncio.Condition()
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None
        self._listeners: list[Listener] = []

    def tell(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def listen(self, client: Client) -> None:
        """From now on we are told; what was said before is looked up once."""
        await client.subscribe(ADVANCED_SUBJECT, cb=self._hear)
        await self.look()

    def known(self, projection: str) -> int:
        """What every reader sees by now, as far as we have heard."""
        return self._known.get(projection, 0)

    async def wait(self, projection: str, min_position: int, timeout: float) -> None:
        """Until the read model has come to ``min_position``; ``StaleReadError`` when it does not in time."""
        if self.known(projection) >= min_position:
            return
        self._waiting += 1
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_on())
        try:
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(lambda: self.known(projection) >= min_position)
        except TimeoutError:
            raise StaleReadError(
                f"{projection} is at {self.known(projection)}, not yet at {min_position}"
            ) from None
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _hear(self, message: Msg) -> None:
        moved = _MOVED.decode(message.data)
        for listener in self._listeners:
            listener.hear(moved)
        await self._move({moved.name: moved.position})

    async def _look_on(self) -> None:
        while self._waiting:
            await self.look()
            await asyncio.sleep(POLL)

    async def look(self) -> None:
        # While Postgres is away, or still without tables, nobody gets further; readers give up by their own clock.
        with suppress(psycopg.OperationalError, psycopg.errors.UndefinedTable):
            async with self._pool.connection(timeout=1.0) as connection:
                found = await connection.execute(
                    "SELECT name, generation, position FROM projection_generations WHERE state = 'active'"
                )
                rows = await found.fetchall()
            for listener in self._listeners:
                for name, generation, position in rows:
                    listener.find(name, generation, position)
            await self._move({name: position for name, _, position in rows})

    async def _move(self, positions: dict[str, int]) -> None:
        async with self._moved:
            for name, position in positions.items():
                # A generation is never switched to unless it is as far as the one before, so this only grows.
                self._known[name] = max(position, self.known(name))
            self._moved.notify_all()
