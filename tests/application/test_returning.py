"""Returns, refunds and the numbers of invoices, whoever comes first; on a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from application.orders.invoicing import IssueInvoice
from application.orders.refunding import (
    MOST_TRIES,
    Refunded,
    RefundOrder,
    RetryFailedRefund,
    RetryRefund,
)
from application.orders.returning import (
    ApproveReturn,
    ReceiveReturn,
    RejectReturn,
    RequestReturn,
    Returned,
    ReturnItem,
)
from application.payments.closing import SendRefund
from application.payments.paying import RequestPayment
from application.ports import Metadata, ProviderRefund, StreamRef
from application.processes.issue_invoice import issue_invoice_of
from application.processes.send_refund import send_refund_of
from domain.accounts.events import Caller, Role
from domain.kernel import ForbiddenError, OrderId, PaymentId, RuleViolatedError, stream_id
from domain.listings.events import StockRestored
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.events import (
    InvoiceIssued,
    InvoiceNumberGiven,
    OrderConfirmed,
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnReceived,
    OrderStatus,
    PaymentStatus,
    ReturnStatus,
)
from domain.orders.order import ORDERS, RETURN_WINDOW, Order, OrderCannotReturnError, OrderNotFoundError
from domain.paying import refund_failed
from domain.payments.events import (
    PaymentIntentCreated,
    PaymentSucceeded,
    RefundFailed,
    RefundRequested,
    RefundRetried,
    RefundSucceeded,
)
from domain.payments.payment import (
    PAYMENTS,
    NothingPaidError,
    Payment,
    PaymentFailedError,
    RefundNotFailedError,
    RefundNotFoundError,
    RefundState,
    RefundTooLargeError,
)
from domain.sellers.events import seller_of
from tests.application.shop import METADATA, Provider, Shop


class Moody(Provider):
    """Sends money back, or refuses, or is not sure yet."""

    def __init__(self) -> None:
        super().__init__()
        self.says = "succeeded"
        self.asked: list[str] = []

    async def refund(
        self,
        intent_id: str,
        amount: int,
        *,
        idempotency_key: str,
        metadata: Mapping[str, str] = {},
    ) -> ProviderRefund:
        self.asked.append(idempotency_key)
        if self.says == "refused":
            raise PaymentFailedError("No", details={"code": "expired_or_canceled_card"})
        return ProviderRefund(id=f"re_{idempotency_key}", amount=amount, status=self.says)


@pytest.fixture
def provider() -> Moody:
    return Moody()


@pytest.fixture
def shop(provider: Moody) -> Shop:
    return Shop(provider=provider)


ADMIN = Caller(account_id=stream_id("account", "admin"), number=99, roles=frozenset({Role.ADMIN}))  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Sold:
    """Three units of something that there are ten of, of somebody's own, paid and delivered."""

    shop: Shop
    buyer: Caller
    seller: Caller
    listing: Listing
    order: Order
    intent_id: str = "pi_1"
    reacted: int = 0

    @classmethod
    async def by(cls, shop: Shop, *, delivered: bool = True, paid: bool = True) -> Sold:
        buyer, seller = await shop.buyer("emily"), await shop.buyer("jane")
        listing = await shop.listing(price=1234, seller_id=seller_of(seller.account_id))
        order = await shop.order(buyer, (listing, 3))
        await shop.handle(RequestPayment(order_id=order.id))
        sold = cls(shop=shop, buyer=buyer, seller=seller, listing=listing, order=order)
        if paid:
            await shop.handle(shop.paid(await shop.provider.intent(sold.intent_id)))
        if delivered:
            await sold.deliver()
        return sold

    async def deliver(self) -> None:
        def arrived(order: Order | None) -> Any:
            assert order is not None
            return order.advance(OrderStatus.DELIVERED, self.shop.clock.now(), parcels=[1], may_skip=True)

        await self.shop.store.change(ORDERS, self.order.id, arrived, METADATA)

    async def ask(self, quantity: int = 3, caller: Caller | None = None) -> UUID:
        command = RequestReturn(
            order_id=self.order.id,
            caller=caller or self.buyer,
            reason="too small",
            items=(ReturnItem(listing_id=self.listing.id, quantity=quantity),),
        )
        returned: Returned = (await self.shop.handle(command)).state
        return returned.return_id

    async def receive(self, return_id: UUID, caller: Caller | None = None, **fields: Any) -> Returned:
        command = ReceiveReturn(
            order_id=self.order.id, return_id=return_id, caller=caller or self.seller, **fields
        )
        returned: Returned = (await self.shop.handle(command)).state
        return returned

    async def react(self) -> None:
        """As the reactor does, until nothing follows any more."""
        while events := await self.shop.events_after(self.reacted):
            self.reacted += len(events)
            for event in events:
                if isinstance(event, RefundRequested | RefundRetried):
                    for sending in send_refund_of(event):
                        await self.shop.handle(sending)
                elif isinstance(event, OrderConfirmed):
                    for issuing in issue_invoice_of(event):
                        await self.shop.handle(issuing)

    async def now(self) -> Order:
        order: Order = await self.shop.now(ORDERS, self.order.id)
        return order

    async def payment(self) -> Payment:
        payment: Payment = await self.shop.now(PAYMENTS, stream_id("payment", self.intent_id))
        return payment

    async def stock(self) -> int:
        return (await self.shop.listing_now(self.listing)).stock


