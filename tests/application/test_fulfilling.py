"""Sending orders, whoever does what at the same moment; on a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from application.accounts.people import SignedIn
from application.accounts.registering import CreateAccount, NewPerson, RegisterAccount
from application.errors import ConcurrentChangeError
from application.orders.cancelling import CancelOrder
from application.orders.fulfilling import AdvanceOrder, UpdateTracking
from application.orders.noting import AddNote
from application.payments.paying import RequestPayment
from application.ports import Metadata
from domain.accounts.account import Account
from domain.accounts.events import Caller, Profile, Role
from domain.kernel import DomainError, ForbiddenError, InvalidInputError, OrderId, stream_id
from domain.listings.events import StockCommitted, StockRestored
from domain.listings.listing import Listing
from domain.orders.events import (
    NoteVisibility,
    OrderNoteAdded,
    OrderProcessingStarted,
    OrderStatus,
    ParcelShipped,
    ParcelStatus,
    ParcelTrackingChanged,
    PaymentStatus,
    TrackingStatus,
)
from domain.orders.order import (
    ORDERS,
    Order,
    OrderCannotCancelError,
    OrderNotFoundError,
    OrderStatusError,
    ParcelNotFoundError,
)
from domain.orders.parcels import Shipment
from domain.sellers.events import seller_of
from tests.application.shop import METADATA, Shop

UPS = Shipment(carrier="UPS", tracking_number="1Z999AA10123456784")
ADMIN_PERSON = NewPerson(
    email="admin@example.com",
    password="Secret123",
    profile=Profile(first_name="Ada"),
    roles=frozenset({Role.ADMIN}),
)


class Sold:
    """An order of two sellers' things, two of each of the ten that there are; the buyer has not paid yet."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.listings: list[Listing] = []
        self.sellers: list[Caller] = []

    @classmethod
    async def by(cls, shop: Shop) -> Sold:
        sold = cls(shop)
        for name in ("ann", "ben"):
            seller = await _seller(shop, name)
            sold.sellers.append(seller)
            sold.listings.append(await shop.listing(seller_id=seller_of(seller.account_id), title=name))
        admin: Account = (await shop.handle(CreateAccount(person=ADMIN_PERSON))).state
        sold.admin = Caller(account_id=admin.id, number=admin.number, roles=frozenset({Role.ADMIN}))
        sold.buyer = await shop.buyer()
        sold.order = await shop.order(sold.buyer, *((listing, 2) for listing in sold.listings))
        await shop.handle(RequestPayment(order_id=sold.order.id))
        return sold

    admin: Caller
    buyer: Caller
    order: Order

    async def pay(self) -> None:
        await self.shop.handle(self.payment())

    def payment(self) -> Any:
        return self.shop.paid(self.shop.provider.intents[f"order-{self.order.id}"])

    def advance(self, caller: Caller, to: OrderStatus, **fields: Any) -> AdvanceOrder:
        return AdvanceOrder(order_id=self.order.id, caller=caller, to=to, **fields)

    async def advanced(self, caller: Caller, to: OrderStatus, **fields: Any) -> Order:
        order: Order = (await self.shop.handle(self.advance(caller, to, **fields))).state
        return order

    async def now(self) -> Order:
        order: Order = await self.shop.now(ORDERS, self.order.id)
        return order

    async def statuses(self) -> list[ParcelStatus]:
        order = await self.now()
        return [order.parcel_status(parcel) for parcel in order.parcels]

    async def stock(self) -> list[tuple[int, int]]:
        now = [await self.shop.listing_now(listing) for listing in self.listings]
        return [(listing.stock, listing.reserved) for listing in now]

    async def commits(self) -> int:
        return sum(isinstance(event, StockCommitted) for event in await self.shop.events_after(0))


async def _seller(shop: Shop, name: str) -> Caller:
    person = NewPerson(
        email=f"{name}@example.com",
        password="Secret123",
        profile=Profile(first_name=name),
        roles=frozenset({Role.USER, Role.SELLER}),
    )
    signed_in: SignedIn = (await shop.handle(RegisterAccount(person=person))).state
    return Caller(
        account_id=signed_in.account.id,
        number=signed_in.account.number,
        roles=frozenset(signed_in.account.roles),
    )


