"""The generations of each read model: which one is served, which is being built, how far each is, what is parked.

What somebody wants done is written down here and carried out by the projector, so that the API and the CLI need no
line to it and nothing that was asked for is lost when it dies.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import AsyncRowFactory, class_row, scalar_row
from psycopg_pool import AsyncConnectionPool

from projections.ports import UnknownProjectionError

T = TypeVar("T")

CONTROL_SUBJECT: Final = "projections.control"
ADVANCED_SUBJECT: Final = "projections.advanced"

_SCHEMA: Final = """
SELECT pg_advisory_xact_lock(hashtext('tradelog.projections'));
CREATE TABLE IF NOT EXISTS projection_generations (
    name text NOT NULL,
    generation integer NOT NULL,
    version integer NOT NULL,
    engine text NOT NULL,
    purpose text NOT NULL DEFAULT 'serve' CHECK (purpose IN ('serve', 'check', 'rollback')),
    state text NOT NULL
        CHECK (state IN ('building', 'active', 'previous', 'retired', 'failed', 'cancelled')),
    position bigint NOT NULL DEFAULT 0,
    target bigint NOT NULL DEFAULT 0,
    paused boolean NOT NULL DEFAULT false,
    throttle integer CHECK (throttle > 0),
    rate double precision NOT NULL DEFAULT 0,
    error text NOT NULL DEFAULT '',
    comparison text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, generation)
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX IF NOT EXISTS projection_generations_one_active
    ON projection_generations (name) WHERE state = 'active';
CREATE TABLE IF NOT EXISTS projection_requests (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    action text NOT NULL,
    letter bigint,
    requested_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz,
    outcome text NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS projection_requests_open ON projection_requests (id) WHERE done_at IS NULL;
CREATE TABLE IF NOT EXISTS dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    generation integer NOT NULL,
    version integer NOT NULL,
    key uuid NOT NULL,
    whole boolean NOT NULL,
    stream uuid NOT NULL,
    stream_version bigint NOT NULL,
    position bigint NOT NULL,
    tag text NOT NULL,
    error text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    skipped_at timestamptz,
    UNIQUE (name, generation, key, position, whole)
);
"""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    generation: int
    version: int
    engine: str
    purpose: str
    state: str
    position: int
    target: int
    paused: bool
    throttle: int | None
    rate: float
    error: str
    comparison: str
    started_at: datetime
    updated_at: datetime
    parked: int = 0

    def lag(self, head: int) -> int:
        return max(0, head - self.position)

    def eta(self, head: int) -> float | None:
        """Seconds until it has caught up at its present rate; ``None`` when it stands still."""
        if self.position >= head:
            return 0.0
        return self.lag(head) / self.rate if self.rate > 0 and not self.paused else None


class ProjectionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A read model as operators see it."""

    name: str
    active: Generation
    building: Generation | None = None
    previous: Generation | None = None
    latest: Generation
    """The newest generation, which may have failed; its ``error`` and ``comparison`` tell why."""


class ParkedEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    generation: int
    key: UUID
    whole: bool
    stream: UUID
    stream_version: int
    position: int
    tag: str
    error: str
    at: datetime


class Request(msgspec.Struct, frozen=True, kw_only=True):
    id: int
    name: str
    action: str
    letter: int | None
    done_at: datetime | None
    outcome: str


async def create_schema(connection: AsyncConnection[Any]) -> None:
    """Make the tables that are not there yet; any number of processes may do so at once."""
    async with connection.transaction():
        await connection.execute(_SCHEMA)


