"""Finding whose a unique value is (an e-mail address, a username, a slug), and what a reference in a path names."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from application.ports import EventStore, Keys, StreamRef
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
    (stream,) = await streams_called([reference], kind, claimed_as, store, keys)
    return stream


async def streams_called(
    references: Sequence[str], kind: str, claimed_as: str, store: EventStore, keys: Keys
) -> list[UUID | None]:
    """The same of several: the names among them are looked up together."""
    kinds = [reference_kind(reference) for reference in references]
    names = list(dict.fromkeys(each for each in kinds if isinstance(each, str)))
    owners: dict[str, UUID | None] = {}
    if names:
        claims = await store.load_many([StreamRef(CLAIMS, keys.claim_id(claimed_as, name)) for name in names])
        owners = {
            name: None if claim.state is None else claim.state.owner
            for name, claim in zip(names, claims, strict=True)
        }
    return [
        stream_id(kind, each) if isinstance(each, int) else owners[each] if isinstance(each, str) else each
        for each in kinds
    ]
