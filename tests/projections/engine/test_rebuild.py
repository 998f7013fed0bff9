"""A new generation is built beside the served one and takes its place in one instant."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from projections.adapters.positions import Positions
from projections.adapters.read_pool import ReadPool
from projections.generations import Generation
from tests.projections.engine.shelf import Shelf, Stand, background, until

ROOT = Path(__file__).parents[3]


class Readers:
    """Read one document all the time, and note when it fails or goes back in time."""

    def __init__(self, stand: Stand, reads: ReadPool) -> None:
        self.reads_made = 0
        self.backward: list[tuple[int, int]] = []
        self._stand = stand
        self._pool = reads

    async def run(self) -> None:
        last = 0
        while True:
            seen = await self._read()
            if seen < last:
                self.backward.append((last, seen))
            last = seen
            self.reads_made += 1
            await asyncio.sleep(0)

    async def _read(self) -> int:
        if self._stand.kind == "postgres":
            row = await self._pool.one(f"SELECT body FROM {self._stand.name} WHERE number = %s", 1)
            assert row is not None, "a reader found nothing"
            return msgspec.json.decode(row[0], type=Shelf).price
        assert self._stand.search is not None
        query = {"query": {"term": {"number": 1}}}
        found = await self._stand.search.search(index=self._stand.name, body=query)
        return int(found["hits"]["hits"][0]["_source"]["price"])


@asynccontextmanager
async def writing(stand: Stand) -> AsyncIterator[None]:
    """The first listing only ever gets dearer. An append that has begun is waited for, so that the shop knows."""
    closed = asyncio.Event()

    async def write() -> None:
        listings = list(stand.shop.shelves)
        minor = 1_000
        while not closed.is_set():
            minor += 1
            await stand.shop.price(listings[0], minor)
            await stand.shop.stock(listings[minor % len(listings)], minor)
            await asyncio.sleep(0.002)

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        try:
            yield
        finally:
            closed.set()


class TestRebuilding:
    async def test_under_load_no_read_fails_or_goes_back(self, stand: Stand) -> None:
        await stand.shop.fill(500, events_each=4)
        async with stand.running(), ReadPool(stand.shop.url) as reads:
            await stand.caught_up()
            readers = [Readers(stand, reads) for _ in range(2)]
            async with writing(stand), background(readers[0].run()), background(readers[1].run()):
                for generation in (2, 3):
                    asked = await stand.generations.request_rebuild(stand.name)
                    assert await stand.asked(asked) == f"generation {generation}"
                    await stand.served(generation)
                await until(lambda: min(reader.reads_made for reader in readers) > 50)
            await stand.caught_up()
            assert [reader.backward for reader in readers] == [[], []]
            assert await stand.seen() == stand.shop.shelves
        rows = await stand.generations.rows(stand.name)
        assert [row.state for row in rows] == ["active", "previous", "retired"]
        assert rows[0].comparison.startswith("equal to generation 2 at position")

    async def test_a_new_version_with_other_columns(self, stand: Stand) -> None:
        await stand.shop.fill(30, events_each=2)
        async with ReadPool(stand.shop.url) as reads:
            async with stand.running():
                await stand.caught_up()
                if stand.kind == "postgres":
                    await reads.all(f"SELECT * FROM {stand.name}")
            async with stand.running(stand.projection(version=2)):
                await stand.served(2)
                await stand.caught_up()
                seen = await stand.seen()
                if stand.kind == "postgres":
                    assert len((await reads.all(f"SELECT * FROM {stand.name}"))[0]) == 7
        assert {shelf.events for shelf in seen.values()} == {4}
        async with stand.running():  # older code must not rebuild what newer code has built
            assert (await stand.generations.projection(stand.name)).active.version == 2

    async def test_when_the_rows_differ_the_old_one_stays(self, stand: Stand) -> None:
        await stand.shop.fill(30)
        victim = next(iter(stand.shop.shelves))
        table = f"{stand.name}_g1" if stand.kind == "postgres" else f"{stand.name}_state_g1"
        async with stand.running():
            await stand.caught_up()
            async with stand.pool.connection() as connection:
                await connection.execute(
                    f"UPDATE {table} SET document = '{{}}' WHERE key = %s".encode(), (victim,)
                )
            await stand.asked(await stand.generations.request_rebuild(stand.name))
            await until(lambda: stand.is_state("failed"))
            failed = await stand.latest()
            assert str(victim) in failed.error
            status = await stand.generations.projection(stand.name)
            assert (status.active.generation, status.latest.generation) == (1, 2)
            assert await stand.seen() == stand.shop.shelves

    async def test_a_check_compares_and_switches_nothing(self, stand: Stand) -> None:
        await stand.shop.fill(30)
        async with stand.running():
            await stand.caught_up()
            await stand.asked(await stand.generations.request_check(stand.name))
            await until(lambda: stand.is_state("retired"))
            assert (await stand.latest()).comparison.startswith("equal to generation 1")
            assert (await stand.generations.projection(stand.name)).active.generation == 1


class TestOperating:
    async def test_rollback_catches_up_first(self, stand: Stand) -> None:
        await stand.shop.fill(30)
        async with stand.running():
            await stand.caught_up()
            await stand.asked(await stand.generations.request_rebuild(stand.name))
            await stand.served(2)
            await stand.shop.price(next(iter(stand.shop.shelves)), 77)
            await stand.caught_up()
            assert await stand.asked(await stand.generations.rollback(stand.name)) == "generation 1"
            await stand.served(1)
            assert await stand.seen() == stand.shop.shelves
            rows = await stand.generations.rows(stand.name)
            assert [(row.generation, row.state) for row in rows] == [(2, "previous"), (1, "active")]

    async def test_pause_and_resume(self, stand: Stand) -> None:
        await stand.shop.fill(5)
        async with stand.running() as engine:
            await stand.caught_up()
            await stand.generations.pause(stand.name)
            engine.ring()
            run = engine.carried(stand.name, 1)
            await until(lambda: run.paused)
            before = await stand.position()
            await stand.shop.fill(5, first=6)
            rebuilt = await stand.generations.projection(stand.name)
            assert rebuilt.active.eta(await stand.shop.log.head()) is None
            assert await stand.position() == before
            await stand.generations.resume(stand.name)
            engine.ring()
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves

    async def test_cancelled_rebuilds_leave_nothing(self, stand: Stand) -> None:
        await stand.shop.fill(50)
        async with stand.running() as engine:
            await stand.caught_up()
            await stand.generations.pause(stand.name)
            engine.ring()
            await until(lambda: engine.carried(stand.name, 1).paused)
            await stand.shop.fill(
                10, first=51
            )  # the new one is ahead then, and has nothing to compare itself with
            await stand.asked(await stand.generations.request_rebuild(stand.name))
            assert await stand.asked(await stand.generations.cancel(stand.name)) == "generation 2 cancelled"
            async with stand.pool.connection() as connection:
                tables = await connection.execute("SELECT to_regclass(%s)", (f"{stand.name}_g2",))
                assert await tables.fetchone() == (None,)
            assert (await stand.generations.projection(stand.name)).active.generation == 1

    async def test_what_is_served_by_now_is_cancelled_no_more(
        self, stand: Stand, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The switch comes between the look at what is being built and the cancelling of it."""
        await stand.shop.fill(10)

        async with stand.running() as engine:
            await stand.caught_up()
            await stand.asked(await stand.generations.request_rebuild(stand.name))
            await stand.served(2)
            rows = await stand.generations.rows(stand.name)
            before = [msgspec.structs.replace(row, state="building") for row in rows if row.generation == 2]

            async def looked(name: str | None = None) -> list[Generation]:
                return before

            with monkeypatch.context() as patch:
                patch.setattr(engine._generations, "rows", looked)
                assert await engine._cancel(stand.name) == "nothing is being built"
            await stand.shop.price(next(iter(stand.shop.shelves)), 7)
            await stand.caught_up()
            assert await stand.seen() == stand.shop.shelves


