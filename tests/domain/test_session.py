"""How a family of refresh tokens lives and ends."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from domain.accounts.events import (
    RefreshTokenReused,
    RefreshTokenRotated,
    SessionEvent,
    SessionRevoked,
    SessionStarted,
)
from domain.accounts.session import LEEWAY, SESSIONS, Session
from tests.domain.builders import BUYER, NOW

ID = UUID(int=1)
WEEK = timedelta(days=7)
STARTED = SessionStarted(session_id=ID, account_id=BUYER.account_id, started_at=NOW, expires_at=NOW + WEEK)
ROTATED = RefreshTokenRotated(session_id=ID, generation=2, rotated_at=NOW, expires_at=NOW + WEEK)
REUSED = SessionRevoked(session_id=ID, reason="refresh token reused")


def reuse_of(generation: int) -> list[SessionEvent]:
    return [RefreshTokenReused(session_id=ID, generation=generation), REUSED]


def session_after(*events: SessionEvent) -> Session:
    return SESSIONS.after(None, [STARTED, *events])


class TestExchanging:
    def test_the_newest_token_gives_the_next(self) -> None:
        assert session_after().exchange(1, NOW, WEEK) == [ROTATED]

    def test_a_retry_of_the_same_token_is_answered_within_the_leeway(self) -> None:
        assert session_after(ROTATED).exchange(1, NOW + LEEWAY, WEEK) == []

    def test_after_the_leeway_it_is_a_reuse_and_the_family_ends(self) -> None:
        assert session_after(ROTATED).exchange(1, NOW + LEEWAY + timedelta(seconds=1), WEEK) == reuse_of(1)

    def test_an_older_token_ends_the_family_at_once(self) -> None:
        again = RefreshTokenRotated(session_id=ID, generation=3, rotated_at=NOW, expires_at=NOW + WEEK)
        assert session_after(ROTATED, again).exchange(1, NOW, WEEK) == reuse_of(1)


class TestEnding:
    def test_a_revoked_session_is_not_live(self) -> None:
        assert session_after().is_live(NOW)
        assert not session_after(REUSED).is_live(NOW)

    def test_it_ends_by_itself(self) -> None:
        assert not session_after().is_live(NOW + WEEK)

    def test_revoking_twice_changes_nothing(self) -> None:
        assert session_after(REUSED).revoke("signed out") == []