@pytest.fixture
async def sold() -> Sold:
    return await Sold.by(Shop())


class TestWhoMay:
    async def test_sellers_send_what_they_sold_and_an_admin_all(self, sold: Sold) -> None:
        ann, ben = sold.sellers
        await sold.pay()
        order = await sold.advanced(ann, OrderStatus.SHIPPED, shipment=UPS)
        assert (order.status, order.parcel(1).shipment.carrier) == (OrderStatus.PROCESSING, "UPS")
        assert await sold.statuses() == [ParcelStatus.SHIPPED, ParcelStatus.PROCESSING]
        order = await sold.advanced(sold.admin, OrderStatus.SHIPPED)
        assert order.status is OrderStatus.SHIPPED
        await sold.advanced(ben, OrderStatus.DELIVERED)
        order = await sold.advanced(ann, OrderStatus.DELIVERED)
        assert order.status is OrderStatus.DELIVERED

    async def test_nobody_sends_what_others_sold(self, sold: Sold) -> None:
        ann, _ = sold.sellers
        await sold.pay()
        stranger = await sold.shop.buyer("eve")
        head = await sold.shop.log.head()
        for caller, parcels in (
            (ann, (2,)),
            (ann, (1, 2)),
            (sold.buyer, None),
            (stranger, None),
            (stranger, (1,)),
        ):
            with pytest.raises(ForbiddenError):
                await sold.advanced(caller, OrderStatus.SHIPPED, parcels=parcels)
        with pytest.raises(ForbiddenError):
            await sold.shop.handle(
                UpdateTracking(order_id=sold.order.id, caller=ann, parcel=2, status=TrackingStatus.DELIVERED)
            )
        with pytest.raises(ParcelNotFoundError):
            await sold.advanced(sold.admin, OrderStatus.SHIPPED, parcels=(3,))
        assert await sold.shop.log.head() == head

    async def test_a_seller_skips_nothing(self, sold: Sold) -> None:
        ann, _ = sold.sellers
        head = await sold.shop.log.head()
        for to in (OrderStatus.PROCESSING, OrderStatus.SHIPPED, OrderStatus.DELIVERED):
            with pytest.raises(OrderStatusError):
                await sold.advanced(ann, to)
        assert await sold.shop.log.head() == head
        await sold.pay()
        with pytest.raises(OrderStatusError):
            await sold.advanced(ann, OrderStatus.DELIVERED)

    async def test_nothing_is_done_to_what_is_not_there(self, sold: Sold) -> None:
        nowhere = OrderId(stream_id("order", "ORD-1999010101"))
        for command in (
            AdvanceOrder(order_id=nowhere, caller=sold.admin, to=OrderStatus.SHIPPED),
            UpdateTracking(order_id=nowhere, caller=sold.admin, status=TrackingStatus.DELIVERED),
            UpdateTracking(order_id=nowhere, status=TrackingStatus.DELIVERED),
            AddNote(order_id=nowhere, caller=sold.admin, note="Hm."),
        ):
            with pytest.raises(OrderNotFoundError):
                await sold.shop.handle(command)

    async def test_who_has_seen_an_older_one_is_refused(self, sold: Sold) -> None:
        await sold.pay()
        head = await sold.shop.log.head()
        with pytest.raises(ConcurrentChangeError):
            await sold.shop.handle(
                sold.advance(sold.admin, OrderStatus.SHIPPED), Metadata(actor="test", expected_version=1)
            )
        assert await sold.shop.log.head() == head


