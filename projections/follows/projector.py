"""How the list of who follows whom is made."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from sqlalchemy import Column, DateTime, Index, Uuid

from domain.accounts.events import AccountErased
from domain.follows.events import FollowEvent, SellerFollowed
from domain.kernel import AccountId, Recorded, SellerId, stream_id
from projections.projection import Projection, Rows, read_model

follows = read_model(
    "follows",
    Column("account_id", Uuid, nullable=False),
    Column("seller_id", Uuid, nullable=False),
    Column("followed_at", DateTime(timezone=True), nullable=False),
    Index("idx_follows_account", "account_id", "followed_at"),
)


class Follow(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    seller_id: SellerId
    followed_at: datetime


def follow_key(account_id: UUID, seller_id: UUID) -> UUID:
    return stream_id("follow", f"{account_id}:{seller_id}")


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    event = recorded.event
    if isinstance(event, AccountErased):
        # What the account followed is unfollowed one by one, for the sellers to count right. It is heard of here for
        # the generations that are kept for a way back: they must not remember whom an erased person followed.
        return ()
    return (follow_key(event.account_id, event.seller_id),)


def _fold(_: Follow | None, recorded: Recorded[Any], __: UUID) -> Follow | None:
    event = recorded.event
    if not isinstance(event, SellerFollowed):
        return None
    return Follow(account_id=event.account_id, seller_id=event.seller_id, followed_at=event.followed_at)


def _row(follow: Follow) -> dict[str, Any]:
    return {
        "account_id": follow.account_id,
        "seller_id": follow.seller_id,
        "followed_at": follow.followed_at,
    }


FOLLOW_LIST = Projection(
    name="follows",
    version=1,
    events=(*get_args(FollowEvent), AccountErased),
    document=Follow,
    keys=_keys,
    fold=_fold,
    into=Rows(table=follows, row=_row),
)
