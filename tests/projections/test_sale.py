"""Of every cent that goes back it is known who bears it, whatever happens to an order and its payment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from domain import paying
from domain.kernel import Event, ListingId, Recorded
from domain.money import Money
from domain.orders.events import (
    OrderDisputed,
    OrderEvent,
    OrderPlaced,
    OrderRefunded,
    OrderStatus,
)
from domain.orders.order import ORDERS, RETURN_WINDOW, Order
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS, Payment, RefundState
from domain.placing import line_of
from domain.returning import FOR_RETURN
from projections.sales.projector import SALES
from projections.sales.sale import Sale
from tests.domain.builders import NOW, ORDER_ID, a_listing, listing_id
from tests.domain.test_returning import LINKED, OTHERS, OWN, payment_of, placed, received

INTENT = "pi_1"


class Books:
    """An order, its payment, and what the read model makes of all that happens to them."""

    def __init__(self, first: OrderPlaced) -> None:
        self.now = NOW
        self.returns = 0
        self.order: Order = self._folded(None, [first, LINKED])
        self.payment: Payment = payment_of(self.order)
        self.sale: Sale = self._booked(None, [first])

    def pay(self) -> None:
        self.tell(
            paying.succeeded(
                self.payment, self.order, taken=self.order.total, brand="visa", last4="4242", at=NOW
            )
        )

    def deliver(self) -> None:
        parcels = [parcel.number for parcel in self.order.parcels]
        self.record(self.order.advance(OrderStatus.DELIVERED, NOW, parcels=parcels, may_skip=True))

    def give_back(self, units: dict[ListingId, int], amount: Money | None = None) -> UUID:
        self.returns += 1
        return_id = uuid5(ORDER_ID, f"return {self.returns}")
        self.record(self.order.request_return(return_id, units, "", NOW, window=RETURN_WINDOW))
        receipt = received(self.order, self.payment, return_id, amount=amount)
        self.record(receipt.order, receipt.payment)
        return return_id

    def refund(self, minor: int) -> None:
        self.record((), self.payment.request_refund(Money(minor), "by_admin"))

    def send_all(self) -> None:
        for name, refund in self.payment.refunds.items():
            if refund.status is RefundState.REQUESTED:
                self.send(name)

    def send(self, name: str) -> None:
        self.tell(paying.refund_sent(self.payment, self.order, name, f"re_{name}"))

    def fail(self, name: str) -> None:
        self.tell(paying.refund_failed(self.payment, self.order, name, "declined", ""))

    def dispute(self, name: str, minor: int, status: str) -> None:
        self.tell(
            paying.disputed(
                self.payment, self.order, dispute_id=name, amount=Money(minor), reason="", status=status
            )
        )

    def tell(self, settled: paying.Settled) -> None:
        self.record(settled.order, settled.payment)

    def record(self, events: Sequence[OrderEvent], of_payment: Sequence[PaymentEvent] = ()) -> None:
        self.now += timedelta(days=1)
        self.order = self._folded(self.order, events)
        payment = PAYMENTS.fold(self.payment, of_payment)
        assert payment is not None
        self.payment = payment
        self.sale = self._booked(self.sale, events)

    @property
    def borne(self) -> list[int]:
        """By each line, and by tax and shipping."""
        nothing = [0] * (len(self.sale.lines) + 1)
        return [sum(parts) for parts in zip(nothing, *(each.parts for each in self.sale.back), strict=True)]

    @property
    def went_back(self) -> tuple[int, int]:
        """As refunds, and by disputes that were lost."""
        refunds, lost = (
            sum(sum(each.parts) for each in self.sale.back if each.lost is lost) for lost in (False, True)
        )
        return refunds, lost

    def _folded(self, order: Order | None, events: Sequence[OrderEvent]) -> Order:
        after = ORDERS.fold(order, events)
        assert after is not None
        return after

    def _booked(self, sale: Sale | None, events: Sequence[Event]) -> Sale:
        for event in events:
            if type(event) in SALES.events:
                sale = SALES.fold(sale, self._recorded(event), ORDER_ID)
        assert sale is not None
        return sale

    def _recorded(self, event: Event) -> Recorded[Any]:
        return Recorded(
            event=event,
            id=ORDER_ID,
            stream=ORDER_ID,
            aggregate="orders",
            version=1,
            position=1,
            timestamp=self.now,
            actor="tests",
        )


def a_sale(*, paid: bool = True) -> Books:
    """Three of one thing at 3.33, and one at 10.00 of another seller's, with 1.60 of tax and 5.00 of shipping."""
    books = Books(placed())
    books.deliver()
    if paid:
        books.pay()
    return books


