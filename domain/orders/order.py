"""An order, from the moment it is placed until it is paid."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.kernel import (
    AccountId,
    AlreadyExistsError,
    Decider,
    ForbiddenError,
    NotFoundError,
    OrderId,
    RuleViolatedError,
)
from domain.money import Money
from domain.orders.events import (
    AppliedPromotion,
    CancelCause,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderLine,
    OrderPaymentFailed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderRefunded,
    OrderStatus,
    PaymentStatus,
    PostalAddress,
)

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


class OrderCancelledError(RuleViolatedError):
    """There is nothing to pay for any more."""

    code = "ORDER_CANCELLED"


class NothingToPayError(RuleViolatedError):
    code = "NOTHING_TO_PAY"


class PaymentAmountMismatchError(RuleViolatedError):
    code = "PAYMENT_AMOUNT_MISMATCH"


class Order(msgspec.Struct, frozen=True, kw_only=True):
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

    @property
    def cancelled(self) -> bool:
        return self.status is OrderStatus.CANCELLED

    @property
    def paid(self) -> bool:
        """Whether its money has come, be it that some of it went back."""
        return self.confirmed_at is not None

    @property
    def coupon_code(self) -> str:
        return next((applied.code for applied in self.promotions if applied.code), "")

    def require_visible_to(self, caller: Caller) -> None:
        """The buyer, or an admin (S2 §6.2.3)."""
        if not caller.is_admin and self.account_id != caller.account_id:
            raise ForbiddenError("You don't have permission to view this order")

    def link_payment(self, intent_id: str, amount: Money) -> list[OrderEvent]:
        """The order is paid by this intent and no other."""
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

    def require_payable(self) -> None:
        if self.cancelled:
            raise OrderCancelledError(f"Order {self.number} is cancelled")
        if not self.total.minor:
            raise NothingToPayError("There is nothing to pay for this order")

    def confirm(self, intent_id: str, at: datetime) -> list[OrderEvent]:
        """The money is there. One that was cancelled before stays so, and whoever records this asks the money back."""
        if self.paid or self.cancelled:
            return []
        return [OrderConfirmed(order_id=self.id, intent_id=intent_id, confirmed_at=at)]

    def fail_payment(self, intent_id: str, code: str, message: str) -> list[OrderEvent]:
        if self.paid or self.cancelled:
            return []
        return [OrderPaymentFailed(order_id=self.id, intent_id=intent_id, code=code, message=message)]

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
        if self.status not in (OrderStatus.PENDING, OrderStatus.PROCESSING):
            raise OrderCannotCancelError(
                f"An order that is {self.status} cannot be cancelled", details={"status": self.status.value}
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
        return [OrderRefunded(order_id=self.id, intent_id=intent_id, refund_id=refund_id, amount=amount)]

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
            )
        assert order is not None, "an order's first event is OrderPlaced"
        match event:
            case OrderPaymentLinked(intent_id=intent_id):
                return replace(order, intent_id=intent_id)
            case OrderPaymentFailed():
                return replace(order, payment_status=PaymentStatus.FAILED)
            case OrderConfirmed(confirmed_at=at):
                return replace(
                    order, status=OrderStatus.PROCESSING, payment_status=PaymentStatus.PAID, confirmed_at=at
                )
            case OrderCancelled():
                return replace(
                    order,
                    status=OrderStatus.CANCELLED,
                    cancelled_at=event.cancelled_at,
                    cancel_cause=event.cause,
                    cancel_reason=event.reason,
                )
            case OrderRefunded(amount=amount):
                refunded = order.refunded + amount
                whole = refunded >= order.total
                status = PaymentStatus.REFUNDED if whole else PaymentStatus.PARTIALLY_REFUNDED
                return replace(order, refunded=refunded, payment_status=status)
            case _:
                assert_never(event)


ORDERS: Decider[Order, OrderEvent] = Decider("orders", Order.evolve)
