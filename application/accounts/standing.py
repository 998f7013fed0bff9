"""What an account may do, and whether it may do anything: roles, suspension, deletion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.accounts.avatars import avatars_of
from application.accounts.passwords import verified_hash
from application.accounts.people import EMAIL, USERNAME, found, identity_kind
from application.accounts.signing_in import require_unlocked, verify_password
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
    Traces,
)
from application.sellers.naming import SHOP_SLUG
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import AccountEvent, Role
from domain.accounts.roster import ADMINS, ROSTER, Roster
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import AccountId, RuleViolatedError
from domain.media.media import pictures_of, uploads_of
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS, Seller
from domain.standing import Consequences, Person


class OwnRoleError(RuleViolatedError):
    """Nobody changes what they may do themselves."""

    code = "OWN_ROLE"


class OwnAccountError(RuleViolatedError):
    """Nobody does this to themselves: another admin must."""

    code = "OWN_ACCOUNT"


class GrantRole(msgspec.Struct, frozen=True, kw_only=True):
    """One role more."""

    account_id: AccountId
    role: Role


class SetRole(msgspec.Struct, frozen=True, kw_only=True):
    """``role`` becomes the highest that the account has; nobody changes their own (S4 §3.5)."""

    account_id: AccountId
    role: Role
    by: AccountId


class SuspendAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An admin's soft delete; ``RestoreAccount`` takes it back."""

    account_id: AccountId
    reason: str
    by: AccountId


