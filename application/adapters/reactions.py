"""How far each reaction has come in the log."""

from __future__ import annotations

from application.adapters.database import Database


class PostgresReactions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, name: str) -> int:
        rows = await self._database.rows("SELECT position FROM reactions WHERE name = %s", [name])
        return int(rows[0][0]) if rows else 0

    async def move(self, name: str, position: int) -> None:
        await self._database.rows(
            "INSERT INTO reactions (name, position) VALUES (%s, %s) "
            "ON CONFLICT (name) DO UPDATE SET position = greatest(reactions.position, excluded.position)",
            [name, position],
        )
