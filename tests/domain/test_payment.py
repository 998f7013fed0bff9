"""What a payment may become, by what the provider says of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from domain.kernel import OrderId, PaymentId, RuleViolatedError, stream_id
from domain.money import Money
from domain.payments.events import (
    PaymentActionRequired,
    PaymentDisputed,
    PaymentEvent,
    PaymentFailed,
    PaymentIntentCancelled,
    PaymentIntentCreated,
    PaymentLinkedToOrder,
    PaymentProcessing,
    PaymentSucceeded,
    RefundFailed,
    RefundNoted,
    RefundRequested,
    RefundSucceeded,
)
from domain.payments.payment import PAYMENTS, Payment, PaymentState, RefundTooLargeError
from domain.payments.provider_events import PROVIDER_EVENTS, ProviderEventReceived, keep
from tests.domain.builders import BUYER, NOW, ORDER_ID

PAYMENT_ID = PaymentId(stream_id("payment", "pi_1"))
SUCCEEDED = PaymentSucceeded(payment_id=PAYMENT_ID, brand="visa", last4="4242", account_id=BUYER.account_id)
CLOSED = PaymentIntentCancelled(payment_id=PAYMENT_ID)
FAILED = PaymentFailed(payment_id=PAYMENT_ID, code="card_declined", message="No", attempt="ch_1")
ACTION = PaymentActionRequired(payment_id=PAYMENT_ID, url="https://bank.example", account_id=BUYER.account_id)
PROCESSING = PaymentProcessing(payment_id=PAYMENT_ID)
LINKED = PaymentLinkedToOrder(payment_id=PAYMENT_ID, order_id=ORDER_ID, order_number="ORD-1")


def a_payment(*events: PaymentEvent, order: bool = False) -> Payment:
    created = PaymentIntentCreated(
        payment_id=PAYMENT_ID,
        intent_id="pi_1",
        order_id=ORDER_ID if order else None,
        account_id=BUYER.account_id,
        amount=Money(1000),
        client_secret="secret",
        created_at=NOW,
    )
    return PAYMENTS.after(None, [created, *events])


def asked_back(minor: int, number: int = 1) -> RefundRequested:
    return RefundRequested(
        payment_id=PAYMENT_ID, refund_id=f"pi_1-{number}", amount=Money(minor), reason="not_owed"
    )


class TestWhatTheProviderSays:
    @pytest.mark.parametrize(
        ("event", "status"),
        [
            (ACTION, PaymentState.REQUIRES_CONFIRMATION),
            (PROCESSING, PaymentState.PROCESSING),
            (FAILED, PaymentState.FAILED),
            (CLOSED, PaymentState.FAILED),
            (SUCCEEDED, PaymentState.SUCCEEDED),
        ],
    )
    def test_it_has_the_five_words_of_s2(self, event: PaymentEvent, status: PaymentState) -> None:
        assert a_payment().status is PaymentState.REQUIRES_PAYMENT_METHOD
        assert a_payment(event).status is status

    @pytest.mark.parametrize("end", [SUCCEEDED, CLOSED])
    @pytest.mark.parametrize(
        "say",
        [
            lambda payment: payment.fail("card_declined", "No", "ch_2"),
            lambda payment: payment.require_action("https://bank.example"),
            lambda payment: payment.start_processing(),
            lambda payment: payment.cancel(),
        ],
    )
    def test_after_its_end_a_late_word_means_nothing(
        self, end: PaymentEvent, say: Callable[[Payment], list[PaymentEvent]]
    ) -> None:
        assert say(a_payment(end)) == []

    def test_money_comes_once_and_even_to_what_was_closed(self) -> None:
        assert a_payment().succeed("visa", "4242") == [SUCCEEDED]
        assert a_payment(CLOSED).succeed("visa", "4242") == [SUCCEEDED]
        assert a_payment(SUCCEEDED).succeed("visa", "4242") == []

    def test_what_was_taken_is_said_only_where_it_is_not_what_was_asked(self) -> None:
        taken = PaymentSucceeded(payment_id=PAYMENT_ID, account_id=BUYER.account_id)
        assert a_payment().succeed("", "", Money(1000)) == [taken]
        (other,) = a_payment().succeed("", "", Money(999))
        assert other == replace(taken, amount=Money(999))
        assert a_payment(other).refundable == Money(999)

    def test_each_try_fails_once_however_often_it_is_told(self) -> None:
        failed = a_payment(FAILED)
        assert failed.fail("card_declined", "No", "ch_1") == []
        assert len(failed.fail("card_declined", "No", "ch_2")) == 1
        assert a_payment(FAILED, PROCESSING).fail("card_declined", "No", "ch_1") == []
        nameless = a_payment(PaymentFailed(payment_id=PAYMENT_ID, code="lost", message=""))
        assert nameless.fail("lost", "") == []
        assert len(nameless.fail("found", "")) == 1

    def test_why_it_failed_is_forgotten_by_the_next_try(self) -> None:
        failed = a_payment(FAILED)
        assert (failed.failure_code, failed.failure_message) == ("card_declined", "No")
        for event in (ACTION, PROCESSING, SUCCEEDED):
            again = a_payment(FAILED, event)
            assert (again.failure_code, again.failure_message) == ("", "")

    def test_the_page_to_go_to_is_told_until_it_is_over(self) -> None:
        assert a_payment(ACTION).action_url == "https://bank.example"
        assert a_payment(ACTION).require_action("https://bank.example") == []
        assert len(a_payment(ACTION).require_action("https://other.example")) == 1
        for event in (PROCESSING, FAILED, SUCCEEDED, CLOSED):
            assert a_payment(ACTION, event).action_url == ""


class TestItsOrder:
    def test_is_one_and_stays_that(self) -> None:
        assert a_payment().link(ORDER_ID, "ORD-1") == [LINKED]
        linked = a_payment(LINKED)
        assert (linked.order_id, linked.order_number) == (ORDER_ID, "ORD-1")
        assert linked.link(ORDER_ID, "ORD-1") == []
        with pytest.raises(RuleViolatedError):
            linked.link(OrderId(stream_id("order", "ORD-7")), "ORD-7")


class TestSendingBack:
    def test_nobody_gets_back_more_than_they_paid(self) -> None:
        paid = a_payment(SUCCEEDED)
        assert paid.request_refund(Money(1000), "not_owed") == [asked_back(1000)]
        partly = a_payment(SUCCEEDED, asked_back(600))
        assert partly.refundable == Money(400)
        with pytest.raises(RefundTooLargeError):
            partly.request_refund(Money(401), "not_owed")
        with pytest.raises(RefundTooLargeError):
            a_payment().request_refund(Money(1), "not_owed")

    def test_what_others_send_back_is_noted_once_and_never_leaves_less_than_nothing(self) -> None:
        paid = a_payment(SUCCEEDED, asked_back(600))
        (noted,) = paid.note_refund("re_9", Money(1000))
        assert noted == RefundNoted(
            payment_id=PAYMENT_ID, refund_id="pi_1-2", provider_id="re_9", amount=Money(1000)
        )
        after = a_payment(SUCCEEDED, asked_back(600), noted)
        assert after.note_refund("re_9", Money(1000)) == []
        assert after.refundable == Money(0)

    def test_one_that_failed_is_there_to_be_sent_again(self) -> None:
        failed = RefundFailed(payment_id=PAYMENT_ID, refund_id="pi_1-1", code="x", message="")
        payment = a_payment(SUCCEEDED, asked_back(600), failed)
        assert payment.refundable == Money(1000)
        assert payment.fail_refund("pi_1-1", "x", "") == []
        assert len(payment.retry_refund("pi_1-1")) == 1


class TestDisputes:
    def said(self, status: str) -> PaymentDisputed:
        return PaymentDisputed(payment_id=PAYMENT_ID, dispute_id="dp_1", amount=Money(1000), status=status)

    def test_each_word_is_noted_once(self) -> None:
        assert a_payment().dispute("dp_1", Money(1000), "", "needs_response") == [self.said("needs_response")]
        open_one = a_payment(self.said("needs_response"))
        assert open_one.dispute("dp_1", Money(1000), "", "needs_response") == []
        assert len(open_one.dispute("dp_2", Money(1), "", "needs_response")) == 1

    @pytest.mark.parametrize("last", ["won", "lost", "warning_closed"])
    def test_the_last_word_stays(self, last: str) -> None:
        ended = a_payment(self.said(last))
        assert ended.dispute("dp_1", Money(1000), "", "under_review") == []

    def test_a_bank_may_change_its_mind(self) -> None:
        assert len(a_payment(self.said("won")).dispute("dp_1", Money(1000), "", "lost")) == 1

    def test_what_the_bank_took_for_the_payer_does_not_go_back_once_more(self) -> None:
        open_one = a_payment(SUCCEEDED, self.said("needs_response"))
        assert open_one.refundable == Money(1000)
        lost = a_payment(SUCCEEDED, self.said("needs_response"), self.said("lost"))
        assert lost.refundable == Money(0)
        with pytest.raises(RefundTooLargeError):
            lost.request_refund(Money(1), "by_admin")
        part = replace(self.said("lost"), amount=Money(300))
        assert a_payment(SUCCEEDED, part).refundable == Money(700)
        assert a_payment(SUCCEEDED, part, part).refundable == Money(700)
        assert a_payment(SUCCEEDED, part, asked_back(1000)).refundable == Money(0)
        assert a_payment(SUCCEEDED, self.said("lost"), self.said("won")).refundable == Money(1000)
        foreign = replace(self.said("lost"), amount=Money(300, "EUR"))
        assert a_payment(SUCCEEDED, foreign).refundable == Money(0)

    def test_nothing_is_not_sent_back(self) -> None:
        assert a_payment(SUCCEEDED).request_refund(Money(0), "not_owed") == []
        lost = a_payment(SUCCEEDED, self.said("lost"))
        assert lost.request_refund(lost.refundable, "order_cancelled") == []

    def test_what_failed_before_the_bank_took_it_is_not_tried_again(self) -> None:
        refused = RefundFailed(payment_id=PAYMENT_ID, refund_id="pi_1-1", code="charge_disputed", message="")
        events = (SUCCEEDED, asked_back(1000), refused, self.said("lost"))
        with pytest.raises(RefundTooLargeError):
            a_payment(*events).retry_refund("pi_1-1")


class TestWhetherThereIsMoreToBeKnown:
    @pytest.mark.parametrize("events", [(), (FAILED,), (ACTION,), (PROCESSING,)])
    def test_as_long_as_nothing_has_come_of_it(self, events: tuple[PaymentEvent, ...]) -> None:
        assert a_payment(*events, order=True).unsettled

    def test_money_without_an_order_waits_for_one_or_to_go_back(self) -> None:
        assert a_payment(SUCCEEDED).unsettled
        assert not a_payment(SUCCEEDED, LINKED).unsettled
        settled = RefundSucceeded(payment_id=PAYMENT_ID, refund_id="pi_1-1", provider_id="re_1")
        assert a_payment(SUCCEEDED, asked_back(1000)).unsettled
        assert not a_payment(SUCCEEDED, asked_back(1000), settled).unsettled

    def test_not_of_what_is_closed_or_made(self) -> None:
        assert not a_payment(CLOSED, order=True).unsettled
        assert not a_payment(SUCCEEDED, order=True).unsettled


def test_what_the_provider_tells_us_is_kept_once() -> None:
    event = ProviderEventReceived(event_id="evt_1", kind="customer.created")
    assert keep(None, event) == [event]
    assert keep(PROVIDER_EVENTS.fold(None, [event]), event) == []
