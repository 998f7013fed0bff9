"""What can be reported."""

from datetime import date
from typing import TypeAlias
from uuid import UUID

from domain.kernel import AccountId, Event, stream_id
from domain.money import Money


def sales_report_of(day: date) -> UUID:
    """The stream of a day's report, so that there is one at most."""
    return stream_id("sales_report", day.isoformat())


class SalesReportGenerated(Event, frozen=True, kw_only=True, tag="sales_report_generated"):
    """What a day of UTC came to, mailed to ``recipients``: who was an admin then.

    ``orders`` are those whose money came on that day, ``revenue`` is their totals, ``items`` how many units were in
    them. ``refunds`` is what was sent back on that day, ``lost_disputes`` what banks took for good on it, of whichever
    orders; reports of earlier days do not know of disputes.
    """

    day: date
    orders: int
    revenue: Money
    refunds: Money
    items: int
    recipients: tuple[AccountId, ...]
    lost_disputes: Money = Money(0)


ReportEvent: TypeAlias = SalesReportGenerated
