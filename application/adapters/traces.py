"""What is left of a person beside the log: their key, and the answers that were recorded for them."""

from __future__ import annotations

from uuid import UUID

from application.adapters.database import Database
from application.adapters.keys import PersonKeys


class PostgresTraces:
    def __init__(self, database: Database, keys: PersonKeys) -> None:
        self._database = database
        self._keys = keys

    async def destroy(self, person: UUID) -> None:
        await self._keys.destroy(person)
        await self._database.rows("DELETE FROM command_results WHERE scope = %s", [f"user:{person}"])
