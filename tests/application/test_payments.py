"""Payments and what the provider says of them, in whatever order and number, and what is compared afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from msgspec.structs import replace

from application.adapters.event_store import EventStore
from application.errors import PaymentProviderError
from application.orders.cancelling import CancelOrder
from application.orders.placing import PlaceOrder
from application.payments.closing import SendRefund
from application.payments.confirming import ConfirmOrder
from application.payments.linking import PreparePayment
from application.payments.noting import KeepProviderEvent, RecordDispute, RecordRefunds
from application.payments.paying import (
    ConfirmPayment,
    PaymentResult,
    RecordPaymentResult,
    RequestPayment,
    record_payment_result,
)
from application.payments.reconciling import CompareRecent, ReconcilePayment
from application.ports import (
    AlreadyAnsweredError,
    Answer,
    Metadata,
    Once,
    PaymentIntent,
    ProviderDispute,
    ProviderMessage,
    ProviderRefund,
    StreamRef,
)
from application.processes.note_card import note_card_of
from domain.accounts.events import Caller
from domain.kernel import AccountId, ForbiddenError, InvalidInputError, OrderId, PaymentId, stream_id
from domain.listings.events import StockCommitted, StockReserved
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.events import (
    OrderConfirmed,
    OrderDisputed,
    OrderPaymentClosed,
    OrderPaymentFailed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderRefunded,
    PaymentStatus,
)
from domain.orders.order import (
    ORDERS,
    UNPAID_AFTER,
    Order,
    OrderAlreadyFinalError,
    OrderNotFoundError,
    PaymentAmountMismatchError,
    PaymentNotSucceededError,
)
from domain.payments.events import (
    PaymentActionRequired,
    PaymentCardNoted,
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
from domain.payments.payment import (
    PAYMENTS,
    Payment,
    PaymentFailedError,
    PaymentNotFoundError,
    PaymentState,
)
from domain.payments.provider_events import ProviderEventReceived
from domain.placing import WantedLine
from tests.application.shop import ADDRESS, METADATA, Counting, Shop

TOTAL = Money(1580)
"""Of one thing at 10.00, with tax and shipping."""

VISA = "pm_card_visa"
DECLINED = "pm_card_chargeDeclined"
SECURE = "pm_card_threeDSecure2Required"
SLOW = "pm_usBankAccount_processing"


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def buyer(shop: Shop) -> Caller:
    return await shop.buyer()


@pytest.fixture
async def listing(shop: Shop) -> Listing:
    return await shop.listing()


async def prepared(shop: Shop, buyer: Caller, amount: Money = TOTAL) -> Payment:
    """Each by a request of its own."""
    metadata = Metadata(actor="test", request_id=f"request-{len(shop.provider.intents)}")
    payment: Payment = (await shop.handle(PreparePayment(caller=buyer, amount=amount), metadata)).state
    return payment


async def payment_now(shop: Shop, intent_id: str) -> Payment:
    payment: Payment = await shop.now(PAYMENTS, stream_id("payment", intent_id))
    return payment


async def order_now(shop: Shop, order: Order) -> Order:
    now: Order = await shop.now(ORDERS, order.id)
    return now


async def ordered(shop: Shop, buyer: Caller, listing: Listing) -> tuple[Order, PaymentIntent]:
    """An order of one thing that waits for its payment, and the intent for that."""
    order = await shop.order(buyer, (listing, 1))
    payment: Payment = (await shop.handle(RequestPayment(order_id=order.id))).state
    return await order_now(shop, order), await shop.provider.intent(payment.intent_id)


def told(result: PaymentResult, intent: PaymentIntent, **fields: str) -> RecordPaymentResult:
    return RecordPaymentResult(result=result, intent=intent, **fields)


def once(key: str) -> Metadata:
    return Metadata(
        actor="stripe",
        once=Once(
            scope="stripe", key=key, request_hash=b"h", answer=lambda _: Answer(status=200, body=b"{}")
        ),
    )


class TestPreparingBeforeThereIsAnOrder:
    async def test_it_is_the_callers_and_known_to_the_provider_as_such(
        self, shop: Shop, buyer: Caller
    ) -> None:
        head = await shop.log.head()
        payment = await prepared(shop, buyer)
        assert [type(event) for event in await shop.events_after(head)] == [PaymentIntentCreated]
        assert (payment.order_id, payment.account_id, payment.amount) == (None, buyer.account_id, TOTAL)
        intent = await shop.provider.intent(payment.intent_id)
        assert intent.metadata == {"accountUuid": str(buyer.account_id)}

    async def test_a_request_that_is_repeated_prepares_one(self, shop: Shop, buyer: Caller) -> None:
        command = PreparePayment(caller=buyer, amount=TOTAL)
        await shop.handle(command, once("k"))
        with pytest.raises(AlreadyAnsweredError):
            await shop.handle(command, once("k"))
        assert len(shop.provider.intents) == 1

    async def test_what_names_itself_by_nothing_but_its_id_is_another_one_each_time(
        self, shop: Shop, buyer: Caller
    ) -> None:
        """A proxy may give every request the same."""
        command = PreparePayment(caller=buyer, amount=TOTAL)
        same = Metadata(actor="test", request_id="r-1")
        first, second = [(await shop.handle(command, same)).state.intent_id for _ in range(2)]
        assert first != second

    @pytest.mark.parametrize(
        ("amount", "field"),
        [
            (Money(49), "amount"),
            (Money(0), "amount"),
            (Money(-50), "amount"),
            (Money(100_000_000), "amount"),
            (Money(1580, "EUR"), "currency"),
        ],
    )
    async def test_what_cannot_be_taken_is_refused(
        self, shop: Shop, buyer: Caller, amount: Money, field: str
    ) -> None:
        head = await shop.log.head()
        with pytest.raises(InvalidInputError) as refused:
            await prepared(shop, buyer, amount)
        assert set(refused.value.details) == {field}
        assert await shop.log.head() == head
        assert shop.provider.intents == {}


class TestOrderingWithIt:
    async def test_payment_and_order_know_each_other_by_one_append(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        payment = await prepared(shop, buyer)
        head = await shop.log.head()
        order = await shop.order(buyer, (listing, 1), intent_id=payment.intent_id)
        assert {type(event) for event in await shop.events_after(head)} == {
            OrderPlaced,
            OrderPaymentLinked,
            StockReserved,
            PaymentLinkedToOrder,
        }
        now = await payment_now(shop, payment.intent_id)
        assert (now.order_id, now.order_number) == (order.id, order.number)
        assert (order.intent_id, order.paid) == (payment.intent_id, False)
        # What the API asks for afterwards is the same one.
        asked = await shop.handle(RequestPayment(order_id=order.id, caller=buyer))
        assert asked.state.intent_id == payment.intent_id
        assert len(shop.provider.intents) == 1

    async def test_what_is_paid_already_pays_the_order_at_once(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        payment = await prepared(shop, buyer)
        confirm = ConfirmPayment(intent_id=payment.intent_id, payment_method=VISA, caller=buyer)
        assert (await shop.handle(confirm)).state.status is PaymentState.SUCCEEDED
        head = await shop.log.head()
        order = await shop.order(buyer, (listing, 1), intent_id=payment.intent_id)
        assert {type(event) for event in await shop.events_after(head)} == {
            OrderPlaced,
            OrderPaymentLinked,
            OrderConfirmed,
            StockReserved,
            StockCommitted,
            PaymentLinkedToOrder,
        }
        assert order.paid
        after = await shop.listing_now(listing)
        assert (after.stock, after.reserved) == (9, 0)

    async def test_what_only_the_provider_knows_to_be_paid_pays_it_too(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        payment = await prepared(shop, buyer)
        shop.provider.become(payment.intent_id, "succeeded", brand="visa", last4="4242")
        order = await shop.order(buyer, (listing, 1), intent_id=payment.intent_id)
        assert order.paid
        now = await payment_now(shop, payment.intent_id)
        assert (now.status, now.last4) == (PaymentState.SUCCEEDED, "4242")

    async def test_it_counts_though_the_provider_does_not_answer(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        payment = await prepared(shop, buyer)
        shop.provider.down = True
        order = await shop.order(buyer, (listing, 1), intent_id=payment.intent_id)
        assert order.intent_id == payment.intent_id
        with pytest.raises(PaymentProviderError):
            await shop.order(buyer, (listing, 1), intent_id="pi_unknown")
        with pytest.raises(PaymentFailedError):
            await shop.order(buyer, (listing, 1), intent_id="../charges")

    @pytest.mark.parametrize("mine", [True, False])
    async def test_what_we_had_prepared_and_forgotten_is_recorded(
        self, shop: Shop, buyer: Caller, listing: Listing, *, mine: bool
    ) -> None:
        """We died after the provider had made it; or it was made elsewhere, and says nothing of anybody (C35)."""
        metadata = {"accountUuid": str(buyer.account_id)} if mine else {}
        intent = await shop.provider.create_intent(
            amount=1580, currency="usd", metadata=metadata, idempotency_key="k"
        )
        order = await shop.order(buyer, (listing, 1), intent_id=intent.id)
        now = await payment_now(shop, intent.id)
        assert (now.order_id, now.account_id, now.order_number) == (
            order.id,
            buyer.account_id,
            order.number,
        )
        assert not order.paid

    async def test_what_is_not_the_buyers_or_not_the_total_is_refused(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        stranger = await shop.buyer("mallory")
        theirs = await prepared(shop, stranger)
        little = await prepared(shop, buyer, Money(1579))
        taken = await prepared(shop, buyer)
        await shop.order(buyer, (listing, 1), intent_id=taken.intent_id)
        strange = await shop.provider.create_intent(
            amount=1580,
            currency="usd",
            metadata={"accountUuid": str(stranger.account_id)},
            idempotency_key="a",
        )
        unproven = await shop.provider.create_intent(
            amount=1580, currency="usd", metadata={}, idempotency_key="b"
        )
        shop.provider.become(unproven.id, "succeeded")
        head = await shop.log.head()
        for intent_id, field in (
            (theirs.intent_id, "paymentIntentId"),
            (little.intent_id, "amount"),
            (taken.intent_id, "paymentIntentId"),
            (strange.id, "paymentIntentId"),
            (unproven.id, "paymentIntentId"),
        ):
            with pytest.raises(PaymentAmountMismatchError) as refused:
                await shop.order(buyer, (listing, 1), intent_id=intent_id)
            assert set(refused.value.details) == {field}
        assert await shop.log.head() == head
        assert (await shop.listing_now(listing)).reserved == 1

    async def test_what_the_provider_does_not_know_or_take_is_refused(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        closed, back = await prepared(shop, buyer), await prepared(shop, buyer)
        await shop.provider.cancel_intent(closed.intent_id)
        await shop.handle(ConfirmPayment(intent_id=back.intent_id, payment_method=VISA, caller=buyer))
        shop.clock.at += UNPAID_AFTER
        await shop.handle(ReconcilePayment(intent_id=back.intent_id))
        head = await shop.log.head()
        for intent_id in ("pi_none", closed.intent_id, back.intent_id):
            with pytest.raises(PaymentFailedError) as refused:
                await shop.order(buyer, (listing, 1), intent_id=intent_id)
            assert set(refused.value.details) == {"paymentIntentId"}
        assert await shop.log.head() == head

    async def test_two_orders_at_once_never_take_one_payment(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        """In two processes, neither of which has heard of what the other does."""
        payment = await prepared(shop, buyer)
        for store in (shop.store, shop.another_store()):
            await store.load(PAYMENTS, payment.id)
        here, there = shop.bus, shop.bus_on(shop.another_store())
        tries = []
        for bus in (here, there) * 3:
            shop.bus = bus
            tries.append(shop.order(buyer, (listing, 1), intent_id=payment.intent_id))
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        placed = [outcome for outcome in outcomes if isinstance(outcome, Order)]
        assert len(placed) == 1
        assert {type(outcome) for outcome in outcomes} == {Order, PaymentAmountMismatchError}
        assert (await payment_now(shop, payment.intent_id)).order_id == placed[0].id

    async def test_whatever_is_first_of_order_and_money_the_order_is_paid_once(self, buyer: Caller) -> None:
        for turn in range(3):
            shop = Shop()
            somebody, listing = await shop.buyer(), await shop.listing()
            payment = await prepared(shop, somebody)
            intent = shop.provider.become(payment.intent_id, "succeeded")
            elsewhere = shop.another_store()
            await elsewhere.load(PAYMENTS, payment.id)
            shop.provider.become(payment.intent_id, "requires_payment_method")
            messages = [
                record_payment_result(shop.paid(intent), METADATA, store=store, clock=shop.clock)
                for store in (elsewhere, shop.store)
            ]
            ordering: list[Any] = [shop.order(somebody, (listing, 1), intent_id=payment.intent_id)]
            work = [*ordering, *messages] if turn else [*messages, *ordering]
            order = next(each for each in await asyncio.gather(*work) if isinstance(each, Order))
            now = await order_now(shop, order)
            assert (now.paid, now.intent_id) == (True, payment.intent_id)
            after = await shop.listing_now(listing)
            assert (after.stock, after.reserved) == (9, 0)
            assert (await payment_now(shop, payment.intent_id)).refunds == {}

    async def test_a_repeated_order_is_answered_though_its_payment_is_taken_by_now(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        payment = await prepared(shop, buyer)
        await shop.order(buyer, (listing, 1))
        command = PlaceOrder(
            caller=buyer,
            lines=(WantedLine(listing_id=listing.id, quantity=1),),
            shipping_address=ADDRESS,
            intent_id=payment.intent_id,
        )
        await shop.handle(command, once("k"))
        with pytest.raises(AlreadyAnsweredError):
            await shop.handle(command, once("k"))

    async def test_orders_without_one_take_no_more_round_trips_for_it(self) -> None:
        shop = Counting()
        buyer, listing = await shop.buyer(), await shop.listing()
        await shop.order(buyer, (listing, 1))
        before = shop.round_trips
        await shop.order(buyer, (listing, 1))
        assert shop.round_trips == before + 1


class TestConfirming:
    async def test_a_declined_card_is_recorded_refused_and_another_one_tried(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        head = await shop.log.head()
        confirm = ConfirmPayment(intent_id=intent.id, payment_method=DECLINED, caller=buyer)
        with pytest.raises(PaymentFailedError) as refused:
            await shop.handle(confirm, Metadata(actor="test", request_id="r-1"))
        assert refused.value.details == {"code": "card_declined"}
        assert [type(event) for event in await shop.events_after(head)] == [
            PaymentFailed,
            OrderPaymentFailed,
        ]
        failed = await payment_now(shop, intent.id)
        assert (failed.status, failed.failure_code) == (PaymentState.FAILED, "card_declined")
        # The provider's own word of it is no second failure.
        now = await shop.provider.intent(intent.id)
        said = told(PaymentResult.FAILED, now, failure_code=now.failure_code, failure_message="declined")
        head = await shop.log.head()
        await shop.handle(said, once("evt_1"))
        assert await shop.log.head() == head
        again = ConfirmPayment(intent_id=intent.id, payment_method=VISA, caller=buyer)
        paid = (await shop.handle(again, Metadata(actor="test", request_id="r-2"))).state
        assert (paid.status, paid.failure_code) == (PaymentState.SUCCEEDED, "")
        assert (await order_now(shop, order)).payment_status is PaymentStatus.PAID

    async def test_a_payer_who_has_to_do_more_is_told_where(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        confirm = ConfirmPayment(
            intent_id=intent.id, payment_method=SECURE, caller=buyer, return_url="https://bank.example"
        )
        waiting = (await shop.handle(confirm)).state
        assert waiting.status is PaymentState.REQUIRES_CONFIRMATION
        assert waiting.action_url == "https://bank.example"
        await shop.handle(shop.paid(shop.provider.become(intent.id, "succeeded")))
        paid = await payment_now(shop, intent.id)
        assert (paid.status, paid.action_url) == (PaymentState.SUCCEEDED, "")
        assert (await order_now(shop, order)).paid

    async def test_money_that_takes_days_is_on_its_way(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        confirm = ConfirmPayment(intent_id=intent.id, payment_method=SLOW, caller=buyer)
        for _ in range(2):
            assert (await shop.handle(confirm)).state.status is PaymentState.PROCESSING
        await shop.handle(told(PaymentResult.PROCESSING, intent))
        assert (await payment_now(shop, intent.id)).status is PaymentState.PROCESSING
        assert not (await order_now(shop, order)).paid

    async def test_it_is_the_payers_business_alone(self, shop: Shop, buyer: Caller, listing: Listing) -> None:
        stranger, payment = await shop.buyer("mallory"), await prepared(shop, buyer)
        with pytest.raises(ForbiddenError):
            await shop.handle(
                ConfirmPayment(intent_id=payment.intent_id, payment_method=VISA, caller=stranger)
            )
        with pytest.raises(PaymentNotFoundError):
            await shop.handle(ConfirmPayment(intent_id="pi_none", payment_method=VISA, caller=buyer))
        await shop.handle(told(PaymentResult.CLOSED, shop.provider.become(payment.intent_id, "canceled")))
        with pytest.raises(PaymentFailedError):
            await shop.handle(ConfirmPayment(intent_id=payment.intent_id, payment_method=VISA, caller=buyer))


class TestConfirmingTheOrder:
    async def test_it_is_paid_when_the_provider_says_so(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        confirm = ConfirmOrder(order_id=order.id, caller=buyer)
        with pytest.raises(PaymentNotSucceededError):
            await shop.handle(confirm)
        shop.provider.become(intent.id, "succeeded", brand="visa", last4="4242")
        for intent_id in ("", intent.id):
            done = await shop.handle(replace(confirm, intent_id=intent_id), once(f"k{intent_id}"))
            assert done.state.payment_status is PaymentStatus.PAID
        head = await shop.log.head()
        await shop.handle(shop.paid(intent), once("evt_1"))
        assert await shop.log.head() == head

    async def test_it_can_be_paid_by_it(self, shop: Shop, buyer: Caller, listing: Listing) -> None:
        order, _ = await ordered(shop, buyer, listing)
        with pytest.raises(PaymentFailedError):
            await shop.handle(ConfirmOrder(order_id=order.id, caller=buyer, payment_method=DECLINED))
        with pytest.raises(PaymentNotSucceededError):
            await shop.handle(ConfirmOrder(order_id=order.id, caller=buyer, payment_method=SECURE))
        assert (
            await shop.handle(ConfirmOrder(order_id=order.id, caller=buyer, payment_method=VISA))
        ).state.paid

    async def test_with_a_payment_that_the_buyer_prepared(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order = await shop.order(buyer, (listing, 1))
        with pytest.raises(PaymentNotSucceededError):
            await shop.handle(ConfirmOrder(order_id=order.id, caller=buyer))
        payment = await prepared(shop, buyer)
        shop.provider.become(payment.intent_id, "succeeded")
        confirm = ConfirmOrder(order_id=order.id, caller=buyer, intent_id=payment.intent_id)
        for _ in range(2):
            assert (await shop.handle(confirm)).state.paid
        after = await shop.listing_now(listing)
        assert (after.stock, after.reserved) == (9, 0)

    async def test_who_may_not_and_what_cannot(self, shop: Shop, buyer: Caller, listing: Listing) -> None:
        order, _ = await ordered(shop, buyer, listing)
        other, stranger = await prepared(shop, buyer), await shop.buyer("mallory")
        with pytest.raises(ForbiddenError):
            await shop.handle(ConfirmOrder(order_id=order.id, caller=stranger))
        with pytest.raises(OrderNotFoundError):
            await shop.handle(ConfirmOrder(order_id=OrderId(stream_id("order", "ORD-7")), caller=buyer))
        with pytest.raises(PaymentAmountMismatchError):
            await shop.handle(ConfirmOrder(order_id=order.id, caller=buyer, intent_id=other.intent_id))
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        with pytest.raises(OrderAlreadyFinalError):
            await shop.handle(ConfirmOrder(order_id=order.id, caller=buyer))


class TestWhatItWasPaidWith:
    async def test_is_asked_for_where_the_message_does_not_say(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order = await shop.order(buyer, (listing, 1))
        intent_id = (await shop.handle(RequestPayment(order_id=order.id))).state.intent_id
        there = shop.provider.become(intent_id, "succeeded", brand="visa", last4="4242")
        head = await shop.log.head()
        await shop.handle(shop.paid(replace(there, brand="", last4="")))
        (told,) = [each for each in await shop.events_after(head) if isinstance(each, PaymentSucceeded)]
        (command,) = note_card_of(told)
        for _ in range(2):
            await shop.handle(command)
        paid = await payment_now(shop, intent_id)
        assert (paid.status, paid.brand, paid.last4) == (PaymentState.SUCCEEDED, "visa", "4242")
        noted = [each for each in await shop.events_after(head) if isinstance(each, PaymentCardNoted)]
        assert len(noted) == 1

    def test_is_not_asked_for_where_it_is_known(self) -> None:
        told = PaymentSucceeded(
            payment_id=PaymentId(stream_id("payment", "pi_1")), brand="visa", last4="4242"
        )
        assert not note_card_of(told)


class TestWhatTheProviderSays:
    @pytest.mark.parametrize("order_of_messages", list(permutations(range(4))))
    async def test_in_any_order_and_number_it_comes_to_the_same_end(
        self, shop: Shop, buyer: Caller, listing: Listing, order_of_messages: tuple[int, ...]
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        said = [
            told(PaymentResult.FAILED, replace(intent, charge_id="ch_1"), failure_code="card_declined"),
            told(PaymentResult.ACTION_REQUIRED, intent),
            told(PaymentResult.PROCESSING, intent),
            shop.paid(intent),
        ]
        head = await shop.log.head()
        for _ in range(2):
            for number in order_of_messages:
                await shop.handle(said[number])
        events = await shop.events_after(head)
        for kind in (PaymentSucceeded, OrderConfirmed, StockCommitted):
            assert sum(isinstance(event, kind) for event in events) == 1
        assert sum(isinstance(event, PaymentFailed) for event in events) <= 1
        assert (await payment_now(shop, intent.id)).status is PaymentState.SUCCEEDED
        assert (await order_now(shop, order)).payment_status is PaymentStatus.PAID

    async def test_from_several_processes_at_once_it_counts_once(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        stores = [shop.store, shop.another_store(), shop.another_store()]
        await asyncio.gather(*(store.load(ORDERS, order.id) for store in stores))
        head = await shop.log.head()
        failed = told(PaymentResult.FAILED, intent, failure_code="card_declined")
        await asyncio.gather(
            *(
                record_payment_result(message, METADATA, store=store, clock=shop.clock)
                for store in stores
                for message in (failed, shop.paid(intent))
            )
        )
        events = await shop.events_after(head)
        assert sum(isinstance(event, OrderConfirmed) for event in events) == 1
        after = await shop.listing_now(listing)
        assert (after.stock, after.reserved) == (9, 0)

    async def test_a_payment_that_is_closed_gives_way_to_another(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, first = await ordered(shop, buyer, listing)
        closed = shop.provider.become(first.id, "canceled")
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(told(PaymentResult.CLOSED, closed))
        assert [type(event) for event in await shop.events_after(head)] == [
            PaymentIntentCancelled,
            OrderPaymentClosed,
        ]
        second = (await shop.handle(RequestPayment(order_id=order.id, caller=buyer))).state
        assert second.intent_id != first.id
        await shop.handle(shop.paid(await shop.provider.intent(second.intent_id)))
        assert (await order_now(shop, order)).intent_id == second.intent_id
        assert (await order_now(shop, order)).paid

    async def test_another_process_that_has_not_heard_of_the_closing_prepares_no_closed_one(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, first = await ordered(shop, buyer, listing)
        elsewhere: EventStore = shop.another_store()
        await shop.handle(told(PaymentResult.CLOSED, shop.provider.become(first.id, "canceled")))
        await elsewhere.load(ORDERS, order.id)
        second = (await shop.bus_on(elsewhere).handle(RequestPayment(order_id=order.id), METADATA)).state
        assert second.intent_id != first.id
        third = (await shop.handle(RequestPayment(order_id=order.id))).state
        assert third.intent_id == second.intent_id

    async def test_a_second_payment_of_a_paid_order_goes_back(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        await shop.handle(shop.paid(intent))
        second = await shop.provider.create_intent(
            amount=1580, currency="usd", metadata={"orderId": order.number}, idempotency_key="second"
        )
        paid = await order_now(shop, order)
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(shop.paid(second))
        events = await shop.events_after(head)
        assert [type(event) for event in events] == [
            PaymentIntentCreated,
            PaymentSucceeded,
            RefundRequested,
        ]
        requested = events[-1]
        assert isinstance(requested, RefundRequested)
        assert (requested.amount, requested.reason) == (TOTAL, "not_owed")
        refund = SendRefund(payment_id=requested.payment_id, refund_id=requested.refund_id)
        assert (await shop.handle(refund)).state.refundable == Money(0)
        assert await order_now(shop, order) == paid

    @pytest.mark.parametrize("amount", [1, 1579, 1581])
    async def test_another_amount_than_the_total_goes_back_whole_and_the_order_waits_on(
        self, shop: Shop, buyer: Caller, listing: Listing, amount: int
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        await shop.handle(shop.paid(replace(intent, amount=amount)))
        payment = await payment_now(shop, intent.id)
        assert payment.amount == Money(amount)
        assert [(each.amount, each.reason) for each in payment.refunds.values()] == [
            (Money(amount), "not_owed")
        ]
        now = await order_now(shop, order)
        assert (now.paid, now.intent_id, now.closed_intents) == (False, "", (intent.id,))
        again = (await shop.handle(RequestPayment(order_id=order.id))).state
        await shop.handle(shop.paid(await shop.provider.intent(again.intent_id)))
        assert (await order_now(shop, order)).paid

    async def test_money_for_nothing_that_we_know_is_nobodys(self, shop: Shop) -> None:
        intent = await shop.provider.create_intent(
            amount=1, currency="usd", metadata={"orderId": "ORD-1"}, idempotency_key="k"
        )
        for result in PaymentResult:
            assert (await shop.handle(told(result, intent))).state is None
        await shop.handle(RecordRefunds(intent_id=intent.id))
        assert await shop.log.head() == 0

    async def test_what_we_had_prepared_and_forgotten_is_remembered_when_it_is_paid(
        self, shop: Shop, buyer: Caller
    ) -> None:
        intent = await shop.provider.create_intent(
            amount=1580,
            currency="usd",
            metadata={"accountUuid": str(buyer.account_id)},
            idempotency_key="k",
        )
        await shop.handle(shop.paid(intent))
        assert (await payment_now(shop, intent.id)).account_id == buyer.account_id

    async def test_what_is_not_for_us_is_kept_once(self, shop: Shop) -> None:
        message = ProviderMessage(
            id="evt_1", kind="customer.created", object_id="cus_1", created_at=shop.clock.at
        )
        for _ in range(2):
            await shop.handle(KeepProviderEvent(message=message))
        assert await shop.events_after(0) == [
            ProviderEventReceived(
                event_id="evt_1", kind="customer.created", object_id="cus_1", created_at=shop.clock.at
            )
        ]


class TestMoneyThatGoesBack:
    async def paid(self, shop: Shop, buyer: Caller, listing: Listing) -> tuple[Order, PaymentIntent]:
        order, intent = await ordered(shop, buyer, listing)
        intent = shop.provider.become(intent.id, "succeeded")
        await shop.handle(shop.paid(intent))
        return await order_now(shop, order), intent

    def sent(self, shop: Shop, intent: PaymentIntent, amount: int, **fields: Any) -> None:
        number = len(shop.provider.sent_back) + 1
        refund = ProviderRefund(
            **{
                "id": f"re_{number}",
                "amount": amount,
                "status": "succeeded",
                "intent_id": intent.id,
                **fields,
            }
        )
        shop.provider.sent_back[f"by hand {refund.id}"] = refund

    async def test_without_us_is_noted_once_on_payment_and_order(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await self.paid(shop, buyer, listing)
        self.sent(shop, intent, 500)
        head = await shop.log.head()
        for turn in range(3):
            await shop.handle(RecordRefunds(intent_id=intent.id), once(f"evt_{turn}"))
        assert [type(event) for event in await shop.events_after(head)] == [RefundNoted, OrderRefunded]
        assert (await order_now(shop, order)).refunded == Money(500)
        self.sent(shop, intent, 1080)
        await shop.handle(RecordRefunds(intent_id=intent.id))
        assert (await order_now(shop, order)).payment_status is PaymentStatus.REFUNDED
        assert (await payment_now(shop, intent.id)).refundable == Money(0)

    async def test_ours_are_known_by_the_names_that_we_gave_them(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await self.paid(shop, buyer, listing)
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        (refund_id,) = (await payment_now(shop, intent.id)).refunds
        # The provider has sent it, and we died before we wrote that down.
        self.sent(shop, intent, 1580, metadata={"refundId": refund_id})
        head = await shop.log.head()
        await shop.handle(RecordRefunds(intent_id=intent.id))
        assert [type(event) for event in await shop.events_after(head)] == [RefundSucceeded, OrderRefunded]
        payment = await payment_now(shop, intent.id)
        await shop.handle(SendRefund(payment_id=payment.id, refund_id=refund_id))
        await shop.handle(RecordRefunds(intent_id=intent.id))
        assert len(await shop.events_after(head)) == 2

    async def test_one_that_is_pending_waits_and_one_that_fails_is_told(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await self.paid(shop, buyer, listing)
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        (refund_id,) = (await payment_now(shop, intent.id)).refunds
        ours = {"refundId": refund_id}
        head = await shop.log.head()
        self.sent(shop, intent, 1580, id="re_1", status="pending", metadata=ours)
        await shop.handle(RecordRefunds(intent_id=intent.id))
        assert await shop.log.head() == head
        self.sent(
            shop, intent, 1580, id="re_1", status="failed", metadata=ours, failure_code="lost_or_stolen_card"
        )
        for _ in range(2):
            await shop.handle(RecordRefunds(intent_id=intent.id))
        (failed,) = await shop.events_after(head)
        assert isinstance(failed, RefundFailed)
        assert failed.code == "lost_or_stolen_card"

    async def test_what_a_bank_sends_back_days_later_is_with_us_again(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        """It had succeeded, ours as well as one that was made at the provider, and then did not after all."""
        order, intent = await self.paid(shop, buyer, listing)
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        (refund_id,) = (await payment_now(shop, intent.id)).refunds
        for status in ("succeeded", "failed"):
            shop.provider.sent_back.clear()
            self.sent(shop, intent, 1580, status=status, metadata={"refundId": refund_id})
            head = await shop.log.head()
            for _ in range(2):
                await shop.handle(RecordRefunds(intent_id=intent.id))
            events = await shop.events_after(head)
            assert len(events) == 2
        assert (await order_now(shop, order)).refunded == Money(0)
        assert (await payment_now(shop, intent.id)).refundable == TOTAL

    async def test_before_we_heard_that_it_had_come_both_are_recorded(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        intent = shop.provider.become(intent.id, "succeeded")
        self.sent(shop, intent, 1580)
        await shop.handle(RecordRefunds(intent_id=intent.id), once("evt_1"))
        await shop.handle(shop.paid(intent), once("evt_2"))
        now = await order_now(shop, order)
        assert (now.paid, now.payment_status) == (True, PaymentStatus.REFUNDED)

    @pytest.mark.parametrize("statuses", list(permutations(["needs_response", "under_review", "won"])))
    async def test_what_the_bank_says_is_noted_and_its_last_word_stays(
        self, shop: Shop, buyer: Caller, listing: Listing, statuses: tuple[str, ...]
    ) -> None:
        order, intent = await self.paid(shop, buyer, listing)
        head = await shop.log.head()
        for status in statuses * 2:
            dispute = ProviderDispute(
                id="dp_1",
                intent_id=intent.id,
                amount=1580,
                currency="usd",
                reason="fraudulent",
                status=status,
            )
            await shop.handle(RecordDispute(dispute=dispute))
        events = await shop.events_after(head)
        assert sum(isinstance(event, PaymentDisputed) for event in events) == len(events) / 2
        assert sum(isinstance(event, OrderDisputed) for event in events) == len(events) / 2
        assert (await payment_now(shop, intent.id)).disputes == {"dp_1": "won"}
        assert (await order_now(shop, order)).disputes["dp_1"].status == "won"


class TestComparing:
    async def compared(self, shop: Shop, intent_id: str) -> list[type]:
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(ReconcilePayment(intent_id=intent_id))
        return [type(event) for event in await shop.events_after(head)]

    @pytest.mark.parametrize(
        ("status", "fields", "events"),
        [
            ("succeeded", {}, [PaymentSucceeded, OrderConfirmed, StockCommitted]),
            ("canceled", {}, [PaymentIntentCancelled, OrderPaymentClosed]),
            ("requires_action", {}, [PaymentActionRequired]),
            ("processing", {}, [PaymentProcessing]),
            (
                "requires_payment_method",
                {"failure_code": "card_declined", "charge_id": "ch_1"},
                [PaymentFailed, OrderPaymentFailed],
            ),
            ("requires_payment_method", {}, []),
        ],
    )
    async def test_repairs_what_a_lost_message_left(
        self, shop: Shop, status: str, fields: dict[str, str], events: list[type]
    ) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        _, intent = await ordered(shop, buyer, listing)
        shop.provider.become(intent.id, status, **fields)
        assert await self.compared(shop, intent.id) == events

    async def test_repairs_refunds_and_disputes_too(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        _, intent = await ordered(shop, buyer, listing)
        shop.provider.become(intent.id, "succeeded")
        shop.provider.sent_back["k"] = ProviderRefund(
            id="re_1", amount=80, status="succeeded", intent_id=intent.id
        )
        shop.provider.disputed.append(
            ProviderDispute(
                id="dp_1", intent_id=intent.id, amount=1500, currency="usd", reason="", status="lost"
            )
        )
        assert await self.compared(shop, intent.id) == [
            PaymentSucceeded,
            OrderConfirmed,
            StockCommitted,
            RefundNoted,
            OrderRefunded,
            PaymentDisputed,
            OrderDisputed,
        ]

    async def test_what_no_order_was_placed_with_is_closed_in_time_and_not_before(
        self, shop: Shop, buyer: Caller
    ) -> None:
        payment = await prepared(shop, buyer)
        shop.clock.at = payment.created_at + UNPAID_AFTER - timedelta(seconds=1)
        assert await self.compared(shop, payment.intent_id) == []
        shop.clock.at += timedelta(seconds=1)
        assert await self.compared(shop, payment.intent_id) == [PaymentIntentCancelled]
        assert (await shop.provider.intent(payment.intent_id)).status == "canceled"

    async def test_what_was_on_its_way_when_its_order_was_cancelled_is_closed_when_it_fails(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        await shop.handle(ConfirmPayment(intent_id=intent.id, payment_method=SLOW, caller=buyer))
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        assert await self.compared(shop, intent.id) == []
        shop.provider.become(intent.id, "requires_payment_method", failure_code="account_closed")
        assert await self.compared(shop, intent.id) == [PaymentIntentCancelled]
        assert (await shop.provider.intent(intent.id)).status == "canceled"

    async def test_what_no_order_was_placed_with_and_is_paid_goes_back(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        payment = await prepared(shop, buyer)
        await shop.handle(ConfirmPayment(intent_id=payment.intent_id, payment_method=VISA, caller=buyer))
        shop.clock.at = payment.created_at + UNPAID_AFTER - timedelta(seconds=1)
        assert await self.compared(shop, payment.intent_id) == []
        shop.clock.at += timedelta(seconds=1)
        assert await self.compared(shop, payment.intent_id) == [RefundRequested]
        (refund,) = (await payment_now(shop, payment.intent_id)).refunds.values()
        assert (refund.amount, refund.reason) == (TOTAL, "no_order")

    async def test_what_cannot_go_back_is_asked_back_once_and_buys_nothing_any_more(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        """It is tried again as all refunds are; an order would be sent, and its money with the next try."""
        payment = await prepared(shop, buyer)
        await shop.handle(ConfirmPayment(intent_id=payment.intent_id, payment_method=VISA, caller=buyer))
        shop.clock.at = payment.created_at + UNPAID_AFTER
        assert await self.compared(shop, payment.intent_id) == [RefundRequested]
        (refund_id,) = (await payment_now(shop, payment.intent_id)).refunds

        def refused(now: Payment | None) -> list[PaymentEvent]:
            assert now is not None
            return now.fail_refund(refund_id, "expired_or_canceled_card", "No")

        await shop.store.change(PAYMENTS, payment.id, refused, METADATA)
        assert await self.compared(shop, payment.intent_id) == []
        with pytest.raises(PaymentFailedError):
            await shop.order(buyer, (listing, 1), intent_id=payment.intent_id)
        assert (await shop.listing_now(listing)).reserved == 0

    async def test_an_order_that_is_placed_in_the_last_moment_keeps_its_money(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        payment = await prepared(shop, buyer)
        shop.clock.at = payment.created_at + UNPAID_AFTER
        shop.provider.become(payment.intent_id, "succeeded")
        elsewhere = shop.bus_on(shop.another_store())
        outcomes = await asyncio.gather(
            shop.order(buyer, (listing, 1), intent_id=payment.intent_id),
            elsewhere.handle(ReconcilePayment(intent_id=payment.intent_id), METADATA),
            return_exceptions=True,
        )
        refunds = (await payment_now(shop, payment.intent_id)).refunds
        if isinstance(outcomes[0], Order):
            assert (outcomes[0].paid, refunds) == (True, {})
        else:
            assert isinstance(outcomes[0], PaymentFailedError)
            assert [refund.reason for refund in refunds.values()] == ["no_order"]

    async def test_a_provider_that_is_away_has_said_nothing(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        _, intent = await ordered(shop, buyer, listing)
        shop.provider.down = True
        with pytest.raises(PaymentProviderError):
            await shop.handle(ReconcilePayment(intent_id=intent.id))
        with pytest.raises(PaymentNotFoundError):
            await shop.handle(ReconcilePayment(intent_id="pi_none"))


class TestComparingWhatIsRecent:
    async def test_finds_what_went_back_and_what_banks_said_of_what_was_settled_long_ago(
        self, shop: Shop, buyer: Caller, listing: Listing
    ) -> None:
        order, intent = await ordered(shop, buyer, listing)
        await shop.handle(shop.paid(shop.provider.become(intent.id, "succeeded")))
        for of, number in ((intent.id, 1), ("pi_of_somebody_else", 2), ("", 3)):
            shop.provider.sent_back[str(number)] = ProviderRefund(
                id=f"re_{number}", amount=80, status="succeeded", intent_id=of
            )
            shop.provider.disputed.append(
                ProviderDispute(
                    id=f"dp_{number}", intent_id=of, amount=1, currency="usd", reason="", status="lost"
                )
            )
        head = await shop.log.head()
        bus = shop.bus_on(shop.another_store())
        repaired = [(await bus.handle(CompareRecent(), METADATA)).state.repaired for _ in range(2)]
        assert repaired == [(intent.id,), ()]
        assert [type(event) for event in await shop.events_after(head)] == [
            RefundNoted,
            OrderRefunded,
            PaymentDisputed,
            OrderDisputed,
        ]
        assert (await order_now(shop, order)).refunded == Money(80)

    async def test_costs_the_log_nothing_where_all_is_known(self) -> None:
        shop = Counting()
        buyer, listing = await shop.buyer(), await shop.listing()
        _, intent = await ordered(shop, buyer, listing)
        await shop.handle(shop.paid(shop.provider.become(intent.id, "succeeded")))
        shop.provider.sent_back["k"] = ProviderRefund(
            id="re_1", amount=80, status="succeeded", intent_id=intent.id
        )
        await shop.handle(CompareRecent())
        before = shop.round_trips
        await shop.handle(CompareRecent())
        assert shop.round_trips == before


async def test_who_has_left_for_good_can_still_be_paid_back() -> None:
    """Money came for an order whose buyer is erased by now: of them nothing is written, of the money all."""
    shop = Shop()
    buyer, listing = await shop.buyer(), await shop.listing()
    order = await shop.order(buyer, (listing, 1))
    await shop.keys.destroy(AccountId(buyer.account_id))
    intent = await shop.provider.create_intent(
        amount=99, currency="usd", metadata={"orderId": order.number}, idempotency_key="k"
    )
    await shop.handle(shop.paid(intent))
    (loaded,) = await shop.another_store().load_many([ref(intent.id)])
    assert loaded.present.client_secret == ""
    assert [refund.reason for refund in loaded.present.refunds.values()] == ["not_owed"]


def ref(intent_id: str) -> Any:
    return StreamRef(PAYMENTS, stream_id("payment", intent_id))
