"""The book of jobs, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from application.jobs.ports import JobNotFoundError, JobPlan, JobRun, JobStanding, KnownJob, RunOutcome


class MemoryJobRuns:
    """Nobody is ever taken for dead; tell it otherwise with ``taken_over``."""

    def __init__(self) -> None:
        self.plans: dict[str, JobPlan] = {}
        self.standings: dict[str, JobStanding] = {}
        self.all: list[JobRun] = []
        self.taken_over = False

    async def announce(self, plans: Sequence[JobPlan], now: datetime) -> dict[str, JobStanding]:
        self.plans = {plan.name: plan for plan in plans}
        self.standings = {name: self.standings.get(name, JobStanding(next_at=now)) for name in self.plans}
        return dict(self.standings)

    async def begin(
        self, job: str, *, instance: str, due_by: datetime | None, request: int, stale: timedelta
    ) -> int | None:
        standing = self.standings[job]
        going_on = any(run.job == job and run.outcome is RunOutcome.RUNNING for run in self.all)
        due = due_by is None or standing.next_at <= due_by or standing.request < request
        if going_on or not due:
            return None
        self.standings[job] = replace(standing, request=max(standing.request, request))
        run = JobRun(
            id=len(self.all) + 1,
            job=job,
            started_at=datetime.now(UTC),
            ended_at=None,
            outcome=RunOutcome.RUNNING,
            done=None,
            error="",
            instance=instance,
        )
        self.all.append(run)
        return run.id

    async def beat(self, run: int) -> bool:
        return not self.taken_over

    async def end(
        self, run: int, outcome: RunOutcome, *, next_at: datetime, done: int | None = None, error: str = ""
    ) -> bool:
        ended = replace(self.all[run - 1], outcome=outcome, done=done, error=error)
        self.all[run - 1] = ended
        standing = self.standings[ended.job]
        failures = {RunOutcome.SUCCEEDED: 0, RunOutcome.FAILED: standing.failures + 1}
        self.standings[ended.job] = replace(
            standing, next_at=next_at, failures=failures.get(outcome, standing.failures)
        )
        return True

    async def listed(self) -> list[KnownJob]:
        return [KnownJob(plan=self.plans[name], standing=self.standings[name]) for name in sorted(self.plans)]

    async def standing(self, job: str) -> JobStanding:
        if job not in self.standings:
            raise JobNotFoundError(f"There is no job {job}")
        return self.standings[job]

    async def runs(self, job: str, *, skip: int, limit: int, before: int | None) -> list[JobRun]:
        of_job = [run for run in reversed(self.all) if run.job == job and (before is None or run.id < before)]
        return of_job[skip : skip + limit]

    async def count_runs(self, job: str) -> int:
        return sum(run.job == job for run in self.all)

    async def sweep(self, kept: timedelta, most: int) -> int:
        return 0
