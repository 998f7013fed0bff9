"""An order, from the moment it is placed until its last parcel has arrived, or has come back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never
from uuid import UUID

import msgspec
from msgspec.structs import asdict, replace

from domain.accounts.events import Caller
from domain.kernel import (
    AccountId,
    AlreadyExistsError,
    Decider,
    ForbiddenError,
    InvalidInputError,
    ListingId,
    NotFoundError,
    OrderId,
    RuleViolatedError,
    SellerId,
)
from domain.money import Money
from domain.orders.events import (
    AppliedPromotion,
    CancelCause,
    InvoiceIssued,
    NoteVisibility,
    OrderCancelled,
    OrderConfirmed,
    OrderDisputed,
    OrderEvent,
    OrderLine,
    OrderNoteAdded,
    OrderPaymentClosed,
    OrderPaymentFailed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderProcessingStarted,
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnApproved,
    OrderReturnReceived,
    OrderReturnRejected,
    OrderReturnRequested,
    OrderStatus,
    ParcelDelivered,
    ParcelShipped,
    ParcelStatus,
    ParcelTrackingChanged,
    PaymentStatus,
    PostalAddress,
    ReturnedLine,
    ReturnStatus,
    TaxLine,
    TrackingStatus,
    TrackingUpdated,
)
from domain.orders.parcels import Parcel, Shipment, parcels_of
from domain.orders.returns import OPEN_RETURNS, Return, units_of, worth_of
from domain.sellers.events import seller_of

_NOTHING_SAID: Final = Shipment()

_ParcelEvent: TypeAlias = ParcelShipped | ParcelTrackingChanged | TrackingUpdated | ParcelDelivered

MOST_TRACKING: Final = 200
MOST_NOTES: Final = 200
"""A carrier tells of a parcel a dozen times: more than this is a program that runs wild."""

RETURN_WINDOW: Final = timedelta(days=30)
"""How long after its delivery something can be sent back."""

UNPAID_AFTER: Final = timedelta(minutes=30)
"""How long an order waits for its payment (A25)."""


class OrderNotFoundError(NotFoundError):
    code = "ORDER_NOT_FOUND"


class PriceChangedError(AlreadyExistsError):
    """409: the price that the client showed is no longer the catalogue's (C31)."""

    code = "PRICE_CHANGED"


class PaymentTooSmallError(RuleViolatedError):
    """No provider takes a payment of so little."""

    code = "PAYMENT_TOO_SMALL"


class OrderCannotCancelError(RuleViolatedError):
    code = "ORDER_CANNOT_CANCEL"


class OrderStatusError(RuleViolatedError):
    """Orders only go forward, and not past a step (C33)."""

    code = "INVALID_STATUS_TRANSITION"


class ParcelNotFoundError(NotFoundError):
    code = "PARCEL_NOT_FOUND"


class OrderCannotReturnError(RuleViolatedError):
    """Only what has arrived can come back, once, and not for ever."""

    code = "ORDER_CANNOT_RETURN"


class ReturnNotFoundError(NotFoundError):
    code = "RETURN_NOT_FOUND"


class OrderCancelledError(RuleViolatedError):
    """There is nothing to pay for any more."""

    code = "ORDER_CANCELLED"


class NothingToPayError(RuleViolatedError):
    code = "NOTHING_TO_PAY"


class PaymentNotSucceededError(AlreadyExistsError):
    """409: the provider says that the order is not paid, or not yet (S0)."""

    code = "PAYMENT_NOT_SUCCEEDED"


class OrderAlreadyFinalError(AlreadyExistsError):
    """409: it has come to another end, and cannot be confirmed any more (S0)."""

    code = "ORDER_ALREADY_FINAL"


class PaymentAmountMismatchError(RuleViolatedError):
    code = "PAYMENT_AMOUNT_MISMATCH"


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """``author`` is the public number of whose account it was."""

    id: UUID
    author: int
    by_admin: bool
    note: str
    visibility: NoteVisibility
    created_at: datetime


