"""How commands are carried out on a log: the same promises on Postgres and in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from application.adapters.appending import Append
from application.adapters.event_store import EventStore
from application.adapters.memory_event_log import MemoryEventLog
from application.errors import (
    ConcurrentChangeError,
    IdempotencyKeyReusedError,
    LogUnavailableError,
)
from application.ports import (
    AlreadyAnsweredError,
    Answer,
    Changed,
    Loaded,
    Metadata,
    Once,
    Proposal,
    StreamRef,
)
from domain.kernel import Decider, Event, PersonalText, tag_of
from tests.application.log.conftest import Asked, World
from tests.application.log.jars import (
    JARS,
    JARS_WITH_SNAPSHOTS,
    SOMEBODY,
    CoinsAdded,
    CoinsTaken,
    Jar,
    JarEmptyError,
    JarEvent,
    JarFullError,
    JarOpened,
    NoteStuck,
    jar_id,
    one_more,
    opened,
)

A, B = jar_id("a"), jar_id("b")


class Label(msgspec.Struct, frozen=True):
    name: PersonalText


class Labelled(msgspec.Struct, frozen=True):
    labels: tuple[Label, ...] = ()


def with_coins(coins: int) -> Callable[[Jar | None], Sequence[JarEvent]]:
    return lambda jar: [*opened(jar), CoinsAdded(coins=coins)]


def take(coins: int) -> Callable[[Jar | None], Sequence[JarEvent]]:
    def decide(jar: Jar | None) -> Sequence[JarEvent]:
        assert jar is not None
        return jar.take(coins)

    return decide


def there(loaded: Loaded[Any]) -> Jar:
    assert isinstance(loaded.state, Jar)
    return loaded.state


def answered(changed: Changed[Jar]) -> Answer:
    return Answer(status=201, body=b'{"coins":%d}' % changed.state.coins)


def once(key: str, *, scope: str = "shop", request: bytes = b"hash") -> Metadata:
    return Metadata(actor="somebody", once=Once(scope=scope, key=key, request_hash=request, answer=answered))


async def events(world: World, stream: UUID) -> list[Event]:
    return [recorded.event for recorded in await world.log.read_stream(stream)]


def move(coins: int) -> Callable[[Sequence[Loaded[Any]]], Proposal[int]]:
    """Coins from the first jar into the second; the outcome is what is left in the first."""

    def decide(jars: Sequence[Loaded[Any]]) -> Proposal[int]:
        giver, taker = there(jars[0]), there(jars[1])
        return Proposal(
            outcome=giver.coins - coins,
            events=[(StreamRef(JARS, A), giver.take(coins)), (StreamRef(JARS, B), taker.add(coins))],
        )

    return decide


class TestChanging:
    async def test_a_first_event_makes_the_aggregate(self, world: World) -> None:
        changed = await world.store.change(JARS, A, opened, SOMEBODY)
        assert changed == Changed(state=Jar(size=1_000_000), version=1, position=1)
        assert await events(world, A) == [JarOpened(size=1_000_000)]

    async def test_what_is_so_already_records_nothing(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        assert await world.store.change(JARS, A, opened, SOMEBODY) == Changed(
            state=Jar(size=1_000_000), version=1, position=0
        )
        assert await world.log.head() == 1

    async def test_a_refusal_records_nothing(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        with pytest.raises(JarEmptyError, match="only 3 left"):
            await world.store.change(JARS, A, take(4), SOMEBODY)
        assert await world.log.head() == 2

    async def test_the_metadata_is_in_the_envelope(self, world: World) -> None:
        asked = Metadata(actor="user:7", request_id="r-9", impersonator="user:1", cause=41)
        await world.store.change(JARS, A, opened, asked)
        (recorded,) = await world.log.read_stream(A)
        assert (recorded.actor, recorded.request_id, recorded.impersonator, recorded.cause) == (
            "user:7",
            "r-9",
            "user:1",
            41,
        )

    async def test_a_remembered_aggregate_costs_one_round_trip(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        before = world.asked.round_trips
        await world.store.change(JARS, A, one_more, SOMEBODY)
        assert world.asked.round_trips == before + 1

    async def test_another_process_reads_what_this_one_wrote(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        assert await world.elsewhere.load(JARS, A) == Loaded(state=Jar(size=1_000_000, coins=3), version=2)
        assert await world.elsewhere.load(JARS, B) == Loaded(state=None, version=0)

    async def test_an_event_that_cannot_be_folded_does_not_get_into_the_log(self, world: World) -> None:
        with pytest.raises(AssertionError, match="first event is JarOpened"):
            await world.store.change(JARS, A, lambda _: [CoinsAdded(coins=1)], SOMEBODY)
        assert await world.log.head() == 0

    async def test_many_at_once_in_one_process_do_not_get_in_each_others_way(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        before = world.asked.round_trips
        changes = [world.store.change(JARS, A, one_more, SOMEBODY) for _ in range(50)]
        versions = [changed.version for changed in await asyncio.gather(*changes)]
        assert sorted(versions) == list(range(2, 52))
        assert world.asked.round_trips == before + 50
        assert not world.store._locks  # dropped when nobody wants them any more


class TestSomebodyElseWasFirst:
    async def test_the_decision_is_made_again_on_what_is_there_now(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        await world.elsewhere.change(JARS, A, take(1), SOMEBODY)
        changed = await world.store.change(JARS, A, take(2), SOMEBODY)
        assert changed == Changed(state=Jar(size=1_000_000, coins=0), version=4, position=4)

    async def test_only_what_is_new_is_read(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        await world.elsewhere.change(JARS, A, take(1), SOMEBODY)
        read: list[int] = []
        histories = world.asked.log.histories

        async def watched(wanted: Any) -> Any:
            found = await histories(wanted)
            read.extend(len(history.events) for history in found)
            return found

        world.asked.log.histories = watched  # type: ignore[method-assign]
        await world.store.change(JARS, A, take(2), SOMEBODY)
        assert read == [1]

    async def test_a_refusal_is_not_given_on_an_outdated_memory(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(1), SOMEBODY)
        await world.elsewhere.change(JARS, A, with_coins(5), SOMEBODY)
        changed = await world.store.change(JARS, A, take(6), SOMEBODY)
        assert changed.state.coins == 0

    async def test_nor_is_nothing_to_do(self, world: World) -> None:
        def empty(jar: Jar | None) -> Sequence[JarEvent]:
            assert jar is not None
            return jar.take(jar.coins) if jar.coins else []

        await world.store.change(JARS, A, with_coins(1), SOMEBODY)
        await world.store.change(JARS, A, empty, SOMEBODY)
        await world.elsewhere.change(JARS, A, with_coins(5), SOMEBODY)
        assert (await world.store.change(JARS, A, empty, SOMEBODY)).version == 5
        assert await events(world, A) == [
            JarOpened(size=1_000_000),
            CoinsAdded(coins=1),
            CoinsTaken(coins=1),
            CoinsAdded(coins=5),
            CoinsTaken(coins=5),
        ]

    async def test_a_refusal_on_what_is_there_now_is_final(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        await world.elsewhere.change(JARS, A, take(3), SOMEBODY)
        with pytest.raises(JarEmptyError, match="only 0 left"):
            await world.store.change(JARS, A, take(1), SOMEBODY)
        assert await world.log.head() == 3

    async def test_buyers_in_three_processes_get_exactly_what_there_is(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(100), SOMEBODY)
        stores = [world.process(Asked(world.log)) for _ in range(3)]
        asked = [stores[number % 3].change(JARS, A, take(1), SOMEBODY) for number in range(150)]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(outcome, Changed) for outcome in outcomes) == 100
        assert sum(isinstance(outcome, JarEmptyError) for outcome in outcomes) == 50
        assert (await world.store.load(JARS, A)).state == Jar(size=1_000_000, coins=0)
        assert await world.log.head() == 102

    async def test_who_is_always_second_is_told_so_in_the_end(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)

        class Unlucky(Asked):
            async def append(self, append: Append) -> int:
                await world.elsewhere.change(JARS, A, one_more, SOMEBODY)
                return await super().append(append)

        unlucky = Unlucky(world.log)
        with pytest.raises(ConcurrentChangeError):
            await world.process(unlucky, most_tries=4).change(JARS, A, one_more, SOMEBODY)
        assert len(unlucky.appends) == 4
        assert await world.log.head() == 1 + 4


class TestIfMatch:
    async def test_the_expected_version_is_carried_out(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        changed = await world.store.change(JARS, A, take(1), Metadata(actor="a", expected_version=2))
        assert changed.version == 3

    async def test_another_version_is_refused_without_a_try(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        appends = len(world.asked.appends)
        with pytest.raises(ConcurrentChangeError, match="version 2 by now, not 1"):
            await world.store.change(JARS, A, take(1), Metadata(actor="a", expected_version=1))
        assert len(world.asked.appends) == appends

    async def test_a_version_that_was_written_elsewhere_is_accepted(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        await world.elsewhere.change(JARS, A, take(1), SOMEBODY)
        changed = await world.store.change(JARS, A, take(1), Metadata(actor="a", expected_version=3))
        assert changed.version == 4

    async def test_a_version_that_is_outdated_elsewhere_is_refused(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(3), SOMEBODY)
        await world.elsewhere.change(JARS, A, take(1), SOMEBODY)
        with pytest.raises(ConcurrentChangeError, match="version 3 by now, not 2"):
            await world.store.change(JARS, A, take(1), Metadata(actor="a", expected_version=2))
        assert await world.log.head() == 3


class TestTogether:
    async def test_all_streams_change_in_one_append(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.store.change(JARS, B, opened, SOMEBODY)
        appends = len(world.asked.appends)
        changed = await world.store.change_together(
            [StreamRef(JARS, A), StreamRef(JARS, B)], move(2), SOMEBODY
        )
        assert changed == Changed(state=3, version=3, position=5)
        assert len(world.asked.appends) == appends + 1
        assert [
            there(loaded).coins
            for loaded in await world.elsewhere.load_many([StreamRef(JARS, B), StreamRef(JARS, A)])
        ] == [2, 3]

    async def test_all_that_is_not_remembered_is_read_by_one_query(self, world: World) -> None:
        await world.elsewhere.change(JARS, A, with_coins(5), SOMEBODY)
        await world.elsewhere.change(JARS, B, opened, SOMEBODY)
        await world.store.change_together([StreamRef(JARS, A), StreamRef(JARS, B)], move(2), SOMEBODY)
        assert world.asked.round_trips == 2

    async def test_nothing_is_recorded_when_one_of_them_refuses(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.store.change(JARS, B, lambda _: [JarOpened(size=1)], SOMEBODY)
        with pytest.raises(JarFullError):
            await world.store.change_together([StreamRef(JARS, A), StreamRef(JARS, B)], move(2), SOMEBODY)
        assert await world.log.head() == 3

    async def test_new_streams_may_come_out_of_the_decision(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)

        def split(jars: Sequence[Loaded[Any]]) -> Proposal[str]:
            return Proposal(
                outcome="split",
                events=[
                    (StreamRef(JARS, A), there(jars[0]).take(5)),
                    (StreamRef(JARS, B), [JarOpened(size=5), CoinsAdded(coins=5)]),
                ],
            )

        changed = await world.store.change_together([StreamRef(JARS, A)], split, SOMEBODY)
        assert changed == Changed(state="split", version=3, position=5)
        assert (await world.store.load(JARS, B)) == Loaded(state=Jar(size=5, coins=5), version=2)

    async def test_a_new_stream_that_exists_is_refused_at_once(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.elsewhere.change(JARS, B, opened, SOMEBODY)

        def into_b(jars: Sequence[Loaded[Any]]) -> Proposal[None]:
            return Proposal(
                outcome=None,
                events=[
                    (StreamRef(JARS, A), there(jars[0]).take(5)),
                    (StreamRef(JARS, B), [JarOpened(size=5)]),
                ],
            )

        appends = len(world.asked.appends)
        with pytest.raises(ConcurrentChangeError):
            await world.store.change_together([StreamRef(JARS, A)], into_b, SOMEBODY)
        assert len(world.asked.appends) == appends + 1
        assert await world.log.head() == 3

    async def test_a_decision_is_void_when_something_it_only_read_has_changed(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.store.change(JARS, B, opened, SOMEBODY)
        await world.elsewhere.change(JARS, A, take(1), SOMEBODY)

        def copy(jars: Sequence[Loaded[Any]]) -> Proposal[int]:
            coins = there(jars[0]).coins
            return Proposal(outcome=coins, events=[(StreamRef(JARS, B), there(jars[1]).add(coins))])

        changed = await world.store.change_together([StreamRef(JARS, A), StreamRef(JARS, B)], copy, SOMEBODY)
        assert changed.state == 4
        assert (await world.elsewhere.load(JARS, B)).state == Jar(size=1_000_000, coins=4)

    async def test_crossing_transfers_from_two_processes_lose_nothing(self, world: World) -> None:
        both = [StreamRef(JARS, A), StreamRef(JARS, B)]
        await world.store.change(JARS, A, with_coins(100), SOMEBODY)
        await world.store.change(JARS, B, with_coins(100), SOMEBODY)
        await asyncio.gather(
            *(
                store.change_together(refs, _swap(refs), SOMEBODY)
                for store in (world.store, world.elsewhere)
                for refs in (both, both[::-1])
                for _ in range(10)
            )
        )
        ends = await world.process(Asked(world.log)).load_many(both)
        assert [there(loaded).coins for loaded in ends] == [100, 100]
        assert await world.log.head() == 4 + 40 * 2


def _swap(refs: Sequence[StreamRef[Any, Any]]) -> Callable[[Sequence[Loaded[Any]]], Proposal[None]]:
    def decide(jars: Sequence[Loaded[Any]]) -> Proposal[None]:
        return Proposal(
            outcome=None, events=[(refs[0], there(jars[0]).take(1)), (refs[1], there(jars[1]).add(1))]
        )

    return decide


class TestPresumedNew:
    """What was named a moment ago is not asked for, and is still decided on as it is."""

    NEW = StreamRef(JARS, B, presumed_new=True)

    async def move(self, store: EventStore, coins: int, metadata: Metadata = SOMEBODY) -> Changed[int]:
        """Coins from a jar into another one, which is opened for them where it is not there; what is in that then."""

        def decide(jars: Sequence[Loaded[Any]]) -> Proposal[int]:
            added: list[JarEvent] = [*opened(jars[0].state), CoinsAdded(coins=coins)]
            after = JARS.fold(jars[0].state, added)
            assert after is not None
            return Proposal(
                outcome=after.coins,
                events=[(self.NEW, added), (StreamRef(JARS, A), there(jars[1]).take(coins))],
            )

        return await store.change_together([self.NEW, StreamRef(JARS, A)], decide, metadata)

    async def test_is_made_without_a_question(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        before = world.asked.round_trips
        assert (await self.move(world.store, 2)).state == 2
        assert world.asked.round_trips == before + 1

    async def test_one_that_is_there_is_decided_on_again_as_it_is(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.elsewhere.change(JARS, B, with_coins(7), SOMEBODY)
        changed = await self.move(world.store, 2)
        assert changed == Changed(state=9, version=3, position=6)
        assert await events(world, B) == [
            JarOpened(size=1_000_000),
            CoinsAdded(coins=7),
            CoinsAdded(coins=2),
        ]
        assert await events(world, A) == [JarOpened(size=1_000_000), CoinsAdded(coins=5), CoinsTaken(coins=2)]

    async def test_one_that_is_remembered_is_decided_on_at_once(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.store.change(JARS, B, with_coins(7), SOMEBODY)
        before = world.asked.round_trips
        assert (await self.move(world.store, 2)).state == 9
        assert world.asked.round_trips == before + 1

    async def test_what_is_not_remembered_beside_it_is_asked_for(self, world: World) -> None:
        await world.elsewhere.change(JARS, A, with_coins(5), SOMEBODY)
        assert (await self.move(world.store, 2)).state == 2
        assert world.asked.round_trips == 2

    async def test_a_refusal_of_what_is_not_there_is_none_of_what_is(self, world: World) -> None:
        await world.elsewhere.change(JARS, B, with_coins(7), SOMEBODY)

        def decide(jars: Sequence[Loaded[Any]]) -> Proposal[None]:
            if jars[0].state is None:
                raise JarEmptyError("not even a jar")
            return Proposal(outcome=None, events=[(self.NEW, there(jars[0]).take(7))])

        changed = await world.store.change_together([self.NEW], decide, SOMEBODY)
        assert (changed.version, changed.position) == (3, 3)

    async def test_a_refusal_of_what_is_not_there_is_final_once_the_log_has_said_so(
        self, world: World
    ) -> None:
        def decide(jars: Sequence[Loaded[Any]]) -> Proposal[None]:
            raise JarEmptyError("not even a jar")

        with pytest.raises(JarEmptyError, match="not even a jar"):
            await world.store.change_together([self.NEW], decide, SOMEBODY)
        assert world.asked.round_trips == 1
        assert await world.log.head() == 0

    async def test_nothing_to_do_is_nothing_only_if_it_is_so_there(self, world: World) -> None:
        await world.elsewhere.change(JARS, B, with_coins(7), SOMEBODY)

        def empty(jars: Sequence[Loaded[Any]]) -> Proposal[None]:
            jar: Jar | None = jars[0].state
            return Proposal(outcome=None, events=[(self.NEW, jar.take(jar.coins) if jar is not None else [])])

        changed = await world.store.change_together([self.NEW], empty, SOMEBODY)
        assert (changed.version, changed.position) == (3, 3)

    async def test_a_decision_is_void_where_it_only_looked_at_one_that_is_there(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.elsewhere.change(JARS, B, with_coins(7), SOMEBODY)

        def take_as_many(jars: Sequence[Loaded[Any]]) -> Proposal[int]:
            coins = 0 if jars[0].state is None else 3
            return Proposal(outcome=coins, events=[(StreamRef(JARS, A), there(jars[1]).take(coins + 1))])

        changed = await world.store.change_together([self.NEW, StreamRef(JARS, A)], take_as_many, SOMEBODY)
        assert changed.state == 3
        assert await events(world, A) == [JarOpened(size=1_000_000), CoinsAdded(coins=5), CoinsTaken(coins=4)]

    async def test_the_version_that_is_expected_is_that_in_the_log(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.elsewhere.change(JARS, B, with_coins(7), SOMEBODY)
        with pytest.raises(ConcurrentChangeError, match="version 2 by now, not 1"):
            await self.move(world.store, 2, Metadata(actor="a", expected_version=1))
        assert (await self.move(world.store, 2, Metadata(actor="a", expected_version=2))).version == 3

    async def test_another_try_gets_the_first_answer(self, world: World) -> None:
        def told(changed: Changed[int]) -> Answer:
            return Answer(status=201, body=b"%d" % changed.state)

        asked = Metadata(actor="a", once=Once(scope="shop", key="moved", request_hash=b"hash", answer=told))
        await world.store.change(JARS, A, with_coins(2), SOMEBODY)
        await self.move(world.elsewhere, 2, asked)
        for store in (world.store, world.elsewhere):
            with pytest.raises(AlreadyAnsweredError) as answer:
                await self.move(store, 2, asked)
            assert answer.value.answer == Answer(status=201, body=b"2")
        assert await world.log.head() == 5

    async def test_two_processes_at_once_make_it_once(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(50), SOMEBODY)
        await world.elsewhere.load(JARS, A)
        moves = [self.move(store, 1) for _ in range(5) for store in (world.store, world.elsewhere)]
        assert sorted([changed.state for changed in await asyncio.gather(*moves)]) == list(range(1, 11))
        assert [tag_of(type(event)) for event in await events(world, B)] == [
            "jar_opened",
            *["coins_added"] * 10,
        ]


class TestOnce:
    async def test_the_first_try_costs_no_more_than_any_command(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        before = world.asked.round_trips
        changed = await world.store.change(JARS, A, one_more, once("k"))
        assert changed == Changed(state=Jar(size=1_000_000, coins=1), version=2, position=2)
        assert world.asked.round_trips == before + 1

    @pytest.mark.parametrize("elsewhere", [False, True])
    async def test_a_retry_gets_the_first_answer(self, world: World, elsewhere: bool) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        await world.store.change(JARS, A, one_more, once("k"))
        await world.store.change(JARS, A, one_more, SOMEBODY)
        retried = world.elsewhere if elsewhere else world.store
        with pytest.raises(AlreadyAnsweredError) as found:
            await retried.change(JARS, A, one_more, once("k"))
        assert (found.value.answer, found.value.position) == (Answer(status=201, body=b'{"coins":1}'), 2)
        assert await world.log.head() == 3

    async def test_also_when_the_first_try_makes_the_second_impossible(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.store.change(JARS, A, take(5), once("k"))
        for store in (world.store, world.elsewhere):
            with pytest.raises(AlreadyAnsweredError) as found:
                await store.change(JARS, A, take(5), once("k"))
            assert found.value.answer.body == b'{"coins":0}'

    async def test_also_when_it_names_the_version_of_then(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        asked = msgspec.structs.replace(once("k"), expected_version=2)
        await world.store.change(JARS, A, take(1), asked)
        with pytest.raises(AlreadyAnsweredError):
            await world.store.change(JARS, A, take(1), asked)

    async def test_also_when_there_was_nothing_to_record(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        assert (await world.store.change(JARS, A, opened, once("k"))).version == 1
        await world.store.change(JARS, A, one_more, SOMEBODY)
        with pytest.raises(AlreadyAnsweredError) as found:
            await world.store.change(JARS, A, opened, once("k"))
        assert (found.value.answer.body, found.value.position) == (b'{"coins":0}', 1)
        assert await world.log.head() == 2

    async def test_the_same_key_for_another_request_is_refused(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.store.change(JARS, A, take(1), once("k"))
        for coins in (1, 100):  # whether or not the other request could be carried out
            with pytest.raises(IdempotencyKeyReusedError):
                await world.store.change(JARS, A, take(coins), once("k", request=b"another"))
        assert await world.log.head() == 3

    async def test_the_same_key_of_somebody_else_is_another_key(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        await world.store.change(JARS, A, take(1), once("k", scope="one"))
        assert (await world.store.change(JARS, A, take(1), once("k", scope="other"))).version == 4

    async def test_a_refused_command_may_be_tried_again_with_its_key(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(1), SOMEBODY)
        with pytest.raises(JarEmptyError):
            await world.store.change(JARS, A, take(2), once("k"))
        await world.store.change(JARS, A, one_more, SOMEBODY)
        assert (await world.store.change(JARS, A, take(2), once("k"))).state.coins == 0

    async def test_many_tries_at_once_from_two_processes_are_one(self, world: World) -> None:
        await world.store.change(JARS, A, with_coins(5), SOMEBODY)
        stores = (world.store, world.elsewhere)
        tries = [stores[number % 2].change(JARS, A, take(1), once("k")) for number in range(20)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, Changed) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, AlreadyAnsweredError) for outcome in outcomes) == 19
        assert await world.log.head() == 3

    async def test_the_answer_is_stored_encrypted(self, world: World) -> None:
        await world.store.change(JARS, A, opened, once("k"))
        stored = await world.log.result_of("shop", "k")
        assert stored is not None
        assert b"coins" not in stored.body

    async def test_the_answer_to_a_person_is_gone_with_the_persons_key(self, world: World) -> None:
        person = uuid4()
        asked = once("k", scope=f"user:{person}")
        await world.store.change(JARS, A, opened, asked)
        with pytest.raises(AlreadyAnsweredError) as found:
            await world.store.change(JARS, A, opened, asked)
        assert found.value.answer == Answer(status=201, body=b'{"coins":0}')
        await world.keys.destroy(person)
        with pytest.raises(AlreadyAnsweredError) as found:
            await world.store.change(JARS, A, opened, asked)
        assert found.value.answer == Answer(status=201, body=b"")

    async def test_so_is_the_answer_that_an_admin_got_about_that_person(self, world: World) -> None:
        admin, person = uuid4(), uuid4()
        about = Answer(status=200, body=b'{"email":"ada@example.com"}', person=person)
        asked = Metadata(
            actor=f"user:{admin}",
            once=Once(scope=f"user:{admin}", key="k", request_hash=b"hash", answer=lambda _: about),
        )
        await world.store.change(JARS, A, opened, asked)
        with pytest.raises(AlreadyAnsweredError) as found:
            await world.store.change(JARS, A, opened, asked)
        assert found.value.answer == Answer(status=200, body=about.body)
        await world.keys.destroy(person)
        with pytest.raises(AlreadyAnsweredError) as found:
            await world.store.change(JARS, A, opened, asked)
        assert found.value.answer == Answer(status=200, body=b"")


class TestPersons:
    async def test_what_is_personal_is_read_until_the_person_is_erased(self, world: World) -> None:
        ada = uuid4()
        note = NoteStuck(person=ada, text="call me", stars=5, colour="green")
        await world.store.change(JARS, A, lambda jar: [*opened(jar), note], SOMEBODY)
        stored = (await world.log.read(1, 1))[0].state
        assert b"call me" not in stored
        assert b"stars" not in stored
        assert b"green" in stored
        assert await events(world, A) == [JarOpened(size=1_000_000), note]

        await world.keys.destroy(ada)
        world.store.forget(A)
        assert await events(world, A) == [
            JarOpened(size=1_000_000),
            NoteStuck(person=ada, text="", stars=None, colour="green"),
        ]
        assert (await world.store.load(JARS, A)).state == Jar(size=1_000_000, note="")
        assert (await world.log.read(1, 1))[0].state == stored

    async def test_nothing_personal_is_recorded_of_an_erased_person(self, world: World) -> None:
        ada = uuid4()
        await world.keys.destroy(ada)
        note = NoteStuck(person=ada, text="call me", colour="green")
        await world.store.change(JARS, A, lambda jar: [*opened(jar), note], SOMEBODY)
        assert (await events(world, A))[1] == NoteStuck(person=ada, text="", colour="green")

    async def test_erasing_one_person_leaves_the_others(self, world: World) -> None:
        ada, bob = uuid4(), uuid4()
        notes = [NoteStuck(person=person, text=text) for person, text in ((ada, "a"), (bob, "b"), (ada, "c"))]
        await world.store.change(JARS, A, lambda jar: [*opened(jar), *notes], SOMEBODY)
        await world.keys.destroy(ada)
        assert [event.text for event in await events(world, A) if isinstance(event, NoteStuck)] == [
            "",
            "b",
            "",
        ]


class TestSnapshots:
    async def test_a_long_stream_is_read_from_its_snapshot_on(self, world: World) -> None:
        asked = Asked(world.log)
        async with world.process(asked, snapshot_every=10) as store:
            await store.change(JARS_WITH_SNAPSHOTS, A, opened, SOMEBODY)
            for _ in range(24):
                await store.change(JARS_WITH_SNAPSHOTS, A, one_more, SOMEBODY)
        assert [snapshot.version for snapshot in asked.snapshots] == [10, 20]

        read: list[tuple[bool, int]] = []

        class Watched(Asked):
            async def histories(self, wanted: Any) -> Any:
                found = await super().histories(wanted)
                read.extend((history.snapshot is not None, len(history.events)) for history in found)
                return found

        store = world.process(Watched(world.log))
        (a, b) = await store.load_many([StreamRef(JARS_WITH_SNAPSHOTS, A), StreamRef(JARS_WITH_SNAPSHOTS, B)])
        assert (a, b) == (
            Loaded(state=Jar(size=1_000_000, coins=24), version=25),
            Loaded(state=None, version=0),
        )
        assert read == [(True, 5), (False, 0)]
        changed = await store.change(JARS_WITH_SNAPSHOTS, A, one_more, SOMEBODY)
        assert changed == Changed(state=Jar(size=1_000_000, coins=25), version=26, position=26)

    async def test_a_snapshot_of_another_shape_is_not_read(self, world: World) -> None:
        async with world.process(Asked(world.log), snapshot_every=10) as store:
            await store.change(JARS_WITH_SNAPSHOTS, A, opened, SOMEBODY)
            for _ in range(14):
                await store.change(JARS_WITH_SNAPSHOTS, A, one_more, SOMEBODY)

        class Count(msgspec.Struct, frozen=True):
            events: int

        def evolve(count: Count | None, _: JarEvent) -> Count:
            return Count(1 if count is None else count.events + 1)

        counts: Decider[Count, JarEvent] = Decider("jars", evolve, snapshot=Count)
        assert await world.elsewhere.load(counts, A) == Loaded(state=Count(15), version=15)

    async def test_reading_a_long_stream_makes_one_too(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        for _ in range(14):
            await world.store.change(JARS, A, one_more, SOMEBODY)
        asked = Asked(world.log)
        async with world.process(asked, snapshot_every=10) as store:
            await store.load(JARS_WITH_SNAPSHOTS, A)
        assert [snapshot.version for snapshot in asked.snapshots] == [15]

    async def test_a_state_that_tells_about_a_person_is_refused(self, world: World) -> None:
        labelled: Decider[Labelled, JarEvent] = Decider("jars", lambda *_: Labelled(), snapshot=Labelled)
        with pytest.raises(TypeError, match="personal"):
            await world.store.load(labelled, A)


class TestAnotherKind:
    """An id is whatever a client sends: it may be that of something else."""

    BOXES: Decider[Jar, JarEvent] = Decider("boxes", Jar.evolve, snapshot=Jar)

    @pytest.mark.parametrize("known_here", [True, False])
    async def test_is_taken_for_nothing_and_stays_what_it_is(self, world: World, *, known_here: bool) -> None:
        await world.elsewhere.change(JARS, A, with_coins(3), SOMEBODY)
        if known_here:
            await world.store.load(JARS, A)
        for _ in range(2):
            assert (await world.store.load(self.BOXES, A)).state is None
            assert (await world.store.glance([StreamRef(self.BOXES, A)]))[0].state is None
        assert there(await world.store.load(JARS, A)).coins == 3

    async def test_gets_no_events(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        with pytest.raises(TypeError, match="jars"):
            await world.store.change(self.BOXES, A, lambda _: [CoinsAdded(coins=1)], SOMEBODY)
        assert len(await world.log.read_stream(A)) == 1


class TestFailures:
    async def test_when_the_log_is_down_nothing_is_remembered_that_is_not_there(
        self, in_memory: World
    ) -> None:
        await in_memory.store.change(JARS, A, opened, SOMEBODY)
        assert isinstance(in_memory.log, MemoryEventLog)
        in_memory.log.available = False
        for asked in (SOMEBODY, once("k")):
            with pytest.raises(LogUnavailableError):
                await in_memory.store.change(JARS, A, one_more, asked)
        in_memory.log.available = True
        changed = await in_memory.store.change(JARS, A, one_more, once("k"))
        assert (changed.state.coins, changed.version) == (1, 2)

    async def test_a_cancelled_command_lets_go_of_its_streams(self, world: World) -> None:
        await world.store.change(JARS, A, opened, SOMEBODY)
        hurried = [asyncio.create_task(world.store.change(JARS, A, one_more, SOMEBODY)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in hurried:
            task.cancel()
        done = await asyncio.gather(*hurried, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError | Changed) for outcome in done)
        assert not world.store._locks
        changed = await world.store.change(JARS, A, one_more, SOMEBODY)
        stored = await world.log.read_stream(A)
        assert changed.version == len(stored)
        assert changed.state.coins == len(stored) - 1
