"""Acting as somebody else to help them: for a quarter of an hour, with a reason, one's own name beside theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from application.accounts.people import Origin, SignedIn, found, session_started
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.account import ACCOUNTS
from domain.accounts.session import SESSIONS, Session
from domain.kernel import AccountId

LASTS: Final = timedelta(minutes=15)
"""A25; there is no refresh token."""


class Impersonate(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    by: AccountId
    reason: str
    origin: Origin = Origin()


async def impersonate(
    command: Impersonate, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[SignedIn]:
    refs: list[StreamRef[Any, Any]] = [
        StreamRef(ACCOUNTS, command.account_id),
        StreamRef(ACCOUNTS, command.by),
    ]
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        account, admin = found(loaded[0].state), found(loaded[1].state)
        started = session_started(account, now, LASTS, command.origin, "impersonation", impersonator=admin.id)
        events = account.impersonate(admin, started.session_id, command.reason, now, started.expires_at)
        return Proposal(
            outcome=SignedIn(account=account, session=Session.evolve(None, started)),
            events=[(refs[0], events), (StreamRef(SESSIONS, started.session_id), [started])],
        )

    return await store.change_together(refs, decide, metadata)
