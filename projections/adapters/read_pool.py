"""Queries over read models, by connections of their own."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from projections.ports import ReadModelsUnavailableError


class ReadPool:
    """Statements are prepared and rows come in binary, as tuples.

    A prepared statement does not survive a switch to a generation with other columns, and a connection does not
    survive its server; both are noticed here and the query is asked again, so that no reader sees either.
    """

    def __init__(self, url: str, *, connections: int = 16, patience: float = 3.0) -> None:
        self.pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            timeout=patience,
            # Without this the pauses between attempts grow, and an outage is noticed to be over long after it is.
            reconnect_timeout=patience,
            open=False,
            kwargs={"autocommit": True, "connect_timeout": max(2, round(patience))},
        )

    async def __aenter__(self) -> ReadPool:
        await self.pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.pool.close()

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        rows = await self.all(query, *parameters)
        return rows[0] if rows else None

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        try:
            try:
                return await self._ask(query, parameters)
            except PoolTimeout:
                raise
            except psycopg.OperationalError:
                await self.pool.check()
                return await self._ask(query, parameters)
        except psycopg.OperationalError as error:
            raise ReadModelsUnavailableError("The read models' database does not answer") from error

    async def _ask(self, query: str, parameters: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        async with self.pool.connection() as connection:
            try:
                return await _rows(connection, query, parameters)
            except psycopg.errors.FeatureNotSupported:
                await connection.execute("DEALLOCATE ALL")
                return await _rows(connection, query, parameters)


async def _rows(
    connection: AsyncConnection[TupleRow], query: str, parameters: tuple[Any, ...]
) -> list[tuple[Any, ...]]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(query.encode(), parameters, prepare=True)
    return await cursor.fetchall()
