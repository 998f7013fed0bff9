"""A payment: the money for one order, as far as the provider has told us."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.kernel import AccountId, Decider, NotFoundError, OrderId, PaymentId, RuleViolatedError
from domain.money import Money
from domain.payments.events import PaymentEvent, PaymentFailed, PaymentIntentCreated, PaymentSucceeded


class PaymentNotFoundError(NotFoundError):
    code = "PAYMENT_NOT_FOUND"


class PaymentFailedError(RuleViolatedError):
    code = "PAYMENT_FAILED"


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
            case _:
                assert_never(event)


PAYMENTS: Decider[Payment, PaymentEvent] = Decider("payments", Payment.evolve)
