"""Makes the tables of the log and of the projections' bookkeeping, and the bucket; read models make their own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Final

import structlog
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from application.adapters.object_storage import S3Objects
from application.adapters.schema import create_schema_async
from application.errors import StorageUnavailableError
from application.settings import Settings
from projections.generations import create_schema as create_projection_schema
from workers.lease import lone_connection

PATIENCE: Final = 30.0

log = structlog.get_logger()


async def migrate(database_url: str) -> None:
    """What is there already stays as it is; any number of processes may do so at once."""
    async with await lone_connection(database_url) as connection:
        await create_schema_async(connection)
        await create_projection_schema(connection)


async def prepare_storage(settings: Settings) -> None:
    """Make the bucket, unless it is there. Without it only files cannot be kept, so that it is no reason to fail."""
    objects = S3Objects(settings)

    @retry(
        retry=retry_if_exception_type(StorageUnavailableError),
        stop=stop_after_delay(PATIENCE),
        wait=wait_fixed(1.0),
        reraise=True,
    )
    async def prepare() -> None:
        await objects.prepare()

    try:
        await prepare()
    except StorageUnavailableError as outage:
        log.warning("no bucket was made", error=str(outage))
    finally:
        objects.close()


async def prepare(environment: Mapping[str, str]) -> None:
    """All that has to be there before the first process starts. For the tables DATABASE_URL is enough."""
    await migrate(environment["DATABASE_URL"])
    if environment.get("S3_ENDPOINT") or environment.get("S3_BUCKET"):
        await prepare_storage(Settings.read(environment))


if __name__ == "__main__":
    asyncio.run(prepare(os.environ))
