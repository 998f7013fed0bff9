"""The daily report: one for each day, for those who are admins then, and for no day that is not over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from application.accounts.registering import CreateAccount, NewPerson
from application.reports.spreadsheets import amount, csv_of
from domain.accounts.events import Role
from domain.kernel import AccountId
from domain.money import Money
from domain.reports.events import SalesReportGenerated
from domain.reports.sales_report import SalesFigures
from tests.application.shop import Shop
from workers.jobs import MOST_DAYS, report_sales

NOTHING = SalesFigures(orders=0, revenue=Money(0), refunds=Money(0), lost_disputes=Money(0), items=0)


class SalesBook:
    """The read model, as far as the scheduler asks it."""

    def __init__(self, days: Mapping[date, SalesFigures] | None = None) -> None:
        self.days = dict(days or {})

    async def first_day(self) -> date | None:
        return min(self.days, default=None)

    async def of_days(self, days: Sequence[date]) -> Mapping[date, SalesFigures]:
        return {day: self.days.get(day, NOTHING) for day in days}


async def an_admin(shop: Shop, name: str) -> AccountId:
    person = NewPerson(email=f"{name}@example.com", password="Secret123", roles=frozenset({Role.ADMIN}))
    account_id: AccountId = (await shop.handle(CreateAccount(person=person))).state.id
    return account_id


async def reported(shop: Shop, book: SalesBook) -> list[SalesReportGenerated]:
    head = await shop.log.head()
    done = await report_sales(shop.bus, shop.store, book, shop.clock)
    events = [event for event in await shop.events_after(head) if isinstance(event, SalesReportGenerated)]
    assert done == len(events)
    return events


class TestTheDailyReport:
    async def test_tells_all_admins_what_a_day_came_to_and_once(self) -> None:
        shop = Shop()
        admins = [await an_admin(shop, name) for name in ("ann", "bob")]
        await shop.buyer()
        yesterday = shop.clock.now().date() - timedelta(days=1)
        figures = SalesFigures(
            orders=2, revenue=Money(1800), refunds=Money(300), lost_disputes=Money(70), items=4
        )
        book = SalesBook({yesterday: figures})
        expected = SalesReportGenerated(
            day=yesterday,
            orders=2,
            revenue=Money(1800),
            refunds=Money(300),
            lost_disputes=Money(70),
            items=4,
            recipients=tuple(sorted(admins)),
        )
        assert await reported(shop, book) == [expected]
        book.days[yesterday] = NOTHING
        assert await reported(shop, book) == []

    async def test_is_made_of_a_day_that_is_over_for_ten_minutes(self) -> None:
        shop = Shop()
        shop.clock.at = datetime(2026, 11, 21, 0, 9, 59, tzinfo=UTC)
        assert [event.day for event in await reported(shop, SalesBook())] == [date(2026, 11, 19)]
        shop.clock.at += timedelta(seconds=1)
        assert [event.day for event in await reported(shop, SalesBook())] == [date(2026, 11, 20)]

    async def test_is_made_up_for_after_a_pause_back_to_the_first_sale(self) -> None:
        shop = Shop()
        today = shop.clock.now().date()
        first = today - timedelta(days=5)
        book = SalesBook({first: NOTHING})
        missed = [first + timedelta(days=number) for number in range(5)]
        assert [event.day for event in await reported(shop, book)] == missed
        shop.clock.at += timedelta(days=2)
        assert [event.day for event in await reported(shop, book)] == [today, today + timedelta(days=1)]

    async def test_is_made_up_for_a_month_at_most(self) -> None:
        shop = Shop()
        today = shop.clock.now().date()
        days = [event.day for event in await reported(shop, SalesBook({date(2020, 1, 1): NOTHING}))]
        assert (len(days), days[0], days[-1]) == (
            MOST_DAYS,
            today - timedelta(days=MOST_DAYS),
            today - timedelta(days=1),
        )

    async def test_of_a_shop_that_sold_nothing_yet_is_of_yesterday(self) -> None:
        shop = Shop()
        (event,) = await reported(shop, SalesBook())
        assert (event.day, event.orders, event.recipients) == (date(2026, 11, 20), 0, ())


class TestSpreadsheets:
    @pytest.mark.parametrize(
        "text", ["=1+1", "+SUM(A1)", "-cmd|' /C calc'!A0", "@A1", "\t=1", "\r=1", "\uff1d1+1", "\u200b =1"]
    )
    def test_no_text_is_a_formula(self, text: str) -> None:
        written = csv_of(["title"], [[text]]).decode()
        assert f"'{text[0]}" in written

    def test_texts_with_commas_quotes_and_lines_stay_one_cell(self) -> None:
        assert csv_of(["a", "b"], [['One, "two"\nthree', 7]]) == b'a,b\r\n"One, ""two""\nthree",7\r\n'

    @pytest.mark.parametrize(
        ("minor", "written"), [(0, "0.00"), (5, "0.05"), (1205, "12.05"), (-1205, "-12.05"), (-5, "-0.05")]
    )
    def test_sums_are_numbers(self, minor: int, written: str) -> None:
        assert amount(minor) == written
        assert csv_of(["sum"], [[amount(minor)]]) == f"sum\r\n{written}\r\n".encode()
