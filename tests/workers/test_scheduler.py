"""What is due because time has passed."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application.accounts.registering import NewPerson, RegisterAccount
from application.accounts.standing import EraseAccount, RequestDeletion
from application.adapters.command_results import sweep_command_results
from application.adapters.database import Database
from application.categories.creating import CreateCategory
from application.errors import ConcurrentChangeError, LogUnavailableError
from application.jobs.ports import JobRuns, JobStanding
from application.listings.creating import CreateListing
from application.listings.publishing import ExpireListing
from application.media.expiring import ExpireMedia
from application.orders.refunding import MOST_TRIES, RefundOrder
from application.payments.paying import RequestPayment
from application.ports import Metadata
from domain.accounts.account import ACCOUNTS, GRACE, UserNotFoundError
from domain.accounts.events import Role
from domain.kernel import AccountId, ListingId, RuleViolatedError, stream_id
from domain.listings.events import ListingExpired
from domain.listings.listing import LIFETIME
from domain.money import Money
from domain.orders.order import UNPAID_AFTER, Order
from domain.payments.events import PaymentEvent, RefundRetried
from domain.payments.payment import PAYMENTS, Payment
from domain.sellers.events import seller_of
from projections.adapters.read_pool import ReadPool
from projections.bootstrap import IN_POSTGRES, read_side
from projections.engine import prepare
from projections.products.due import listings_due
from tests.application.job_runs import MemoryJobRuns
from tests.application.shop import Shop
from workers.jobs import (
    cancel_unpaid,
    erase_due,
    expire_listings_due,
    expire_media_due,
    retry_refunds,
)
from workers.migrating import migrate
from workers.projector import sinks
from workers.scheduling import Job, Measures, Patience, Scheduler, told

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class StoppedClock:
    def now(self) -> datetime:
        return NOW


class GraceTooLongError(RuleViolatedError):
    code = "NOT_DUE"


class AccountList:
    """The read model, as far as the scheduler asks it."""

    def __init__(self, *due: uuid.UUID) -> None:
        self.due = due
        self.asked: list[Any] = []

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        raise NotImplementedError

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        self.asked.append(parameters)
        return [(account_id,) for account_id in self.due]


class Erasing:
    """Remembers who was erased; ``refusals`` are what it says to some."""

    def __init__(self, refusals: dict[uuid.UUID, Exception] | None = None) -> None:
        self.refusals = refusals or {}
        self.erased: list[uuid.UUID] = []
        self.metadata: list[Metadata] = []

    async def handle(self, command: object, metadata: Metadata) -> None:
        assert isinstance(command, EraseAccount)
        if command.account_id in self.refusals:
            raise self.refusals[command.account_id]
        self.erased.append(command.account_id)
        self.metadata.append(metadata)


class TestErasing:
    async def test_is_asked_for_whoever_is_due_by_now(self) -> None:
        first, second = uuid.uuid4(), uuid.uuid4()
        bus, accounts = Erasing(), AccountList(first, second)
        assert await erase_due(bus, accounts, StoppedClock()) == 2
        assert bus.erased == [first, second]
        assert accounts.asked[0][0] == NOW
        assert {metadata.actor for metadata in bus.metadata} == {"worker:scheduler"}

    async def test_is_for_the_account_to_decide_whatever_the_list_says(self) -> None:
        gone, recovered, due = (AccountId(uuid.uuid4()) for _ in range(3))
        bus = Erasing({gone: UserNotFoundError("gone"), recovered: GraceTooLongError("not due")})
        assert await erase_due(bus, AccountList(gone, recovered, due), StoppedClock()) == 1
        assert bus.erased == [due]

    async def test_of_one_who_cannot_be_erased_holds_up_no_other(self) -> None:
        broken, busy, due = (AccountId(uuid.uuid4()) for _ in range(3))
        bus = Erasing({broken: KeyError("a bug"), busy: ConcurrentChangeError("busy")})
        with pytest.raises(ExceptionGroup) as failed:
            await erase_due(bus, AccountList(broken, busy, due), StoppedClock())
        assert bus.erased == [due]
        assert [type(each) for each in failed.value.exceptions] == [KeyError, ConcurrentChangeError]

    async def test_stops_where_the_log_does_not_answer(self) -> None:
        first, second = uuid.uuid4(), uuid.uuid4()
        bus = Erasing({first: LogUnavailableError("down")})
        with pytest.raises(LogUnavailableError):
            await erase_due(bus, AccountList(first, second), StoppedClock())
        assert bus.erased == []


PRODUCTS = "CREATE TABLE products (key uuid, status text, deleted boolean, expires_at timestamptz)"
"""As much of the read model as is asked for what is due."""


class ListingList:
    """The read model of the catalogue, as far as the scheduler asks it; it has not heard of anything since."""

    def __init__(self, *due: ListingId) -> None:
        self.due = [(NOW, listing_id) for listing_id in sorted(due)]
        self.asked = 0

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        raise NotImplementedError

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        self.asked += 1
        now, *behind, limit = parameters
        assert now >= NOW
        rest = [row for row in self.due if not behind or row > tuple(behind)]
        return rest[:limit]


class ListingsExpiring:
    """Remembers which listings were expired; ``refusals`` are what it says to some."""

    def __init__(self, refusals: dict[uuid.UUID, Exception] | None = None) -> None:
        self.refusals = refusals or {}
        self.expired: list[uuid.UUID] = []

    async def handle(self, command: object, metadata: Metadata) -> None:
        assert isinstance(command, ExpireListing)
        assert metadata.actor == "worker:scheduler"
        if command.listing_id in self.refusals:
            raise self.refusals[command.listing_id]
        self.expired.append(command.listing_id)


class TestExpiring:
    async def test_takes_all_whose_time_is_over_however_many_there_are(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.jobs.MOST_AT_ONCE", 3)
        due = [ListingId(uuid.uuid4()) for _ in range(7)]
        bus, listings = ListingsExpiring(), ListingList(*due)
        assert await expire_listings_due(bus, listings, StoppedClock()) == 7
        assert bus.expired == sorted(due)
        assert listings.asked == 4

    async def test_of_one_that_cannot_be_expired_holds_up_no_other(self) -> None:
        broken, busy, due = (ListingId(uuid.uuid4()) for _ in range(3))
        bus = ListingsExpiring({broken: KeyError("a bug"), busy: ConcurrentChangeError("busy")})
        with pytest.raises(ExceptionGroup) as failed:
            await expire_listings_due(bus, ListingList(broken, busy, due), StoppedClock())
        assert bus.expired == [due]
        assert {type(each) for each in failed.value.exceptions} == {KeyError, ConcurrentChangeError}

    async def test_stops_where_the_log_does_not_answer(self) -> None:
        first, second = sorted(ListingId(uuid.uuid4()) for _ in range(2))
        bus = ListingsExpiring({first: LogUnavailableError("down")})
        with pytest.raises(LogUnavailableError):
            await expire_listings_due(bus, ListingList(first, second), StoppedClock())
        assert bus.expired == []

    async def test_finds_what_is_due_the_longest_first_and_goes_on_behind_it(self, database_url: str) -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute(PRODUCTS)
            rows = [
                (UUID(int=1), "active", False, NOW),
                (UUID(int=2), "active", False, NOW - timedelta(days=1)),
                (UUID(int=3), "active", False, NOW),
                (UUID(int=4), "active", False, NOW + timedelta(seconds=1)),
                (UUID(int=5), "active", False, None),
                (UUID(int=6), "active", True, NOW),
                (UUID(int=7), "expired", False, NOW),
            ]
            await connection.cursor().executemany("INSERT INTO products VALUES (%s, %s, %s, %s)", rows)
        async with read_side(database_url, connections=1) as read:
            first = await listings_due(read.reads, NOW, None, 2)
            rest = await listings_due(read.reads, NOW, first[-1], 2)
        assert [due.listing_id.int for due in (*first, *rest)] == [2, 1, 3]

    async def test_is_for_the_listing_to_decide_whatever_the_list_says(self) -> None:
        shop = Shop()
        person = NewPerson(email="jane@example.com", roles=frozenset({Role.SELLER}))
        account = (await shop.handle(RegisterAccount(person=person))).state.account
        await shop.handle(CreateCategory(name="Lamps"))
        offer = CreateListing(
            seller_id=seller_of(account.id),
            title="Lamp",
            description="Old",
            price=Money(1),
            category="lamps",
            images=("https://a.example/1",),
            publish=True,
        )
        listing = (await shop.handle(offer)).state
        listings = ListingList(listing.id)
        head = await shop.log.head()
        shop.clock.at += LIFETIME - timedelta(seconds=1)
        await expire_listings_due(shop.bus, listings, shop.clock)
        assert await shop.log.head() == head
        shop.clock.at += timedelta(seconds=1)
        for _ in range(2):
            await expire_listings_due(shop.bus, listings, shop.clock)
        assert await shop.events_after(head) == [ListingExpired(listing_id=listing.id)]


class TestAPersonWhoLeft:
    async def test_is_erased_when_the_grace_is_over_and_not_before(self) -> None:
        shop = Shop()
        caller = await shop.buyer()
        accounts = AccountList(caller.account_id)
        await shop.handle(RequestDeletion(account_id=caller.account_id, password="Secret123"))
        shop.clock.at += GRACE - timedelta(seconds=1)
        assert await erase_due(shop.bus, accounts, shop.clock) == 0
        assert not (await shop.now(ACCOUNTS, caller.account_id)).erased
        shop.clock.at += timedelta(seconds=1)
        assert await erase_due(shop.bus, accounts, shop.clock) == 1
        assert (await shop.now(ACCOUNTS, caller.account_id)).erased
        head = await shop.log.head()
        # The list has not heard of it yet.
        assert await erase_due(shop.bus, accounts, shop.clock) == 0
        assert await shop.log.head() == head


class OrderList:
    """The read model of orders, as far as the scheduler asks it; it has not heard of anything since."""

    def __init__(self, *orders: Order) -> None:
        self.waiting = sorted((order.placed_at, order.id) for order in orders)
        self.asked: list[tuple[Any, ...]] = []

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        raise NotImplementedError

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        self.asked.append(parameters)
        _, *behind, limit = parameters
        rest = [row for row in self.waiting if not behind or row > tuple(behind)]
        return list(rest[:limit])


class TestAnOrderThatNobodyPays:
    async def test_is_cancelled_however_many_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("workers.jobs.MOST_AT_ONCE", 2)
        shop = Shop()
        listing, buyer = await shop.listing(), await shop.buyer()
        orders = [await shop.order(buyer, (listing, 1)) for _ in range(5)]
        shop.clock.at += UNPAID_AFTER
        listed = OrderList(*orders)
        assert await cancel_unpaid(shop.bus, listed, shop.clock, UNPAID_AFTER) == 5
        assert len(listed.asked) == 4
        assert (await shop.listing_now(listing)).reserved == 0

    async def test_is_cancelled_when_its_time_is_over_and_not_before(self) -> None:
        shop = Shop()
        listing, buyer = await shop.listing(), await shop.buyer()
        orders = [await shop.order(buyer, (listing, 1)) for _ in range(2)]
        await shop.handle(RequestPayment(order_id=orders[1].id))
        listed = OrderList(*orders)

        async def cancel() -> int:
            return await cancel_unpaid(shop.bus, listed, shop.clock, UNPAID_AFTER)

        shop.clock.at += UNPAID_AFTER - timedelta(seconds=1)
        head = await shop.log.head()
        # The list may say what it likes.
        await cancel()
        assert await shop.log.head() == head
        shop.clock.at += timedelta(seconds=1)
        assert await cancel() == 2
        assert {asked[0] for asked in listed.asked[-2:]} == {shop.clock.at - UNPAID_AFTER}
        assert (await shop.listing_now(listing)).reserved == 0
        head = await shop.log.head()
        await cancel()
        assert await shop.log.head() == head


class RefundList(AccountList):
    """Refunds that the read model says have failed, of one payment."""

    def __init__(self, payment_id: uuid.UUID, *names: str) -> None:
        super().__init__()
        failed_at = datetime(2026, 1, 1, tzinfo=UTC)
        self.rows: list[tuple[Any, ...]] = [(failed_at, uuid.uuid4(), payment_id, name) for name in names]

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """One by one: a batch that is full is not the last."""
        self.asked.append(parameters)
        behind = 0 if len(parameters) == 3 else 1 + [row[1] for row in self.rows].index(parameters[-2])
        return self.rows[behind : behind + 1]


class TestMoneyThatCouldNotBeSentBack:
    async def test_is_tried_again_if_it_is_so_whatever_the_list_says(self) -> None:
        shop = Shop()
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 1))
        await shop.handle(RequestPayment(order_id=order.id))
        await shop.handle(shop.paid(await shop.provider.intent("pi_1")))
        await shop.handle(RefundOrder(order_id=order.id, reason="Sorry", amount=Money(100)))
        await shop.handle(RefundOrder(order_id=order.id, reason="Sorry", amount=Money(100)))
        payment_id = stream_id("payment", "pi_1")

        def failed(payment: Payment | None) -> list[PaymentEvent]:
            assert payment is not None
            return payment.fail_refund("pi_1-1", "expired_or_canceled_card", "no")

        await shop.store.change(PAYMENTS, payment_id, failed, Metadata(actor="test"))
        listed = RefundList(payment_id, "pi_1-1", "pi_1-2", "pi_1-9")
        patience = timedelta(hours=1)
        head = await shop.log.head()
        # Of the others one is on its way, and one is not there.
        assert await retry_refunds(shop.bus, listed, shop.clock, patience) == 2
        assert [type(event) for event in await shop.events_after(head)] == [RefundRetried]
        assert listed.asked[0][:2] == (shop.clock.at - patience, MOST_TRIES)
        await retry_refunds(shop.bus, listed, shop.clock, patience)
        assert await shop.log.head() == head + 1


class Time:
    """A clock that stands still while anybody has something to do, and then jumps to when the next one wakes up.

    After so many ``jumps`` it stands still for good.
    """

    def __init__(self, jumps: int = 1_000) -> None:
        self.at = NOW
        self.jumps = jumps
        self.sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self.at

    async def sleep(self, seconds: float) -> None:
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self.sleepers, (self.at + timedelta(seconds=seconds), next(NUMBERS), woken))
        await woken

    async def pass_by(self, until: datetime) -> None:
        while self.at < until:
            for _ in range(50):
                await asyncio.sleep(0)
            self.sleepers = [each for each in self.sleepers if not each[2].done()]
            heapq.heapify(self.sleepers)
            if not self.sleepers or self.sleepers[0][0] > until:
                self.at = until
                return
            self.at, _, woken = heapq.heappop(self.sleepers)
            woken.set_result(None)


NUMBERS = itertools.count()


class Began:
    """A job that notes when it was run; ``outcomes`` are what its runs come to, and then there is nothing to do."""

    def __init__(self, time: Time, *outcomes: int | Exception) -> None:
        self._time = time
        self._outcomes = iter(outcomes)
        self.at: list[datetime] = []

    async def __call__(self) -> int:
        self.at.append(self._time.at)
        outcome = next(self._outcomes, 0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    @property
    def waits(self) -> list[float]:
        """Seconds between one run and the next."""
        return [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(self.at)]


class Told(Measures):
    def __init__(self) -> None:
        self.ends: list[tuple[str, int | None]] = []
        self.led: dict[str, datetime | None] = {}

    def leads(self, job: Job, last_success: datetime | None) -> None:
        self.led[job.name] = last_success

    def ended(self, job: str, done: int | None, seconds: float) -> None:
        self.ends.append((job, done))

    def leads_no_more(self) -> None:
        self.led.clear()


def a_job(name: str, work: Callable[[], Awaitable[int]], minutes: float = 1, **more: Any) -> Job:
    return Job(name=name, every=timedelta(minutes=minutes), work=work, **more)


def a_scheduler(time: Time, *jobs: Job, runs: JobRuns | None = None, **options: Any) -> Scheduler:
    return Scheduler(jobs, runs=runs or MemoryJobRuns(), clock=time, sleep=time.sleep, **options)


@asynccontextmanager
async def running(scheduler: Scheduler) -> AsyncIterator[None]:
    task = asyncio.create_task(scheduler.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def ran(time: Time, scheduler: Scheduler, *, minutes: float) -> None:
    async with running(scheduler):
        await time.pass_by(time.at + timedelta(minutes=minutes))


DOWN = LogUnavailableError("down")


class TestTheRounds:
    async def test_each_job_has_its_own_interval_and_is_a_little_late_or_early(self) -> None:
        time = Time()
        quick, slow = Began(time), Began(time)
        await ran(
            time, a_scheduler(time, a_job("quick", quick), a_job("slow", slow, minutes=60)), minutes=200
        )
        assert all(54 <= wait <= 66 for wait in quick.waits)
        assert all(54 * 60 <= wait <= 66 * 60 for wait in slow.waits)
        assert (len(set(quick.waits)) > 1, len(slow.at) >= 3) == (True, True)

    async def test_what_fails_is_tried_again_ever_later_and_holds_up_nobody(self) -> None:
        time, told_of = Time(), Told()
        failing, good = Began(time, *([DOWN] * 20)), Began(time)
        scheduler = a_scheduler(time, a_job("failing", failing), a_job("good", good), measures=told_of)
        await ran(time, scheduler, minutes=5)
        expected = (1, 2, 4, 8, 16, 32, 60)
        for wait, about in zip(failing.waits, expected, strict=False):
            assert about * 0.9 <= wait <= about * 1.1
        assert all(wait >= 54 for wait in good.waits)
        assert {("failing", None), ("good", 0)} == set(told_of.ends)
        assert told_of.led == {}

    async def test_what_works_again_is_on_time_again(self) -> None:
        time = Time()
        flaky = Began(time, DOWN, DOWN, 1, DOWN)
        runs = MemoryJobRuns()
        await ran(time, a_scheduler(time, a_job("flaky", flaky), runs=runs), minutes=2)
        about = (1, 2, 60, 1)
        assert [round(wait / each) for wait, each in zip(flaky.waits, about, strict=False)] == [1, 1, 1, 1]
        assert [run.outcome for run in runs.all[:4]] == ["failed", "failed", "succeeded", "failed"]
        assert runs.standings["flaky"].failures == 0

    async def test_once_is_once(self) -> None:
        time = Time()
        jobs = (a_job("good", Began(time)), a_job("failing", Began(time, DOWN)))
        assert await a_scheduler(time, *jobs).run_once() == {"good": 0, "failing": None}


class TestAfterAPause:
    async def test_nothing_is_done_early_because_the_scheduler_was_started_again(self) -> None:
        time, runs = Time(), MemoryJobRuns()
        hourly = Began(time)
        await ran(time, a_scheduler(time, a_job("hourly", hourly, minutes=60), runs=runs), minutes=1)
        await ran(time, a_scheduler(time, a_job("hourly", hourly, minutes=60), runs=runs), minutes=50)
        assert len(hourly.at) == 1
        await ran(time, a_scheduler(time, a_job("hourly", hourly, minutes=60), runs=runs), minutes=20)
        assert len(hourly.at) == 2

    async def test_what_was_due_while_nobody_was_there_is_done_at_once_and_once(self) -> None:
        time, runs = Time(), MemoryJobRuns()
        hourly = Began(time)
        await ran(time, a_scheduler(time, a_job("hourly", hourly, minutes=60), runs=runs), minutes=1)
        time.at += timedelta(hours=7)
        back = time.at
        await ran(time, a_scheduler(time, a_job("hourly", hourly, minutes=60), runs=runs), minutes=10)
        assert hourly.at[1:] == [back]

    async def test_what_fails_goes_on_waiting_ever_longer(self) -> None:
        time, runs = Time(), MemoryJobRuns()
        failing = Began(time, *([DOWN] * 10))
        await ran(time, a_scheduler(time, a_job("failing", failing, minutes=60), runs=runs), minutes=1)
        known = len(failing.at)
        assert runs.standings["failing"].failures == known
        await ran(time, a_scheduler(time, a_job("failing", failing, minutes=60), runs=runs), minutes=3)
        assert failing.waits[known - 1] >= 2 ** (known - 1) * 0.9

    async def test_a_daily_job_is_due_at_its_time_and_not_a_day_after_the_last(self) -> None:
        clock = Time()
        daily = Began(clock)
        job = a_job("daily", daily, minutes=24 * 60, daily_at=time(0, 10))
        await ran(clock, a_scheduler(clock, job), minutes=36 * 60)
        at_night = datetime(2026, 11, 22, 0, 10, tzinfo=UTC)
        assert daily.at == [NOW, at_night]

    def test_a_daily_job_is_due_today_if_its_time_has_not_come(self) -> None:
        job = a_job("daily", Began(Time()), minutes=24 * 60, daily_at=time(13))
        assert job.due_after(NOW) == NOW + timedelta(hours=1)
        assert job.due_after(NOW + timedelta(hours=1)) == NOW + timedelta(hours=25)
        assert job.tried_again(NOW, 30) == NOW + timedelta(hours=1), "not later than it would be due"


class TestOnRequest:
    async def test_a_job_is_run_out_of_turn_and_its_turn_stays(self) -> None:
        clock, asked = Time(), {"hourly": 0}
        hourly = Began(clock)

        async def requests(names: Sequence[str]) -> dict[str, int]:
            return dict(asked)

        runs = MemoryJobRuns()
        scheduler = a_scheduler(
            clock, a_job("hourly", hourly, minutes=60), runs=runs, requests=requests, patience=QUICK
        )
        async with running(scheduler):
            await until(lambda: len(hourly.at) == 1)
            asked["hourly"] = 2
            await until(lambda: len(hourly.at) == 2)
            await until(lambda: runs.standings["hourly"].request == 2)
            await clock.pass_by(clock.at + timedelta(minutes=5))
        assert len(hourly.at) == 2, "one run answers both, and none of them again"


QUICK = Patience(look_every=0.01, beat_every=0.02, give_up=0.5)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


class Endless:
    """A job that goes on until it is stopped."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.going_on = 0

    async def __call__(self) -> int:
        self.began.set()
        self.going_on += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.going_on -= 1
        return 0