class Generations:
    """The tables above, for whoever looks at read models or asks for something to be done to them."""

    def __init__(
        self, pool: AsyncConnectionPool[Any], ring: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """``ring`` tells the projector that there is something to do; without it, it looks twice a second."""
        self._pool = pool
        self._ring = ring

    async def list_projections(self, name: str | None = None) -> list[ProjectionStatus]:
        rows = await self.rows(name)
        return [_status(of_name, [row for row in rows if row.name == of_name]) for of_name in _served(rows)]

    async def projection(self, name: str) -> ProjectionStatus:
        found = await self.list_projections(name)
        if not found:
            raise UnknownProjectionError(f"there is no projection {name!r}")
        return found[0]

    async def rows(self, name: str | None = None) -> list[Generation]:
        """Every generation ever, the newest first."""
        async with self._cursor(class_row(Generation)) as cursor:
            await cursor.execute(
                """
                SELECT g.name, g.generation, g.version, engine, purpose, state, g.position, target, paused, throttle,
                       rate, g.error, comparison, started_at, updated_at, coalesce(parked, 0) AS parked
                FROM projection_generations g
                LEFT JOIN (
                    SELECT name, generation, count(*) AS parked
                    FROM dead_letters WHERE skipped_at IS NULL GROUP BY name, generation
                ) d ON d.name = g.name AND d.generation = g.generation
                WHERE %(name)s::text IS NULL OR g.name = %(name)s
                ORDER BY g.name, g.generation DESC
                """,
                {"name": name},
            )
            return list(await cursor.fetchall())

    async def request_rebuild(self, name: str) -> int:
        """Build a new generation beside the served one, compare, switch."""
        return await self._request(name, "rebuild")

    async def request_check(self, name: str) -> int:
        """Compare every row against the log: build a generation, compare, and drop it again."""
        return await self._request(name, "check")

    async def cancel(self, name: str) -> int:
        """Give up the generation that is being built."""
        return await self._request(name, "cancel")

    async def rollback(self, name: str) -> int:
        """Serve the previous generation again, once it has caught up: readers never go back in time."""
        return await self._request(name, "rollback")

    async def retry(self, letter: int) -> int:
        """Fold again what is parked with this dead letter, in order."""
        return await self._request(await self._name_of(letter), "retry", letter)

    async def skip(self, letter: int) -> int:
        """Do without the first event that is parked with this dead letter, and fold the rest again."""
        return await self._request(await self._name_of(letter), "skip", letter)

    async def pause(self, name: str) -> None:
        """Halt the generation that is being built; else the one that is served."""
        await self._set(name, "paused = true")

    async def resume(self, name: str) -> None:
        await self._set(name, "paused = false")

    async def throttle(self, name: str, events_per_second: int | None) -> None:
        await self._set(name, "throttle = %(value)s", events_per_second)

    async def request(self, request: int) -> Request:
        async with self._cursor(class_row(Request)) as cursor:
            await cursor.execute(
                "SELECT id, name, action, letter, done_at, outcome FROM projection_requests WHERE id = %s",
                (request,),
            )
            found: Request | None = await cursor.fetchone()
        if found is None:
            raise UnknownProjectionError(f"there is no request {request}")
        return found

    async def dead_letters(
        self, name: str | None = None, *, limit: int = 100, after: int = 0
    ) -> list[ParkedEvent]:
        """What is parked in generations that are served or being built, in order of their ids."""
        async with self._cursor(class_row(ParkedEvent)) as cursor:
            await cursor.execute(
                """
                SELECT d.id, d.name, d.generation, d.key, d.whole, d.stream, d.stream_version, d.position, d.tag,
                       d.error, d.at
                FROM dead_letters d
                JOIN projection_generations g ON g.name = d.name AND g.generation = d.generation
                WHERE g.state IN ('active', 'building', 'failed') AND d.skipped_at IS NULL AND d.id > %(after)s
                  AND (%(name)s::text IS NULL OR d.name = %(name)s)
                ORDER BY d.id LIMIT %(limit)s
                """,
                {"name": name, "after": after, "limit": limit},
            )
            return list(await cursor.fetchall())

    async def _request(self, name: str, action: str, letter: int | None = None) -> int:
        async with self._cursor(scalar_row) as cursor:
            await cursor.execute(
                """
                INSERT INTO projection_requests (name, action, letter)
                SELECT %(name)s, %(action)s, %(letter)s
                WHERE EXISTS (SELECT FROM projection_generations WHERE name = %(name)s)
                RETURNING id
                """,
                {"name": name, "action": action, "letter": letter},
            )
            made: int | None = await cursor.fetchone()
        if made is None:
            raise UnknownProjectionError(f"there is no projection {name!r}")
        await self._rung()
        return made

    @asynccontextmanager
    async def _cursor(self, rows: AsyncRowFactory[T]) -> AsyncIterator[AsyncCursor[T]]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=rows) as cursor:
            yield cursor

    async def _rung(self) -> None:
        if self._ring is not None:
            await self._ring()

    async def _name_of(self, letter: int) -> str:
        async with self._cursor(scalar_row) as cursor:
            await cursor.execute(
                "SELECT name FROM dead_letters WHERE id = %s AND skipped_at IS NULL", (letter,)
            )
            name: str | None = await cursor.fetchone()
        if name is None:
            raise UnknownProjectionError(f"there is no dead letter {letter}")
        return name

    async def _set(self, name: str, assignment: str, value: int | None = None) -> None:
        async with self._pool.connection() as connection:
            done = await connection.execute(
                f"""
                UPDATE projection_generations SET {assignment} WHERE name = %(name)s AND generation = (
                    SELECT generation FROM projection_generations
                    WHERE name = %(name)s AND state IN ('building', 'active')
                    ORDER BY state = 'building' DESC, generation DESC LIMIT 1
                )
                """.encode(),
                {"name": name, "value": value},
            )
        if not done.rowcount:
            raise UnknownProjectionError(f"there is no projection {name!r}")
        await self._rung()


def _served(rows: Sequence[Generation]) -> list[str]:
    return [row.name for row in rows if row.state == "active"]


def _status(name: str, rows: Sequence[Generation]) -> ProjectionStatus:
    def first(state: str) -> Generation | None:
        return next((row for row in rows if row.state == state), None)

    active = first("active")
    assert active is not None, "a projection always has a generation that is served"
    return ProjectionStatus(
        name=name, active=active, building=first("building"), previous=first("previous"), latest=rows[0]
    )
