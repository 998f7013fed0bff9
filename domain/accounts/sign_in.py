"""Trying to sign in: how often it failed, for how long nobody may try, and which reset link is good.

There is one of these for each account, and one for each name under which nobody is known. What happens to both is
the same, so that neither an answer nor the time it takes tells whether somebody is a customer here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil
from typing import Final, assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.accounts.account import InvalidTokenError
from domain.accounts.events import (
    AccountLocked,
    AccountUnlocked,
    LoginFailed,
    LoginSucceeded,
    PasswordResetRequested,
    PasswordResetUsed,
    PasswordResetWithdrawn,
    SignInEvent,
)
from domain.kernel import AccountId, Decider, DomainError, stream_id

MOST_FAILURES: Final = 5
LOCKED_FOR: Final = timedelta(minutes=15)
"""A25. Failures that are further apart than this are not of one row."""
RESET_LIFETIME: Final = timedelta(hours=1)


class AccountLockedError(DomainError):
    """Too many tries failed (S2 §4.2.1): 423."""

    code = "ACCOUNT_LOCKED"


def sign_in_of(subject: UUID) -> UUID:
    """The stream of an account's tries, or of those under a name that nobody has."""
    return stream_id("sign-in", str(subject))


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    subject_id: UUID
    account_id: AccountId | None = None
    failures: int = 0
    last_failure: datetime | None = None
    locked_until: datetime | None = None
    reset_number: int = 0
    reset_expires_at: datetime | None = None

    @classmethod
    def of(cls, sign_in: SignIn | None, subject: UUID, account_id: AccountId | None) -> SignIn:
        """The tries so far: none, where nothing has happened yet."""
        known = sign_in or cls(subject_id=subject)
        return replace(known, account_id=account_id)

    def require_unlocked(self, now: datetime) -> None:
        if self.locked_until is not None and now < self.locked_until:
            seconds = ceil((self.locked_until - now).total_seconds())
            raise AccountLockedError("Too many failed attempts", details={"retryAfter": seconds})

    def fail(self, now: datetime) -> list[SignInEvent]:
        """Refused while locked: of many who try at once, nobody learns more than those who made the lock fall."""
        self.require_unlocked(now)
        failed = LoginFailed(subject_id=self.subject_id, account_id=self.account_id, failed_at=now)
        if self.row_at(now) + 1 < MOST_FAILURES:
            return [failed]
        locked = AccountLocked(subject_id=self.subject_id, account_id=self.account_id, until=now + LOCKED_FOR)
        return [failed, locked]

    def succeed(self, now: datetime) -> list[SignInEvent]:
        """Refused while locked, also for one who came before the lock and was slow to be verified."""
        self.require_unlocked(now)
        return [LoginSucceeded(subject_id=self.subject_id)] if self.failures else []

    def request_reset(self, now: datetime) -> list[SignInEvent]:
        return [
            PasswordResetRequested(
                subject_id=self.subject_id,
                account_id=self.account_id,
                number=self.reset_number + 1,
                expires_at=now + RESET_LIFETIME,
            )
        ]

    def use_reset(self, number: int, now: datetime) -> list[SignInEvent]:
        """Once; whoever reads the account's mail may try again at once, so a lock ends with it."""
        if number != self.reset_number or self.reset_expires_at is None or now >= self.reset_expires_at:
            raise InvalidTokenError("Invalid or expired token")
        used: list[SignInEvent] = [PasswordResetUsed(subject_id=self.subject_id, number=number)]
        locked = self.failures or self.locked_until is not None
        return [*used, AccountUnlocked(subject_id=self.subject_id)] if locked else used

    def withdraw_reset(self) -> list[SignInEvent]:
        """The link of the last request is good for nothing any more, if it was."""
        if self.reset_expires_at is None:
            return []
        return [PasswordResetWithdrawn(subject_id=self.subject_id, number=self.reset_number)]

    def row_at(self, now: datetime) -> int:
        """How many failures in a row there are by now."""
        recent = self.last_failure is not None and now - self.last_failure < LOCKED_FOR
        return self.failures if recent else 0

    @classmethod
    def evolve(cls, sign_in: SignIn | None, event: SignInEvent) -> SignIn:
        known = sign_in or cls(subject_id=event.subject_id)
        match event:
            case LoginFailed(failed_at=at):
                return replace(known, failures=known.row_at(at) + 1, last_failure=at)
            case AccountLocked(until=until):
                return replace(known, failures=0, locked_until=until)
            case LoginSucceeded() | AccountUnlocked():
                return replace(known, failures=0, last_failure=None, locked_until=None)
            case PasswordResetRequested(number=number, expires_at=expires_at):
                return replace(known, reset_number=number, reset_expires_at=expires_at)
            case PasswordResetUsed() | PasswordResetWithdrawn():
                return replace(known, reset_expires_at=None)
            case _:
                assert_never(event)


SIGN_INS: Decider[SignIn, SignInEvent] = Decider("sign_ins", SignIn.evolve, snapshot=SignIn)
