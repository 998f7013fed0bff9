"""The list of payments: events in, rows out, the same after a rebuild, and no secret of anybody in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from domain.accounts.events import AccountErased
from domain.kernel import OrderId, PaymentId, stream_id
from domain.money import Money
from domain.payments.events import (
    PaymentDisputed,
    PaymentFailed,
    PaymentIntentCreated,
    PaymentLinkedToOrder,
    PaymentSucceeded,
    RefundRequested,
    RefundSucceeded,
)
from projections.payments.projector import PAYMENT_LIST
from projections.payments.query import payment_by_id, payments_unsettled
from tests.domain.builders import BUYER, NOW, ORDER_ID
from tests.projections.test_forgetting import Shown, showing

FIRST, SECOND = (PaymentId(stream_id("payment", f"pi_{number}")) for number in (1, 2))
CREATED = PaymentIntentCreated(
    payment_id=FIRST,
    intent_id="pi_1",
    account_id=BUYER.account_id,
    account_number=7,
    amount=Money(1580),
    client_secret="pi_1_of_the_payer_alone",
    created_at=NOW,
)
LINKED = PaymentLinkedToOrder(payment_id=FIRST, order_id=ORDER_ID, order_number="ORD-2026112101")
FAILED = PaymentFailed(payment_id=FIRST, code="card_declined", message="No", attempt="ch_1")
SUCCEEDED = PaymentSucceeded(payment_id=FIRST, brand="visa", last4="4242")
REQUESTED = RefundRequested(payment_id=FIRST, refund_id="pi_1-1", amount=Money(80), reason="order_cancelled")
SENT = RefundSucceeded(payment_id=FIRST, refund_id="pi_1-1", provider_id="re_1")
DISPUTED = PaymentDisputed(
    payment_id=FIRST, dispute_id="dp_1", amount=Money(1500), reason="fraudulent", status="needs_response"
)


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Shown]:
    async with showing(database_url, PAYMENT_LIST) as shown:
        yield shown


async def record(shown: Shown, *events: Any) -> None:
    await shown.stand.shop.record([(event.payment_id, event) for event in events])
    await shown.caught_up()


async def body(shown: Shown) -> dict[str, Any]:
    found = await payment_by_id(shown.reads, FIRST)
    assert found is not None
    shows: dict[str, Any] = msgspec.json.decode(found)
    return shows


async def unsettled(shown: Shown) -> list[str]:
    return [each.intent_id for each in await payments_unsettled(shown.reads, NOW, None, 10)]


async def test_a_payment_is_what_its_events_say(shown: Shown) -> None:
    await record(shown, CREATED, FAILED)
    failed = await body(shown)
    assert (failed["orderId"], failed["status"], failed["failureCode"]) == (None, "failed", "card_declined")
    await record(shown, SUCCEEDED, LINKED, REQUESTED, SENT, DISPUTED, replace(DISPUTED, status="lost"))
    paid = await body(shown)
    assert (paid["orderId"], paid["orderUuid"], paid["userId"]) == (
        "ORD-2026112101",
        str(ORDER_ID),
        7,
    )
    assert (paid["status"], paid["last4"], paid["refundableAmount"]) == ("succeeded", "4242", 0)
    (refund,) = paid["refunds"]
    assert refund == {
        "id": "pi_1-1",
        "amount": 80,
        "reason": "order_cancelled",
        "status": "succeeded",
        "providerId": "re_1",
        "retryOf": None,
    }
    (dispute,) = paid["disputes"]
    assert (dispute["amount"], dispute["reason"], dispute["status"]) == (1500, "fraudulent", "lost")
    assert (await shown.rebuilt(PAYMENT_LIST)).startswith("equal to generation 1")


async def test_nothing_is_kept_of_what_lets_somebody_pay(shown: Shown) -> None:
    await record(shown, CREATED, SUCCEEDED)
    rows = await shown.reads.all("SELECT document, body FROM payments")
    assert rows
    assert all(b"of_the_payer_alone" not in bytes(content) for row in rows for content in row)


async def test_of_an_erased_payer_neither_the_card_is_kept_nor_why_money_went_back(shown: Shown) -> None:
    succeeded = replace(SUCCEEDED, account_id=BUYER.account_id)
    said = replace(REQUESTED, account_id=BUYER.account_id, note="They moved away")
    await record(shown, CREATED, succeeded, said)
    await shown.record(AccountErased(account_id=BUYER.account_id, erased_at=NOW))
    await shown.caught_up()
    paid = await body(shown)
    assert (paid["status"], paid["amount"], paid["brand"], paid["last4"]) == ("succeeded", 1580, None, None)
    rows = await shown.reads.all("SELECT document, body FROM payments")
    assert all(b"moved away" not in bytes(content) for row in rows for content in row)
    await shown.stand.shop.keys.destroy(BUYER.account_id)
    assert (await shown.rebuilt(PAYMENT_LIST)).startswith("equal to generation 1")


async def test_what_is_to_be_compared_is_what_may_have_come_to_something(shown: Shown) -> None:
    later = replace(
        CREATED,
        payment_id=SECOND,
        intent_id="pi_2",
        order_id=OrderId(stream_id("order", "ORD-2")),
        created_at=NOW + timedelta(seconds=1),
    )
    await record(shown, CREATED, later)
    assert await unsettled(shown) == ["pi_1"]
    both = await payments_unsettled(shown.reads, NOW + timedelta(seconds=1), None, 10)
    assert [each.intent_id for each in both] == ["pi_1", "pi_2"]
    behind = await payments_unsettled(shown.reads, NOW + timedelta(seconds=1), both[0], 10)
    assert behind == both[1:]
    await record(shown, SUCCEEDED)
    assert await unsettled(shown) == ["pi_1"]  # its money waits for an order
    await record(shown, LINKED)
    assert await unsettled(shown) == []
    await record(shown, REQUESTED)
    assert await unsettled(shown) == ["pi_1"]
    await record(shown, SENT)
    assert await unsettled(shown) == []
