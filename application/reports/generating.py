"""Making the report of a day's sales, for all who are admins at that moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import msgspec

from application.ports import Changed, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.roster import ADMINS, ROSTER, Roster
from domain.reports.events import sales_report_of
from domain.reports.sales_report import SALES_REPORTS, SalesFigures, SalesReport

_ROSTER: Final[StreamRef[Any, Any]] = StreamRef(ADMINS, ROSTER)


class GenerateSalesReport(msgspec.Struct, frozen=True, kw_only=True):
    """Asked twice, it is made once."""

    day: date
    figures: SalesFigures


async def generate_sales_report(
    command: GenerateSalesReport, metadata: Metadata, *, store: EventStore
) -> Changed[SalesReport]:
    ref: StreamRef[Any, Any] = StreamRef(SALES_REPORTS, sales_report_of(command.day))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SalesReport]:
        roster: Roster = loaded[1].state or Roster()
        events = SalesReport.generate(loaded[0].state, command.day, command.figures, roster.admins)
        return Proposal(outcome=SALES_REPORTS.after(loaded[0].state, events), events=[(ref, events)])

    return await store.change_together([ref, _ROSTER], decide, metadata)


async def days_without_report(store: EventStore, last: date, most: int) -> list[date]:
    """Of the ``most`` days up to ``last``, those that were not reported on; the oldest first."""
    days = [last - timedelta(days=back) for back in reversed(range(most))]
    loaded = await store.load_many([StreamRef(SALES_REPORTS, sales_report_of(day)) for day in days])
    return [day for day, report in zip(days, loaded, strict=True) if report.state is None]
