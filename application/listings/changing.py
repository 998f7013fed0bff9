"""Changing listings, and finding them by any of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from application.categories.creating import THE_TREE
from application.claims import stream_called, streams_called
from application.errors import ConcurrentChangeError
from application.listings.creating import LISTING_SLUG, require_own_shipping, slug_claim
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
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.events import Caller
from domain.categories.category import SlugExistsError
from domain.categories.tree import CategoryTree
from domain.claims.claim import Claim
from domain.kernel import CategoryId, CollectionId, DomainError, ForbiddenError, ListingId, SellerId
from domain.listings.events import ListingEvent, Location
from domain.listings.listing import LISTINGS, Listing, ProductNotFoundError, merged, said_of
from domain.money import Money
from domain.sellers.seller import SELLERS


class ChangeListing(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are given change; the others stay (C25).

    Of ``attributes`` and ``extras`` those keys change that are given, and ``None`` takes one away; ``attributes``
    that are ``None`` themselves are no more at all. ``common`` are attributes, too, said in another way. No
    ``sale_price`` any more is no discount. ``collected_in`` says which collections the listing is in, for whoever gives
    the ``collections`` that it shall be in.
    """

    listing_id: ListingId
    caller: Caller
    title: str | None = None
    description: str | None = None
    description_short: str | None = None
    brand: str | None = None
    tags: tuple[str, ...] | None = None
    thumbnail: str | None = None
    images: tuple[str, ...] | None = None
    attributes: dict[str, Any] | UnsetType | None = UNSET
    common: dict[str, Any] = msgspec.field(default_factory=dict)
    extras: dict[str, Any] = msgspec.field(default_factory=dict)
    category: str = ""
    categories: tuple[str, ...] = ()
    collections: tuple[str, ...] | None = None
    collected_in: tuple[CollectionId, ...] = ()
    slug: str | None = None
    price: Money | None = None
    discount_percentage: Decimal | None = None
    sale_price: Money | UnsetType | None = UNSET
    stock: int | None = None
    location: Location | UnsetType | None = UNSET
    shipping_profile_id: UUID | UnsetType | None = UNSET

    @property
    def refiles(self) -> bool:
        return bool(self.category or self.categories)

    @property
    def describes(self) -> bool:
        """Whether it says anything else of the thing than what it costs and how many there are.

        A category that has become stricter does not stop anybody from selling what is published (C-4): its price and
        stock go on changing until its words are edited.
        """
        said = (self.title, self.description, self.description_short, self.brand, self.tags)
        shown = (self.thumbnail, self.images)
        return (
            any(each is not None for each in (*said, *shown))
            or self.attributes is not UNSET
            or bool(self.common or self.extras)
            or self.refiles
        )


class _Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the command concerns: as it is found beforehand, and as it must still be when it is decided.

    ``after`` are the categories of the listing from then on, ``entered`` those that are new with the fields that name
    them. Without a plan for them, none of it is looked at.
    """

    seller_id: SellerId | None = None
    number: int = 0
    before: tuple[CategoryId, ...] = ()
    after: tuple[CategoryId, ...] = ()
    entered: Mapping[CategoryId, str] = {}
    collecting: Collecting = Collecting()

    @property
    def refs(self) -> list[StreamRef[Any, Any]]:
        refs = [*self.collecting.refs]
        if self.after:
            refs.append(THE_TREE)
        if self.after != self.before:
            moved = [
                each for each in (*self.before, *self.after) if (each in self.before) != (each in self.after)
            ]
            refs += category_refs(dict.fromkeys((self.after[0], *self.entered)))
            refs += shelf_refs(self.number, moved)
        if self.seller_id is not None:
            refs.append(StreamRef(SELLERS, self.seller_id))
        return refs

    def require_current(self, listing: Listing, tree: CategoryTree | None) -> None:
        if self.before != listing.category_ids or self.after != _standing(self.after, tree):
            raise ConcurrentChangeError("Somebody else changed the listing's categories at the same time")


async def change_listing(
    command: ChangeListing, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Listing]:
    """A slug that it had goes on leading to it, and is nobody else's ever."""
    try:
        plan = await _planned(command, store, keys)
    except DomainError:
        # What is named may have gone since the first try of it.
        if metadata.once is not None:
            await store.raise_if_answered(metadata.once)
        raise
    ref = StreamRef(LISTINGS, command.listing_id)
    claim = None if command.slug is None else slug_claim(command.slug, keys)
    refs: list[StreamRef[Any, Any]] = [ref, *plan.refs, *([] if claim is None else [claim])]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Listing]:
        states = by_stream(refs, loaded)
        listing = editable(states[ref.id].state, command.caller)
        changes: Changes = plan.collecting.decided(listing.id, states)
        if any(events for _, events in changes) and not command.caller.is_admin:
            raise ForbiddenError("Only admins put products into collections")
        events = _changed_terms(listing, command, states)
        if command.slug is not None and claim is not None:
            taken = Claim.take(states[claim.id].state, LISTING_SLUG, listing.id)
            if taken is None:
                raise SlugExistsError
            changes.append((claim, taken))
            events += listing.change_slug(command.slug)
        if plan.after:
            described, moved = _described(listing, command, plan, states)
            events, changes = [*described, *events], [*changes, *moved]
        return Proposal(outcome=LISTINGS.after(listing, events), events=[(ref, events), *changes])

    return await store.change_together(refs, decide, metadata)


