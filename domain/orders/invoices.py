"""Numbers of invoices: one series for each year, without holes, as bookkeepers want it."""

from __future__ import annotations

from uuid import UUID

import msgspec

from domain.kernel import Decider, OrderId, stream_id
from domain.orders.events import InvoiceNumberEvent, InvoiceNumberGiven


class InvoiceSeries(msgspec.Struct, frozen=True):
    """How many invoices a year has. A number is given in the append that issues its invoice, so that none is lost."""

    last: int = 0

    @classmethod
    def give(cls, series: InvoiceSeries | None, year: int, order_id: OrderId) -> list[InvoiceNumberEvent]:
        serial = (series or cls()).last + 1
        return [InvoiceNumberGiven(year=year, serial=serial, order_id=order_id)]

    @classmethod
    def evolve(cls, _: InvoiceSeries | None, event: InvoiceNumberEvent) -> InvoiceSeries:
        return cls(event.serial)


def series_of(year: int) -> UUID:
    return stream_id("invoices", year)


def invoice_number(year: int, serial: int) -> str:
    """``INV-2026-000001``"""
    return f"INV-{year}-{serial:06d}"


INVOICE_SERIES: Decider[InvoiceSeries, InvoiceNumberEvent] = Decider(
    "invoice_series", InvoiceSeries.evolve, snapshot=InvoiceSeries
)
