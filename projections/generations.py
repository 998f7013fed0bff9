"""The generations of each read model: which one is served, which is being built, how far each is, what is parked.

What somebody wants done is written down here and carried out by the projector, so that the API and the CLI need no
line to it and nothing that was asked for is lost when it dies.
"""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import AsyncRowFactory, class_row, scalar_row, tuple_row
from psycopg_pool import AsyncConnectionPool

from projections.ports import (
    AlreadyAskedError,
    KeyReusedError,
    Once,
    Passed,
    RebuildRunningError,
    UnknownProjectionError,
)

T = TypeVar("T")

_MOST_TOLD: Final = 5_000
"""Documents in one message, which must not be greater than NATS takes."""

CONTROL_SUBJECT: Final = "projections.control"
ADVANCED_SUBJECT: Final = "projections.advanced"


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What the projector tells on ``ADVANCED_SUBJECT`` once a read model has moved on from ``after`` to ``position``.

    Each message begins where the one before it ended, so whoever has missed one knows. ``changed`` are the documents
    that are not what they were, each with the effects of that (``Projection.effects``); ``None``: any may be another.
    """

    name: str
    generation: int
    position: int
    after: int = 0
    changed: Mapping[UUID, Collection[str]] | None = None

    def then(self, later: Moved) -> Moved:
        """Both at once."""
        is_next = later.generation == self.generation and later.after <= self.position
        if not is_next or self.changed is None or later.changed is None:
            return msgspec.structs.replace(later, changed=None)
        changed = dict(self.changed)
        for key, effects in later.changed.items():
            changed[key] = {*changed.get(key, ()), *effects}
        told = changed if len(changed) <= _MOST_TOLD else None
        return msgspec.structs.replace(later, after=self.after, changed=told)


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
-- Tables that former code has made. Asked first, because ALTER TABLE would wait for every batch that is being saved.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = 'projection_generations'::regclass AND attname = 'erased_to'
    ) THEN
        ALTER TABLE projection_generations ADD COLUMN erased_to bigint NOT NULL DEFAULT 0;
    END IF;
END $$;
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
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'projection_requests'::regclass AND attname = 'actor') THEN
        ALTER TABLE projection_requests ADD COLUMN actor text NOT NULL DEFAULT '';
    END IF;
END $$;
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
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'dead_letters'::regclass AND attname = 'subjects') THEN
        ALTER TABLE dead_letters ADD COLUMN subjects uuid[] NOT NULL DEFAULT '{}';
    END IF;
END $$;
CREATE TABLE IF NOT EXISTS projection_answers (
    scope text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    answer bytea NOT NULL DEFAULT '',
    answered_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
"""

FORGET_ERRORS: Final = """
UPDATE dead_letters SET error = concat_ws(
    E'\\n', 'It told of somebody who has been erased. Where it happened:',
    (SELECT string_agg(line, E'\\n') FROM regexp_split_to_table(error, E'\\n') AS line WHERE line LIKE '  File "%%')
)
WHERE name = %(name)s AND error <> '' AND (
    generation = %(generation)s
    OR subjects && %(persons)s::uuid[] OR stream = ANY(%(persons)s) OR key = ANY(%(persons)s)
)
"""
"""What an exception says may quote the person, and so may the lines of code around it; where it was raised does not.

Of the letters of ``generation``, and of those that may tell of ``persons`` in whichever generation.
"""

DEAD_LETTERS: Final = """
SELECT d.id, d.name, d.generation, d.key, d.whole, d.stream, d.stream_version, d.position, d.tag, d.error, d.at
FROM dead_letters d JOIN projection_generations g ON g.name = d.name AND g.generation = d.generation
WHERE g.state IN ('active', 'building', 'failed') AND d.skipped_at IS NULL AND d.id > %(after)s
  AND (%(name)s::text IS NULL OR d.name = %(name)s)
ORDER BY d.id LIMIT %(limit)s
"""

_NOTHING_LEFT: Final = 2**63 - 1

