"""Following: the sellers whom somebody wants to hear of."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec

from domain.follows.events import FollowEvent, SellerFollowed, SellerUnfollowed
from domain.kernel import AccountId, Decider, RuleViolatedError, SellerId
from domain.sellers.events import seller_of

MOST_FOLLOWED = 5_000


class FollowingOneselfError(RuleViolatedError):
    code = "CANNOT_FOLLOW_YOURSELF"


class TooManyFollowedError(RuleViolatedError):
    code = "TOO_MANY_FOLLOWED"


class Following(msgspec.Struct, frozen=True, kw_only=True):
    """All sellers that one account follows."""

    account_id: AccountId
    sellers: frozenset[SellerId] = frozenset()

    def follow(self, seller_id: SellerId, at: datetime) -> list[FollowEvent]:
        if seller_id == seller_of(self.account_id):
            raise FollowingOneselfError("You cannot follow yourself")
        if seller_id in self.sellers:
            return []
        if len(self.sellers) >= MOST_FOLLOWED:
            raise TooManyFollowedError(f"You can follow at most {MOST_FOLLOWED} sellers")
        return [SellerFollowed(account_id=self.account_id, seller_id=seller_id, followed_at=at)]

    def unfollow(self, seller_id: SellerId) -> list[FollowEvent]:
        if seller_id not in self.sellers:
            return []
        return [SellerUnfollowed(account_id=self.account_id, seller_id=seller_id)]

    def forget(self) -> list[FollowEvent]:
        """Follow nobody any more: the account is erased, and whom it followed must not count it."""
        return [
            SellerUnfollowed(account_id=self.account_id, seller_id=seller_id)
            for seller_id in sorted(self.sellers)
        ]

    @classmethod
    def evolve(cls, following: Following | None, event: FollowEvent) -> Following:
        known = following or cls(account_id=event.account_id)
        match event:
            case SellerFollowed(seller_id=seller_id):
                sellers = known.sellers | {seller_id}
            case SellerUnfollowed(seller_id=seller_id):
                sellers = known.sellers - {seller_id}
            case _:
                assert_never(event)
        return cls(account_id=known.account_id, sellers=sellers)


FOLLOWS: Decider[Following, FollowEvent] = Decider("follows", Following.evolve, snapshot=Following)
