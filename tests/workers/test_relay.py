"""The pipe on a real server: whatever dies, is wiped or runs twice, read models end equal to the log."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats.errors
import pytest
from nats.aio.client import Client

from domain.registry import AGGREGATES
from projections.adapters.positions import Positions
from tests.conftest import FreshDatabase
from tests.projections.engine.shelf import Shop, Stand, background, open_pool, open_shop, until
from workers.feed import StreamFeed
from workers.jetstream import DOORBELL, STREAM, connect, stored_of
from workers.lease import lone_connection
from workers.local.nats import Nats
from workers.local.process import free_port
from workers.projector import Projector
from workers.relay import Relay

ROOT = Path(__file__).parents[2]
SECRETS = {
    "JWT_SECRET": "a secret of the tests, of 32 characters and more",
    "TRADELOG_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
}


class Bell:
    """Rings the relay as the API does."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ringing: set[asyncio.Task[None]] = set()

    def ring(self, position: int) -> None:
        if self._client.is_connected:
            task = asyncio.create_task(self._client.publish(DOORBELL, str(position).encode()))
            self._ringing.add(task)
            task.add_done_callback(self._ringing.discard)


class Pipe:
    """Log, stream and one read model, carried from end to end."""

    def __init__(self, stand: Stand, client: Client, projector: Projector, nats: Nats) -> None:
        self.stand = stand
        self.shop = stand.shop
        self.client = client
        self.projector = projector
        self.nats = nats

    def relay(self) -> Relay:
        return Relay(self.shop.log, self.client, AGGREGATES)

    async def positions(self) -> list[int]:
        """What the stream holds, in its order."""
        stream = self.client.jetstream(timeout=5)
        state = (await stream.stream_info(STREAM)).state
        if not state.messages:
            return []
        found = []
        for sequence in range(state.first_seq, state.last_seq + 1):
            raw = await stream.get_msg(STREAM, sequence)
            assert raw.headers is not None
            found.append(int(raw.headers["Nats-Msg-Id"]))
        return found

    async def relayed(self) -> None:
        await until(lambda: self.ends_at(self.shop.position))

    async def ends_at(self, position: int) -> bool:
        return await self.last() == position

    async def last(self) -> int:
        stream = self.client.jetstream(timeout=5)
        try:
            state = (await stream.stream_info(STREAM)).state
            last = await stream.get_msg(STREAM, state.last_seq)
        except (nats.errors.Error, TimeoutError):  # there may be no server, no stream or no message yet
            return 0
        assert last.headers is not None
        return int(last.headers["Nats-Msg-Id"])

    async def equal_to_the_log(self) -> None:
        await self.stand.caught_up()
        assert await self.stand.seen() == self.shop.shelves


@pytest.fixture
async def pipe(database_url: str, nats_server: Nats) -> AsyncIterator[Pipe]:
    client = await connect(nats_server.url, "tests")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        shop = await stack.enter_async_context(open_shop(database_url, Bell(client)))
        pool = await stack.enter_async_context(open_pool(database_url))
        stand = Stand(shop, pool, None, "postgres")
        projector = Projector(
            [stand.projection()],
            events=shop.log,
            pool=pool,
            connect=lambda: lone_connection(database_url),
            client=client,
        )
        await stack.enter_async_context(background(projector.run()))
        yield Pipe(stand, client, projector, nats_server)


@asynccontextmanager
async def selling(shop: Shop) -> AsyncIterator[None]:
    """Load: listings come and change all the time. An append that has begun is waited for, so that the shop knows."""
    closed = asyncio.Event()

    async def sell() -> None:
        number = 10_000
        while not closed.is_set():
            number += 1
            listing = await shop.create(number)
            await shop.price(listing, number)
            await asyncio.sleep(0.001)

    async with asyncio.TaskGroup() as group:
        group.create_task(sell())
        try:
            yield
        finally:
            closed.set()


async def more(shop: Shop, events: int) -> None:
    target = shop.position + events
    await until(lambda: shop.position >= target)


