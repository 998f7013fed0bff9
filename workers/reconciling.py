"""The round in which what we know of payments is compared with what the provider knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from application.payments.paying import RequestPayment
from application.payments.reconciling import CompareRecent, ReconcilePayment
from application.ports import Clock
from domain.kernel import OrderId
from projections.orders.query import Waiting
from projections.payments.query import Unsettled, orders_without_payment, payments_unsettled
from projections.ports import Reads
from workers.rounds import Bus, Round, in_batches

BATCH: Final = 500
AT_ONCE: Final = 4
"""So many questions to the provider at a time: it has other things to do, and so have we."""
LEFT_ALONE_FOR: Final = timedelta(minutes=1)
"""What is younger is still under way by itself."""


async def reconcile_payments(bus: Bus, reads: Reads, clock: Clock, *, actor: str) -> int:
    """Compare all that may have come to something else; what is to be repaired is the command's to say.

    While the provider is away there is nothing to compare with, and the round ends.
    """
    before = clock.now() - LEFT_ALONE_FOR

    def preparations(orders: Sequence[Waiting]) -> dict[str, object]:
        return {
            f"prepare-{each.order_id}": RequestPayment(order_id=OrderId(each.order_id)) for each in orders
        }

    def comparisons(payments: Sequence[Unsettled]) -> dict[str, object]:
        return {
            f"reconcile-{each.intent_id}": ReconcilePayment(intent_id=each.intent_id) for each in payments
        }

    round_ = Round(bus, actor, "reconcile", at_once=AT_ONCE)
    await round_.all_of({"compare-recent": CompareRecent()})
    await in_batches(lambda after: orders_without_payment(reads, before, after, BATCH), preparations, round_)
    return await in_batches(
        lambda after: payments_unsettled(reads, before, after, BATCH), comparisons, round_
    )
