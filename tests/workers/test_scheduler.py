"""What is due because time has passed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
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
from application.listings.creating import CreateListing
from application.listings.publishing import ExpireListing
from application.media.expiring import ExpireMedia
from application.payments.paying import RequestPayment
from application.ports import Metadata
from domain.accounts.account import ACCOUNTS, GRACE, UserNotFoundError
from domain.accounts.events import Role
from domain.kernel import AccountId, ListingId, RuleViolatedError
from domain.listings.events import ListingExpired
from domain.listings.listing import LIFETIME
from domain.money import Money
from domain.orders.order import UNPAID_AFTER, Order
from domain.sellers.events import seller_of
from projections.bootstrap import read_side
from projections.products.due import listings_due
from tests.application.shop import Shop
from workers.migrating import migrate
from workers.scheduler import Job, Scheduler, cancel_unpaid, erase_due, expire_listings_due, expire_media_due

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
        monkeypatch.setattr("workers.scheduler.MOST_AT_ONCE", 3)
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
        monkeypatch.setattr("workers.scheduler.MOST_AT_ONCE", 2)
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


class Waits:
    """A clock that runs as fast as it is asked to, and stands still after so many waits."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.by_job: dict[str, list[float]] = {}
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        task = asyncio.current_task()
        assert task is not None
        waits = self.by_job.setdefault(task.get_name(), [])
        waits.append(seconds)
        if len(waits) == self.most:
            self.over.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)


async def ran(waits: Waits, *jobs: Job, **options: Any) -> None:
    running = asyncio.create_task(Scheduler(jobs, sleep=waits, **options).run())
    async with asyncio.timeout(5):
        await waits.over.wait()
        while any(len(each) < waits.most for each in waits.by_job.values()):
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def a_job(name: str, work: Callable[[], Awaitable[int]], minutes: int = 1) -> Job:
    return Job(name=name, every=timedelta(minutes=minutes), work=work)


async def nothing() -> int:
    return 0


async def failing() -> int:
    raise LogUnavailableError("down")


class TestTheRounds:
    async def test_each_job_has_its_own_interval_and_is_a_little_late_or_early(self) -> None:
        waits = Waits(20)
        await ran(waits, a_job("quick", nothing), a_job("slow", nothing, minutes=60))
        assert all(54 <= wait <= 66 for wait in waits.by_job["quick"])
        assert all(54 * 60 <= wait <= 66 * 60 for wait in waits.by_job["slow"])
        assert len(set(waits.by_job["quick"])) > 1

    async def test_what_fails_is_tried_again_ever_later_and_holds_up_nobody(self) -> None:
        waits = Waits(8)
        told: list[tuple[str, int | None]] = []
        await ran(
            waits,
            a_job("failing", failing),
            a_job("good", nothing),
            ended=lambda job, done, seconds: told.append((job, done)),
        )
        expected = (1, 2, 4, 8, 16, 32, 60, 60)
        for wait, about in zip(waits.by_job["failing"], expected, strict=True):
            assert about * 0.9 <= wait <= about * 1.1
        assert all(wait >= 54 for wait in waits.by_job["good"])
        assert ("failing", None) in told
        assert ("good", 0) in told

    async def test_what_works_again_is_on_time_again(self) -> None:
        waits = Waits(4)
        outcomes = iter([False, False, True, False])

        async def flaky() -> int:
            if not next(outcomes):
                raise LogUnavailableError("down")
            return 1

        await ran(waits, a_job("flaky", flaky))
        about = (1, 2, 60, 1)
        assert [round(wait / each) for wait, each in zip(waits.by_job["flaky"], about, strict=True)] == [
            1,
            1,
            1,
            1,
        ]

    async def test_once_is_once(self) -> None:
        scheduler = Scheduler([a_job("good", nothing), a_job("failing", failing)])
        assert await scheduler.run_once() == {"good": 0, "failing": None}


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
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("CREATE TABLE accounts (key uuid, erase_after timestamptz)")
        await connection.execute("CREATE TABLE orders (key uuid, status text, created_at timestamptz)")
        await connection.execute(
            "CREATE TABLE payments "
            "(key uuid, intent_id text, order_id uuid, unsettled boolean, created_at timestamptz)"
        )
        await connection.execute("CREATE TABLE media (key uuid, due_at timestamptz)")
        await connection.execute(PRODUCTS)
    with_them = await asyncio.to_thread(once)
    assert (with_them.returncode, with_them.stderr) == (0, "")
