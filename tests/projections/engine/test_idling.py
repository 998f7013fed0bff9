"""What is nothing to a read model moves its checkpoint only, together with those of all others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import psycopg
import pytest

from domain.kernel import ListingId, OrderId
from domain.listings.events import StockReserved
from projections.adapters.postgres_sink import PostgresSink
from projections.engine import prepare
from projections.generations import Generations
from projections.idling import Idling
from projections.ports import Passed
from projections.projection import Projection
from tests.projections.engine.shelf import Shelf, Stand, shelf_projection, until


@pytest.fixture
def search_url() -> None:
    """Where the rows are does not matter here."""


async def several(stand: Stand) -> list[Projection[Shelf]]:
    """Five read models that can be looked at; the first one is the stand's own."""
    projections = [stand.projection(), *(shelf_projection(f"{stand.name}_{number}") for number in range(4))]
    await prepare(stand.pool, projections, stand.sink_for)
    return projections


async def something_else(stand: Stand) -> int:
    """An event that no shelf follows; its position."""
    listing = ListingId(uuid4())
    reserved = StockReserved(listing_id=listing, order_id=OrderId(UUID(int=1)), quantity=1)
    return await stand.shop.record([(listing, reserved)])


async def at(stand: Stand, names: Sequence[str], position: int) -> None:
    async def reached() -> bool:
        return {await stand.position(name) for name in names} == {position}

    await until(reached)


class TestTogether:
    async def test_all_who_are_idle_move_at_once(self, stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
        projections = await several(stand)
        names = [projection.name for projection in projections]
        together: list[set[str]] = []
        alone: list[str] = []
        move_all, save = Generations.move_all, PostgresSink.save

        async def moving_all(self: Generations, passed: Sequence[Passed]) -> set[Passed]:
            together.append({each.name for each in passed})
            return await move_all(self, passed)

        async def saving(self: PostgresSink, *arguments: object) -> None:
            alone.append(self.name)
            await save(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(Generations, "move_all", moving_all)
        monkeypatch.setattr(PostgresSink, "save", saving)
        async with stand.running(*projections):
            await at(stand, names, await something_else(stand))
            for _ in range(20):
                await at(stand, names, await something_else(stand))
        assert set(names) in together
        assert alone == []

    async def test_who_is_held_holds_up_nobody_else(self, stand: Stand) -> None:
        projections = await several(stand)
        first, *others = [projection.name for projection in projections]
        async with stand.running(*projections):
            await at(stand, [first, *others], await something_else(stand))
            async with stand.pool.connection() as holding, holding.transaction():
                await holding.execute(
                    "SELECT FROM projection_generations WHERE name = %s FOR UPDATE", (first,)
                )
                before = await stand.position(first)
                position = await something_else(stand)
                await at(stand, others, position)
                assert await stand.position(first) == before
            await at(stand, [first, *others], position)

    async def test_who_is_paused_stays(self, stand: Stand) -> None:
        projections = await several(stand)
        first, *others = [projection.name for projection in projections]
        async with stand.running(*projections) as engine:
            before = await something_else(stand)
            await at(stand, [first, *others], before)
            await stand.generations.pause(first)
            await until(lambda: engine.carried(first, 1).paused)
            position = await something_else(stand)
            await at(stand, others, position)
            assert await stand.position(first) == before
            await stand.generations.resume(first)
            await at(stand, [first], position)


class TestNoticing:
    async def test_one_that_another_has_moved_is_gone_on_with_from_there(self, stand: Stand) -> None:
        projections = await several(stand)
        first, *others = [projection.name for projection in projections]
        async with stand.running(*projections) as engine:
            await at(stand, [first, *others], await something_else(stand))
            async with stand.pool.connection() as connection:
                await connection.execute(
                    "UPDATE projection_generations SET position = 0 WHERE name = %s", (first,)
                )
            await at(stand, [first, *others], await something_else(stand))
            listing = await stand.shop.create(1)
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves
            assert listing in stand.shop.shelves
            assert engine.is_carrying(first, 1)

    async def test_one_that_has_retired_is_let_go(self, stand: Stand) -> None:
        projections = await several(stand)
        first, *others = [projection.name for projection in projections]
        async with stand.running(*projections) as engine:
            await at(stand, [first, *others], await something_else(stand))
            async with stand.pool.connection() as connection:
                await connection.execute(
                    "UPDATE projection_generations SET state = 'retired' WHERE name = %s", (first,)
                )
            await at(stand, others, await something_else(stand))
            await until(lambda: not engine.is_carrying(first, 1))

    async def test_only_those_are_moved_that_are_where_they_were_left(self, stand: Stand) -> None:
        here, retired, moved, *_ = (projection.name for projection in await several(stand))
        async with stand.pool.connection() as connection:
            await connection.execute(
                "UPDATE projection_generations SET state = 'retired' WHERE name = %s", (retired,)
            )
            await connection.execute(
                "UPDATE projection_generations SET position = 3 WHERE name = %s", (moved,)
            )
        asked = [Passed(name=name, generation=1, after=0, to=7) for name in (here, retired, moved, "nobody")]
        assert await stand.generations.move_all(asked) == {asked[0]}
        rows = {row.name: row.position for row in await stand.generations.rows()}
        assert (rows[here], rows[retired], rows[moved]) == (7, 0, 3)


class TestSharing:
    """Without a database."""

    def passed(self, number: int) -> Passed:
        return Passed(name=f"model {number}", generation=1, after=0, to=1)

    async def test_who_asks_meanwhile_shares_the_next_one(self) -> None:
        calls: list[int] = []
        open_gate = asyncio.Event()

        async def move_all(passed: Sequence[Passed]) -> set[Passed]:
            calls.append(len(passed))
            await open_gate.wait()
            return {each for each in passed if each.name != "model 3"}

        idling = Idling(move_all)
        first = [asyncio.create_task(idling.move(self.passed(number))) for number in range(2)]
        await until(lambda: calls == [2])
        later = [asyncio.create_task(idling.move(self.passed(number))) for number in range(2, 5)]
        await asyncio.sleep(0)
        open_gate.set()
        assert await asyncio.gather(*first, *later) == [True, True, True, False, True]
        assert calls == [2, 3]

    async def test_an_outage_is_told_to_all_who_asked(self) -> None:
        async def move_all(passed: Sequence[Passed]) -> set[Passed]:
            raise psycopg.OperationalError("the connection broke")

        idling = Idling(move_all)
        answers = await asyncio.gather(
            *(idling.move(self.passed(number)) for number in range(3)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [psycopg.OperationalError] * 3

    async def test_who_is_stopped_takes_nobody_along(self) -> None:
        open_gate = asyncio.Event()

        async def move_all(passed: Sequence[Passed]) -> set[Passed]:
            await open_gate.wait()
            return set(passed)

        idling = Idling(move_all)
        stopped, other = (asyncio.create_task(idling.move(self.passed(number))) for number in range(2))
        resting, awake = (asyncio.create_task(idling.rest(1)) for _ in range(2))
        await asyncio.sleep(0)
        stopped.cancel()
        resting.cancel()
        open_gate.set()
        assert await other
        await awake
        await idling.close()
        assert stopped.cancelled()
        assert resting.cancelled()