class TestRelay:
    async def test_everything_is_published_once_and_in_order(self, pipe: Pipe) -> None:
        await pipe.shop.fill(300, events_each=4)
        async with background(pipe.relay().run()):
            await pipe.relayed()
            await pipe.shop.fill(10, first=301)
            await pipe.relayed()
        assert await pipe.positions() == list(range(1, pipe.shop.position + 1))
        await pipe.equal_to_the_log()

    async def test_a_message_holds_all_of_the_stored_event(self, pipe: Pipe) -> None:
        listing = await pipe.shop.create(1)
        heard = await pipe.client.subscribe("events.>")
        async with background(pipe.relay().run()):
            message = await heard.next_msg(timeout=10)
        assert message.subject == f"events.{listing.int % 16}.listings.listing_created"
        assert [stored_of(message)] == await pipe.shop.log.read(0, 1)

    async def test_it_resumes_where_the_stream_ends(self, pipe: Pipe) -> None:
        await pipe.shop.fill(50)
        async with background(pipe.relay().run()):
            await pipe.relayed()
        await pipe.shop.fill(50, first=51)
        told: list[tuple[int, int]] = []
        relay = Relay(
            pipe.shop.log,
            pipe.client,
            AGGREGATES,
            published=lambda position, events, head: told.append((position, events)),
        )
        async with background(relay.run()):
            await pipe.relayed()
        assert told == [(100, 50)]
        assert await pipe.positions() == list(range(1, 101))

    async def test_an_empty_stream_does_not_get_the_whole_of_a_long_log(
        self, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.relay.REACH_BACK", 20)
        await pipe.shop.fill(100)
        async with background(pipe.relay().run()):
            await pipe.relayed()
        assert await pipe.positions() == list(range(81, 101))
        await pipe.equal_to_the_log()

    async def test_the_stream_of_another_log_is_made_anew(
        self, pipe: Pipe, fresh_database: FreshDatabase
    ) -> None:
        await pipe.shop.fill(250)
        await pipe.stand.caught_up()  # so that what the other log publishes is nothing new to the feed
        with fresh_database() as url:
            async with open_shop(url) as other:
                await other.fill(200)
                async with background(Relay(other.log, pipe.client, AGGREGATES).run()):
                    await until(lambda: pipe.ends_at(200))
        async with background(pipe.relay().run()):
            await pipe.relayed()
            assert await pipe.positions() == list(range(1, 251))
            await pipe.equal_to_the_log()
            await carried_by_the_stream(pipe)

    async def test_two_at_once_leave_neither_hole_nor_double(self, pipe: Pipe) -> None:
        async with background(pipe.relay().run()), background(pipe.relay().run()):
            async with selling(pipe.shop):
                await more(pipe.shop, 600)
            await pipe.relayed()
        assert await pipe.positions() == list(range(1, pipe.shop.position + 1))
        await pipe.equal_to_the_log()


class TestProcesses:
    async def test_the_second_stands_by_until_the_first_is_killed(self, pipe: Pipe) -> None:
        async with relay_process(pipe) as first, relay_process(pipe):
            async with selling(pipe.shop):
                await until(lambda: holders(pipe, 1))
                await more(pipe.shop, 200)
                first.send_signal(signal.SIGKILL)
                await more(pipe.shop, 200)
            await pipe.relayed()
        assert await pipe.positions() == list(range(1, pipe.shop.position + 1))
        await pipe.equal_to_the_log()

    async def test_it_ends_cleanly_when_told_to(self, pipe: Pipe) -> None:
        async with relay_process(pipe) as process:
            await pipe.shop.create(1)
            await pipe.relayed()
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait, 10) == 0


class TestNatsDies:
    async def test_killed_and_started_again_under_load(self, pipe: Pipe) -> None:
        async with background(pipe.relay().run()), selling(pipe.shop):
            await more(pipe.shop, 200)
            pipe.nats.kill()
            await more(pipe.shop, 200)
            await pipe.stand.caught_up()  # read models go on without it
            await pipe.nats.start()
            await more(pipe.shop, 200)
            await until(lambda: pipe.client.is_connected)
        async with background(pipe.relay().run()):
            await pipe.relayed()
        found = await pipe.positions()
        assert found == list(range(found[0], pipe.shop.position + 1))
        await pipe.equal_to_the_log()

    async def test_wiped_under_load(self, pipe: Pipe) -> None:
        async with background(pipe.relay().run()):
            async with selling(pipe.shop):
                await more(pipe.shop, 200)
                pipe.nats.kill()
                await until(lambda: not pipe.nats.process.running)
                pipe.nats.wipe()
                await pipe.nats.start()
                await more(pipe.shop, 200)
            await pipe.relayed()
            found = await pipe.positions()
            assert found == list(range(found[0], pipe.shop.position + 1))
            await pipe.equal_to_the_log()
            await carried_by_the_stream(pipe)