class TestBeforeItIsPaid:
    async def test_the_stock_leaves_with_the_order_and_the_payment_takes_it_no_more(self, sold: Sold) -> None:
        assert await sold.stock() == [(10, 2), (10, 2)]
        head = await sold.shop.log.head()
        order = await sold.advanced(sold.admin, OrderStatus.PROCESSING)
        assert (order.status, order.payment_status) == (OrderStatus.PROCESSING, PaymentStatus.PENDING)
        assert [type(event) for event in await sold.shop.events_after(head)] == [
            OrderProcessingStarted,
            StockCommitted,
            StockCommitted,
        ]
        await sold.pay()
        assert (await sold.now()).payment_status is PaymentStatus.PAID
        assert await sold.stock() == [(8, 0), (8, 0)]
        assert await sold.commits() == 2

    async def test_it_comes_back_when_it_is_cancelled_after_all(self, sold: Sold) -> None:
        await sold.advanced(sold.admin, OrderStatus.PROCESSING)
        await sold.shop.handle(CancelOrder(order_id=sold.order.id, caller=sold.buyer))
        assert await sold.stock() == [(10, 0), (10, 0)]
        restored = [event for event in await sold.shop.events_after(0) if isinstance(event, StockRestored)]
        assert len(restored) == 2

    async def test_all_of_it_leaves_the_stock_though_one_parcel_is_sent(self, sold: Sold) -> None:
        await sold.advanced(sold.admin, OrderStatus.SHIPPED, parcels=(2,))
        assert await sold.statuses() == [ParcelStatus.PROCESSING, ParcelStatus.SHIPPED]
        assert await sold.stock() == [(8, 0), (8, 0)]


class TestTracking:
    def tracked(self, sold: Sold, **fields: Any) -> UpdateTracking:
        return UpdateTracking(order_id=sold.order.id, status=TrackingStatus.IN_TRANSIT, **fields)

    async def test_a_seller_can_only_mean_their_own(self, sold: Sold) -> None:
        _, ben = sold.sellers
        await sold.pay()
        order: Order = (await sold.shop.handle(self.tracked(sold, caller=ben, location="Bath"))).state
        assert order.parcel(2).tracking[0].location == "Bath"
        assert await sold.statuses() == [ParcelStatus.PROCESSING, ParcelStatus.SHIPPED]

    async def test_of_several_it_must_be_said_which(self, sold: Sold) -> None:
        await sold.pay()
        for caller in (sold.admin, None):
            with pytest.raises(InvalidInputError) as refusal:
                await sold.shop.handle(self.tracked(sold, caller=caller))
            assert list(refusal.value.details) == ["parcel"]

    async def test_what_is_to_come_has_not_happened(self, sold: Sold) -> None:
        """A carrier's clock is taken for what it is."""
        await sold.pay()
        ahead = sold.shop.clock.at + timedelta(hours=1)
        with pytest.raises(InvalidInputError) as refusal:
            await sold.shop.handle(self.tracked(sold, caller=sold.admin, parcel=1, at=ahead))
        assert list(refusal.value.details) == ["timestamp"]
        order: Order = (await sold.shop.handle(self.tracked(sold, parcel=1, at=ahead))).state
        assert order.parcel(1).tracking[0].occurred_at == sold.shop.clock.at


class TestNotes:
    async def test_one_is_recorded_with_what_is_done(self, sold: Sold) -> None:
        ann, _ = sold.sellers
        await sold.pay()
        head = await sold.shop.log.head()
        order = await sold.advanced(ann, OrderStatus.SHIPPED, shipment=UPS, note="Handle with care")
        assert [type(event) for event in await sold.shop.events_after(head)] == [
            ParcelShipped,
            OrderNoteAdded,
        ]
        (note,) = order.notes
        assert (note.note, note.author, note.by_admin) == ("Handle with care", ann.number, False)

    async def test_nothing_is_noted_of_what_is_refused(self, sold: Sold) -> None:
        head = await sold.shop.log.head()
        with pytest.raises(OrderStatusError):
            await sold.advanced(sold.sellers[0], OrderStatus.SHIPPED, note="Too early")
        assert await sold.shop.log.head() == head

    async def test_by_itself_it_is_for_the_buyer_and_admins(self, sold: Sold) -> None:
        for caller in (sold.buyer, sold.admin):
            order: Order = (
                await sold.shop.handle(AddNote(order_id=sold.order.id, caller=caller, note="Hm."))
            ).state
            assert order.notes[-1].author == caller.number
        head = await sold.shop.log.head()
        for caller in (sold.sellers[0], await sold.shop.buyer("eve")):
            head = await sold.shop.log.head()
            with pytest.raises(ForbiddenError):
                await sold.shop.handle(AddNote(order_id=sold.order.id, caller=caller, note="Hm."))
            assert await sold.shop.log.head() == head
        internal = AddNote(
            order_id=sold.order.id, caller=sold.buyer, note="Hm.", visibility=NoteVisibility.INTERNAL
        )
        with pytest.raises(ForbiddenError):
            await sold.shop.handle(internal)


