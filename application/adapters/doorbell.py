"""The doorbell: tells the relay over core NATS that the log has grown."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from nats.aio.client import Client
from nats.errors import Error as NatsError

SUBJECT = "log.appended"

GATHER = 0.003
"""Seconds in which it rings once, however often the log grows."""


class NatsDoorbell:
    """Rings for many appends at once, never holds one up, and is silent while NATS is away: the relay also looks."""

    def __init__(self, nats: Client) -> None:
        self._nats = nats
        self._rung = asyncio.Event()
        self._position = 0
        self._ringing: asyncio.Task[None] | None = None

    def ring(self, position: int) -> None:
        self._position = position
        self._rung.set()

    async def __aenter__(self) -> NatsDoorbell:
        self._ringing = asyncio.create_task(self._ring_on(), name="doorbell")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ringing is not None:
            self._ringing.cancel()
            with suppress(asyncio.CancelledError):
                await self._ringing

    async def _ring_on(self) -> None:
        while True:
            await self._rung.wait()
            self._rung.clear()
            if self._nats.is_connected:
                with suppress(NatsError, OSError):
                    await self._nats.publish(SUBJECT, str(self._position).encode())
                    await asyncio.sleep(GATHER)


class NoDoorbell:
    """Where nobody is waiting at the door."""

    def ring(self, position: int) -> None:
        pass
