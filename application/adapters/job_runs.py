"""The book of jobs, beside the log: it is no business fact that a minute passed and there was nothing to do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString

from application.adapters.arrays import texts
from application.adapters.database import Database, Row
from application.jobs.ports import (
    JobNotFoundError,
    JobPlan,
    JobRun,
    JobStanding,
    KnownJob,
    RunOutcome,
)

# A job that is due less often than before keeps its place in time; one that is due more often is not kept waiting.
_ANNOUNCE: Final[LiteralString] = """
INSERT INTO jobs (name, description, every, daily_at, next_at)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET
    description = excluded.description,
    every = excluded.every,
    daily_at = excluded.daily_at,
    next_at = CASE WHEN jobs.every IS DISTINCT FROM excluded.every
        THEN least(jobs.next_at, excluded.next_at + excluded.every) ELSE jobs.next_at END
RETURNING next_at, failures, request, last_succeeded_at
"""

_BREAK_OFF: Final[LiteralString] = """
UPDATE job_runs SET outcome = 'broken_off', ended_at = now()
WHERE job = %s AND outcome = 'running' AND instance <> %s AND beat_at < now() - %s::interval
"""

# Whoever comes second is told nothing. An instance never runs a job twice at once: what it finds of its own is what it
# has just written, on a connection that died before it could say so.
_BEGIN: Final[LiteralString] = """
WITH begun AS (
    INSERT INTO job_runs (job, instance, on_request)
    SELECT name, %s, request < %s FROM jobs
    WHERE name = %s AND (%s::timestamptz IS NULL OR next_at <= %s OR request < %s)
    ON CONFLICT (job) WHERE outcome = 'running'
    DO UPDATE SET started_at = now(), beat_at = now() WHERE job_runs.instance = excluded.instance
    RETURNING id, job, started_at
), noted AS (
    UPDATE jobs SET last_started_at = begun.started_at, request = greatest(request, %s)
    FROM begun WHERE jobs.name = begun.job
)
SELECT id FROM begun
"""

_BEAT: Final[LiteralString] = """
UPDATE job_runs SET beat_at = now() WHERE id = %s AND outcome = 'running' RETURNING id
"""

# Of runs that found nothing to do, only the last one is kept: there is one a minute of most jobs.
_END: Final[LiteralString] = """
WITH ended AS (
    UPDATE job_runs SET outcome = %s, ended_at = now(), done = %s, error = %s
    WHERE id = %s AND outcome = 'running'
    RETURNING id, job, outcome, done, ended_at
), idle AS (
    DELETE FROM job_runs USING ended
    WHERE job_runs.job = ended.job AND job_runs.id <> ended.id AND NOT job_runs.on_request
        AND job_runs.outcome = 'succeeded' AND job_runs.done = 0
        AND ended.outcome = 'succeeded' AND ended.done = 0
)
UPDATE jobs SET
    next_at = %s,
    failures = CASE ended.outcome
        WHEN 'succeeded' THEN 0 WHEN 'failed' THEN failures + 1 ELSE failures END,
    last_succeeded_at = CASE ended.outcome WHEN 'succeeded' THEN ended.ended_at ELSE last_succeeded_at END
FROM ended WHERE jobs.name = ended.job
RETURNING jobs.name
"""

_KNOWN: Final[LiteralString] = """
SELECT name, description, every, daily_at, next_at, failures, request, last_succeeded_at, last_started_at,
    (SELECT outcome FROM job_runs WHERE job = jobs.name ORDER BY id DESC LIMIT 1)
FROM jobs ORDER BY name
"""

_RUNS: Final[LiteralString] = """
SELECT id, job, started_at, ended_at, outcome, done, error, instance FROM job_runs
WHERE job = %s AND (%s::bigint IS NULL OR id < %s) ORDER BY id DESC OFFSET %s LIMIT %s
"""

_SWEEP: Final[LiteralString] = """
DELETE FROM job_runs WHERE outcome <> 'running' AND (
    started_at < now() - %s::interval
    OR id IN (
        SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY job ORDER BY id DESC) AS place FROM job_runs) runs
        WHERE place > %s
    )
) RETURNING 1
"""


class PostgresJobRuns:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def announce(self, plans: Sequence[JobPlan], now: datetime) -> dict[str, JobStanding]:
        known: dict[str, JobStanding] = {}
        for plan in plans:
            values = [plan.name, plan.description, plan.every, plan.daily_at, now]
            ((*standing,),) = await self._database.rows(_ANNOUNCE, values)
            known[plan.name] = _standing(standing)
        await self._database.rows("DELETE FROM jobs WHERE name <> ALL (%s)", [texts([*known])])
        return known

    async def begin(
        self, job: str, *, instance: str, due_by: datetime | None, request: int, stale: timedelta
    ) -> int | None:
        await self._database.rows(_BREAK_OFF, [job, instance, stale])
        values = [instance, request, job, due_by, due_by, request, request]
        rows = await self._database.rows(_BEGIN, values)
        return int(rows[0][0]) if rows else None

    async def beat(self, run: int) -> bool:
        return bool(await self._database.rows(_BEAT, [run]))

    async def end(
        self, run: int, outcome: RunOutcome, *, next_at: datetime, done: int | None = None, error: str = ""
    ) -> bool:
        return bool(await self._database.rows(_END, [outcome.value, done, error, run, next_at]))

    async def listed(self) -> list[KnownJob]:
        return [_known(row) for row in await self._database.rows(_KNOWN)]

    async def standing(self, job: str) -> JobStanding:
        rows = await self._database.rows(
            "SELECT next_at, failures, request, last_succeeded_at FROM jobs WHERE name = %s", [job]
        )
        if not rows:
            raise JobNotFoundError(f"There is no job {job}")
        return _standing(rows[0])

    async def runs(self, job: str, *, skip: int, limit: int, before: int | None) -> list[JobRun]:
        rows = await self._database.rows(_RUNS, [job, before, before, skip, limit])
        return [
            JobRun(
                id=number,
                job=name,
                started_at=started_at,
                ended_at=ended_at,
                outcome=RunOutcome(outcome),
                done=done,
                error=error,
                instance=instance,
            )
            for number, name, started_at, ended_at, outcome, done, error, instance in rows
        ]

    async def count_runs(self, job: str) -> int:
        ((count,),) = await self._database.rows("SELECT count(*) FROM job_runs WHERE job = %s", [job])
        return int(count)

    async def sweep(self, kept: timedelta, most: int) -> int:
        return len(await self._database.rows(_SWEEP, [kept, most]))


def _standing(row: Sequence[Any]) -> JobStanding:
    next_at, failures, request, last_succeeded_at = row
    return JobStanding(
        next_at=next_at, failures=failures, request=request, last_succeeded_at=last_succeeded_at
    )


def _known(row: Row) -> KnownJob:
    name, description, every, daily_at, *standing, last_started_at, last_outcome = row
    return KnownJob(
        plan=JobPlan(name=name, description=description, every=every, daily_at=daily_at),
        standing=_standing(standing),
        last_started_at=last_started_at,
        last_outcome=None if last_outcome is None else RunOutcome(last_outcome),
    )
