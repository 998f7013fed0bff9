"""A collection's shape on the wire (S4 §4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from domain.collections.collection import Collection


def collection_body(collection: Collection) -> dict[str, Any]:
    return {
        "id": collection.number,
        "uuid": str(collection.id),
        "name": collection.name,
        "slug": collection.slug,
        "description": collection.description,
        "image": collection.image,
        "active": collection.active,
        "order": collection.order,
    }


def kept_body(collection: Collection) -> dict[str, Any]:
    """What admins see of it besides."""
    return {
        **collection_body(collection),
        **in_collection(collection.listings, collection.former_slugs),
    }


def in_collection(listings: Sequence[UUID], former_slugs: Sequence[str]) -> dict[str, Any]:
    return {
        "formerSlugs": former_slugs,
        "productCount": len(listings),
        "products": [str(listing) for listing in listings],
    }
