"""Creating listings."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from application.categories.creating import THE_TREE, category_for_listings
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Numbers, Proposal, StreamRef
from application.slugs import slug_of
from domain.categories.category import CATEGORIES, Category, CategoryNotFoundError, SlugExistsError
from domain.categories.events import ListingShelved, shelf_of
from domain.categories.shelf import CATEGORY_SHELVES
from domain.categories.tree import CategoryTree
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import InvalidInputError, ListingId, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingEvent
from domain.listings.listing import LISTINGS, Listing
from domain.money import Money
from domain.sellers.seller import SELLERS, require_selling

LISTING_SLUG = "listing-slug"


class CreateListing(msgspec.Struct, frozen=True, kw_only=True):
    """``category`` is any reference to one. A slug that is not given is made from the title, and made unique."""

    seller_id: SellerId
    title: str
    description: str
    price: Money
    category: str
    discount_percentage: Decimal = Decimal(0)
    brand: str = ""
    tags: tuple[str, ...] = ()
    stock: int = 0
    thumbnail: str = ""
    images: tuple[str, ...] = ()
    slug: str = ""
    publish: bool = False
    imported_rating: Decimal | None = None
    extras: dict[str, Any] = msgspec.field(default_factory=dict)


async def create_listing(
    command: CreateListing, metadata: Metadata, *, store: EventStore, keys: Keys, numbers: Numbers
) -> Changed[Listing]:
    try:
        found = await category_for_listings(command.category, store, keys)
    except CategoryNotFoundError as unknown:
        # Not what was asked for, but a field of it: the listing is refused as a whole (A2).
        raise InvalidInputError({"category": ["Does not exist"]}) from unknown
    number = await numbers.next("listings")
    listing_id = ListingId(stream_id("listing", number))
    wished = command.slug or slug_of(command.title)
    slugs = [wished] if command.slug else [wished, f"{wished}-{number}"]
    shelf: StreamRef[Any, Any] = StreamRef(CATEGORY_SHELVES, shelf_of(found.id, number))
    refs: list[StreamRef[Any, Any]] = [
        *(StreamRef(CLAIMS, keys.claim_id(LISTING_SLUG, slug)) for slug in slugs),
        shelf,
        StreamRef(CATEGORIES, found.id),
        THE_TREE,
        StreamRef(SELLERS, command.seller_id),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Listing]:
        require_selling(loaded[-1].state)
        category = _open(loaded[-3].state, loaded[-2].state)
        claims = loaded[: len(slugs)]
        taken = [Claim.take(held.state, LISTING_SLUG, listing_id) for held in claims]
        free = next((index for index, claimed in enumerate(taken) if claimed is not None), None)
        if free is None:
            raise SlugExistsError
        created = ListingCreated(
            listing_id=listing_id,
            number=number,
            seller_id=command.seller_id,
            slug=slugs[free],
            title=command.title,
            description=command.description,
            price=command.price,
            discount_percentage=command.discount_percentage,
            category_id=category.id,
            category=category.slug,
            brand=command.brand,
            tags=command.tags,
            stock=command.stock,
            thumbnail=command.thumbnail or (command.images[0] if command.images else ""),
            images=command.images,
            imported_rating=command.imported_rating,
            extras=command.extras,
        )
        events: list[ListingEvent] = [created]
        listing = Listing.evolve(None, created)
        if command.publish:
            events += listing.publish()
        state = LISTINGS.fold(None, events)
        assert state is not None
        return Proposal(
            about=listing_id,
            outcome=state,
            events=[
                (refs[free], taken[free] or []),
                (StreamRef(LISTINGS, listing_id), events),
                (shelf, [ListingShelved(category_id=category.id, listing_id=listing_id)]),
            ],
        )

    return await store.change_together(refs, decide, metadata)


def _open(category: Category | None, tree: CategoryTree | None) -> Category:
    """The category as it is when the listing comes into it: not deleted meanwhile, and to be seen."""
    if category is None or category.deleted:
        raise InvalidInputError({"category": ["Does not exist"]})
    if not category.active or (tree is not None and not tree.is_open(category.id)):
        raise InvalidInputError({"category": ["Is not active"]})
    return category
