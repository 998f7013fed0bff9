"""One active process among several: whoever holds a lock in Postgres, and only for as long as its connection lives."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import psycopg
import structlog
from psycopg import AsyncConnection

TRY_EVERY: Final = 0.5

log = structlog.get_logger()


async def lone_connection(url: str) -> AsyncConnection[Any]:
    """A connection for session locks: it notices within seconds that the server's machine is gone."""
    return await AsyncConnection.connect(
        url, autocommit=True, connect_timeout=5, keepalives_idle=5, keepalives_interval=2, keepalives_count=2
    )


async def while_leading(url: str, name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Stand by for the lock ``name``, do ``work`` while it is ours, stop at once when its connection dies; for ever."""
    while True:
        try:
            async with await lone_connection(url) as connection:
                while not await _locked(connection, name):
                    await asyncio.sleep(TRY_EVERY)
                log.info("leading", lock=name)
                await _until_lost(connection, work)
        except (psycopg.OperationalError, OSError) as outage:
            log.warning("not leading", lock=name, error=str(outage))
            await asyncio.sleep(TRY_EVERY)


async def _locked(connection: AsyncConnection[Any], name: str) -> bool:
    found = await (await connection.execute("SELECT pg_try_advisory_lock(hashtext(%s))", (name,))).fetchone()
    return found is not None and bool(found[0])


async def _until_lost(connection: AsyncConnection[Any], work: Callable[[], Awaitable[None]]) -> None:
    async def watch() -> None:
        # Nobody notifies us: what this waits for is the error when the connection breaks.
        async for _ in connection.notifies():
            pass

    tasks = [asyncio.ensure_future(work()), asyncio.ensure_future(watch())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, psycopg.OperationalError):
                await task
