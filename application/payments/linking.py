"""Paying by what was prepared before there was an order (C35)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from application.errors import PaymentProviderError
from application.orders.references import known_order
from application.orders.stock import committed, listings_of
from application.payments.paying import account_in, amount_of, attempt_of, glanced, opened_for
from application.payments.references import payment_ref
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Loaded,
    Metadata,
    PaymentIntent,
    PaymentProvider,
    Proposal,
    StreamRef,
)
from domain import paying
from domain.accounts.events import Caller
from domain.kernel import InvalidInputError, OrderId
from domain.money import Money
from domain.orders.order import ORDERS, Order
from domain.orders.pricing import Tariff
from domain.paying import Settled
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS, Payment, PaymentFailedError, PaymentNotFoundError

CURRENCY: Final = "USD"
"""The shop has one (A25)."""

MOST: Final = 99_999_999
"""The provider takes no more at once: eight digits."""


_PAID_BY_SOMEBODY: Final = frozenset({"succeeded", "processing", "requires_capture"})
"""The provider's words for what somebody has paid, though their money may take days to come."""

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
"""What the provider may call a payment: what goes into an address of its must not lead to another."""


class PreparePayment(msgspec.Struct, frozen=True, kw_only=True):
    """The client wants to pay, and will place its order afterwards; ``amount`` must then be the order's total."""

    caller: Caller
    amount: Money


class LinkPayment(msgspec.Struct, frozen=True, kw_only=True):
    """The order is to be paid by what its buyer has prepared."""

    order_id: OrderId
    intent_id: str
    caller: Caller


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that an order names, and as the provider has it, if it was asked."""

    intent_id: str
    intent: PaymentIntent | None

    @property
    def ref(self) -> StreamRef[Any, Any]:
        return payment_ref(self.intent_id)

    def linked(self, known: Payment | None, order: Order, at: datetime) -> Settled:
        """What is to be recorded of the payment and of the order, which may be paid by it already.

        What we do not know may have been prepared elsewhere, and is recorded (C35): but not as paid by this buyer,
        unless we had it prepared for them.
        """
        told: list[PaymentEvent] = []
        if known is None:
            assert self.intent is not None, "the provider was asked for what is not known here"
            theirs = account_in(self.intent)
            unproven = theirs is None and self.intent.status in _PAID_BY_SOMEBODY
            if unproven or theirs not in (None, order.account_id) or self.intent.metadata.get("orderId"):
                raise paying.not_usable("Must be a payment of yours")
            told.append(
                opened_for(self.intent, None, account_id=order.account_id, number=order.account_number)
            )
        payment = PAYMENTS.after(known, told)
        if self.intent is not None and self.intent.status == "succeeded":
            told += payment.succeed(self.intent.brand, self.intent.last4, amount_of(self.intent))
        payment = PAYMENTS.after(known, told)
        settled = paying.linked(payment, order, at)
        return Settled(payment=[*told, *settled.payment], order=settled.order, commits=settled.commits)


async def prepared_payment(intent_id: str, store: EventStore, payments: PaymentProvider) -> Prepared:
    """The provider is asked unless we know it to be paid: the client may know of that sooner than we are told."""
    unusable = {"paymentIntentId": ["Must be a payment that was not closed"]}
    if not _NAME.fullmatch(intent_id):
        raise PaymentFailedError("There is no such payment", details=unusable)
    known: Payment | None = await glanced(payment_ref(intent_id), store)
    if known is not None and known.over:
        return Prepared(intent_id=intent_id, intent=None)
    try:
        intent = await payments.intent(intent_id)
    except PaymentNotFoundError as unknown:
        raise PaymentFailedError("There is no such payment", details=unusable) from unknown
    except PaymentProviderError:
        if known is None:
            raise
        return Prepared(intent_id=intent_id, intent=None)
    if intent.status == "canceled":
        raise PaymentFailedError("This payment is closed", details=unusable)
    return Prepared(intent_id=intent_id, intent=intent)


async def prepare_payment(
    command: PreparePayment,
    metadata: Metadata,
    *,
    store: EventStore,
    payments: PaymentProvider,
    tariff: Tariff,
) -> Changed[Payment]:
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    _require_takeable(command.amount, tariff)
    account_id = command.caller.account_id
    intent = await payments.create_intent(
        amount=command.amount.minor,
        currency=command.amount.currency.lower(),
        metadata={"accountUuid": str(account_id)},
        idempotency_key=f"intent-{account_id}-{command.amount.minor}-{attempt_of(metadata)}",
    )

    def decide(payment: Payment | None) -> Sequence[PaymentEvent]:
        if payment is not None:
            return []
        return [opened_for(intent, None, account_id=account_id, number=command.caller.number)]

    return await store.change(PAYMENTS, payment_ref(intent.id).id, decide, metadata)


async def link_payment(
    command: LinkPayment, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Order]:
    """After the order was placed: the same as when it is placed with it."""
    prepared = await prepared_payment(command.intent_id, store, payments)
    order: Order = known_order((await store.load(ORDERS, command.order_id)).state)
    order_ref: StreamRef[Any, Any] = StreamRef(ORDERS, order.id)
    listing_refs = listings_of(order)
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Order]:
        current: Order = loaded[0].present
        current.require_visible_to(command.caller)
        current.require_payable()
        settled = prepared.linked(loaded[1].state, current, now)
        stock = committed(current, listing_refs, loaded[2:]) if settled.commits else []
        return Proposal(
            outcome=ORDERS.after(current, settled.order),
            events=[(order_ref, settled.order), (prepared.ref, settled.payment), *stock],
        )

    return await store.change_together([order_ref, prepared.ref, *listing_refs], decide, metadata)


def _require_takeable(amount: Money, tariff: Tariff) -> None:
    if amount.currency != CURRENCY:
        raise InvalidInputError({"currency": [f"Must be {CURRENCY.lower()}"]})
    if not tariff.smallest_payment <= amount.minor <= MOST:
        raise InvalidInputError({"amount": [f"Must be between {tariff.smallest_payment} and {MOST}"]})
