"""How the list of what people wish for is made: a row for each product of each person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from sqlalchemy import Column, DateTime, Index, Uuid

from domain.accounts.events import AccountErased
from domain.kernel import AccountId, Event, ListingId, Recorded, stream_id
from domain.wishlists.events import WishlistEvent, WishlistItemAdded
from projections.projection import Projection, Rows, read_model

wishlist_items = read_model(
    "wishlist_items",
    Column("account_id", Uuid, nullable=False),
    Column("listing_id", Uuid, nullable=False),
    Column("added_at", DateTime(timezone=True), nullable=False),
    Index("idx_wishlist_items_account", "account_id", "added_at"),
)


class WishlistItem(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    listing_id: ListingId
    added_at: datetime


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    event = recorded.event
    return (stream_id("wishlist-item", f"{event.account_id}:{event.listing_id}"),)


def _fold(_: WishlistItem | None, recorded: Recorded[Any], __: UUID) -> WishlistItem | None:
    event = recorded.event
    if not isinstance(event, WishlistItemAdded):
        return None
    return WishlistItem(account_id=event.account_id, listing_id=event.listing_id, added_at=event.added_at)


def _subjects(item: WishlistItem) -> Collection[UUID]:
    return (item.account_id,)


_CONCERNS: Mapping[type[Event], Callable[[Any], UUID]] = {AccountErased: lambda erased: erased.account_id}


def _row(item: WishlistItem) -> dict[str, Any]:
    return {"account_id": item.account_id, "listing_id": item.listing_id, "added_at": item.added_at}


WISHLIST_ITEMS = Projection(
    name="wishlist_items",
    version=1,
    events=get_args(WishlistEvent),
    document=WishlistItem,
    keys=_keys,
    fold=_fold,
    into=Rows(table=wishlist_items, row=_row),
    subjects=_subjects,
    concerning=_CONCERNS,
)
