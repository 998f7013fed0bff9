"""Whatever happens in whatever order, in two processes: nothing is sold twice, and nobody pays for nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from decimal import Decimal
from typing import Any, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from application.carts.couponing import ApplyCoupon
from application.carts.filling import AddToCart
from application.orders.cancelling import CancelOrder, CancelUnpaidOrder
from application.orders.placing import PlaceOrder
from application.payments.paying import (
    ConfirmPayment,
    PaymentResult,
    RecordPaymentResult,
    RequestPayment,
)
from application.ports import PaymentIntent, StreamRef
from application.processes.close_payment import close_payment_of
from application.processes.send_refund import send_refund_of
from application.promotions.keeping import CreatePromotion, ScopeWish
from domain.accounts.events import Caller
from domain.kernel import DomainError, OrderId
from domain.listings.listing import LISTINGS, Listing
from domain.orders.events import OrderCancelled, OrderPlaced, OrderStatus, PaymentStatus
from domain.orders.order import ORDERS, UNPAID_AFTER, Order
from domain.payments.events import RefundRequested
from domain.placing import WantedLine
from domain.promotions.events import DiscountType, ScopeKind, Terms, redemptions_of
from domain.promotions.promotion import Promotion
from domain.promotions.redemptions import REDEMPTIONS
from tests.application.shop import ADDRESS, METADATA, Shop

T = TypeVar("T")

STOCK = (4, 6)
MOST_USES = 3
processes = st.integers(0, 1)
which = st.integers(0, 50)


class Buying(RuleBasedStateMachine):
    """Carts, orders, payments, cancellations and what the provider says of them, against what must hold of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.shop = Shop()
        self.reader = self.shop.another_store()
        self.buses = [self.shop.bus, self.shop.bus_on(self.shop.another_store())]
        self.buyers: list[Caller] = []
        self.listings: list[Listing] = []
        self.orders: list[OrderId] = []
        self.reacted = 0

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    def handle(self, process: int, command: object) -> Any:
        return self.run(self.buses[process].handle(command, METADATA)).state

    def tried(self, process: int, command: object) -> tuple[Any, DomainError | None]:
        """What it came to, or why it was refused; then nothing is recorded."""
        before = self.run(self.shop.log.head())
        try:
            return self.handle(process, command), None
        except DomainError as refused:
            refusal = refused
        assert self.run(self.shop.log.head()) == before
        return None, refusal

    @initialize()
    def open(self) -> None:
        self.buyers = [self.run(self.shop.buyer(name)) for name in ("emily", "jane")]
        self.listings = [self.run(self.shop.listing(stock=stock, price=700)) for stock in STOCK]
        terms = Terms(
            name="Ten",
            slug="",
            code="TEN",
            discount_type=DiscountType.PERCENTAGE,
            percentage=Decimal(10),
            starts_at=self.shop.clock.at,
            usage_limit=MOST_USES,
            per_customer_limit=2,
        )
        made = CreatePromotion(terms=terms, scope=ScopeWish(kind=ScopeKind.ALL))
        self.coupon: Promotion = self.handle(0, made)

    def order(self, number: int) -> Order:
        found: Order = self.run(self.shop.now(ORDERS, self.orders[number % len(self.orders)]))
        return found

    def intent(self, order: Order) -> PaymentIntent | None:
        return self.shop.provider.intents.get(f"order-{order.id}")

    @rule(process=processes, buyer=processes, listing=processes, quantity=st.integers(1, 3))
    def fill(self, process: int, buyer: int, listing: int, quantity: int) -> None:
        add = AddToCart(
            account_id=self.buyers[buyer].account_id,
            listing_id=self.listings[listing].id,
            quantity=quantity,
        )
        _, refusal = self.tried(process, add)
        assert refusal is None or refusal.code == "INSUFFICIENT_STOCK"

    @rule(process=processes, buyer=processes)
    def apply(self, process: int, buyer: int) -> None:
        apply = ApplyCoupon(account_id=self.buyers[buyer].account_id, code="ten")
        _, refusal = self.tried(process, apply)
        assert refusal is None or refusal.code in {"CART_EMPTY", "COUPON_INVALID"}

    @rule(
        process=processes,
        buyer=processes,
        wanted=st.lists(st.tuples(processes, st.integers(1, 3)), max_size=2),
        code=st.sampled_from(["", "ten"]),
    )
    def place(self, process: int, buyer: int, wanted: list[tuple[int, int]], code: str) -> None:
        lines = tuple(
            WantedLine(listing_id=self.listings[number].id, quantity=quantity) for number, quantity in wanted
        )
        command = PlaceOrder(
            caller=self.buyers[buyer], lines=lines, shipping_address=ADDRESS, coupon_code=code
        )
        order, refusal = self.tried(process, command)
        if refusal is not None:
            assert refusal.code in {"INSUFFICIENT_STOCK", "COUPON_INVALID", "CART_EMPTY"}
            assert "LIMIT_REACHED" in refusal.details.get("reason", "LIMIT_REACHED")
            return
        self.orders.append(order.id)

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def prepare(self, process: int, number: int) -> None:
        order = self.order(number)
        _, refusal = self.tried(process, RequestPayment(order_id=order.id))
        assert refusal is None or (refusal.code, order.cancelled) == ("ORDER_CANCELLED", True)

    @precondition(lambda self: bool(self.orders))
    @rule(number=which)
    def pay(self, number: int) -> None:
        """At the provider, which has not told us yet."""
        intent = self.intent(self.order(number))
        if intent is not None and intent.status != "canceled":
            self.shop.provider.become(intent.id, "succeeded")

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def confirm(self, process: int, number: int) -> None:
        order = self.order(number)
        intent = self.intent(order)
        if intent is None or intent.status == "canceled" or not order.intent_id:
            return
        buyer = next(each for each in self.buyers if each.account_id == order.account_id)
        command = ConfirmPayment(intent_id=intent.id, payment_method="pm_card_visa", caller=buyer)
        _, refusal = self.tried(process, command)
        assert refusal is None or (refusal.code, order.cancelled) == ("ORDER_CANCELLED", True)

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which, times=st.integers(1, 2))
    def tell(self, process: int, number: int, times: int) -> None:
        intent = self.intent(self.order(number))
        if intent is None or intent.status != "succeeded":
            return
        for _ in range(times):
            self.handle(process, RecordPaymentResult(result=PaymentResult.SUCCEEDED, intent=intent))

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def decline(self, process: int, number: int) -> None:
        intent = self.intent(self.order(number))
        if intent is not None and intent.status != "canceled":
            self.handle(process, RecordPaymentResult(result=PaymentResult.FAILED, intent=intent))

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def cancel(self, process: int, number: int) -> None:
        order = self.order(number)
        buyer = next(each for each in self.buyers if each.account_id == order.account_id)
        assert self.handle(process, CancelOrder(order_id=order.id, caller=buyer)).cancelled

    @rule()
    def wait(self) -> None:
        self.shop.clock.at += UNPAID_AFTER / 2

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def time_out(self, process: int, number: int) -> None:
        self.handle(process, CancelUnpaidOrder(order_id=self.order(number).id))

    @rule(process=processes, again=st.booleans())
    def react(self, process: int, again: bool) -> None:
        """What the reactor does; ``again`` is one that has lost its place."""
        position = 0 if again else self.reacted
        events = self.run(self.shop.events_after(position))
        self.reacted = position + len(events)
        for event in events:
            if isinstance(event, OrderCancelled):
                for closing in close_payment_of(event):
                    self.handle(process, closing)
            elif isinstance(event, RefundRequested):
                for sending in send_refund_of(event):
                    self.handle(process, sending)

    def found(self) -> list[Order]:
        """All orders, as somebody reads them who was not there."""
        loaded = self.run(self.reader.load_many([StreamRef(ORDERS, order_id) for order_id in self.orders]))
        orders = [each.present for each in loaded]
        assert len({order.number for order in orders}) == len(orders)
        return orders

    @invariant()
    def holds(self) -> None:
        if not self.listings:
            return
        orders = self.found()
        for listing, initial in zip(self.listings, STOCK, strict=True):
            now = self.run(self.reader.load(LISTINGS, listing.id)).present
            units: Counter[OrderStatus] = Counter()
            for order in orders:
                for line in order.lines:
                    if line.listing_id == listing.id:
                        units[order.status] += line.quantity
            assert now.stock == initial - units[OrderStatus.PROCESSING]
            assert now.reserved == units[OrderStatus.PENDING]
            assert now.available >= 0
        using = [order for order in orders if order.coupon_code and not order.cancelled]
        counts = [None, *(buyer.account_id for buyer in self.buyers)]
        for account_id in counts:
            count = self.run(self.shop.now(REDEMPTIONS, redemptions_of(self.coupon.id, account_id)))
            expected = [order for order in using if account_id in (None, order.account_id)]
            assert (count.used if count else 0) == len(expected) <= MOST_USES

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.runner.close()

    def settle(self) -> None:
        """Everything is told and done in the end, and then the money is where the goods are not."""
        for _ in range(2):
            for number in range(len(self.orders)):
                self.tell(0, number, 1)
            self.react(1, again=True)
        self.holds()
        placed = [event for event in self.run(self.shop.events_after(0)) if isinstance(event, OrderPlaced)]
        assert Counter(event.order_id for event in placed) == Counter(self.orders)
        provider = self.shop.provider
        for order in self.found() if self.orders else []:
            intent = self.intent(order)
            taken = intent.amount if intent is not None and intent.status == "succeeded" else 0
            back = sum(
                refund.amount
                for key, refund in provider.sent_back.items()
                if intent is not None and key.startswith(f"refund-{intent.id}-")
            )
            if order.status is OrderStatus.PROCESSING:
                assert (taken, back, order.payment_status) == (order.total.minor, 0, PaymentStatus.PAID)
            else:
                assert taken == back == order.refunded.minor
            if order.cancelled and intent is not None and order.intent_id:
                assert intent.status in {"succeeded", "canceled"}


TestBuying = Buying.TestCase
TestBuying.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    # Not to explain what fails, which takes minutes: the steps that lead there tell enough.
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
