"""One pool of connections for the write side's reads, and one meaning of "the database does not answer"."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from application.adapters.arrays import register_arrays
from application.errors import LogUnavailableError

Row = tuple[Any, ...]


async def _configure(connection: AsyncConnection[Any]) -> None:
    register_arrays(connection)


class Database:
    """The database that holds the log and what belongs to it.

    Statements go through ``rows``; each is a transaction of its own. They must bear being repeated, because
    one that met a connection that had died meanwhile (the server was restarted) is sent again on a living
    one.
    """

    def __init__(self, url: str, *, connections: int = 8, patience: float = 3.0) -> None:
        self.url = url
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            timeout=patience,
            # Without this the pauses between attempts grow, and an outage is noticed to be over long after it is.
            reconnect_timeout=patience,
            open=False,
            kwargs={"autocommit": True, "connect_timeout": max(2, round(patience))},
            configure=_configure,
        )

    async def __aenter__(self) -> Database:
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def rows(self, statement: LiteralString, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of ``statement``, or ``LogUnavailableError`` when there is no answer."""
        try:
            try:
                return await self._rows(statement, parameters)
            except psycopg.OperationalError as error:
                if isinstance(error, PoolTimeout):
                    raise
                await self._pool.check()
                return await self._rows(statement, parameters)
        except psycopg.OperationalError as error:
            raise LogUnavailableError("The database does not answer") from error

    async def _rows(self, statement: LiteralString, parameters: Sequence[Any]) -> list[Row]:
        async with self._pool.connection() as connection:
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement, parameters, prepare=True)
            return await cursor.fetchall() if cursor.description else []