class TestFeed:
    async def test_a_hole_in_the_stream_is_filled_from_the_log(self, pipe: Pipe) -> None:
        async with background(pipe.relay().run()):
            await pipe.shop.create(1)
            await pipe.relayed()
        await carried_by_the_stream_without_relay(pipe)

    async def test_the_stream_carries_what_happens(self, pipe: Pipe) -> None:
        async with background(pipe.relay().run()):
            await pipe.shop.create(1)
            await carried_by_the_stream(pipe)

    async def test_readers_are_told(self, pipe: Pipe) -> None:
        positions = Positions(pipe.stand.pool)
        await positions.listen(pipe.client)
        async with background(pipe.relay().run()):
            await pipe.shop.create(1)
            await until(lambda: positions.known(pipe.stand.name) == 1)
        await positions.close()

    async def test_what_has_left_the_window_is_not_kept(
        self, pipe: Pipe, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.feed.RING", 10)
        await pipe.shop.fill(45)
        stored = await pipe.shop.log.read(0, 45)
        feed = StreamFeed(pipe.shop.log, pipe.client, outages=())
        feed._last = 0
        feed._append(stored[:21])
        decoded = await feed.decode(stored[:10])  # by one who was slow: they have left the window
        assert [each.position for each in decoded] == list(range(1, 11))
        feed._append(stored[21:])
        assert list(feed._decoded) == []

    async def test_operators_are_heard_at_once(self, pipe: Pipe) -> None:
        await pipe.stand.caught_up()
        rang = asyncio.Event()
        ring = pipe.projector.engine.ring

        def heard() -> None:
            rang.set()
            ring()

        pipe.projector.engine.ring = heard  # type: ignore[method-assign]
        await pipe.client.publish("projections.control", b"")
        await asyncio.wait_for(rang.wait(), 5)


class TestProjectorProcess:
    async def test_it_starts_and_projects_while_nats_is_away(self, database_url: str) -> None:
        environment = {
            "DATABASE_URL": database_url,
            "NATS_URL": f"nats://127.0.0.1:{free_port()}",
            **SECRETS,
        }
        async with open_shop(database_url) as shop, open_pool(database_url) as pool:
            await shop.fill(3)
            process = subprocess.Popen(
                [sys.executable, "-m", "workers.projector"],
                cwd=ROOT,
                env={**os.environ, **environment},
                stdout=subprocess.DEVNULL,
            )
            try:
                stand = Stand(shop, pool, None, "postgres")
                stand.name = "products"
                await stand.caught_up()
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, 10) == 0
            finally:
                process.kill()
                process.wait()


async def carried_by_the_stream(pipe: Pipe) -> None:
    """Sell one thing after the other until one of them was not read from the log."""
    number = 50_000
    async with asyncio.timeout(15):
        while True:
            number += 1
            refilled = pipe.projector.feed.refilled
            await pipe.shop.create(number)
            await pipe.stand.caught_up()
            if pipe.projector.feed.refilled == refilled:
                return


async def carried_by_the_stream_without_relay(pipe: Pipe) -> None:
    """Publish every second event by hand: the feed must read the others from the log before it goes on."""
    stream = pipe.client.jetstream(timeout=5)
    await pipe.stand.caught_up()
    await pipe.shop.fill(20, first=2)
    for stored in (await pipe.shop.log.read(1, 100))[1::2]:
        headers = {
            "Nats-Msg-Id": str(stored.position),
            "Tradelog-Stream": str(stored.stream),
            "Tradelog-Version": str(stored.version),
            "Tradelog-Tag": stored.tag,
        }
        await stream.publish(f"events.0.listings.{stored.tag}", stored.state, headers=headers)
    await pipe.equal_to_the_log()
    feed = pipe.projector.feed
    window = await feed.after(1, 1_000, 0)
    assert window is None or [each.position for each in window] == list(range(2, pipe.shop.position + 1))


async def holders(pipe: Pipe, expected: int) -> bool:
    async with pipe.stand.pool.connection() as connection:
        found = await connection.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = hashtext('tradelog.relay')::oid"
            " AND granted"
        )
        return bool(await found.fetchone() == (expected,))


@asynccontextmanager
async def relay_process(pipe: Pipe) -> AsyncIterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.relay"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": pipe.shop.url, "NATS_URL": pipe.nats.url, **SECRETS},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
