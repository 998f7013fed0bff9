"""Several processes on one log, and what is left when one of them dies or the server does."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.keys import MemoryPersonKeys
from application.adapters.schema import create_schema, create_schema_async
from application.errors import LogUnavailableError
from domain.kernel import Event, Recorded
from tests.application.log.jars import (
    AGGREGATES,
    EVENTS,
    JARS,
    SOMEBODY,
    CoinsAdded,
    TickingClock,
    jar_id,
    opened,
)
from tests.application.log.writer import SHARED, move
from workers.local.postgres import Postgres

COINS = 1000
OPENED = 2 * SHARED  # the events with which the shared jars begin


async def start(url: str, name: str, commands: int, tasks: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.application.log.writer",
        url,
        name,
        str(commands),
        str(tasks),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )


async def fill_shared_jars(url: str) -> None:
    keys = MemoryPersonKeys()
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    database = Database(url)
    async with database, PostgresEventLog.on(database, codec) as log:
        store = EventStore(log, codec, keys, TickingClock())
        for number in range(SHARED):
            await store.change(
                JARS,
                jar_id(f"shared-{number}"),
                lambda jar: [*opened(jar), CoinsAdded(coins=COINS)],
                SOMEBODY,
            )


async def whole_log(url: str) -> list[Recorded[Event]]:
    codec = EventCodec(EVENTS, AGGREGATES, MemoryPersonKeys())
    database = Database(url)
    async with database, PostgresEventLog.on(database, codec) as log:
        head = await log.head()
        recorded = await log.decode(await log.read(0, head + 1000))
        assert len(recorded) == head
        return recorded


def check_whole(recorded: list[Recorded[Event]]) -> set[str]:
    """Nothing missing, nothing half: and the markers of the commands that are there."""
    assert [one.position for one in recorded] == list(range(1, len(recorded) + 1))
    streams: defaultdict[UUID, list[Recorded[Event]]] = defaultdict(list)
    for one in recorded:
        streams[one.stream].append(one)
    for stream in streams.values():
        assert [one.version for one in stream] == list(range(1, len(stream) + 1))
    commands: defaultdict[str, list[Recorded[Event]]] = defaultdict(list)
    for one in recorded[OPENED:]:
        commands[one.request_id].append(one)
    for command in commands.values():
        assert [type(one.event).__name__ for one in command] == ["CoinsTaken", "CoinsAdded", "JarOpened"]
        assert [one.position - command[0].position for one in command] == [0, 1, 2]
    coins = 0
    for number in range(SHARED):
        state = JARS.fold(None, [one.event for one in streams[jar_id(f"shared-{number}")]])  # type: ignore[misc]
        assert state is not None
        coins += state.coins
    assert coins == SHARED * COINS
    return set(commands)


async def test_four_processes_in_contention_leave_no_gap_and_lose_nothing(prepared_url: str) -> None:
    await fill_shared_jars(prepared_url)
    processes = [await start(prepared_url, f"p{number}", 100, 8) for number in range(4)]
    printed = [(await process.communicate())[0].decode().split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    acknowledged = {marker for markers in printed for marker in markers}
    assert acknowledged == {f"p{process}-{number}" for process in range(4) for number in range(100)}
    assert check_whole(await whole_log(prepared_url)) == acknowledged


async def test_a_process_that_is_killed_leaves_no_half_command(prepared_url: str) -> None:
    await fill_shared_jars(prepared_url)
    victim = await start(prepared_url, "victim", 1_000_000, 16)
    other = await start(prepared_url, "other", 150, 8)
    acknowledged: set[str] = set()
    assert victim.stdout is not None
    while len(acknowledged) < 100:
        acknowledged.add((await victim.stdout.readline()).decode().strip())
    victim.kill()
    acknowledged.update(
        (await victim.stdout.read()).decode().split("\n")[:-1]
    )  # the last line may be cut short
    await victim.wait()
    await other.communicate()
    assert other.returncode == 0
    await no_writer_left(prepared_url)
    there = check_whole(await whole_log(prepared_url))
    assert acknowledged <= there
    assert {f"other-{number}" for number in range(150)} <= there


async def no_writer_left(url: str) -> None:
    """Until the server has noticed that the killed process is gone, its last batch may still be written."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            found = await connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
                " AND backend_type = 'client backend'"
            )
            if await found.fetchone() == (0,):
                return


async def test_processes_that_start_together_make_the_tables_once(database_url: str) -> None:
    async def make() -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await create_schema_async(connection)

    await asyncio.gather(*(make() for _ in range(8)))
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT position FROM log_head").fetchall() == [(0,)]


@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_the_server_restarted_under_load_loses_nothing_acknowledged(
    servers_folder: Path, how: str
) -> None:
    server = Postgres(servers_folder / f"postgres-{how}")
    await server.start()
    try:
        with psycopg.connect(server.url) as connection:
            create_schema(connection)
        await fill_shared_jars(server.url)
        acknowledged = await restart_under_load(server, how)
        there = check_whole(await whole_log(server.url))
    finally:
        await server.stop()
    assert acknowledged <= there


async def restart_under_load(server: Postgres, how: str) -> set[str]:
    keys = MemoryPersonKeys()
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    acknowledged: set[str] = set()
    outcomes: Counter[str] = Counter()
    stop = asyncio.Event()
    database = Database(server.url, patience=0.5)
    async with database, PostgresEventLog.on(database, codec, patience=0.5) as log:
        store = EventStore(log, codec, keys, TickingClock())

        async def work(name: int) -> None:
            number = 0
            while not stop.is_set():
                marker = f"{name}-{number}"
                number += 1
                try:
                    await move(store, marker)
                except LogUnavailableError:
                    outcomes["unavailable"] += 1
                    await asyncio.sleep(0.005)  # a client that is told to come back later
                else:
                    acknowledged.add(marker)
                    outcomes["done"] += 1

        async def until(outcome: str, count: int) -> None:
            while outcomes[outcome] < count:
                await asyncio.sleep(0.005)
                assert not any(task.done() for task in tasks), "a writer met something else than an outage"

        tasks = [asyncio.create_task(work(name)) for name in range(16)]
        await until("done", 200)
        if how == "killed":
            server.kill()
        else:
            await server.stop()
        await until("unavailable", 50)
        await server.start()
        await until("done", outcomes["done"] + 200)
        stop.set()
        await asyncio.gather(*tasks)
    return acknowledged
