"""Money that is asked back is sent back, as often as it takes."""

from __future__ import annotations

from application.payments.closing import SendRefund
from domain.payments.events import RefundRequested, RefundRetried


def send_refund_of(event: RefundRequested | RefundRetried) -> list[SendRefund]:
    refund_id = event.retry_id if isinstance(event, RefundRetried) else event.refund_id
    return [SendRefund(payment_id=event.payment_id, refund_id=refund_id)]
