"""Finding whose a unique value is (an e-mail address, a username, a slug), and what a reference in a path names."""

from __future__ import annotations

from uuid import UUID

from application.ports import EventStore, Keys
from application.slugs import reference_kind
from domain.claims.claim import CLAIMS
from domain.kernel import stream_id


async def owner_of(kind: str, value: str, store: EventStore, keys: Keys) -> UUID | None:
    """Who holds it now, as the log says; nobody where it was never claimed or is free again."""
    claim = (await store.load(CLAIMS, keys.claim_id(kind, value))).state
    return None if claim is None else claim.owner


async def stream_called(
    reference: str, kind: str, claimed_as: str, store: EventStore, keys: Keys
) -> UUID | None:
    """The stream of an integer id, a uuid, or a name that is claimed; none where nobody has that name (C10).

    An id or uuid is not looked up: whether there is anything of that kind is the command's to say.
    """
    match reference_kind(reference):
        case int() as number:
            return stream_id(kind, number)
        case str() as name:
            return await owner_of(claimed_as, name, store, keys)
        case stream:
            return stream
