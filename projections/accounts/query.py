"""Questions to the list of accounts."""

from __future__ import annotations

from uuid import UUID

from projections.ports import Reads


async def account_by_id(reads: Reads, account_id: UUID) -> bytes | None:
    """The account as clients read it."""
    row = await reads.one("SELECT body FROM accounts WHERE key = %s", account_id)
    return None if row is None else bytes(row[0])
