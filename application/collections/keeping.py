"""Making collections, changing them, and finding them by any of their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.claims import stream_called
from application.errors import ConcurrentChangeError
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Numbers, Proposal, StreamRef
from application.slugs import slug_of
from domain.categories.category import SlugExistsError
from domain.claims.claim import CLAIMS, Claim
from domain.claims.events import ClaimEvent
from domain.collections.collection import COLLECTIONS, Collection, CollectionNotFoundError
from domain.collections.events import CollectionCreated, CollectionEvent
from domain.kernel import CollectionId, stream_id

COLLECTION_SLUG = "collection-slug"


class CreateCollection(msgspec.Struct, frozen=True, kw_only=True):
    """The slug is made from the name where there is none."""

    name: str
    slug: str = ""
    description: str = ""
    image: str = ""
    order: int = 0
    active: bool = True


class ChangeCollection(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are given change; the others stay."""

    collection_id: CollectionId
    name: str | None = None
    slug: str | None = None
    description: str | None = None
    image: str | None = None
    order: int | None = None
    active: bool | None = None


class DeleteCollection(msgspec.Struct, frozen=True, kw_only=True):
    """``collection`` is any reference."""

    collection: str


async def create_collection(
    command: CreateCollection, metadata: Metadata, *, store: EventStore, keys: Keys, numbers: Numbers
) -> Changed[Collection]:
    slug = command.slug or slug_of(command.name)
    number = await numbers.next("collections")
    created = CollectionCreated(
        collection_id=CollectionId(stream_id("collection", number)),
        number=number,
        name=command.name,
        slug=slug,
        description=command.description,
        image=command.image,
        order=command.order,
        active=command.active,
    )
    ref: StreamRef[Any, Any] = StreamRef(COLLECTIONS, created.collection_id)
    slug_ref = _slug_claim(slug, keys)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Collection]:
        claimed = _taken(loaded[1].state, created.collection_id)
        return Proposal(
            outcome=Collection.evolve(None, created), events=[(slug_ref, claimed), (ref, [created])]
        )

    return await store.change_together([ref, slug_ref], decide, metadata)


async def change_collection(
    command: ChangeCollection, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Collection]:
    """The old slug goes on naming the collection."""
    ref: StreamRef[Any, Any] = StreamRef(COLLECTIONS, command.collection_id)
    claims = [] if command.slug is None else [_slug_claim(command.slug, keys)]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Collection]:
        collection = known(loaded[0].state)
        claimed = [
            (claim, _taken(held.state, collection.id)) for claim, held in zip(claims, loaded[1:], strict=True)
        ]
        events = _changes(collection, command)
        return Proposal(outcome=COLLECTIONS.after(collection, events), events=[(ref, events), *claimed])

    return await store.change_together([ref, *claims], decide, metadata)


async def delete_collection(
    command: DeleteCollection, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Collection]:
    """Its slugs are free again."""
    try:
        collection_id = await collection_called(command.collection, store, keys)
        slugs = known((await store.load(COLLECTIONS, collection_id)).state).slugs
    except CollectionNotFoundError:
        # What the first try did may be just why this one finds nothing.
        if metadata.once is not None:
            await store.raise_if_answered(metadata.once)
        raise
    ref: StreamRef[Any, Any] = StreamRef(COLLECTIONS, collection_id)
    claims = [_slug_claim(slug, keys) for slug in slugs]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Collection]:
        collection = known(loaded[0].state)
        if collection.slugs != slugs:
            raise ConcurrentChangeError("Somebody else changed the collection at the same time")
        events = collection.delete()
        released = [
            (claim, Claim.release(held.state, COLLECTION_SLUG, collection.id))
            for claim, held in zip(claims, loaded[1:], strict=True)
        ]
        return Proposal(outcome=COLLECTIONS.after(collection, events), events=[(ref, events), *released])

    return await store.change_together([ref, *claims], decide, metadata)


async def collection_called(reference: str, store: EventStore, keys: Keys) -> CollectionId:
    """The collection of an integer id, a uuid or a slug. Whether there is one by such an id is the command's to say."""
    stream = await stream_called(reference, "collection", COLLECTION_SLUG, store, keys)
    if stream is None:
        raise CollectionNotFoundError("Collection not found")
    return CollectionId(stream)


def known(collection: Collection | None) -> Collection:
    if collection is None or collection.deleted:
        raise CollectionNotFoundError("Collection not found")
    return collection


def _changes(collection: Collection, command: ChangeCollection) -> list[CollectionEvent]:
    events = collection.describe(
        name=command.name, slug=command.slug, description=command.description, image=command.image
    )
    if command.order is not None:
        events += collection.reorder(command.order)
    if command.active is not None:
        events += collection.activate() if command.active else collection.deactivate()
    return events


def _slug_claim(slug: str, keys: Keys) -> StreamRef[Any, Any]:
    return StreamRef(CLAIMS, keys.claim_id(COLLECTION_SLUG, slug))


def _taken(claim: Claim | None, collection_id: CollectionId) -> list[ClaimEvent]:
    claimed = Claim.take(claim, COLLECTION_SLUG, collection_id)
    if claimed is None:
        raise SlugExistsError
    return claimed