async def listing_called(reference: str, store: EventStore, keys: Keys) -> ListingId:
    """The listing that an integer id, a uuid or a slug names. An id or uuid is not looked up: that is the command's."""
    stream = await stream_called(reference, "listing", LISTING_SLUG, store, keys)
    return found(None if stream is None else ListingId(stream))


async def listings_called(references: Sequence[str], store: EventStore, keys: Keys) -> list[ListingId | None]:
    """The same of several; nothing for a slug that nobody has."""
    streams = await streams_called(references, "listing", LISTING_SLUG, store, keys)
    return [None if stream is None else ListingId(stream) for stream in streams]


def found(listing_id: ListingId | None) -> ListingId:
    if listing_id is None:
        raise ProductNotFoundError("Product not found")
    return listing_id


def known(listing: Listing | None) -> Listing:
    if listing is None:
        raise ProductNotFoundError("Product not found")
    return listing


def editable(listing: Listing | None, caller: Caller) -> Listing:
    found = known(listing)
    found.require_editable_by(caller)
    return found


async def _planned(command: ChangeListing, store: EventStore, keys: Keys) -> _Plan:
    collecting = Collecting()
    if command.collections is not None:
        collecting = await Collecting.of(command.collections, store, keys, before=command.collected_in)
    ships = isinstance(command.shipping_profile_id, UUID)
    if not command.describes and not ships:
        return _Plan(collecting=collecting)
    listing_ref: StreamRef[Any, Any] = StreamRef(LISTINGS, command.listing_id)
    of_listing, of_tree = await store.load_many([listing_ref, THE_TREE])
    listing = known(of_listing.state)
    seller_id = listing.seller_id if ships else None
    if not command.describes:
        return _Plan(collecting=collecting, seller_id=seller_id)
    standing = _standing(listing.category_ids, of_tree.state)
    named: Mapping[CategoryId, str] = {}
    after = standing
    if command.refiles:
        named = await categories_named(command.category, command.categories, store, keys)
        # Who names only the first one leaves the others as they are.
        rest = () if command.categories else standing[1:]
        after = tuple(dict.fromkeys((*named, *rest)))
    return _Plan(
        collecting=collecting,
        seller_id=seller_id,
        number=listing.number,
        before=listing.category_ids,
        after=after,
        entered={each: field for each, field in named.items() if each not in standing},
    )


def _standing(categories: Sequence[CategoryId], tree: CategoryTree | None) -> tuple[CategoryId, ...]:
    """Those that have the listings of these now."""
    if tree is None:
        return tuple(categories)
    return tuple(dict.fromkeys(tree.standing(each) for each in categories))


def _described(
    listing: Listing, command: ChangeListing, plan: _Plan, states: States
) -> tuple[list[ListingEvent], Changes]:
    """What it says of itself, which must be what its category asks for, and how it is counted elsewhere then."""
    tree: CategoryTree | None = states[THE_TREE.id].state
    plan.require_current(listing, tree)
    events = listing.change_details(
        title=command.title,
        description=command.description,
        description_short=command.description_short,
        brand=command.brand,
        tags=command.tags,
        thumbnail=command.thumbnail,
        images=command.images,
        attributes=_attributes(listing, command),
        extras=merged(listing.extras, command.extras),
    )
    moved: Changes = []
    if plan.after != plan.before:
        require_open(plan.entered, states)
        first, *further = plan.after
        events += listing.categorize(first, states[first].present.slug, further)
        moved = shelved(listing.id, listing.number, plan.before, plan.after)
    after = LISTINGS.after(listing, events)
    after.require_described(schema_of(plan.after[0], tree))
    return events, moved


def _attributes(listing: Listing, command: ChangeListing) -> dict[str, Any]:
    if command.attributes is None:
        return said_of({}, {}, command.common)
    given = {} if isinstance(command.attributes, UnsetType) else command.attributes
    return said_of(listing.attributes, given, command.common)


def _changed_terms(listing: Listing, command: ChangeListing, states: States) -> list[ListingEvent]:
    """What it costs, how many there are, and from where and by what it is sent."""
    percentage, sale_price = command.discount_percentage, command.sale_price
    if sale_price is None and percentage is None:
        percentage = Decimal(0)
    events = listing.change_terms(
        price=command.price,
        percentage=percentage,
        sale_price=None if isinstance(sale_price, UnsetType) else sale_price,
    )
    # What is shown as the stock is what can be bought. So is what is given: what open orders hold is there besides.
    if command.stock is not None:
        events += listing.adjust_stock(command.stock + listing.reserved)
    if not isinstance(command.location, UnsetType):
        events += listing.relocate(command.location)
    if not isinstance(command.shipping_profile_id, UnsetType):
        if command.shipping_profile_id not in (None, listing.shipping_profile_id):
            require_own_shipping(states[listing.seller_id].state, command.shipping_profile_id)
        events += listing.choose_shipping(command.shipping_profile_id)
    return events
