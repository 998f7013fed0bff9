"""How the list of shops is made from what happens to sellers and who follows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import BigInteger, Column, DateTime, Index, Text, text

from domain.accounts.events import AccountErased
from domain.follows.events import FollowEvent, SellerFollowed, SellerUnfollowed
from domain.kernel import Recorded
from domain.sellers.events import SellerClosed, SellerEvent, seller_of
from domain.sellers.seller import Seller
from projections.pieces import pieces_column, pieces_of
from projections.projection import Projection, Rows, read_model
from projections.sellers.shop import Shop

sellers = read_model(
    "sellers",
    Column("number", BigInteger),
    Column("slug", Text),
    Column("status", Text, nullable=False),
    Column("shop_name", Text, nullable=False),
    Column("follower_count", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("idx_sellers_number", "number", unique=True),
    Index("idx_sellers_slug", "slug"),
    Index("idx_sellers_status", "status", "created_at", "key"),
    Index("idx_sellers_created_at", "created_at", "key"),
    Index("idx_sellers_followers", text("(- follower_count)"), "created_at", "key"),
    Index("idx_sellers_name", text("lower(shop_name)"), "key"),
    *pieces_column("sellers"),
)
"""No two have one slug, which the log sees to. Here it is not asked for: a slug may change hands within a batch, and
rows are written one after the other.
"""


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    event = recorded.event
    return (seller_of(event.account_id) if isinstance(event, AccountErased) else event.seller_id,)


def _fold(shop: Shop | None, recorded: Recorded[Any], key: UUID) -> Shop | None:
    event = recorded.event
    match event:
        case AccountErased():
            if shop is None:
                return None  # most people never sold anything
            # Beside it stands SellerClosed. But whoever forgets must not depend on two events being together.
            event = SellerClosed(seller_id=shop.seller.id, account_id=event.account_id)
        case SellerFollowed():
            assert shop is not None, "only a verified seller is followed"
            return replace(shop, follower_count=shop.follower_count + 1)
        case SellerUnfollowed():
            assert shop is not None, "only who was followed is unfollowed"
            return replace(shop, follower_count=shop.follower_count - 1)
    if shop is None:
        at = recorded.timestamp
        return Shop(seller=Seller.evolve(None, event), created_at=at, updated_at=at)
    return replace(shop, seller=Seller.evolve(shop.seller, event), updated_at=recorded.timestamp)


def _row(shop: Shop) -> dict[str, Any]:
    seller = shop.seller
    return {
        "number": seller.account_number or None,
        "slug": seller.profile.slug or None,
        "status": seller.status.value,
        "shop_name": seller.profile.shop_name,
        "pieces": pieces_of(seller.profile.shop_name),
        "follower_count": shop.follower_count,
        "created_at": shop.created_at,
    }


SELLER_LIST = Projection(
    name="sellers",
    version=3,
    events=(*get_args(SellerEvent), *get_args(FollowEvent), AccountErased),
    document=Shop,
    keys=_keys,
    fold=_fold,
    into=Rows(table=sellers, row=_row),
)
