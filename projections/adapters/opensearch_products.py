"""Product search on OpenSearch, and what happens while it does not answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog
from msgspec.structs import replace
from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import NotFoundError, RequestError, TransportError

from domain.kernel import CategoryId, InvalidInputError
from projections.categories.query import Categories, all_categories
from projections.ports import Reads
from projections.product_search.facets import (
    ATTRIBUTES,
    MOST_FACTS,
    MOST_VALUES,
    OWN,
    PRICE_STEPS,
    in_order,
    is_counted,
)
from projections.product_search.projector import PRODUCT_SEARCH
from projections.product_search.suggestions import begins, put_together
from projections.product_search.words import STOP_WORDS, folded_words
from projections.products.product import spellings
from projections.products.query import (
    Direction,
    Facet,
    FacetValue,
    Mark,
    ProductFilter,
    ProductPage,
    ProductSearch,
    SortBy,
    Suggestion,
    is_understood,
    products_with_keys,
)

T = TypeVar("T")
Json = dict[str, Any]

ENGINE: Final = "opensearch"

DEEPEST: Final = 10_000
"""How far into its hits OpenSearch goes by offset (``index.max_result_window``)."""

_KEPT_FOR: Final = "1m"
"""How long a point in time waits for the next page. There may be 300 at once (``search.max_open_pit_context``)."""

_FIELDS: Final = ["title^4", "brand.words^3", "tags^3", "category.words^2", "attributes", "description^0.5"]
_EXACT, _WHOLE, _BEGUN = 60.0, 40.0, 20.0
"""What it counts that the title is what was asked for, that all words are there, or the beginnings of all words.

More than the weight of the words can come to, so that one kind comes before the next.
"""

_SORT_FIELDS: Final = {
    SortBy.PRICE: "price",
    SortBy.RATING: "rating",
    SortBy.TITLE: "title.raw",
    SortBy.ID: "number",
}
_RESERVED: Final = re.compile(r'[.?+*|{}\[\]()"\\#@&<>~]')
"""What has a meaning in Lucene's regular expressions."""

_TYPOS: Final = {"fuzziness": "AUTO", "prefix_length": 1, "fuzzy_transpositions": True}

log = structlog.get_logger("search")


