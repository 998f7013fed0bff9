"""Who searches while the first engine is away, slow, or cannot make sense of what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from opensearchpy.exceptions import ConnectionError as OpenSearchConnectionError
from opensearchpy.exceptions import NotFoundError, RequestError, TransportError

from domain.kernel import InvalidInputError
from projections.adapters.opensearch_products import FallbackSearch
from projections.products.query import ProductFilter, ProductPage, Suggestion

ASKED = ProductFilter(words="phone")
DOWN = OpenSearchConnectionError("N/A", "connection refused", None)


class Engine:
    """Answers with its name, or fails as it is told to."""

    def __init__(self, name: str, read_model: str) -> None:
        self.name = name
        self.read_model = read_model
        self.error: Exception | None = None
        self.asked = 0
        self.slowly = asyncio.Event()
        self.slowly.set()

    async def search(self, asked: ProductFilter) -> ProductPage:
        await self._answer()
        return ProductPage(bodies=(), engine=self.name)

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        await self._answer()
        return [Suggestion(text=self.name, kind="product")]

    async def _answer(self) -> None:
        self.asked += 1
        await self.slowly.wait()
        if self.error is not None:
            raise self.error


class Both:
    def __init__(self) -> None:
        self.first = Engine("opensearch", "product_search")
        self.second = Engine("postgres", "products")
        self.now = 100.0
        self.search = FallbackSearch(self.first, self.second, clock=lambda: self.now)

    async def engine(self) -> str:
        return (await self.search.search(ASKED)).engine


@pytest.fixture
def both() -> Both:
    return Both()


async def test_the_first_one_searches_while_it_answers(both: Both) -> None:
    assert await both.engine() == "opensearch"
    assert (await both.search.suggest("ph", 5))[0].text == "opensearch"
    assert both.search.read_model == "product_search"
    assert both.second.asked == 0


@pytest.mark.parametrize(
    "error",
    [DOWN, TransportError(503, "no shards"), TransportError(429, "too much"), NotFoundError(404, "no index")],
)
async def test_while_it_is_away_the_second_one_does_and_nobody_asks_the_first(
    both: Both, error: Exception
) -> None:
    both.first.error = error
    assert await both.engine() == "postgres"
    assert both.search.read_model == "products"
    assert (await both.search.suggest("ph", 5))[0].text == "postgres"
    both.now += 1.9
    assert await both.engine() == "postgres"
    assert both.first.asked == 1
    both.first.error = None
    both.now += 0.2
    assert await both.engine() == "opensearch"
    assert both.search.read_model == "product_search"


async def test_one_finds_out_whether_it_is_back_while_the_others_do_not_wait(both: Both) -> None:
    both.first.error = DOWN
    await both.engine()
    both.now += 2.1
    both.first.slowly.clear()
    probing = asyncio.ensure_future(both.engine())
    await asyncio.sleep(0)
    assert [await both.engine() for _ in range(3)] == ["postgres"] * 3
    assert both.first.asked == 2
    both.first.slowly.set()
    assert await probing == "postgres"
    both.first.error = None
    both.now += 2.1
    assert [await both.engine() for _ in range(2)] == ["opensearch"] * 2


async def test_what_it_cannot_make_sense_of_is_asked_of_the_second_one_alone(both: Both) -> None:
    both.first.error = RequestError(400, "parsing_exception", {"error": "what?"})
    assert await both.engine() == "postgres"
    both.first.error = None
    assert await both.engine() == "opensearch"


async def test_what_a_client_cannot_have_is_refused_by_both(both: Both) -> None:
    both.first.error = InvalidInputError({"skip": ["too far"]})
    with pytest.raises(InvalidInputError):
        await both.engine()
    assert both.second.asked == 0
