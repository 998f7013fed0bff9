"""Following sellers."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.follows.events import FollowEvent, SellerFollowed, SellerUnfollowed
from domain.follows.follow import (
    FOLLOWS,
    MOST_FOLLOWED,
    Following,
    FollowingOneselfError,
    TooManyFollowedError,
)
from domain.kernel import SellerId
from domain.sellers.events import HOUSE_SELLER, seller_of
from tests.domain.builders import BUYER, NOW

FOLLOWED = SellerFollowed(account_id=BUYER.account_id, seller_id=HOUSE_SELLER, followed_at=NOW)
UNFOLLOWED = SellerUnfollowed(account_id=BUYER.account_id, seller_id=HOUSE_SELLER)
NOBODY = Following(account_id=BUYER.account_id)


def following_after(*events: FollowEvent) -> Following:
    return FOLLOWS.after(None, events)


class TestFollowing:
    def test_a_seller_is_followed_once(self) -> None:
        assert NOBODY.follow(HOUSE_SELLER, NOW) == [FOLLOWED]
        assert following_after(FOLLOWED).follow(HOUSE_SELLER, NOW) == []

    def test_and_again_after_it_was_not(self) -> None:
        assert following_after(FOLLOWED).unfollow(HOUSE_SELLER) == [UNFOLLOWED]
        assert following_after(FOLLOWED, UNFOLLOWED).unfollow(HOUSE_SELLER) == []
        assert following_after(FOLLOWED, UNFOLLOWED).follow(HOUSE_SELLER, NOW) == [FOLLOWED]

    def test_nobody_follows_themselves(self) -> None:
        with pytest.raises(FollowingOneselfError):
            NOBODY.follow(seller_of(BUYER.account_id), NOW)

    def test_there_is_an_end_to_it(self) -> None:
        many = frozenset(SellerId(UUID(int=number)) for number in range(MOST_FOLLOWED))
        full = Following(account_id=BUYER.account_id, sellers=many)
        with pytest.raises(TooManyFollowedError):
            full.follow(HOUSE_SELLER, NOW)
        assert full.follow(SellerId(UUID(int=0)), NOW) == []

    @given(st.lists(st.tuples(st.booleans(), st.integers(0, 5))))
    def test_who_is_forgotten_follows_nobody(self, clicks: list[tuple[bool, int]]) -> None:
        events: list[FollowEvent] = []
        following = NOBODY
        for follows, number in clicks:
            seller_id = SellerId(UUID(int=number))
            decided = following.follow(seller_id, NOW) if follows else following.unfollow(seller_id)
            following = FOLLOWS.fold(following, decided) or following
            events += decided
        counts = {event.seller_id: 0 for event in events}
        for event in (*events, *following.forget()):
            counts[event.seller_id] += 1 if isinstance(event, SellerFollowed) else -1
        assert set(counts.values()) <= {0}