# Nothing is lost when such moves are: no row changed on the way, so they need not wait for the disk. Nor for whoever
# holds one of the checkpoints, be it to switch: that one is left out, and the others are not held up.
_PASS: Final = """
WITH quiet AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS setting),
asked AS MATERIALIZED (
    SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[], %s::double precision[])
        AS asked (name, generation, after, "to", rate)
),
free AS MATERIALIZED (
    SELECT g.name, g.generation FROM projection_generations g JOIN asked USING (name, generation)
    WHERE g.position = asked.after AND g.state IN ('building', 'active')
    FOR UPDATE OF g SKIP LOCKED
)
UPDATE projection_generations g SET position = asked."to", rate = asked.rate, updated_at = now()
FROM asked JOIN free USING (name, generation) CROSS JOIN quiet
WHERE g.name = asked.name AND g.generation = asked.generation AND g.position = asked.after
    AND g.state IN ('building', 'active') AND quiet.setting = 'off'
RETURNING g.name, g.generation
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
    actor: str
    requested_at: datetime
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
        async with self._pool.connection() as connection:
            return await _rows(connection, name)

    async def superseded_by_erasure(self, names: Sequence[str]) -> list[tuple[str, int]]:
        """The generations, not served nor being built, that may hold persons whom their read model has forgotten."""
        async with self._pool.connection() as connection:
            found = await connection.execute(
                """
                SELECT o.name, o.generation FROM projection_generations o
                WHERE o.name = ANY(%s) AND o.state NOT IN ('active', 'building') AND o.erased_to < (
                    SELECT max(n.erased_to) FROM projection_generations n
                    WHERE n.name = o.name AND n.state IN ('active', 'building')
                )
                """,
                (list(names),),
            )
            return [(name, generation) async for name, generation in found]

    async def retire(self, name: str, generation: int) -> bool:
        """It is not to be served again; ``False`` when it has come back to life meanwhile."""
        async with self._pool.connection() as connection:
            retired = await connection.execute(
                """
                UPDATE projection_generations SET state = 'retired', updated_at = now()
                WHERE name = %s AND generation = %s AND state NOT IN ('active', 'building')
                """,
                (name, generation),
            )
        return bool(retired.rowcount == 1)

    async def forgotten(self, name: str, generation: int) -> None:
        """It is dropped: what is said of it must not tell of anybody either, and there is nothing left to forget."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(FORGET_ERRORS, {"name": name, "generation": generation, "persons": []})
            await connection.execute(
                "UPDATE projection_generations SET erased_to = %s, error = '' WHERE name = %s AND generation = %s",
                (_NOTHING_LEFT, name, generation),
            )

    async def move_all(self, passed: Sequence[Passed]) -> set[Passed]:
        """Move these checkpoints in one statement; tells which of them were where they were left, and free."""
        columns = ("name", "generation", "after", "to", "rate")
        async with self._pool.connection() as connection:
            moved = await connection.execute(
                _PASS, [[getattr(each, column) for each in passed] for column in columns]
            )
            keys = {(name, generation) async for name, generation in moved}
        return {each for each in passed if (each.name, each.generation) in keys}

    async def request_rebuild(self, name: str, once: Once | None = None) -> int:
        """Build a new generation beside the served one, compare, switch."""
        return await self._request(name, "rebuild", once)

    async def request_replay(
        self, names: Sequence[str], once: Once | None = None, *, actor: str = ""
    ) -> list[int]:
        """The same of several, all of them or none; not while one of them is being built, or is going to be."""

        async def ask(connection: AsyncConnection[Any]) -> list[int]:
            await _refuse_another_rebuild(connection, names)
            return [await _requested(connection, name, "rebuild", actor=actor) for name in names]

        return await self._once(once, ask)

    async def request_check(self, name: str) -> int:
        """Compare every row against the log: build a generation, compare, and drop it again."""
        return await self._request(name, "check")

    async def cancel(self, name: str) -> int:
        """Give up the generation that is being built."""
        return await self._request(name, "cancel")

    async def rollback(self, name: str, once: Once | None = None) -> int:
        """Serve the previous generation again, once it has caught up: readers never go back in time."""
        return await self._request(name, "rollback", once)

    async def retry(self, letter: int, once: Once | None = None) -> int:
        """Fold again what is parked with this dead letter, in order."""
        return await self._settle(letter, "retry", once)

    async def skip(self, letter: int, once: Once | None = None) -> int:
        """Do without the first event that is parked with this dead letter, and fold the rest again."""
        return await self._settle(letter, "skip", once)

    async def pause(self, name: str, once: Once | None = None) -> ProjectionStatus:
        """Halt the generation that is being built; else the one that is served."""
        return await self._set(name, "paused = true", once=once)

    async def resume(self, name: str, once: Once | None = None) -> ProjectionStatus:
        return await self._set(name, "paused = false", once=once)

    async def throttle(self, name: str, events_per_second: int | None) -> None:
        await self._set(name, "throttle = %(value)s", events_per_second)

    async def request(self, request: int) -> Request:
        async with self._cursor(class_row(Request)) as cursor:
            await cursor.execute(
                """
                SELECT id, name, action, letter, actor, requested_at, done_at, outcome
                FROM projection_requests WHERE id = %s
                """,
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
            await cursor.execute(DEAD_LETTERS, {"name": name, "after": after, "limit": limit})
            return list(await cursor.fetchall())

    async def _request(self, name: str, action: str, once: Once | None = None) -> int:
        return await self._once(once, lambda connection: _requested(connection, name, action))

    async def _settle(self, letter: int, action: str, once: Once | None) -> int:
        async def ask(connection: AsyncConnection[Any]) -> int:
            return await _requested(connection, await _name_of(connection, letter), action, letter)

        return await self._once(once, ask)

    async def _once(self, once: Once | None, work: Callable[[AsyncConnection[Any]], Awaitable[T]]) -> T:
        """``work`` and the answer to it in one transaction; ``AlreadyAskedError`` when it was done before."""
        async with self._pool.connection() as connection, connection.transaction():
            if once is not None:
                await _claim(connection, once)
            done = await work(connection)
            if once is not None:
                await connection.execute(
                    "UPDATE projection_answers SET answer = %s WHERE scope = %s AND key = %s",
                    (once.answer(done), once.scope, once.key),
                )
        if self._ring is not None:
            await self._ring()
        return done

    @asynccontextmanager
    async def _cursor(self, rows: AsyncRowFactory[T]) -> AsyncIterator[AsyncCursor[T]]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=rows) as cursor:
            yield cursor

    async def _set(
        self, name: str, assignment: str, value: int | None = None, *, once: Once | None = None
    ) -> ProjectionStatus:
        async def change(connection: AsyncConnection[Any]) -> ProjectionStatus:
            await connection.execute(
                f"""
                UPDATE projection_generations SET {assignment} WHERE name = %(name)s AND generation = (
                    SELECT generation FROM projection_generations
                    WHERE name = %(name)s AND state IN ('building', 'active')
                    ORDER BY state = 'building' DESC, generation DESC LIMIT 1
                )
                """.encode(),
                {"name": name, "value": value},
            )
            rows = await _rows(connection, name)
            if not rows:
                raise UnknownProjectionError(f"there is no projection {name!r}")
            return _status(name, rows)

        return await self._once(once, change)


