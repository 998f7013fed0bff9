from __future__ import annotations

import pytest

from domain.collections.collection import (
    COLLECTIONS,
    MOST_PRODUCTS,
    Collection,
    CollectionNotEmptyError,
    TooManyProductsError,
)
from domain.collections.events import (
    CollectionActivated,
    CollectionCreated,
    CollectionDeactivated,
    CollectionDeleted,
    CollectionEvent,
    CollectionProductsAdded,
    CollectionProductsArranged,
    CollectionProductsRemoved,
    CollectionReordered,
    CollectionUpdated,
)
from domain.kernel import CollectionId, ListingId, stream_id

ID = CollectionId(stream_id("collection", 1))
A, B, C = (ListingId(stream_id("listing", number)) for number in (1, 2, 3))
CREATED = CollectionCreated(collection_id=ID, number=1, name="Summer", slug="summer")


def after(*events: CollectionEvent) -> Collection:
    return COLLECTIONS.after(None, [CREATED, *events])


def test_products_are_added_once_and_stay_where_they_are() -> None:
    collection = after(CollectionProductsAdded(collection_id=ID, listings=(A,)))
    assert collection.add([B, A, B]) == [CollectionProductsAdded(collection_id=ID, listings=(B,))]
    assert collection.add([A]) == []


def test_products_are_taken_out_if_they_are_in() -> None:
    collection = after(CollectionProductsAdded(collection_id=ID, listings=(A, B)))
    events = collection.remove([A, C])
    assert events == [CollectionProductsRemoved(collection_id=ID, listings=(A,))]
    assert after(CollectionProductsAdded(collection_id=ID, listings=(A, B)), *events).listings == (B,)
    assert collection.remove([C]) == []


def test_products_are_arranged() -> None:
    collection = after(CollectionProductsAdded(collection_id=ID, listings=(A, B)))
    events = collection.arrange([C, A, C])
    assert events == [CollectionProductsArranged(collection_id=ID, listings=(C, A))]
    assert after(*events).listings == (C, A)
    assert after(*events).arrange([C, A]) == []


def test_there_are_not_too_many() -> None:
    many = [ListingId(stream_id("listing", number)) for number in range(MOST_PRODUCTS + 1)]
    full = after(CollectionProductsAdded(collection_id=ID, listings=tuple(many[:-1])))
    assert full.add(many[:3]) == []
    with pytest.raises(TooManyProductsError):
        full.add(many[-1:])
    with pytest.raises(TooManyProductsError):
        full.arrange(many)


def test_only_an_empty_one_goes() -> None:
    with pytest.raises(CollectionNotEmptyError) as refused:
        after(CollectionProductsAdded(collection_id=ID, listings=(A,))).delete()
    assert refused.value.details == {"products": 1}
    assert after().delete() == [CollectionDeleted(collection_id=ID)]
    assert after(CollectionDeleted(collection_id=ID)).deleted


def test_changes_once_however_often_it_is_asked() -> None:
    summer = after()
    renamed = CollectionUpdated(collection_id=ID, name="Autumn", slug="autumn")
    assert summer.describe(name="Autumn", slug="autumn", image="") == [renamed]
    assert after(renamed).describe(name="Autumn", slug="autumn") == []
    assert after(renamed).slugs == ("autumn", "summer")
    assert summer.reorder(4) == [CollectionReordered(collection_id=ID, order=4)]
    assert after(CollectionReordered(collection_id=ID, order=4)).reorder(4) == []
    assert summer.activate() == []
    assert summer.deactivate() == [CollectionDeactivated(collection_id=ID)]
    assert after(CollectionDeactivated(collection_id=ID)).activate() == [
        CollectionActivated(collection_id=ID)
    ]
    assert after(CollectionDeactivated(collection_id=ID), CollectionActivated(collection_id=ID)).active
