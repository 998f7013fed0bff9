"""Sending an order: parcels, what carriers say of them, and notes."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.kernel import AccountId, ForbiddenError, RuleViolatedError, stream_id
from domain.money import Money
from domain.orders.carriers import as_scanned, tracking_url
from domain.orders.events import (
    CancelCause,
    NoteVisibility,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderLine,
    OrderNoteAdded,
    OrderPlaced,
    OrderProcessingStarted,
    OrderStatus,
    ParcelDelivered,
    ParcelShipped,
    ParcelStatus,
    ParcelTrackingChanged,
    PlacedParcel,
    PostalAddress,
    TrackingStatus,
    TrackingUpdated,
)
from domain.orders.order import (
    MOST_NOTES,
    MOST_TRACKING,
    ORDERS,
    Order,
    OrderCannotCancelError,
    OrderStatusError,
    ParcelNotFoundError,
)
from domain.orders.parcels import Shipment
from domain.sellers.events import HOUSE_SELLER, seller_of
from tests.domain.builders import ADMIN, BUYER, NOW, ORDER_ID, listing_id

SELLER = Caller(account_id=AccountId(stream_id("account", 3)), number=3)
STRANGER = Caller(account_id=AccountId(stream_id("account", 4)), number=4)
SHOP = seller_of(SELLER.account_id)
CONFIRMED = OrderConfirmed(order_id=ORDER_ID, intent_id="pi_1", confirmed_at=NOW)
STARTED = OrderProcessingStarted(order_id=ORDER_ID, account_id=BUYER.account_id, started_at=NOW)
CANCELLED = OrderCancelled(
    order_id=ORDER_ID, account_id=BUYER.account_id, cause=CancelCause.BUYER, cancelled_at=NOW
)
UPS = Shipment(carrier="UPS", tracking_number="1Z999AA10123456784")
AT_UPS = "https://www.ups.com/track?tracknum=1Z999AA10123456784"
TOMORROW = NOW + timedelta(days=1)


def placed() -> OrderPlaced:
    """One line of the house and one of a seller: two parcels."""
    lines = tuple(
        OrderLine(
            listing_id=listing_id(number),
            number=number,
            seller_id=seller_id,
            title=f"Listing {number}",
            thumbnail="",
            price=Money(1000),
            discount_percentage=Decimal(0),
            quantity=1,
            total=Money(1000),
            discounted_total=Money(1000),
        )
        for number, seller_id in ((1, HOUSE_SELLER), (2, SHOP))
    )
    return OrderPlaced(
        order_id=ORDER_ID,
        number="ORD-2026112101",
        account_id=BUYER.account_id,
        account_number=BUYER.number,
        lines=lines,
        subtotal=Money(2000),
        tax=Money(160),
        shipping=Money(500),
        total=Money(2660),
        payment_method="card",
        shipping_address=PostalAddress(city="Bath"),
        placed_at=NOW,
        parcels=tuple(PlacedParcel(seller_id=each) for each in (HOUSE_SELLER, SHOP)),
    )


def order_after(*events: OrderEvent) -> Order:
    return ORDERS.after(None, [placed(), *events])


def shipped(parcel: int = 1, **said: Any) -> ParcelShipped:
    seller_id = (HOUSE_SELLER, SHOP)[parcel - 1]
    return ParcelShipped(
        order_id=ORDER_ID,
        account_id=BUYER.account_id,
        parcel=parcel,
        seller_id=seller_id,
        shipped_at=NOW,
        **said,
    )


def delivered(parcel: int = 1) -> ParcelDelivered:
    seller_id = (HOUSE_SELLER, SHOP)[parcel - 1]
    return ParcelDelivered(
        order_id=ORDER_ID,
        account_id=BUYER.account_id,
        parcel=parcel,
        seller_id=seller_id,
        delivered_at=NOW,
    )


def told(status: TrackingStatus, parcel: int = 1, **fields: Any) -> TrackingUpdated:
    told = {"account_id": BUYER.account_id, "occurred_at": NOW, **fields}
    return TrackingUpdated(order_id=ORDER_ID, parcel=parcel, status=status, **told)


def advance(order: Order, to: OrderStatus, *parcels: int, skip: bool = False, **fields: Any) -> list[Any]:
    return order.advance(to, NOW, parcels=parcels, may_skip=skip, **fields)


class TestStatus:
    def test_an_order_is_as_far_as_the_parcel_that_is_behind(self) -> None:
        order = order_after(CONFIRMED, shipped(1))
        assert order.status is OrderStatus.PROCESSING
        assert [order.parcel_status(parcel) for parcel in order.parcels] == [
            ParcelStatus.SHIPPED,
            ParcelStatus.PROCESSING,
        ]
        assert order_after(CONFIRMED, shipped(1), shipped(2)).status is OrderStatus.SHIPPED
        assert order_after(CONFIRMED, shipped(1), shipped(2), delivered(1)).status is OrderStatus.SHIPPED
        whole = order_after(CONFIRMED, shipped(1), shipped(2), delivered(1), delivered(2))
        assert whole.status is OrderStatus.DELIVERED

    def test_before_it_is_paid_or_once_it_is_cancelled_so_are_its_parcels(self) -> None:
        for order, status in (
            (order_after(), ParcelStatus.PENDING),
            (order_after(STARTED), ParcelStatus.PROCESSING),
            (order_after(CONFIRMED, CANCELLED), ParcelStatus.CANCELLED),
        ):
            assert {order.parcel_status(parcel) for parcel in order.parcels} == {status}


class TestAdvancing:
    def test_a_paid_one_is_sent_parcel_by_parcel(self) -> None:
        order = order_after(CONFIRMED)
        events = advance(order, OrderStatus.SHIPPED, 2, shipment=UPS)
        assert events == [shipped(2, carrier="UPS", tracking_number=UPS.tracking_number, tracking_url=AT_UPS)]
        assert advance(order, OrderStatus.SHIPPED, 1, 2) == [shipped(1), shipped(2)]

    def test_what_is_there_already_is_left_as_it_is(self) -> None:
        assert advance(order_after(), OrderStatus.PENDING, 1, 2) == []
        assert advance(order_after(CONFIRMED), OrderStatus.PROCESSING, 1, 2) == []
        assert advance(order_after(CONFIRMED, shipped(1)), OrderStatus.SHIPPED, 1) == []
        assert advance(order_after(CONFIRMED, shipped(1)), OrderStatus.SHIPPED, 1, 2) == [shipped(2)]
        whole = order_after(CONFIRMED, shipped(1), delivered(1))
        assert advance(whole, OrderStatus.DELIVERED, 1) == []

    def test_to_ship_what_is_not_paid_takes_an_admin_who_takes_the_stock_too(self) -> None:
        for to in (OrderStatus.PROCESSING, OrderStatus.SHIPPED, OrderStatus.DELIVERED):
            with pytest.raises(OrderStatusError):
                advance(order_after(), to, 1, 2)
        assert advance(order_after(), OrderStatus.PROCESSING, 1, 2, skip=True) == [STARTED]
        assert advance(order_after(), OrderStatus.SHIPPED, 1, skip=True) == [STARTED, shipped(1)]
        assert advance(order_after(), OrderStatus.DELIVERED, 1, skip=True) == [STARTED, delivered(1)]
        assert advance(order_after(STARTED), OrderStatus.SHIPPED, 1) == [shipped(1)]

    def test_only_an_admin_knows_of_what_arrived_that_it_was_sent(self) -> None:
        order = order_after(CONFIRMED, shipped(1))
        with pytest.raises(OrderStatusError):
            advance(order, OrderStatus.DELIVERED, 1, 2)
        assert advance(order, OrderStatus.DELIVERED, 1) == [delivered(1)]
        assert advance(order, OrderStatus.DELIVERED, 1, 2, skip=True) == [delivered(1), delivered(2)]

    @pytest.mark.parametrize(
        ("history", "to"),
        [
            ((CONFIRMED,), OrderStatus.PENDING),
            ((CONFIRMED,), OrderStatus.CANCELLED),
            ((CONFIRMED, shipped(1)), OrderStatus.PROCESSING),
            ((CONFIRMED, shipped(1), delivered(1)), OrderStatus.SHIPPED),
            ((CONFIRMED, shipped(1), delivered(1)), OrderStatus.PROCESSING),
            ((CANCELLED,), OrderStatus.PROCESSING),
            ((CANCELLED,), OrderStatus.SHIPPED),
            ((CANCELLED,), OrderStatus.PENDING),
        ],
    )
    def test_nothing_goes_back_or_comes_back_to_life(
        self, history: tuple[OrderEvent, ...], to: OrderStatus
    ) -> None:
        with pytest.raises(OrderStatusError) as refusal:
            advance(order_after(*history), to, 1, skip=True)
        assert refusal.value.details["to"] == to

    def test_there_is_no_parcel_but_those_there_are(self) -> None:
        for number in (0, 3, -1):
            with pytest.raises(ParcelNotFoundError):
                advance(order_after(CONFIRMED), OrderStatus.SHIPPED, number)

    def test_what_was_said_of_how_is_corrected_and_the_rest_of_it_stays(self) -> None:
        order = order_after(CONFIRMED, *advance(order_after(CONFIRMED), OrderStatus.SHIPPED, 1, shipment=UPS))
        assert advance(order, OrderStatus.SHIPPED, 1, shipment=UPS) == []
        day = date(2026, 11, 24)
        (corrected,) = advance(order, OrderStatus.SHIPPED, 1, shipment=Shipment(estimated_delivery=day))
        assert corrected == ParcelTrackingChanged(
            order_id=ORDER_ID,
            account_id=BUYER.account_id,
            parcel=1,
            carrier="UPS",
            tracking_number=UPS.tracking_number,
            tracking_url=AT_UPS,
            estimated_delivery=day,
        )
        (elsewhere,) = advance(
            order, OrderStatus.SHIPPED, 1, shipment=Shipment(carrier="DPD", tracking_number="01 23")
        )
        assert elsewhere.tracking_url == "https://tracking.dpd.de/status/en_US/parcel/0123"
        after = order_after(CONFIRMED, shipped(1), corrected)
        assert after.parcel(1).shipped_at == NOW

    def test_who_sends_the_rest_does_not_rename_what_is_on_its_way(self) -> None:
        order = order_after(CONFIRMED, shipped(2, carrier="DHL", tracking_number="7"))
        events = advance(order, OrderStatus.SHIPPED, 1, 2, shipment=UPS)
        assert [event.parcel for event in events] == [1]

    def test_a_label_can_be_made_before_it_is_sent(self) -> None:
        order = order_after(CONFIRMED)
        (labelled,) = advance(order, OrderStatus.PROCESSING, 1, shipment=UPS)
        assert isinstance(labelled, ParcelTrackingChanged)
        order = order_after(CONFIRMED, labelled)
        assert (order.parcel(1).sent, order.parcel(1).tracking_status) == (False, TrackingStatus.PENDING)
        scanned = order.track(1, TrackingStatus.PICKED_UP, "", "", NOW, at=NOW)
        assert scanned == [
            shipped(1, carrier="UPS", tracking_number=UPS.tracking_number, tracking_url=AT_UPS),
            told(TrackingStatus.PICKED_UP),
        ]

    def test_as_soon_as_one_parcel_left_nothing_is_cancelled(self) -> None:
        with pytest.raises(OrderCannotCancelError):
            order_after(CONFIRMED, shipped(2)).cancel(CancelCause.BUYER, NOW)

    def test_each_looks_after_what_they_send(self) -> None:
        order = order_after(CONFIRMED)
        assert order.sent_by(ADMIN) == (1, 2)
        assert order.sent_by(SELLER) == (2,)
        order.require_sent_by(ADMIN)
        order.require_sent_by(SELLER)
        for other in (BUYER, STRANGER):
            assert order.sent_by(other) == ()
            with pytest.raises(ForbiddenError):
                order.require_sent_by(other)

    def test_an_order_of_earlier_days_has_its_parcels_too(self) -> None:
        order = ORDERS.after(None, [replace(placed(), parcels=())])
        assert [(parcel.seller_id, parcel.shipping) for parcel in order.parcels] == [
            (HOUSE_SELLER, Money(500)),
            (SHOP, Money(0)),
        ]


class TestTracking:
    def track(self, order: Order, status: TrackingStatus, **fields: Any) -> list[Any]:
        given = {"number": 1, "location": "", "description": "", "occurred_at": NOW, "at": TOMORROW}
        return order.track(status=status, **{**given, **fields})

    def test_what_is_said_of_a_parcel_is_kept(self) -> None:
        order = order_after(CONFIRMED, shipped(1))
        events = self.track(order, TrackingStatus.IN_TRANSIT, location="Newark, NJ", description="On its way")
        assert events == [told(TrackingStatus.IN_TRANSIT, location="Newark, NJ", description="On its way")]
        assert self.track(order_after(CONFIRMED, shipped(1), *events), TrackingStatus.IN_TRANSIT,
                          location="Newark, NJ", description="On its way") == []  # fmt: skip

    def test_the_last_that_happened_counts_in_whatever_order_it_is_told(self) -> None:
        order = order_after(
            CONFIRMED,
            shipped(1),
            told(TrackingStatus.OUT_FOR_DELIVERY, occurred_at=TOMORROW),
            told(TrackingStatus.IN_TRANSIT),
        )
        assert order.parcel(1).tracking_status is TrackingStatus.OUT_FOR_DELIVERY
        assert order_after(CONFIRMED, shipped(1)).parcel(1).tracking_status is TrackingStatus.PICKED_UP

    def test_the_first_scan_sends_it_and_the_last_delivers_it_when_we_hear_of_it(self) -> None:
        """Nobody shortens the time for returns by naming an earlier day."""
        long_ago = NOW - timedelta(days=400)
        events = self.track(order_after(CONFIRMED), TrackingStatus.DELIVERED, occurred_at=long_ago)
        assert [type(event) for event in events] == [ParcelShipped, TrackingUpdated, ParcelDelivered]
        assert events[0].shipped_at == events[2].delivered_at == TOMORROW
        assert events[1].occurred_at == long_ago
        after = order_after(CONFIRMED, *events)
        assert after.parcel(1).tracking_status is TrackingStatus.DELIVERED

    def test_that_a_label_was_made_sends_nothing(self) -> None:
        assert self.track(order_after(CONFIRMED), TrackingStatus.PENDING) == [told(TrackingStatus.PENDING)]

    def test_nothing_is_on_its_way_that_may_not_be_sent(self) -> None:
        for order in (order_after(), order_after(CANCELLED)):
            with pytest.raises(OrderStatusError):
                self.track(order, TrackingStatus.IN_TRANSIT)
        with pytest.raises(ParcelNotFoundError):
            self.track(order_after(CONFIRMED), TrackingStatus.IN_TRANSIT, number=3)

    def test_there_is_an_end_to_it(self) -> None:
        scans = [
            told(TrackingStatus.IN_TRANSIT, occurred_at=NOW + timedelta(seconds=second))
            for second in range(MOST_TRACKING)
        ]
        with pytest.raises(RuleViolatedError):
            self.track(
                order_after(CONFIRMED, shipped(1), *scans), TrackingStatus.DELIVERED, occurred_at=TOMORROW
            )


class TestNotes:
    def note(self, order: Order, by: Caller, **fields: Any) -> list[OrderEvent]:
        visibility = fields.get("visibility", NoteVisibility.EVERYBODY)
        return order.add_note(UUID(int=1), by, "Ring twice", visibility, NOW)

    def added(self, by: Caller, **fields: Any) -> OrderNoteAdded:
        return OrderNoteAdded(
            order_id=ORDER_ID,
            account_id=BUYER.account_id,
            note_id=UUID(int=1),
            author=by.number,
            note="Ring twice",
            created_at=NOW,
            **fields,
        )

    def test_whoever_sees_it_may_say_something(self) -> None:
        assert self.note(order_after(), BUYER) == [self.added(BUYER)]
        assert self.note(order_after(), SELLER) == [self.added(SELLER)]
        assert self.note(order_after(CANCELLED), ADMIN) == [self.added(ADMIN, by_admin=True)]
        with pytest.raises(ForbiddenError):
            self.note(order_after(), STRANGER)

    def test_what_only_admins_read_only_they_write(self) -> None:
        internal = NoteVisibility.INTERNAL
        assert self.note(order_after(), ADMIN, visibility=internal) == [
            self.added(ADMIN, by_admin=True, visibility=internal)
        ]
        for other in (BUYER, SELLER):
            with pytest.raises(ForbiddenError):
                self.note(order_after(), other, visibility=internal)

    def test_there_is_an_end_to_it_but_for_admins(self) -> None:
        full = order_after(*[self.added(SELLER)] * MOST_NOTES)
        for one in (BUYER, SELLER):
            with pytest.raises(RuleViolatedError):
                self.note(full, one)
        assert self.note(full, ADMIN) == [self.added(ADMIN, by_admin=True)]


class TestCarriers:
    @pytest.mark.parametrize(
        "carrier", ["UPS", "ups", "FedEx", "Fed-Ex", "DHL", "DHL Express", "USPS", "DPD", "Royal Mail"]
    )
    def test_known_ones_have_an_address(self, carrier: str) -> None:
        url = tracking_url(carrier, " 1z 999-aa1 ")
        assert url.startswith("https://")
        assert url.endswith("1Z999AA1")

    def test_of_others_and_without_a_number_there_is_none(self) -> None:
        assert tracking_url("Uncle Bob", "1") == tracking_url("UPS", "") == tracking_url("", "1") == ""
        assert tracking_url("UPS", "../?&#") == ""

    def test_an_address_that_is_given_stays(self) -> None:
        said = Shipment(carrier="UPS", tracking_number="1", tracking_url="https://t.example.com/1")
        assert Shipment().corrected(said) == said
        assert said.corrected(Shipment(carrier="UPS")) == said

    def test_numbers_are_the_same_however_they_are_written(self) -> None:
        assert as_scanned("1Z 999-AA1 ") == as_scanned("1z999aa1") == "1Z999AA1"
