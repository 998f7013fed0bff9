"""Does what is due because time has passed, not because something happened: erasing, cancelling, sweeping."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from secrets import token_hex
from socket import gethostname
from time import monotonic
from typing import Any, Final, NamedTuple, Protocol, TypeVar
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Counter, Gauge

from application.accounts.standing import EraseAccount
from application.adapters.command_results import sweep_command_results
from application.adapters.rate_limits import sweep_rate_limits
from application.bootstrap import WriteSide, write_side
from application.cancelling import obey_cancellation
from application.carts.abandoning import AbandonCart
from application.errors import ConcurrentChangeError, UnavailableError
from application.jobs.ports import JobPlan, JobRuns, JobStanding, RunOutcome
from application.listings.noting_low_stock import NoteLowStock
from application.listings.publishing import ExpireListing
from application.media.expiring import ExpireMedia
from application.orders.cancelling import CancelUnpaidOrder
from application.orders.refunding import MOST_TRIES, RetryFailedRefund
from application.ports import Clock, EventStore, Metadata, StreamRef
from application.reports.generating import GenerateSalesReport, days_without_report
from application.settings import Settings
from domain.jobs.events import job_of
from domain.jobs.job import JOBS
from domain.kernel import AccountId, DomainError, ListingId, MediaId, OrderId, PaymentId, SellerId
from domain.money import Money
from domain.reports.events import sales_report_of
from domain.reports.sales_report import SalesFigures
from projections.accounts.query import accounts_due
from projections.bootstrap import ReadSide, read_side
from projections.carts.due import carts_idle_since
from projections.inventory.query import low_stock_untold
from projections.media.query import media_due
from projections.orders.query import orders_waiting_since
from projections.ports import Reads
from projections.products.due import listings_due
from projections.refunds.query import refunds_failed_before
from projections.sales.projector import SALES
from projections.sales.query import DaySales, first_day_of_sales, sales_by_day
from workers.lease import while_leading
from workers.reconciling import reconcile_payments
from workers.signals import until_signalled
from workers.starting import start

ACTOR: Final = "worker:scheduler"
MOST_AT_ONCE: Final = 500
TOLD_TOGETHER: Final = 100
FIRST_RETRY: Final = 1.0
JITTER: Final = 0.1
LONGEST_WAIT: Final = 4_500.0
MOST_TOLD: Final = 500
RUNS_KEPT: Final = timedelta(days=30)
MOST_RUNS_KEPT: Final = 1_000
"""Of each job: one that fails for a month would fail often."""
MOST_DAYS: Final = 31
"""So many missed days the daily report makes up for."""
REPORTED_AT: Final = time(0, 10)
SETTLING: Final = timedelta(minutes=10)
"""A day is not reported on before it is over for so long: what happened in its last moments is in the log by then."""
SALES_PATIENCE: Final = 20.0
"""Seconds in which the read model of sales must come as far as the log is; else the job is tried again."""

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


class Log(Protocol):
    async def head(self) -> int: ...


class Bus(Protocol):
    async def handle(self, command: object, metadata: Metadata) -> object: ...


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


async def erase_due(bus: Bus, reads: Reads, clock: Clock) -> int:
    """Erase whose grace is over. The list may be behind: whether it is so is for each account to decide."""
    due = await accounts_due(reads, clock.now(), MOST_AT_ONCE)
    return await _all_done(
        bus, "erase", {account_id: EraseAccount(account_id=AccountId(account_id)) for account_id in due}
    )


async def cancel_unpaid(bus: Bus, reads: Reads, clock: Clock, patience: timedelta) -> int:
    """Cancel the orders that have waited too long for their payment: whether one has is for the order to decide.

    All of them, in batches, each from where the last one ended, because the list hears of it only later.
    """
    cancelled = 0
    failures: list[Exception] = []
    moment = clock.now() - patience
    due = await orders_waiting_since(reads, moment, None, MOST_AT_ONCE)
    while due:
        commands: dict[UUID, object] = {
            each.order_id: CancelUnpaidOrder(order_id=OrderId(each.order_id)) for each in due
        }
        try:
            cancelled += await _all_done(bus, "cancel", commands)
        except ExceptionGroup as failed:
            failures += failed.exceptions
        due = await orders_waiting_since(reads, moment, due[-1], MOST_AT_ONCE)
    if failures:
        raise ExceptionGroup("some orders could not be cancelled", failures)
    return cancelled


async def retry_refunds(bus: Bus, reads: Reads, clock: Clock, patience: timedelta) -> int:
    """Try to send back again what could not be sent a while ago: whether that is so is for each payment to decide."""
    failed = await refunds_failed_before(reads, clock.now() - patience, MOST_TRIES, MOST_AT_ONCE)
    return await _all_done(
        bus,
        "refund",
        {
            each.key: RetryFailedRefund(payment_id=PaymentId(each.payment_id), refund_id=each.refund_id)
            for each in failed
        },
    )


async def _all_done(bus: Bus, what: str, commands: Mapping[UUID, object]) -> int:
    """How many were carried out. One that cannot be is told of, and holds up no other."""
    done = 0
    failures: list[Exception] = []
    for subject, command in commands.items():
        try:
            await bus.handle(command, Metadata(actor=ACTOR, request_id=f"{what}-{subject}"))
        except UnavailableError:
            raise
        except ConcurrentChangeError as busy:
            failures.append(busy)
        except DomainError as refusal:
            log.info("refused", job=what, subject=str(subject), reason=refusal.message)
        except Exception as bug:  # noqa: BLE001 - with this one alone; it is raised below
            failures.append(bug)
        else:
            done += 1
    if failures:
        raise ExceptionGroup(f"some could not be done: {what}", failures)
    return done


async def expire_listings_due(bus: Bus, reads: Reads, clock: Clock) -> int:
    """Take out of the catalogue whose time there is over. Whether it is so is for each listing to decide.

    After an outage there may be many: they are read in batches, each from where the last one ended, because the list
    hears of it only later.
    """
    expired = 0
    failures: list[Exception] = []
    now = clock.now()
    due = await listings_due(reads, now, None, MOST_AT_ONCE)
    while due:
        commands: dict[UUID, object] = {
            each.listing_id: ExpireListing(listing_id=each.listing_id) for each in due
        }
        try:
            expired += await _all_done(bus, "expire", commands)
        except ExceptionGroup as failed:
            failures += failed.exceptions
        due = await listings_due(reads, now, due[-1], MOST_AT_ONCE)
    if failures:
        raise ExceptionGroup("some listings could not be expired", failures)
    return expired


async def tell_low_stock(bus: Bus, reads: Reads, threshold: int) -> int:
    """Note, for their sellers to be told, of which listings there are but few. Whether it is so is theirs to say.

    Sellers are told of up to a hundred together; how many times that was. Batches as above, because the list hears of
    it only later.
    """
    told = 0
    failures: list[Exception] = []
    low = await low_stock_untold(reads, threshold, None, MOST_AT_ONCE)
    while low:
        of_sellers: dict[UUID, list[ListingId]] = {}
        for each in low:
            of_sellers.setdefault(each.seller_id, []).append(each.listing_id)
        commands: dict[UUID, object] = {
            together[0]: NoteLowStock(
                seller_id=SellerId(seller_id), listing_ids=tuple(together), threshold=threshold
            )
            for seller_id, listing_ids in of_sellers.items()
            for together in batches_of(listing_ids, TOLD_TOGETHER)
        }
        try:
            told += await _all_done(bus, "low-stock", commands)
        except ExceptionGroup as failed:
            failures += failed.exceptions
        low = await low_stock_untold(reads, threshold, low[-1], MOST_AT_ONCE)
    if failures:
        raise ExceptionGroup("some sellers could not be told", failures)
    return told


def batches_of(listing_ids: Sequence[ListingId], most: int) -> Iterator[Sequence[ListingId]]:
    return (listing_ids[start : start + most] for start in range(0, len(listing_ids), most))


async def abandon_idle_carts(bus: Bus, reads: Reads, clock: Clock, patience: timedelta) -> int:
    """Empty the carts that nobody has touched for long, in batches as above. Whether it is so is for each to decide."""
    emptied = 0
    failures: list[Exception] = []
    moment = clock.now() - patience
    idle = await carts_idle_since(reads, moment, None, MOST_AT_ONCE)
    while idle:
        commands: dict[UUID, object] = {each.cart_id: AbandonCart(cart_id=each.cart_id) for each in idle}
        try:
            emptied += await _all_done(bus, "abandon", commands)
        except ExceptionGroup as failed:
            failures += failed.exceptions
        idle = await carts_idle_since(reads, moment, idle[-1], MOST_AT_ONCE)
    if failures:
        raise ExceptionGroup("some carts could not be emptied", failures)
    return emptied


async def expire_media_due(bus: Bus, reads: Reads, clock: Clock) -> int:
    """Clear away uploads that nothing uses, as above."""
    due = await media_due(reads, clock.now(), MOST_AT_ONCE)
    return await _all_done(
        bus, "clear", {media_id: ExpireMedia(media_id=MediaId(media_id)) for media_id in due}
    )


async def report_sales(bus: Bus, store: EventStore, sales: Sales, clock: Clock) -> int:
    """Report on each day that is over and was not reported on, back to the first on which anything was sold.

    Of a shop that has sold nothing yet, that is yesterday.
    """
    last = (clock.now() - SETTLING).date() - timedelta(days=1)
    missing = await days_without_report(store, last, MOST_DAYS)
    if not missing:
        return 0
    first = min(await sales.first_day() or last, last)
    days = [day for day in missing if day >= first]
    figures = await sales.of_days(days)
    commands: dict[UUID, object] = {
        sales_report_of(day): GenerateSalesReport(day=day, figures=figures[day]) for day in days
    }
    return await _all_done(bus, "report", commands)


class Sales(Protocol):
    """What was sold, as the read model has it once it holds all that the log held when it was asked."""

    async def first_day(self) -> date | None: ...

    async def of_days(self, days: Sequence[date]) -> Mapping[date, SalesFigures]: ...


class SalesRead:
    def __init__(self, log: Log, read: ReadSide) -> None:
        self._log = log
        self._read = read

    async def first_day(self) -> date | None:
        await self._read.positions.wait(SALES.name, await self._log.head(), SALES_PATIENCE)
        return await first_day_of_sales(self._read.reads)

    async def of_days(self, days: Sequence[date]) -> Mapping[date, SalesFigures]:
        if not days:
            return {}
        found = {sales.day: sales for sales in await sales_by_day(self._read.reads, min(days), max(days))}
        return {day: _figures(found.get(day, DaySales(day=day))) for day in days}


def _figures(sales: DaySales) -> SalesFigures:
    return SalesFigures(
        orders=sales.orders,
        revenue=Money(sales.revenue),
        refunds=Money(sales.refunds),
        items=sales.items,
    )


def jobs_of(write: WriteSide, read: ReadSide, settings: Settings) -> tuple[Job, ...]:
    reads = read.reads
    kept = timedelta(days=settings.command_results_days)
    return (
        Job(
            name="erase-accounts",
            description="Erases the accounts whose grace is over",
            every=timedelta(minutes=1),
            work=partial(erase_due, write.bus, reads, write.clock),
        ),
        Job(
            name="cancel-unpaid-orders",
            description="Cancels orders that nobody paid in time, and gives their stock back",
            every=timedelta(minutes=1),
            work=partial(cancel_unpaid, write.bus, reads, write.clock, settings.unpaid_after),
        ),
        *_at_the_provider(write, reads, settings),
        Job(
            name="expire-listings",
            description="Takes listings out of the catalogue whose time there is over",
            every=timedelta(minutes=1),
            work=partial(expire_listings_due, write.bus, reads, write.clock),
        ),
        Job(
            name="low-stock-alerts",
            description="Tells sellers of listings that are nearly sold out",
            every=timedelta(minutes=10),
            work=partial(tell_low_stock, write.bus, reads, settings.low_stock_threshold),
        ),
        Job(
            name="abandon-carts",
            description="Empties carts that nobody has come back to",
            every=timedelta(hours=1),
            work=partial(abandon_idle_carts, write.bus, reads, write.clock, settings.cart_patience),
        ),
        Job(
            name="expire-media",
            description="Clears away uploads that nothing uses",
            every=timedelta(minutes=10),
            work=partial(expire_media_due, write.bus, reads, write.clock),
        ),
        Job(
            name="sweep-command-results",
            description="Forgets answers that are kept for repeated requests",
            every=timedelta(hours=1),
            work=partial(sweep_command_results, write.database, kept),
        ),
        Job(
            name="sweep-rate-limits",
            description="Forgets counters of requests that have ended",
            every=timedelta(minutes=5),
            work=partial(sweep_rate_limits, write.database),
        ),
        Job(
            name="sweep-job-runs",
            description="Forgets what became of jobs a month ago",
            every=timedelta(hours=1),
            work=partial(write.job_runs.sweep, RUNS_KEPT, MOST_RUNS_KEPT),
        ),
        Job(
            name="daily-sales-report",
            description="Reports to all admins by mail what was sold on each day that is over",
            every=timedelta(days=1),
            daily_at=REPORTED_AT,
            work=partial(report_sales, write.bus, write.store, SalesRead(write.log, read), write.clock),
        ),
    )


def _at_the_provider(write: WriteSide, reads: Reads, settings: Settings) -> tuple[Job, ...]:
    """What takes a payment provider: nothing, where none is configured."""
    if not settings.stripe_secret_key:
        return ()
    return (
        Job(
            name="retry-refunds",
            description="Tries refunds again that the payment provider refused",
            every=timedelta(minutes=10),
            work=partial(retry_refunds, write.bus, reads, write.clock, settings.refund_patience),
        ),
        Job(
            name="reconcile-payments",
            description="Compares payments with the provider, and repairs what a lost message left",
            every=timedelta(minutes=5),
            work=partial(reconcile_payments, write.bus, reads, write.clock, actor=ACTOR),
        ),
    )


class Gauges(Measures):
    def __init__(self) -> None:
        self._done = Counter("tradelog_job_done", "Things that were done", ["job"])
        self._failures = Counter("tradelog_job_failures", "Runs that failed", ["job"])
        self._seconds = Gauge("tradelog_job_seconds", "How long the last run took", ["job"])
        self._succeeded = Gauge(
            "tradelog_job_last_success", "When it last came to its end, as Unix time", ["job"]
        )
        self._every = Gauge("tradelog_job_interval_seconds", "How often it is due", ["job"])

    def leads(self, job: Job, last_success: datetime | None) -> None:
        """A job that never succeeded is new as far as we know, and has its time too."""
        self._every.labels(job.name).set(job.every.total_seconds())
        succeeded = self._succeeded.labels(job.name)
        if last_success is None:
            succeeded.set_to_current_time()
        else:
            succeeded.set(last_success.timestamp())

    def ended(self, job: str, done: int | None, seconds: float) -> None:
        self._seconds.labels(job).set(seconds)
        if done is None:
            self._failures.labels(job).inc()
            return
        self._done.labels(job).inc(done)
        self._succeeded.labels(job).set_to_current_time()

    def leads_no_more(self) -> None:
        for gauge in (self._seconds, self._succeeded, self._every):
            gauge.clear()


async def requests_in(store: EventStore, jobs: Sequence[str]) -> Mapping[str, int]:
    loaded = await store.load_many([StreamRef(JOBS, job_of(name)) for name in jobs])
    return {
        name: known.state.requests if known.state else 0 for name, known in zip(jobs, loaded, strict=True)
    }


async def main(settings: Settings, *, once: bool = False) -> None:
    """``once`` does everything one time and ends, for who has a scheduler of their own."""
    async with (
        write_side(settings) as write,
        read_side(settings.database_url, connections=2) as read,
    ):
        scheduler = Scheduler(
            jobs_of(write, read, settings),
            runs=write.job_runs,
            clock=write.clock,
            requests=partial(requests_in, write.store),
            measures=Gauges(),
        )
        if once:
            if None in (await scheduler.run_once()).values():
                sys.exit(1)
            return
        await until_signalled(while_leading(settings.database_url, "tradelog.scheduler", scheduler.run))


if __name__ == "__main__":
    start("scheduler", partial(main, once="--once" in sys.argv[1:]))
