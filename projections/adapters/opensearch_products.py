"""Product search on OpenSearch, and what happens while it does not answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any
from uuid import UUID

from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import TransportError

from projections.ports import Reads
from projections.products.query import (
    Order,
    ProductFilter,
    ProductPage,
    ProductSearch,
    SortBy,
    Suggestion,
    products_with_keys,
)

_FIELDS = ["title^4", "brand.words^3", "tags^2", "description"]

_SORT_FIELDS = {
    SortBy.PRICE: "price",
    SortBy.RATING: "rating",
    SortBy.TITLE: "title.raw",
    SortBy.ID: "number",
    SortBy.DISTANCE: "number",
}

_DEEPEST = 10_000
"""How far into its hits OpenSearch goes by offset (``index.max_result_window``)."""


class OpenSearchProductSearch:
    """Typos forgiven, prefixes found; what is found is then fetched from the catalogue as ready bytes."""

    read_model = "product_search"

    def __init__(self, client: AsyncOpenSearch, reads: Reads) -> None:
        self._client = client
        self._reads = reads

    async def search(self, asked: ProductFilter) -> ProductPage:
        answer: dict[str, Any] = await self._client.search(
            index=self.read_model,
            body={
                "query": {"bool": {"must": _matching(asked.words), "filter": _filters(asked)}},
                "sort": _sort(asked),
                "from": min(asked.skip, _DEEPEST),
                "size": max(0, min(asked.limit, _DEEPEST - asked.skip)),
                "_source": False,
                "track_total_hits": True,
            },
        )
        keys = [UUID(hit["_id"]) for hit in answer["hits"]["hits"]]
        bodies = await products_with_keys(self._reads, keys) if keys else []
        return ProductPage(total=answer["hits"]["total"]["value"], bodies=bodies, engine="opensearch")

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        raise NotImplementedError


class FallbackSearch:
    """The first engine while it answers; the second one meanwhile, and for ``pause`` seconds after each failure."""

    def __init__(
        self,
        first: ProductSearch,
        second: ProductSearch,
        *,
        pause: float = 2.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._first = first
        self._second = second
        self._pause = pause
        self._clock = clock
        self._down_until = 0.0

    @property
    def read_model(self) -> str:
        return (self._second if self._is_down() else self._first).read_model

    async def search(self, asked: ProductFilter) -> ProductPage:
        if not self._is_down():
            try:
                return await self._first.search(asked)
            except (OpenSearchConnectionError, TransportError):
                self._down_until = self._clock() + self._pause
        return await self._second.search(asked)

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        if not self._is_down():
            try:
                return await self._first.suggest(beginning, limit)
            except (OpenSearchConnectionError, TransportError):
                self._down_until = self._clock() + self._pause
        return await self._second.suggest(beginning, limit)

    def _is_down(self) -> bool:
        return self._clock() < self._down_until


def _matching(words: str) -> dict[str, Any]:
    if not words:
        return {"match_all": {}}
    return {
        "bool": {
            "should": [
                {
                    "multi_match": {
                        "query": words,
                        "fields": _FIELDS,
                        "operator": "and",
                        "type": "cross_fields",
                    }
                },
                {"multi_match": {"query": words, "fields": _FIELDS, "operator": "and", "fuzziness": "AUTO"}},
                {
                    "multi_match": {
                        "query": words,
                        "fields": _FIELDS,
                        "type": "bool_prefix",
                        "operator": "and",
                    }
                },
            ],
            "minimum_should_match": 1,
        }
    }


def _filters(asked: ProductFilter) -> list[dict[str, Any]]:
    filters: list[dict[str, Any]] = []
    if asked.category:
        filters.append({"terms": {"category": list(asked.category)}})
    if asked.brand:
        filters.append({"terms": {"brand": list(asked.brand)}})
    bounds = {"gte": asked.min_price, "lte": asked.max_price}
    given = {bound: price for bound, price in bounds.items() if price is not None}
    if given:
        filters.append({"range": {"price": given}})
    if asked.in_stock:
        filters.append({"range": {"stock": {"gt": 0}}})
    return filters


def _sort(asked: ProductFilter) -> list[dict[str, Any]]:
    if asked.sort_by is None and asked.words:
        return [{"_score": "desc"}, {"number": "asc"}]
    direction = "desc" if asked.order is Order.DESC else "asc"
    return [{_SORT_FIELDS[asked.sort_by or SortBy.ID]: direction}, {"number": "asc"}]