@st.composite
def orders_st(draw: st.DrawFn) -> OrderPlaced:
    lines = [
        line_of(
            a_listing(number=number, price=Money(price), seller_id=draw(st.sampled_from((OWN, OTHERS)))),
            quantity,
            None,
        )
        for number, (price, quantity) in enumerate(
            draw(st.lists(st.tuples(st.integers(17, 9_999), st.integers(1, 7)), min_size=1, max_size=4)),
            1,
        )
    ]
    return placed(lines)


class TestWhateverHappens:
    @given(st.data(), orders_st(), st.booleans())
    def test_all_that_went_back_is_borne_and_no_line_bears_more_than_it_brought_in(
        self, data: st.DataObject, first: OrderPlaced, paid_first: bool
    ) -> None:
        books = Books(first)
        books.deliver()
        if paid_first:
            books.pay()
        for _ in range(data.draw(st.integers(0, 8), "steps")):
            _something(data, books)
            _assert_borne(books)
        if not paid_first:
            books.pay()
            books.send_all()
            _assert_borne(books)

    @given(st.data(), orders_st())
    def test_when_all_of_it_is_back_everybody_bears_what_they_brought_in(
        self, data: st.DataObject, first: OrderPlaced
    ) -> None:
        books = Books(first)
        books.deliver()
        books.pay()
        for _ in range(data.draw(st.integers(0, 4), "refunds")):
            _something(data, books, ("return", "refund", "send"))
        books.refund(books.payment.refundable.minor)
        books.send_all()
        revenues = [line.revenue for line in books.sale.lines]
        assert books.borne == [*revenues, books.sale.total - sum(revenues)]

    @given(st.data(), orders_st(), st.booleans())
    def test_what_went_back_twice_is_borne_once_when_either_is_undone(
        self, data: st.DataObject, first: OrderPlaced, won: bool
    ) -> None:
        books = Books(first)
        books.deliver()
        books.pay()
        amount_st = st.just(books.sale.total) | st.integers(1, books.sale.total)
        books.refund(data.draw(amount_st, "refund"))
        books.send_all()
        disputed = data.draw(amount_st, "disputed")
        books.dispute("dp_1", disputed, "lost")
        _assert_borne(books)
        if won:
            books.dispute("dp_1", disputed, "won")
        else:
            books.fail("pi_1-1")
        _assert_borne(books)

    @given(st.data(), orders_st())
    def test_a_return_that_is_refunded_first_is_borne_as_it_was_worth(
        self, data: st.DataObject, first: OrderPlaced
    ) -> None:
        books = Books(first)
        books.deliver()
        books.pay()
        units = data.draw(st.sampled_from(sorted(books.order.returnable().items())))
        return_id = books.give_back(dict([units]))
        books.send_all()
        goods = [borne for borne in books.borne[:-1] if borne]
        (line,) = [line for line in books.sale.lines if line.listing_id == units[0]]
        assert goods == [line.revenue]
        assert sum(books.borne) == books.order.a_return(return_id).refund.minor


def _something(data: st.DataObject, books: Books, kinds: Sequence[str] = ()) -> None:
    """One of what can happen now."""
    refunds = books.payment.refunds
    left = books.payment.refundable.minor
    returnable = books.order.returnable()
    unsent = [name for name, each in refunds.items() if each.status is RefundState.REQUESTED]
    unfailed = [name for name, each in refunds.items() if each.status is not RefundState.FAILED]
    retried = [
        name
        for name, each in refunds.items()
        if each.status is RefundState.FAILED and not books.payment.retried(name) and each.amount.minor <= left
    ]
    possible = {
        "return": bool(returnable),
        "refund": left > 0,
        "send": bool(unsent),
        "fail": bool(unfailed),
        "retry": bool(retried),
        "dispute": books.order.paid,
    }
    able = [kind for kind in kinds or possible if possible[kind]]
    if not able:
        return
    match data.draw(st.sampled_from(able), "what"):
        case "return":
            listing, most = data.draw(st.sampled_from(sorted(returnable.items())))
            amount = data.draw(st.none() | st.integers(0, left).map(Money), "amount")
            books.give_back({listing: data.draw(st.integers(1, most), "units")}, amount)
        case "refund":
            books.refund(data.draw(st.just(left) | st.integers(1, left), "refund"))
        case "send":
            books.send(data.draw(st.sampled_from(unsent)))
        case "fail":
            books.fail(data.draw(st.sampled_from(unfailed)))
        case "retry":
            books.record((), books.payment.retry_refund(data.draw(st.sampled_from(retried))))
        case "dispute":
            name = data.draw(st.sampled_from(("dp_1", "dp_2")))
            total = books.order.total.minor
            minor = data.draw(st.just(total) | st.integers(1, total), "disputed")
            status = data.draw(st.sampled_from(("needs_response", "lost", "won")))
            books.dispute(name, minor, status)


