"""How the list of collections is made."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Text
from sqlalchemy import Uuid as AnyUuid
from sqlalchemy.dialects.postgresql import ARRAY

from domain.collections.collection import Collection
from domain.collections.events import CollectionEvent
from domain.kernel import Recorded
from projections.collections.collection import collection_body
from projections.projection import Projection, Rows, by_stream, read_model
from projections.wire import encode

collections = read_model(
    "collections",
    Column("number", BigInteger, nullable=False),
    Column("sort", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("slugs", ARRAY(Text), nullable=False),
    Column("listings", ARRAY(AnyUuid), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("idx_collections_number", "number", unique=True),
    Index("idx_collections_slugs", "slugs", postgresql_using="gin"),
    Index("idx_collections_sort", "sort", "number"),
    Index("idx_collections_active", "active", "sort", "number"),
)


def _fold(collection: Collection | None, recorded: Recorded[Any], _: UUID) -> Collection | None:
    after = Collection.evolve(collection, recorded.event)
    return None if after.deleted else after


def _row(collection: Collection) -> dict[str, Any]:
    return {
        "number": collection.number,
        "sort": collection.order,
        "name": collection.name,
        "active": collection.active,
        "slugs": list(collection.slugs),
        "listings": list(collection.listings),
        "body": encode(collection_body(collection)),
    }


COLLECTION_LIST = Projection(
    name="collections",
    version=2,
    events=get_args(CollectionEvent),
    document=Collection,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=collections, row=_row),
    effects=lambda before, after: ("collections",),
)