class OpenSearchProductSearch:
    """Whole words, their synonyms and the beginnings of words; where there are none of them, words with typos.

    What is found is fetched from the catalogue as ready bytes. What the catalogue does not show any more is left out:
    a page that is asked for by cursor is filled up then, one that is asked for by offset is not, because what it takes
    from the next one would be shown twice.
    """

    def __init__(self, client: AsyncOpenSearch, reads: Reads, *, index: str = PRODUCT_SEARCH.name) -> None:
        self._client = client
        self._reads = reads
        self._index = index

    @property
    def read_model(self) -> str:
        return self._index

    async def search(self, asked: ProductFilter) -> ProductPage:
        if asked.after is None:
            return await self._page(asked, _query(asked), asked.skip)
        if not is_understood(asked, asked.after, ENGINE):
            return await self._page(asked, _query(asked), asked.after.seen)
        page = await self._next_page(asked, asked.after)
        if len(page.bodies) < asked.limit and page.last is not None:
            return _joined(page, await self._next_page(_rest_of(asked, page), page.last))
        return page

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        strict, categories = await asyncio.gather(
            self._client.search(index=self._index, body=_suggesting(beginning, limit)),
            all_categories(self._reads),
        )
        found = _suggestions(strict, categories, beginning, limit)
        if found:
            return found
        forgiving = await self._client.search(index=self._index, body=_suggesting(beginning, limit, _TYPOS))
        return _suggestions(forgiving, categories, beginning, limit)

    async def _page(self, asked: ProductFilter, body: Json, skip: int) -> ProductPage:
        """By offset."""
        if skip + asked.limit > DEEPEST:
            return await self._far_page(asked, body, skip)
        # One more than asked for tells whether something follows; where that is too far, the number of all does.
        size = min(asked.limit + 1, DEEPEST - skip)
        if size <= asked.limit:
            body = body | {"track_total_hits": True}
        answer = await self._found(asked, body | {"from": skip, "size": size})
        hits = answer["hits"]
        more = len(hits["hits"]) > asked.limit or hits["total"]["value"] > skip + asked.limit
        return await self._shown(asked, answer, seen=skip, more=more)

    async def _far_page(self, asked: ProductFilter, body: Json, skip: int) -> ProductPage:
        answer = await self._found(asked, body | {"size": 0, "track_total_hits": True})
        if answer["hits"]["total"]["value"] <= skip:
            return await self._shown(asked, answer, seen=skip, more=False)
        where = "skip" if asked.after is None else "cursor"
        message = f"Of what is searched only the first {DEEPEST} can be skipped; go on with cursors"
        raise InvalidInputError({where: [message]})

    async def _next_page(self, asked: ProductFilter, mark: Mark) -> ProductPage:
        """Behind a mark, in the state that the index was in when the second page was asked for."""
        body = _query(asked) | {"search_after": list(mark.values), "size": asked.limit + 1}
        snapshot = mark.snapshot if mark.engine == ENGINE else ""
        snapshot = snapshot or await self._snapshot()
        try:
            answer = await self._found(asked, body, snapshot)
        except NotFoundError:
            # Nobody has asked for a minute, or the index was built anew.
            snapshot = await self._snapshot()
            answer = await self._found(asked, body, snapshot)
        more = len(answer["hits"]["hits"]) > asked.limit
        page = await self._shown(asked, answer, seen=mark.seen, more=more, snapshot=snapshot)
        if page.last is None:
            await self._forget(snapshot)
        return page

    async def _snapshot(self) -> str:
        """A point in time; none where there are too many already: pages are then told apart by their marks alone."""
        try:
            opened: Json = await self._client.create_pit(index=self._index, params={"keep_alive": _KEPT_FOR})
        except TransportError as refused:
            log.warning("no point in time", error=f"{refused.status_code} {refused.error}")
            return ""
        snapshot: str = opened["pit_id"]
        return snapshot

    async def _forget(self, snapshot: str) -> None:
        if snapshot:
            with suppress(TransportError):
                await self._client.delete_pit(body={"pit_id": [snapshot]})

    async def _found(self, asked: ProductFilter, body: Json, snapshot: str = "") -> Json:
        answer = await self._asked(body, snapshot)
        if asked.words and not answer["hits"]["total"]["value"]:
            answer = await self._asked(body | {"query": _scored(asked, _nearly(asked.words))}, snapshot)
        return answer

    async def _asked(self, body: Json, snapshot: str) -> Json:
        if snapshot:
            pit = {"id": snapshot, "keep_alive": _KEPT_FOR}
            answer: Json = await self._client.search(body=body | {"pit": pit})
        else:
            answer = await self._client.search(index=self._index, body=body)
        return answer

    async def _shown(
        self, asked: ProductFilter, answer: Json, *, seen: int, more: bool, snapshot: str = ""
    ) -> ProductPage:
        page = answer["hits"]["hits"][: asked.limit]
        found = [UUID(hit["_id"]) for hit in page]
        bodies = await products_with_keys(self._reads, found) if found else {}
        shown = [key for key in found if key in bodies]
        return ProductPage(
            bodies=[bodies[key] for key in shown],
            keys=shown,
            total=answer["hits"]["total"]["value"] if asked.counted else None,
            engine=ENGINE,
            last=Mark(ENGINE, tuple(page[-1]["sort"]), seen + len(page), snapshot) if more and page else None,
            facets=_facets(asked, answer.get("aggregations", {})),
            highlights={
                key: _marked(hit["highlight"])
                for key, hit in zip(found, page, strict=True)
                if key in bodies and "highlight" in hit
            },
        )


