"""A shop with an empty log, and a read model of it on each engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from projections.adapters.opensearch_client import opensearch_client
from tests.projections.engine.shelf import ENGINES, Stand, open_pool, open_shop


@pytest.fixture(params=ENGINES)
def search_url(request: pytest.FixtureRequest) -> str | None:
    """None where the read model is in Postgres."""
    return request.getfixturevalue("opensearch_url") if request.param == "opensearch" else None


@pytest.fixture
async def stand(search_url: str | None, database_url: str) -> AsyncIterator[Stand]:
    search = opensearch_client(search_url) if search_url else None
    async with open_shop(database_url) as shop, open_pool(database_url) as pool:
        stand = Stand(shop, pool, search, "opensearch" if search else "postgres", search_url or "")
        yield stand
        if search is not None:
            await search.indices.delete(index=f"{stand.name}*")
            await search.close()
