"""Past events, for tests that begin with "given"."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import AccountEvent, AccountRegistered, Caller, Role
from domain.kernel import AccountId, CategoryId, ListingId, OrderId, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingEvent, ListingPublished
from domain.listings.listing import LISTINGS, Listing
from domain.money import Money
from domain.orders.pricing import Tariff
from domain.redeeming import Deals
from domain.sellers.events import HOUSE_SELLER

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
BUYER = Caller(account_id=AccountId(stream_id("account", 1)), number=1)
ADMIN = Caller(account_id=AccountId(stream_id("account", 2)), number=2, roles=frozenset({Role.ADMIN}))
ORDER_ID = OrderId(stream_id("order", "ORD-2026112101"))


def an_account(caller: Caller = BUYER, *events: AccountEvent) -> Account:
    registered = AccountRegistered(
        account_id=caller.account_id,
        number=caller.number,
        email="emily@example.com",
        username="emily",
        password_hash="",
    )
    return ACCOUNTS.after(None, [registered, *events])


def deals(tariff: Tariff | None = None, **fields: Any) -> Deals:
    """What a price depends on, which is nothing but the tariff unless ``fields`` say otherwise."""
    defaults: dict[str, Any] = {"offers": None, "coupon": None, "tree": None, "at": NOW}
    return Deals(tariff=tariff or Tariff(), **{**defaults, **fields})


def listing_id(number: int) -> ListingId:
    return ListingId(stream_id("listing", number))


def a_listing_created(number: int = 1, **fields: Any) -> ListingCreated:
    defaults: dict[str, Any] = {
        "listing_id": listing_id(number),
        "number": number,
        "seller_id": SellerId(HOUSE_SELLER),
        "slug": f"listing-{number}",
        "title": f"Listing {number}",
        "description": "Something worth having.",
        "price": Money(1000),
        "discount_percentage": Decimal(0),
        "category_id": CategoryId(stream_id("category", 1)),
        "category": "things",
        "stock": 10,
        "images": ("https://example.com/1.webp",),
    }
    return ListingCreated(**{**defaults, **fields})


def a_listing(*events: ListingEvent, number: int = 1, **fields: Any) -> Listing:
    """An active listing with ten units at 10.00, unless ``fields`` say otherwise."""
    history = [a_listing_created(number, **fields), ListingPublished(listing_id=listing_id(number)), *events]
    return LISTINGS.after(None, history)
