"""Appends per second: our log against the library's recorder, on the same server, flushing every commit.

Each append is one event of 300 bytes on a stream of its own. The library is driven as its users drive it, by
threads and its own connection pool; ours by tasks on one event loop. Both are measured in turns, and each
figure is the median of its turns, so that a noisy neighbour hits both alike.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg import sql
from psycopg.conninfo import make_conninfo

from application.adapters.appending import Append, NewEvent
from application.adapters.codec import EventCodec
from application.adapters.database import Database
from application.adapters.event_log import LogDatastore, PostgresEventLog
from application.adapters.keys import MemoryPersonKeys
from application.adapters.schema import create_schema
from bench.table import Row, show
from workers.local.postgres import Postgres

TARGETS: Final[dict[int, float]] = {1: 0.8, 16: 6.0, 64: 8.0}
_STATE: Final = b'{"data":"' + b"x" * 289 + b'"}'


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """Appends per second with so many concurrent writers; ``target`` is the ratio asked for."""

    writers: int
    library: float
    ours: float
    target: float

    @property
    def ratio(self) -> float:
        return self.ours / self.library


def measure(
    url: str, *, seconds: float = 2.0, turns: int = 3, writers: Sequence[int] = tuple(TARGETS)
) -> list[Rate]:
    """``url`` is a server's; a database is made for each side and dropped again."""
    library, ours = f"bench_library_{uuid4().hex}", f"bench_ours_{uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        for name in (library, ours):
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        library_url, our_url = (make_conninfo(url, dbname=name) for name in (library, ours))
        with psycopg.connect(our_url) as connection:
            create_schema(connection)
        rows = []
        for count in writers:
            both = [
                (library_rate(library_url, count, seconds), our_rate(our_url, count, seconds))
                for _ in range(turns)
            ]
            rows.append(
                Rate(
                    writers=count,
                    library=statistics.median(rate for rate, _ in both),
                    ours=statistics.median(rate for _, rate in both),
                    target=TARGETS[count],
                )
            )
        return rows
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            for name in (library, ours):
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def library_rate(url: str, writers: int, seconds: float) -> float:
    with _LibraryDatastore(url, connections=writers) as datastore:
        recorder = PostgresApplicationRecorder(datastore)
        recorder.create_table()
        done = [0] * writers
        ready = threading.Barrier(writers + 1)
        stop = threading.Event()

        def write(number: int) -> None:
            recorder.insert_events(
                [StoredEvent(uuid4(), 1, "happened", _STATE)]
            )  # opens this thread's connection
            ready.wait()
            while not stop.is_set():
                recorder.insert_events([StoredEvent(uuid4(), 1, "happened", _STATE)])
                done[number] += 1

        threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
        for thread in threads:
            thread.start()
        ready.wait()
        began = time.perf_counter()
        time.sleep(seconds)
        stop.set()
        for thread in threads:
            thread.join()
        return sum(done) / (time.perf_counter() - began)


def our_rate(url: str, writers: int, seconds: float) -> float:
    return asyncio.run(_our_rate(url, writers, seconds))


async def _our_rate(url: str, writers: int, seconds: float) -> float:
    database = Database(url)
    async with database, PostgresEventLog.on(database, EventCodec({}, {}, MemoryPersonKeys())) as log:
        done = 0

        async def write(until: float) -> None:
            nonlocal done
            while time.perf_counter() < until:
                await log.append(Append(events=[NewEvent(uuid4(), 1, "happened", _STATE)]))
                done += 1

        await log.append(Append(events=[NewEvent(uuid4(), 1, "happened", _STATE)]))  # opens the connection
        began = time.perf_counter()
        await asyncio.gather(*(write(began + seconds) for _ in range(writers)))
        return done / (time.perf_counter() - began)


class _LibraryDatastore(LogDatastore):
    """With the same settings, but finding the composite type that the library sends its events as."""

    def register_type_adapters(self) -> None:
        PostgresDatastore.register_type_adapters(self)


def server_facts(url: str) -> str:
    """What the figures depend on besides the code."""
    with psycopg.connect(url) as connection:
        facts = connection.execute(
            "SELECT split_part(version(), ' on ', 1), current_setting('fsync'),"
            " current_setting('synchronous_commit')"
        ).fetchone()
    assert facts is not None
    version, fsync, commit = facts
    return f"{version}, fsync {fsync}, synchronous_commit {commit}, {os.cpu_count()} cores"


def rows_of(measured: Sequence[Rate]) -> list[Row]:
    return [
        Row(
            name=f"{rate.writers} concurrent writers",
            value=f"library {rate.library:,.0f}, ours {rate.ours:,.0f} = {rate.ratio:.2f}x",
            target=f"≥ {rate.target}x",
            reached=rate.ratio >= rate.target,
        )
        for rate in measured
    ]


async def rows() -> dict[str, list[Row]]:
    """On a server of its own, with fsync on."""
    with tempfile.TemporaryDirectory(prefix="tradelog-bench-", ignore_cleanup_errors=True) as folder:
        async with Postgres(Path(folder) / "postgres") as server:
            measured = await asyncio.to_thread(measure, server.url)
            return {f"Appends/s, one event of 300 bytes each ({server_facts(server.url)})": rows_of(measured)}


if __name__ == "__main__":
    for title, found in asyncio.run(rows()).items():
        show(title, found)