class TestAnEndFromOutside:
    async def test_a_run_is_broken_off_when_the_lease_is_lost_and_is_due_again(self) -> None:
        clock, runs = Time(), MemoryJobRuns()
        endless = Endless()
        async with running(a_scheduler(clock, a_job("endless", endless), runs=runs)):
            await endless.began.wait()
        assert endless.going_on == 0
        assert [run.outcome for run in runs.all] == ["broken_off"]
        assert runs.standings["endless"] == JobStanding(next_at=clock.at)

    async def test_a_run_that_was_taken_over_goes_no_further(self) -> None:
        clock, runs = Time(), MemoryJobRuns()
        endless = Endless()
        async with running(a_scheduler(clock, a_job("endless", endless), runs=runs, patience=QUICK)):
            await endless.began.wait()
            runs.taken_over = True
            await until(lambda: endless.going_on == 0)

    async def test_a_run_that_cannot_say_that_it_is_alive_stops_before_others_give_it_up(self) -> None:
        class Mute(MemoryJobRuns):
            async def beat(self, run: int) -> bool:
                raise DOWN

        endless = Endless()
        patience = Patience(look_every=0.01, beat_every=0.01, give_up=0.05)
        async with running(a_scheduler(Time(), a_job("endless", endless), runs=Mute(), patience=patience)):
            await endless.began.wait()
            await until(lambda: endless.going_on == 0)


