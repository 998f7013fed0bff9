"""A payment on the wire (S2 §8.2): as its payer sees it, and as those do who look after payments."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from domain.money import Money
from domain.payments.payment import Payment, PaymentState
from projections.wire import time


class DisputeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` and ``reason`` are in the provider's words."""

    amount: Money
    reason: str
    status: str
    updated_at: datetime


class PaymentDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``payment`` is without what would let somebody pay in the payer's place."""

    payment: Payment
    updated_at: datetime
    disputes: Mapping[str, DisputeDocument] = msgspec.field(default_factory=dict)


def payment_body(payment: Payment) -> dict[str, Any]:
    """For the payer. Amounts are in the smallest unit of the currency; ``orderId`` is null before there is an order."""
    return {"id": payment.intent_id, "clientSecret": payment.client_secret, **_body(payment)}


def kept_payment_body(document: PaymentDocument) -> dict[str, Any]:
    """For an admin, with all that tells what became of the money, and nothing that would let them pay."""
    payment = document.payment
    body = _body(payment)
    for refund, (refund_id, kept) in zip(body["refunds"], payment.refunds.items(), strict=True):
        assert refund["id"] == refund_id
        refund |= {"providerId": kept.provider_id or None, "retryOf": kept.retry_of or None}
    return {
        "id": payment.intent_id,
        "uuid": str(payment.id),
        **body,
        "orderUuid": None if payment.order_id is None else str(payment.order_id),
        "userId": payment.account_number or None,
        "userUuid": str(payment.account_id),
        "closed": payment.cancelled,
        "unsettled": payment.unsettled,
        "refundableAmount": payment.refundable.minor,
        "disputed": bool(document.disputes),
        "disputes": [
            {
                "id": dispute_id,
                "amount": dispute.amount.minor,
                "reason": dispute.reason,
                "status": dispute.status,
                "updatedAt": time(dispute.updated_at),
            }
            for dispute_id, dispute in document.disputes.items()
        ],
        "updatedAt": time(document.updated_at),
    }


def _body(payment: Payment) -> dict[str, Any]:
    return {
        "orderId": payment.order_number or (str(payment.order_id) if payment.order_id else None),
        "amount": payment.amount.minor,
        "currency": payment.amount.currency.lower(),
        "status": payment.status,
        "brand": payment.brand or None,
        "last4": payment.last4 or None,
        "paymentUrl": payment.action_url or None,
        "nextAction": _next_action(payment),
        "failureCode": payment.failure_code or None,
        "failureMessage": payment.failure_message or None,
        "refunds": [
            {
                "id": refund_id,
                "amount": refund.amount.minor,
                "reason": refund.reason,
                "status": refund.status,
            }
            for refund_id, refund in payment.refunds.items()
        ],
        "createdAt": time(payment.created_at),
    }


def _next_action(payment: Payment) -> dict[str, Any] | None:
    """What the payer has still to do: go where ``url`` says, or what the provider's own script does with the secret."""
    if payment.status is not PaymentState.REQUIRES_CONFIRMATION:
        return None
    kind = "redirect_to_url" if payment.action_url else "use_stripe_sdk"
    return {"type": kind, "url": payment.action_url or None}