async def _rows(connection: AsyncConnection[Any], name: str | None) -> list[Generation]:
    async with connection.cursor(row_factory=class_row(Generation)) as cursor:
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


async def _claim(connection: AsyncConnection[Any], once: Once) -> None:
    """Take the key, or wait for who has it and tell what it was answered. A refusal gives it back."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(
            """
            INSERT INTO projection_answers (scope, key, request_hash) VALUES (%s, %s, %s)
            ON CONFLICT DO NOTHING RETURNING key
            """,
            (once.scope, once.key, once.request_hash),
        )
        if await cursor.fetchone() is not None:
            return
        await cursor.execute(
            "SELECT request_hash, answer FROM projection_answers WHERE scope = %s AND key = %s",
            (once.scope, once.key),
        )
        before = await cursor.fetchone()
    assert before is not None, "rows of this table are never deleted"
    if not hmac.compare_digest(before[0], once.request_hash):
        raise KeyReusedError("This Idempotency-Key was used for another request")
    raise AlreadyAskedError(before[1])


async def _refuse_another_rebuild(connection: AsyncConnection[Any], names: Sequence[str]) -> None:
    """Whoever asks at the same time waits here until the first one has asked."""
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT pg_advisory_xact_lock(hashtext('tradelog.replay'))")
        await cursor.execute(
            """
            SELECT name FROM projection_requests
            WHERE done_at IS NULL AND action = 'rebuild' AND name = ANY(%(names)s)
            UNION SELECT name FROM projection_generations
            WHERE state = 'building' AND purpose = 'serve' AND name = ANY(%(names)s)
            ORDER BY name
            """,
            {"names": list(names)},
        )
        running: list[str] = await cursor.fetchall()
    if running:
        raise RebuildRunningError("A replay is running already", details={"projections": running})


async def _requested(
    connection: AsyncConnection[Any],
    name: str,
    action: str,
    letter: int | None = None,
    *,
    actor: str = "",
) -> int:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(
            """
            INSERT INTO projection_requests (name, action, letter, actor)
            SELECT %(name)s, %(action)s, %(letter)s, %(actor)s
            WHERE EXISTS (SELECT FROM projection_generations WHERE name = %(name)s)
            RETURNING id
            """,
            {"name": name, "action": action, "letter": letter, "actor": actor},
        )
        made: int | None = await cursor.fetchone()
    if made is None:
        raise UnknownProjectionError(f"there is no projection {name!r}")
    return made


async def _name_of(connection: AsyncConnection[Any], letter: int) -> str:
    async with connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute("SELECT name FROM dead_letters WHERE id = %s AND skipped_at IS NULL", (letter,))
        name: str | None = await cursor.fetchone()
    if name is None:
        raise UnknownProjectionError(f"there is no dead letter {letter}")
    return name


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
