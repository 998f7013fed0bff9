"""An order, from the moment it is placed until it is paid."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

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
    OrderConfirmed,
    OrderEvent,
    OrderLine,
    OrderPaymentFailed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderStatus,
    PaymentStatus,
    PostalAddress,
)


class OrderNotFoundError(NotFoundError):
    code = "ORDER_NOT_FOUND"


class PriceChangedError(AlreadyExistsError):
    """409: the price that the client showed is no longer the catalogue's (C31)."""

    code = "PRICE_CHANGED"


class PaymentTooSmallError(RuleViolatedError):
    """No provider takes a payment of so little."""

    code = "PAYMENT_TOO_SMALL"


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

    def confirm(self, intent_id: str, at: datetime) -> list[OrderEvent]:
        if self.payment_status is PaymentStatus.PAID:
            return []
        return [OrderConfirmed(order_id=self.id, intent_id=intent_id, confirmed_at=at)]

    def fail_payment(self, intent_id: str, code: str, message: str) -> list[OrderEvent]:
        if self.payment_status is PaymentStatus.PAID:
            return []
        return [OrderPaymentFailed(order_id=self.id, intent_id=intent_id, code=code, message=message)]

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
            case _:
                assert_never(event)


ORDERS: Decider[Order, OrderEvent] = Decider("orders", Order.evolve)
