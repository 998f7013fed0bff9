"""Runs jobs when they are due, each on its own, keeps a book of it, and never runs one twice at a time."""

from __future__ import annotations

import asyncio
import os
import random
import re
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex
from socket import gethostname
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import psycopg
import structlog

from application.cancelling import obey_cancellation
from application.errors import UnavailableError
from application.jobs.ports import JobPlan, JobRuns, JobStanding, RunOutcome
from application.ports import Clock
from domain.kernel import DomainError

FIRST_RETRY: Final = 1.0
JITTER: Final = 0.1
LONGEST_WAIT: Final = 4_500.0
MOST_TOLD: Final = 500
# A missing table is one that nobody has made yet: the scheduler may be the first to start.
OUTAGES: Final = (UnavailableError, psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Seconds. Whoever runs a job says so all the time, and stops before anybody else may take it for dead."""

    look_every: float = 2.0
    beat_every: float = 5.0
    give_up: float = 15.0
    stale: timedelta = timedelta(seconds=30)
    last_word: float = 3.0


PATIENCE: Final = Patience()


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Job:
    """``work`` says how much there was to do. It bears being done twice, and being broken off anywhere.

    ``daily_at`` is a time of UTC: such a job is due then and not whenever ``every`` is over. What it missed while no
    scheduler ran is for its work to know.
    """

    name: str
    every: timedelta
    work: Callable[[], Awaitable[int]]
    description: str = ""
    daily_at: time | None = None

    @property
    def plan(self) -> JobPlan:
        return JobPlan(name=self.name, description=self.description, every=self.every, daily_at=self.daily_at)

    def due_after(self, now: datetime) -> datetime:
        if self.daily_at is None:
            return now + _more_or_less(self.every)
        today = datetime.combine(now.date(), self.daily_at, now.tzinfo)
        return today if today > now else today + timedelta(days=1)

    def tried_again(self, now: datetime, failures: int) -> datetime:
        """Ever later, and never later than it would be due."""
        retry = min(FIRST_RETRY * 2.0 ** min(failures - 1, 30), self.every.total_seconds())
        return min(now + _more_or_less(timedelta(seconds=retry)), self.due_after(now))


def _more_or_less(wait: timedelta) -> timedelta:
    """A little by chance: what starts together need not go on together."""
    return wait * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


class Requests(Protocol):
    async def __call__(self, jobs: Sequence[str], /) -> Mapping[str, int]:
        """How often a run of each job was asked for so far."""
        ...


class Measures:
    """What an operator watches: work that is done, and when each job last came to its end."""

    def leads(self, job: Job, last_success: datetime | None) -> None:
        """This process sees to the job from now on; others have until now."""

    def ended(self, job: str, done: int | None, seconds: float) -> None:
        """``done`` is nothing for a failure."""

    def leads_no_more(self) -> None:
        """Somebody else knows better from now on."""


class TakenOverError(Exception):
    """Somebody has taken this run for dead, or could have: it must not go on."""


class Scheduler:
    """Each job on its own: one that fails is tried again, ever later, and holds up no other.

    When a job is due is kept in ``runs``, so that it is not done early because we were started again, and at once if
    nobody was there when it was due. There also stands who runs it: two schedulers do not run one job at once, not
    even while one of them has yet to notice that it has lost its lease.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        runs: JobRuns,
        clock: Clock,
        requests: Requests | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        measures: Measures | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self._jobs = jobs
        self._runs = runs
        self._clock = clock
        self._requests = requests
        self._sleep = sleep
        self._measures = measures or Measures()
        self._patience = patience
        self._instance = f"{gethostname()}:{os.getpid()}:{token_hex(4)}"
        self._failures: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._bells = {job.name: asyncio.Event() for job in jobs}

    async def run(self) -> None:
        """Until cancelled."""
        standings = await self._patiently(self._announce)
        try:
            async with asyncio.TaskGroup() as group:
                for job in self._jobs:
                    standing = standings[job.name]
                    self._measures.leads(job, standing.last_succeeded_at)
                    group.create_task(self._repeat(job, standing.next_at), name=job.name)
                if self._requests is not None:
                    group.create_task(self._listen(self._requests), name="requests")
        finally:
            self._measures.leads_no_more()

    async def run_once(self) -> dict[str, int | None]:
        """What each job found to do, be it due or not; nothing where it failed."""
        await self._announce()
        return {job.name: (await self._do(job, at_any_time=True)).done for job in self._jobs}

    async def _announce(self) -> dict[str, JobStanding]:
        standings = await self._runs.announce([job.plan for job in self._jobs], self._clock.now())
        for name, standing in standings.items():
            self._failures[name] = standing.failures
            self._asked[name] = self._answered[name] = standing.request
        return standings

    async def _repeat(self, job: Job, due: datetime) -> None:
        while True:
            obey_cancellation()
            if await self._is_time(job, due):
                due = (await self._do(job)).due

    async def _is_time(self, job: Job, due: datetime) -> bool:
        """Wait, though not for so long that a clock which was set, or stood still, would be noticed too late."""
        wait = (due - self._clock.now()).total_seconds()
        if wait <= 0 or self._asked[job.name] > self._answered[job.name]:
            return True
        bell = self._bells[job.name]
        waiting = [
            asyncio.ensure_future(self._sleep(min(wait, LONGEST_WAIT))),
            asyncio.ensure_future(bell.wait()),
        ]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _stopped(waiting)
            bell.clear()
        return False

    async def _listen(self, requests: Requests) -> None:
        """Hear of runs that are asked for."""
        names = [job.name for job in self._jobs]
        while True:
            obey_cancellation()
            for name, request in (await self._patiently(partial(requests, names))).items():
                self._asked[name] = request
                if request > self._answered[name]:
                    self._bells[name].set()
            await asyncio.sleep(self._patience.look_every)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Tried again for as long as the database is away."""
        while True:
            obey_cancellation()
            try:
                return await ask()
            except OUTAGES as outage:
                log.warning("scheduler waits", reason=_first_line(outage))
            await self._sleep(self._patience.look_every)

    async def _do(self, job: Job, *, at_any_time: bool = False) -> _Done:
        began = monotonic()
        done: int | None = None
        run: int | None = None
        error = ""
        try:
            run = await self._begin(job, at_any_time=at_any_time)
            if run is None:
                return _Done(0, await self._when_others_have_done(job))
            done = await self._watched_over(job, run)
        except asyncio.CancelledError:
            await self._break_off(job, run)
            raise
        except TakenOverError:
            log.warning("job is taken over", job=job.name)
            await self._break_off(job, run)
            return _Done(None, self._clock.now() + timedelta(seconds=self._patience.look_every))
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as missing:
            # The very first start is still going on, or the first one of this version: somebody else makes it now.
            error = told(missing)
            log.warning("job waits", job=job.name, reason=_first_line(missing))
        # An outage, or a bug in this one job: the others go on, and it is tried again, which is all we can do here.
        except Exception as failure:
            error = told(failure)
            log.exception("job failed", job=job.name)
        else:
            if done:
                log.info("job done", job=job.name, count=done)
        due = self._due_after(job, failed=done is None)
        if run is not None:
            outcome = RunOutcome.FAILED if done is None else RunOutcome.SUCCEEDED
            await self._write_down(job, run, outcome, next_at=due, done=done, error=error)
        self._measures.ended(job.name, done, monotonic() - began)
        return _Done(done, due)

    async def _begin(self, job: Job, *, at_any_time: bool) -> int | None:
        request = self._asked[job.name]
        run = await self._runs.begin(
            job.name,
            instance=self._instance,
            due_by=None if at_any_time else self._clock.now(),
            request=request,
            stale=self._patience.stale,
        )
        if run is not None:
            self._answered[job.name] = request
        return run

    async def _when_others_have_done(self, job: Job) -> datetime:
        """Somebody else does it, or has done it a moment ago."""
        soon = self._clock.now() + timedelta(seconds=self._patience.look_every)
        standing = await self._runs.standing(job.name)
        self._answered[job.name] = standing.request
        await self._sleep(self._patience.look_every)
        return max(soon, standing.next_at)

    def _due_after(self, job: Job, *, failed: bool) -> datetime:
        now = self._clock.now()
        self._failures[job.name] = self._failures[job.name] + 1 if failed else 0
        return job.tried_again(now, self._failures[job.name]) if failed else job.due_after(now)

    async def _watched_over(self, job: Job, run: int) -> int:
        """Its work, for as long as nobody can have taken it for dead."""
        work = asyncio.ensure_future(job.work())
        alive = asyncio.ensure_future(self._keep_alive(run))
        try:
            await asyncio.wait([work, alive], return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise TakenOverError
            return work.result()
        finally:
            # Whoever is told that this run has ended begins the next one: nothing of it may go on by then.
            await _stopped([work, alive])

    async def _keep_alive(self, run: int) -> None:
        """Ends when the run has to."""
        give_up = self._patience.give_up
        said = monotonic()
        while True:
            obey_cancellation()
            await asyncio.sleep(self._patience.beat_every)
            asked = monotonic()
            try:
                async with asyncio.timeout(said + give_up - asked):
                    if not await self._runs.beat(run):
                        return
                said = asked
            except (*OUTAGES, TimeoutError) as outage:
                log.warning("job goes on alone", reason=_first_line(outage))
                if monotonic() - said >= give_up:
                    return

    async def _break_off(self, job: Job, run: int | None) -> None:
        """It is due at once: for whoever leads next, or for ourselves."""
        if run is not None:
            await self._write_down(job, run, RunOutcome.BROKEN_OFF, next_at=self._clock.now())

    async def _write_down(
        self,
        job: Job,
        run: int,
        outcome: RunOutcome,
        *,
        next_at: datetime,
        done: int | None = None,
        error: str = "",
    ) -> None:
        """What became of a run. Where that cannot be said, whoever wants to run it next breaks it off."""
        try:
            async with asyncio.timeout(self._patience.last_word):
                await self._runs.end(run, outcome, next_at=next_at, done=done, error=error)
        except (*OUTAGES, TimeoutError) as outage:
            log.warning("run is not written down", job=job.name, reason=_first_line(outage))


async def _stopped(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Done(NamedTuple):
    done: int | None
    due: datetime


_EMAIL: Final = re.compile(r"[^\s<>@]+@[^\s<>@]+")


def told(error: BaseException) -> str:
    """A failure in words that name nobody: what any other exception says may quote a person."""
    if isinstance(error, BaseExceptionGroup):
        kinds = list(dict.fromkeys(told(each) for each in error.exceptions))
        return f"{len(error.exceptions)} of them: {'; '.join(kinds)}"[:MOST_TOLD]
    places = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    said = f": {_EMAIL.sub('***', error.message)}" if isinstance(error, DomainError) else ""
    return f"{type(error).__name__}{where}{said}"[:MOST_TOLD]


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
