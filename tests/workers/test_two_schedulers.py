"""Two schedulers on one database: one leads, and no job is ever run by both, however the first one ends."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from application.adapters.clock import SystemClock
from application.adapters.database import Database
from application.adapters.job_runs import PostgresJobRuns
from projections.adapters.read_pool import ReadPool
from projections.bootstrap import IN_POSTGRES
from projections.engine import prepare
from workers.lease import while_leading
from workers.local.process import Process
from workers.migrating import migrate
from workers.projector import sinks
from workers.scheduling import Job, Patience, Scheduler

LEASE = "tradelog.tests.scheduler"
PATIENCE = Patience(look_every=0.05, beat_every=0.05, give_up=2.0, stale=timedelta(seconds=30))


class Stage:
    """Where the work of both is done; it notices when it is done twice at once."""

    def __init__(self) -> None:
        self.going_on: list[str] = []
        self.began: list[str] = []
        self.at_once = 0
        self.slow_to_stop = asyncio.Event()

    async def play(self, name: str) -> int:
        self.going_on.append(name)
        self.began.append(name)
        self.at_once = max(self.at_once, len(self.going_on))
        try:
            await asyncio.Event().wait()
        finally:
            try:
                # What is in the middle of something does not end at once because it is told to.
                await self.slow_to_stop.wait()
            finally:
                self.going_on.remove(name)
        return 0


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        pytest.fail(f"{what} did not happen")


@asynccontextmanager
async def a_scheduler(url: str, name: str, stage: Stage) -> AsyncIterator[None]:
    async with Database(url, connections=3) as database:
        job = Job(name="play", every=timedelta(hours=1), work=lambda: stage.play(name))
        scheduler = Scheduler([job], runs=PostgresJobRuns(database), clock=SystemClock(), patience=PATIENCE)
        task = asyncio.create_task(while_leading(url, LEASE, scheduler.run))
        try:
            yield
        finally:
            stage.slow_to_stop.set()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def end_the_lease(url: str) -> None:
    """As if the leader's connection had died, and it did not know yet."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND objid = (hashtext(%s)::bigint & 4294967295) "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LEASE],
        )


async def outcomes(url: str) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        found = await connection.execute("SELECT outcome FROM job_runs ORDER BY id")
        return [outcome for (outcome,) in await found.fetchall()]


async def test_a_job_goes_on_with_the_next_leader_only_after_the_last_one_has_let_go(
    database_url: str,
) -> None:
    await migrate(database_url)
    stage = Stage()
    async with a_scheduler(database_url, "first", stage):
        await until(lambda: stage.began == ["first"], "the first one leading")
        async with a_scheduler(database_url, "second", stage):
            await end_the_lease(database_url)
            # Whoever leads by now finds that the run goes on, and waits for its end.
            await asyncio.to_thread(_wait_for_a_leader, database_url)
            assert (stage.began, stage.going_on) == (["first"], ["first"])
            stage.slow_to_stop.set()
            await until(lambda: len(stage.began) == 2, "the job going on")
            assert stage.at_once == 1
            assert await outcomes(database_url) == ["broken_off", "running"]


def _wait_for_a_leader(url: str) -> None:
    """Until somebody holds the lease again, and has looked at what there is to do a few times."""
    with psycopg.connect(url, autocommit=True) as connection:
        for _ in range(20):
            held = 0
            while not held:
                row = connection.execute(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                    "AND objid = (hashtext(%s)::bigint & 4294967295)",
                    [LEASE],
                ).fetchone()
                assert row is not None
                held = row[0]
            connection.execute("SELECT pg_sleep(0.02)")


async def test_whoever_stands_by_catches_up_when_the_leader_dies(database_url: str, tmp_path: Path) -> None:
    await migrate(database_url)
    async with ReadPool(database_url) as reads:
        await prepare(reads.pool, IN_POSTGRES, sinks(reads.pool, None))
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "JWT_SECRET": "a secret of the tests, of 32 characters and more",
        "TRADELOG_MASTER_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    }
    command = [sys.executable, "-m", "workers.scheduler"]
    both = [
        Process(name, command, log_path=tmp_path / f"{name}.log", environment=environment)
        for name in ("first", "second")
    ]
    for process in both:
        process.start()
    try:
        await until(lambda: _all_done(database_url), "each job done once")
        (instance,) = _instances(database_url)
        (leader,) = [process for process in both if f":{process.pid}:" in instance]
        with psycopg.connect(database_url) as connection:
            # What the leader believes of it does not change: it is as if it had been away when this was due.
            connection.execute("UPDATE jobs SET next_at = now() - interval '1 hour'")
            connection.execute("DELETE FROM job_runs")
        os.kill(leader.pid, signal.SIGKILL)
        await until(lambda: _all_done(database_url), "each job done by the other")
        (other,) = _instances(database_url)
        assert other != instance
    finally:
        for process in both:
            await process.stop()


def _all_done(url: str) -> bool:
    """But for the report, which waits for a projector as soon as anything has happened."""
    done = _told(url, "SELECT job FROM job_runs WHERE outcome = 'succeeded'")
    known = _told(url, "SELECT name FROM jobs")
    return bool(known) and known <= done | {"daily-sales-report"}


def _instances(url: str) -> set[str]:
    return _told(url, "SELECT instance FROM job_runs")


def _told(url: str, query: LiteralString) -> set[str]:
    with psycopg.connect(url) as connection:
        return {value for (value,) in connection.execute(query).fetchall()}
