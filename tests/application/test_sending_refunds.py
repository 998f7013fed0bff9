"""Money that is asked back goes back once, whatever is lost on the way, and however late it is tried again.

The provider is the Stripe simulator behind the real adapter. As Stripe may, it forgets its keys after a day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final, cast

import pytest

from application.errors import PaymentProviderError, UnavailableError
from application.orders.refunding import (
    MOST_TRIES,
    RefundOrder,
    RetryFailedRefund,
    RetryRefund,
    RetryRefundOfPayment,
)
from application.payments.closing import KEYS_STAND, SendRefund
from application.payments.linking import PreparePayment
from application.payments.noting import RecordRefunds
from application.payments.paying import ConfirmPayment, RequestPayment
from application.payments.reconciling import ReconcilePayment
from application.ports import ProviderRefund
from domain.kernel import stream_id
from domain.money import Money
from domain.orders.order import ORDERS, Order
from domain.payments.payment import (
    PAYMENTS,
    Payment,
    PaymentNotFoundError,
    RefundNotFailedError,
    RefundNotFoundError,
    RefundState,
)
from tests.application.shop import Shop, SteppedClock
from tests.application.stripe_in_process import InProcessStripe
from tests.workers.test_reactor import MemoryPlaces
from workers.reactor import SENDING_REFUNDS, Reactor

PART: Final = Money(500)
SENT: Final = "POST /v1/refunds"
ASKED: Final = "GET /v1/refunds"
A_DAY: Final = timedelta(days=1)


class Simulated(InProcessStripe):
    async def aclose(self) -> None:
        await self.close()


class Paid:
    """An order of one thing that is paid, and the reactor that sends back what is asked back of it."""

    def __init__(self, shop: Shop, stripe: InProcessStripe, order: Order) -> None:
        self.shop = shop
        self.stripe = stripe
        self.order_id = order.id
        self.intent_id = order.intent_id
        self.reactor = Reactor(shop.log, MemoryPlaces(), shop.bus, shop.clock)

    @classmethod
    async def by(cls, stripe: InProcessStripe, card: str) -> Paid:
        clock = SteppedClock()
        await stripe.begin(clock)
        shop = Shop(provider=cast(Any, stripe), clock=clock)
        buyer = await shop.buyer()
        order = await shop.order(buyer, (await shop.listing(), 1))
        intent: Payment = (await shop.handle(RequestPayment(order_id=order.id))).state
        await shop.handle(
            ConfirmPayment(intent_id=intent.intent_id, payment_method=card, caller=buyer),
        )
        paid = cls(shop, stripe, await shop.now(ORDERS, order.id))
        stripe.requests.clear()
        return paid

    async def ask_back(self, amount: Money = PART) -> str:
        """The refund's name."""
        asked = await self.shop.handle(RefundOrder(order_id=self.order_id, reason="Late", amount=amount))
        refund_id: str = asked.state.refund_id
        return refund_id

    async def react(self) -> None:
        while await self.reactor.catch_up(SENDING_REFUNDS):
            pass

    async def payment(self) -> Payment:
        payment: Payment = await self.shop.now(PAYMENTS, stream_id("payment", self.intent_id))
        return payment

    async def states(self) -> list[RefundState]:
        return [refund.status for refund in (await self.payment()).refunds.values()]

    async def sent(self) -> list[str]:
        """What has become of all that was sent, at the provider."""
        return [refund["status"] for refund in await self.stripe.all("refunds")]

    async def gone(self) -> Money:
        """What the payer has back, by the provider's books and by the order's, which have to agree."""
        (charge,) = await self.stripe.all("charges")
        order: Order = await self.shop.now(ORDERS, self.order_id)
        assert order.refunded == Money(charge["amount_refunded"])
        return order.refunded


@pytest.fixture
async def stripe() -> AsyncIterator[InProcessStripe]:
    async with aclosing(Simulated()) as stripe:
        yield stripe


@pytest.fixture
async def paid(stripe: InProcessStripe, request: pytest.FixtureRequest) -> Paid:
    """By a good card, unless another one is asked for."""
    return await Paid.by(stripe, getattr(request, "param", "pm_card_visa"))


