"""Where it is kept which jobs there are, when each is due, and what became of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from enum import StrEnum
from typing import Protocol

import msgspec

from domain.kernel import NotFoundError


class JobNotFoundError(NotFoundError):
    code = "JOB_NOT_FOUND"


class RunOutcome(StrEnum):
    """``broken_off``: the scheduler went away, or had to, before the run came to its end."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BROKEN_OFF = "broken_off"


class JobPlan(msgspec.Struct, frozen=True, kw_only=True):
    """``daily_at`` is a time of UTC: such a job is due then each day, others ``every`` so often."""

    name: str
    description: str
    every: timedelta
    daily_at: time | None = None


class JobStanding(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stands, whichever scheduler was at it last. ``request`` is up to which one it was run on request."""

    next_at: datetime
    failures: int = 0
    request: int = 0
    last_succeeded_at: datetime | None = None


class KnownJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as admins see it; ``last_outcome`` is that of the run that began last."""

    plan: JobPlan
    standing: JobStanding
    last_started_at: datetime | None = None
    last_outcome: RunOutcome | None = None


class JobRun(msgspec.Struct, frozen=True, kw_only=True):
    """``done`` counts what there was to do. ``error`` tells of nobody: what an exception says may quote a person."""

    id: int
    job: str
    started_at: datetime
    ended_at: datetime | None
    outcome: RunOutcome
    done: int | None
    error: str
    instance: str


class JobRuns(Protocol):
    """All times are UTC. A job has one run at a time, whoever begins it."""

    async def announce(self, plans: Sequence[JobPlan], now: datetime) -> dict[str, JobStanding]:
        """These jobs there are from now on, and no others; where each of them stands. New ones are due ``now``."""
        ...

    async def begin(
        self, job: str, *, instance: str, due_by: datetime | None, request: int, stale: timedelta
    ) -> int | None:
        """The number of a run of ``instance``; nothing while somebody else's goes on, which means: is said to be alive.

        Nor where it is not due ``due_by`` then, as the book has it, unless it was not yet run on ``request``.
        """
        ...

    async def beat(self, run: int) -> bool:
        """Say that the run is alive; whether it may go on, for somebody may have taken it for dead."""
        ...

    async def end(
        self, run: int, outcome: RunOutcome, *, next_at: datetime, done: int | None = None, error: str = ""
    ) -> bool:
        """What became of it, and when the job is due next; whether that was still this run's to say."""
        ...

    async def listed(self) -> list[KnownJob]:
        """By their names."""
        ...

    async def standing(self, job: str) -> JobStanding:
        """``JobNotFoundError`` if no scheduler has ever told of it."""
        ...

    async def runs(self, job: str, *, skip: int, limit: int, before: int | None) -> list[JobRun]:
        """Those that began last, first; ``before`` is the number of the run that was shown last."""
        ...

    async def count_runs(self, job: str) -> int: ...

    async def sweep(self, kept: timedelta, most: int) -> int:
        """Forget runs that are older, and of each job more than ``most``; how many there were."""
        ...
