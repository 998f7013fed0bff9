"""Does what is due because time has passed, not because something happened: erasing, cancelling, sweeping."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Final, Protocol
from uuid import UUID

import psycopg
import structlog
from prometheus_client import Counter, Gauge

from application.accounts.standing import EraseAccount
from application.adapters.command_results import sweep_command_results
from application.adapters.rate_limits import sweep_rate_limits
from application.bootstrap import WriteSide, write_side
from application.cancelling import obey_cancellation
from application.errors import ConcurrentChangeError, UnavailableError
from application.listings.publishing import ExpireListing
from application.media.expiring import ExpireMedia
from application.orders.cancelling import CancelUnpaidOrder
from application.ports import Clock, Metadata
from application.settings import Settings
from domain.kernel import AccountId, DomainError, MediaId, OrderId
from projections.accounts.query import accounts_due
from projections.bootstrap import read_side
from projections.media.query import media_due
from projections.orders.query import orders_waiting_since
from projections.ports import Reads
from projections.products.due import listings_due
from workers.lease import while_leading
from workers.reconciling import reconcile_payments
from workers.signals import until_signalled
from workers.starting import start

ACTOR: Final = "worker:scheduler"
MOST_AT_ONCE: Final = 500
FIRST_RETRY: Final = 1.0
JITTER: Final = 0.1

log = structlog.get_logger()


class Bus(Protocol):
    async def handle(self, command: object, metadata: Metadata) -> object: ...


@dataclass(frozen=True, kw_only=True)
class Job:
    """``work`` says how much there was to do. It bears being done twice, and being broken off anywhere."""

    name: str
    every: timedelta
    work: Callable[[], Awaitable[int]]


class Scheduler:
    """Each job on its own: one that fails is tried again, ever later, and holds up no other."""

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        ended: Callable[[str, int | None, float], None] = lambda job, done, seconds: None,
    ) -> None:
        """``ended`` is told how much was done, or nothing for a failure, and how long it took."""
        self._jobs = jobs
        self._sleep = sleep
        self._ended = ended

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for job in self._jobs:
                group.create_task(self._repeat(job), name=job.name)

    async def run_once(self) -> dict[str, int | None]:
        """What each job found to do; nothing where it failed."""
        return {job.name: await self._do(job) for job in self._jobs}

    async def _repeat(self, job: Job) -> None:
        every = job.every.total_seconds()
        retry = min(FIRST_RETRY, every)
        while True:
            obey_cancellation()
            if await self._do(job) is None:
                wait, retry = retry, min(2 * retry, every)
            else:
                wait, retry = every, min(FIRST_RETRY, every)
            # A little by chance: what starts together need not go on together.
            await self._sleep(wait * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret

    async def _do(self, job: Job) -> int | None:
        began = monotonic()
        done: int | None = None
        try:
            done = await job.work()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as missing:
            # The very first start is still going on, or the first one of this version: somebody else makes it now.
            log.warning("job waits", job=job.name, reason=str(missing).splitlines()[0])
        # An outage, or a bug in this one job: the others go on, and it is tried again, which is all we can do here.
        except Exception:
            log.exception("job failed", job=job.name)
        else:
            if done:
                log.info("job done", job=job.name, count=done)
        self._ended(job.name, done, monotonic() - began)
        return done


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


async def expire_media_due(bus: Bus, reads: Reads, clock: Clock) -> int:
    """Clear away uploads that nothing uses, as above."""
    due = await media_due(reads, clock.now(), MOST_AT_ONCE)
    return await _all_done(
        bus, "clear", {media_id: ExpireMedia(media_id=MediaId(media_id)) for media_id in due}
    )


def jobs_of(write: WriteSide, reads: Reads, settings: Settings) -> tuple[Job, ...]:
    kept = timedelta(days=settings.command_results_days)
    return (
        Job(
            name="erase-accounts",
            every=timedelta(minutes=1),
            work=partial(erase_due, write.bus, reads, write.clock),
        ),
        Job(
            name="cancel-unpaid-orders",
            every=timedelta(minutes=1),
            work=partial(cancel_unpaid, write.bus, reads, write.clock, settings.unpaid_after),
        ),
        *_at_the_provider(write, reads, settings),
        Job(
            name="expire-listings",
            every=timedelta(minutes=1),
            work=partial(expire_listings_due, write.bus, reads, write.clock),
        ),
        Job(
            name="expire-media",
            every=timedelta(minutes=10),
            work=partial(expire_media_due, write.bus, reads, write.clock),
        ),
        Job(
            name="sweep-command-results",
            every=timedelta(hours=1),
            work=partial(sweep_command_results, write.database, kept),
        ),
        Job(
            name="sweep-rate-limits",
            every=timedelta(minutes=5),
            work=partial(sweep_rate_limits, write.database),
        ),
    )


def _at_the_provider(write: WriteSide, reads: Reads, settings: Settings) -> tuple[Job, ...]:
    """What takes a payment provider: nothing, where none is configured."""
    if not settings.stripe_secret_key:
        return ()
    work = partial(reconcile_payments, write.bus, reads, write.clock, actor=ACTOR)
    return (Job(name="reconcile-payments", every=timedelta(minutes=5), work=work),)


def measured() -> Callable[[str, int | None, float], None]:
    """What an operator watches: work that is done, and when each job last came to its end."""
    done = Counter("tradelog_job_done", "Things that were done", ["job"])
    failures = Counter("tradelog_job_failures", "Runs that failed", ["job"])
    seconds = Gauge("tradelog_job_seconds", "How long the last run took", ["job"])
    succeeded = Gauge("tradelog_job_last_success", "When it last came to its end, as Unix time", ["job"])

    def ended(job: str, count: int | None, took: float) -> None:
        seconds.labels(job).set(took)
        if count is None:
            failures.labels(job).inc()
            return
        done.labels(job).inc(count)
        succeeded.labels(job).set_to_current_time()

    return ended


async def main(settings: Settings, *, once: bool = False) -> None:
    """``once`` does everything one time and ends, for who has a scheduler of their own."""
    async with (
        write_side(settings) as write,
        read_side(settings.database_url, connections=2) as read,
    ):
        scheduler = Scheduler(jobs_of(write, read.reads, settings), ended=measured())
        if once:
            if None in (await scheduler.run_once()).values():
                sys.exit(1)
            return
        await until_signalled(while_leading(settings.database_url, "tradelog.scheduler", scheduler.run))


if __name__ == "__main__":
    start("scheduler", partial(main, once="--once" in sys.argv[1:]))
