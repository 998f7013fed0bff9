"""Commands on one stream that are under way together: each decided upon the one before it, all written together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from application.adapters.appending import Append
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.group_commit import GroupCommit
from application.adapters.keys import PostgresPersonKeys
from application.adapters.turns import Turns
from application.errors import DuplicateCommandError, NotOurTurnError, StreamConflictError
from tests.application.log.conftest import MASTER, World
from tests.application.log.jars import (
    AGGREGATES,
    EVENTS,
    JARS,
    SOMEBODY,
    CoinsAdded,
    Jar,
    JarEmptyError,
    JarEvent,
    TickingClock,
)
from tests.application.log.test_group_commit import A, Blocked, Commits, commits, event, result

__all__ = ["commits"]

PEOPLE = 40


class TestInABatch:
    async def test_those_that_are_decided_upon_each_other_share_one(self, commits: Commits) -> None:
        chain = chained(5)
        assert await asyncio.gather(*map(commits.writer.append, chain)) == [2, 3, 4, 5, 6]
        assert commits.sizes == [5]

    async def test_all_that_follow_one_that_is_refused_are_refused(self, commits: Commits) -> None:
        await commits.writer.append(Append(events=[event(A, 1)]))
        before, *chain = chained(4)
        alone = Append(events=[event(uuid4())])
        outcomes = await asyncio.gather(
            *map(commits.writer.append, [before, *chain, alone]), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [StreamConflictError] * 4 + [int]

    async def test_also_where_it_is_refused_for_its_key(self, commits: Commits) -> None:
        await commits.writer.append(Append(events=[event(uuid4())], result=result("k")))
        first = Append(events=[event(A, 1)], result=result("k"))
        second = Append(events=[event(A, 2)], upon=[first])
        outcomes = await asyncio.gather(*map(commits.writer.append, [first, second]), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DuplicateCommandError, StreamConflictError]

    async def test_and_where_somebody_else_has_written_just_that_version(self, prepared_url: str) -> None:
        """Of a batch before: the versions alone would let it pass, and it was decided on something else."""
        ours, theirs = GroupCommit(prepared_url, written=lambda _: None), Commits(prepared_url).writer
        ours.start()
        theirs.start()
        first = Append(events=[event(A, 1)])
        second = Append(events=[event(A, 2)], upon=[first])
        async with Blocked(prepared_url) as blocked:
            stranger = asyncio.create_task(theirs.append(Append(events=[event(A, 1, b"theirs")])))
            await blocked.waiting(1)
            refused = asyncio.create_task(ours.append(first))
            await blocked.waiting(2)
            follower = asyncio.create_task(ours.append(second))
            await asyncio.sleep(0)
        outcomes = await asyncio.gather(stranger, refused, follower, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [int, StreamConflictError, StreamConflictError]
        await ours.close()
        await theirs.close()

    async def test_one_that_was_given_up_takes_those_along_that_were_decided_upon_it(
        self, commits: Commits
    ) -> None:
        chain = chained(3)
        tasks = [asyncio.create_task(commits.writer.append(append)) for append in chain]
        await asyncio.sleep(0)
        tasks[0].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes[1:]] == [StreamConflictError] * 2


class TestOnOneAggregate:
    async def test_many_at_once_need_few_commits_and_count_right(self, on_postgres: World) -> None:
        await filled(on_postgres.store, PEOPLE // 2)
        before = len(on_postgres.asked.appends)
        outcomes = await asyncio.gather(*(taken(on_postgres.store) for _ in range(PEOPLE)))
        assert outcomes.count(True) == PEOPLE // 2
        assert (await on_postgres.elsewhere.load(JARS, A)).present.coins == 0
        # Nobody was refused by the log, and so everybody who got one needed one append.
        assert len(on_postgres.asked.appends) - before == PEOPLE // 2

    async def test_processes_that_fight_for_it_take_turns(self, prepared_url: str) -> None:
        """Each has a log of its own, as processes have, and nobody is told that somebody else was always first."""
        async with another_process(prepared_url) as one, another_process(prepared_url) as two:
            await filled(one, 2 * PEOPLE)
            takers = [taken(store) for _ in range(PEOPLE) for store in (one, two)]
            assert await asyncio.gather(*takers) == [True] * (2 * PEOPLE)
            assert (await one.load(JARS, A)).present.coins == 0


class TestTurns:
    async def test_while_it_is_somebody_elses_nobody_writes(self, commits: Commits) -> None:
        other = Turns(commits.url, uuid4())
        assert await other.begin(A)
        with pytest.raises(NotOurTurnError):
            await commits.writer.append(Append(events=[event(A, 1)]))
        await other.end(A)
        assert await commits.writer.append(Append(events=[event(A, 1)])) == 2
        await other.close()

    async def test_the_next_one_has_it_as_soon_as_it_is_given_up(self, commits: Commits) -> None:
        other, ours = Turns(commits.url, uuid4()), Turns(commits.url, commits.writer.sender)
        await other.begin(A)
        waiting = asyncio.create_task(ours.begin(A))
        await asyncio.sleep(0)
        assert not waiting.done()
        await other.end(A)
        assert await waiting
        assert await commits.writer.append(Append(events=[event(A, 1)])) == 2
        await ours.close()
        await other.close()

    async def test_whoever_dies_loses_it(self, commits: Commits) -> None:
        other, ours = Turns(commits.url, uuid4()), Turns(commits.url, commits.writer.sender)
        await other.begin(A)
        await other.close()
        assert await ours.begin(A)
        assert await commits.writer.append(Append(events=[event(A, 1)])) == 2
        await ours.close()


def chained(length: int) -> list[Append]:
    """Appends to one stream, each decided upon the one before it."""
    chain: list[Append] = []
    for version in range(1, length + 1):
        chain.append(Append(events=[event(A, version)], upon=chain[-1:]))
    return chain


async def filled(store: EventStore, coins: int) -> None:
    def decide(_: Jar | None) -> Sequence[JarEvent]:
        return [*Jar.open(None, 1000), CoinsAdded(coins=coins)]

    await store.change(JARS, A, decide, SOMEBODY)


async def taken(store: EventStore) -> bool:
    """Whether there was one left."""

    def decide(jar: Jar | None) -> Sequence[JarEvent]:
        assert jar is not None
        return jar.take(1)

    try:
        await store.change(JARS, A, decide, SOMEBODY)
    except JarEmptyError:
        return False
    return True


@asynccontextmanager
async def another_process(url: str) -> AsyncIterator[EventStore]:
    """All that a process has of its own."""
    async with Database(url) as database:
        keys = PostgresPersonKeys(database, MASTER)
        codec = EventCodec(EVENTS, AGGREGATES, keys)
        async with (
            PostgresEventLog.on(database, codec) as log,
            EventStore(log, codec, keys, TickingClock()) as store,
        ):
            yield store
