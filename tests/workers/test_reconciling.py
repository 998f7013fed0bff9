"""The round in which payments are compared with the provider: all of them, a few at a time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.errors import ConcurrentChangeError, PaymentProviderError
from application.payments.paying import RequestPayment
from application.payments.reconciling import CompareRecent, ReconcilePayment
from application.ports import Metadata
from domain.payments.payment import PaymentNotFoundError
from workers.reconciling import AT_ONCE, LEFT_ALONE_FOR, reconcile_payments

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class StoppedClock:
    def now(self) -> datetime:
        return NOW


class Lists:
    """The read models, as far as they are asked; they have not heard of anything since."""

    def __init__(self, *, orders: int = 0, payments: int = 0) -> None:
        self.orders = [(NOW - timedelta(hours=1), UUID(int=number)) for number in range(orders)]
        self.payments = [
            (NOW - timedelta(hours=1), UUID(int=number), f"pi_{number}") for number in range(payments)
        ]
        self.asked: list[datetime] = []

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        raise NotImplementedError

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        before, *behind, limit = parameters
        self.asked.append(before)
        rows: list[tuple[Any, ...]] = [*(self.orders if "FROM orders o" in query else self.payments)]
        return [row for row in rows if not behind or row[:2] > tuple(behind)][:limit]


class Comparing:
    """Remembers what was asked for, and how much of it at once; ``refusals`` are what it says to some."""

    def __init__(self, refusals: dict[str, Exception] | None = None) -> None:
        self.refusals = refusals or {}
        self.compared: list[str] = []
        self.requested: list[UUID] = []
        self.looked = 0
        self.most = 0
        self._now = 0

    async def handle(self, command: object, metadata: Metadata) -> None:
        assert metadata.actor == "worker:tests"
        assert metadata.request_id
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        if isinstance(command, CompareRecent):
            self.looked += 1
            return
        if isinstance(command, RequestPayment):
            self.requested.append(command.order_id)
            return
        assert isinstance(command, ReconcilePayment)
        if command.intent_id in self.refusals:
            raise self.refusals[command.intent_id]
        self.compared.append(command.intent_id)


async def a_round(bus: Comparing, lists: Lists) -> int:
    return await reconcile_payments(bus, lists, StoppedClock(), actor="worker:tests")


async def test_takes_all_however_many_there_are_and_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.reconciling.BATCH", 5)
    bus, lists = Comparing(), Lists(orders=7, payments=13)
    assert await a_round(bus, lists) == 21
    assert bus.looked == 1
    assert sorted(bus.compared) == sorted(intent_id for _, _, intent_id in lists.payments)
    assert sorted(bus.requested) == sorted(order_id for _, order_id in lists.orders)
    assert bus.most == AT_ONCE
    assert set(lists.asked) == {NOW - LEFT_ALONE_FOR}


async def test_one_that_cannot_be_compared_holds_up_no_other() -> None:
    refusals = {
        "pi_0": PaymentNotFoundError("of another account"),
        "pi_1": KeyError("a bug"),
        "pi_2": ConcurrentChangeError("busy"),
    }
    bus = Comparing(refusals)
    with pytest.raises(ExceptionGroup) as failed:
        await a_round(bus, Lists(payments=9))
    assert len(bus.compared) == 6
    assert {type(each) for each in failed.value.exceptions} == {KeyError, ConcurrentChangeError}


async def test_ends_where_the_provider_does_not_answer() -> None:
    bus = Comparing({f"pi_{number}": PaymentProviderError("down") for number in range(50)})
    with pytest.raises(PaymentProviderError):
        await a_round(bus, Lists(payments=500))
    assert bus.compared == []
