"""Changing a password, and setting a new one with a link from a mail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from application.accounts.people import found, identity_kind, owner_of_login
from application.accounts.signing_in import InvalidCredentialsError, require_live, require_unlocked
from application.errors import ConcurrentChangeError
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    Passwords,
    Proposal,
    StreamRef,
)
from domain.accounts.account import ACCOUNTS, Account, InvalidTokenError
from domain.accounts.session import SESSIONS
from domain.accounts.sign_in import SIGN_INS, SignIn, sign_in_of
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import AccountId


class ChangePassword(msgspec.Struct, frozen=True, kw_only=True):
    """All sessions but ``session_id`` end. ``current_password`` is none for one who signed in a moment ago (C19)."""

    account_id: AccountId
    session_id: UUID
    current_password: str | None
    new_password: str


class RequestPasswordReset(msgspec.Struct, frozen=True, kw_only=True):
    """By anybody, for any address: whether somebody has it makes no difference that can be seen."""

    email: str


class ResetPassword(msgspec.Struct, frozen=True, kw_only=True):
    """With link number ``number`` of a mail; it can be used once."""

    account_id: AccountId
    number: int
    new_password: str


async def change_password(
    command: ChangePassword, metadata: Metadata, *, store: EventStore, passwords: Passwords, clock: Clock
) -> Changed[Account]:
    verified = await verified_hash(
        command.account_id,
        command.current_password,
        metadata,
        store=store,
        passwords=passwords,
        clock=clock,
    )
    hashed = await passwords.hash(command.new_password)

    refs: list[StreamRef[Any, Any]] = [
        StreamRef(ACCOUNTS, command.account_id),
        StreamRef(SESSIONS, command.session_id),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Account]:
        account = found(loaded[0].state)
        require_live(loaded[1].state, account, clock.now())
        if verified is not None and account.password_hash != verified:
            raise InvalidCredentialsError(
                "Password incorrect", details={"currentPassword": ["Is not correct"]}
            )
        events = account.change_password(hashed, spared=command.session_id)
        return Proposal(outcome=ACCOUNTS.after(account, events), events=[(refs[0], events)])

    return await store.change_together(refs, decide, metadata)


async def request_password_reset(
    command: RequestPasswordReset, metadata: Metadata, *, store: EventStore, keys: Keys, clock: Clock
) -> Changed[SignIn]:
    subject, account_id = await owner_of_login(command.email, store, keys)
    return await store.change(
        SIGN_INS,
        sign_in_of(subject),
        lambda known: SignIn.of(known, subject, account_id).request_reset(clock.now()),
        metadata,
    )


async def reset_password(
    command: ResetPassword,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    passwords: Passwords,
    clock: Clock,
) -> Changed[Account]:
    hashed = await passwords.hash(command.new_password)
    seen = (await store.load(ACCOUNTS, command.account_id)).state
    unlinked = seen.identities_to_unlink if seen is not None else ()
    kinds = [identity_kind(provider) for provider, _ in unlinked]
    refs: list[StreamRef[Any, Any]] = [
        StreamRef(ACCOUNTS, command.account_id),
        StreamRef(SIGN_INS, sign_in_of(command.account_id)),
        *(
            StreamRef(CLAIMS, keys.claim_id(kind, identity))
            for kind, (_, identity) in zip(kinds, unlinked, strict=True)
        ),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Account]:
        account: Account | None = loaded[0].state
        if account is None or account.erased:
            raise InvalidTokenError("Invalid or expired token")
        used = SignIn.of(loaded[1].state, account.id, account.id).use_reset(command.number, clock.now())
        if account.identities_to_unlink != unlinked:
            raise ConcurrentChangeError("Somebody else changed this at the same time")
        events = account.reset_password(hashed)
        after = ACCOUNTS.after(account, events)
        released = [
            (ref, Claim.release(claim.state, kind, account.id))
            for ref, claim, kind in zip(refs[2:], loaded[2:], kinds, strict=True)
        ]
        return Proposal(outcome=after, events=[(refs[0], events), (refs[1], used), *released])

    return await store.change_together(refs, decide, metadata)


async def verified_hash(
    account_id: AccountId,
    password: str | None,
    metadata: Metadata,
    *,
    store: EventStore,
    passwords: Passwords,
    clock: Clock,
    field: str = "currentPassword",
) -> str | None:
    """The hash that the password was found to match, to be compared again where it is decided; none without one.

    Who is signed in may still be somebody who found a device unlocked, so guesses count as those at the door do.
    """
    refs: list[StreamRef[Any, Any]] = [
        StreamRef(ACCOUNTS, account_id),
        StreamRef(SIGN_INS, sign_in_of(account_id)),
    ]
    loaded, tries = await store.load_many(refs)
    account = found(loaded.state)
    if password is None:
        return None
    SignIn.of(tries.state, account_id, account_id).require_unlocked(clock.now())
    if not await passwords.matches(password, account.password_hash or None):
        if metadata.once is not None:
            # A retry of what has changed the password is no guess.
            await store.raise_if_answered(metadata.once)
        await store.change(
            SIGN_INS,
            sign_in_of(account_id),
            lambda known: SignIn.of(known, account_id, account_id).fail(clock.now()),
            msgspec.structs.replace(metadata, once=None, expected_version=None),
        )
        raise InvalidCredentialsError("Password incorrect", details={field: ["Is not correct"]})
    await require_unlocked(account_id, store=store, clock=clock)
    return account.password_hash
