"""Whatever happens in whatever order, in two processes: nothing is sold twice, and nobody pays for nothing.

The provider is the Stripe simulator behind the real adapter, in the same process; its messages arrive as late, as often
and in what order the machine likes, or never.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar, cast

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from application.carts.couponing import ApplyCoupon
from application.carts.filling import AddToCart
from application.errors import ConcurrentChangeError, UnavailableError
from application.orders.cancelling import CancelOrder, CancelUnpaidOrder
from application.orders.placing import PlaceOrder
from application.payments.paying import ConfirmPayment, RequestPayment
from application.ports import AlreadyAnsweredError, Answer, Metadata, Once, StreamRef
from application.promotions.keeping import CreatePromotion, ScopeWish
from domain.accounts.events import Caller, Role
from domain.kernel import AccountId, DomainError, Event, OrderId, PaymentId
from domain.listings.listing import LISTINGS, Listing
from domain.orders.events import OrderPlaced, PaymentStatus
from domain.orders.order import ORDERS, UNPAID_AFTER, Order
from domain.payments.events import PaymentIntentCreated
from domain.payments.payment import PAYMENTS, Payment, RefundState
from domain.placing import WantedLine
from domain.promotions.events import DiscountType, ScopeKind, Terms, redemptions_of
from domain.promotions.promotion import Promotion
from domain.promotions.redemptions import REDEMPTIONS
from domain.sellers.events import HOUSE_SELLER, seller_of
from tests.application.shop import ADDRESS, METADATA, Shop
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
processes = st.integers(0, 1)
which = st.integers(0, 50)


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
        self.stripe = InProcessStripe()
        self.shop = Shop(provider=cast(Any, self.stripe))
        self.reader = self.shop.another_store()
        # The third one does what happens while one of the others waits for the provider.
        self.buses = [self.shop.bus, *(self.shop.bus_on(self.shop.another_store()) for _ in range(2))]
        self.places = Places()
        self.buyers: list[Caller] = []
        self.listings: list[Listing] = []
        self.orders: list[OrderId] = []

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(what)

    def handle(self, process: int, command: object) -> Any:
        return self.run(self.buses[process].handle(command, METADATA)).state

    def tried(self, process: int, command: object) -> tuple[Any, str]:
        """What it came to, or why it was refused."""
        try:
            return self.handle(process, command), ""
        except DomainError as refused:
            return None, refused.code

    @initialize()
    def open(self) -> None:
        self.run(self.stripe.control("pace", settle_after=None))
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

    def order(self, number: int) -> Order:
        found: Order = self.run(self.shop.now(ORDERS, self.orders[number % len(self.orders)]))
        return found

    def buyer_of(self, order: Order) -> Caller:
        return next(each for each in self.buyers if each.account_id == order.account_id)

    # What people do

    @rule(process=processes, buyer=processes, listing=processes, quantity=st.integers(1, 3))
    def fill(self, process: int, buyer: int, listing: int, quantity: int) -> None:
        add = AddToCart(
            account_id=self.buyers[buyer].account_id,
            listing_id=self.listings[listing].id,
            quantity=quantity,
        )
        assert self.tried(process, add)[1] in {"", "INSUFFICIENT_STOCK"}

    @rule(process=processes, buyer=processes)
    def apply(self, process: int, buyer: int) -> None:
        apply = ApplyCoupon(account_id=self.buyers[buyer].account_id, code="ten")
        assert self.tried(process, apply)[1] in {"", "CART_EMPTY", "COUPON_INVALID"}

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
        before = self.run(self.shop.log.head())
        order, refusal = self.tried(process, command)
        if refusal:
            assert refusal in {"INSUFFICIENT_STOCK", "COUPON_INVALID", "CART_EMPTY"}
            assert self.run(self.shop.log.head()) == before
            return
        self.orders.append(order.id)

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def prepare(self, process: int, number: int) -> None:
        order = self.order(number)
        _, refusal = self.tried(process, RequestPayment(order_id=order.id))
        assert refusal in {"", *OUTAGES} or (refusal, order.cancelled) == ("ORDER_CANCELLED", True)

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which, card=st.sampled_from(CARDS))
    def confirm(self, process: int, number: int, card: str) -> None:
        order = self.order(number)
        if not order.intent_id:
            return
        command = ConfirmPayment(intent_id=order.intent_id, payment_method=card, caller=self.buyer_of(order))
        _, refusal = self.tried(process, command)
        assert refusal in {"", "PAYMENT_FAILED", "ORDER_CANCELLED", *OUTAGES}

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def cancel(self, process: int, number: int) -> None:
        order = self.order(number)
        _, refusal = self.tried(process, CancelOrder(order_id=order.id, caller=self.buyer_of(order)))
        assert refusal == ""

    # What happens at the provider, which has not told us yet

    @precondition(lambda self: bool(self.orders))
    @rule(number=which, card=st.sampled_from(CARDS))
    def pay(self, number: int, card: str) -> None:
        """The buyer's client completes it without us."""
        self.at_the_provider(number, "confirm", payment_method=card)

    @precondition(lambda self: bool(self.orders))
    @rule(number=which)
    def close(self, number: int) -> None:
        self.at_the_provider(number, "cancel")

    def at_the_provider(self, number: int, act: str, **fields: str) -> None:
        intent_id = self.order(number).intent_id
        if intent_id:
            self.run(self.stripe.ask(f"/v1/payment_intents/{intent_id}/{act}", **fields))

    @rule(number=which, well=st.booleans())
    def settle_payment(self, number: int, well: bool) -> None:
        """A payer has proved who they are, or a bank has made up its mind: in one way or the other."""
        waiting = {"requires_action": "authenticate", "processing": "settle"}
        intents = [each for each in self.run(self.stripe.all("payment_intents")) if each["status"] in waiting]
        if intents:
            intent = intents[number % len(intents)]
            path = f"/simulator/payment_intents/{intent['id']}/{waiting[intent['status']]}"
            self.run(self.stripe.ask(path, outcome="succeeded" if well else "failed"))

    @rule(number=which)
    def settle_refund(self, number: int) -> None:
        """One that was pending is there, or one that seemed to be is not."""
        refunds = self.run(self.stripe.all("refunds"))
        if refunds:
            self.run(self.stripe.ask(f"/simulator/refunds/{refunds[number % len(refunds)]['id']}/settle"))

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
        with suppress(AlreadyAnsweredError):
            await self.buses[process].handle(message.command, Metadata(actor="stripe", once=once))

    # What we do by ourselves

    @rule()
    def wait(self) -> None:
        self.shop.clock.at += UNPAID_AFTER / 2

    @precondition(lambda self: bool(self.orders))
    @rule(process=processes, number=which)
    def time_out(self, process: int, number: int) -> None:
        _, refusal = self.tried(process, CancelUnpaidOrder(order_id=self.order(number).id))
        assert refusal in {"", *OUTAGES}

    @rule(process=processes, again=st.booleans())
    def react(self, process: int, again: bool) -> None:
        """What the reactor does; ``again`` is one that has lost its place."""
        if again:
            self.places.positions.clear()
        self.run(self.reacted(process))

    async def reacted(self, process: int) -> None:
        reactor = Reactor(self.shop.log, self.places, self.buses[process], self.shop.clock)
        for reaction in AT_THE_PROVIDER:
            with suppress(UnavailableError, ConcurrentChangeError):  # it comes back to it
                while await reactor.catch_up(replace(reaction, grace=timedelta())):
                    pass

    # What comes between

    @rule(answer=st.booleans())
    def lose(self, answer: bool) -> None:
        """The provider will not be reached the next time, or has done what it was asked for and cannot say so."""
        self.stripe.lose(answer=answer)

    @precondition(lambda self: bool(self.orders))
    @rule(
        number=which,
        done=st.booleans(),
        what=st.sampled_from(["cancel", "tell", "time_out", "prepare", "react"]),
    )
    def interrupt(self, number: int, done: bool, what: str) -> None:
        """While we wait for the provider the next time, this happens in another process."""

        async def act() -> None:
            order = await self.shop.now(ORDERS, self.orders[number % len(self.orders)])
            with suppress(DomainError):  # as it would be refused anywhere
                await self.acts(what, order)

        self.stripe.meanwhile(act, done=done)

    async def acts(self, what: str, order: Order) -> None:
        bus = self.buses[2]
        match what:
            case "cancel":
                await bus.handle(CancelOrder(order_id=order.id, caller=self.buyer_of(order)), METADATA)
            case "time_out":
                await bus.handle(CancelUnpaidOrder(order_id=order.id), METADATA)
            case "prepare":
                await bus.handle(RequestPayment(order_id=order.id), METADATA)
            case "react":
                await self.reacted(2)
            case "tell":
                for event in await self.stripe.all("events"):
                    await self.hear(2, event)

    # What must hold

    def found(self) -> list[Order]:
        """All orders, as somebody reads them who was not there."""
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
        orders = self.found()
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
            self.run(self.stripe.close())
            self.runner.close()

    def come_to_an_end(self) -> None:
        """Banks decide, time passes, and everything is told and done: then the money is where the goods are not."""
        self.stripe.forget()
        for number in range(len(self.run(self.stripe.all("payment_intents")))):
            self.settle_payment(0, well=bool(number % 2))
        head = -1
        for _ in range(ROUNDS):
            if head == (head := self.run(self.shop.log.head())):
                break
            for event in self.run(self.stripe.all("events")):
                self.run(self.hear(0, event))
            self.react(1, again=True)
            for number in range(len(self.orders)):
                self.time_out(0, number)
            self.shop.clock.at += UNPAID_AFTER
        else:
            raise AssertionError(f"it goes on after {ROUNDS} rounds")
        self.nothing_is_sold_twice()
        self.money_is_where_the_goods_are_not()

    def money_is_where_the_goods_are_not(self) -> None:
        history = self.history()
        placed = [event for event in history if isinstance(event, OrderPlaced)]
        assert Counter(event.order_id for event in placed) == Counter(self.orders)
        payments = self.payments_of(history)
        orders = {order.id: order for order in self.found()} if self.orders else {}
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
            retried = {refund.retry_of for refund in refunds}
            failed = {name for name, each in payment.refunds.items() if each.status is RefundState.FAILED}
            assert failed <= retried
        assert held[None] == 0
        for order in orders.values():
            kept = order.total.minor - order.refunded.minor if order.paid and not order.cancelled else 0
            assert held[order.id] == kept
            assert paying[order.id] <= 1
            if order.paid and not order.cancelled and not order.refunded.minor:
                assert order.payment_status is PaymentStatus.PAID

    def payments_of(self, history: list[Event]) -> dict[str, Payment]:
        created = [event for event in history if isinstance(event, PaymentIntentCreated)]
        ids: list[PaymentId] = [event.payment_id for event in created]
        loaded = self.run(self.reader.load_many([StreamRef(PAYMENTS, each) for each in ids]))
        assert len(set(ids)) == len(ids)
        return {each.present.intent_id: each.present for each in loaded}

    async def charges_of(self, intent_id: str) -> list[dict[str, Any]]:
        return [
            each
            for each in await self.stripe.all("charges")
            if each["payment_intent"] == intent_id and each["paid"]
        ]


OUTAGES: Final = frozenset({"PAYMENT_PROVIDER_UNAVAILABLE"})

TestBuying = Buying.TestCase
TestBuying.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    # Not to explain what fails, which takes minutes: the steps that lead there tell enough.
    phases=[phase for phase in Phase if phase is not Phase.explain],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
