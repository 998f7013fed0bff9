"""A shop: a seller with who follows it, and its shapes on the wire (S3 §3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from domain.sellers.events import ShippingProfile
from domain.sellers.seller import Seller
from projections.wire import time

LogoUrl = Callable[[str], str]
"""Where the picture of a logo is: of a key of the object store that depends on the deployment."""


class Shop(msgspec.Struct, frozen=True, kw_only=True):
    seller: Seller
    created_at: datetime
    updated_at: datetime
    follower_count: int = 0


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """What the catalogue knows of a shop: what was said of its products, and how many there are to be seen."""

    review_count: int = 0
    rating_sum: int = 0
    product_count: int = 0

    @property
    def rating(self) -> float:
        """The mean of all reviews to one decimal, 0 where there are none (C59)."""
        return round(self.rating_sum / self.review_count, 1) if self.review_count else 0


class FoundShop(msgspec.Struct, frozen=True, kw_only=True):
    shop: Shop
    sold: Sold


def public_body(found: FoundShop, logo_url: LogoUrl) -> dict[str, Any]:
    """What everybody sees of a shop."""
    return {
        **_profile_body(found.shop.seller, logo_url),
        "rating": found.sold.rating,
        "reviewCount": found.sold.review_count,
        "followerCount": found.shop.follower_count,
        "productCount": found.sold.product_count,
        "createdAt": time(found.shop.created_at),
    }


def own_body(found: FoundShop, logo_url: LogoUrl) -> dict[str, Any]:
    """What its owner and admins see of it besides."""
    return {
        **public_body(found, logo_url),
        **_private_body(found.shop.seller),
        "updatedAt": time(found.shop.updated_at),
    }


def seller_body(seller: Seller, logo_url: LogoUrl) -> dict[str, Any]:
    """What the seller itself knows of the shop; all that a command answers with."""
    return {**_profile_body(seller, logo_url), **_private_body(seller)}


def shipping_body(profile_id: UUID, profile: ShippingProfile) -> dict[str, Any]:
    """S3 §4; ``cost`` is its other name of ``baseCost``."""
    return {
        "id": str(profile_id),
        "name": profile.name,
        "cost": profile.base_cost.units(),
        "baseCost": profile.base_cost.units(),
        "perItemCost": profile.per_item_cost.units(),
        "freeOver": None if profile.free_over is None else profile.free_over.units(),
        "currency": profile.base_cost.currency,
        "countries": profile.countries,
        "handlingDays": profile.handling_days,
    }


def shipping_bodies(seller: Seller) -> list[dict[str, Any]]:
    return [shipping_body(profile_id, profile) for profile_id, profile in seller.shipping.items()]


def _profile_body(seller: Seller, logo_url: LogoUrl) -> dict[str, Any]:
    profile = seller.profile
    return {
        "id": str(seller.id),
        "shopName": profile.shop_name,
        "slug": profile.slug,
        "kind": seller.kind,
        "status": seller.status,
        "logoUrl": logo_url(seller.logo) if seller.logo else "",
        "bio": profile.bio,
        "category": profile.category,
        "socialLinks": profile.social_links,
    }


def _private_body(seller: Seller) -> dict[str, Any]:
    profile, address = seller.profile, seller.profile.return_address
    return {
        "userId": seller.account_number or None,
        "userUuid": None if seller.account_id is None else str(seller.account_id),
        "reason": seller.reason,
        "experienceLevel": profile.experience_level,
        "monthlyRevenue": profile.monthly_revenue,
        "platforms": profile.platforms,
        "returnAddress": {
            "fullName": address.full_name,
            "address": address.address,
            "addressLine2": address.address_line2,
            "city": address.city,
            "state": address.state,
            "zipCode": address.zip_code,
            "country": address.country,
            "phone": address.phone,
        },
        "agreedToTerms": seller.agreed_at is not None,
        "agreedAt": None if seller.agreed_at is None else time(seller.agreed_at),
        "shippingProfiles": shipping_bodies(seller),
    }