def _assert_borne(books: Books) -> None:
    order, sale = books.order, books.sale
    lost = sum(each.amount.minor for each in order.disputes.values() if each.status == "lost")
    assert books.went_back == (order.refunded.minor, lost)
    borne = books.borne
    assert sum(borne) == order.refunded.minor + lost
    revenues = [line.revenue for line in sale.lines]
    assert all(0 <= part <= revenue for part, revenue in zip(borne[:-1], revenues, strict=True))
    rest = sale.total - sum(revenues)
    assert rest == (order.tax + order.shipping).minor
    if sum(borne) <= sale.total:
        assert 0 <= borne[-1] <= rest
    else:
        assert borne == [*revenues, rest + sum(borne) - sale.total]


class TestWhoBearsIt:
    def test_of_a_return_the_goods_that_came_back_with_their_part_of_the_tax(self) -> None:
        books = a_sale()
        books.give_back({listing_id(1): 2})
        books.send_all()
        assert books.borne == [666, 0, 53]

    def test_of_a_part_of_that_in_proportion_and_of_more_the_same_goods(self) -> None:
        books = a_sale()
        books.give_back({listing_id(1): 2}, Money(72))
        books.send_all()
        assert books.borne == [67, 0, 5]
        books = a_sale()
        books.give_back({listing_id(1): 2}, Money(719 + 100))
        books.send_all()
        assert books.borne == [766, 0, 53]

    def test_of_what_is_for_no_return_all_in_proportion_to_what_is_left(self) -> None:
        books = a_sale()
        assert (books.sale.total, [line.revenue for line in books.sale.lines]) == (2659, [999, 1000])
        books.refund(1000)
        books.send_all()
        assert books.borne == [376, 376, 248]

    def test_of_a_dispute_that_was_lost_all_and_who_bore_it_has_it_again_when_it_is_won(self) -> None:
        books = a_sale()
        books.give_back({listing_id(2): 1})
        books.send_all()
        before = books.borne
        left = books.sale.total - sum(before)
        books.dispute("dp_1", left, "needs_response")
        assert books.borne == before
        books.dispute("dp_1", left, "lost")
        assert books.borne == [999, 1000, 660]
        lost = books.now.date()
        books.dispute("dp_1", left, "won")
        assert books.borne == before
        days = [(each.day, sum(each.parts)) for each in books.sale.back if each.lost]
        assert days == [(lost, left), (books.now.date(), -left)]

    def test_of_a_refund_that_did_not_arrive_nobody(self) -> None:
        books = a_sale()
        books.refund(1000)
        books.send_all()
        books.fail("pi_1-1")
        assert books.borne == [0, 0, 0]
        assert [sum(each.parts) for each in books.sale.back] == [1000, -1000]

    def test_what_went_back_twice_is_the_shops_until_once_is_undone(self) -> None:
        books = a_sale()
        books.refund(2659)
        books.send_all()
        books.dispute("dp_1", 2659, "lost")
        assert books.borne == [999, 1000, 660 + 2659]
        books.fail("pi_1-1")
        assert books.borne == [999, 1000, 660]

    def test_of_what_came_back_before_it_was_paid_its_goods(self) -> None:
        books = a_sale(paid=False)
        books.give_back({listing_id(1): 2})
        books.pay()
        (refund,) = books.payment.refunds.values()
        assert (refund.reason, refund.amount) == (FOR_RETURN, Money(719))
        for _ in range(2):
            books.send_all()
            assert books.borne == [666, 0, 53]
            name = [*books.payment.refunds][-1]
            books.fail(name)
            assert books.borne == [0, 0, 0]
            books.record((), books.payment.retry_refund(name))

    def test_is_told_by_the_name_of_its_refund_where_events_name_no_return(self) -> None:
        """As those of earlier days do."""
        books = a_sale()
        books.give_back({listing_id(1): 2})
        (asked,) = [each for each in books.order.returns if each.arrived]
        books.record(
            [
                OrderRefunded(
                    order_id=ORDER_ID, intent_id=INTENT, refund_id=asked.refund_id, amount=asked.refund
                )
            ]
        )
        assert books.borne == [666, 0, 53]

    def test_of_what_was_paid_by_another_payment_nobody(self) -> None:
        books = a_sale()
        books.record(
            [
                OrderDisputed(
                    order_id=ORDER_ID, intent_id="pi_2", dispute_id="dp_1", amount=Money(5), status="lost"
                )
            ]
        )
        assert books.sale.back == ()

    def test_a_dispute_in_another_currency_is_of_the_whole(self) -> None:
        """As the payment takes it: all of it is out of reach."""
        books = a_sale()
        amount = Money(2_400, "EUR")
        books.tell(
            paying.disputed(
                books.payment, books.order, dispute_id="dp_1", amount=amount, reason="", status="lost"
            )
        )
        assert (books.went_back, books.payment.refundable) == ((0, 2659), Money(0))
