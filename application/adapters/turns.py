"""Streams that several processes want all the time: had in turns, in the order in which they were asked for.

Without them whoever has just won is always the first to try again, and the others never come in between.

A turn is a lock of a Postgres session. So these connections, like the one of ``GroupCommit``, must lead to the server
itself or through a pool that gives each client a session of its own (pgbouncer: ``pool_mode = session``).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

MOST_AT_ONCE: Final = 8
"""Each is a connection of its own: a process has turns of so many streams at most, and waits with the others."""

PATIENCE: Final = 2.0
"""Seconds for which a connection is waited for: as long as the server lets anybody keep a turn."""

# Nothing that these sessions write is worth a flush.
_SESSION: Final[LiteralString] = """
SET default_transaction_isolation = 'read committed';
SET synchronous_commit = off;
SET lock_timeout = '3s';
SET statement_timeout = '5s'
"""

# While it has a turn the session is idle. If it is so for too long, its process has stopped without having died, and
# the server ends the session: the lock must not outlive what is written of the turn.
_BEGIN: Final[LiteralString] = """
SELECT set_config('idle_session_timeout', '2s', false), log_begin_turn(%s, %s)
"""
_END: Final[LiteralString] = """
WITH ended AS (DELETE FROM log_turns WHERE stream = %s AND owner = %s)
SELECT pg_advisory_unlock_all(), set_config('idle_session_timeout', '0', false)
"""


class Turns:
    """The turns of one process, ``sender`` to the log. Whoever dies loses theirs with the connection."""

    def __init__(self, url: str, sender: UUID) -> None:
        self._url = url
        self._sender = sender
        self._open: set[AsyncConnection[Any]] = set()
        self._idle: list[AsyncConnection[Any]] = []
        self._ours: dict[UUID, AsyncConnection[Any]] = {}
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def begin(self, stream: UUID, *, patiently: bool = True) -> bool:
        """Wait for our turn; false where there is none to be had, and everybody competes."""
        if self._places.locked() and not patiently:
            return False
        try:
            async with asyncio.timeout(PATIENCE):
                await self._places.acquire()
        except TimeoutError:
            return False
        connection: AsyncConnection[Any] | None = None
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            await connection.execute(_BEGIN, [stream, self._sender])
        except BaseException as error:
            self._places.release()
            if connection is not None:
                await self._drop(connection)
            if isinstance(error, psycopg.Error):
                return False
            raise
        lost = self._ours.pop(stream, None)
        self._ours[stream] = connection
        if lost is not None:
            # Else we would be waiting for ourselves.
            self._places.release()
            await self._drop(lost)
        return True

    async def end(self, stream: UUID) -> None:
        connection = self._ours.pop(stream, None)
        if connection is None:
            return
        try:
            await connection.execute(_END, [stream, self._sender])
        except psycopg.Error:
            # The lock went with the connection; what is written of it lapses by itself.
            await self._drop(connection)
        else:
            self._idle.append(connection)
        finally:
            self._places.release()

    async def close(self) -> None:
        for connection in list(self._open):
            await self._drop(connection)

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(self._url, autocommit=True, connect_timeout=2)
        self._open.add(connection)
        try:
            await connection.execute(_SESSION, prepare=False)
        except BaseException:
            await self._drop(connection)
            raise
        return connection

    async def _drop(self, connection: AsyncConnection[Any]) -> None:
        self._open.discard(connection)
        with suppress(psycopg.Error):
            await connection.close()