class RestoreAccount(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId


class FlagAccount(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    flags: tuple[str, ...]
    note: str = ""


class RequestDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """``password`` is none for one who signed in a moment ago and may have none (C21)."""

    account_id: AccountId
    password: str | None
    reason: str = ""


class CancelDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """With link number ``number`` of a mail."""

    account_id: AccountId
    number: int


class CancelDeletionByPassword(msgspec.Struct, frozen=True, kw_only=True):
    """By somebody who cannot sign in any more, but could: failures count as those of signing in do."""

    login: str
    password: str


class EraseAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Refused until the grace is over."""

    account_id: AccountId


class ForgetPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Their key goes, and with it what the log says of them; so do the answers that were kept for them."""

    account_id: AccountId


class ForgetFiles(msgspec.Struct, frozen=True, kw_only=True):
    """All that they ever uploaded goes."""

    account_id: AccountId


async def grant_role(command: GrantRole, metadata: Metadata, *, store: EventStore) -> Changed[Account]:
    return await _decide(command.account_id, lambda person: person.grant(command.role), metadata, store)


async def set_role(command: SetRole, metadata: Metadata, *, store: EventStore) -> Changed[Account]:
    if command.account_id == command.by:
        raise OwnRoleError("Another admin must change your role")
    return await _decide(
        command.account_id, lambda person: person.set_role(command.role), metadata, store, by=command.by
    )


async def suspend_account(
    command: SuspendAccount, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Account]:
    if command.account_id == command.by:
        raise OwnAccountError("Another admin must delete your account, or you yourself by asking for it")
    return await _decide(
        command.account_id,
        lambda person: person.suspend(command.reason, clock.now()),
        metadata,
        store,
        by=command.by,
    )


async def restore_account(
    command: RestoreAccount, metadata: Metadata, *, store: EventStore
) -> Changed[Account]:
    return await _decide(command.account_id, lambda person: person.restore(), metadata, store)


async def flag_account(command: FlagAccount, metadata: Metadata, *, store: EventStore) -> Changed[Account]:
    def decide(account: Account | None) -> list[AccountEvent]:
        return found(account).flag(command.flags, command.note)

    return await store.change(ACCOUNTS, command.account_id, decide, metadata)


async def request_deletion(
    command: RequestDeletion,
    metadata: Metadata,
    *,
    store: EventStore,
    passwords: Passwords,
    clock: Clock,
    grace: timedelta,
) -> Changed[Account]:
    await verified_hash(
        command.account_id,
        command.password,
        metadata,
        store=store,
        passwords=passwords,
        clock=clock,
        field="password",
    )
    return await _decide(
        command.account_id,
        lambda person: person.request_deletion(command.reason, clock.now(), grace),
        metadata,
        store,
    )


async def cancel_deletion(
    command: CancelDeletion, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Account]:
    return await _decide(
        command.account_id,
        lambda person: person.cancel_deletion(clock.now(), number=command.number),
        metadata,
        store,
    )


async def cancel_deletion_by_password(
    command: CancelDeletionByPassword,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    passwords: Passwords,
    clock: Clock,
) -> Changed[Account]:
    verified = await verify_password(
        command.login, command.password, metadata, store=store, keys=keys, passwords=passwords, clock=clock
    )
    await require_unlocked(verified.account_id, store=store, clock=clock)
    return await _decide(
        verified.account_id, lambda person: person.cancel_deletion(clock.now()), metadata, store
    )


async def erase_account(
    command: EraseAccount, metadata: Metadata, *, store: EventStore, keys: Keys, clock: Clock
) -> Changed[Account]:
    """Everything that was the person's alone is free again: address, username, shop name, sign-in at providers."""
    seen = await store.load_many(_standing_refs(command.account_id))
    account: Account | None = seen[0].state
    seller: Seller | None = seen[1].state
    held = _held_by(found(account), seller)
    refs = [
        *_standing_refs(command.account_id),
        *(StreamRef(CLAIMS, keys.claim_id(kind, value)) for kind, value in held),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Account]:
        person = _person(loaded)
        if _held_by(person.account, person.seller) != held:
            raise ConcurrentChangeError("Somebody else changed this at the same time")
        consequences = person.erase(clock.now())
        released = [
            (ref, Claim.release(claim.state, kind, _owner(kind, command.account_id)))
            for ref, claim, (kind, _) in zip(refs[3:], loaded[3:], held, strict=True)
        ]
        return Proposal(outcome=consequences.after, events=[*_recorded(refs, consequences), *released])

    return await store.change_together(refs, decide, metadata)


async def forget_person(command: ForgetPerson, metadata: Metadata, *, traces: Traces) -> Changed[None]:
    """May be repeated as often as it takes."""
    await traces.destroy(command.account_id)
    return Changed(state=None, version=0)


async def forget_files(command: ForgetFiles, metadata: Metadata, *, objects: ObjectStore) -> Changed[None]:
    """The same; apart from the key, which must not wait for an object store that is away."""
    for of_theirs in (avatars_of, uploads_of, pictures_of):
        await objects.delete_prefix(of_theirs(command.account_id))
    return Changed(state=None, version=0)


async def _decide(
    account_id: AccountId,
    decide: Callable[[Person], Consequences],
    metadata: Metadata,
    store: EventStore,
    *,
    by: AccountId | None = None,
) -> Changed[Account]:
    refs = _standing_refs(account_id)
    deciding: list[StreamRef[Any, Any]] = [] if by is None else [StreamRef(ACCOUNTS, by)]

    def propose(loaded: Sequence[Loaded[Any]]) -> Proposal[Account]:
        person = _person(loaded)
        if deciding:
            person = replace(person, by=loaded[-1].state)
        consequences = decide(person)
        return Proposal(outcome=consequences.after, events=_recorded(refs, consequences))

    return await store.change_together([*refs, *deciding], propose, metadata)


def _standing_refs(account_id: AccountId) -> list[StreamRef[Any, Any]]:
    return [
        StreamRef(ACCOUNTS, account_id),
        StreamRef(SELLERS, seller_of(account_id)),
        StreamRef(ADMINS, ROSTER),
    ]


def _person(loaded: Sequence[Loaded[Any]]) -> Person:
    return Person(account=found(loaded[0].state), seller=loaded[1].state, roster=loaded[2].state or Roster())


def _recorded(refs: Sequence[StreamRef[Any, Any]], consequences: Consequences) -> list[tuple[Any, Any]]:
    return list(zip(refs[:3], (consequences.account, consequences.seller, consequences.roster), strict=True))


def _held_by(account: Account, seller: Seller | None) -> list[tuple[str, str]]:
    """The unique values that the person has."""
    held = [(EMAIL, account.email), (USERNAME, account.username)]
    held += [(identity_kind(provider), identity) for provider, identity in account.identities]
    if seller is not None and seller.profile.slug:
        held.append((SHOP_SLUG, seller.profile.slug))
    return held


def _owner(kind: str, account_id: AccountId) -> UUID:
    return seller_of(account_id) if kind == SHOP_SLUG else account_id
