"""How far each read model is, so that a reader who must see its own write waits no longer than it has to."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final

import msgspec
import psycopg
from nats.aio.client import Client
from nats.aio.msg import Msg
from psycopg_pool import AsyncConnectionPool

from projections.generations import ADVANCED_SUBJECT
from projections.ports import StaleReadError

POLL: Final = 0.02


class _Told(msgspec.Struct):
    name: str
    generation: int
    position: int


class Positions:
    """Told by the projector over NATS; looks in the table only while somebody waits, because messages may be lost."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._known: dict[str, int] = {}
        self._moved = asyncio.Condition()
        self._waiting = 0
        self._looking: asyncio.Task[None] | None = None

    async def listen(self, client: Client) -> None:
        """From now on we are told; what was said before is looked up once."""
        await client.subscribe(ADVANCED_SUBJECT, cb=self._hear)
        await self._look()

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
        told = msgspec.json.decode(message.data, type=_Told)
        await self._move({told.name: told.position})

    async def _look_on(self) -> None:
        while self._waiting:
            await self._look()
            await asyncio.sleep(POLL)

    async def _look(self) -> None:
        # While Postgres is away, or still without tables, nobody gets further; readers give up by their own clock.
        with suppress(psycopg.OperationalError, psycopg.errors.UndefinedTable):
            async with self._pool.connection(timeout=1.0) as connection:
                found = await connection.execute(
                    "SELECT name, position FROM projection_generations WHERE state = 'active'"
                )
                await self._move(dict(await found.fetchall()))

    async def _move(self, positions: dict[str, int]) -> None:
        async with self._moved:
            for name, position in positions.items():
                # A generation is never switched to unless it is as far as the one before, so this only grows.
                self._known[name] = max(position, self.known(name))
            self._moved.notify_all()
