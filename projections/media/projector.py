"""How the list of uploads is made."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, get_args
from uuid import UUID

from sqlalchemy import Column, DateTime, Index, Uuid

from domain.accounts.events import AccountErased
from domain.kernel import Event, Recorded
from domain.media.events import MediaEvent, MediaUploadRequested
from domain.media.media import Media
from projections.projection import Projection, Rows, by_stream, read_model

media = read_model(
    "media",
    Column("owner_id", Uuid, nullable=False),
    Column("due_at", DateTime(timezone=True)),
    Index("idx_media_owner_due_at", "owner_id", "due_at"),
    Index("idx_media_due_at", "due_at"),
)
"""``due_at`` is when it goes unless something uses it; what is in use has none."""


def _fold(document: Media | None, recorded: Recorded[Any], _: UUID) -> Media | None:
    event = recorded.event
    if isinstance(event, AccountErased):
        return None
    if document is None and not isinstance(event, MediaUploadRequested):
        return None  # its owner was forgotten while it was being worked on
    after = Media.evolve(document, event)
    return None if after.gone else after


def _subjects(document: Media) -> Collection[UUID]:
    return (document.owner_id,)


_CONCERNS: Mapping[type[Event], Callable[[Any], UUID]] = {AccountErased: lambda erased: erased.account_id}


def _row(document: Media) -> dict[str, Any]:
    return {"owner_id": document.owner_id, "due_at": document.due_at}


MEDIA_LIST = Projection(
    name="media",
    version=1,
    events=get_args(MediaEvent),
    document=Media,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=media, row=_row),
    subjects=_subjects,
    concerning=_CONCERNS,
)
