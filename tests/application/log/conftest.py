"""The log on Postgres and the one in memory, behind the same names, so that one suite runs on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import psycopg
import pytest

from application.adapters.appending import Append, CommandResult, History, Snapshot, Wanted
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.keys import MasterKeys, MemoryPersonKeys, PersonKeys, PostgresPersonKeys
from application.adapters.memory_event_log import MemoryEventLog
from application.adapters.numbers import MemoryNumbers, Numbers, PostgresNumbers
from application.adapters.schema import create_schema
from tests.application.log.jars import AGGREGATES, EVENTS, TickingClock

MASTER = MasterKeys([bytes(range(32))])


class Asked:
    """Passes everything on to a log, and counts what it costs. ``before_append`` runs once, ahead of the next
    one."""

    def __init__(self, log: PostgresEventLog | MemoryEventLog) -> None:
        self.log = log
        self.appends: list[Append] = []
        self.histories_asked = 0
        self.results_asked = 0
        self.snapshots: list[Snapshot] = []

    @property
    def round_trips(self) -> int:
        return len(self.appends) + self.histories_asked + self.results_asked

    async def append(self, append: Append) -> int:
        self.appends.append(append)
        return await self.log.append(append)

    async def begin_turn(self, stream: UUID, *, patiently: bool = True) -> bool:
        return await self.log.begin_turn(stream, patiently=patiently)

    async def end_turn(self, stream: UUID) -> None:
        await self.log.end_turn(stream)

    async def histories(self, wanted: Sequence[Wanted]) -> list[History]:
        self.histories_asked += 1
        return await self.log.histories(wanted)

    async def result_of(self, scope: str, key: str) -> CommandResult | None:
        self.results_asked += 1
        return await self.log.result_of(scope, key)

    async def save_snapshot(self, snapshot: Snapshot) -> None:
        await self.log.save_snapshot(snapshot)
        self.snapshots.append(snapshot)


class World:
    """A log and what belongs to it. ``store`` and ``elsewhere`` are the stores of two processes."""

    def __init__(
        self, log: PostgresEventLog | MemoryEventLog, codec: EventCodec, keys: PersonKeys, numbers: Numbers
    ) -> None:
        self.log = log
        self.codec = codec
        self.keys = keys
        self.numbers = numbers
        self.clock = TickingClock()
        self.rings: list[int] = []
        self.asked = Asked(log)
        self.store = self.process(self.asked)
        self.elsewhere = self.process(Asked(log))

    def process(self, log: Asked, *, snapshot_every: int = 200, most_tries: int = 50) -> EventStore:
        return EventStore(
            log, self.codec, self.keys, self.clock, snapshot_every=snapshot_every, most_tries=most_tries
        )

    def ring(self, position: int) -> None:
        self.rings.append(position)

    async def rung(self, position: int) -> None:
        while position not in self.rings:
            await asyncio.sleep(0)


@pytest.fixture
def prepared_url(module_database_url: str) -> str:
    """A database with the write side's tables, all of them empty."""
    with psycopg.connect(module_database_url) as connection:
        create_schema(connection)
        connection.execute("TRUNCATE stored_events, command_results, snapshots, person_keys, counters")
        connection.execute("UPDATE log_head SET position = 0")
    return module_database_url


@pytest.fixture
async def database(prepared_url: str) -> AsyncIterator[Database]:
    async with Database(prepared_url) as opened:
        yield opened


@pytest.fixture
async def on_postgres(database: Database) -> AsyncIterator[World]:
    keys = PostgresPersonKeys(database, MASTER)
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    rings: list[int] = []
    async with PostgresEventLog.on(database, codec, doorbell=Bell(rings)) as log:
        world = World(log, codec, keys, PostgresNumbers(database))
        world.rings = rings
        yield world


@pytest.fixture
async def in_memory() -> AsyncIterator[World]:
    keys = MemoryPersonKeys(MASTER)
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    rings: list[int] = []
    async with MemoryEventLog(codec, doorbell=Bell(rings)) as log:
        world = World(log, codec, keys, MemoryNumbers())
        world.rings = rings
        yield world


class Bell:
    def __init__(self, rings: list[int]) -> None:
        self._rings = rings

    def ring(self, position: int) -> None:
        self._rings.append(position)


@pytest.fixture(params=["in_memory", "on_postgres"])
def world(request: pytest.FixtureRequest) -> World:
    """Each test that takes this runs twice."""
    chosen: World = request.getfixturevalue(request.param)
    return chosen
