"""Signing in as somebody whom Google or Apple knows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from application.accounts.people import EMAIL, Origin, SignedIn, identity_kind, session_started
from application.accounts.registering import NewPerson, registration_of
from application.claims import owner_of
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    Numbers,
    Passwords,
    Proposal,
    StreamRef,
    VerifiedIdentity,
)
from domain.accounts.account import ACCOUNTS, Account, EmailExistsError
from domain.accounts.events import IdentityLinked, Profile
from domain.accounts.session import SESSIONS, Session
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import AccountId, InvalidInputError


class SignInWithIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """``identity`` is what the provider has signed, and was verified to have signed."""

    identity: VerifiedIdentity
    origin: Origin = Origin()


async def sign_in_with_identity(
    command: SignInWithIdentity,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    passwords: Passwords,
    clock: Clock,
    session_lifetime: timedelta,
) -> Changed[SignedIn]:
    """Who was here before is known by the provider's id of them, whatever their e-mail address is by now.

    Somebody new gets an account, unless their address has one: that is linked if both sides have seen the address
    proved. Otherwise whoever registers a stranger's address first could wait for them to come (A25).
    """
    identity = command.identity
    kind = identity_kind(identity.provider)
    identity_ref = StreamRef(CLAIMS, keys.claim_id(kind, identity.subject))
    owner = await owner_of(kind, identity.subject, store, keys)
    linked = AccountId(owner) if owner else await _owner_of_email(identity, store, keys)
    if linked is not None:
        return await _sign_in(
            linked, command, identity_ref, metadata, store=store, clock=clock, lifetime=session_lifetime
        )
    if not identity.email:
        raise InvalidInputError({"idToken": ["Must tell an e-mail address at the first sign-in"]})
    person = NewPerson(
        email=identity.email,
        profile=Profile(first_name=identity.first_name, last_name=identity.last_name),
        email_verified=identity.email_verified,
    )
    registration = await registration_of(
        person, store=store, keys=keys, numbers=numbers, passwords=passwords, clock=clock
    )
    account_id = registration.account.id
    linking = IdentityLinked(account_id=account_id, provider=identity.provider, identity=identity.subject)
    registration.events.append(linking)
    account = Account.evolve(registration.account, linking)
    started = session_started(account, clock.now(), session_lifetime, command.origin, identity.provider)
    outcome = SignedIn(account=account, session=Session.evolve(None, started))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        taken = Claim.take(loaded[-1].state, kind, account_id)
        if taken is None:
            # The same person, twice at once: the other request was first, and a second try will find them.
            raise EmailExistsError
        return Proposal(
            outcome=outcome,
            events=[
                *registration.decided(loaded),
                (identity_ref, taken),
                (StreamRef(SESSIONS, started.session_id), [started]),
            ],
        )

    return await store.change_together([*registration.refs, identity_ref], decide, metadata)


async def _owner_of_email(identity: VerifiedIdentity, store: EventStore, keys: Keys) -> AccountId | None:
    owner = await owner_of(EMAIL, identity.email, store, keys) if identity.email else None
    if owner is None:
        return None
    account = (await store.load(ACCOUNTS, owner)).state
    proved = account is not None and identity.email_verified and account.email_verified
    if account is None or not proved or not _is_one_mailbox(account.email, identity.email):
        raise EmailExistsError
    return account.id


def _is_one_mailbox(one: str, other: str) -> bool:
    """Whether mail to both certainly goes to one and the same person.

    Claims are wider, so that no two people have addresses that are easily mistaken for each other.
    """
    return one == other or (one.isascii() and other.isascii() and one.lower() == other.lower())


async def _sign_in(
    account_id: AccountId,
    command: SignInWithIdentity,
    identity_ref: StreamRef[Any, Any],
    metadata: Metadata,
    *,
    store: EventStore,
    clock: Clock,
    lifetime: timedelta,
) -> Changed[SignedIn]:
    identity = command.identity
    kind = identity_kind(identity.provider)
    now = clock.now()
    account_ref = StreamRef(ACCOUNTS, account_id)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        account: Account = loaded[0].present
        account.require_may_sign_in()
        taken = Claim.take(loaded[1].state, kind, account_id)
        if taken is None or (taken and not account.email_verified):
            raise EmailExistsError
        events = account.link_identity(identity.provider, identity.subject)
        started = session_started(account, now, lifetime, command.origin, identity.provider)
        return Proposal(
            outcome=SignedIn(account=account, session=Session.evolve(None, started)),
            events=[
                (account_ref, events),
                (identity_ref, taken),
                (StreamRef(SESSIONS, started.session_id), [started]),
            ],
        )

    return await store.change_together([account_ref, identity_ref], decide, metadata)
