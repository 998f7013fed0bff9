"""How the search index is made: the same products, laid out to be found.

What is searched is cut into words in three ways. ``words`` is for whole words, reduced to their stems; ``asked`` is for
what somebody asks for, where each word also stands for its synonyms and where small words do not count;
``beginnings`` is for words that somebody is still typing.
"""

from __future__ import annotations

from math import log10
from typing import Any

from projections.product_search.synonyms import shipped_rules
from projections.product_search.words import STOP_WORDS
from projections.products.product import Product, facts_of, features_of
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
        "filter": {
            # Of ``Node.js`` also ``node``, ``js`` and ``nodejs``. Where the case changes nothing is cut: who asks
            # for a phone does not want every iPhone case.
            "parts": {
                "type": "word_delimiter_graph",
                "preserve_original": True,
                "catenate_all": True,
                "split_on_case_change": False,
                "split_on_numerics": False,
            },
            "possessive": {"type": "stemmer", "language": "possessive_english"},
            "stem": {"type": "stemmer", "language": "english"},
            "small_words": {"type": "stop", "stopwords": sorted(STOP_WORDS)},
            "synonyms": {"type": "synonym_graph", "synonyms": list(shipped_rules())},
            "first_letters": {
                "type": "edge_ngram",
                "min_gram": 1,
                "max_gram": 20,
                "preserve_original": True,
            },
        },
        "analyzer": {
            "words": {
                "tokenizer": "standard",
                "filter": ["parts", "flatten_graph", "lowercase", "asciifolding", "stem"],
            },
            "asked": {
                "tokenizer": "standard",
                "filter": ["possessive", "lowercase", "asciifolding", "small_words", "stem", "synonyms"],
            },
            "asked_whole": {
                "tokenizer": "standard",
                "filter": ["possessive", "lowercase", "asciifolding", "stem"],
            },
            "beginnings": {
                "tokenizer": "standard",
                "filter": ["parts", "flatten_graph", "lowercase", "asciifolding", "first_letters"],
            },
            "typed": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding"]},
        },
        "normalizer": {"lower": {"type": "custom", "filter": ["lowercase", "asciifolding"]}},
    },
}

_WORDS = {"type": "text", "analyzer": "words", "search_analyzer": "asked"}
_BEGINNINGS = {"type": "text", "analyzer": "beginnings", "search_analyzer": "typed", "norms": False}

_MAPPINGS = {
    "dynamic": False,
    "properties": {
        "number": {"type": "long"},
        "title": {
            **_WORDS,
            "copy_to": ["everything", "beginnings"],
            "fields": {"raw": {"type": "keyword", "normalizer": "lower"}},
        },
        "description": {**_WORDS, "copy_to": "everything"},
        "brand": {
            "type": "keyword",
            "copy_to": ["everything", "beginnings"],
            "fields": {"words": _WORDS, "beginnings": _BEGINNINGS},
        },
        "tags": {
            **_WORDS,
            "copy_to": ["everything", "beginnings"],
            "fields": {"raw": {"type": "keyword", "normalizer": "lower"}},
        },
        "category": {
            "type": "keyword",
            "copy_to": ["everything", "beginnings"],
            "fields": {"words": _WORDS, "beginnings": _BEGINNINGS},
        },
        "category_ids": {"type": "keyword"},
        "main_category_id": {"type": "keyword"},
        "attributes": {**_WORDS, "copy_to": "everything"},
        "facts": {"type": "keyword"},
        "seller_id": {"type": "keyword"},
        "price": {"type": "long"},
        "rating": {"type": "float"},
        "stock": {"type": "integer"},
        "popularity": {"type": "float"},
        "location": {"type": "geo_point"},
        "everything": {**_WORDS, "norms": False},
        "beginnings": _BEGINNINGS,
    },
}


def product_source(product: Product) -> dict[str, Any] | None:
    """``None`` keeps what nobody may see out of the index."""
    if not product.visible:
        return None
    listing = product.listing
    source = {
        "number": listing.number,
        "slug": listing.slug,
        "title": listing.title,
        "description": [text for text in (listing.description_short, listing.description) if text],
        "brand": listing.brand or None,
        "tags": listing.tags,
        "category": listing.category,
        "category_ids": [str(category_id) for category_id in listing.category_ids],
        "main_category_id": str(listing.category_id),
        "attributes": features_of(listing),
        "facts": facts_of(listing),
        "seller_id": str(listing.seller_id),
        "price": listing.price.minor,
        "rating": product.rating,
        "stock": listing.available,
        "popularity": _popularity(product),
    }
    if listing.location is not None:
        source["location"] = {"lat": listing.location.lat, "lon": listing.location.lng}
    return source


def _popularity(product: Product) -> float:
    """What it weighs among others that match as well: about as much as another word in the description.

    That it can be had at all comes first, then its stars, then how many have given some: ten times as many count for
    one star and a half. Made here, because a search would make it for thousands of products each time.
    """
    in_stock = 1.5 if product.listing.available > 0 else 0.0
    return in_stock + 0.2 * product.rating + 0.3 * log10(1 + product.review_count)


PRODUCT_SEARCH = Projection(
    name="product_search",
    version=5,
    events=PRODUCT_EVENTS,
    document=Product,
    keys=product_keys,
    fold=fold_product,
    into=SearchIndex(mappings=_MAPPINGS, settings=_SETTINGS, source=product_source),
    subjects=product_subjects,
    concerning=PRODUCT_CONCERNS,
)
