"""Finding whose a unique value is: an e-mail address, a username, a slug."""

from __future__ import annotations

from uuid import UUID

from application.ports import EventStore, Keys
from domain.claims.claim import CLAIMS


async def owner_of(kind: str, value: str, store: EventStore, keys: Keys) -> UUID | None:
    """Who holds it now, as the log says; nobody where it was never claimed or is free again."""
    claim = (await store.load(CLAIMS, keys.claim_id(kind, value))).state
    return None if claim is None else claim.owner