class FallbackSearch:
    """The first engine while it answers; the second one meanwhile, and for ``pause`` seconds after each failure.

    Then one caller finds out whether it is back, while the others do not wait. What the first engine cannot make sense
    of is our fault: the second one is asked that once.
    """

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
        self._down_until: float | None = None

    @property
    def read_model(self) -> str:
        return (self._second if self._is_down() else self._first).read_model

    async def search(self, asked: ProductFilter) -> ProductPage:
        return await self._asked(lambda engine: engine.search(asked))

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        return await self._asked(lambda engine: engine.suggest(beginning, limit))

    async def _asked(self, ask: Callable[[ProductSearch], Awaitable[T]]) -> T:
        if not self._is_down():
            if self._down_until is not None:
                self._down_until = self._clock() + self._pause
            try:
                answer = await ask(self._first)
            except RequestError as refused:
                log.exception("search refused", error=f"{refused.error}: {refused.info}")
            except TransportError as down:
                if self._down_until is None:
                    log.warning("search is away", error=f"{down.status_code} {down.error}")
                self._down_until = self._clock() + self._pause
            else:
                self._down_until = None
                return answer
        return await ask(self._second)

    def _is_down(self) -> bool:
        return self._down_until is not None and self._clock() < self._down_until


def _query(asked: ProductFilter) -> Json:
    """All of it but the place where the page begins.

    Where facets are counted, their filters come after the query and before each other's facets.
    """
    body: Json = {
        "query": _scored(asked, _exactly(asked.words)) if asked.words else _filtered(asked),
        "sort": _sort(asked),
        "_source": False,
        "track_total_hits": True if asked.counted else 1,
    }
    if asked.facets or asked.every_facet:
        narrowing = [(name, clause) for name, clause in _filters(asked) if is_counted(asked, name)]
        body["post_filter"] = {"bool": {"filter": [clause for _, clause in narrowing]}}
        # Numbered, because an attribute may be called what no aggregation can be called.
        body["aggs"] = {
            str(place): {
                "filter": {"bool": {"filter": [clause for each, clause in narrowing if each != name]}},
                "aggs": {"values": values},
            }
            for place, (name, values) in enumerate(_counting(asked))
        }
    if asked.highlighted and asked.words:
        body["highlight"] = _highlighting(asked.words)
    return body


def _scored(asked: ProductFilter, matching: Json) -> Json:
    return _popular({"bool": {"must": matching, "filter": _always(asked)}})


def _popular(query: Json) -> Json:
    """The better liked come first among what matches alike, and what cannot be had comes last."""
    popularity = {"field_value_factor": {"field": "popularity", "missing": 0}}
    return {"function_score": {"query": query, "functions": [popularity], "boost_mode": "sum"}}


def _filtered(asked: ProductFilter) -> Json:
    return {"bool": {"filter": _always(asked)}}


def _exactly(words: str) -> Json:
    """All words or their synonyms, in whichever fields; or the beginnings of all, in those that are short."""
    analyzer = _analyzer(words)
    everywhere = {
        "query": words,
        "fields": _FIELDS,
        "type": "cross_fields",
        "tie_breaker": 0.4,
        "operator": "and",
        "analyzer": analyzer,
    }
    whole = {
        "bool": {
            "must": {"multi_match": everywhere},
            "should": [
                {"constant_score": {"filter": {"match_all": {}}, "boost": _WHOLE}},
                {"match_phrase": {"title": {"query": words, "analyzer": analyzer, "boost": 2}}},
                {"constant_score": {"filter": {"term": {"title.raw": words}}, "boost": _EXACT}},
            ],
        }
    }
    begun = {"match": {"beginnings": {"query": words, "operator": "and"}}}
    return {"dis_max": {"queries": [whole, {"constant_score": {"filter": begun, "boost": _BEGUN}}]}}


def _nearly(words: str) -> Json:
    """Where nothing is found otherwise: with typos, and of many words a few may be missing."""
    enough = {"minimum_should_match": "3<75%"}
    near = {"query": words, "analyzer": _analyzer(words), **_TYPOS, **enough}
    begun = {"query": words, **_TYPOS, **enough}
    return {
        "bool": {
            "should": [
                {"match": {"everything": near}},
                {"match": {"title": {**near, "boost": 3}}},
                {"match": {"beginnings": {**begun, "boost": 0.1}}},
            ],
            "minimum_should_match": 1,
        }
    }


