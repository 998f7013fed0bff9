"""What a log promises, on Postgres and in memory alike."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from application.adapters.appending import Append, CommandResult, NewEvent, Wanted
from application.errors import DuplicateCommandError, StreamConflictError
from application.ports import Metadata
from domain.kernel import Event, Recorded
from tests.application.log.conftest import World
from tests.application.log.jars import SOMEBODY, CoinsAdded, JarOpened, jar_id

A, B, C = jar_id("a"), jar_id("b"), jar_id("c")


def event(stream: UUID, version: int, state: bytes = b"{}") -> NewEvent:
    return NewEvent(stream, version, "jar_opened", state)


def result(key: str, body: bytes = b"body") -> CommandResult:
    return CommandResult(scope="user:1", key=key, request_hash=b"hash", status=201, body=body)


async def in_order(world: World) -> list[tuple[UUID, int, int]]:
    return [(stored.stream, stored.version, stored.position) for stored in await world.log.read(0, 1000)]


class TestAppending:
    async def test_an_empty_log_has_head_0_and_nothing_to_read(self, world: World) -> None:
        assert await world.log.head() == 0
        assert await world.log.read(0, 10) == []

    async def test_events_of_several_streams_land_together_in_the_order_given(self, world: World) -> None:
        position = await world.log.append(Append(events=[event(A, 1), event(B, 1), event(A, 2)]))
        assert position == 3
        assert await in_order(world) == [(A, 1, 1), (B, 1, 2), (A, 2, 3)]
        assert await world.log.head() == 3

    async def test_the_bytes_are_kept_as_they_are(self, world: World) -> None:
        state = bytes(range(256))
        await world.log.append(Append(events=[event(A, 1, state)]))
        (stored,) = await world.log.read(0, 10)
        assert (stored.tag, stored.state) == ("jar_opened", state)

    async def test_a_version_that_exists_is_refused_and_nothing_of_the_command_recorded(
        self, world: World
    ) -> None:
        await world.log.append(Append(events=[event(B, 1)]))
        with pytest.raises(StreamConflictError):
            await world.log.append(Append(events=[event(A, 1), event(B, 1), event(C, 1)]))
        assert await in_order(world) == [(B, 1, 1)]

    async def test_a_version_that_would_leave_a_hole_is_refused(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1)]))
        for late in (Append(events=[event(A, 3)]), Append(events=[event(B, 2)])):
            with pytest.raises(StreamConflictError):
                await world.log.append(late)
        assert await in_order(world) == [(A, 1, 1)]

    async def test_versions_that_do_not_follow_each_other_are_a_bug(self, world: World) -> None:
        with pytest.raises(ValueError, match="version 3 after 1"):
            await world.log.append(Append(events=[event(A, 1), event(A, 3)]))
        with pytest.raises(ValueError, match="version 1 after 1"):
            await world.log.append(Append(events=[event(A, 1), event(A, 1)]))

    async def test_a_claim_is_taken_once(self, world: World) -> None:
        claim = world.keys.claim_id("email", "ada@example.com")
        await world.log.append(Append(events=[event(A, 1), event(claim, 1)]))
        same = world.keys.claim_id("email", "Ada@Example.com")
        with pytest.raises(StreamConflictError):
            await world.log.append(Append(events=[event(B, 1), event(same, 1)]))
        assert await in_order(world) == [(A, 1, 1), (claim, 1, 2)]

    async def test_a_stream_that_was_only_read_must_not_have_moved_on(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1), event(A, 2)]))
        with pytest.raises(StreamConflictError):
            await world.log.append(Append(events=[event(B, 1)], read={A: 1}))
        assert await world.log.append(Append(events=[event(B, 1)], read={A: 2, C: 0})) == 3

    async def test_of_many_at_once_each_is_refused_alone(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1)]))
        fresh = [uuid4() for _ in range(50)]
        good = [Append(events=[event(stream, 1), event(stream, 2)]) for stream in fresh]
        bad = [Append(events=[event(uuid4(), 1), event(A, 1)]) for _ in range(50)]
        mixed = [append for pair in zip(good, bad, strict=True) for append in pair]
        outcomes = await asyncio.gather(*map(world.log.append, mixed), return_exceptions=True)
        positions = [outcome for outcome in outcomes[::2] if isinstance(outcome, int)]
        assert sorted(positions) == [3 + 2 * n for n in range(50)]
        assert all(isinstance(outcome, StreamConflictError) for outcome in outcomes[1::2])
        rows = await in_order(world)
        assert [position for _, _, position in rows] == list(range(1, 102))
        assert {stream for stream, _, _ in rows} == {A, *fresh}
        by_position = {position: (stream, version) for stream, version, position in rows}
        for stream, position in zip(fresh, outcomes[::2], strict=True):
            assert isinstance(position, int)
            assert by_position[position] == (stream, 2)

    async def test_of_many_at_once_for_one_stream_the_first_wins(self, world: World) -> None:
        rivals = [Append(events=[event(A, 1, b"%d" % n)]) for n in range(20)]
        outcomes = await asyncio.gather(*map(world.log.append, rivals), return_exceptions=True)
        assert outcomes[0] == 1
        assert all(isinstance(outcome, StreamConflictError) for outcome in outcomes[1:])
        (stored,) = await world.log.read(0, 10)
        assert stored.state == b"0"

    async def test_the_doorbell_rings_with_the_new_head(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1), event(B, 1)]))
        await world.rung(2)


class TestKeysOfCommands:
    async def test_the_answer_is_recorded_with_the_events(self, world: World) -> None:
        await world.log.append(Append(events=[event(C, 1)]))
        position = await world.log.append(Append(events=[event(A, 1), event(B, 1)], result=result("k")))
        recorded = await world.log.result_of("user:1", "k")
        assert recorded == CommandResult(
            scope="user:1", key="k", request_hash=b"hash", status=201, body=b"body", position=position
        )
        assert await world.log.result_of("user:2", "k") is None

    async def test_the_same_key_again_is_told_apart_from_a_conflict(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1)], result=result("k")))
        for again in (event(A, 1), event(A, 2), event(B, 1)):
            with pytest.raises(DuplicateCommandError):
                await world.log.append(Append(events=[again], result=result("k", b"other")))
        assert await in_order(world) == [(A, 1, 1)]
        recorded = await world.log.result_of("user:1", "k")
        assert recorded is not None
        assert recorded.body == b"body"

    async def test_a_refused_command_leaves_its_key_free(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1)]))
        with pytest.raises(StreamConflictError):
            await world.log.append(Append(events=[event(A, 1)], result=result("k")))
        assert await world.log.result_of("user:1", "k") is None
        assert await world.log.append(Append(events=[event(A, 2)], result=result("k"))) == 2

    async def test_a_command_without_events_may_have_an_answer(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1)]))
        assert await world.log.append(Append(events=[], result=result("k"))) == 1
        with pytest.raises(DuplicateCommandError):
            await world.log.append(Append(events=[], result=result("k")))
        assert await world.log.head() == 1

    async def test_of_many_at_once_with_one_key_one_is_carried_out(self, world: World) -> None:
        tries = [Append(events=[event(uuid4(), 1)], result=result("k")) for _ in range(20)]
        outcomes = await asyncio.gather(*map(world.log.append, tries), return_exceptions=True)
        assert outcomes[0] == 1
        assert all(isinstance(outcome, DuplicateCommandError) for outcome in outcomes[1:])

    async def test_in_a_mixed_crowd_every_answer_has_its_own_position(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1)]))
        crowd: list[Append] = []
        for number in range(30):
            events = [event(uuid4(), 1) for _ in range(number % 3)]
            crowd.append(Append(events=events, result=result(f"k{number}")))
            crowd.append(Append(events=[event(A, 1)], result=result(f"refused{number}")))
        outcomes = await asyncio.gather(*map(world.log.append, crowd), return_exceptions=True)
        for number in range(30):
            recorded = await world.log.result_of("user:1", f"k{number}")
            assert recorded is not None
            assert await world.log.result_of("user:1", f"refused{number}") is None
            if number % 3:
                assert recorded.position == outcomes[2 * number]
        assert await world.log.head() == 1 + 30


class TestReading:
    async def test_from_a_position_on(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, version) for version in range(1, 11)]))
        assert [stored.position for stored in await world.log.read(4, 3)] == [5, 6, 7]
        assert [stored.position for stored in await world.log.read(8, 10)] == [9, 10]
        assert await world.log.read(10, 10) == []

    async def test_one_stream_by_version_and_by_time(self, world: World) -> None:
        start = datetime(2026, 3, 1, tzinfo=UTC)
        days = [start + timedelta(days=n) for n in range(4)]
        facts: list[Event] = [JarOpened(size=9), *(CoinsAdded(coins=n) for n in (1, 2, 3))]
        events = []
        for version, (fact, day) in enumerate(zip(facts, days, strict=True), 1):
            tag, state = await world.codec.encode(fact, A, day, SOMEBODY)
            events.append(NewEvent(A, version, tag, state))
        await world.log.append(Append(events=events))

        def versions(recorded: list[Recorded[Event]]) -> list[int]:
            return [one.version for one in recorded]

        assert [one.event for one in await world.log.read_stream(A)] == facts
        assert versions(await world.log.read_stream(A, after=2)) == [3, 4]
        assert versions(await world.log.read_stream(A, after=1, up_to=3)) == [2, 3]
        assert versions(await world.log.read_stream(A, until=days[1])) == [1, 2]
        assert versions(await world.log.read_stream(A, until=start - timedelta(seconds=1))) == []
        assert await world.log.read_stream(B) == []

    async def test_the_envelope_tells_who_when_and_why(self, world: World) -> None:
        at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
        asked = Metadata(actor="user:7", request_id="r-9", impersonator="user:1", cause=41)
        tag, state = await world.codec.encode(JarOpened(size=3), A, at, asked)
        await world.log.append(Append(events=[event(B, 1), NewEvent(A, 1, tag, state)]))
        (recorded,) = await world.log.read_stream(A)
        assert recorded == Recorded(
            event=JarOpened(size=3),
            id=recorded.id,
            stream=A,
            aggregate="jars",
            version=1,
            position=2,
            timestamp=at,
            actor="user:7",
            request_id="r-9",
            impersonator="user:1",
            cause=41,
            schema=1,
        )

    async def test_at_positions(self, world: World) -> None:
        tag, state = await world.codec.encode(JarOpened(size=3), A, datetime.now(UTC), SOMEBODY)
        await world.log.append(Append(events=[NewEvent(A, version, tag, state) for version in range(1, 6)]))
        assert [one.position for one in await world.log.at_positions([4, 2, 4, 99])] == [2, 4]
        assert await world.log.at_positions([]) == []

    async def test_histories_come_in_the_order_asked(self, world: World) -> None:
        await world.log.append(Append(events=[event(A, 1), event(B, 1), event(A, 2), event(A, 3)]))
        found = await world.log.histories([Wanted(B), Wanted(C), Wanted(A, 1)])
        assert [[stored.version for stored in history.events] for history in found] == [[1], [], [2, 3]]
        assert [history.snapshot for history in found] == [None, None, None]
