"""A process that writes to the log, for tests that start several of them and kill some.

Each command takes a coin out of one shared jar, puts it into another and opens a jar of its own, all in one
append; its request id marks its events. A marker is printed once its command is acknowledged.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from typing import Any

from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import PostgresEventLog
from application.adapters.event_store import EventStore
from application.adapters.keys import MemoryPersonKeys
from application.ports import Loaded, Metadata, Proposal, StreamRef
from tests.application.log.jars import AGGREGATES, EVENTS, JARS, Jar, JarOpened, TickingClock, jar_id

SHARED = 6


async def write(url: str, name: str, commands: int, tasks: int) -> None:
    keys = MemoryPersonKeys()
    codec = EventCodec(EVENTS, AGGREGATES, keys)
    database = Database(url, connections=2)
    async with database, PostgresEventLog.on(database, codec) as log:
        store = EventStore(log, codec, keys, TickingClock())
        numbers = iter(range(commands))

        async def work() -> None:
            for number in numbers:
                marker = f"{name}-{number}"
                await move(store, marker)
                sys.stdout.write(f"{marker}\n")
                sys.stdout.flush()

        await asyncio.gather(*(work() for _ in range(tasks)))


async def move(store: EventStore, marker: str) -> None:
    giver, taker = (StreamRef(JARS, jar_id(f"shared-{n}")) for n in random.sample(range(SHARED), 2))
    own = StreamRef(JARS, jar_id(marker))

    def decide(jars: Sequence[Loaded[Any]]) -> Proposal[None]:
        take, add = (jar.state for jar in jars)
        assert isinstance(take, Jar)
        assert isinstance(add, Jar)
        return Proposal(
            outcome=None, events=[(giver, take.take(1)), (taker, add.add(1)), (own, [JarOpened(size=1)])]
        )

    await store.change_together([giver, taker], decide, Metadata(actor="writer", request_id=marker))


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
