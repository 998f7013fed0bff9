"""Keeping a shop: what it says of itself, and what it costs to send things from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from application.sellers.naming import SlugChoice
from domain.kernel import SellerId
from domain.money import Money
from domain.sellers.events import ReturnAddress, SellerEvent, ShippingProfile
from domain.sellers.seller import SELLERS, Seller, SellerNotFoundError


class ChangeSellerProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are given change; the others stay.

    ``logo`` is a key of the object store, the URL of a picture elsewhere, or empty for none.
    """

    seller_id: SellerId
    shop_name: str | None = None
    slug: str | None = None
    category: str | None = None
    bio: str | None = None
    experience_level: str | None = None
    monthly_revenue: str | None = None
    platforms: tuple[str, ...] | None = None
    social_links: dict[str, str] | None = None
    return_address: ReturnAddress | None = None
    logo: str | None = None


class AddShippingProfile(msgspec.Struct, frozen=True, kw_only=True):
    seller_id: SellerId
    profile: ShippingProfile


class ChangeShippingProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are given change; the others stay."""

    seller_id: SellerId
    profile_id: UUID
    name: str | None = None
    base_cost: Money | None = None
    per_item_cost: Money | None = None
    free_over: Money | None = None
    countries: tuple[str, ...] | None = None
    handling_days: int | None = None


class RemoveShippingProfile(msgspec.Struct, frozen=True, kw_only=True):
    seller_id: SellerId
    profile_id: UUID


class Shipping(msgspec.Struct, frozen=True, kw_only=True):
    """A shipping profile and by what it is known; none where it was removed."""

    id: UUID
    profile: ShippingProfile | None


async def change_seller_profile(
    command: ChangeSellerProfile, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Seller]:
    ref = StreamRef(SELLERS, command.seller_id)
    slug: SlugChoice | None = None
    if command.slug is not None:
        before = _known((await store.load(SELLERS, command.seller_id)).state)
        slug = SlugChoice.of(command.seller_id, [command.slug], before.profile.slug, keys)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Seller]:
        seller = _known(loaded[0].state)
        claimed: list[Any] = []
        if slug is not None:
            _, claimed = slug.decided(loaded[1:], seller)
        events = seller.change_profile(
            shop_name=command.shop_name,
            slug=command.slug,
            category=command.category,
            bio=command.bio,
            experience_level=command.experience_level,
            monthly_revenue=command.monthly_revenue,
            platforms=command.platforms,
            social_links=command.social_links,
            return_address=command.return_address,
        )
        if command.logo is not None:
            events += seller.change_logo(command.logo)
        return Proposal(outcome=SELLERS.after(seller, events), events=[(ref, events), *claimed])

    claims = slug.refs.values() if slug is not None else ()
    return await store.change_together([ref, *claims], decide, metadata)


async def add_shipping_profile(
    command: AddShippingProfile, metadata: Metadata, *, store: EventStore
) -> Changed[Shipping]:
    profile_id = uuid4()
    return await _change_shipping(
        command.seller_id,
        profile_id,
        lambda seller: seller.add_shipping(profile_id, command.profile),
        metadata,
        store,
    )


async def change_shipping_profile(
    command: ChangeShippingProfile, metadata: Metadata, *, store: EventStore
) -> Changed[Shipping]:
    fields = ("name", "base_cost", "per_item_cost", "free_over", "countries", "handling_days")
    given = {name: value for name in fields if (value := getattr(command, name)) is not None}

    def decide(seller: Seller) -> list[SellerEvent]:
        profile = replace(seller.shipping_profile(command.profile_id), **given)
        return seller.change_shipping(command.profile_id, profile)

    return await _change_shipping(command.seller_id, command.profile_id, decide, metadata, store)


async def remove_shipping_profile(
    command: RemoveShippingProfile, metadata: Metadata, *, store: EventStore
) -> Changed[Shipping]:
    return await _change_shipping(
        command.seller_id,
        command.profile_id,
        lambda seller: seller.remove_shipping(command.profile_id),
        metadata,
        store,
    )


async def _change_shipping(
    seller_id: SellerId,
    profile_id: UUID,
    decide: Callable[[Seller], list[SellerEvent]],
    metadata: Metadata,
    store: EventStore,
) -> Changed[Shipping]:
    ref = StreamRef(SELLERS, seller_id)

    def propose(loaded: Sequence[Loaded[Any]]) -> Proposal[Shipping]:
        seller = _known(loaded[0].state)
        events = decide(seller)
        after = SELLERS.after(seller, events)
        outcome = Shipping(id=profile_id, profile=after.shipping.get(profile_id))
        return Proposal(outcome=outcome, events=[(ref, events)])

    return await store.change_together([ref], propose, metadata)


def _known(seller: Seller | None) -> Seller:
    if seller is None:
        raise SellerNotFoundError("You are no seller")
    return seller
