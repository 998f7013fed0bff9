"""Commands on one stream that are under way together: each decided upon the one before it, all written together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import psycopg
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
from application.ports import Loaded, Proposal, StreamRef
from tests.application.log.conftest import MASTER, World
from tests.application.log.jars import (
    AGGREGATES,
    EVENTS,
    JARS,
    SOMEBODY,
    CoinsAdded,
    HintDropped,
    Jar,
    JarEmptyError,
    JarEvent,
    NoteStuck,
    TickingClock,
    one_more,
)
from tests.application.log.test_group_commit import A, B, Blocked, Commits, commits, event, result

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

    async def test_however_they_are_interwoven_it_is_soon_found_out_what_became_of_them(
        self, commits: Commits
    ) -> None:
        """Each is upon two others: there are more ways through them all than anybody could ever go."""
        await commits.writer.append(Append(events=[event(A, 1)]))
        woven = [Append(events=[event(A, 1)]), Append(events=[event(B, 1)])]
        for version in range(2, 100):
            for stream in (A, B):
                woven.append(Append(events=[event(stream, version)], upon=woven[-2:]))
        outcomes = await asyncio.gather(*map(commits.writer.append, woven), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes[:2]] == [StreamConflictError, int]
        assert {type(outcome) for outcome in outcomes[2:]} == {StreamConflictError}

    async def test_one_that_knows_only_the_last_but_one_of_a_stream_is_refused(
        self, commits: Commits
    ) -> None:
        first = Append(events=[event(A, 1)])
        second = Append(events=[event(A, 2), event(B, 1)], upon=[first])
        third = Append(events=[event(uuid4())], read={A: 1, B: 1}, upon=[first, second])
        outcomes = await asyncio.gather(
            *map(commits.writer.append, [first, second, third]), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [int, int, StreamConflictError]


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

    async def test_so_they_do_for_several_at_once(self, prepared_url: str) -> None:
        """Some want the one, some the other and some both: the turns of those must meet."""
        async with another_process(prepared_url) as one, another_process(prepared_url) as two:
            await filled(one, 4 * PEOPLE)
            await filled(one, 4 * PEOPLE, B)
            takers = [
                taken(store, *jars)
                for _ in range(PEOPLE)
                for store, *jars in ((one, A), (two, B), (one, B, A), (two, A, B), (one, B), (two, A))
            ]
            assert await asyncio.gather(*takers) == [True] * (6 * PEOPLE)

    async def test_turns_are_only_of_what_others_want_too(
        self, prepared_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Turns(prepared_url, uuid4())
        async with another_process(prepared_url) as store:
            own = [uuid4() for _ in range(PEOPLE)]
            for jar in (A, *own):
                await filled(store, PEOPLE, jar)
            assert await other.begin(A)
            asked = turns_asked_for(monkeypatch)
            takers = [asyncio.create_task(taken(store, A, jar)) for jar in own]
            await waiting_for_turns(prepared_url, 1)
            await other.end(A)
            assert await asyncio.gather(*takers) == [True] * PEOPLE
        assert set(asked) == {A}
        await other.close()

    async def test_what_a_decision_waits_for_does_not_make_it_void(self, on_postgres: World) -> None:
        """A key is fetched, and meanwhile others come and go."""
        await filled(on_postgres.store, 0)
        before = len(on_postgres.asked.appends)
        note = NoteStuck(person=uuid4(), text="mine")
        await asyncio.gather(
            on_postgres.store.change(JARS, A, lambda _: [note], SOMEBODY),
            *(on_postgres.store.change(JARS, A, one_more, SOMEBODY) for _ in range(PEOPLE)),
        )
        assert len(on_postgres.asked.appends) - before == PEOPLE + 1

    async def test_one_that_was_lost_and_had_changed_nothing_that_shows_is_no_reason_to_give_up(
        self, prepared_url: str
    ) -> None:
        def hint(_: Jar | None) -> Sequence[JarEvent]:
            return [HintDropped(address="behind the door")]

        async with another_process(prepared_url) as one, another_process(prepared_url) as two:
            await filled(one, 1)
            await two.load(JARS, A)
            async with Blocked(prepared_url) as blocked:
                changes = [asyncio.create_task(two.change(JARS, A, hint, SOMEBODY))]
                await blocked.waiting(1)
                changes.append(asyncio.create_task(one.change(JARS, A, hint, SOMEBODY)))
                await blocked.waiting(2)
                changes.append(asyncio.create_task(one.change(JARS, A, hint, SOMEBODY)))
                await asyncio.sleep(0)
            assert sorted(changed.version for changed in await asyncio.gather(*changes)) == [3, 4, 5]

    async def test_what_is_forgotten_does_not_come_back_with_what_is_on_its_way(
        self, on_postgres: World, prepared_url: str
    ) -> None:
        await filled(on_postgres.store, 1)
        async with Blocked(prepared_url) as blocked:
            taking = asyncio.create_task(taken(on_postgres.store))
            await blocked.waiting(1)
            on_postgres.store.forget(A)
        assert await taking
        assert A not in on_postgres.store._memory
        assert (await on_postgres.store.load(JARS, A)).present.coins == 0


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

    async def test_whoever_stops_without_dying_loses_it_as_well(self, commits: Commits) -> None:
        stopped, ours = Turns(commits.url, uuid4()), Turns(commits.url, commits.writer.sender)
        await stopped.begin(A)
        assert await ours.begin(A)
        assert await commits.writer.append(Append(events=[event(A, 1)])) == 2
        await stopped.end(A)
        assert await stopped.begin(B)
        await ours.close()
        await stopped.close()

    async def test_whoever_has_lost_it_waits_for_the_next_one(
        self, prepared_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("application.adapters.event_store.TURN", 1.0)
        other = Turns(prepared_url, uuid4())
        async with another_process(prepared_url) as store:
            await filled(store, PEOPLE)
            store._contest([A])
            assert await taken(store)
            await end_sessions_with_turns(prepared_url)
            assert await other.begin(A)
            takers = [asyncio.create_task(taken(store)) for _ in range(PEOPLE - 1)]
            await waiting_for_turns(prepared_url, 1)
            assert not any(taker.done() for taker in takers)
            await other.end(A)
            assert await asyncio.gather(*takers) == [True] * (PEOPLE - 1)
        await other.close()

    async def test_of_more_streams_than_one_can_have_turns_of_none_is_refused(
        self, prepared_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Turns(prepared_url, uuid4())
        monkeypatch.setattr("application.adapters.turns.MOST_AT_ONCE", 1)
        async with another_process(prepared_url) as store:
            for jar in (A, B):
                await filled(store, PEOPLE, jar)
                await other.begin(jar)
            takers = [asyncio.create_task(taken(store, jar)) for _ in range(PEOPLE) for jar in (A, B)]
            await waiting_for_turns(prepared_url, 1)
            for _ in range(PEOPLE):
                await waiting_for_turns(prepared_url, 1)
            assert not any(taker.done() for taker in takers)
            for jar in (A, B):
                await other.end(jar)
            assert await asyncio.gather(*takers) == [True] * (2 * PEOPLE)
        await other.close()

    async def test_whoever_gives_up_waiting_leaves_the_place_to_those_behind(
        self, prepared_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = Turns(prepared_url, uuid4())
        async with another_process(prepared_url) as store:
            await filled(store, PEOPLE)
            assert await other.begin(A)
            asked = turns_asked_for(monkeypatch)
            takers = [asyncio.create_task(taken(store)) for _ in range(PEOPLE)]
            await waiting_for_turns(prepared_url, 1)
            for taker in takers[:-1]:
                taker.cancel()
                await asyncio.wait([taker])
            assert asked == [A]
            await waiting_for_turns(prepared_url, 1)
            await other.end(A)
            assert await takers[-1]
            assert (await store.load(JARS, A)).present.coins == PEOPLE - 1
        await other.close()

    async def test_nobody_needs_one_to_be_refused(
        self, prepared_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with another_process(prepared_url) as store:
            await filled(store, 0)
            asked = turns_asked_for(monkeypatch)
            store._contest([A])
            assert await taken(store) is False
            assert asked == []


def chained(length: int) -> list[Append]:
    """Appends to one stream, each decided upon the one before it."""
    chain: list[Append] = []
    for version in range(1, length + 1):
        chain.append(Append(events=[event(A, version)], upon=chain[-1:]))
    return chain


async def filled(store: EventStore, coins: int, jar: UUID = A) -> None:
    await store.change(JARS, jar, lambda _: [*Jar.open(None, 1000), CoinsAdded(coins=coins)], SOMEBODY)


async def taken(store: EventStore, *jars: UUID) -> bool:
    """Whether there was one left, in each of them."""
    refs = [StreamRef(JARS, jar) for jar in jars or (A,)]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[None]:
        return Proposal(
            outcome=None, events=[(ref, jar.present.take(1)) for ref, jar in zip(refs, loaded, strict=True)]
        )

    try:
        await store.change_together(refs, decide, SOMEBODY)
    except JarEmptyError:
        return False
    return True


def turns_asked_for(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The streams of the turns that anybody asks for from now on."""
    asked: list[UUID] = []
    begin = Turns.begin

    async def noted(turns: Turns, stream: UUID, **how: Any) -> bool:
        asked.append(stream)
        return await begin(turns, stream, **how)

    monkeypatch.setattr(Turns, "begin", noted)
    return asked


async def waiting_for_turns(url: str, count: int) -> None:
    """Come back when so many wait for one in the server."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        waiting: tuple[int] | None = None
        while waiting != (count,):
            found = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event = 'advisory'"
            )
            waiting = await found.fetchone()


async def end_sessions_with_turns(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
            " WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )


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
