"""Keeps every read model going: a runner per generation, rebuilds from start to switch, and what operators ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, Final, Generic
from uuid import UUID

import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from domain.accounts.events import AccountErased
from domain.kernel import tag_of
from projections.cancelling import obey_cancellation
from projections.generations import Generation, Generations, create_schema
from projections.idling import Idling
from projections.ports import Feed, Log, RetiredError, S, Sink
from projections.projection import Projection
from projections.runner import CATCH_UP_BATCH, Advanced, Runner

CONTROL_INTERVAL: Final = 0.5
RESTART_AFTER: Final = 5.0
LEVEL_WITHIN: Final = 10.0

log = structlog.get_logger()

SinkFor = Callable[[Projection[Any], int], Sink]


async def prepare(
    pool: AsyncConnectionPool[Any],
    projections: Sequence[Projection[Any]],
    sink_for: SinkFor,
    *,
    head: int = 0,
) -> None:
    """Make what readers need to find, be it empty: the tables, and a generation of each read model to be served.

    A read model whose version has been raised gets a generation to be built. A lower version does nothing: during a
    deployment old and new code run side by side, and must not take turns in rebuilding. ``rollback`` goes back.
    """
    async with pool.connection() as connection:
        await create_schema(connection)
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('tradelog.projections'))")
            for projection in projections:
                await connection.execute(
                    """
                    UPDATE projection_generations SET state = 'cancelled', updated_at = now()
                    WHERE name = %s AND version < %s AND state = 'building'
                    """,
                    (projection.name, projection.version),
                )
                await connection.execute(
                    """
                    INSERT INTO projection_generations (name, generation, version, engine, state, target)
                    SELECT %(name)s, coalesce(max(generation), 0) + 1, %(version)s, %(engine)s,
                           CASE WHEN count(*) = 0 THEN 'active' ELSE 'building' END, %(head)s
                    FROM projection_generations WHERE name = %(name)s
                    HAVING count(*) = 0 OR max(version) < %(version)s
                    """,
                    {
                        "name": projection.name,
                        "version": projection.version,
                        "engine": projection.engine,
                        "head": head,
                    },
                )
    served = {row.name: row for row in await Generations(pool).rows() if row.state == "active"}
    for projection in projections:
        row = served[projection.name]
        # What another version has made is there, and is not for us to add our columns' indexes to.
        if projection.engine == "postgres" and projection.version == row.version:
            with suppress(RetiredError):
                await sink_for(projection, row.generation).open()


class _Run(Generic[S]):
    """A generation that this process carries."""

    def __init__(
        self, generation: Generation, runner: Runner[Any, S], tasks: list[asyncio.Task[None]]
    ) -> None:
        self.generation = generation
        self.runner = runner
        self.tasks = tasks

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Engine(Generic[S]):
    """Several may run: each generation is carried by the one that holds its lock, and taken over when that one dies.

    The checkpoint would refuse a second carrier's batches anyway; the lock saves the two from getting in each
    other's way.
    """

    def __init__(
        self,
        projections: Sequence[Projection[Any]],
        *,
        pool: AsyncConnectionPool[Any],
        connect: Callable[[], Awaitable[AsyncConnection[Any]]],
        log: Log[S],
        feed: Feed[S],
        sink_for: SinkFor,
        outages: tuple[type[Exception], ...],
        advanced: Callable[[Advanced], None] = lambda advanced: None,
        erased: Callable[[UUID], None] = lambda person: None,
        batch: int = CATCH_UP_BATCH,
    ) -> None:
        """``erased`` is told of each person whom a read model has forgotten."""
        self._projections = {projection.name: projection for projection in projections}
        self._pool = pool
        self._connect = connect
        self._log = log
        self._feed = feed
        self._sink_for = sink_for
        self._outages = outages
        self._setbacks: tuple[type[Exception], ...] = (TimeoutError, _ErasureAheadError, *outages)
        self._tell = advanced
        self._tell_erased = erased
        self._batch = batch
        self._generations = Generations(pool)
        self._idling = Idling(self._generations.move_all)
        self._runs: dict[tuple[str, int], _Run[S]] = {}
        self._served: dict[str, int] = {}
        self._resting: dict[tuple[str, int], float] = {}
        self._chores: set[asyncio.Task[None]] = set()
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """Somebody has asked for something: look now rather than at the next turn."""
        self._bell.set()

    def is_carrying(self, name: str, generation: int) -> bool:
        return (name, generation) in self._runs

    def carried(self, name: str, generation: int) -> Runner[Any, S]:
        return self._runs[name, generation].runner

    async def run(self) -> None:
        """Until cancelled. Without the connection that holds the locks everything stops, and starts again with it."""
        try:
            while True:
                try:
                    await prepare(
                        self._pool,
                        list(self._projections.values()),
                        self._sink_for,
                        head=await self._log.head(),
                    )
                    locks = await self._connect()
                    try:
                        while True:
                            obey_cancellation()
                            await self._control(locks)
                            await self._pause()
                    finally:
                        await self._stop()
                        await locks.close()
                except self._outages as outage:
                    log.warning("projector waits", error=str(outage))
                    await asyncio.sleep(CONTROL_INTERVAL)
        finally:
            await self._stop()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CONTROL_INTERVAL):
                await self._bell.wait()
        self._bell.clear()

    async def _stop(self) -> None:
        for run in list(self._runs.values()):
            await run.stop()
        self._runs.clear()
        await self._idling.close()
        await asyncio.gather(*self._chores, return_exceptions=True)

    def _later(self, chore: Coroutine[Any, Any, None]) -> None:
        """To be done even when the generation that it is about is let go meanwhile."""
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    async def _control(self, locks: AsyncConnection[Any]) -> None:
        await locks.execute("SELECT 1")
        await self._requests()
        await self._forget()
        rows = await self._generations.rows()
        self._served = {row.name: row.generation for row in rows if row.state == "active"}
        carried = {
            (row.name, row.generation): row
            for row in rows
            if row.state in ("active", "building")
            and row.name in self._projections
            and self._projections[row.name].version == row.version
        }
        for key, run in list(self._runs.items()):
            if key not in carried or any(_failed(task) for task in run.tasks):
                await self._let_go(locks, key, run)
        now = asyncio.get_running_loop().time()
        for key, row in carried.items():
            if key not in self._runs and self._resting.get(key, 0.0) <= now and await _locked(locks, key):
                self._runs[key] = self._start(row)
            if key in self._runs:
                self._runs[key].runner.control(paused=row.paused, throttle=row.throttle)

    def _start(self, row: Generation) -> _Run[S]:
        projection = self._projections[row.name]
        sink = self._sink_for(projection, row.generation)
        runner: Runner[Any, S] = Runner(
            projection,
            row.generation,
            sink=sink,
            log=self._log,
            feed=self._feed,
            idling=self._idling,
            outages=self._outages,
            advanced=self._moved,
            erased=self._erased,
            batch=self._batch,
        )
        runner.control(paused=row.paused, throttle=row.throttle)
        log.info("projection starts", projection=row.name, generation=row.generation, state=row.state)
        tasks = [asyncio.create_task(runner.run())]
        if row.state == "building":
            tasks.append(asyncio.create_task(self._build(row, runner, sink)))
        return _Run(row, runner, tasks)

    async def _let_go(self, locks: AsyncConnection[Any], key: tuple[str, int], run: _Run[S]) -> None:
        del self._runs[key]
        await run.stop()
        await locks.execute("SELECT pg_advisory_unlock(hashtext(%s), %s)", key)
        for task in run.tasks:
            if (error := _failed(task)) is not None and not isinstance(error, RetiredError):
                log.error("projection stopped", projection=key[0], generation=key[1], exc_info=error)
                await self._note(run.generation, error=repr(error))
                self._resting[key] = asyncio.get_running_loop().time() + RESTART_AFTER

    def _moved(self, advanced: Advanced) -> None:
        if self._served.get(advanced.name) == advanced.generation:
            self._tell(advanced)

    def _erased(self, person: UUID) -> None:
        self._tell_erased(person)
        self.ring()

    async def _forget(self) -> None:
        """Drop what is kept for rollback, or to be looked at, and knows somebody who has been erased since."""
        names = [name for name, projection in self._projections.items() if projection.forgets]
        for name, generation in await self._generations.superseded_by_erasure(names):
            try:
                if await self._generations.retire(name, generation):
                    await self._sink_for(self._projections[name], generation).drop()
                    await self._generations.forgotten(name, generation)
                    log.info("superseded generation forgotten", projection=name, generation=generation)
            except self._outages as outage:
                # Tried again at the next turn, as requests are.
                log.warning("forgetting waits", projection=name, generation=generation, error=str(outage))

    # From here on: the life of a generation that is being built.

    async def _build(self, row: Generation, runner: Runner[Any, S], sink: Sink) -> None:
        while True:
            try:
                await runner.catches_up()
                await runner.finish()
                if row.purpose != "rollback" and not await self._agrees(row, runner, sink):
                    return
                if row.purpose == "check":
                    await self._set_state(row, "retired")
                    await runner.hold_at(0)
                    self._later(sink.drop())
                    return
                await self._switch(row, runner, sink)
                return
            except self._setbacks as outage:
                await runner.hold_at(None)
                log.warning(
                    "rebuild waits", projection=row.name, generation=row.generation, error=str(outage)
                )
                await asyncio.sleep(CONTROL_INTERVAL)

    async def _agrees(self, row: Generation, runner: Runner[Any, S], sink: Sink) -> bool:
        """Whether the new generation may be served; it is failed with the reason when not.

        The one that is served is halted at a position by locking its checkpoint, wherever it is carried, for as
        long as the new one needs to come to the same position; what is compared then is a snapshot of that moment,
        while both go on.
        """
        active = await self._active(row.name)
        if active.version != row.version:
            if faults := await self._newly_parked(row, active):
                return await self._fail(row, faults)
            await self._note(row, comparison=f"not compared: version {active.version} became {row.version}")
            return True
        await self._behind_active(row, runner)
        async with self._pool.connection() as snapshot, snapshot.transaction():
            await snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            async with self._pool.connection() as halted, halted.transaction():
                level = await self._lock(halted, active)
                async with asyncio.timeout(LEVEL_WITHIN):
                    await runner.hold_at(level)
                    await runner.reaches(level)
                defects = await sink.defects()
                seen = await snapshot.execute(
                    "SELECT position FROM projection_generations WHERE name = %s AND generation IN (%s, %s)",
                    (row.name, row.generation, active.generation),
                )
                assert {position for (position,) in await seen.fetchall()} == {level}, (
                    "both stand at the same position"
                )
            await runner.hold_at(None)
            difference = await sink.difference(snapshot, active.generation)
        if difference and await self._erases_after(level, self._projections[row.name]):
            raise _ErasureAheadError(f"somebody is erased after {level}: compared again once both know")
        faults = "; ".join(filter(None, (defects, difference, await self._newly_parked(row, active))))
        if faults:
            return await self._fail(row, faults)
        await self._note(row, comparison=f"equal to generation {active.generation} at position {level}")
        return True

    async def _erases_after(self, position: int, projection: Projection[Any]) -> bool:
        """Whether one of the two may have read, of somebody whose key is destroyed by now, what the other could not."""
        tag = tag_of(AccountErased)
        while projection.forgets and (stored := await self._log.read(position, self._batch)):
            if any(each.tag == tag for each in stored):
                return True
            position = stored[-1].position
        return False

    async def _behind_active(self, row: Generation, runner: Runner[Any, S]) -> None:
        """Halt the new one until the served one has passed it, so that it can be brought to the same position."""
        here = await runner.hold_at(0)
        async with asyncio.timeout(LEVEL_WITHIN):
            while (await self._active(row.name)).position < here:
                await asyncio.sleep(0.01)

    async def _switch(self, row: Generation, runner: Runner[Any, S], sink: Sink) -> None:
        """From one statement to the next readers see the new generation, which is not behind what they saw before."""
        active = await self._active(row.name)
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET LOCAL lock_timeout = '2s'")
            reached = await self._lock(connection, active)
            async with asyncio.timeout(LEVEL_WITHIN):
                await runner.reaches(reached)
            here = await connection.execute(
                "SELECT position FROM projection_generations"
                " WHERE name = %s AND generation = %s AND state = 'building' FOR UPDATE",
                (row.name, row.generation),
            )
            found = await here.fetchone()
            if found is None:
                return  # cancelled meanwhile
            assert found[0] >= reached, "readers never go back in time"
            retired = await connection.execute(
                """
                UPDATE projection_generations SET state = 'retired', updated_at = now()
                WHERE name = %s AND state IN ('previous', 'failed', 'cancelled') RETURNING generation
                """,
                (row.name,),
            )
            old = [generation for (generation,) in await retired.fetchall()]
            for generation, state in ((active.generation, "previous"), (row.generation, "active")):
                await connection.execute(
                    """
                    UPDATE projection_generations SET state = %s, error = '', paused = false, updated_at = now()
                    WHERE name = %s AND generation = %s
                    """,
                    (state, row.name, generation),
                )
            await sink.serve(connection)
        self._served[row.name] = row.generation
        log.info("projection switched", projection=row.name, generation=row.generation, position=found[0])
        self._tell(Advanced(name=row.name, generation=row.generation, position=found[0], after=found[0]))
        for generation in old:
            self._later(self._sink_for(self._projections[row.name], generation).drop())

    async def _active(self, name: str) -> Generation:
        return (await self._generations.projection(name)).active

    async def _lock(self, connection: AsyncConnection[Any], generation: Generation) -> int:
        locked = await connection.execute(
            "SELECT position FROM projection_generations WHERE name = %s AND generation = %s FOR UPDATE",
            (generation.name, generation.generation),
        )
        found = await locked.fetchone()
        assert found is not None, "rows of this table are never deleted"
        return int(found[0])

    async def _newly_parked(self, row: Generation, active: Generation) -> str:
        async with self._pool.connection() as connection:
            counted = await connection.execute(
                """
                SELECT count(DISTINCT key) FROM dead_letters n
                WHERE name = %(name)s AND generation = %(new)s AND skipped_at IS NULL AND NOT EXISTS (
                    SELECT FROM dead_letters o
                    WHERE o.name = n.name AND o.generation = %(old)s AND o.key = n.key AND o.skipped_at IS NULL
                )
                """,
                {"name": row.name, "new": row.generation, "old": active.generation},
            )
            found = await counted.fetchone()
        assert found is not None, "an aggregate has one row"
        return f"{found[0]} documents are parked that were not before" if found[0] else ""

    async def _fail(self, row: Generation, reason: str) -> bool:
        log.error("rebuild refused", projection=row.name, generation=row.generation, reason=reason)
        await self._note(row, error=reason)
        await self._set_state(row, "failed")
        return False

    async def _note(self, row: Generation, **notes: str) -> None:
        async with self._pool.connection() as connection:
            for column, text in notes.items():
                await connection.execute(
                    f"UPDATE projection_generations SET {column} = %s WHERE name = %s AND generation = %s".encode(),
                    (text, row.name, row.generation),
                )

    async def _set_state(self, row: Generation, state: str) -> bool:
        """Whether it was being built until now."""
        async with self._pool.connection() as connection:
            changed = await connection.execute(
                """
                UPDATE projection_generations SET state = %s, updated_at = now()
                WHERE name = %s AND generation = %s AND state = 'building'
                """,
                (state, row.name, row.generation),
            )
        return bool(changed.rowcount == 1)

    # From here on: what operators ask for.

    async def _requests(self) -> None:
        async with self._pool.connection() as connection:
            pending = await connection.execute(
                "SELECT id FROM projection_requests WHERE done_at IS NULL AND name = ANY(%s) ORDER BY id",
                (list(self._projections),),
            )
            for (request,) in await pending.fetchall():
                try:
                    await self._take_up(connection, request)
                except self._outages as outage:
                    # Tried again. The other read models may be on an engine that is not down, and go on meanwhile.
                    log.warning("request waits", request=request, error=str(outage))

    async def _take_up(self, connection: AsyncConnection[Any], request: int) -> None:
        async with connection.transaction():
            locked = await connection.execute(
                """
                SELECT name, action, letter FROM projection_requests
                WHERE id = %s AND done_at IS NULL FOR UPDATE SKIP LOCKED
                """,
                (request,),
            )
            asked = await locked.fetchone()
            outcome = None if asked is None else await self._carry_out(*asked)
            if outcome is not None:
                await connection.execute(
                    "UPDATE projection_requests SET done_at = now(), outcome = %s WHERE id = %s",
                    (outcome, request),
                )

    async def _carry_out(self, name: str, action: str, letter: int | None) -> str | None:
        """What it came to; ``None`` when it is for another process to do."""
        try:
            match action:
                case "rebuild" | "check":
                    return await self._begin(name, "serve" if action == "rebuild" else "check")
                case "cancel":
                    return await self._cancel(name)
                case "rollback":
                    return await self._roll_back(name)
                case "retry" | "skip":
                    assert letter is not None, "these name a dead letter"
                    return await self._settle(letter, skip=action == "skip")
                case _:
                    return f"{action} is not known here"
        except self._outages:
            raise
        except Exception as error:  # told to the one who asked, and not tried again and again
            log.exception("request failed", projection=name, action=action)
            return f"failed: {error!r}"

    async def _begin(self, name: str, purpose: str) -> str:
        rows = await self._generations.rows(name)
        for row in rows:
            if row.state == "building":
                return f"generation {row.generation} is being built already"
        projection = self._projections[name]
        for row in rows:
            if row.state == "failed":  # kept until now to be looked at
                await self._sink_for(projection, row.generation).drop()
        generation = rows[0].generation + 1
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(
                "UPDATE projection_generations SET state = 'retired' WHERE name = %s AND state = 'failed'",
                (name,),
            )
            await connection.execute(
                """
                INSERT INTO projection_generations (name, generation, version, engine, purpose, state, target)
                VALUES (%s, %s, %s, %s, %s, 'building', %s)
                """,
                (name, generation, projection.version, projection.engine, purpose, await self._log.head()),
            )
        return f"generation {generation}"

    async def _cancel(self, name: str) -> str:
        for row in await self._generations.rows(name):
            # It may have been switched to since we looked, and what is served is not to be dropped.
            if row.state == "building" and await self._set_state(row, "cancelled"):
                run = self._runs.get((name, row.generation))
                if run is not None:
                    await run.stop()
                await self._sink_for(self._projections[name], row.generation).drop()
                return f"generation {row.generation} cancelled"
        return "nothing is being built"

    async def _roll_back(self, name: str) -> str:
        status = await self._generations.projection(name)
        if status.building is not None:
            return f"generation {status.building.generation} is being built: cancel it first"
        if status.previous is None:
            return "there is no previous generation"
        if status.previous.version != self._projections[name].version:
            return (
                f"generation {status.previous.generation} needs the code of version {status.previous.version}"
            )
        async with self._pool.connection() as connection:
            await connection.execute(
                """
                UPDATE projection_generations SET state = 'building', purpose = 'rollback', target = %s
                WHERE name = %s AND generation = %s AND state = 'previous'
                """,
                (await self._log.head(), name, status.previous.generation),
            )
        return f"generation {status.previous.generation}"

    async def _settle(self, letter: int, *, skip: bool) -> str | None:
        async with self._pool.connection() as connection:
            found = await (
                await connection.execute(
                    """
                    SELECT d.name, d.generation FROM dead_letters d JOIN projection_generations USING (name, generation)
                    WHERE id = %s AND state IN ('active', 'building')
                    """,
                    (letter,),
                )
            ).fetchone()
        if found is None:
            return "there is no such dead letter any more"
        run = self._runs.get((found[0], found[1]))
        if run is None:
            return None
        left = await run.runner.settle(letter, skip=skip)
        return f"{left} still parked" if left else "settled"


class _ErasureAheadError(Exception):
    """Two generations differ, and may agree once both have come to an erasure."""


def _failed(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None


async def _locked(locks: AsyncConnection[Any], key: tuple[str, int]) -> bool:
    got = await (await locks.execute("SELECT pg_try_advisory_lock(hashtext(%s), %s)", key)).fetchone()
    return got is not None and bool(got[0])