class TestKilled:
    async def test_a_rebuild_goes_on_where_the_killed_process_was(self, stand: Stand) -> None:
        await stand.shop.fill(600, events_each=5)
        async with stand.running():
            await stand.caught_up()
            request = await stand.generations.request_rebuild(stand.name)
            await stand.asked(request)
            await stand.generations.throttle(stand.name, 500)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.projections.engine.carry", stand.shop.url, stand.name, stand.kind],
            cwd=ROOT,
            env={**os.environ, "OPENSEARCH_URL": stand.search_url},
        )
        try:

            async def some_way() -> bool:
                return 0 < (await stand.latest()).position < 3_000

            await until(some_way)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        killed_at = (await stand.latest()).position
        assert (await stand.latest()).state == "building"
        await stand.generations.throttle(stand.name, None)
        async with stand.running(batch=100) as engine:
            await until(lambda: engine.is_carrying(stand.name, 2))
            await until(lambda: engine.carried(stand.name, 2).position >= killed_at)
            await stand.served(2)
            assert await stand.seen() == stand.shop.shelves
        assert (await stand.latest()).comparison.startswith("equal to generation 1")


class TestPositions:
    async def test_a_reader_waits_until_its_write_is_there(self, stand: Stand) -> None:
        positions = Positions(stand.pool)
        async with stand.running():
            listing = await stand.shop.create(1)
            for minor in range(1, 6):
                position = await stand.shop.price(listing, minor)
                await positions.wait(stand.name, position, timeout=10)
                assert (await stand.seen())[listing].price == minor
            assert positions.known(stand.name) >= stand.shop.position
        await positions.close()

    async def test_what_is_known_costs_no_question(self, stand: Stand) -> None:
        positions = Positions(stand.pool)
        async with stand.running():
            await positions.wait(
                stand.name, await stand.shop.price(await stand.shop.create(1), 5), timeout=10
            )
        await positions.close()
        await positions.wait(stand.name, stand.shop.position, timeout=0)
