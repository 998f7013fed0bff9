"""How the search index is made: the same products, laid out to be found."""

from __future__ import annotations

from typing import Any

from projections.products.product import Product
from projections.products.projector import (
    PRODUCT_CONCERNS,
    PRODUCT_EVENTS,
    fold_product,
    product_keys,
    product_subjects,
)
from projections.projection import Projection, SearchIndex

_SETTINGS = {
    "number_of_shards": 1,
    "number_of_replicas": 0,
    "analysis": {
        "filter": {"english_stem": {"type": "stemmer", "language": "english"}},
        "analyzer": {
            "words": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding", "english_stem"]},
        },
    },
}

_MAPPINGS = {
    "dynamic": False,
    "properties": {
        "number": {"type": "long"},
        "title": {"type": "text", "analyzer": "words", "fields": {"raw": {"type": "keyword"}}},
        "description": {"type": "text", "analyzer": "words"},
        "brand": {"type": "keyword", "fields": {"words": {"type": "text", "analyzer": "words"}}},
        "tags": {"type": "text", "analyzer": "words"},
        "category": {"type": "keyword"},
        "price": {"type": "long"},
        "rating": {"type": "float"},
        "stock": {"type": "integer"},
    },
}


def product_source(product: Product) -> dict[str, Any] | None:
    """``None`` keeps what nobody may see out of the index."""
    if not product.visible:
        return None
    listing = product.listing
    return {
        "number": listing.number,
        "title": listing.title,
        "description": listing.description,
        "brand": listing.brand,
        "tags": listing.tags,
        "category": listing.category,
        "price": listing.price.minor,
        "rating": product.rating,
        "stock": listing.available,
    }


PRODUCT_SEARCH = Projection(
    name="product_search",
    version=4,
    events=PRODUCT_EVENTS,
    document=Product,
    keys=product_keys,
    fold=fold_product,
    into=SearchIndex(mappings=_MAPPINGS, settings=_SETTINGS, source=product_source),
    subjects=product_subjects,
    concerning=PRODUCT_CONCERNS,
)
