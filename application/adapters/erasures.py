"""Who was erased: each process that keeps anything in mind is told once a person's key is destroyed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

import psycopg

from application.adapters.database import Database
from application.cancelling import obey_cancellation
from application.errors import UnavailableError

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks."""

_LATE: Final = timedelta(minutes=1)
"""How long after the moment that it bears a destruction may be seen: that is when its statement began."""

_NOW: Final[LiteralString] = "SELECT now()"
_DESTROYED: Final[LiteralString] = """
SELECT now(), person FROM (SELECT) AS always LEFT JOIN person_keys ON destroyed_at >= %s
"""


class Erasures:
    """Messages that somebody is erased may be lost, and a key may be destroyed long after them. What is in the
    database is neither: it is looked at all the time, and what could not be looked at is made up for.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: list[Callable[[UUID], None]] = []
        self._since: datetime | None = None
        self._told: set[UUID] = set()

    def tell(self, listener: Callable[[UUID], None]) -> None:
        """From now on ``listener`` is told of each person whose key is destroyed."""
        self._listeners.append(listener)

    async def look(self) -> None:
        """``UnavailableError`` where the database does not answer; the next look sees what this one did not."""
        if self._since is None:
            # Nothing is in mind of anybody yet: those before us need not be told of.
            ((now,),) = await self._database.rows(_NOW)
            self._since = now
        rows = await self._database.rows(_DESTROYED, [self._since - _LATE])
        destroyed = {person for _, person in rows if person is not None}
        for person in destroyed - self._told:
            for listener in self._listeners:
                listener(person)
        self._told = destroyed
        self._since = rows[0][0]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """As long as the block lasts."""
        watching = asyncio.create_task(self._watch(), name="erasures")
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        while True:
            obey_cancellation()
            try:
                await self.look()
            except (UnavailableError, psycopg.errors.UndefinedTable):
                pass  # away, or not made yet: the next look sees what this one did not
            except Exception:
                # A bug. To be looked at by somebody; and whoever is erased meanwhile must be forgotten all the same.
                log.exception("who was erased is not known")
            await asyncio.sleep(LOOK_EVERY)
