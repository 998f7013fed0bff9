"""Signing up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec

from application.accounts.people import (
    EMAIL,
    USERNAME,
    Origin,
    SignedIn,
    is_ambiguous,
    session_started,
)
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
)
from domain.accounts.account import (
    ACCOUNTS,
    VERIFICATION_LIFETIME,
    Account,
    EmailExistsError,
    UsernameExistsError,
)
from domain.accounts.events import (
    AccountEvent,
    AccountRegistered,
    EmailVerificationRequested,
    EmailVerified,
    Profile,
    Role,
    RoleGranted,
)
from domain.accounts.roster import ADMINS, ROSTER, Roster
from domain.accounts.session import SESSIONS, Session
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import AccountId, Event, stream_id
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS, Seller
from domain.standing import Person

Streams = list[tuple[StreamRef[Any, Any], Sequence[Event]]]


class NewPerson(msgspec.Struct, frozen=True, kw_only=True):
    """``username`` is made from the e-mail address where there is none (C11). The password is checked by the caller."""

    email: str
    password: str = ""
    username: str = ""
    profile: Profile = Profile()
    image: str = ""
    roles: frozenset[Role] = frozenset()
    email_verified: bool = False


class RegisterAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody signs up: they are signed in at once, and are asked to prove their e-mail address (C53)."""

    person: NewPerson
    origin: Origin = Origin()


class CreateAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account that somebody else makes, such as an operator: nobody is signed in."""

    person: NewPerson


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """An account that is about to be: its events, and the unique values that it takes."""

    account: Account
    events: list[AccountEvent]
    claims: tuple[StreamRef[Any, Any], StreamRef[Any, Any]]

    @property
    def shop(self) -> Seller | None:
        """What the account's first roles make it sell by."""
        person = Person(account=self.account, seller=None, roster=Roster())
        return SELLERS.fold(None, person.begin().seller)

    @property
    def refs(self) -> list[StreamRef[Any, Any]]:
        return [*self.claims, StreamRef(ADMINS, ROSTER)]

    def decided(self, loaded: Sequence[Loaded[Any]]) -> Streams:
        """All that is recorded; refused where somebody has the e-mail address or the username."""
        email_taken = Claim.take(loaded[0].state, EMAIL, self.account.id)
        username_taken = Claim.take(loaded[1].state, USERNAME, self.account.id)
        if email_taken is None:
            raise EmailExistsError
        if username_taken is None:
            raise UsernameExistsError
        person = Person(account=self.account, seller=None, roster=loaded[2].state or Roster()).begin()
        return [
            (self.claims[0], email_taken),
            (self.claims[1], username_taken),
            (StreamRef(ACCOUNTS, self.account.id), self.events),
            (StreamRef(SELLERS, seller_of(self.account.id)), person.seller),
            (StreamRef(ADMINS, ROSTER), person.roster),
        ]


async def register_account(
    command: RegisterAccount,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    passwords: Passwords,
    clock: Clock,
    session_lifetime: timedelta,
) -> Changed[SignedIn]:
    registration = await registration_of(
        command.person, store=store, keys=keys, numbers=numbers, passwords=passwords, clock=clock
    )
    session = session_started(
        registration.account, clock.now(), session_lifetime, command.origin, "registration"
    )
    outcome = SignedIn(
        account=registration.account, session=Session.evolve(None, session), seller=registration.shop
    )

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        started = (StreamRef(SESSIONS, session.session_id), [session])
        return Proposal(outcome=outcome, events=[*registration.decided(loaded), started])

    return await store.change_together(registration.refs, decide, metadata)


async def create_account(
    command: CreateAccount,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    passwords: Passwords,
    clock: Clock,
) -> Changed[Account]:
    registration = await registration_of(
        command.person, store=store, keys=keys, numbers=numbers, passwords=passwords, clock=clock
    )

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Account]:
        return Proposal(outcome=registration.account, events=registration.decided(loaded))

    return await store.change_together(registration.refs, decide, metadata)


async def registration_of(
    person: NewPerson,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    passwords: Passwords,
    clock: Clock,
) -> Registration:
    password_hash = await passwords.hash(person.password) if person.password else ""
    email_ref = StreamRef(CLAIMS, keys.claim_id(EMAIL, person.email))
    (email_owner,) = await store.load_many([email_ref])
    number = 0 if _taken(email_owner) else await numbers.next("accounts")
    account_id = AccountId(stream_id("account", number))
    username = person.username or await _free_username(person.email, store, keys)
    now = clock.now()
    events: list[AccountEvent] = [
        AccountRegistered(
            account_id=account_id,
            number=number,
            email=person.email,
            username=username,
            password_hash=password_hash,
            first_name=person.profile.first_name,
            last_name=person.profile.last_name,
            display_name=person.profile.display_name,
            gender=person.profile.gender,
            image=person.image,
            phone=person.profile.phone,
            age=person.profile.age,
            registered_at=now,
        ),
        EmailVerified(account_id=account_id, email=person.email)
        if person.email_verified
        else EmailVerificationRequested(
            account_id=account_id, number=1, email=person.email, expires_at=now + VERIFICATION_LIFETIME
        ),
        *(RoleGranted(account_id=account_id, role=role) for role in sorted(person.roles)),
    ]
    account = ACCOUNTS.after(None, events)
    username_ref = StreamRef(CLAIMS, keys.claim_id(USERNAME, username))
    return Registration(account=account, events=events, claims=(email_ref, username_ref))


def _taken(claim: Loaded[Claim]) -> bool:
    return claim.state is not None and claim.state.owner is not None


async def _free_username(email: str, store: EventStore, keys: Keys) -> str:
    """The address's local part, with a number behind it where somebody has that already."""
    base = re.sub(r"[^a-z0-9._-]", "", email.partition("@")[0].lower())[:40]
    base = base if len(base) > 2 and not is_ambiguous(base) else f"user-{base}".rstrip("-")
    other = uuid4().hex
    possible = [base, *(f"{base}{n}" for n in range(2, 10)), f"{base}-{other[:8]}", f"{base}-{other[:9]}"]
    candidates = [name for name in possible if not is_ambiguous(name)]
    claims = await store.load_many([StreamRef(CLAIMS, keys.claim_id(USERNAME, name)) for name in candidates])
    return next(name for name, held in zip(candidates, claims, strict=True) if not _taken(held))