class TestReturning:
    async def test_goods_and_money_come_back(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        await sold.react()
        assert await sold.stock() == 7
        return_id = await sold.ask(2)
        approve = ApproveReturn(order_id=sold.order.id, return_id=return_id, caller=sold.seller)
        assert (await shop.handle(approve)).state.order.return_status is ReturnStatus.APPROVED
        head = await shop.log.head()
        returned = await sold.receive(return_id)
        assert [type(event) for event in await shop.events_after(head)] == [
            OrderReturnReceived,
            RefundRequested,
            StockRestored,
        ]
        worth = returned.order.returns[0].refund
        assert worth == Money(2468 + 197)
        assert await sold.stock() == 9
        await sold.react()
        order = await sold.now()
        assert (order.return_status, order.refunded, order.payment_status) == (
            ReturnStatus.REFUNDED,
            worth,
            PaymentStatus.PARTIALLY_REFUNDED,
        )
        rest = await sold.ask(1)
        await sold.receive(rest, ADMIN)
        await sold.react()
        order = await sold.now()
        assert (order.refunded, order.payment_status) == (order.total, PaymentStatus.REFUNDED)
        assert await sold.stock() == 10
        assert (await sold.payment()).refundable == Money(0)

    async def test_the_names_of_returns_are_their_own(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        assert await sold.ask(1) != await sold.ask(1)

    async def test_is_for_the_buyer_to_ask_and_for_the_seller_and_admins_to_judge(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        with pytest.raises(ForbiddenError):
            await sold.ask(caller=sold.seller)
        return_id = await sold.ask()
        head = await shop.log.head()
        stranger = await shop.buyer("john")
        head = await shop.log.head()
        for caller in (sold.buyer, stranger):
            for command in (
                ApproveReturn(order_id=sold.order.id, return_id=return_id, caller=caller),
                RejectReturn(order_id=sold.order.id, return_id=return_id, caller=caller),
                ReceiveReturn(order_id=sold.order.id, return_id=return_id, caller=caller),
            ):
                with pytest.raises(ForbiddenError):
                    await shop.handle(command)
        with pytest.raises(ForbiddenError):
            await sold.receive(return_id, sold.seller, amount=Money(1))
        assert await shop.log.head() == head
        rejected = RejectReturn(
            order_id=sold.order.id, return_id=return_id, caller=sold.seller, reason="worn"
        )
        order: Order = (await shop.handle(rejected)).state.order
        assert (order.return_status, order.returns[0].rejection) == (ReturnStatus.REJECTED, "worn")

    async def test_what_was_named_twice_counts_together(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        item = ReturnItem(listing_id=sold.listing.id, quantity=2)
        command = RequestReturn(order_id=sold.order.id, caller=sold.buyer, reason="x", items=(item, item))
        with pytest.raises(OrderCannotReturnError) as refused:
            await shop.handle(command)
        assert refused.value.details == {"items": [{"productId": sold.listing.number, "returnable": 3}]}

    async def test_not_after_its_window_and_not_before_it_arrives(self, shop: Shop) -> None:
        sold = await Sold.by(shop, delivered=False)
        with pytest.raises(OrderCannotReturnError):
            await sold.ask()
        await sold.deliver()
        shop.clock.at += RETURN_WINDOW + timedelta(seconds=1)
        with pytest.raises(OrderCannotReturnError):
            await sold.ask()
        with pytest.raises(OrderNotFoundError):
            await shop.handle(
                RequestReturn(order_id=OrderId(UUID(int=1)), caller=sold.buyer, reason="x", items=())
            )

    async def test_of_what_is_not_paid_the_goods_come_back_and_nothing_else(self, shop: Shop) -> None:
        sold = await Sold.by(shop, paid=False)
        returned = await sold.receive(await sold.ask())
        assert (returned.order.return_status, returned.order.returns[0].refund) == (
            ReturnStatus.RECEIVED,
            Money(0),
        )
        assert (await sold.payment()).refunds == {}

    async def test_what_came_back_before_it_was_paid_goes_back_when_it_is(self, shop: Shop) -> None:
        """Sent on account, and paid by somebody who had sent a part of it back, or all."""
        sold = await Sold.by(shop, paid=False)
        first = await sold.receive(await sold.ask(1))
        worth = first.order.worth_of_arrived
        assert Money(0) < worth < first.order.total
        await shop.handle(shop.paid(await shop.provider.intent(sold.intent_id)))
        await shop.handle(shop.paid(await shop.provider.intent(sold.intent_id)))
        (refund,) = (await sold.payment()).refunds.values()
        assert (refund.amount, refund.reason) == (worth, "order_returned")
        await sold.receive(await sold.ask(2))
        assert (await sold.payment()).refundable == Money(0)

    async def test_while_its_payment_comes_in_it_is_what_goes_back(self, shop: Shop) -> None:
        """It is prepared after somebody has looked, and before they have decided."""
        buyer = await shop.buyer()
        listing = await shop.listing()
        order = await shop.order(buyer, (listing, 1))
        sold = Sold(shop=shop, buyer=buyer, seller=buyer, listing=listing, order=order)
        await sold.deliver()
        return_id = await sold.ask(1)
        slow = shop.another_store()
        looked, paid = asyncio.Event(), asyncio.Event()
        load = slow.load

        async def slowly(*asked: Any) -> Any:
            loaded = await load(*asked)
            looked.set()
            await paid.wait()
            return loaded

        slow.load = slowly  # type: ignore[assignment, method-assign]
        command = ReceiveReturn(order_id=order.id, return_id=return_id, caller=ADMIN)
        receiving = asyncio.create_task(shop.bus_on(slow).handle(command, METADATA))
        await looked.wait()
        await shop.handle(RequestPayment(order_id=order.id))
        await shop.handle(shop.paid(await shop.provider.intent("pi_1")))
        paid.set()
        returned: Returned = (await receiving).state
        assert returned.order.returns[0].refund == order.total

    async def test_many_at_once_receive_it_once(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        return_id = await sold.ask()
        buses = [shop.bus_on(shop.another_store()) for _ in range(4)]
        command = ReceiveReturn(order_id=sold.order.id, return_id=return_id, caller=ADMIN)
        await asyncio.gather(*(bus.handle(command, METADATA) for bus in buses))
        assert await sold.stock() == 10
        assert len((await sold.payment()).refunds) == 1

    async def test_many_who_ask_at_once_get_no_more_than_was_bought(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        buses = [shop.bus_on(shop.another_store()) for _ in range(5)]
        item = ReturnItem(listing_id=sold.listing.id, quantity=1)
        command = RequestReturn(order_id=sold.order.id, caller=sold.buyer, reason="x", items=(item,))
        outcomes = await asyncio.gather(
            *(bus.handle(command, METADATA) for bus in buses), return_exceptions=True
        )
        refused = [each for each in outcomes if isinstance(each, OrderCannotReturnError)]
        assert len(refused) == 2
        assert len({each.id for each in (await sold.now()).returns}) == 3


class TestRefunding:
    async def refund(self, sold: Sold, **fields: Any) -> Refunded:
        command = RefundOrder(order_id=sold.order.id, **{"reason": "Sorry", **fields})
        refunded: Refunded = (await sold.shop.handle(command)).state
        return refunded

    async def test_in_part_and_then_all_that_is_left(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        part = await self.refund(sold, amount=Money(100))
        refund = part.payment.refunds[part.refund_id]
        assert (refund.amount, refund.note, refund.reason, refund.requested_at) == (
            Money(100),
            "Sorry",
            "by_admin",
            shop.clock.at,
        )
        with pytest.raises(RefundTooLargeError):
            await self.refund(sold, amount=sold.order.total)
        rest = await self.refund(sold)
        assert rest.payment.refunds[rest.refund_id].amount == sold.order.total - Money(100)
        with pytest.raises(RefundTooLargeError):
            await self.refund(sold)
        await sold.react()
        order = await sold.now()
        assert (order.payment_status, order.refunded) == (PaymentStatus.REFUNDED, order.total)

    async def test_not_of_what_is_not_paid(self, shop: Shop) -> None:
        sold = await Sold.by(shop, paid=False)
        head = await shop.log.head()
        with pytest.raises(NothingPaidError):
            await self.refund(sold)
        assert await shop.log.head() == head

    async def test_at_once_never_more_than_was_paid(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        return_id = await sold.ask()
        buses = [shop.bus_on(shop.another_store()) for _ in range(4)]
        commands: list[object] = [
            RefundOrder(order_id=sold.order.id, reason="x", amount=Money(3000)),
            ReceiveReturn(order_id=sold.order.id, return_id=return_id, caller=ADMIN),
            RefundOrder(order_id=sold.order.id, reason="y", amount=Money(2000)),
            RefundOrder(order_id=sold.order.id, reason="z"),
        ]
        waiting: list[Coroutine[Any, Any, Any]] = [
            bus.handle(command, METADATA) for bus, command in zip(buses, commands, strict=True)
        ]
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, RuleViolatedError) for each in outcomes if isinstance(each, Exception))
        await sold.react()
        order, payment = await sold.now(), await sold.payment()
        back = sum(refund.amount.minor for refund in payment.refunds.values())
        assert back <= order.total.minor
        assert (order.refunded.minor, payment.refundable.minor) == (back, order.total.minor - back)

    async def test_what_is_not_sure_yet_is_not_said_to_be_sent(self, shop: Shop, provider: Moody) -> None:
        sold = await Sold.by(shop)
        provider.says = "pending"
        asked = await self.refund(sold)
        head = await shop.log.head()
        await sold.react()
        assert await shop.events_after(head) == [
            event
            for event in await shop.events_after(head)
            if isinstance(event, InvoiceIssued | InvoiceNumberGiven)
        ]
        assert (await sold.payment()).refunds[asked.refund_id].status is RefundState.REQUESTED
        assert (await sold.now()).payment_status is PaymentStatus.PAID

    async def test_what_failed_is_tried_again(self, shop: Shop, provider: Moody) -> None:
        sold = await Sold.by(shop)
        provider.says = "refused"
        return_id = await sold.ask()
        await sold.receive(return_id)
        await sold.react()
        payment = await sold.payment()
        assert payment.refunds["pi_1-1"].status is RefundState.FAILED
        assert (await sold.now()).return_status is ReturnStatus.RECEIVED
        await shop.handle(RetryFailedRefund(payment_id=payment.id, refund_id="pi_1-1"))
        await sold.react()
        provider.says = "succeeded"
        again = RetryRefund(order_id=sold.order.id, refund_id="pi_1-2")
        refunded: Refunded = (await shop.handle(again)).state
        assert refunded.refund_id == "pi_1-3"
        # Asked twice, it is the same try.
        assert (await shop.handle(again)).state.refund_id == "pi_1-3"
        await sold.react()
        order = await sold.now()
        assert (order.return_status, order.refunded) == (ReturnStatus.REFUNDED, order.total)
        assert provider.asked == [f"refund-pi_1-{number}" for number in (1, 2, 3)]
        with pytest.raises(RefundNotFailedError):
            await shop.handle(RetryRefund(order_id=sold.order.id, refund_id="pi_1-3"))
        with pytest.raises(RefundNotFoundError):
            await shop.handle(RetryRefund(order_id=sold.order.id, refund_id="pi_1-9"))

    async def test_by_itself_only_so_often(self, shop: Shop, provider: Moody) -> None:
        sold = await Sold.by(shop)
        provider.says = "refused"
        await self.refund(sold)
        payment_id = PaymentId(stream_id("payment", "pi_1"))
        for number in range(1, MOST_TRIES + 3):
            await sold.react()
            name = f"pi_1-{min(number, MOST_TRIES)}"
            await shop.handle(RetryFailedRefund(payment_id=payment_id, refund_id=name))
        assert len((await sold.payment()).refunds) == MOST_TRIES == len(provider.asked)
        # An admin may look after it, and try.
        await shop.handle(RetryRefund(order_id=sold.order.id, refund_id=f"pi_1-{MOST_TRIES}"))
        await sold.react()
        assert len(provider.asked) == MOST_TRIES + 1

    async def test_what_comes_back_from_the_bank_is_with_us_again(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        asked = await self.refund(sold, amount=Money(500))
        await sold.react()
        order, payment = await sold.now(), await sold.payment()
        assert order.refunded == Money(500)
        told = refund_failed(payment, order, asked.refund_id, "lost_or_stolen_card", "no")
        assert [type(event) for event in [*told.payment, *told.order]] == [RefundFailed, OrderRefundFailed]
        after = ORDERS.after(order, list(told.order))
        assert (after.refunded, after.payment_status) == (Money(0), PaymentStatus.PAID)

    async def test_of_what_is_for_no_order(self, shop: Shop) -> None:
        buyer = await shop.buyer()
        payment_id = PaymentId(stream_id("payment", "pi_7"))
        ref: StreamRef[Any, Any] = StreamRef(PAYMENTS, payment_id)
        created = PaymentIntentCreated(
            payment_id=payment_id,
            intent_id="pi_7",
            account_id=buyer.account_id,
            amount=Money(700),
            client_secret="secret",
            created_at=datetime(2026, 11, 21, tzinfo=UTC),
        )
        paid = PAYMENTS.after(None, [created, PaymentSucceeded(payment_id=payment_id)])
        asked = paid.request_refund(Money(700), "no_order")
        await shop.store.change(
            PAYMENTS,
            ref.id,
            lambda _: [created, PaymentSucceeded(payment_id=payment_id), *asked],
            METADATA,
        )
        head = await shop.log.head()
        await shop.handle(SendRefund(payment_id=payment_id, refund_id="pi_7-1"))
        assert [type(event) for event in await shop.events_after(head)] == [RefundSucceeded]

    async def test_of_another_payment_than_the_orders_own_leaves_the_order_alone(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        payment_id = PaymentId(stream_id("payment", "pi_7"))
        created = PaymentIntentCreated(
            payment_id=payment_id,
            intent_id="pi_7",
            order_id=sold.order.id,
            account_id=sold.buyer.account_id,
            amount=sold.order.total,
            client_secret="secret",
            created_at=datetime(2026, 11, 21, tzinfo=UTC),
        )
        succeeded = PaymentSucceeded(payment_id=payment_id)
        paid = PAYMENTS.after(None, [created, succeeded])
        asked = paid.request_refund(sold.order.total, "not_owed")
        await shop.store.change(PAYMENTS, payment_id, lambda _: [created, succeeded, *asked], METADATA)
        head = await shop.log.head()
        await shop.handle(SendRefund(payment_id=payment_id, refund_id="pi_7-1"))
        assert not [event for event in await shop.events_after(head) if isinstance(event, OrderRefunded)]
        assert (await sold.now()).payment_status is PaymentStatus.PAID


class TestNumbersOfInvoices:
    async def test_an_order_gets_one_when_it_is_paid(self, shop: Shop) -> None:
        sold = await Sold.by(shop)
        await sold.react()
        order = await sold.now()
        assert (order.invoice_number, order.invoiced_at) == ("INV-2026-000001", shop.clock.at)
        head = await shop.log.head()
        await shop.handle(IssueInvoice(order_id=order.id))
        assert await shop.log.head() == head

    async def test_there_are_no_holes_and_no_two_alike_whoever_asks(self, shop: Shop) -> None:
        buyer = await shop.buyer()
        listing = await shop.listing(stock=50)
        orders = [await shop.order(buyer, (listing, 1)) for _ in range(6)]
        buses = [shop.bus_on(shop.another_store()) for _ in range(3)]
        await asyncio.gather(
            *(bus.handle(IssueInvoice(order_id=order.id), METADATA) for order in orders for bus in buses)
        )
        numbers = [(await shop.now(ORDERS, order.id)).invoice_number for order in orders]
        assert sorted(numbers) == [f"INV-2026-{number:06d}" for number in range(1, 7)]

    async def test_each_year_has_its_own(self, shop: Shop) -> None:
        buyer = await shop.buyer()
        listing = await shop.listing()
        first, second = [await shop.order(buyer, (listing, 1)) for _ in range(2)]
        await shop.handle(IssueInvoice(order_id=first.id))
        shop.clock.at = datetime(2027, 1, 1, tzinfo=UTC)
        order: Order = (await shop.handle(IssueInvoice(order_id=second.id), Metadata(actor="test"))).state
        assert order.invoice_number == "INV-2027-000001"

    async def test_of_no_order_there_is_none(self, shop: Shop) -> None:
        with pytest.raises(OrderNotFoundError):
            await shop.handle(IssueInvoice(order_id=OrderId(UUID(int=1))))
