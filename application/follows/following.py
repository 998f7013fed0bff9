"""Following sellers, and no longer following them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.follows.events import FollowEvent, follows_of
from domain.follows.follow import FOLLOWS, Following
from domain.kernel import AccountId, SellerId
from domain.sellers.seller import SELLERS, Seller, SellerNotFoundError


class FollowSeller(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    seller_id: SellerId


class UnfollowSeller(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    seller_id: SellerId


class ForgetFollows(msgspec.Struct, frozen=True, kw_only=True):
    """The account is erased: whom it followed must not count it any more."""

    account_id: AccountId


async def follow_seller(
    command: FollowSeller, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Following]:
    refs = _refs(command.account_id, command.seller_id)
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Following]:
        following: Following = loaded[0].state or Following(account_id=command.account_id)
        seller: Seller | None = loaded[1].state
        events = following.follow(command.seller_id, now)
        if seller is None or not seller.sells:
            raise SellerNotFoundError("Seller not found")
        return _proposal(refs[0], following, events)

    return await store.change_together(refs, decide, metadata)


async def unfollow_seller(
    command: UnfollowSeller, metadata: Metadata, *, store: EventStore
) -> Changed[Following]:
    """Possible also while the seller is suspended."""
    refs = _refs(command.account_id, command.seller_id)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Following]:
        following: Following = loaded[0].state or Following(account_id=command.account_id)
        if loaded[1].state is None:
            raise SellerNotFoundError("Seller not found")
        return _proposal(refs[0], following, following.unfollow(command.seller_id))

    return await store.change_together(refs, decide, metadata)


async def forget_follows(
    command: ForgetFollows, metadata: Metadata, *, store: EventStore
) -> Changed[Following]:
    def decide(following: Following | None) -> list[FollowEvent]:
        return following.forget() if following else []

    return await store.change(FOLLOWS, follows_of(command.account_id), decide, metadata)


def _refs(account_id: AccountId, seller_id: SellerId) -> list[StreamRef[Any, Any]]:
    return [StreamRef(FOLLOWS, follows_of(account_id)), StreamRef(SELLERS, seller_id)]


def _proposal(ref: StreamRef[Any, Any], following: Following, events: Sequence[Any]) -> Proposal[Following]:
    return Proposal(outcome=FOLLOWS.after(following, events), events=[(ref, events)])
