"""What can happen between somebody and the sellers that they follow."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from domain.kernel import AccountId, Event, SellerId, stream_id


def follows_of(account_id: AccountId) -> UUID:
    """The stream of all that an account follows: one, so that an erased account lets go of all with one decision."""
    return stream_id("follows", str(account_id))


class SellerFollowed(Event, frozen=True, kw_only=True, tag="seller_followed"):
    account_id: AccountId
    seller_id: SellerId
    followed_at: datetime


class SellerUnfollowed(Event, frozen=True, kw_only=True, tag="seller_unfollowed"):
    """Also when the account is erased: once for each seller that it followed."""

    account_id: AccountId
    seller_id: SellerId


FollowEvent: TypeAlias = SellerFollowed | SellerUnfollowed
