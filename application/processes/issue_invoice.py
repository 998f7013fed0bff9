"""What is paid is invoiced, whatever becomes of it later: what goes back is told beside."""

from __future__ import annotations

from application.orders.invoicing import IssueInvoice
from domain.orders.events import OrderConfirmed


def issue_invoice_of(event: OrderConfirmed) -> list[IssueInvoice]:
    return [IssueInvoice(order_id=event.order_id)]
