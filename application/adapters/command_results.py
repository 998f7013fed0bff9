"""The answers that are kept for repeated requests, and for how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, LiteralString

from application.adapters.database import Database

_BITE: Final = 5_000
"""Rows that go at once: a longer transaction would hold up what vacuum does for everybody else."""

_SWEEP: Final[LiteralString] = """
DELETE FROM command_results WHERE (scope, key) IN (
    SELECT scope, key FROM command_results WHERE recorded_at < now() - %s::interval LIMIT %s
) RETURNING 1
"""


async def sweep_command_results(database: Database, kept: timedelta) -> int:
    """Remove those that are older; how many there were. Who repeats such a request makes a new one."""
    swept = 0
    while True:
        bite = len(await database.rows(_SWEEP, [kept, _BITE]))
        swept += bite
        if bite < _BITE:
            return swept
