"""Money that is asked back is sent back, as often as it takes."""

from __future__ import annotations

from application.payments.closing import SendRefund
from domain.payments.events import RefundRequested


def send_refund_of(event: RefundRequested) -> list[SendRefund]:
    return [SendRefund(payment_id=event.payment_id, refund_id=event.refund_id)]
