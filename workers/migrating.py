"""Makes the tables of the log and of the projections' bookkeeping; read models make their own."""

from __future__ import annotations

import asyncio
import os

from application.adapters.schema import create_schema_async
from projections.generations import create_schema as create_projection_schema
from workers.lease import lone_connection


async def migrate(database_url: str) -> None:
    """What is there already stays as it is; any number of processes may do so at once."""
    async with await lone_connection(database_url) as connection:
        await create_schema_async(connection)
        await create_projection_schema(connection)


if __name__ == "__main__":
    asyncio.run(migrate(os.environ["DATABASE_URL"]))
