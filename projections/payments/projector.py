"""How the list of payments is made."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, LargeBinary, Text, Uuid, text

from domain.accounts.events import AccountErased
from domain.kernel import Recorded
from domain.payments.events import PaymentDisputed, PaymentEvent
from domain.payments.payment import Payment
from projections.payments.payment import DisputeDocument, PaymentDocument, kept_payment_body
from projections.projection import Projection, Rows, by_stream, read_model
from projections.wire import encode

payments = read_model(
    "payments",
    Column("intent_id", Text, nullable=False),
    Column("order_id", Uuid),
    Column("account_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("unsettled", Boolean, nullable=False),
    Column("disputed", Boolean, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("idx_payments_created_at", "created_at"),
    Index("idx_payments_status", "status", "created_at"),
    Index("idx_payments_order_id", "order_id"),
    Index("idx_payments_user_id", "account_id", "created_at"),
    Index("idx_payments_unsettled", "created_at", "key", postgresql_where=text("unsettled")),
    Index("idx_payments_disputed", "created_at", postgresql_where=text("disputed")),
)


def _fold(document: PaymentDocument | None, recorded: Recorded[Any], _: UUID) -> PaymentDocument:
    event = recorded.event
    if isinstance(event, AccountErased):
        assert document is not None, "only what is there is about somebody"
        return replace(document, payment=_forgotten(document.payment))
    payment = Payment.evolve(document.payment if document else None, event)
    disputes = document.disputes if document else {}
    if isinstance(event, PaymentDisputed):
        dispute = DisputeDocument(
            amount=event.amount, reason=event.reason, status=event.status, updated_at=recorded.timestamp
        )
        disputes = {**disputes, event.dispute_id: dispute}
    # It is the payer's own, and nobody who reads this needs it.
    payment = replace(payment, client_secret="")
    return PaymentDocument(payment=payment, updated_at=recorded.timestamp, disputes=disputes)


def _forgotten(payment: Payment) -> Payment:
    """The payment as its events read once the payer's key is destroyed: what was paid stays, and not by which card."""
    refunds = {name: replace(refund, note="") for name, refund in payment.refunds.items()}
    return replace(payment, brand="", last4="", refunds=refunds)


def _row(document: PaymentDocument) -> dict[str, Any]:
    payment = document.payment
    return {
        "intent_id": payment.intent_id,
        "order_id": payment.order_id,
        "account_id": payment.account_id,
        "status": payment.status.value,
        "amount_minor": payment.amount.minor,
        "unsettled": payment.unsettled,
        "disputed": bool(document.disputes),
        "created_at": payment.created_at,
        "body": encode(kept_payment_body(document)),
    }


PAYMENT_LIST = Projection(
    name="payments",
    version=3,
    events=get_args(PaymentEvent),
    document=PaymentDocument,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=payments, row=_row),
    subjects=lambda document: (document.payment.account_id,),
    concerning={AccountErased: lambda erased: erased.account_id},
)
