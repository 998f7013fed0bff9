"""Several processes, few streams, everything that can go wrong: and every decision was made on what is recorded."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
import psycopg
import pytest

from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.keys import MemoryPersonKeys
from application.errors import ConcurrentChangeError, LogUnavailableError
from application.ports import AlreadyAnsweredError, Answer, Loaded, Metadata, Once, Proposal, StreamRef
from domain.kernel import Decider, Event, Recorded, RuleViolatedError, stream_id
from tests.application.log.jars import TickingClock

PROCESSES = 3
BUYERS = 20
COMMANDS = 900
STREAMS = [stream_id("shelf", number) for number in range(5)]
SUPPLY = 60


class Moved(Event, frozen=True, kw_only=True, tag="moved"):
    """``saw`` is the ``mark`` of every shelf that the decision looked at, as they were for it."""

    command: str
    pieces: int
    saw: Mapping[str, str]


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """``mark`` is the command that has changed it last: no two states of a shelf bear the same one."""

    pieces: int = 0
    mark: str = ""

    @classmethod
    def evolve(cls, shelf: Shelf | None, event: Moved) -> Shelf:
        return cls(pieces=(shelf or NO_SHELF).pieces + event.pieces, mark=event.command)


NO_SHELF = Shelf()
SHELVES: Decider[Shelf, Moved] = Decider("shelves", Shelf.evolve)
REFS = {stream: StreamRef(SHELVES, stream) for stream in STREAMS}


class SoldOutError(RuleViolatedError):
    code = "SOLD_OUT"

    def __init__(self, saw: Mapping[str, str]) -> None:
        super().__init__("sold out")
        self.saw = saw


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Takes one piece of each shelf ``of``, having looked at the others that it is ``beside``."""

    name: str
    of: Sequence[UUID]
    beside: Sequence[UUID]
    key: str = ""
    pieces: int = -1
    expected_version: int | None = None

    @property
    def refs(self) -> list[StreamRef[Any, Any]]:
        return [REFS[stream] for stream in (*self.of, *self.beside)]

    def decide(self, loaded: Sequence[Loaded[Any]]) -> Proposal[str]:
        shelves = [each.state or NO_SHELF for each in loaded]
        saw = {str(ref.id): shelf.mark for ref, shelf in zip(self.refs, shelves, strict=True)}
        if any(shelf.pieces + self.pieces < 0 for shelf in shelves[: len(self.of)]):
            raise SoldOutError(saw)
        moved = Moved(command=self.name, pieces=self.pieces, saw=saw)
        return Proposal(outcome=self.name, events=[(REFS[stream], [moved]) for stream in self.of])

    @property
    def metadata(self) -> Metadata:
        once = None
        if self.key:
            once = Once(scope="shop", key=self.key, request_hash=b"", answer=self._answer)
        return Metadata(actor="buyer", once=once, expected_version=self.expected_version)

    @staticmethod
    def _answer(changed: Any) -> Answer:
        return Answer(status=201, body=changed.state.encode())


class Outcomes:
    """What the buyers were told."""

    def __init__(self) -> None:
        self.kinds: Counter[str] = Counter()
        self.placed: dict[str, int] = {}
        self.answered: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
        self.refused: list[tuple[int, Mapping[str, str]]] = []
        self.newest = 0

    async def of(self, store: EventStore, order: Order) -> None:
        since = self.newest
        try:
            changed = await store.change_together(order.refs, order.decide, order.metadata)
        except SoldOutError as refusal:
            self.refused.append((since, refusal.saw))
            self.kinds["refused"] += 1
        except AlreadyAnsweredError as before:
            self.answered[order.key].add((before.answer.body.decode(), before.position))
            self.kinds["answered"] += 1
        except LogUnavailableError:
            self.kinds["unavailable"] += 1
        except ConcurrentChangeError:
            assert order.expected_version is not None
            self.kinds["outdated"] += 1
        except asyncio.CancelledError:
            self.kinds["cancelled"] += 1
        else:
            self.kinds["placed"] += 1
            self.placed[order.name] = changed.position
            if order.key:
                self.answered[order.key].add((order.name, changed.position))
            self.newest = max(self.newest, changed.position)


