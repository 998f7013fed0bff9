"""How often somebody asked for something, counted in one table by all API processes.

The table is UNLOGGED: it costs no flush, and a server that crashed forgets who had asked too often, which is little.
Keys are stored as keyed hashes, so that neither addresses nor e-mail addresses are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import time
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from limits.aio.storage import Storage

from application.adapters.arrays import int8s, uuids
from application.adapters.database import Database, Row
from application.errors import LogUnavailableError, UnavailableError
from application.ports import Counted, Hits

# A counter begins with its first hit and ends `seconds` later; what comes after that begins a new one. Rows are
# locked in the order of their keys, so that two statements cannot wait for each other.
_COUNT: Final[LiteralString] = """
INSERT INTO rate_limits AS known (key, hits, ends_at)
SELECT asked.key, asked.hits, now() + asked.seconds * interval '1 second'
FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[]) AS asked (key, hits, seconds)
ORDER BY asked.key
ON CONFLICT (key) DO UPDATE SET
    hits = CASE WHEN known.ends_at <= now() THEN excluded.hits ELSE known.hits + excluded.hits END,
    ends_at = CASE WHEN known.ends_at <= now() THEN excluded.ends_at ELSE known.ends_at END
RETURNING key, hits, extract(epoch FROM ends_at - now())::float8
"""

_COUNT_IN_TURN: Final[LiteralString] = """
WITH first AS (
    INSERT INTO rate_limits AS known (key, hits, ends_at)
    VALUES (%s, %s, now() + %s * interval '1 second')
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN known.ends_at <= now() THEN excluded.hits ELSE known.hits + excluded.hits END,
        ends_at = CASE WHEN known.ends_at <= now() THEN excluded.ends_at ELSE known.ends_at END
    RETURNING key, hits, extract(epoch FROM ends_at - now())::float8 AS seconds_left
), second AS (
    INSERT INTO rate_limits AS known (key, hits, ends_at)
    SELECT %s::uuid, %s::bigint, now() + %s * interval '1 second' FROM first WHERE first.hits <= %s
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN known.ends_at <= now() THEN excluded.hits ELSE known.hits + excluded.hits END,
        ends_at = CASE WHEN known.ends_at <= now() THEN excluded.ends_at ELSE known.ends_at END
    RETURNING key, hits, extract(epoch FROM ends_at - now())::float8 AS seconds_left
)
SELECT key, hits, seconds_left FROM first UNION ALL SELECT key, hits, seconds_left FROM second
"""

_KNOWN: Final[LiteralString] = """
SELECT key, hits, extract(epoch FROM ends_at - now())::float8
FROM rate_limits WHERE key = %s AND ends_at > now()
"""

# In small bites: many rows at once would keep those waiting who are counted meanwhile.
_SWEEP: Final[LiteralString] = """
DELETE FROM rate_limits WHERE key IN (
    SELECT key FROM rate_limits WHERE ends_at <= now() LIMIT %s FOR UPDATE SKIP LOCKED
) RETURNING 1
"""
_BITE: Final = 5_000


class PostgresRateLimits(Storage):
    """A storage as ``limits`` knows it, and besides what its strategies cannot ask for: several counters at once.

    ``digest`` is a keyed hash.
    """

    STORAGE_SCHEME = None

    def __init__(self, database: Database, digest: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._database = database
        self._digest = digest

    @property
    def base_exceptions(self) -> type[Exception]:
        return UnavailableError

    async def count(self, asked: Sequence[Hits]) -> list[Counted]:
        keys = [self._key(each.key) for each in asked]
        amounts, seconds = [each.amount for each in asked], [each.seconds for each in asked]
        rows = await self._rows(_COUNT, [uuids(keys), int8s(amounts), int8s(seconds)])
        found = {row[0]: row[1:] for row in rows}
        return [_counted(found[key], each) for key, each in zip(keys, asked, strict=True)]

    async def count_in_turn(self, first: Hits, most: int, then: Hits | None) -> list[Counted]:
        if then is None:
            return await self.count([first])
        rows = await self._rows(
            _COUNT_IN_TURN,
            [
                self._key(first.key),
                first.amount,
                first.seconds,
                self._key(then.key),
                then.amount,
                then.seconds,
                most,
            ],
        )
        return [_counted(row[1:], each) for row, each in zip(rows, (first, then), strict=False)]

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        (counted,) = await self.count([Hits(key=key, seconds=expiry, amount=amount)])
        return counted.hits

    async def get(self, key: str) -> int:
        rows = await self._rows(_KNOWN, [self._key(key)])
        return int(rows[0][1]) if rows else 0

    async def get_expiry(self, key: str) -> float:
        rows = await self._rows(_KNOWN, [self._key(key)])
        return time() + (float(rows[0][2]) if rows else 0.0)

    async def check(self) -> bool:
        try:
            await self._rows("SELECT FROM rate_limits LIMIT 1", [])
        except UnavailableError:
            return False
        return True

    async def reset(self) -> int | None:
        return len(await self._rows("DELETE FROM rate_limits RETURNING 1", []))

    async def clear(self, key: str) -> None:
        await self._rows("DELETE FROM rate_limits WHERE key = %s", [self._key(key)])

    async def _rows(self, statement: LiteralString, parameters: Sequence[Any]) -> list[Row]:
        try:
            return await self._database.rows(statement, parameters)
        except psycopg.Error as error:  # the table is not there yet, for instance
            raise LogUnavailableError("The counters do not answer") from error

    def _key(self, key: str) -> UUID:
        return UUID(bytes=self._digest(b"rate limit\0" + key.encode())[:16])


async def sweep_rate_limits(database: Database) -> int:
    """Remove the counters that have ended; how many there were."""
    swept = 0
    while True:
        bite = len(await database.rows(_SWEEP, [_BITE]))
        swept += bite
        if bite < _BITE:
            return swept


def _counted(found: Sequence[Any], asked: Hits) -> Counted:
    """Who was counted second may have asked first, and sees the end a moment further off than it can be."""
    hits, seconds_left = found
    return Counted(hits=hits, seconds_left=min(seconds_left, asked.seconds))
