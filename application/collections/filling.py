"""Putting products into a collection, taking them out, and arranging them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from application.collections.keeping import known
from application.listings.changing import listing_called
from application.ports import Changed, EventStore, Keys, Metadata, StreamRef
from domain.collections.collection import COLLECTIONS, Collection
from domain.collections.events import CollectionEvent
from domain.kernel import CollectionId, InvalidInputError, ListingId
from domain.listings.listing import LISTINGS, ProductNotFoundError


class AddToCollection(msgspec.Struct, frozen=True, kw_only=True):
    """Each of ``products`` is any reference to one."""

    collection_id: CollectionId
    products: tuple[str, ...]


class RemoveFromCollection(msgspec.Struct, frozen=True, kw_only=True):
    collection_id: CollectionId
    products: tuple[str, ...]


class ArrangeCollection(msgspec.Struct, frozen=True, kw_only=True):
    """Exactly these products are in it, in this order."""

    collection_id: CollectionId
    products: tuple[str, ...]


async def add_to_collection(
    command: AddToCollection, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Collection]:
    listings = await _named(command.products, store, keys)
    return await _change(command.collection_id, lambda collection: collection.add(listings), metadata, store)


async def arrange_collection(
    command: ArrangeCollection, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Collection]:
    listings = await _named(command.products, store, keys)
    return await _change(
        command.collection_id, lambda collection: collection.arrange(listings), metadata, store
    )


async def remove_from_collection(
    command: RemoveFromCollection, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Collection]:
    """What is not in it is not missed."""
    listings = [await listing_called(product, store, keys) for product in command.products]
    return await _change(
        command.collection_id, lambda collection: collection.remove(listings), metadata, store
    )


async def _named(products: Sequence[str], store: EventStore, keys: Keys) -> list[ListingId]:
    faults: dict[str, list[str]] = {}
    found: list[ListingId] = []
    for index, product in enumerate(products):
        try:
            found.append(await listing_called(product, store, keys))
        except ProductNotFoundError:
            faults[f"products[{index}]"] = ["Does not exist"]
    if faults:
        raise InvalidInputError(faults)
    there = await store.load_many([StreamRef(LISTINGS, listing) for listing in dict.fromkeys(found)])
    known_ids = {each.state.id for each in there if each.state is not None}
    for index, listing in enumerate(found):
        if listing not in known_ids:
            faults[f"products[{index}]"] = ["Does not exist"]
    if faults:
        raise InvalidInputError(faults)
    return found


async def _change(
    collection_id: CollectionId,
    decide: Callable[[Collection], list[CollectionEvent]],
    metadata: Metadata,
    store: EventStore,
) -> Changed[Collection]:
    return await store.change(
        COLLECTIONS, collection_id, lambda collection: decide(known(collection)), metadata
    )