@pytest.mark.parametrize("seed", range(3))
async def test_every_decision_was_made_on_what_is_recorded(prepared_url: str, seed: int) -> None:
    chance = random.Random(seed)
    outcomes = Outcomes()
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(another_process(prepared_url)) for _ in range(PROCESSES)]
        for number, stream in enumerate(STREAMS):
            await outcomes.of(
                stores[0], Order(name=f"supply-{number}", of=[stream], beside=[], pieces=SUPPLY)
            )
        orders = (an_order(chance, number) for number in range(COMMANDS))
        killer = await stack.enter_async_context(
            await psycopg.AsyncConnection.connect(prepared_url, autocommit=True)
        )

        async def buy(store: EventStore) -> None:
            for order in orders:
                task = asyncio.create_task(outcomes.of(store, order))
                if chance.random() < 0.15:
                    for _ in range(chance.randrange(40)):
                        await asyncio.sleep(0)
                    task.cancel()
                if chance.random() < 0.02:
                    await kill_one(killer, chance)
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()

        async with asyncio.TaskGroup() as buyers:
            for store in stores * BUYERS:
                buyers.create_task(buy(store))
        assert [(store._locks, store._on_their_way) for store in stores] == [({}, {})] * PROCESSES
    recorded = await whole_log(prepared_url)
    check(recorded, outcomes)
    await nothing_is_held(prepared_url)


def an_order(chance: random.Random, number: int) -> Order:
    streams = chance.sample(STREAMS, chance.randint(1, 4))
    most = chance.randint(1, len(streams))
    key = f"key-{chance.randrange(number // 2 + 1)}" if chance.random() < 0.2 else ""
    expected_version = chance.randrange(1, 60) if chance.random() < 0.03 else None
    return Order(
        name=f"order-{number}",
        of=streams[:most],
        beside=streams[most:],
        key=key,
        pieces=chance.choice((-1, -1, -1, 1)),
        expected_version=expected_version,
    )


async def kill_one(killer: psycopg.AsyncConnection[Any], chance: random.Random) -> None:
    found = await killer.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND backend_type = 'client backend' ORDER BY pid"
    )
    pids = [pid for (pid,) in await found.fetchall()]
    if pids:
        await killer.execute("SELECT pg_terminate_backend(%s)", [chance.choice(pids)])


def check(recorded: Sequence[Recorded[Any]], outcomes: Outcomes) -> None:
    marks = dict.fromkeys(map(str, STREAMS), "")
    pieces: Counter[UUID] = Counter()
    cuts = [dict(marks)]
    first_of: dict[str, int] = {}
    last_of: dict[str, int] = {}
    for one in recorded:
        event: Moved = one.event
        start = first_of.setdefault(event.command, one.position)
        last_of[event.command] = one.position
        # All of a command is together, and it has seen what was there before its first event.
        before = cuts[start - 1]
        assert {stream: before[stream] for stream in event.saw} == event.saw, one
        marks[str(one.stream)] = event.command
        pieces[one.stream] += event.pieces
        assert pieces[one.stream] >= 0
        cuts.append(dict(marks))
    lengths = Counter(one.event.command for one in recorded)
    assert {name: last_of[name] - first_of[name] + 1 for name in lengths} == lengths
    # What was acknowledged is there, where it was said to be.
    assert {name: last_of.get(name) for name in outcomes.placed} == outcomes.placed
    # Each key was answered alike, with what is there.
    for answers in outcomes.answered.values():
        ((name, position),) = answers
        assert last_of[name] == position
    # Who was refused was refused on what was there at some time since they asked.
    borders = {0, *last_of.values()}
    for since, saw in outcomes.refused:
        assert any(
            saw.items() <= cut.items()
            for position, cut in enumerate(cuts)
            if position >= since and position in borders
        )


async def nothing_is_held(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        found = await connection.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
            " WHERE locktype = 'advisory' AND datname = current_database()"
        )
        assert await found.fetchone() == (0,)


async def whole_log(url: str) -> list[Recorded[Any]]:
    async with Database(url) as database:
        codec = EventCodec({"moved": Moved}, {"moved": "shelves"}, MemoryPersonKeys())
        async with PostgresEventLog.on(database, codec) as log:
            return list(await log.decode(await log.read(0, 1_000_000)))


@asynccontextmanager
async def another_process(url: str) -> AsyncIterator[EventStore]:
    async with Database(url) as database:
        keys = MemoryPersonKeys()
        codec = EventCodec({"moved": Moved}, {"moved": "shelves"}, keys)
        async with (
            PostgresEventLog.on(database, codec) as log,
            EventStore(log, codec, keys, TickingClock()) as store,
        ):
            yield store