class TestAtTheSameMoment:
    """Two processes that have seen the same order, and which of them comes first differs from turn to turn."""

    async def race(self, sold: Sold, first: object, second: object, turn: int) -> list[DomainError | None]:
        """What became of each."""
        here, there = sold.shop.store, sold.shop.another_store()
        await there.load(ORDERS, sold.order.id)
        buses = [sold.shop.bus_on(store) for store in (here, there)[:: 1 if turn % 2 else -1]]

        async def later(turns: int, what: Callable[[], Awaitable[object]]) -> DomainError | None:
            for _ in range(turns):
                await asyncio.sleep(0)
            try:
                await what()
            except DomainError as refusal:
                return refusal
            return None

        return list(
            await asyncio.gather(
                later(turn % 4, lambda: buses[0].handle(first, METADATA)),
                later(3 - turn % 4, lambda: buses[1].handle(second, METADATA)),
            )
        )

    @pytest.mark.parametrize("turn", range(8))
    async def test_it_is_either_sent_or_cancelled(self, sold: Sold, turn: int) -> None:
        await sold.pay()
        ship = sold.advance(sold.sellers[0], OrderStatus.SHIPPED, shipment=UPS)
        cancel = CancelOrder(order_id=sold.order.id, caller=sold.buyer)
        shipped, cancelled = await self.race(sold, ship, cancel, turn)
        order = await sold.now()
        if order.cancelled:
            assert (shipped, cancelled) == (shipped, None)
            assert isinstance(shipped, OrderStatusError)
            assert not any(parcel.sent for parcel in order.parcels)
            assert await sold.stock() == [(10, 0), (10, 0)]
        else:
            assert shipped is None
            assert isinstance(cancelled, OrderCannotCancelError)
            assert [parcel.sent for parcel in order.parcels] == [True, False]
            assert await sold.stock() == [(8, 0), (8, 0)]

    @pytest.mark.parametrize("turn", range(8))
    async def test_two_sellers_send_and_both_are_heard(self, sold: Sold, turn: int) -> None:
        await sold.pay()
        head = await sold.shop.log.head()
        ann, ben = (sold.advance(seller, OrderStatus.SHIPPED, shipment=UPS) for seller in sold.sellers)
        assert await self.race(sold, ann, ben, turn) == [None, None]
        assert (await sold.now()).status is OrderStatus.SHIPPED
        shipped = [event for event in await sold.shop.events_after(head) if isinstance(event, ParcelShipped)]
        assert sorted(event.parcel for event in shipped) == [1, 2]

    @pytest.mark.parametrize("to", [OrderStatus.PROCESSING, OrderStatus.SHIPPED])
    @pytest.mark.parametrize("turn", range(8))
    async def test_the_stock_leaves_once_be_it_paid_or_started_first(
        self, sold: Sold, turn: int, to: OrderStatus
    ) -> None:
        start = sold.advance(sold.admin, to)
        assert await self.race(sold, start, sold.payment(), turn) == [None, None]
        order = await sold.now()
        assert (order.status, order.payment_status) == (to, PaymentStatus.PAID)
        assert await sold.commits() == 2
        assert await sold.stock() == [(8, 0), (8, 0)]

    @pytest.mark.parametrize("turn", range(8))
    async def test_one_parcel_is_sent_once_however_often_that_is_said(self, sold: Sold, turn: int) -> None:
        await sold.pay()
        head = await sold.shop.log.head()
        by_seller = sold.advance(sold.sellers[0], OrderStatus.SHIPPED, shipment=UPS)
        by_admin = sold.advance(sold.admin, OrderStatus.SHIPPED, parcels=(1,), shipment=UPS)
        assert await self.race(sold, by_seller, by_admin, turn) == [None, None]
        events = await sold.shop.events_after(head)
        assert [type(event) for event in events] == [ParcelShipped]
        assert not any(isinstance(event, ParcelTrackingChanged) for event in events)
