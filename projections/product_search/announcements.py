"""What the outside world calls the things that happen to listings (C52), and how many of them there were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, get_args

from domain.kernel import tag_of
from domain.listings.events import (
    ListingCreated,
    ListingDeleted,
    ListingEvent,
    ListingExpired,
    ListingHidden,
    ListingPublished,
    ListingRemoved,
    ListingRestored,
    ListingSold,
    ListingUnhidden,
    ListingUnpublished,
)
from projections.ports import Reads


class Announcement(StrEnum):
    CREATED = "listing.created"
    UPDATED = "listing.updated"
    DELETED = "listing.deleted"


_CREATED: Final = (ListingPublished, ListingRestored, ListingUnhidden)
_DELETED: Final = (
    ListingUnpublished,
    ListingHidden,
    ListingRemoved,
    ListingSold,
    ListingExpired,
    ListingDeleted,
)
# A draft is nobody's business.
_OTHERS: Final = set(get_args(ListingEvent)) - {ListingCreated, *_CREATED, *_DELETED}

TAGS: Final[Mapping[Announcement, Sequence[str]]] = {
    Announcement.CREATED: [tag_of(event) for event in _CREATED],
    Announcement.DELETED: [tag_of(event) for event in _DELETED],
    Announcement.UPDATED: sorted(tag_of(event) for event in _OTHERS),
}
"""The tags of our events that each of them stands for."""


async def announcements_between(
    reads: Reads,
    kinds: Sequence[Announcement],
    since: int | datetime | None,
    until: int | datetime | None,
) -> int:
    """How many the audit trail holds from ``since`` on and before ``until``: log positions, or times."""
    conditions = ["type = ANY(%s)"]
    parameters: list[Any] = [[tag for kind in kinds for tag in TAGS[kind]]]
    for comparison, bound in ((">=", since), ("<", until)):
        if bound is not None:
            conditions.append(f"{'at' if isinstance(bound, datetime) else 'position'} {comparison} %s")
            parameters.append(bound)
    row = await reads.one(f"SELECT count(*) FROM audit_trail WHERE {' AND '.join(conditions)}", *parameters)
    assert row is not None, "an aggregate has one row"
    counted: int = row[0]
    return counted
