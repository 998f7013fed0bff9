"""A purchase: that somebody has paid for a product at least once, for what they say of it to be marked with."""

from __future__ import annotations

import msgspec

from domain.kernel import AccountId, Decider, ListingId, OrderId
from domain.reviews.events import ProductPurchased, PurchaseEvent


class Purchase(msgspec.Struct, frozen=True, kw_only=True):
    order_id: OrderId

    @staticmethod
    def note(
        purchase: Purchase | None, account_id: AccountId, listing_id: ListingId, order_id: OrderId
    ) -> list[PurchaseEvent]:
        """The first one is enough."""
        if purchase is not None:
            return []
        return [ProductPurchased(account_id=account_id, listing_id=listing_id, order_id=order_id)]

    @classmethod
    def evolve(cls, _: Purchase | None, event: PurchaseEvent) -> Purchase:
        return cls(order_id=event.order_id)


PURCHASES: Decider[Purchase, PurchaseEvent] = Decider("purchases", Purchase.evolve)