class Dispute(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is in the provider's words."""

    amount: Money
    reason: str
    status: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` is what its parcels come to, as soon as they may be sent: as far as the one that is behind."""

    id: OrderId
    number: str
    account_id: AccountId
    account_number: int
    lines: tuple[OrderLine, ...]
    subtotal: Money
    tax: Money
    shipping: Money
    total: Money
    status: OrderStatus
    payment_status: PaymentStatus
    payment_method: str
    intent_id: str
    shipping_address: PostalAddress
    billing_address: PostalAddress | None
    placed_at: datetime
    confirmed_at: datetime | None
    discount: Money = Money(0)
    promotions: tuple[AppliedPromotion, ...] = ()
    refunded: Money = Money(0)
    cancelled_at: datetime | None = None
    cancel_cause: CancelCause | None = None
    cancel_reason: str = ""
    shipping_method: str = "standard"
    taxes: tuple[TaxLine, ...] = ()
    started_at: datetime | None = None
    closed_intents: tuple[str, ...] = ()
    failed_intents: tuple[str, ...] = ()
    parcels: tuple[Parcel, ...] = ()
    notes: tuple[Note, ...] = ()
    returns: tuple[Return, ...] = ()
    disputes: Mapping[str, Dispute] = msgspec.field(default_factory=dict)
    invoice_number: str = ""
    invoiced_at: datetime | None = None
    paid_intent: str = ""

    @property
    def cancelled(self) -> bool:
        return self.status is OrderStatus.CANCELLED

    @property
    def paid(self) -> bool:
        """Whether its money has come, be it that some of it went back."""
        return self.confirmed_at is not None

    @property
    def paying_intent(self) -> str:
        """What it was paid by, or else is to be: money of any other payment is none of its business."""
        return self.paid_intent or self.intent_id

    @property
    def intents(self) -> tuple[str, ...]:
        """Every payment that was ever prepared for it, the one that counts first."""
        known = (self.paying_intent, self.intent_id, *self.closed_intents)
        return tuple(dict.fromkeys(intent for intent in known if intent))

    @property
    def committed(self) -> bool:
        """Whether its units have left the stock for good: they are paid, or are sent before they are."""
        return self.paid or self.started_at is not None

    @property
    def seller_ids(self) -> tuple[SellerId, ...]:
        return tuple(parcel.seller_id for parcel in self.parcels)

    @property
    def return_status(self) -> ReturnStatus:
        """Of the return that was asked for last (C33)."""
        return self.returns[-1].status if self.returns else ReturnStatus.NONE

    @property
    def coupon_code(self) -> str:
        return next((applied.code for applied in self.promotions if applied.code), "")

    def parcel(self, number: int) -> Parcel:
        if not 1 <= number <= len(self.parcels):
            raise ParcelNotFoundError("The order has no such parcel", details={"parcel": number})
        return self.parcels[number - 1]

    def parcels_from(self, seller_id: SellerId) -> tuple[int, ...]:
        """The numbers of what this seller sends: one, or none."""
        return tuple(parcel.number for parcel in self.parcels if parcel.seller_id == seller_id)

    def parcel_status(self, parcel: Parcel) -> ParcelStatus:
        if self.cancelled:
            return ParcelStatus.CANCELLED
        if parcel.delivered:
            return ParcelStatus.DELIVERED
        if parcel.sent:
            return ParcelStatus.SHIPPED
        return ParcelStatus.PROCESSING if self.committed else ParcelStatus.PENDING

    def owned_by(self, caller: Caller) -> bool:
        return self.account_id == caller.account_id

    def sold_by(self, caller: Caller) -> bool:
        """Whether some of its lines are theirs, of which they may see and send what they sold."""
        return bool(self.parcels_from(seller_of(caller.account_id)))

    def require_visible_to(self, caller: Caller) -> None:
        """All of it: the buyer, or an admin (S2 §6.2.3)."""
        if not caller.is_admin and not self.owned_by(caller):
            raise ForbiddenError("You don't have permission to view this order")

    def link_payment(self, intent_id: str, amount: Money) -> list[OrderEvent]:
        """The order is paid by this intent and no other, unless that is closed by now."""
        if self.intent_id == intent_id:
            return []
        if self.intent_id:
            raise RuleViolatedError(f"order {self.number} is paid by another intent")
        self.require_amount(amount)
        return [OrderPaymentLinked(order_id=self.id, intent_id=intent_id)]

    def require_amount(self, amount: Money) -> None:
        if amount != self.total:
            raise PaymentAmountMismatchError(
                "The amount is not the order's total",
                details={"amount": [f"Must be {self.total.minor} {self.total.currency.lower()}"]},
            )

    def close_payment(self, intent_id: str) -> list[OrderEvent]:
        """The provider says that this one will not be made: another one may be."""
        if self.intent_id != intent_id or self.paid or self.cancelled:
            return []
        return [OrderPaymentClosed(order_id=self.id, intent_id=intent_id)]

    def require_payable(self) -> None:
        if self.cancelled:
            raise OrderCancelledError(f"Order {self.number} is cancelled")
        if not self.total.minor:
            raise NothingToPayError("There is nothing to pay for this order")

    def confirm(self, intent_id: str, at: datetime) -> list[OrderEvent]:
        """The money is there. One that was cancelled before stays so, and whoever records this asks the money back."""
        if self.paid or self.cancelled:
            return []
        return [
            OrderConfirmed(order_id=self.id, intent_id=intent_id, confirmed_at=at, account_id=self.account_id)
        ]

    def fail_payment(self, intent_id: str, code: str, message: str) -> list[OrderEvent]:
        if self.intent_id != intent_id or self.paid or self.cancelled:
            return []
        return [
            OrderPaymentFailed(
                order_id=self.id,
                intent_id=intent_id,
                code=code,
                message=message,
                account_id=self.account_id,
                repeated=intent_id in self.failed_intents,
            )
        ]

    def advance(
        self,
        to: OrderStatus,
        at: datetime,
        *,
        parcels: Collection[int],
        may_skip: bool,
        shipment: Shipment = _NOTHING_SAID,
    ) -> list[OrderEvent]:
        """Bring these parcels, by their numbers, as far as ``to``; what is there already is left as it is.

        ``may_skip`` is an admin's: to have sent what is not paid, or to say that it arrived though nobody said that
        it left. ``shipment`` is of what is sent now, or else corrects what was said of all of these; of one that is to
        be sent yet it is what stands on its label. ``to`` be cancelled is ``cancel``.
        """
        if to is OrderStatus.PENDING is self.status:
            return []
        if self.cancelled or to in (OrderStatus.PENDING, OrderStatus.CANCELLED):
            raise self._impossible(to)
        events: list[OrderEvent] = []
        if not self.committed:
            if not may_skip:
                raise self._impossible(to)
            events.append(OrderProcessingStarted(order_id=self.id, account_id=self.account_id, started_at=at))
        chosen = [self.parcel(number) for number in parcels]
        unsent = [parcel for parcel in chosen if not parcel.sent]
        match to:
            case OrderStatus.PROCESSING:
                if len(unsent) < len(chosen):
                    raise self._impossible(to)
                for parcel in chosen:
                    events += self._labelled(parcel, shipment)
            case OrderStatus.SHIPPED:
                if chosen and all(parcel.delivered for parcel in chosen):
                    raise self._impossible(to)
                for parcel in unsent or chosen:
                    events += self._shipped(parcel, shipment, at)
            case OrderStatus.DELIVERED:
                if unsent and not may_skip:
                    raise self._impossible(to)
                for parcel in chosen:
                    if shipment != _NOTHING_SAID:
                        events += self._shipped(parcel, shipment, at)
                    events += self._delivered(parcel, at)
        return events

    def require_sent_by(self, caller: Caller) -> None:
        """Who has something of it to send: an admin, or the seller of one of its lines."""
        if not caller.is_admin and not self.sold_by(caller):
            raise ForbiddenError("You don't have permission to change this order")

    def sent_by(self, caller: Caller) -> tuple[int, ...]:
        """The numbers of the parcels that this caller looks after: an admin after all of them."""
        if caller.is_admin:
            return tuple(parcel.number for parcel in self.parcels)
        return self.parcels_from(seller_of(caller.account_id))

    def track(
        self,
        number: int,
        status: TrackingStatus,
        location: str,
        description: str,
        occurred_at: datetime,
        *,
        at: datetime,
    ) -> list[OrderEvent]:
        """What a carrier says of a parcel. Said twice, it is said once.

        What is on its way has been sent, and what is there has arrived: ``at``, when we hear of it. What follows from
        that, such as for how long it can be returned, is not to be had by naming another day.
        """
        parcel = self.parcel(number)
        if self.cancelled or not self.committed:
            raise self._impossible(OrderStatus.SHIPPED)
        told = TrackingUpdated(
            order_id=self.id,
            account_id=self.account_id,
            parcel=number,
            status=status,
            location=location,
            description=description,
            occurred_at=occurred_at,
        )
        if parcel.after(told).tracking[-1] in parcel.tracking:
            return []
        if len(parcel.tracking) >= MOST_TRACKING:
            raise RuleViolatedError("More than enough is told of this parcel")
        events: list[OrderEvent] = []
        if not parcel.sent and status is not TrackingStatus.PENDING:
            events += self._shipped(parcel, parcel.shipment, at)
        events.append(told)
        if status is TrackingStatus.DELIVERED:
            events += self._delivered(parcel, at)
        return events

    def add_note(
        self, note_id: UUID, caller: Caller, note: str, visibility: NoteVisibility, at: datetime
    ) -> list[OrderEvent]:
        """By whoever may see it (S2-ORD-09: the buyer, or an admin); only admins write what only admins read.

        Who sells some of it may say something with what they send.
        """
        if not self.sold_by(caller):
            self.require_visible_to(caller)
        if len(self.notes) >= MOST_NOTES:
            raise RuleViolatedError("There are more than enough notes on this order")
        if visibility is NoteVisibility.INTERNAL and not caller.is_admin:
            raise ForbiddenError("Only admins write internal notes")
        return [
            OrderNoteAdded(
                order_id=self.id,
                account_id=self.account_id,
                note_id=note_id,
                author=caller.number,
                by_admin=caller.is_admin and not self.owned_by(caller),
                note=note,
                visibility=visibility,
                created_at=at,
            )
        ]

    def returnable(self) -> dict[ListingId, int]:
        """What has arrived, and neither came back nor is about to."""
        arrived = {parcel.seller_id for parcel in self.parcels if parcel.delivered}
        gone = units_of(each for each in self.returns if each.status is not ReturnStatus.REJECTED)
        left = {
            line.listing_id: line.quantity - gone.get(line.listing_id, 0)
            for line in self.lines
            if line.seller_id in arrived
        }
        return {listing_id: quantity for listing_id, quantity in left.items() if quantity > 0}

    def request_return(
        self,
        return_id: UUID,
        units: Mapping[ListingId, int],
        reason: str,
        at: datetime,
        *,
        window: timedelta,
    ) -> list[OrderEvent]:
        """The buyer wants to send ``units`` back, or all that can be where none are named."""
        returnable = self.returnable()
        if not returnable:
            raise OrderCannotReturnError(
                "Only what was delivered can be returned, and only once",
                details={"status": self.status.value},
            )
        numbers = {line.listing_id: line.number for line in self.lines}
        wanted = dict(units) or returnable
        if wanted.keys() - numbers.keys():
            raise InvalidInputError({"items": ["Must be of this order"]})
        too_many = {
            numbers[listing_id]: returnable.get(listing_id, 0)
            for listing_id, quantity in wanted.items()
            if quantity > returnable.get(listing_id, 0)
        }
        if too_many:
            raise OrderCannotReturnError(
                "That is more than can be returned",
                details={
                    "items": [{"productId": each, "returnable": left} for each, left in too_many.items()]
                },
            )
        senders = {line.seller_id for line in self.lines if line.listing_id in wanted}
        arrivals = [parcel.delivered_at for parcel in self.parcels if parcel.seller_id in senders]
        if any(arrived is not None and arrived + window < at for arrived in arrivals):
            raise OrderCannotReturnError(
                f"It can be returned for {window.days} days after its delivery", details={"days": window.days}
            )
        return [
            OrderReturnRequested(
                order_id=self.id,
                account_id=self.account_id,
                return_id=return_id,
                lines=tuple(
                    ReturnedLine(
                        listing_id=line.listing_id,
                        quantity=wanted[line.listing_id],
                        number=line.number,
                        title=line.title,
                        seller_id=line.seller_id,
                    )
                    for line in self.lines
                    if line.listing_id in wanted
                ),
                reason=reason,
                requested_at=at,
                number=self.number,
            )
        ]

    def a_return(self, return_id: UUID) -> Return:
        found = next((each for each in self.returns if each.id == return_id), None)
        if found is None:
            raise ReturnNotFoundError("Return not found")
        return found

    def require_return_judged_by(self, caller: Caller, return_id: UUID) -> None:
        """An admin; or the seller, where nothing of it is another seller's."""
        returned = self.a_return(return_id)
        sellers = {line.seller_id for line in self.lines if line.listing_id in returned.lines}
        if not caller.is_admin and sellers != {seller_of(caller.account_id)}:
            raise ForbiddenError("This is not for you to decide")

    def approve_return(self, return_id: UUID, at: datetime) -> list[OrderEvent]:
        returned = self.a_return(return_id)
        if returned.status is ReturnStatus.APPROVED:
            return []
        self._require_return(returned, ReturnStatus.REQUESTED)
        return [
            OrderReturnApproved(
                order_id=self.id, account_id=self.account_id, return_id=return_id, approved_at=at
            )
        ]

    def reject_return(self, return_id: UUID, reason: str, at: datetime) -> list[OrderEvent]:
        """Also of goods that were approved of and turn out not to be as they should."""
        returned = self.a_return(return_id)
        if returned.status is ReturnStatus.REJECTED:
            return []
        self._require_return(returned, *OPEN_RETURNS)
        return [
            OrderReturnRejected(
                order_id=self.id,
                account_id=self.account_id,
                return_id=return_id,
                reason=reason,
                rejected_at=at,
            )
        ]

    def worth_of_return(self, return_id: UUID) -> Money:
        """What its goods were sold for, with their tax: and the shipping, once everything has come back."""
        returned = self.a_return(return_id)
        before = [each for each in self.returns if each.arrived and each.id != return_id]
        return self._worth([*before, returned]) - self._worth(before)

    @property
    def worth_of_arrived(self) -> Money:
        """The same of all that has come back."""
        return self._worth([each for each in self.returns if each.arrived])

    def _worth(self, returns: list[Return]) -> Money:
        return worth_of(self.lines, self.tax, self.shipping, units_of(returns))

    def receive_return(
        self, return_id: UUID, refund: Money, refund_id: str, at: datetime, *, restocked: bool
    ) -> list[OrderEvent]:
        """The goods are here; to be appended with the refund and the stock."""
        returned = self.a_return(return_id)
        if returned.arrived:
            return []
        self._require_return(returned, *OPEN_RETURNS)
        return [
            OrderReturnReceived(
                order_id=self.id,
                account_id=self.account_id,
                return_id=return_id,
                restocked=restocked,
                refund=refund,
                refund_id=refund_id,
                received_at=at,
            )
        ]

    def dispute(
        self, intent_id: str, dispute_id: str, amount: Money, reason: str, status: str
    ) -> list[OrderEvent]:
        if self.disputes.get(dispute_id) == Dispute(amount=amount, reason=reason, status=status):
            return []
        return [
            OrderDisputed(
                order_id=self.id,
                intent_id=intent_id,
                dispute_id=dispute_id,
                amount=amount,
                reason=reason,
                status=status,
            )
        ]

    def issue_invoice(self, number: str, at: datetime) -> list[OrderEvent]:
        if self.invoice_number:
            return []
        return [InvoiceIssued(order_id=self.id, number=number, issued_at=at)]

    def require_cancellable_by(self, caller: Caller) -> None:
        """The buyer, or an admin (S2 §6.2.5)."""
        if not caller.is_admin and self.account_id != caller.account_id:
            raise ForbiddenError("You don't have permission to cancel this order")

    def cancel(
        self, cause: CancelCause, at: datetime, *, reason: str = "", open_intent: str = ""
    ) -> list[OrderEvent]:
        """What was sent away cannot be stopped any more (C33). ``open_intent`` is the payment that must not be made."""
        if self.cancelled:
            return []
        if any(parcel.sent for parcel in self.parcels):
            raise OrderCannotCancelError(
                "Cannot cancel order that has been shipped", details={"status": self.status.value}
            )
        return [
            OrderCancelled(
                order_id=self.id,
                account_id=self.account_id,
                cause=cause,
                reason=reason,
                intent_id=open_intent,
                cancelled_at=at,
            )
        ]

    def refund(self, intent_id: str, refund_id: str, amount: Money) -> list[OrderEvent]:
        """Its own money went back. What came by another payment, and was not owed, is nothing to it."""
        if intent_id != self.paying_intent:
            return []
        return [
            OrderRefunded(
                order_id=self.id,
                intent_id=intent_id,
                refund_id=refund_id,
                amount=amount,
                account_id=self.account_id,
                return_id=self._returned_for(refund_id),
            )
        ]

    def fail_refund(self, intent_id: str, refund_id: str, amount: Money) -> list[OrderEvent]:
        """Of one that it was told to be sent: the same money is not back with the buyer after all."""
        if intent_id != self.paying_intent:
            return []
        return [
            OrderRefundFailed(
                order_id=self.id,
                account_id=self.account_id,
                intent_id=intent_id,
                refund_id=refund_id,
                amount=amount,
                return_id=self._returned_for(refund_id),
            )
        ]

    def _returned_for(self, refund_id: str) -> UUID | None:
        return next((each.id for each in self.returns if refund_id and each.refund_id == refund_id), None)

    def _shipped(self, parcel: Parcel, shipment: Shipment, at: datetime) -> list[OrderEvent]:
        if parcel.sent:
            return self._labelled(parcel, shipment)
        return [
            ParcelShipped(
                order_id=self.id,
                account_id=self.account_id,
                parcel=parcel.number,
                seller_id=parcel.seller_id,
                shipped_at=at,
                **asdict(parcel.shipment.corrected(shipment)),
            )
        ]

    def _labelled(self, parcel: Parcel, shipment: Shipment) -> list[OrderEvent]:
        now_said = parcel.shipment.corrected(shipment)
        if now_said == parcel.shipment or parcel.delivered:
            return []
        return [
            ParcelTrackingChanged(
                order_id=self.id, account_id=self.account_id, parcel=parcel.number, **asdict(now_said)
            )
        ]

    def _delivered(self, parcel: Parcel, at: datetime) -> list[OrderEvent]:
        if parcel.delivered:
            return []
        return [
            ParcelDelivered(
                order_id=self.id,
                account_id=self.account_id,
                parcel=parcel.number,
                seller_id=parcel.seller_id,
                delivered_at=at,
            )
        ]

    def _impossible(self, to: OrderStatus) -> OrderStatusError:
        return OrderStatusError(
            f"An order that is {self.status} cannot become {to}",
            details={"status": self.status.value, "to": to.value},
        )

    def _require_return(self, returned: Return, *statuses: ReturnStatus) -> None:
        if returned.status not in statuses:
            raise OrderStatusError(
                f"A return that is {returned.status} cannot become that",
                details={"returnStatus": returned.status.value},
            )

    @classmethod
    def evolve(cls, order: Order | None, event: OrderEvent) -> Order:
        if isinstance(event, OrderPlaced):
            return cls(
                id=event.order_id,
                number=event.number,
                account_id=event.account_id,
                account_number=event.account_number,
                lines=event.lines,
                subtotal=event.subtotal,
                tax=event.tax,
                shipping=event.shipping,
                total=event.total,
                status=OrderStatus.PENDING,
                payment_status=PaymentStatus.PENDING,
                payment_method=event.payment_method,
                intent_id="",
                shipping_address=event.shipping_address,
                billing_address=event.billing_address,
                placed_at=event.placed_at,
                confirmed_at=None,
                discount=event.discount,
                promotions=event.promotions,
                shipping_method=event.shipping_method,
                taxes=event.taxes,
                parcels=parcels_of(event),
            )
        assert order is not None, "an order's first event is OrderPlaced"
        match event:
            case OrderPaymentLinked(intent_id=intent_id):
                return replace(order, intent_id=intent_id)
            case OrderPaymentClosed(intent_id=intent_id):
                return replace(order, intent_id="", closed_intents=(*order.closed_intents, intent_id))
            case OrderPaymentFailed(intent_id=intent_id):
                known = (each for each in order.failed_intents if each != intent_id)
                failed = (*known, intent_id)
                return replace(order, payment_status=PaymentStatus.FAILED, failed_intents=failed)
            case OrderConfirmed(intent_id=intent_id, confirmed_at=at):
                status = OrderStatus.PROCESSING if order.status is OrderStatus.PENDING else order.status
                return replace(
                    order,
                    status=status,
                    payment_status=PaymentStatus.PAID,
                    confirmed_at=at,
                    paid_intent=intent_id,
                )
            case OrderProcessingStarted(started_at=at):
                return replace(order, status=OrderStatus.PROCESSING, started_at=at)
            case ParcelShipped() | ParcelTrackingChanged() | TrackingUpdated() | ParcelDelivered():
                return _with_parcel(order, event)
            case OrderNoteAdded():
                note = Note(
                    id=event.note_id,
                    author=event.author,
                    by_admin=event.by_admin,
                    note=event.note,
                    visibility=event.visibility,
                    created_at=event.created_at,
                )
                return replace(order, notes=(*order.notes, note))
            case OrderReturnRequested():
                returned = Return(
                    id=event.return_id,
                    lines={line.listing_id: line.quantity for line in event.lines},
                    reason=event.reason,
                    status=ReturnStatus.REQUESTED,
                    requested_at=event.requested_at,
                )
                return replace(order, returns=(*order.returns, returned))
            case OrderReturnApproved(return_id=return_id, approved_at=at):
                return _with_return(order, return_id, ReturnStatus.APPROVED, resolved_at=at)
            case OrderReturnRejected(return_id=return_id, reason=reason, rejected_at=at):
                return _with_return(order, return_id, ReturnStatus.REJECTED, resolved_at=at, rejection=reason)
            case OrderReturnReceived():
                return _with_return(
                    order,
                    event.return_id,
                    ReturnStatus.RECEIVED,
                    received_at=event.received_at,
                    restocked=event.restocked,
                    refund=event.refund,
                    refund_id=event.refund_id,
                )
            case OrderDisputed():
                dispute = Dispute(amount=event.amount, reason=event.reason, status=event.status)
                return replace(order, disputes={**order.disputes, event.dispute_id: dispute})
            case InvoiceIssued(number=number, issued_at=at):
                return replace(order, invoice_number=number, invoiced_at=at)
            case OrderCancelled():
                return replace(
                    order,
                    status=OrderStatus.CANCELLED,
                    cancelled_at=event.cancelled_at,
                    cancel_cause=event.cause,
                    cancel_reason=event.reason,
                )
            case OrderRefunded(amount=amount, refund_id=refund_id):
                return _with_refund(order, refund_id, order.refunded + amount, ReturnStatus.REFUNDED)
            case OrderRefundFailed(amount=amount, refund_id=refund_id):
                return _with_refund(order, refund_id, order.refunded - amount, ReturnStatus.RECEIVED)
            case _:
                assert_never(event)


def _with_parcel(order: Order, event: _ParcelEvent) -> Order:
    """What its parcels come to together: as far as the one that is behind."""
    parcels = tuple(
        parcel.after(event) if parcel.number == event.parcel else parcel for parcel in order.parcels
    )
    status = order.status
    if all(parcel.delivered for parcel in parcels):
        status = OrderStatus.DELIVERED
    elif all(parcel.sent for parcel in parcels):
        status = OrderStatus.SHIPPED
    return replace(order, parcels=parcels, status=status)


def _with_refund(order: Order, refund_id: str, refunded: Money, status: ReturnStatus) -> Order:
    """So much is back with the buyer by now; what came back for it has come as far as ``status``."""
    if refunded >= order.total:
        payment_status = PaymentStatus.REFUNDED
    else:
        payment_status = PaymentStatus.PARTIALLY_REFUNDED if refunded.minor else PaymentStatus.PAID
    returns = tuple(
        replace(each, status=status) if each.refund_id and each.refund_id == refund_id else each
        for each in order.returns
    )
    return replace(order, refunded=refunded, payment_status=payment_status, returns=returns)


def _with_return(order: Order, return_id: UUID, status: ReturnStatus, **fields: object) -> Order:
    returns = tuple(
        replace(each, status=status, **fields) if each.id == return_id else each for each in order.returns
    )
    return replace(order, returns=returns)


ORDERS: Decider[Order, OrderEvent] = Decider("orders", Order.evolve)
