"""A session: one device on which somebody is signed in, and the family of refresh tokens that keeps it so.

The tokens of a family are numbered. Only the newest may be exchanged; the one before it may be for a moment
longer, because the answer to an exchange can get lost on its way. Anything older was stolen, or its thief was
first: the whole family ends.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.accounts.events import (
    RefreshTokenReused,
    RefreshTokenRotated,
    SessionEvent,
    SessionRevoked,
    SessionStarted,
)
from domain.kernel import AccountId, Decider, NotFoundError

LEEWAY = timedelta(seconds=30)
"""How long the token before the newest is still answered (contract README, decision 7)."""


class SessionNotFoundError(NotFoundError):
    """Also for a session of somebody else."""

    code = "SESSION_NOT_FOUND"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    account_id: AccountId
    epoch: int
    started_at: datetime
    generation: int
    rotated_at: datetime
    expires_at: datetime
    revoked: bool
    impersonator: AccountId | None = None

    def is_live(self, now: datetime) -> bool:
        return not self.revoked and now < self.expires_at

    def exchange(self, generation: int, now: datetime, lifetime: timedelta) -> list[SessionEvent]:
        """Give a new token for token number ``generation``; none if that was just done; revoked if it is a reuse."""
        if generation == self.generation:
            return [
                RefreshTokenRotated(
                    session_id=self.id, generation=generation + 1, rotated_at=now, expires_at=now + lifetime
                )
            ]
        if generation == self.generation - 1 and now - self.rotated_at <= LEEWAY:
            return []
        return [
            RefreshTokenReused(session_id=self.id, generation=generation),
            SessionRevoked(session_id=self.id, reason="refresh token reused"),
        ]

    def revoke(self, reason: str) -> list[SessionEvent]:
        return [] if self.revoked else [SessionRevoked(session_id=self.id, reason=reason)]

    @classmethod
    def evolve(cls, session: Session | None, event: SessionEvent) -> Session:
        if isinstance(event, SessionStarted):
            return cls(
                id=event.session_id,
                account_id=event.account_id,
                epoch=event.epoch,
                started_at=event.started_at,
                generation=1,
                rotated_at=event.started_at,
                expires_at=event.expires_at,
                revoked=False,
                impersonator=event.impersonator,
            )
        assert session is not None, "a session's first event is SessionStarted"
        match event:
            case RefreshTokenRotated():
                return replace(
                    session,
                    generation=event.generation,
                    rotated_at=event.rotated_at,
                    expires_at=event.expires_at,
                )
            case RefreshTokenReused():
                return session
            case SessionRevoked():
                return replace(session, revoked=True)
            case _:
                assert_never(event)


SESSIONS: Decider[Session, SessionEvent] = Decider("sessions", Session.evolve)
