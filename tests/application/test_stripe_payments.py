"""What is believed of the messages that come as Stripe's, and what Stripe is told, through its SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any
from uuid import uuid4

import pytest
import stripe

from application.adapters.stripe_payments import InvalidSignatureError, StripePayments
from application.errors import PaymentProviderError
from application.ports import PaymentIntent
from domain.kernel import InvalidInputError
from domain.payments.payment import PaymentFailedError, PaymentNotFoundError
from workers.local.stripe_simulator import StripeSimulator, signature

PAID = b'{"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": {}}}'


class Opened(StripePayments):
    async def aclose(self) -> None:
        await self.close()


async def test_nothing_is_believed_where_no_secret_was_agreed_upon() -> None:
    async with aclosing(Opened("sk_test", "")) as payments:
        with pytest.raises(PaymentProviderError):
            payments.read_webhook(PAID, signature(PAID, ""))


async def test_a_signature_that_is_no_ascii_is_a_forged_one() -> None:
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        with pytest.raises(InvalidSignatureError):
            payments.read_webhook(PAID, f"t={int(time())},v1=\xe9")


AN_INTENT = {
    "id": "pi_1",
    "amount": 500,
    "currency": "usd",
    "status": "succeeded",
    "created": 1_790_000_000,
    "metadata": {"orderId": "ORD-1"},
}
A_DISPUTE = {
    "id": "dp_1",
    "payment_intent": "pi_1",
    "amount": 500,
    "currency": "usd",
    "status": "lost",
}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        *(
            ("payment_intent.succeeded", {**AN_INTENT, **odd})
            for odd in (
                {"amount": -5},
                {"amount": "500"},
                {"amount": 5.5},
                {"currency": None},
                {"created": 1e30},
                {"created": "soon"},
                {"metadata": {"orderId": 7}},
                {"id": 7},
            )
        ),
        *(
            ("charge.dispute.created", {**A_DISPUTE, **odd})
            for odd in ({"currency": None}, {"amount": -5}, {"status": 7})
        ),
    ],
)
async def test_what_is_not_as_we_know_it_is_only_to_be_kept(kind: str, said: dict[str, Any]) -> None:
    event = {"id": "evt_1", "object": "event", "type": kind, "created": 10**30, "data": {"object": said}}
    body = json.dumps(event).encode()
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        message = payments.read_webhook(body, signature(body, "whsec_tests"))
    assert (message.id, message.kind, message.created_at) == ("evt_1", kind, None)
    assert message.command is None
    assert not message.redundant


@pytest.mark.parametrize(
    ("kind", "said"), [("payment_intent.succeeded", AN_INTENT), ("charge.dispute.created", A_DISPUTE)]
)
async def test_what_is_as_we_know_it_is_carried_out(kind: str, said: dict[str, Any]) -> None:
    event = {"id": "evt_1", "object": "event", "type": kind, "created": 10, "data": {"object": said}}
    body = json.dumps(event).encode()
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        assert payments.read_webhook(body, signature(body, "whsec_tests")).command is not None


class TestClosingAndSendingBack:
    @pytest.fixture
    async def payments(self, stripe_simulator: StripeSimulator) -> AsyncIterator[StripePayments]:
        payments = StripePayments(stripe_simulator.key, "whsec_tests", api_base=stripe_simulator.url)
        yield payments
        await payments.close()

    async def prepared(self, payments: StripePayments, amount: int = 1800) -> PaymentIntent:
        return await payments.create_intent(
            amount=amount, currency="usd", metadata={}, idempotency_key=uuid4().hex
        )

    async def test_a_payment_that_was_not_made_is_closed_for_good(self, payments: StripePayments) -> None:
        intent = await self.prepared(payments)
        for _ in range(2):
            assert (await payments.cancel_intent(intent.id)).status == "canceled"
        confirmed = await payments.confirm_intent(intent.id, "pm_card_visa", idempotency_key=uuid4().hex)
        assert confirmed.status == "canceled"
        with pytest.raises(PaymentNotFoundError):
            await payments.cancel_intent("pi_none")

    async def test_one_that_was_made_is_answered_as_that_and_sent_back_once(
        self, payments: StripePayments
    ) -> None:
        intent = await self.prepared(payments)
        await payments.confirm_intent(intent.id, "pm_card_visa", idempotency_key=uuid4().hex)
        closed = await payments.cancel_intent(intent.id)
        assert (closed.status, closed.brand, closed.last4) == ("succeeded", "visa", "4242")
        key = uuid4().hex
        ours = {"refundId": "r-1"}
        refunds = [
            await payments.refund(intent.id, 1800, idempotency_key=key, metadata=ours) for _ in range(2)
        ]
        assert refunds[0] == refunds[1]
        assert (refunds[0].amount, refunds[0].status) == (1800, "succeeded")
        assert [dict(refund.metadata) for refund in await payments.refunds(intent.id)] == [ours]
        recent = await payments.refunds_since(datetime.now(UTC) - timedelta(minutes=5))
        assert refunds[0] in recent
        assert all(refund.intent_id for refund in recent)
        with pytest.raises(PaymentFailedError) as refused:
            await payments.refund(intent.id, 1, idempotency_key=uuid4().hex, metadata={})
        assert refused.value.details == {"code": "charge_already_refunded"}

    async def test_too_little_is_refused(self, payments: StripePayments) -> None:
        with pytest.raises(InvalidInputError) as refused:
            await self.prepared(payments, 49)
        assert refused.value.details.keys() == {"amount"}

    async def test_a_card_that_takes_no_money_back_is_a_refusal_and_no_outage(
        self, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refused(*_: Any) -> Any:
            raise stripe.CardError("No", "", "expired_card")  # type: ignore[no-untyped-call]  # the SDK leaves it untyped

        monkeypatch.setattr(stripe.RefundService, "create_async", refused)
        with pytest.raises(PaymentFailedError) as told:
            await payments.refund("pi_1", 1, idempotency_key="k", metadata={})
        assert told.value.details == {"code": "expired_card"}

    async def test_a_provider_that_is_away_is_told_from_one_that_refuses(self) -> None:
        payments = StripePayments("sk_test", "whsec_tests", api_base="http://127.0.0.1:9")
        try:
            with pytest.raises(PaymentProviderError):
                await payments.refund("pi_1", 1, idempotency_key="k", metadata={})
            with pytest.raises(PaymentProviderError):
                await payments.refunds("pi_1")
            with pytest.raises(PaymentProviderError):
                await payments.cancel_intent("pi_1")
        finally:
            await payments.close()