class TestWhatIsToldOfAFailure:
    def test_is_its_kind_its_place_and_of_refusals_what_they_say(self) -> None:
        def failure(error: Exception) -> Exception:
            def fail() -> None:
                raise error

            with pytest.raises(type(error)) as raised:
                fail()
            return raised.value

        refusal = told(failure(GraceTooLongError("jane@example.com has time left")))
        assert re.fullmatch(r"GraceTooLongError at test_scheduler.py:\d+: \*\*\* has time left", refusal)
        bug = told(failure(KeyError("jane@example.com, 12 Main Street")))
        assert re.fullmatch(r"KeyError at test_scheduler.py:\d+", bug)
        group = ExceptionGroup("some of jane@example.com", [failure(KeyError(1)), failure(ValueError(2))])
        assert re.fullmatch(r"2 of them: KeyError at \S+; ValueError at \S+", told(group))


class TestSweeping:
    async def test_forgets_the_answers_that_are_old_and_no_others(self, database_url: str) -> None:
        await migrate(database_url)
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            await connection.execute(
                "INSERT INTO command_results (scope, key, request_hash, status, body, position, recorded_at)"
                " SELECT 'user:a', number::text, '', 200, '', 1, now() - number * interval '1 day'"
                " FROM generate_series(1, 12000) AS number"
            )
        async with Database(database_url, connections=2) as database:
            assert await sweep_command_results(database, timedelta(days=30)) == 12_000 - 29
            left = await database.rows("SELECT count(*) FROM command_results")
            assert left == [(29,)]
            assert await sweep_command_results(database, timedelta(days=30)) == 0


