"""The roster of admins: there is always one, so that nobody locks everybody out (C-1)."""

from __future__ import annotations

from typing import Final, assert_never

import msgspec

from domain.accounts.events import AdminAdded, AdminRemoved, RosterEvent
from domain.kernel import AccountId, Decider, RuleViolatedError, stream_id

ROSTER: Final = stream_id("roster", "admins")


class LastAdminError(RuleViolatedError):
    code = "LAST_ADMIN"


class Roster(msgspec.Struct, frozen=True):
    """Admins who can sign in: one who is suspended or leaving is not among them."""

    admins: frozenset[AccountId] = frozenset()

    def add(self, account_id: AccountId) -> list[RosterEvent]:
        return [] if account_id in self.admins else [AdminAdded(account_id=account_id)]

    def remove(self, account_id: AccountId) -> list[RosterEvent]:
        if not self.admins - {account_id}:
            raise LastAdminError("There must be another admin first")
        return [AdminRemoved(account_id=account_id)] if account_id in self.admins else []

    @classmethod
    def evolve(cls, roster: Roster | None, event: RosterEvent) -> Roster:
        admins = roster.admins if roster else frozenset[AccountId]()
        match event:
            case AdminAdded(account_id=account_id):
                return cls(admins | {account_id})
            case AdminRemoved(account_id=account_id):
                return cls(admins - {account_id})
            case _:
                assert_never(event)


ADMINS: Decider[Roster, RosterEvent] = Decider("admins", Roster.evolve)
