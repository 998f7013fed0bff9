"""Changing what one says of oneself: names, e-mail address, password, preferences, privacy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from application.accounts.avatars import discard_picture
from application.accounts.passwords import verified_hash
from application.accounts.people import EMAIL, USERNAME, found
from application.accounts.signing_in import InvalidCredentialsError, require_live
from application.errors import ConcurrentChangeError
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    ObjectStore,
    Passwords,
    Proposal,
    StreamRef,
)
from domain.accounts.account import ACCOUNTS, Account, EmailExistsError, UsernameExistsError
from domain.accounts.events import AccountEvent
from domain.accounts.session import SESSIONS
from domain.accounts.sign_in import SIGN_INS, SignIn, sign_in_of
from domain.claims.claim import CLAIMS, Claim
from domain.claims.events import ClaimEvent
from domain.kernel import AccountId


class NewPassword(msgspec.Struct, frozen=True, kw_only=True):
    """``current`` is none for one who signed in a moment ago; all sessions but ``session_id`` end (C19)."""

    current: str | None
    password: str
    session_id: UUID


class UpdateAccount(msgspec.Struct, frozen=True, kw_only=True):
    """All at once or nothing; what is none stays. ``profile`` has the new values of some fields of ``Profile``.

    ``current_password`` is none for one who signed in a moment ago, or changes nothing that takes it.
    """

    account_id: AccountId
    profile: Mapping[str, Any] = {}
    image: str | None = None
    username: str | None = None
    email: str | None = None
    current_password: str | None = None
    password: NewPassword | None = None


class UpdatePreferences(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    changes: Mapping[str, Any]


class UpdatePrivacy(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    changes: Mapping[str, Any]


async def update_account(
    command: UpdateAccount,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    passwords: Passwords,
    clock: Clock,
    objects: ObjectStore,
) -> Changed[Account]:
    seen = found((await store.load(ACCOUNTS, command.account_id)).state)
    wanted = command.password
    current = wanted.current if wanted is not None else command.current_password
    verified = await verified_hash(
        command.account_id, current, metadata, store=store, passwords=passwords, clock=clock
    )
    hashed = await passwords.hash(wanted.password) if wanted is not None else None
    email = _Claimed.of(EMAIL, seen.email, command.email, keys)
    username = _Claimed.of(USERNAME, seen.username, command.username, keys)
    account_ref = StreamRef(ACCOUNTS, command.account_id)
    claims: list[StreamRef[Any, Any]] = [*email.refs, *username.refs]
    tries_ref = StreamRef(SIGN_INS, sign_in_of(command.account_id))
    tries = [tries_ref] if command.email not in (None, seen.email) else []
    spared = [StreamRef(SESSIONS, wanted.session_id)] if wanted is not None else []
    refs: list[StreamRef[Any, Any]] = [account_ref, *claims, *tries, *spared]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Account]:
        account = found(loaded[0].state)
        if (account.email, account.username) != (seen.email, seen.username):
            raise ConcurrentChangeError("Somebody else changed this at the same time")
        if verified is not None and account.password_hash != verified:
            raise InvalidCredentialsError(
                "Password incorrect", details={"currentPassword": ["Is not correct"]}
            )
        states = [each.state for each in loaded[1:]]
        emails = email.moved(account.id, states[: len(email.refs)])
        usernames = username.moved(account.id, states[len(email.refs) : len(claims)])
        events = _changed(account, command, clock.now())
        if wanted is not None and hashed is not None:
            require_live(loaded[-1].state, account, clock.now())
            events += account.change_password(hashed, spared=wanted.session_id)
        after = ACCOUNTS.after(account, events)
        withdrawn = [
            # A link to set a password may be in the mailbox that was given up.
            (ref, SignIn.of(states[len(claims)], account.id, account.id).withdraw_reset())
            for ref in tries
        ]
        return Proposal(outcome=after, events=[(account_ref, events), *withdrawn, *emails, *usernames])

    changed = await store.change_together(refs, decide, metadata)
    if changed.state.image != seen.image:
        await discard_picture(seen.image, seen.id, objects)
    return changed


def _changed(account: Account, command: UpdateAccount, now: datetime) -> list[AccountEvent]:
    events = account.update_profile(command.profile)
    if command.image is not None:
        events += account.change_avatar(command.image)
    if command.username is not None:
        events += account.change_username(command.username)
    if command.email is not None:
        events += account.change_email(command.email, now)
    return events


async def update_preferences(
    command: UpdatePreferences, metadata: Metadata, *, store: EventStore
) -> Changed[Account]:
    return await store.change(
        ACCOUNTS,
        command.account_id,
        lambda account: found(account).update_preferences(command.changes),
        metadata,
    )


async def update_privacy(
    command: UpdatePrivacy, metadata: Metadata, *, store: EventStore
) -> Changed[Account]:
    return await store.change(
        ACCOUNTS, command.account_id, lambda account: found(account).update_privacy(command.changes), metadata
    )


class _Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A unique value that changes hands: the old one is let go as the new one is taken. Nothing to do: no refs."""

    kind: str
    refs: list[StreamRef[Any, Any]]

    @classmethod
    def of(cls, kind: str, old: str, new: str | None, keys: Keys) -> _Claimed:
        if new is None or keys.claim_id(kind, new) == keys.claim_id(kind, old):
            return cls(kind=kind, refs=[])
        return cls(kind=kind, refs=[StreamRef(CLAIMS, keys.claim_id(kind, value)) for value in (old, new)])

    def moved(
        self, owner: UUID, states: Sequence[Claim | None]
    ) -> list[tuple[StreamRef[Any, Any], Sequence[ClaimEvent]]]:
        """Refused where somebody else has the new one."""
        if not self.refs:
            return []
        taken = Claim.take(states[1], self.kind, owner)
        if taken is None and self.kind == EMAIL:
            raise EmailExistsError
        if taken is None:
            raise UsernameExistsError
        return [(self.refs[0], Claim.release(states[0], self.kind, owner)), (self.refs[1], taken)]
