"""What tests of read models ask."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from projections.adapters.read_pool import ReadPool


@pytest.fixture
async def reads(database_url: str) -> AsyncIterator[ReadPool]:
    async with ReadPool(database_url) as pool:
        yield pool
