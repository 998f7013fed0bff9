"""The book of jobs on a real Postgres: one run at a time, whoever begins it, and no more rows than somebody reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, time, timedelta

import pytest

from application.adapters.database import Database
from application.adapters.job_runs import PostgresJobRuns
from application.jobs.ports import JobNotFoundError, JobPlan, JobRun, RunOutcome
from workers.migrating import migrate

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
HOURLY = JobPlan(name="hourly", description="Each hour", every=timedelta(hours=1))
DAILY = JobPlan(name="daily", description="Each day", every=timedelta(days=1), daily_at=time(0, 10))
LATER = NOW + timedelta(hours=1)
NEVER = timedelta(hours=1)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url)
    async with Database(database_url, connections=4) as database:
        yield database


@pytest.fixture
async def runs(database: Database) -> PostgresJobRuns:
    runs = PostgresJobRuns(database)
    await runs.announce([HOURLY, DAILY], NOW)
    return runs


async def begun(
    runs: PostgresJobRuns,
    instance: str = "a",
    *,
    job: str = "hourly",
    due_by: datetime | None = NOW,
    request: int = 0,
    stale: timedelta = NEVER,
) -> int | None:
    return await runs.begin(job, instance=instance, due_by=due_by, request=request, stale=stale)


async def a_run(runs: PostgresJobRuns, outcome: RunOutcome, done: int | None = None, request: int = 0) -> int:
    run = await begun(runs, due_by=None, request=request)
    assert run is not None
    assert await runs.end(run, outcome, next_at=LATER, done=done)
    return run


async def all_of(runs: PostgresJobRuns, job: str = "hourly") -> list[JobRun]:
    return await runs.runs(job, skip=0, limit=100, before=None)


async def test_a_new_job_is_due_now_and_one_that_is_known_when_it_was_due_before(
    runs: PostgresJobRuns,
) -> None:
    assert (await runs.standing("hourly")).next_at == NOW
    await a_run(runs, RunOutcome.SUCCEEDED, done=1)
    told = await runs.announce([HOURLY], NOW + timedelta(minutes=5))
    assert told["hourly"].next_at == LATER
    assert [job.plan for job in await runs.listed()] == [HOURLY], "and those that are gone are gone"
    with pytest.raises(JobNotFoundError):
        await runs.standing("daily")


async def test_a_job_that_is_due_more_often_now_is_not_kept_waiting(runs: PostgresJobRuns) -> None:
    await a_run(runs, RunOutcome.SUCCEEDED, done=1)
    oftener = JobPlan(name="hourly", description="", every=timedelta(minutes=1))
    assert (await runs.announce([oftener], NOW))["hourly"].next_at == NOW + timedelta(minutes=1)


async def test_of_many_that_begin_a_run_at_once_one_does(runs: PostgresJobRuns) -> None:
    began = await asyncio.gather(*(begun(runs, f"instance {number}") for number in range(20)))
    assert len([run for run in began if run is not None]) == 1
    assert [run.outcome for run in await all_of(runs)] == ["running"]


async def test_nobody_begins_what_was_done_a_moment_ago(runs: PostgresJobRuns) -> None:
    await a_run(runs, RunOutcome.SUCCEEDED, done=1)
    assert await begun(runs, "b") is None
    assert await begun(runs, "b", due_by=LATER) is not None


async def test_unless_it_is_asked_for_once_more(runs: PostgresJobRuns) -> None:
    await a_run(runs, RunOutcome.SUCCEEDED, done=0, request=1)
    assert await begun(runs, request=1) is None
    assert await begun(runs, request=2) is not None
    assert (await runs.standing("hourly")).request == 2


async def test_an_instance_finds_the_run_that_it_has_just_begun(runs: PostgresJobRuns) -> None:
    assert await begun(runs) == await begun(runs)


async def test_a_run_that_nobody_says_to_be_alive_is_broken_off_by_the_next(
    runs: PostgresJobRuns, database: Database
) -> None:
    run = await begun(runs)
    assert run is not None
    assert await begun(runs, "b", stale=timedelta(seconds=30)) is None
    await database.rows("UPDATE job_runs SET beat_at = now() - interval '31 seconds'")
    assert await runs.beat(run), "it was only slow"
    assert await begun(runs, "b", stale=timedelta(seconds=30)) is None
    await database.rows("UPDATE job_runs SET beat_at = now() - interval '31 seconds'")
    taken = await begun(runs, "b", stale=timedelta(seconds=30))
    assert taken is not None
    assert not await runs.beat(run)
    assert not await runs.end(run, RunOutcome.SUCCEEDED, next_at=LATER, done=7)
    assert [(each.id, each.outcome) for each in await all_of(runs)] == [
        (taken, "running"),
        (run, "broken_off"),
    ]
    assert (await runs.standing("hourly")).next_at == NOW


async def test_failures_are_counted_until_it_succeeds(runs: PostgresJobRuns) -> None:
    for _ in range(3):
        await a_run(runs, RunOutcome.FAILED)
    await a_run(runs, RunOutcome.BROKEN_OFF)
    (daily, hourly) = await runs.listed()
    assert (hourly.standing.failures, hourly.standing.last_succeeded_at) == (3, None)
    assert (hourly.last_outcome, daily.last_outcome) == (RunOutcome.BROKEN_OFF, None)
    await a_run(runs, RunOutcome.SUCCEEDED, done=1)
    standing = await runs.standing("hourly")
    assert standing.failures == 0
    assert standing.last_succeeded_at is not None


async def test_of_runs_that_found_nothing_to_do_the_last_is_kept(runs: PostgresJobRuns) -> None:
    for _ in range(3):
        await a_run(runs, RunOutcome.SUCCEEDED, done=0)
    worth_telling = [
        await a_run(runs, RunOutcome.SUCCEEDED, done=2),
        await a_run(runs, RunOutcome.FAILED),
        await a_run(runs, RunOutcome.SUCCEEDED, done=0, request=1),
    ]
    last = [await a_run(runs, RunOutcome.SUCCEEDED, done=0, request=1) for _ in range(3)][-1]
    assert [run.id for run in await all_of(runs)] == [last, *reversed(worth_telling)]
    assert await runs.count_runs("hourly") == 4


async def test_what_is_old_is_swept_and_what_is_too_much(runs: PostgresJobRuns, database: Database) -> None:
    ids = [await a_run(runs, RunOutcome.FAILED) for _ in range(6)]
    going_on = await begun(runs, job="daily")
    await database.rows("UPDATE job_runs SET started_at = now() - interval '31 days' WHERE id = %s", [ids[0]])
    await database.rows(
        "UPDATE job_runs SET started_at = now() - interval '31 days' WHERE id = %s", [going_on]
    )
    assert await runs.sweep(timedelta(days=30), 3) == 3
    assert [run.id for run in await all_of(runs)] == [ids[5], ids[4], ids[3]]
    assert [run.outcome for run in await all_of(runs, "daily")] == ["running"]
    assert await runs.sweep(timedelta(days=30), 3) == 0


async def test_runs_are_told_in_pieces_the_latest_first(runs: PostgresJobRuns) -> None:
    ids = [await a_run(runs, RunOutcome.FAILED) for _ in range(5)]
    first = await runs.runs("hourly", skip=1, limit=2, before=None)
    behind = await runs.runs("hourly", skip=0, limit=2, before=first[-1].id)
    assert [run.id for run in (*first, *behind)] == [ids[3], ids[2], ids[1], ids[0]]
