"""Creating listings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from application.categories.creating import THE_TREE
from application.listings.filing import (
    Changes,
    Collecting,
    States,
    by_stream,
    categories_named,
    category_refs,
    require_open,
    schema_of,
    shelf_refs,
    shelved,
)
from application.ports import Changed, Clock, EventStore, Keys, Loaded, Metadata, Numbers, Proposal, StreamRef
from application.slugs import slug_of
from domain.accounts.events import Caller
from domain.categories.category import SlugExistsError
from domain.claims.claim import CLAIMS, Claim
from domain.claims.events import ClaimEvent
from domain.illustrating import attach
from domain.kernel import CategoryId, DomainError, InvalidInputError, ListingId, MediaId, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingEvent, Location
from domain.listings.listing import (
    LISTINGS,
    Listing,
    blurred,
    discount_meant,
    expiry_of,
    first_of,
    merged,
    require_only_one,
)
from domain.media.media import MEDIA, Media
from domain.money import Money
from domain.sellers.seller import SELLERS, Seller, require_selling

LISTING_SLUG = "listing-slug"


class CreateListing(msgspec.Struct, frozen=True, kw_only=True):
    """``category``, ``categories`` and ``collections`` are any references; the first category is where it belongs.

    A slug that is not given is made from the title, and made unique. ``sale_price`` is another way to say the
    discount. ``media_ids`` are uploads of ``caller``'s own to be shown, in this order.
    """

    seller_id: SellerId
    caller: Caller | None = None
    title: str
    price: Money
    category: str = ""
    categories: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    description: str = ""
    description_short: str = ""
    discount_percentage: Decimal | None = None
    sale_price: Money | None = None
    brand: str = ""
    tags: tuple[str, ...] = ()
    stock: int = 0
    unique: bool = False
    thumbnail: str = ""
    images: tuple[str, ...] = ()
    media_ids: tuple[MediaId, ...] = ()
    slug: str = ""
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    location: Location | None = None
    shipping_profile_id: UUID | None = None
    publish: bool = False
    imported_rating: Decimal | None = None
    extras: dict[str, Any] = msgspec.field(default_factory=dict)


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the references name, before a number is taken for it."""

    categories: Mapping[CategoryId, str]
    collecting: Collecting
    discount: Decimal


async def create_listing(
    command: CreateListing,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    clock: Clock,
    lifetime: timedelta,
) -> Changed[Listing]:
    """A draft may be incomplete; but what it says must be right, and it is counted where it will be found."""
    require_only_one(command.stock, unique=command.unique)
    try:
        plan = await _planned(command, store, keys)
    except DomainError:
        # What is named may have gone since the first try of it.
        if metadata.once is not None:
            await store.raise_if_answered(metadata.once)
        raise
    number = await numbers.next("listings")
    listing_id = ListingId(stream_id("listing", number))
    ref = StreamRef(LISTINGS, listing_id)
    slugs = [command.slug] if command.slug else _slugs_for(command.title, listing_id, number)
    claims = [slug_claim(slug, keys) for slug in slugs]
    refs: list[StreamRef[Any, Any]] = [
        ref,
        THE_TREE,
        StreamRef(SELLERS, command.seller_id),
        *category_refs(plan.categories),
        *shelf_refs(number, plan.categories),
        *plan.collecting.refs,
        *claims,
        *media_refs(tuple(dict.fromkeys(command.media_ids))),
    ]
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Listing]:
        states = by_stream(refs, loaded)
        seller: Seller | None = states[command.seller_id].state
        require_selling(seller)
        require_own_shipping(seller, command.shipping_profile_id)
        category, *further = require_open(plan.categories, states)
        slug, claimed = _first_free(slugs, claims, listing_id, states)
        created = ListingCreated(
            listing_id=listing_id,
            number=number,
            seller_id=command.seller_id,
            account_id=None if seller is None else seller.account_id,
            slug=slug,
            title=command.title,
            description=command.description or command.description_short,
            description_short=command.description_short,
            price=command.price,
            discount_percentage=plan.discount,
            category_id=category.id,
            category=category.slug,
            further_category_ids=tuple(each.id for each in further),
            brand=command.brand,
            tags=command.tags,
            stock=command.stock,
            unique=command.unique,
            thumbnail=command.thumbnail or first_of(command.images),
            images=command.images,
            attributes=merged({}, command.attributes),
            location=None if command.location is None else blurred(command.location),
            shipping_profile_id=command.shipping_profile_id,
            imported_rating=command.imported_rating,
            extras=merged({}, command.extras),
        )
        listing = Listing.evolve(None, created)
        schema = schema_of(category.id, states[THE_TREE.id].state)
        listing.require_described(schema)
        events: list[ListingEvent] = []
        listing, pictures = _illustrated(listing, command, states)
        if command.publish:
            kind = None if seller is None else seller.kind
            events += listing.publish(schema=schema, expires_at=expiry_of(kind, now, lifetime))
        after = LISTINGS.after(listing, events)
        return Proposal(
            about=listing_id,
            outcome=after,
            events=[
                (ref, [created]),
                *pictures,
                (ref, events),
                *claimed,
                *shelved(listing_id, number, (), after.category_ids),
                *plan.collecting.decided(listing_id, states),
            ],
        )

    return await store.change_together(refs, decide, metadata)


