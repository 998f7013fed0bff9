"""Parcels: what each seller of an order sends, on its own, and what carriers say of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import msgspec
from msgspec.structs import replace

from domain.kernel import SellerId
from domain.money import Money
from domain.orders.carriers import tracking_url
from domain.orders.events import (
    OrderPlaced,
    ParcelDelivered,
    ParcelShipped,
    ParcelTrackingChanged,
    PlacedParcel,
    TrackingStatus,
    TrackingUpdated,
)


class Shipment(msgspec.Struct, frozen=True, kw_only=True):
    """How something is sent, as far as the sender says."""

    carrier: str = ""
    tracking_number: str = ""
    tracking_url: str = ""
    estimated_delivery: date | None = None

    def corrected(self, said: Shipment) -> Shipment:
        """What is said now, and of the rest what was said before; where nobody says it, the carrier's own address."""
        carrier = said.carrier or self.carrier
        number = said.tracking_number or self.tracking_number
        same = (carrier, number) == (self.carrier, self.tracking_number)
        address = said.tracking_url or (self.tracking_url if same else "")
        return Shipment(
            carrier=carrier,
            tracking_number=number,
            tracking_url=address or tracking_url(carrier, number),
            estimated_delivery=said.estimated_delivery or self.estimated_delivery,
        )


class TrackingEvent(msgspec.Struct, frozen=True, kw_only=True):
    status: TrackingStatus
    location: str = ""
    description: str = ""
    occurred_at: datetime


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` counts from 1 within the order. ``tracking`` is in the order in which it was told, not as it was."""

    number: int
    seller_id: SellerId
    shipping: Money
    shipment: Shipment = Shipment()
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    tracking: tuple[TrackingEvent, ...] = ()

    @property
    def sent(self) -> bool:
        """Whether it has left, be it that nobody said so before it arrived."""
        return self.shipped_at is not None or self.delivered

    @property
    def delivered(self) -> bool:
        return self.delivered_at is not None

    @property
    def tracking_status(self) -> TrackingStatus:
        """What is known of it last; whoever has it knows more than the carrier."""
        if self.delivered:
            return TrackingStatus.DELIVERED
        if self.tracking:
            return max(self.tracking, key=lambda told: told.occurred_at).status
        return TrackingStatus.PICKED_UP if self.sent else TrackingStatus.PENDING

    def without_whereabouts(self) -> Parcel:
        """The same once it is forgotten where the carrier left it, and by what name the carrier knows it."""
        tracking = tuple(replace(told, location="", description="") for told in self.tracking)
        shipment = Shipment(estimated_delivery=self.shipment.estimated_delivery)
        return replace(self, tracking=tracking, shipment=shipment)

    def after(
        self, event: ParcelShipped | ParcelTrackingChanged | TrackingUpdated | ParcelDelivered
    ) -> Parcel:
        match event:
            case ParcelShipped() | ParcelTrackingChanged():
                shipment = Shipment(
                    carrier=event.carrier,
                    tracking_number=event.tracking_number,
                    tracking_url=event.tracking_url,
                    estimated_delivery=event.estimated_delivery,
                )
                shipped_at = event.shipped_at if isinstance(event, ParcelShipped) else self.shipped_at
                return replace(self, shipment=shipment, shipped_at=shipped_at)
            case TrackingUpdated():
                told = TrackingEvent(
                    status=event.status,
                    location=event.location,
                    description=event.description,
                    occurred_at=event.occurred_at,
                )
                return replace(self, tracking=(*self.tracking, told))
            case ParcelDelivered(delivered_at=at):
                return replace(self, delivered_at=at)


def parcels_of(placed: OrderPlaced) -> tuple[Parcel, ...]:
    """One for each seller; in orders of earlier days the first one bears all of the shipping."""
    told: Sequence[PlacedParcel] = placed.parcels
    if not told:
        sellers = dict.fromkeys(line.seller_id for line in placed.lines)
        nothing = Money(0, placed.shipping.currency)
        told = [
            PlacedParcel(seller_id=seller_id, shipping=nothing if index else placed.shipping)
            for index, seller_id in enumerate(sellers)
        ]
    return tuple(
        Parcel(number=index, seller_id=each.seller_id, shipping=each.shipping)
        for index, each in enumerate(told, start=1)
    )
