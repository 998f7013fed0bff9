"""A process that carries one read model, to be killed: ``python -m tests.projections.engine.carry URL NAME ENGINE``."""

from __future__ import annotations

import asyncio
import os
import sys

from projections.adapters.opensearch_client import opensearch_client
from tests.projections.engine.shelf import Stand, open_pool, open_shop


async def main(url: str, name: str, engine: str) -> None:
    search = opensearch_client(os.environ["OPENSEARCH_URL"]) if engine == "opensearch" else None
    async with open_shop(url) as shop, open_pool(url) as pool:
        stand = Stand(shop, pool, search, engine)
        stand.name = name
        await stand.engine(stand.projection(), batch=100).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
