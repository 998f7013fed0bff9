"""How the list of sessions is made; one that has ended is not in it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import Column, DateTime, Index, Uuid

from domain.accounts.events import (
    AccountErased,
    AllSessionsRevoked,
    RefreshTokenRotated,
    SessionEvent,
    SessionRevoked,
    SessionStarted,
)
from domain.kernel import AccountId, Recorded
from projections.projection import Projection, Rows, by_stream, read_model

sessions = read_model(
    "sessions",
    Column("account_id", Uuid, nullable=False),
    Column("last_used_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("idx_sessions_account", "account_id", "last_used_at"),
)


class SessionDocument(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    account_id: AccountId
    device: str
    address: str
    method: str
    started_at: datetime
    last_used_at: datetime
    expires_at: datetime


def _fold(document: SessionDocument | None, recorded: Recorded[Any], key: UUID) -> SessionDocument | None:
    event = recorded.event
    if isinstance(event, SessionStarted):
        return SessionDocument(
            id=key,
            account_id=event.account_id,
            device=event.device,
            address=event.address,
            method=event.method,
            started_at=event.started_at,
            last_used_at=event.started_at,
            expires_at=event.expires_at,
        )
    if document is None or isinstance(event, SessionRevoked | AccountErased):
        return None
    if isinstance(event, AllSessionsRevoked):
        return document if event.spared == key else None
    if isinstance(event, RefreshTokenRotated):
        return replace(document, last_used_at=event.rotated_at, expires_at=event.expires_at)
    return document


def _row(document: SessionDocument) -> dict[str, Any]:
    return {
        "account_id": document.account_id,
        "last_used_at": document.last_used_at,
        "expires_at": document.expires_at,
    }


def _subjects(document: SessionDocument) -> Collection[UUID]:
    return (document.account_id,)


SESSION_LIST = Projection(
    name="sessions",
    version=1,
    events=get_args(SessionEvent),
    document=SessionDocument,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=sessions, row=_row),
    subjects=_subjects,
    concerning={
        AllSessionsRevoked: lambda event: event.account_id,
        AccountErased: lambda event: event.account_id,
    },
)