def _analyzer(words: str) -> str:
    """Small words count only where there are no others."""
    return "asked_whole" if all(word in STOP_WORDS for word in words.lower().split()) else "asked"


def _filters(asked: ProductFilter) -> Iterator[tuple[str, Json]]:
    """Each with the name of its facet, if it has one."""
    bounds = {"gte": asked.min_price, "lte": asked.max_price}
    bounds = {bound: price for bound, price in bounds.items() if price is not None}
    if asked.categories is not None:
        yield "category", {"terms": {"category_ids": [str(each) for each in asked.categories]}}
    if asked.brand:
        yield "brand", {"terms": {"brand": list(asked.brand)}}
    if bounds:
        yield "price", {"range": {"price": bounds}}
    for key, values in asked.attributes.items():
        facts = {f"{key}={each}" for value in values for each in spellings(value)}
        yield key, {"terms": {"facts": sorted(facts)}}
    for clause in _further_filters(asked):
        yield "", clause


def _further_filters(asked: ProductFilter) -> Iterator[Json]:
    if asked.listings is not None:
        yield {"terms": {"_id": [str(each) for each in asked.listings]}}
    if asked.seller is not None:
        yield {"term": {"seller_id": str(asked.seller)}}
    if asked.tags:
        yield {"terms": {"tags.raw": list(asked.tags)}}
    if asked.min_rating is not None:
        yield {"range": {"rating": {"gte": asked.min_rating}}}
    if asked.in_stock:
        yield {"range": {"stock": {"gt": 0}}}
    if asked.near is not None and asked.near.kilometres is not None:
        place = {"lat": asked.near.lat, "lon": asked.near.lng}
        yield {"geo_distance": {"distance": f"{asked.near.kilometres}km", "location": place}}


def _always(asked: ProductFilter) -> list[Json]:
    """The filters that narrow all facets, too."""
    return [clause for name, clause in _filters(asked) if not is_counted(asked, name)]


def _counting(asked: ProductFilter) -> Iterator[tuple[str, Json]]:
    """How each facet is counted. An attribute that is filtered by has a count of its own, the others share one."""
    if is_counted(asked, "category"):
        yield "category", {"terms": {"field": "category_ids", "size": MOST_VALUES}}
    if is_counted(asked, "brand"):
        yield "brand", {"terms": {"field": "brand", "size": MOST_VALUES}}
    if is_counted(asked, "price"):
        bounds = [step * 100 for step in PRICE_STEPS]
        ranges: list[Json] = [
            {"key": str(step), "from": start} for step, start in zip(PRICE_STEPS, bounds, strict=True)
        ]
        for each, end in zip(ranges, bounds[1:], strict=False):
            each["to"] = end
        yield "price", {"range": {"field": "price", "ranges": ranges}}
    if asked.every_facet:
        yield ATTRIBUTES, {"terms": {"field": "facts", "size": MOST_FACTS}}
    attributes = {*asked.attributes, *asked.facets} if asked.every_facet else {*asked.facets}
    for key in sorted(attributes - set(OWN)):
        only = _RESERVED.sub(r"\\\g<0>", key) + "=.*"
        yield key, {"terms": {"field": "facts", "include": only, "size": MOST_VALUES}}


def _facets(asked: ProductFilter, counted: Mapping[str, Json]) -> list[Facet]:
    names = [name for name, _ in _counting(asked)] if counted else []
    found: dict[str, list[FacetValue]] = {}
    for place, name in enumerate(names):
        for bucket in counted[str(place)]["values"]["buckets"]:
            if name == ATTRIBUTES:
                key, value = bucket["key"].split("=", 1)
                if key in names:
                    continue  # it has a count of its own
            else:
                key, value = name, bucket["key"] if name in OWN else bucket["key"][len(name) + 1 :]
            if bucket["doc_count"]:
                found.setdefault(key, []).append(FacetValue(value=value, count=bucket["doc_count"]))
    return in_order(found)


