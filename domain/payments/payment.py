"""A payment: the money for one order, as far as the provider has told us."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.kernel import AccountId, Decider, NotFoundError, OrderId, PaymentId, RuleViolatedError
from domain.money import Money
from domain.payments.events import (
    PaymentEvent,
    PaymentFailed,
    PaymentIntentCancelled,
    PaymentIntentCreated,
    PaymentSucceeded,
    RefundFailed,
    RefundRequested,
    RefundSucceeded,
)


class PaymentNotFoundError(NotFoundError):
    code = "PAYMENT_NOT_FOUND"


class PaymentFailedError(RuleViolatedError):
    code = "PAYMENT_FAILED"


class RefundTooLargeError(RuleViolatedError):
    """Nobody gets back more than they paid."""

    code = "REFUND_TOO_LARGE"


class RefundState(StrEnum):
    REQUESTED = "requested"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    amount: Money
    status: RefundState = RefundState.REQUESTED


class PaymentState(StrEnum):
    """S2 §9.1's five words."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    id: PaymentId
    intent_id: str
    order_id: OrderId
    account_id: AccountId
    amount: Money
    client_secret: str
    created_at: datetime
    status: PaymentState
    brand: str = ""
    last4: str = ""
    cancelled: bool = False
    refunds: dict[str, Refund] = msgspec.field(default_factory=dict)

    @property
    def refundable(self) -> Money:
        """What is left of the money, if all refunds that are asked for succeed."""
        left = self.amount if self.status is PaymentState.SUCCEEDED else Money(0, self.amount.currency)
        for refund in self.refunds.values():
            if refund.status is not RefundState.FAILED:
                left -= refund.amount
        return left

    def cancel(self) -> list[PaymentEvent]:
        """The provider says that it will not be made; one that was made stays so."""
        if self.cancelled or self.status is PaymentState.SUCCEEDED:
            return []
        return [PaymentIntentCancelled(payment_id=self.id)]

    def request_refund(self, amount: Money, reason: str) -> list[PaymentEvent]:
        if amount > self.refundable:
            raise RefundTooLargeError(
                "This is more than is left of the payment", details={"refundable": self.refundable.units()}
            )
        # The same name for the same refund, however often it is carried out: so the provider too makes it once.
        refund_id = f"{self.intent_id}-{len(self.refunds) + 1}"
        return [RefundRequested(payment_id=self.id, refund_id=refund_id, amount=amount, reason=reason)]

    def settle_refund(self, refund_id: str, provider_id: str) -> list[PaymentEvent]:
        if self.refunds[refund_id].status is RefundState.SUCCEEDED:
            return []
        return [RefundSucceeded(payment_id=self.id, refund_id=refund_id, provider_id=provider_id)]

    def fail_refund(self, refund_id: str, code: str, message: str) -> list[PaymentEvent]:
        if self.refunds[refund_id].status is not RefundState.REQUESTED:
            return []
        return [RefundFailed(payment_id=self.id, refund_id=refund_id, code=code, message=message)]

    def succeed(self, brand: str, last4: str) -> list[PaymentEvent]:
        """Money that has come does not go away by a later message of failure, and comes only once."""
        if self.status is PaymentState.SUCCEEDED:
            return []
        return [PaymentSucceeded(payment_id=self.id, brand=brand, last4=last4)]

    def fail(self, code: str, message: str) -> list[PaymentEvent]:
        if self.status is PaymentState.SUCCEEDED:
            return []
        return [PaymentFailed(payment_id=self.id, code=code, message=message)]

    @classmethod
    def evolve(cls, payment: Payment | None, event: PaymentEvent) -> Payment:
        if isinstance(event, PaymentIntentCreated):
            return cls(
                id=event.payment_id,
                intent_id=event.intent_id,
                order_id=event.order_id,
                account_id=event.account_id,
                amount=event.amount,
                client_secret=event.client_secret,
                created_at=event.created_at,
                status=PaymentState.REQUIRES_PAYMENT_METHOD,
            )
        assert payment is not None, "a payment's first event is PaymentIntentCreated"
        match event:
            case PaymentSucceeded(brand=brand, last4=last4):
                return replace(payment, status=PaymentState.SUCCEEDED, brand=brand, last4=last4)
            case PaymentFailed():
                return replace(payment, status=PaymentState.FAILED)
            case PaymentIntentCancelled():
                return replace(payment, status=PaymentState.FAILED, cancelled=True)
            case RefundRequested(refund_id=refund_id, amount=amount):
                return replace(payment, refunds={**payment.refunds, refund_id: Refund(amount=amount)})
            case RefundSucceeded(refund_id=refund_id):
                return _settled(payment, refund_id, RefundState.SUCCEEDED)
            case RefundFailed(refund_id=refund_id):
                return _settled(payment, refund_id, RefundState.FAILED)
            case _:
                assert_never(event)


def _settled(payment: Payment, refund_id: str, status: RefundState) -> Payment:
    refund = replace(payment.refunds[refund_id], status=status)
    return replace(payment, refunds={**payment.refunds, refund_id: refund})


PAYMENTS: Decider[Payment, PaymentEvent] = Decider("payments", Payment.evolve)