class Clearing:
    """Remembers which uploads were cleared away; ``failures`` are what it comes to with some."""

    def __init__(self, failures: dict[uuid.UUID, Exception]) -> None:
        self.failures = failures
        self.expired: list[uuid.UUID] = []

    async def handle(self, command: object, metadata: Metadata) -> None:
        assert isinstance(command, ExpireMedia)
        if command.media_id in self.failures:
            raise self.failures[command.media_id]
        self.expired.append(command.media_id)


class TestUploadsThatNothingUses:
    async def test_are_cleared_away_and_one_that_fails_holds_up_no_other(self) -> None:
        busy, first, second = (uuid.uuid4() for _ in range(3))
        bus = Clearing({busy: ConcurrentChangeError("busy")})
        media = AccountList(busy, first, second)
        with pytest.raises(ExceptionGroup) as failed:
            await expire_media_due(bus, media, StoppedClock())
        assert bus.expired == [first, second]
        assert [type(each) for each in failed.value.exceptions] == [ConcurrentChangeError]
        assert media.asked[0][0] == NOW

    async def test_wait_while_the_log_is_away(self) -> None:
        first, second = uuid.uuid4(), uuid.uuid4()
        bus = Clearing({first: LogUnavailableError("down")})
        with pytest.raises(LogUnavailableError):
            await expire_media_due(bus, AccountList(first, second), StoppedClock())
        assert bus.expired == []


async def test_the_process_does_everything_once_where_somebody_else_keeps_the_time(
    database_url: str,
) -> None:
    await migrate(database_url)
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "JWT_SECRET": "a secret of the tests, of 32 characters and more",
        "TRADELOG_MASTER_KEY": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    }

    def once() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "workers.scheduler", "--once"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    without_read_models = await asyncio.to_thread(once)
    assert without_read_models.returncode == 1
    assert "erase-accounts" in without_read_models.stdout
    async with ReadPool(database_url) as reads:
        await prepare(reads.pool, IN_POSTGRES, sinks(reads.pool, None))
    with_them = await asyncio.to_thread(once)
    assert (with_them.returncode, with_them.stderr) == (0, "")
