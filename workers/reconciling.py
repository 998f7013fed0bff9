"""The round in which what we know of payments is compared with what the provider knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final, Protocol

import structlog

from application.errors import ConcurrentChangeError, UnavailableError
from application.payments.paying import RequestPayment
from application.payments.reconciling import CompareRecent, ReconcilePayment
from application.ports import Clock, Metadata
from domain.kernel import DomainError, OrderId
from projections.payments.query import orders_without_payment, payments_unsettled
from projections.ports import Reads

BATCH: Final = 500
AT_ONCE: Final = 4
"""So many questions to the provider at a time: it has other things to do, and so have we."""
LEFT_ALONE_FOR: Final = timedelta(minutes=1)
"""What is younger is still under way by itself."""

log = structlog.get_logger()


class Bus(Protocol):
    async def handle(self, command: object, metadata: Metadata) -> object: ...


async def reconcile_payments(bus: Bus, reads: Reads, clock: Clock, *, actor: str) -> int:
    """Compare all that may have come to something else, in batches; what is to be repaired is the command's to say.

    ``UnavailableError`` ends the round: while the provider is away there is nothing to compare with.
    """
    round_ = _Round(bus, actor)
    await round_.all_of({"compare-recent": CompareRecent()})
    before = clock.now() - LEFT_ALONE_FOR
    orders = await orders_without_payment(reads, before, None, BATCH)
    while orders:
        await round_.all_of(
            {f"prepare-{each.order_id}": RequestPayment(order_id=OrderId(each.order_id)) for each in orders}
        )
        orders = await orders_without_payment(reads, before, orders[-1], BATCH)
    payments = await payments_unsettled(reads, before, None, BATCH)
    while payments:
        await round_.all_of(
            {f"reconcile-{each.intent_id}": ReconcilePayment(intent_id=each.intent_id) for each in payments}
        )
        payments = await payments_unsettled(reads, before, payments[-1], BATCH)
    if round_.failures:
        raise ExceptionGroup("some payments could not be compared", round_.failures)
    return round_.done


class _Round:
    def __init__(self, bus: Bus, actor: str) -> None:
        self._bus = bus
        self._actor = actor
        self.done = 0
        self.failures: list[Exception] = []

    async def all_of(self, commands: Mapping[str, object]) -> None:
        """A few at a time. One that cannot be carried out is told of, and holds up no other."""
        waiting = iter(commands.items())
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(self._some_of(waiting))
        except* UnavailableError as away:
            outage: BaseException = away
            while isinstance(outage, BaseExceptionGroup):
                outage = outage.exceptions[0]
            raise outage from away

    async def _some_of(self, waiting: Iterator[tuple[str, object]]) -> None:
        for name, command in waiting:
            try:
                await self._bus.handle(command, Metadata(actor=self._actor, request_id=name))
            except UnavailableError:
                raise
            except ConcurrentChangeError as busy:
                self.failures.append(busy)
            except DomainError as refusal:
                log.info("refused", job="reconcile", subject=name, reason=refusal.message)
            except Exception as bug:  # noqa: BLE001 - with this one alone; it is raised in the end
                self.failures.append(bug)
            else:
                self.done += 1
