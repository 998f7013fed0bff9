"""What is due because time has passed: every job of the scheduler, and how each finds out what there is to do.

The lists that they read may be behind: whether something is so is for each account, order, listing or cart to decide.
After an outage there may be much, so that they are read in batches, each from where the last one ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, time, timedelta
from functools import partial
from typing import Final, Protocol
from uuid import UUID

from application.accounts.standing import EraseAccount
from application.adapters.command_results import sweep_command_results
from application.adapters.rate_limits import sweep_rate_limits
from application.bootstrap import WriteSide
from application.carts.abandoning import AbandonCart
from application.listings.noting_low_stock import NoteLowStock
from application.listings.publishing import ExpireListing
from application.media.expiring import ExpireMedia
from application.orders.cancelling import CancelUnpaidOrder
from application.orders.refunding import MOST_TRIES, RetryFailedRefund
from application.ports import Clock, EventStore
from application.reports.generating import GenerateSalesReport, days_without_report
from application.settings import Settings
from domain.kernel import AccountId, ListingId, MediaId, OrderId, PaymentId, SellerId
from domain.money import Money
from domain.reports.sales_report import SalesFigures
from projections.accounts.query import accounts_due
from projections.bootstrap import ReadSide
from projections.carts.due import IdleCart, carts_idle_since
from projections.inventory.query import LowStock, low_stock_untold
from projections.media.query import media_due
from projections.orders.query import Waiting, orders_waiting_since
from projections.ports import Reads
from projections.products.due import Due, listings_due
from projections.refunds.query import FailedRefund, refunds_failed_before
from projections.sales.projector import SALES
from projections.sales.query import DaySales, first_day_of_sales, sales_by_day
from workers.reconciling import reconcile_payments
from workers.rounds import Bus, Round, in_batches
from workers.scheduling import Job

ACTOR: Final = "worker:scheduler"
MOST_AT_ONCE: Final = 500
TOLD_TOGETHER: Final = 100
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


class Log(Protocol):
    async def head(self) -> int: ...


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


async def erase_due(bus: Bus, reads: Reads, clock: Clock) -> int:
    """Erase whose grace is over."""
    round_ = Round(bus, ACTOR, "erase")
    due = await accounts_due(reads, clock.now(), MOST_AT_ONCE)
    await round_.all_of({f"erase-{each}": EraseAccount(account_id=AccountId(each)) for each in due})
    return round_.ended()


async def cancel_unpaid(bus: Bus, reads: Reads, clock: Clock, patience: timedelta) -> int:
    """Cancel the orders that have waited too long for their payment."""
    moment = clock.now() - patience

    def commands_of(due: Sequence[Waiting]) -> dict[str, object]:
        return {f"cancel-{each.order_id}": CancelUnpaidOrder(order_id=OrderId(each.order_id)) for each in due}

    return await in_batches(
        lambda after: orders_waiting_since(reads, moment, after, MOST_AT_ONCE),
        commands_of,
        Round(bus, ACTOR, "cancel"),
    )


async def retry_refunds(bus: Bus, reads: Reads, clock: Clock, patience: timedelta) -> int:
    """Try to send back again what could not be sent a while ago.

    Some can never be, where nothing is left of the payment: they hold up no other.
    """
    moment = clock.now() - patience

    def commands_of(failed: Sequence[FailedRefund]) -> dict[str, object]:
        return {
            f"refund-{each.key}": RetryFailedRefund(
                payment_id=PaymentId(each.payment_id), refund_id=each.refund_id
            )
            for each in failed
        }

    return await in_batches(
        lambda after: refunds_failed_before(reads, moment, MOST_TRIES, after, MOST_AT_ONCE),
        commands_of,
        Round(bus, ACTOR, "refund"),
    )


async def expire_listings_due(bus: Bus, reads: Reads, clock: Clock) -> int:
    """Take out of the catalogue whose time there is over."""
    now = clock.now()

    def commands_of(due: Sequence[Due]) -> dict[str, object]:
        return {f"expire-{each.listing_id}": ExpireListing(listing_id=each.listing_id) for each in due}

    return await in_batches(
        lambda after: listings_due(reads, now, after, MOST_AT_ONCE), commands_of, Round(bus, ACTOR, "expire")
    )


async def tell_low_stock(bus: Bus, reads: Reads, threshold: int) -> int:
    """Note, for their sellers to be told, of which listings there are but few: of up to a hundred together.

    How many times that was.
    """

    def commands_of(low: Sequence[LowStock]) -> dict[str, object]:
        of_sellers: dict[UUID, list[ListingId]] = {}
        for each in low:
            of_sellers.setdefault(each.seller_id, []).append(each.listing_id)
        return {
            f"low-stock-{together[0]}": NoteLowStock(
                seller_id=SellerId(seller_id), listing_ids=tuple(together), threshold=threshold
            )
            for seller_id, listing_ids in of_sellers.items()
            for together in _parts_of(listing_ids, TOLD_TOGETHER)
        }

    return await in_batches(
        lambda after: low_stock_untold(reads, threshold, after, MOST_AT_ONCE),
        commands_of,
        Round(bus, ACTOR, "low-stock"),
    )


async def abandon_idle_carts(bus: Bus, reads: Reads, clock: Clock, patience: timedelta) -> int:
    """Empty the carts that nobody has touched for long."""
    moment = clock.now() - patience

    def commands_of(idle: Sequence[IdleCart]) -> dict[str, object]:
        return {f"abandon-{each.cart_id}": AbandonCart(cart_id=each.cart_id) for each in idle}

    return await in_batches(
        lambda after: carts_idle_since(reads, moment, after, MOST_AT_ONCE),
        commands_of,
        Round(bus, ACTOR, "abandon"),
    )


async def expire_media_due(bus: Bus, reads: Reads, clock: Clock) -> int:
    """Clear away uploads that nothing uses."""
    round_ = Round(bus, ACTOR, "clear")
    due = await media_due(reads, clock.now(), MOST_AT_ONCE)
    await round_.all_of({f"clear-{each}": ExpireMedia(media_id=MediaId(each)) for each in due})
    return round_.ended()


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
    round_ = Round(bus, ACTOR, "report")
    await round_.all_of({f"report-{day}": GenerateSalesReport(day=day, figures=figures[day]) for day in days})
    return round_.ended()


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
        lost_disputes=Money(sales.lost_disputes),
        items=sales.items,
    )


def _parts_of(listing_ids: Sequence[ListingId], most: int) -> Iterator[Sequence[ListingId]]:
    return (listing_ids[start : start + most] for start in range(0, len(listing_ids), most))