async def lose(paid: Paid, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried once, and we do not know what became of it."""
    with monkeypatch.context() as patched:
        if what == "record":

            async def die(*_: object) -> int:
                raise UnavailableError("The log does not answer")

            patched.setattr(paid.shop.log, "append", die)
        else:
            paid.stripe.lose(answer=what == "answer")
        with pytest.raises(UnavailableError):
            await paid.react()


async def test_the_simulator_forgets_keys_after_a_day(paid: Paid) -> None:
    """What all this is about: without being asked first, it sends again."""

    async def send() -> str:
        answer = await paid.stripe.refund(paid.intent_id, 100, idempotency_key="key", metadata={})
        return answer.id

    first = await send()
    paid.shop.clock.at += A_DAY - timedelta(seconds=1)
    assert await send() == first
    paid.shop.clock.at += timedelta(seconds=1)
    assert await send() != first


class TestTheFirstTry:
    async def test_asks_the_provider_for_nothing_else(self, paid: Paid) -> None:
        await paid.ask_back()
        await paid.react()
        assert paid.stripe.requests == [SENT]
        assert await paid.gone() == PART

    async def test_nor_does_the_first_one_of_a_retry(self, paid: Paid) -> None:
        refund_id = await paid.ask_back()
        await paid.react()
        (sent,) = await paid.stripe.all("refunds")
        await paid.stripe.ask(f"/simulator/refunds/{sent['id']}/settle", outcome="failed")
        await paid.shop.handle(RecordRefunds(intent_id=paid.intent_id))
        paid.shop.clock.at += 2 * A_DAY
        await paid.shop.handle(RetryRefund(order_id=paid.order_id, refund_id=refund_id))
        paid.stripe.requests.clear()
        await paid.react()
        assert paid.stripe.requests == [SENT]
        assert await paid.gone() == PART

    async def test_that_comes_late_asks_first(self, paid: Paid) -> None:
        """The reactor was away: whether it has tried before, nobody knows."""
        await paid.ask_back()
        paid.shop.clock.at += A_DAY
        await paid.react()
        assert paid.stripe.requests == [ASKED, SENT]
        assert await paid.gone() == PART


class TestATryOfWhichWeDoNotKnow:
    @pytest.mark.parametrize("what", ["answer", "record"])
    @pytest.mark.parametrize(
        ("later", "requests"),
        [
            (timedelta(), [SENT]),
            (KEYS_STAND - timedelta(seconds=1), [SENT]),
            (KEYS_STAND, [ASKED]),
            (A_DAY, [ASKED]),
            (30 * A_DAY, [ASKED]),
        ],
    )
    async def test_is_not_sent_twice(
        self,
        paid: Paid,
        monkeypatch: pytest.MonkeyPatch,
        what: str,
        later: timedelta,
        requests: list[str],
    ) -> None:
        await paid.ask_back()
        await lose(paid, what, monkeypatch)
        assert await paid.states() == [RefundState.REQUESTED]
        paid.shop.clock.at += later
        paid.stripe.requests.clear()
        await paid.react()
        assert paid.stripe.requests == requests
        assert await paid.sent() == ["succeeded"]
        assert await paid.gone() == PART
        (refund,) = (await paid.payment()).refunds.values()
        assert (refund.status, refund.provider_id) == (
            RefundState.SUCCEEDED,
            (await paid.stripe.all("refunds"))[0]["id"],
        )

    @pytest.mark.parametrize("later", [timedelta(), A_DAY])
    async def test_is_sent_if_it_never_arrived(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch, later: timedelta
    ) -> None:
        await paid.ask_back()
        await lose(paid, "request", monkeypatch)
        paid.shop.clock.at += later
        await paid.react()
        assert await paid.sent() == ["succeeded"]
        assert await paid.gone() == PART

    async def test_waits_where_the_provider_cannot_be_asked(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await paid.ask_back()
        await lose(paid, "answer", monkeypatch)
        paid.shop.clock.at += A_DAY
        paid.stripe.lose(answer=True)
        with pytest.raises(PaymentProviderError):
            await paid.react()
        assert await paid.sent() == ["succeeded"]
        await paid.react()
        assert await paid.gone() == PART

    async def test_is_not_mistaken_for_another_of_the_same_amount(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await paid.ask_back()
        await paid.react()
        await paid.stripe.ask("/v1/refunds", payment_intent=paid.intent_id, amount=str(PART.minor))
        await paid.shop.handle(RecordRefunds(intent_id=paid.intent_id))
        await paid.ask_back()
        await lose(paid, "request", monkeypatch)
        paid.shop.clock.at += A_DAY
        await paid.react()
        assert await paid.sent() == ["succeeded"] * 3
        assert await paid.gone() == PART * 3

    async def test_is_not_sent_twice_if_somebody_asks_for_that_by_hand(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without a word of when it was asked for, it is taken for old."""
        refund_id = await paid.ask_back()
        await lose(paid, "answer", monkeypatch)
        paid.shop.clock.at += A_DAY
        payment = await paid.payment()
        for _ in range(2):
            await paid.shop.handle(SendRefund(payment_id=payment.id, refund_id=refund_id))
        assert await paid.gone() == PART

    @pytest.mark.parametrize("paid", ["pm_card_pendingRefund"], indirect=True)
    async def test_is_waited_for_while_it_is_on_its_way(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await paid.ask_back()
        await lose(paid, "answer", monkeypatch)
        paid.shop.clock.at += A_DAY
        await paid.react()
        assert await paid.states() == [RefundState.REQUESTED]
        assert await paid.sent() == ["pending"]
        (sent,) = await paid.stripe.all("refunds")
        await paid.stripe.ask(f"/simulator/refunds/{sent['id']}/settle", outcome="succeeded")
        await paid.shop.handle(RecordRefunds(intent_id=paid.intent_id))
        assert await paid.states() == [RefundState.SUCCEEDED]
        assert await paid.gone() == PART


class TestATryThatFailedAtTheProvider:
    """Its money is with us: the failure is recorded, and a further try goes out under a key of its own."""

    @pytest.mark.parametrize("paid", ["pm_card_refundFail"], indirect=True)
    @pytest.mark.parametrize("by_admin", [False, True])
    async def test_while_we_did_not_know_of_it(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch, by_admin: bool
    ) -> None:
        refund_id = await paid.ask_back()
        await lose(paid, "answer", monkeypatch)
        (sent,) = await paid.stripe.all("refunds")
        await paid.stripe.ask(f"/simulator/refunds/{sent['id']}/settle", outcome="failed")
        paid.shop.clock.at += A_DAY
        await paid.react()
        payment = await paid.payment()
        assert await paid.states() == [RefundState.FAILED]
        assert await paid.gone() == Money(0)
        await paid.shop.handle(
            RetryRefund(order_id=paid.order_id, refund_id=refund_id)
            if by_admin
            else RetryFailedRefund(payment_id=payment.id, refund_id=refund_id)
        )
        await lose(paid, "answer", monkeypatch)
        paid.shop.clock.at += A_DAY
        await paid.react()
        assert await paid.states() == [RefundState.FAILED, RefundState.SUCCEEDED]
        assert await paid.sent() == ["failed", "succeeded"]
        assert await paid.gone() == PART

    async def test_of_several_the_one_whose_money_went_is_the_answer(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As it was left by those who sent it once more when its key was forgotten."""
        refund_id = await paid.ask_back()
        for outcome in ("failed", "succeeded", "failed"):
            sent = await paid.stripe.refund(
                paid.intent_id, PART.minor, idempotency_key=outcome, metadata={"refundId": refund_id}
            )
            if outcome == "failed":
                await paid.stripe.ask(f"/simulator/refunds/{sent.id}/settle", outcome=outcome)
            await paid.stripe.control("forget-keys")
        paid.shop.clock.at += A_DAY
        await paid.react()
        assert await paid.states() == [RefundState.SUCCEEDED]
        assert await paid.gone() == PART

    async def test_because_it_knows_no_such_payment(
        self, paid: Paid, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """That is no reason to keep it waiting for ever, nor those behind it."""

        async def unknown(_: str) -> list[ProviderRefund]:
            raise PaymentNotFoundError("Payment not found")

        await paid.ask_back()
        monkeypatch.setattr(paid.stripe, "refunds", unknown)
        await paid.stripe.control("forget")
        paid.shop.clock.at += A_DAY
        await paid.react()
        assert await paid.states() == [RefundState.FAILED]


class TestMoneyForWhichThereIsNoOrder:
    """It goes back by itself, and where that failed so often that nobody tries any more, an admin does."""

    async def forsaken(self, stripe: InProcessStripe) -> tuple[Shop, str, Reactor]:
        clock = SteppedClock()
        await stripe.begin(clock)
        shop = Shop(provider=cast(Any, stripe), clock=clock)
        buyer = await shop.buyer()
        intent_id: str = (await shop.handle(PreparePayment(caller=buyer, amount=PART))).state.intent_id
        await shop.handle(
            ConfirmPayment(intent_id=intent_id, payment_method="pm_card_refundFail", caller=buyer)
        )
        clock.at += A_DAY
        await shop.handle(ReconcilePayment(intent_id=intent_id))
        return shop, intent_id, Reactor(shop.log, MemoryPlaces(), shop.bus, clock)

    async def now(self, shop: Shop, intent_id: str) -> Payment:
        payment: Payment = await shop.now(PAYMENTS, stream_id("payment", intent_id))
        return payment

    async def last_of(self, shop: Shop, intent_id: str) -> tuple[str, RefundState]:
        name, refund = list((await self.now(shop, intent_id)).refunds.items())[-1]
        return name, refund.status

    async def test_is_tried_again_by_an_admin_as_often_as_they_like(self, stripe: InProcessStripe) -> None:
        shop, intent_id, reactor = await self.forsaken(stripe)
        payment_id = (await self.now(shop, intent_id)).id

        async def fail() -> str:
            while await reactor.catch_up(SENDING_REFUNDS):
                pass
            newest = (await stripe.all("refunds"))[-1]
            await stripe.ask(f"/simulator/refunds/{newest['id']}/settle", outcome="failed")
            await shop.handle(RecordRefunds(intent_id=intent_id))
            name, state = await self.last_of(shop, intent_id)
            assert state is RefundState.FAILED
            return name

        failed = ""
        for _ in range(MOST_TRIES):
            failed = await fail()
            shop.clock.at += A_DAY
            await shop.handle(RetryFailedRefund(payment_id=payment_id, refund_id=failed))
        assert await self.last_of(shop, intent_id) == (failed, RefundState.FAILED)
        assert len(await stripe.all("refunds")) == MOST_TRIES

        by_hand = RetryRefundOfPayment(intent_id=intent_id, refund_id=failed)
        tried = (await shop.handle(by_hand)).state.refund_id
        failed_again = await fail()
        assert failed_again == tried
        head = await shop.log.head()
        assert (await shop.handle(by_hand)).state.refund_id == tried
        assert await shop.log.head() == head

        by_hand = RetryRefundOfPayment(intent_id=intent_id, refund_id=failed_again)
        once_more = (await shop.handle(by_hand)).state.refund_id
        while await reactor.catch_up(SENDING_REFUNDS):
            pass
        assert await self.last_of(shop, intent_id) == (once_more, RefundState.SUCCEEDED)
        (charge,) = await stripe.all("charges")
        assert charge["amount_refunded"] == PART.minor

    async def test_is_not_tried_again_while_it_is_on_its_way_nor_what_is_not_there(
        self, stripe: InProcessStripe
    ) -> None:
        shop, intent_id, _ = await self.forsaken(stripe)
        name, state = await self.last_of(shop, intent_id)
        assert state is RefundState.REQUESTED
        head = await shop.log.head()
        for wanted, refund_id, refusal in (
            (intent_id, name, RefundNotFailedError),
            (intent_id, f"{intent_id}-2", RefundNotFoundError),
            ("pi_none", name, PaymentNotFoundError),
        ):
            with pytest.raises(refusal):
                await shop.handle(RetryRefundOfPayment(intent_id=wanted, refund_id=refund_id))
        assert await shop.log.head() == head
