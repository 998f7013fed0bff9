"""Rows and checkpoint move together, and nothing is taken in twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import psycopg
import pytest

from application.ports import StoredEvent
from projections.engine import Engine, prepare
from projections.ports import Batch, Change, MovedByAnotherError, Part
from tests.projections.engine.shelf import Shelf, Stand, background, until


async def prepared(stand: Stand) -> None:
    await prepare(stand.pool, [stand.projection()], stand.sink_for)


class TestFollowing:
    async def test_what_happens_is_seen(self, stand: Stand) -> None:
        await stand.shop.fill(300, events_each=3)
        async with stand.running():
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves
            listing = await stand.shop.create(301)
            await stand.shop.price(listing, 7)
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves
        status = await stand.generations.projection(stand.name)
        assert (status.active.position, status.active.parked) == (stand.shop.position, 0)

    async def test_it_goes_on_where_it_stopped(self, stand: Stand) -> None:
        await stand.shop.fill(20)
        async with stand.running():
            await stand.caught_up()
        await stand.shop.fill(20, first=21)
        await stand.shop.stock(next(iter(stand.shop.shelves)), 9)
        async with stand.running():
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves


class TestSecondDelivery:
    async def test_it_is_refused(self, stand: Stand) -> None:
        await prepared(stand)
        sink = stand.sink_for(stand.projection(), 1)
        await sink.open()
        key = UUID(int=7)
        shelf = Shelf(number=7, title="seven", price=7, stock=7, events=1)
        batch, part = Batch(after=0, to=5), Part(changes=[change(stand, key, shelf, 5)])
        await sink.save(batch, parts(part))
        with pytest.raises(MovedByAnotherError):
            await sink.save(batch, parts(part))
        assert await stand.seen() == {key: shelf}
        assert await stand.position() == 5

    async def test_two_carriers_at_once_take_nothing_in_twice(self, stand: Stand) -> None:
        """The documents count their events, so a second delivery would show."""
        await prepared(stand)
        await stand.shop.fill(50)
        listings = list(stand.shop.shelves)
        first, second = stand.runner(stand.projection()), stand.runner(stand.projection())
        async with background(first.run()), background(second.run()):
            for minor in range(1, 60):
                await stand.shop.price(listings[minor % 50], minor)
            await first.reaches(stand.shop.position)
            await second.reaches(stand.shop.position)
        assert await stand.seen() == stand.shop.shelves

    async def test_a_crash_between_rows_and_checkpoint_changes_nothing(
        self, stand: Stand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await prepared(stand)
        await stand.shop.fill(10, events_each=2)
        from projections.adapters.postgres_sink import PostgresSink

        crashes = iter([True, True])

        async def move(self: PostgresSink, *arguments: object) -> None:
            await original(self, *arguments)  # type: ignore[arg-type]
            if next(crashes, False):
                raise psycopg.OperationalError("the connection broke")

        original = PostgresSink._move
        monkeypatch.setattr(PostgresSink, "_move", move)
        runner = stand.runner(stand.projection())
        async with background(runner.run()):
            await runner.reaches(stand.shop.position)
        assert next(crashes, None) is None
        assert await stand.seen() == stand.shop.shelves


class TestSwitch:
    async def test_what_is_indexed_after_it_is_found_at_once(self, stand: Stand) -> None:
        """Also when the generation was opened again, for what was parked in it, after it was finished."""
        await prepared(stand)
        sink = stand.sink_for(stand.projection(), 1)
        async with stand.pool.connection() as connection:
            await connection.execute(
                "UPDATE projection_generations SET state = 'building' WHERE name = %s", (stand.name,)
            )
        await sink.open()
        await sink.finish()
        await sink.open()
        first, second = UUID(int=1), UUID(int=2)
        shelf = Shelf(number=1, title="one", price=1, stock=1, events=1)
        await sink.save(Batch(after=0, to=1), parts(Part(changes=[change(stand, first, shelf, 1)])))
        async with stand.pool.connection() as connection, connection.transaction():
            await connection.execute(
                "UPDATE projection_generations SET state = 'active' WHERE name = %s", (stand.name,)
            )
            await sink.serve(connection)
        assert await stand.seen() == {first: shelf}
        await sink.save(Batch(after=1, to=2), parts(Part(changes=[change(stand, second, shelf, 2)])))
        assert await stand.seen() == {first: shelf, second: shelf}


class TestOutage:
    async def test_a_lost_index_is_filled_again(self, stand: Stand) -> None:
        if stand.search is None:
            return  # Postgres does not lose tables by itself
        await stand.shop.fill(20, events_each=2)
        async with stand.running():
            await stand.caught_up()
            await stand.search.indices.delete(index=f"{stand.name}_g1")
            await stand.shop.price(next(iter(stand.shop.shelves)), 1)
            await stand.caught_up()
        async with stand.running():

            async def served() -> bool:
                assert stand.search is not None
                return bool(await stand.search.indices.exists_alias(name=stand.name))

            await until(served)
            assert await stand.seen() == stand.shop.shelves

    async def test_a_lost_index_is_found_by_readers_again(self, stand: Stand) -> None:
        if stand.search is None:
            return  # as above
        await stand.shop.fill(20, events_each=2)
        async with stand.running():
            await stand.caught_up()
            await stand.search.indices.delete(index=f"{stand.name}_g1")
            await stand.shop.price(next(iter(stand.shop.shelves)), 1)
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves

    async def test_an_engine_that_is_down_holds_up_no_other_read_model(
        self, stand: Stand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await stand.shop.fill(5)

        async def down(self: Engine[StoredEvent], name: str, purpose: str) -> str:
            raise ConnectionError("the engine does not answer")

        async with stand.running() as engine:
            await stand.caught_up()
            with monkeypatch.context() as patch:
                patch.setattr(Engine, "_begin", down)
                asked = await stand.generations.request_rebuild(stand.name)
                engine.ring()
                await asyncio.sleep(0.2)
                carried = engine.carried(stand.name, 1)
                await stand.shop.fill(5, first=6)
                await stand.caught_up()
                assert engine.carried(stand.name, 1) is carried
                assert (await stand.generations.request(asked)).done_at is None
            assert await stand.asked(asked) == "generation 2"

    async def test_connections_that_die_are_replaced(self, stand: Stand) -> None:
        await stand.shop.fill(5)
        async with stand.running():
            await stand.caught_up()
            async with await psycopg.AsyncConnection.connect(stand.shop.url, autocommit=True) as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            await asyncio.sleep(0)
            await stand.shop.fill(5, first=6)
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves


def change(stand: Stand, key: UUID, shelf: Shelf, position: int) -> Change:
    runner = stand.runner(stand.projection())
    return runner.change(key, shelf, position)


async def parts(*given: Part) -> AsyncIterator[Part]:
    for part in given:
        yield part