def _highlighting(words: str) -> Json:
    """The words wherever they stand, the last one also where it only begins so."""
    fields = ["title", "description", "brand.words", "tags"]
    analyzer = _analyzer(words)
    return {
        "encoder": "html",
        "pre_tags": ["<mark>"],
        "post_tags": ["</mark>"],
        "highlight_query": {
            "bool": {
                "should": [
                    {"multi_match": {"query": words, "fields": fields, "analyzer": analyzer, **_TYPOS}},
                    {
                        "multi_match": {
                            "query": words,
                            "fields": fields,
                            "type": "bool_prefix",
                            "analyzer": "asked_whole",
                        }
                    },
                ]
            }
        },
        "fields": {
            "title": {"number_of_fragments": 0},
            "description": {"number_of_fragments": 2, "fragment_size": 160},
            "brand.words": {"number_of_fragments": 0},
            "tags": {"number_of_fragments": 0},
        },
    }


def _marked(highlight: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {field.partition(".")[0]: pieces for field, pieces in highlight.items()}


def _sort(asked: ProductFilter) -> list[Any]:
    direction = "desc" if asked.order is Direction.DESC else "asc"
    tie: Json = {"number": "asc"}
    match asked.sort_by:
        case None if asked.words:
            return [{"_score": "desc"}, tie]
        case None | SortBy.ID:
            return [{"number": direction}]
        case SortBy.DISTANCE if asked.near is not None:
            place = {"lat": asked.near.lat, "lon": asked.near.lng}
            return [{"_geo_distance": {"location": place, "order": direction, "unit": "km"}}, tie]
        case SortBy.DISTANCE:
            return [tie]
        case _:
            return [{_SORT_FIELDS[asked.sort_by]: direction}, tie]


def _suggesting(beginning: str, limit: int, forgiving: Mapping[str, Any] | None = None) -> Json:
    match = {"query": beginning, "operator": "and", **(forgiving or {})}

    def counting(field: str, beginnings: str) -> Json:
        terms = {"terms": {"field": field, "size": limit}}
        return {"filter": {"match": {beginnings: match}}, "aggs": {"values": terms}}

    query = {"bool": {"must": {"match": {"beginnings": match}}, "should": _title_begins(beginning)}}
    return {
        "query": _popular(query),
        "collapse": {"field": "title.raw"},
        "size": limit,
        "_source": ["title", "slug"],
        "track_total_hits": False,
        "aggs": {
            "brands": counting("brand", "brand.beginnings"),
            "categories": counting("main_category_id", "category.beginnings"),
        },
    }


def _title_begins(beginning: str) -> Json:
    return {"constant_score": {"filter": {"prefix": {"title.raw": beginning}}, "boost": 10}}


def _suggestions(answer: Json, categories: Categories, beginning: str, limit: int) -> list[Suggestion]:
    counted = {name: counts["values"]["buckets"] for name, counts in answer["aggregations"].items()}
    hits = [hit["_source"] for hit in answer["hits"]["hits"]]
    holding = {CategoryId(UUID(bucket["key"])) for bucket in counted["categories"]}
    begun = [[word] for word in folded_words(beginning)]
    named = [
        category
        for category in categories
        if category.id in holding or begins(folded_words(category.name), begun)
    ]
    brands = [bucket["key"] for bucket in counted["brands"]]
    products = [Suggestion(text=hit["title"], kind="product", slug=hit["slug"]) for hit in hits]
    return put_together(named, brands, products, limit)


def _rest_of(asked: ProductFilter, page: ProductPage) -> ProductFilter:
    """What is wanting on the page, without counting anything again."""
    missing = asked.limit - len(page.bodies)
    return replace(asked, limit=missing, counted=False, facets=(), every_facet=False)


def _joined(page: ProductPage, rest: ProductPage) -> ProductPage:
    return replace(
        page,
        bodies=[*page.bodies, *rest.bodies],
        keys=[*page.keys, *rest.keys],
        last=rest.last,
        highlights={**page.highlights, **rest.highlights},
    )
