"""Streams that several processes want all the time: had in turns, in the order in which they were asked for.

Without them whoever has just won is always the first to try again, and the others never come in between.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from psycopg import AsyncConnection

MOST_AT_ONCE: Final = 8
"""Each is a connection of its own: a process has turns of so many streams at most, and competes for the others."""

_SESSION: Final[LiteralString] = "SET lock_timeout = '2s'; SET statement_timeout = '5s'"
_WAIT: Final[LiteralString] = "SELECT pg_advisory_lock(hashtextextended(%s::text, 0))"
_BEGIN: Final[LiteralString] = "SELECT log_begin_turn(%s, %s)"
_END: Final[LiteralString] = """
WITH ended AS (DELETE FROM log_turns WHERE stream = %s AND owner = %s)
SELECT pg_advisory_unlock_all()
"""


class Turns:
    """The turns of one process, ``sender`` to the log. Whoever dies loses theirs with the connection."""

    def __init__(self, url: str, sender: UUID) -> None:
        self._url = url
        self._sender = sender
        self._open: set[AsyncConnection[Any]] = set()
        self._idle: list[AsyncConnection[Any]] = []
        self._ours: dict[UUID, AsyncConnection[Any]] = {}
        self._asked = 0

    async def begin(self, stream: UUID) -> bool:
        """Wait for our turn; false where there is none to be had, and everybody competes."""
        if self._asked >= MOST_AT_ONCE:
            return False
        self._asked += 1
        connection: AsyncConnection[Any] | None = None
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            await connection.execute(_WAIT, [stream])
            await connection.execute(_BEGIN, [stream, self._sender])
        except BaseException as error:
            self._asked -= 1
            if connection is not None:
                await self._drop(connection)
            if isinstance(error, psycopg.Error):
                return False
            raise
        self._ours[stream] = connection
        return True

    async def end(self, stream: UUID) -> None:
        connection = self._ours.pop(stream)
        self._asked -= 1
        try:
            await connection.execute(_END, [stream, self._sender])
        except psycopg.Error:
            # The lock went with the connection; what is written of it lapses by itself.
            await self._drop(connection)
        else:
            self._idle.append(connection)

    async def close(self) -> None:
        for connection in list(self._open):
            await self._drop(connection)

    async def _connect(self) -> AsyncConnection[Any]:
        connection = await AsyncConnection.connect(self._url, autocommit=True, connect_timeout=2)
        self._open.add(connection)
        await connection.execute(_SESSION, prepare=False)
        return connection

    async def _drop(self, connection: AsyncConnection[Any]) -> None:
        self._open.discard(connection)
        with suppress(psycopg.Error):
            await connection.close()
