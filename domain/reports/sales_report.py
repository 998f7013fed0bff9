"""The report of a day's sales: made once, and never changed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import msgspec

from domain.kernel import AccountId, Decider
from domain.money import Money
from domain.reports.events import ReportEvent, SalesReportGenerated


class SalesFigures(msgspec.Struct, frozen=True, kw_only=True):
    """As the event has them."""

    orders: int
    revenue: Money
    refunds: Money
    lost_disputes: Money
    items: int


class SalesReport(msgspec.Struct, frozen=True, kw_only=True):
    day: date

    @classmethod
    def generate(
        cls, known: SalesReport | None, day: date, figures: SalesFigures, recipients: Collection[AccountId]
    ) -> list[ReportEvent]:
        """Nothing where it was made before, whatever the figures are by now: somebody has read the first."""
        if known is not None:
            return []
        return [
            SalesReportGenerated(
                day=day,
                orders=figures.orders,
                revenue=figures.revenue,
                refunds=figures.refunds,
                lost_disputes=figures.lost_disputes,
                items=figures.items,
                recipients=tuple(sorted(recipients)),
            )
        ]

    @classmethod
    def evolve(cls, _: SalesReport | None, event: ReportEvent) -> SalesReport:
        return cls(day=event.day)


SALES_REPORTS: Decider[SalesReport, ReportEvent] = Decider("reports", SalesReport.evolve)