def slug_claim(slug: str, keys: Keys) -> StreamRef[Any, Any]:
    """Where it stands whose slug this is."""
    return StreamRef(CLAIMS, keys.claim_id(LISTING_SLUG, slug))


def require_own_shipping(seller: Seller | None, profile_id: UUID | None) -> None:
    """Nobody sends things by what somebody else has agreed with a carrier (S3-PROD-03)."""
    if profile_id is not None and (seller is None or profile_id not in seller.shipping):
        raise InvalidInputError({"shippingProfileId": ["Does not exist"]})


async def _planned(command: CreateListing, store: EventStore, keys: Keys) -> _Plan:
    discount = discount_meant(command.price, command.discount_percentage, command.sale_price)
    return _Plan(
        categories=await categories_named(command.category, command.categories, store, keys),
        collecting=await Collecting.of(command.collections, store, keys),
        discount=discount or Decimal(0),
    )


def _illustrated(listing: Listing, command: CreateListing, states: States) -> tuple[Listing, Changes]:
    """The listing with its pictures, and what becomes of each; one that is not there is a fault of the field."""
    caller = command.caller
    if caller is None or not command.media_ids:
        return listing, []
    wanted: list[Media] = []
    faults: dict[str, list[str]] = {}
    for index, media_id in enumerate(command.media_ids):
        media: Media | None = states[media_id].state
        if media is None or media.gone or media.owner_id != caller.account_id:
            faults[f"mediaIds[{index}]"] = ["Does not exist"]
        else:
            wanted.append(media)
    if faults:
        raise InvalidInputError(faults)
    shown = attach(listing, wanted, caller)
    refs = media_refs(command.media_ids)
    of_media = list(zip(refs, shown.media_events, strict=True))
    return shown.listing, [(StreamRef(LISTINGS, listing.id), shown.listing_events), *of_media]


def media_refs(media_ids: Sequence[MediaId]) -> list[StreamRef[Any, Any]]:
    return [StreamRef(MEDIA, media_id) for media_id in media_ids]


def _slugs_for(title: str, listing_id: ListingId, number: int) -> list[str]:
    """What can be made of a title, the dearest first; the last one is nobody else's."""
    slug = slug_of(title)
    return [slug, f"{slug[:80]}-{number}", f"{slug[:80]}-{listing_id.hex[:12]}"]


def _first_free(
    slugs: Sequence[str], claims: Sequence[StreamRef[Any, Any]], listing_id: ListingId, states: States
) -> tuple[str, list[tuple[StreamRef[Any, Any], Sequence[ClaimEvent]]]]:
    for slug, claim in zip(slugs, claims, strict=True):
        taken = Claim.take(states[claim.id].state, LISTING_SLUG, listing_id)
        if taken is not None:
            return slug, [(claim, taken)]
    raise SlugExistsError
