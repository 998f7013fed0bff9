"""Confirming an order: its buyer's client says that it is paid, and the provider whether that is so (S0)."""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from application.orders.references import known_order
from application.payments.linking import LinkPayment, link_payment
from application.payments.paying import PaymentResult, result_of, settle, tried
from application.ports import Changed, Clock, EventStore, Metadata, PaymentProvider
from domain.accounts.events import Caller
from domain.kernel import OrderId
from domain.orders.order import (
    ORDERS,
    Order,
    OrderAlreadyFinalError,
    PaymentNotSucceededError,
)
from domain.paying import not_usable
from domain.payments.payment import Payment


class ConfirmOrder(msgspec.Struct, frozen=True, kw_only=True):
    """``intent_id`` is what the client believes the order to be paid by, ``payment_method`` what it is to be paid with.

    Both may be left out: then the provider is asked what became of the payment that the order has.
    """

    order_id: OrderId
    caller: Caller
    intent_id: str = ""
    payment_method: str = ""
    return_url: str = ""


async def confirm_order(
    command: ConfirmOrder, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Order]:
    """What the provider says is recorded in any case, as if it had said so by itself.

    ``PaymentNotSucceededError`` where that is not that the order is paid. One that is paid already stays so.
    """
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    # A refusal is nobody's answer for ever: the same request may be sent again, when it is paid.
    unanswered = replace(metadata, once=None)
    order, version = await _found(command, store)
    if order.paid:
        return Changed(state=order, version=version)
    if order.cancelled:
        raise OrderAlreadyFinalError(f"Order {order.number} is cancelled")
    changed: Changed[Order | None] = Changed(state=order, version=version)
    if not order.intent_id and command.intent_id:
        link = LinkPayment(order_id=order.id, intent_id=command.intent_id, caller=command.caller)
        linked = await link_payment(link, unanswered, store=store, payments=payments, clock=clock)
        order = linked.state
        changed = Changed(state=order, version=linked.version, position=linked.position)
    if order.intent_id and not order.paid:
        if command.payment_method:
            told = await tried(
                order.intent_id,
                command.payment_method,
                metadata,
                return_url=command.return_url,
                store=store,
                payments=payments,
                clock=clock,
            )
        else:
            told = result_of(await payments.intent(order.intent_id))
        if told is not None:
            answered = metadata if told.result is PaymentResult.SUCCEEDED else unanswered
            settled = await settle(told, answered, _order, store=store, clock=clock)
            # Its version is the payment's.
            changed = Changed(state=settled.state, version=0, position=settled.position)
    now = changed.state
    assert now is not None, "the payment of an order is known"
    if not now.paid:
        raise PaymentNotSucceededError(
            f"Order {now.number} is not paid", details={"paymentStatus": now.payment_status.value}
        )
    return Changed(state=now, version=changed.version, position=changed.position)


async def _found(command: ConfirmOrder, store: EventStore) -> tuple[Order, int]:
    loaded = await store.load(ORDERS, command.order_id)
    order: Order = known_order(loaded.state)
    order.require_visible_to(command.caller)
    if order.intent_id and command.intent_id not in ("", order.intent_id):
        raise not_usable("Must be the order's own")
    return order, loaded.version


def _order(_: Payment, order: Order | None) -> Order | None:
    return order
