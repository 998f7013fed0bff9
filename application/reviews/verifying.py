"""Marking what buyers say of what they have bought."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from application.errors import ConcurrentChangeError
from application.ports import Changed, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import Event, OrderId, ReviewId
from domain.orders.events import PaymentStatus
from domain.orders.order import ORDERS, Order, OrderNotFoundError
from domain.reviews.events import only_review_of, purchase_of
from domain.reviews.purchase import PURCHASES, Purchase
from domain.reviews.review import REVIEWS, Review

_BOUGHT: Final = frozenset({PaymentStatus.PAID, PaymentStatus.PARTIALLY_REFUNDED})
"""Some of its money may be back by the time that we look."""


class NotePurchases(msgspec.Struct, frozen=True, kw_only=True):
    """An order is paid: its buyer has bought what is in it."""

    order_id: OrderId


async def note_purchases(command: NotePurchases, metadata: Metadata, *, store: EventStore) -> Changed[Order]:
    """Either whoever submits a review sees the purchase, or we see the review: the append refuses neither to be."""
    order: Order | None = (await store.load(ORDERS, command.order_id)).state
    if order is None or order.payment_status not in _BOUGHT:
        raise OrderNotFoundError("There is no such paid order")
    listing_ids = list(dict.fromkeys(line.listing_id for line in order.lines))
    purchases = [StreamRef(PURCHASES, purchase_of(order.account_id, each)) for each in listing_ids]
    claims = [StreamRef(CLAIMS, only_review_of(order.account_id, each)) for each in listing_ids]
    held: list[Claim | None] = [each.state for each in await store.load_many(claims)]
    reviews = [
        StreamRef(REVIEWS, ReviewId(claim.owner))
        for claim in held
        if claim is not None and claim.owner is not None
    ]
    refs: list[StreamRef[Any, Any]] = [*purchases, *claims, *reviews]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Order]:
        if [each.state for each in loaded[len(purchases) : len(purchases) + len(claims)]] != held:
            raise ConcurrentChangeError("A review was submitted meanwhile")
        events: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [
            (ref, Purchase.note(before.state, order.account_id, listing_id, order.id))
            for ref, before, listing_id in zip(purchases, loaded, listing_ids, strict=False)
        ]
        for ref, before in zip(reviews, loaded[len(purchases) + len(claims) :], strict=True):
            review: Review = before.present
            events.append((ref, review.verify_purchase()))
        return Proposal(outcome=order, events=events)

    return await store.change_together(refs, decide, metadata)
