"""Questions to the carts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.carts.cart import Cart, HeldCoupon
from domain.carts.events import cart_of
from domain.kernel import AccountId
from domain.listings.listing import Listing
from domain.orders.pricing import Tariff
from domain.orders.shipping import Sending
from domain.promotions.events import redemptions_of
from domain.promotions.offers import Offers
from domain.redeeming import Coupon, Deals
from domain.sellers.events import ShippingProfile
from projections.carts.cart import cart_body
from projections.categories.query import tree_from
from projections.ports import Reads
from projections.promotions.promotion import PromotionDocument
from projections.promotions.query import RUNNING
from projections.wire import encode


class _Priced(msgspec.Struct, frozen=True, kw_only=True):
    """What a cart asks of a product; its reviews may be many."""

    listing: Listing
    hidden: bool = False


class _Shipping(msgspec.Struct, frozen=True, kw_only=True):
    """What a cart asks of a seller."""

    shipping: Mapping[UUID, ShippingProfile] = {}


class _Shop(msgspec.Struct, frozen=True, kw_only=True):
    seller: _Shipping


_CART = msgspec.json.Decoder(Cart)
_SHOP = msgspec.json.Decoder(_Shop)
_PRODUCT = msgspec.json.Decoder(_Priced)
_PROMOTION = msgspec.json.Decoder(PromotionDocument)

_WITH_PRICES = f"""
SELECT document,
       ARRAY(SELECT p.document FROM products p WHERE p.key = ANY(c.listing_ids)),
       ARRAY(SELECT p.document FROM promotions p WHERE {RUNNING}),
       ARRAY(SELECT s.document FROM sellers s
             WHERE s.key IN (SELECT p.seller_id FROM products p WHERE p.key = ANY(c.listing_ids))),
       ARRAY(SELECT k.document FROM categories k
             WHERE EXISTS (SELECT FROM promotions p WHERE {RUNNING} AND p.by_category))
FROM carts c WHERE c.key = %s
"""
"""The categories are many, and few promotions ask where a product is."""

_OF_COUPON = """
SELECT (SELECT document FROM promotions WHERE key = %s),
       coalesce((SELECT used FROM redemptions WHERE key = %s), 0),
       coalesce((SELECT used FROM redemptions WHERE key = %s), 0),
       ARRAY(SELECT k.document FROM categories k
             WHERE EXISTS (SELECT FROM promotions p WHERE p.key = %s AND p.by_category))
"""


async def cart_of_account(
    reads: Reads, account_id: UUID, account_number: int, tariff: Tariff, at: datetime
) -> bytes:
    """The cart as clients read it, at the prices of now; an empty one where nothing was ever put into it."""
    cart_id = cart_of(AccountId(account_id))
    row = await reads.one(_WITH_PRICES, at, at, at, at, cart_id)
    if row is None:
        empty = Cart(id=cart_id, account_id=AccountId(account_id), lines={})
        nothing = Deals(offers=None, coupon=None, tree=None, tariff=tariff, at=at)
        return encode(cart_body(empty, {}, account_number, nothing))
    document, products, automatic, sellers, categories = row
    cart = _CART.decode(document)
    priced = [_PRODUCT.decode(product) for product in products]
    listings = {product.listing.id: product.listing for product in priced}
    hidden = frozenset(product.listing.id for product in priced if product.hidden)
    offers = [_PROMOTION.decode(offered).promotion.offer for offered in automatic]
    coupon = None
    if cart.coupon is not None:
        coupon, of_coupon = await _coupon(reads, cart.coupon, cart.account_id)
        categories = categories or of_coupon
    deals = Deals(
        offers=Offers({offer.promotion_id: offer for offer in offers}),
        coupon=coupon,
        tree=tree_from(categories),
        tariff=tariff,
        at=at,
        sending=Sending(profiles=_profiles_in(sellers)),
    )
    return encode(cart_body(cart, listings, account_number, deals, hidden=hidden))


def _profiles_in(sellers: Sequence[bytes]) -> dict[UUID, ShippingProfile]:
    shops = [_SHOP.decode(document) for document in sellers]
    return {profile_id: profile for shop in shops for profile_id, profile in shop.seller.shipping.items()}


async def _coupon(reads: Reads, held: HeldCoupon, account_id: AccountId) -> tuple[Coupon, Sequence[bytes]]:
    """The coupon in somebody's cart, how often it was used in all, and how often by them.

    And the categories, where it takes them to know what it is for.
    """
    row = await reads.one(
        _OF_COUPON,
        held.promotion_id,
        redemptions_of(held.promotion_id),
        redemptions_of(held.promotion_id, account_id),
        held.promotion_id,
    )
    assert row is not None
    promotion, used, used_by_owner, categories = row
    coupon = Coupon(
        held=held,
        promotion=None if promotion is None else _PROMOTION.decode(promotion).promotion,
        used=used,
        used_by_customer=used_by_owner,
    )
    return coupon, categories
