"""Whatever happens in whatever order, in two processes: nothing is sold twice, and nobody pays for nothing.

The provider is the Stripe simulator behind the real adapter, in the same process; its messages arrive as late, as often
and in what order the machine likes, or never.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Final, TypeVar, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace as replace_struct

from application.carts.couponing import ApplyCoupon
from application.carts.filling import AddToCart
from application.errors import ConcurrentChangeError, UnavailableError
from application.orders.cancelling import CancelOrder, CancelUnpaidOrder
from application.orders.fulfilling import AdvanceOrder
from application.orders.placing import PlaceOrder
from application.orders.refunding import RefundOrder, RetryFailedRefund
from application.orders.returning import ApproveReturn, ReceiveReturn, RejectReturn, RequestReturn, ReturnItem
from application.payments.confirming import ConfirmOrder
from application.payments.linking import LinkPayment, PreparePayment
from application.payments.paying import ConfirmPayment, RequestPayment
from application.payments.reconciling import ReconcilePayment
from application.ports import AlreadyAnsweredError, Answer, Changed, Metadata, Once, StreamRef
from application.promotions.keeping import CreatePromotion, ScopeWish
from domain.accounts.events import Caller, Role
from domain.kernel import AccountId, DomainError, Event, OrderId
from domain.listings.listing import LISTINGS, Listing
from domain.money import Money
from domain.orders.events import OrderPlaced, OrderStatus, PaymentStatus, ReturnStatus
from domain.orders.order import ORDERS, RETURN_WINDOW, UNPAID_AFTER, Order
from domain.orders.returns import OPEN_RETURNS
from domain.payments.events import PaymentIntentCreated
from domain.payments.payment import PAYMENTS, Payment, RefundState
from domain.placing import WantedLine
from domain.promotions.events import DiscountType, ScopeKind, Terms, redemptions_of
from domain.promotions.promotion import Promotion
from domain.promotions.redemptions import REDEMPTIONS
from domain.returning import FOR_RETURN
from domain.sellers.events import HOUSE_SELLER, seller_of
from tests.application.shop import ADDRESS, Shop, SteppedClock
from tests.application.stripe_in_process import InProcessStripe, webhook_of
from workers.reactor import AT_THE_PROVIDER, Reactor

T = TypeVar("T")

STOCK: Final = (4, 6)
MOST_USES: Final = 3
ROUNDS: Final = 12
"""After so many everything has come to its end, however it was left."""
CARDS: Final = (
    "pm_card_visa",
    "pm_card_visa",
    "pm_card_chargeDeclined",
    "pm_card_threeDSecure2Required",
    "pm_usBankAccount_success",
    "pm_usBankAccount_insufficientFunds",
    "pm_card_pendingRefund",
    "pm_card_refundFail",
)
BETWEEN: Final = ("cut", "tell", "react", "cancel", "time_out", "prepare", "reconcile", "start")
OUTAGES: Final = frozenset({"PAYMENT_PROVIDER_UNAVAILABLE", "VERSION_CONFLICT"})
ENDED: Final = frozenset({"ORDER_CANCELLED", "ORDER_ALREADY_FINAL"})
GOOD_CARDS: Final = ("pm_card_visa", "pm_card_pendingRefund", "pm_card_refundFail")
BEGUN: Final = ("placed", "paid", "delivered", "returned")
DELIVERABLE: Final = (
    OrderStatus.PROCESSING,
    OrderStatus.SHIPPED,
    OrderStatus.DELIVERED,
    OrderStatus.DELIVERED,
)
VERDICTS: Final = ("approve", "reject", "receive", "receive", "throw away")
processes = st.integers(0, 1)
which = st.integers(0, 50)


@cache
def the_stripe() -> InProcessStripe:
    """Made once for all examples, which takes longer than to run one. It has nothing to say of each request."""
    for name in ("stripe", "httpx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return InProcessStripe()


class Places:
    """Where the reactor has come to; it can lose that, and does everything again."""

    def __init__(self) -> None:
        self.positions: Counter[str] = Counter()

    async def position(self, name: str) -> int:
        return self.positions[name]

    async def move(self, name: str, position: int) -> None:
        self.positions[name] = position


class Buying(RuleBasedStateMachine):
    """Carts, orders, payments, cancellations and what the provider says of them, against what must hold of the log."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        clock = SteppedClock()
        self.stripe = the_stripe()
        self.run(self.stripe.begin(clock))
        self.shop = Shop(provider=cast(Any, self.stripe), clock=clock)
        self.reader = self.shop.another_store()
        # The third one does what happens while one of the others waits for the provider.
        self.buses = [self.shop.bus, *(self.shop.bus_on(self.shop.another_store()) for _ in range(2))]
        self.places = Places()
        self.buyers: list[Caller] = []
        self.listings: list[Listing] = []
        self.orders: list[OrderId] = []
        self.seen: list[Order] = []
        self.totals: dict[int, Money] = {}
        self.told = True
        self.requests = 0
        self.asked_back: Counter[OrderId] = Counter()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    def handle(self, process: int, command: object) -> Any:
        return self.run(self.handled(process, command)).state

    async def handled(self, process: int, command: object) -> Changed[Any]:
        self.requests += 1
        metadata = Metadata(actor="test", request_id=f"request-{self.requests}")
        return await self.buses[process].handle(command, metadata)

    def tried(self, process: int, command: object) -> tuple[Any, str]:
        """What it came to, or why it was refused."""
        try:
            return self.handle(process, command), ""
        except DomainError as refused:
            return None, refused.code

    @initialize(
        told=st.booleans(),
        begun=st.lists(st.tuples(st.sampled_from(BEGUN), st.sampled_from(GOOD_CARDS)), max_size=3),
    )
    def open(self, told: bool, begun: list[tuple[str, str]]) -> None:
        """``told``: whether in the end we hear all that the provider has to say, or have to ask for it.

        ``begun`` are orders that are there already, so that steps are left for what becomes of them.
        """
        self.told = told
        self.buyers = [self.run(self.shop.buyer(name)) for name in ("emily", "jane")]
        seller = self.run(self.shop.buyer("ann"))
        self.seller = Caller(
            account_id=seller.account_id, number=seller.number, roles=frozenset({Role.SELLER})
        )
        self.admin = Caller(
            account_id=AccountId(self.seller.account_id), number=0, roles=frozenset({Role.ADMIN})
        )
        sellers = (HOUSE_SELLER, seller_of(seller.account_id))
        self.listings = [
            self.run(self.shop.listing(stock=stock, price=701, seller_id=seller_id))
            for stock, seller_id in zip(STOCK, sellers, strict=True)
        ]
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
        for number, (far, card) in enumerate(begun):
            self.begin(number % 2, far, card)

    def begin(self, buyer: int, far: str, card: str) -> None:
        command = PlaceOrder(
            caller=self.buyers[buyer],
            lines=self.lines([(buyer, 1), (1, 1)][: 2 - buyer]),
            shipping_address=ADDRESS,
        )
        order = self.placed(0, command, set())
        assert order is not None
        self.prepare(0, order)
        if far == "placed":
            return
        intent_id = self.run(self.shop.now(ORDERS, order.id)).intent_id
        self.handle(0, ConfirmPayment(intent_id=intent_id, payment_method=card, caller=self.buyers[buyer]))
        if far != "paid":
            to = OrderStatus.DELIVERED
            self.handle(0, AdvanceOrder(order_id=order.id, caller=self.admin, to=to))
        if far == "returned":
            self.handle(0, RequestReturn(order_id=order.id, caller=self.buyers[buyer], reason="Broken"))

    def buyer_of(self, order: Order) -> Caller:
        return next(each for each in self.buyers if each.account_id == order.account_id)

    def one_of(self, number: int, *statuses: OrderStatus) -> Order | None:
        """One of the orders that are that far, as they were seen last."""
        orders = [order for order in self.seen if order.status in statuses]
        return orders[number % len(orders)] if orders else None

    # What people do

    @rule(
        process=processes,
        buyer=processes,
        listing=processes,
        quantity=st.integers(1, 3),
        code=st.sampled_from(["", "ten"]),
    )
    def fill(self, process: int, buyer: int, listing: int, quantity: int, code: str) -> None:
        account_id = self.buyers[buyer].account_id
        add = AddToCart(account_id=account_id, listing_id=self.listings[listing].id, quantity=quantity)
        assert self.tried(process, add)[1] in {"", "INSUFFICIENT_STOCK"}
        if code:
            apply = ApplyCoupon(account_id=account_id, code=code)
            assert self.tried(process, apply)[1] in {"", "CART_EMPTY", "COUPON_INVALID"}

    @rule(
        process=processes,
        buyer=processes,
        wanted=st.lists(st.tuples(processes, st.integers(1, 2)), max_size=2),
        code=st.sampled_from(["", "", "ten"]),
        then=st.sampled_from(["", "prepare", "prepare", "link"]),
    )
    def place(self, process: int, buyer: int, wanted: list[tuple[int, int]], code: str, then: str) -> None:
        command = PlaceOrder(
            caller=self.buyers[buyer], lines=self.lines(wanted), shipping_address=ADDRESS, coupon_code=code
        )
        order = self.placed(process, command, {"INSUFFICIENT_STOCK", "COUPON_INVALID", "CART_EMPTY"})
        if order is not None:
            if then == "link":
                self.link(process, order)
            elif then:
                self.prepare(process, order)

    @rule(
        process=processes,
        buyer=processes,
        quantity=st.integers(1, 2),
        amount=st.sampled_from(["right", "right", "wrong"]),
        card=st.sampled_from(
            ["", "pm_card_visa", "pm_card_threeDSecure2Required", "pm_usBankAccount_success"]
        ),
    )
    def place_paid(self, process: int, buyer: int, quantity: int, amount: str, card: str) -> None:
        """The client prepares a payment, perhaps pays it, and then places its order with it (C35)."""
        lines = self.lines([(1, quantity)])
        command = PlaceOrder(caller=self.buyers[buyer], lines=lines, shipping_address=ADDRESS)
        total = self.totals.get(quantity, Money(1234)) if amount == "right" else Money(1234)
        intent_id = self.prepared_alone(process, self.buyers[buyer], total)
        if not intent_id:
            return
        if card:
            self.run(self.stripe.ask(f"/v1/payment_intents/{intent_id}/confirm", payment_method=card))
        command = replace_struct(command, intent_id=intent_id)
        order = self.placed(process, command, {"INSUFFICIENT_STOCK", "PAYMENT_AMOUNT_MISMATCH", *OUTAGES})
        if order is None and amount == "right":
            order = self.placed(process, replace_struct(command, intent_id=""), {"INSUFFICIENT_STOCK"})
        if order is not None:
            self.totals[quantity] = order.total

    def lines(self, wanted: list[tuple[int, int]]) -> tuple[WantedLine, ...]:
        return tuple(
            WantedLine(listing_id=self.listings[number].id, quantity=quantity) for number, quantity in wanted
        )

    def placed(self, process: int, command: PlaceOrder, refusals: set[str]) -> Order | None:
        before = self.run(self.shop.log.head())
        order, refusal = self.tried(process, command)
        if refusal:
            assert refusal in refusals
            assert self.run(self.shop.log.head()) == before or command.intent_id
            return None
        self.orders.append(order.id)
        return cast(Order, order)

    def prepared_alone(self, process: int, buyer: Caller, amount: Money) -> str:
        payment, refusal = self.tried(process, PreparePayment(caller=buyer, amount=amount))
        assert refusal in {"", *OUTAGES}
        return "" if refusal else payment.intent_id

    def link(self, process: int, order: Order) -> None:
        buyer = self.buyer_of(order)
        intent_id = self.prepared_alone(process, buyer, order.total)
        if intent_id:
            linking = LinkPayment(order_id=order.id, intent_id=intent_id, caller=buyer)
            assert self.tried(process, linking)[1] in {"", "ORDER_CANCELLED", "RULE_VIOLATED", *OUTAGES}

    def prepare(self, process: int, order: Order) -> None:
        _, refusal = self.tried(process, RequestPayment(order_id=order.id))
        assert refusal in {"", "ORDER_CANCELLED", *OUTAGES}

    @rule(process=processes, number=which, card=st.sampled_from(CARDS), by_order=st.booleans())
    def confirm(self, process: int, number: int, card: str, by_order: bool) -> None:
        order = self.one_of(number, OrderStatus.PENDING, OrderStatus.PROCESSING)
        if order is None or not order.intent_id:
            return
        caller, intent_id = self.buyer_of(order), order.intent_id
        command: object
        if by_order:
            command = ConfirmOrder(order_id=order.id, intent_id=intent_id, payment_method=card, caller=caller)
        else:
            command = ConfirmPayment(intent_id=intent_id, payment_method=card, caller=caller)
        _, refusal = self.tried(process, command)
        assert refusal in {"", "PAYMENT_FAILED", "PAYMENT_NOT_SUCCEEDED", *ENDED, *OUTAGES}

    @rule(process=processes, number=which, by_admin=st.booleans())
    def cancel(self, process: int, number: int, by_admin: bool) -> None:
        order = self.one_of(number, *(OrderStatus if number % 2 else []))
        if order is None:
            return
        caller = self.admin if by_admin else self.buyer_of(order)
        _, refusal = self.tried(process, CancelOrder(order_id=order.id, caller=caller))
        assert refusal in {"", "ORDER_CANNOT_CANCEL"}

    @rule(
        process=processes,
        number=which,
        by_admin=st.booleans(),
        to=st.sampled_from(
            [OrderStatus.PROCESSING, OrderStatus.SHIPPED, OrderStatus.DELIVERED, OrderStatus.DELIVERED]
        ),
        parcel=st.sampled_from([None, None, 1, 2]),
    )
    def send(self, process: int, number: int, by_admin: bool, to: OrderStatus, parcel: int | None) -> None:
        """Sellers send theirs, once it is paid; admins what they like."""
        order = self.one_of(number, OrderStatus.PENDING, OrderStatus.PROCESSING, OrderStatus.SHIPPED)
        if order is None:
            return
        command = AdvanceOrder(
            order_id=order.id,
            caller=self.admin if by_admin else self.seller,
            to=to,
            parcels=None if parcel is None else (parcel,),
        )
        _, refusal = self.tried(process, command)
        assert refusal in {"", "INVALID_STATUS_TRANSITION", "PARCEL_NOT_FOUND", "FORBIDDEN"}

    @rule(
        process=processes,
        number=which,
        units=st.lists(st.tuples(processes, st.integers(1, 2)), max_size=2),
        late=st.sampled_from([False, False, False, True]),
    )
    def ask_to_return(self, process: int, number: int, units: list[tuple[int, int]], late: bool) -> None:
        order = self.one_of(number, *DELIVERABLE)
        if order is None:
            return
        if late:
            self.shop.clock.at += RETURN_WINDOW
        items = tuple(
            ReturnItem(listing_id=self.listings[listing].id, quantity=units) for listing, units in units
        )
        command = RequestReturn(order_id=order.id, caller=self.buyer_of(order), reason="Broken", items=items)
        assert self.tried(process, command)[1] in {"", "ORDER_CANNOT_RETURN", "VALIDATION_ERROR"}

    @rule(
        process=processes,
        number=which,
        verdict=st.sampled_from(VERDICTS),
        amount=st.sampled_from([None, None, 0, 99]),
    )
    def judge_return(self, process: int, number: int, verdict: str, amount: int | None) -> None:
        waiting = [
            (order, each)
            for order in self.seen
            for each in order.returns
            if each.status in OPEN_RETURNS or verdict == "receive"
        ]
        if not waiting:
            return
        order, returned = waiting[number % len(waiting)]
        about: dict[str, Any] = {"order_id": order.id, "return_id": returned.id, "caller": self.admin}
        command: object
        match verdict:
            case "approve":
                command = ApproveReturn(**about)
            case "reject":
                command = RejectReturn(**about, reason="Worn")
            case _:
                wished = None if amount is None else Money(amount)
                command = ReceiveReturn(**about, restock=verdict == "receive", amount=wished)
        result, refusal = self.tried(process, command)
        assert refusal in {"", "INVALID_STATUS_TRANSITION", "REFUND_TOO_LARGE"}
        if not refusal and not returned.arrived:
            self.asked_back[order.id] += result.order.a_return(returned.id).refund.minor

    @rule(process=processes, number=which, amount=st.sampled_from([None, 1, 300, 10_000]))
    def refund(self, process: int, number: int, amount: int | None) -> None:
        order = self.one_of(number, *OrderStatus)
        if order is None:
            return
        wished = None if amount is None else Money(amount)
        result, refusal = self.tried(process, RefundOrder(order_id=order.id, reason="Late", amount=wished))
        assert refusal in {"", "NOT_PAID", "REFUND_TOO_LARGE"}
        if not refusal:
            self.asked_back[order.id] += result.payment.refunds[result.refund_id].amount.minor

    # What happens at the provider, which has not told us yet

    @rule(number=which, card=st.sampled_from(["", *CARDS]))
    def pay(self, number: int, card: str) -> None:
        """The buyer's client completes it without us; or the shop's owner closes it there."""
        order = self.one_of(number, OrderStatus.PENDING, OrderStatus.PROCESSING)
        if order is not None and order.intent_id:
            path = f"/v1/payment_intents/{order.intent_id}"
            if card:
                self.run(self.stripe.ask(f"{path}/confirm", payment_method=card))
            else:
                self.run(self.stripe.ask(f"{path}/cancel"))

    @rule(number=which, well=st.booleans())
    def settle_payment(self, number: int, well: bool) -> None:
        """A payer has proved who they are, or a bank has made up its mind: in one way or the other."""
        waiting = {"requires_action": "authenticate", "processing": "settle"}
        intents = [each for each in self.run(self.stripe.all("payment_intents")) if each["status"] in waiting]
        if intents:
            intent = intents[number % len(intents)]
            path = f"/simulator/payment_intents/{intent['id']}/{waiting[intent['status']]}"
            self.run(self.stripe.ask(path, outcome="succeeded" if well else "failed"))

    @rule(number=which, well=st.booleans())
    def settle_refund(self, number: int, well: bool) -> None:
        """One that was pending is there, or one that seemed to be is not."""
        refunds = [each for each in self.run(self.stripe.all("refunds")) if each["status"] != "failed"]
        if refunds:
            path = f"/simulator/refunds/{refunds[number % len(refunds)]['id']}/settle"
            self.run(self.stripe.ask(path, outcome="succeeded" if well else "failed"))

    # What we hear of it

    @rule(process=processes, number=which, times=st.integers(1, 2))
    def tell(self, process: int, number: int, times: int) -> None:
        events = self.run(self.stripe.all("events"))
        for _ in range(times if events else 0):
            self.run(self.hear(process, events[-1 - number % len(events)]))

    async def hear(self, process: int, event: dict[str, Any]) -> None:
        message = self.stripe.read_webhook(*webhook_of(event))
        if message.command is None:
            return
        answer = Answer(status=200, body=b"{}")
        once = Once(scope="stripe", key=message.id, request_hash=b"", answer=lambda _: answer)
        with suppress(AlreadyAnsweredError, UnavailableError):  # it comes again
            await self.buses[process].handle(message.command, Metadata(actor="stripe", once=once))

    # What we do by ourselves

    @rule(process=processes, number=which)
    def wait(self, process: int, number: int) -> None:
        self.shop.clock.at += UNPAID_AFTER / 2
        order = self.one_of(number, OrderStatus.PENDING)
        if order is not None:
            assert self.tried(process, CancelUnpaidOrder(order_id=order.id))[1] in {"", *OUTAGES}

    @rule(process=processes)
    def reconcile(self, process: int) -> None:
        """What the job does, with what read models tell it."""
        for order in self.found():
            if order.status is OrderStatus.PENDING and not order.intent_id:
                self.prepare(process, order)
        for payment in self.payments():
            if payment.unsettled:
                command = ReconcilePayment(intent_id=payment.intent_id)
                assert self.tried(process, command)[1] in {"", *OUTAGES}
            for refund_id, refund in payment.refunds.items():
                if refund.status is RefundState.FAILED:
                    self.handle(process, RetryFailedRefund(payment_id=payment.id, refund_id=refund_id))

    @rule(process=processes, again=st.booleans())
    def react(self, process: int, again: bool) -> None:
        """What the reactor does; ``again`` is one that has lost its place."""
        if again:
            self.places.positions.clear()
        self.run(self.reacted(process))

    @rule(process=processes, done=st.booleans(), hours=st.sampled_from([11, 24, 48]))
    def react_and_come_back_late(self, process: int, done: bool, hours: int) -> None:
        """It is cut off when it asks the provider, which knows no keys any more when it is asked again."""
        self.stripe.lose(answer=done)
        self.run(self.reacted(process))
        self.shop.clock.at += timedelta(hours=hours)
        self.run(self.reacted(process))

    async def reacted(self, process: int) -> None:
        reactor = Reactor(self.shop.log, self.places, self.buses[process], self.shop.clock)
        for reaction in AT_THE_PROVIDER:
            with suppress(UnavailableError, ConcurrentChangeError):  # it comes back to it
                while await reactor.catch_up(replace(reaction, grace=timedelta())):
                    pass

    # What comes between

    @rule(number=which, done=st.booleans(), what=st.sampled_from(BETWEEN))
    def interrupt(self, number: int, done: bool, what: str) -> None:
        """While we ask the provider the next time, this happens in another process, or the connection is cut.

        ``done`` says whether the provider has done by then what it was asked for.
        """
        if what == "cut":
            self.stripe.lose(answer=done)
            return

        async def act() -> None:
            orders = [order for order in self.seen if not order.cancelled]
            with suppress(DomainError):  # as it would be refused anywhere
                await self.acts(what, orders[number % len(orders)] if orders else None)

        self.stripe.meanwhile(act, done=done)

    async def acts(self, what: str, order: Order | None) -> None:
        match what:
            case "tell":
                for event in await self.stripe.all("events"):
                    await self.hear(2, event)
            case "react":
                await self.reacted(2)
            case "cancel" if order is not None:
                await self.handled(2, CancelOrder(order_id=order.id, caller=self.buyer_of(order)))
            case "time_out" if order is not None:
                await self.handled(2, CancelUnpaidOrder(order_id=order.id))
            case "prepare" if order is not None:
                await self.handled(2, RequestPayment(order_id=order.id))
            case "reconcile" if order is not None and order.intent_id:
                await self.handled(2, ReconcilePayment(intent_id=order.intent_id))
            case "start" if order is not None:
                start = AdvanceOrder(order_id=order.id, caller=self.admin, to=OrderStatus.PROCESSING)
                await self.handled(2, start)

    # What must hold

    def found(self) -> list[Order]:
        """All orders, as somebody reads them who was not there."""
        if not self.orders:
            return []
        loaded = self.run(self.reader.load_many([StreamRef(ORDERS, order_id) for order_id in self.orders]))
        orders = [each.present for each in loaded]
        assert len({order.number for order in orders}) == len(orders)
        return orders

    def history(self) -> list[Event]:
        async def read() -> list[Event]:
            return [each.event for each in await self.shop.log.decode(await self.shop.log.read(0, 1_000_000))]

        return self.run(read())

    @invariant()
    def nothing_is_sold_twice(self) -> None:
        if not self.listings:
            return
        orders = self.seen = self.found()
        for listing, initial in zip(self.listings, STOCK, strict=True):
            now = self.run(self.reader.load(LISTINGS, listing.id)).present
            sold = reserved = back = 0
            for order in orders:
                units = sum(line.quantity for line in order.lines if line.listing_id == listing.id)
                if order.cancelled:
                    continue
                sold += units if order.committed else 0
                reserved += 0 if order.committed else units
                back += sum(each.lines.get(listing.id, 0) for each in order.returns if each.restocked)
            assert now.stock == initial - sold + back
            assert now.reserved == reserved
            assert now.available >= 0
        using = [order for order in orders if order.coupon_code and not order.cancelled]
        counts = [None, *(buyer.account_id for buyer in self.buyers)]
        for account_id in counts:
            count = self.run(self.shop.now(REDEMPTIONS, redemptions_of(self.coupon.id, account_id)))
            expected = [order for order in using if account_id in (None, order.account_id)]
            assert (count.used if count else 0) == len(expected) <= MOST_USES

    def teardown(self) -> None:
        try:
            if self.listings:
                self.come_to_an_end()
        finally:
            self.runner.close()

    def come_to_an_end(self) -> None:
        """Banks decide, time passes, and all is told or asked for: the money is where the goods are not."""
        self.stripe.forget()
        self.shop.clock.at += timedelta(days=30)
        heads: list[int] = []
        for _ in range(ROUNDS):
            heads.append(self.run(self.shop.log.head()))
            if heads[-3:] == heads[-1:] * 3:  # what we ask for in one round comes to its end in the next
                break
            self.settle_all()
            for event in self.run(self.stripe.all("events")):
                # Of a refund that failed when we had taken it for done, nobody would think of asking.
                if self.told or event["type"] == "refund.failed":
                    self.run(self.hear(0, event))
            self.react(1, again=True)
            for order in self.found():
                self.handle(0, CancelUnpaidOrder(order_id=order.id))
            self.reconcile(1)
        else:
            raise AssertionError(f"it goes on after {ROUNDS} rounds")
        self.nothing_is_sold_twice()
        self.money_is_where_the_goods_are_not()

    def settle_all(self) -> None:
        """Nothing waits for a payer or a bank any more."""
        for number in range(len(self.run(self.stripe.all("payment_intents")))):
            self.settle_payment(0, well=bool(number % 2))
        for refund in self.run(self.stripe.all("refunds")):
            if refund["status"] == "pending":
                self.run(self.stripe.ask(f"/simulator/refunds/{refund['id']}/settle"))

    def money_is_where_the_goods_are_not(self) -> None:
        placed = [event for event in self.history() if isinstance(event, OrderPlaced)]
        assert Counter(event.order_id for event in placed) == Counter(self.orders)
        payments = {payment.intent_id: payment for payment in self.payments()}
        orders = {order.id: order for order in self.found()}
        held: Counter[OrderId | None] = Counter()
        paying: Counter[OrderId | None] = Counter()
        for intent in self.run(self.stripe.all("payment_intents")):
            payment = payments.get(intent["id"])
            charges = self.run(self.charges_of(intent["id"]))
            left = sum(each["amount"] - each["amount_refunded"] for each in charges)
            if payment is None:
                assert not left, "money of which we know nothing"
                continue
            held[payment.order_id] += left
            paying[payment.order_id] += bool(left)
            order = orders.get(cast(OrderId, payment.order_id))
            if order is None or order.cancelled:
                assert intent["status"] in {"succeeded", "canceled"}
            refunds = payment.refunds.values()
            assert all(refund.status is not RefundState.REQUESTED for refund in refunds)
            for name, refund in payment.refunds.items():
                if refund.status is RefundState.FAILED and not payment.retried(name):
                    assert refund.amount > payment.refundable, "its money went back otherwise"
                    self.asked_back[cast(OrderId, payment.order_id)] -= refund.amount.minor
        assert held[None] == 0
        sent = [each["metadata"].get("refundId") for each in self.run(self.stripe.all("refunds"))]
        assert len(set(sent)) == len(sent), "something was sent back twice"
        for order in orders.values():
            if order.paid and not order.cancelled:
                asked = self.asked_back[order.id] + self.paid_too_late(order, payments)
                assert order.refunded.minor == asked
                assert held[order.id] == order.total.minor - order.refunded.minor
            else:
                assert held[order.id] == 0
            for each in order.returns:
                assert each.status is not ReturnStatus.RECEIVED or not each.refund_id
            assert paying[order.id] <= 1
            if order.paid and not order.cancelled and not order.refunded.minor:
                assert order.payment_status is PaymentStatus.PAID

    def paid_too_late(self, order: Order, payments: dict[str, Payment]) -> int:
        """What went back because it was paid only after its goods had come back."""
        by_returns = {each.refund_id for each in order.returns}
        late = (
            [
                refund.amount.minor
                for name, refund in payments[order.paying_intent].refunds.items()
                if refund.reason == FOR_RETURN and not refund.retry_of and name not in by_returns
            ]
            if order.paying_intent
            else []
        )
        assert sum(late) <= order.worth_of_arrived.minor
        return sum(late)

    def payments(self) -> list[Payment]:
        created = [event for event in self.history() if isinstance(event, PaymentIntentCreated)]
        ids = [event.payment_id for event in created]
        assert len(set(ids)) == len(ids)
        return [self.run(self.reader.load(PAYMENTS, each)).present for each in ids]

    async def charges_of(self, intent_id: str) -> list[dict[str, Any]]:
        return [
            each
            for each in await self.stripe.all("charges")
            if each["payment_intent"] == intent_id and each["paid"]
        ]


# It takes seconds; but what fails is worth the minutes in which it is made as short as can be.
TestBuying = pytest.mark.timeout(400)(Buying.TestCase)
TestBuying.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    # Not to explain what fails, which takes minutes: the steps that lead there tell enough.
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
