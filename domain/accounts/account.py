"""An account: who somebody is, how they prove it, and what they may do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, assert_never
from uuid import UUID

import msgspec
from msgspec.structs import asdict, replace

from domain.accounts.events import (
    AccountDeletionCancelled,
    AccountDeletionRequested,
    AccountErased,
    AccountEvent,
    AccountFlagged,
    AccountRegistered,
    AccountRestored,
    AccountSuspended,
    AddressAdded,
    AddressRemoved,
    AddressUpdated,
    AllSessionsRevoked,
    AvatarChanged,
    DefaultAddressSet,
    EmailChanged,
    EmailVerificationRequested,
    EmailVerified,
    IdentityLinked,
    IdentityUnlinked,
    ImpersonationStarted,
    PasswordChanged,
    PasswordRehashed,
    PasswordReset,
    PostalDetails,
    Preferences,
    PreferencesUpdated,
    Privacy,
    PrivacyUpdated,
    Profile,
    ProfileUpdated,
    Role,
    RoleGranted,
    RoleRevoked,
    UsernameChanged,
)
from domain.accounts.session import Session
from domain.kernel import (
    AccountId,
    AlreadyExistsError,
    Decider,
    DomainError,
    ForbiddenError,
    NotFoundError,
    RuleViolatedError,
)

VERIFICATION_LIFETIME: Final = timedelta(hours=24)
GRACE: Final = timedelta(days=30)
"""How long a deletion can be taken back (C21)."""
MOST_ADDRESSES: Final = 50


class EmailExistsError(AlreadyExistsError):
    code = "EMAIL_EXISTS"

    def __init__(self) -> None:
        super().__init__("Email already registered", details={"email": ["Is already registered"]})


class UsernameExistsError(AlreadyExistsError):
    code = "USERNAME_EXISTS"

    def __init__(self) -> None:
        super().__init__("Username already taken", details={"username": ["Is already taken"]})


class EmailAlreadyVerifiedError(AlreadyExistsError):
    code = "EMAIL_ALREADY_VERIFIED"


class UserNotFoundError(NotFoundError):
    code = "USER_NOT_FOUND"


class AddressNotFoundError(NotFoundError):
    code = "ADDRESS_NOT_FOUND"


class AddressBookFullError(RuleViolatedError):
    code = "ADDRESS_BOOK_FULL"


class InvalidTokenError(DomainError):
    """A token of a mail that is not good, or not good any more."""

    code = "INVALID_TOKEN"


class AccountSuspendedError(ForbiddenError):
    code = "ACCOUNT_SUSPENDED"


class DeletionScheduledError(ForbiddenError):
    code = "ACCOUNT_DELETION_SCHEDULED"


class EmailNotVerifiedError(ForbiddenError):
    """Where the shop wants it proved before anybody orders (C53)."""

    code = "EMAIL_NOT_VERIFIED"


class NotSuspendedError(AlreadyExistsError):
    """There is nothing to restore."""

    code = "ACCOUNT_NOT_DELETED"


class NothingToRestoreError(RuleViolatedError):
    """No deletion is scheduled, or its time is over."""

    code = "DELETION_NOT_SCHEDULED"


class DeletionNotDueError(RuleViolatedError):
    code = "DELETION_NOT_DUE"


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The last link that was sent to prove an e-mail address."""

    number: int = 0
    expires_at: datetime | None = None


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    requested_at: datetime
    erase_after: datetime


class Address(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    details: PostalDetails
    added_at: datetime
    updated_at: datetime


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """``epoch`` counts how often all sessions were revoked; ``spared`` is the one that outlived the last time.

    ``roles`` are in the order in which they were given: a set would be written down differently by each process.
    """

    id: AccountId
    number: int
    email: str
    username: str
    password_hash: str
    profile: Profile = Profile()
    image: str = ""
    roles: tuple[Role, ...] = (Role.USER,)
    registered_at: datetime | None = None
    email_verified: bool = False
    verification: Verification = Verification()
    preferences: Preferences = Preferences()
    privacy: Privacy = Privacy()
    addresses: tuple[Address, ...] = ()
    default_address: int | None = None
    identities: tuple[tuple[str, str], ...] = ()
    epoch: int = 0
    spared: UUID | None = None
    suspended: bool = False
    flags: tuple[str, ...] = ()
    deletions: int = 0
    deletion: Deletion | None = None
    erased: bool = False

    @property
    def role(self) -> Role:
        """The highest role (C16)."""
        for role in (Role.ADMIN, Role.AUDITOR, Role.SELLER):
            if role in self.roles:
                return role
        return Role.USER

    @property
    def shown_name(self) -> str:
        """What others read of who this is."""
        profile = self.profile
        full_name = f"{profile.first_name} {profile.last_name}".strip()
        return profile.display_name or full_name or self.username

    @property
    def may_sign_in(self) -> bool:
        return not (self.suspended or self.erased or self.deletion is not None)

    def require_may_sign_in(self) -> None:
        """For somebody who has proved to be its owner: nobody else may learn why not."""
        if self.suspended:
            raise AccountSuspendedError("This account is suspended")
        if self.deletion is not None:
            raise DeletionScheduledError(
                "This account is scheduled for deletion",
                details={"eraseAfter": f"{self.deletion.erase_after:%Y-%m-%dT%H:%M:%SZ}"},
            )

    def require_proved_email(self) -> None:
        if not self.email_verified:
            raise EmailNotVerifiedError("Verify your e-mail address first")

    def admits(self, session: Session) -> bool:
        """Whether the session has outlived every revocation of all sessions."""
        return session.epoch >= self.epoch or session.id == self.spared

    def address(self, number: int) -> Address:
        for address in self.addresses:
            if address.number == number:
                return address
        raise AddressNotFoundError("Address not found")

    # Roles

    def grant(self, role: Role) -> list[AccountEvent]:
        return [] if role in self.roles else [RoleGranted(account_id=self.id, role=role)]

    def revoke(self, role: Role) -> list[AccountEvent]:
        return [RoleRevoked(account_id=self.id, role=role)] if role in self.roles else []

    # The e-mail address

    def request_verification(self, now: datetime) -> list[AccountEvent]:
        if self.email_verified:
            raise EmailAlreadyVerifiedError("Email already verified")
        return [self._verification_of(self.email, now)]

    def verify_email(self, number: int, now: datetime) -> list[AccountEvent]:
        """With the newest link, while it is good; a second click on it changes nothing."""
        sent = self.verification
        if self.erased or number != sent.number or sent.expires_at is None:
            raise InvalidTokenError("Invalid or expired token")
        if self.email_verified:
            return []
        if now >= sent.expires_at:
            raise InvalidTokenError("Invalid or expired token")
        return self.prove_email()

    def prove_email(self) -> list[AccountEvent]:
        """Something that was sent to the address has come back."""
        return [] if self.email_verified else [EmailVerified(account_id=self.id, email=self.email)]

    def change_email(self, email: str, now: datetime) -> list[AccountEvent]:
        if email == self.email:
            return []
        changed = EmailChanged(account_id=self.id, email=email, previous=self.email)
        return [changed, self._verification_of(email, now)]

    def _verification_of(self, email: str, now: datetime) -> EmailVerificationRequested:
        return EmailVerificationRequested(
            account_id=self.id,
            number=self.verification.number + 1,
            email=email,
            expires_at=now + VERIFICATION_LIFETIME,
        )

    # What people say of themselves

    def change_username(self, username: str) -> list[AccountEvent]:
        if username == self.username:
            return []
        return [UsernameChanged(account_id=self.id, username=username)]

    def update_profile(self, changes: Mapping[str, Any]) -> list[AccountEvent]:
        """``changes`` has the new values of fields of ``Profile``; the other fields stay."""
        profile = replace(self.profile, **changes)
        before = asdict(self.profile)
        changed = tuple(name for name, value in asdict(profile).items() if value != before[name])
        return [ProfileUpdated(account_id=self.id, profile=profile, changed=changed)] if changed else []

    def change_avatar(self, image: str) -> list[AccountEvent]:
        return [] if image == self.image else [AvatarChanged(account_id=self.id, image=image)]

    def update_preferences(self, changes: Mapping[str, Any]) -> list[AccountEvent]:
        preferences = replace(self.preferences, **changes)
        if preferences == self.preferences:
            return []
        return [PreferencesUpdated(account_id=self.id, preferences=preferences)]

    def update_privacy(self, changes: Mapping[str, Any]) -> list[AccountEvent]:
        privacy = replace(self.privacy, **changes)
        return [] if privacy == self.privacy else [PrivacyUpdated(account_id=self.id, privacy=privacy)]

    # The address book: the first one is the default, and there is one as long as there is any (C20)

    def add_address(
        self, number: int, details: PostalDetails, now: datetime, *, default: bool
    ) -> list[AccountEvent]:
        if len(self.addresses) >= MOST_ADDRESSES:
            raise AddressBookFullError(f"An address book holds {MOST_ADDRESSES} addresses")
        events: list[AccountEvent] = [
            AddressAdded(account_id=self.id, number=number, details=details, added_at=now)
        ]
        if default or self.default_address is None:
            events.append(DefaultAddressSet(account_id=self.id, number=number))
        return events

    def update_address(
        self, number: int, changes: Mapping[str, Any], now: datetime, *, default: bool | None = None
    ) -> list[AccountEvent]:
        """One that is told not to be the default any more hands that on to the oldest of the others."""
        address = self.address(number)
        details = replace(address.details, **changes)
        events: list[AccountEvent] = []
        if details != address.details:
            events.append(AddressUpdated(account_id=self.id, number=number, details=details, updated_at=now))
        if default and self.default_address != number:
            events.append(DefaultAddressSet(account_id=self.id, number=number))
        elif default is False and self.default_address == number:
            events += self._another_default(number)
        return events

    def remove_address(self, number: int) -> list[AccountEvent]:
        self.address(number)
        events: list[AccountEvent] = [AddressRemoved(account_id=self.id, number=number)]
        return events + (self._another_default(number) if self.default_address == number else [])

    def _another_default(self, number: int) -> list[AccountEvent]:
        others = [address.number for address in self.addresses if address.number != number]
        return [DefaultAddressSet(account_id=self.id, number=others[0])] if others else []

    # How they prove who they are

    def change_password(self, password_hash: str, *, spared: UUID | None) -> list[AccountEvent]:
        """All other sessions end: whoever knew the old password is out (A25)."""
        changed = PasswordChanged(account_id=self.id, password_hash=password_hash)
        return [changed, *self.revoke_sessions("password changed", spared=spared)]

    def reset_password(self, password_hash: str) -> list[AccountEvent]:
        """By somebody who reads the account's mail, which is thereby proved to be theirs.

        If it was not before, then whoever could sign in until now may have been somebody else: all of that ends.
        """
        reset = PasswordReset(account_id=self.id, password_hash=password_hash)
        unlinked = [
            IdentityUnlinked(account_id=self.id, provider=provider, identity=identity)
            for provider, identity in self.identities_to_unlink
        ]
        return [reset, *self.prove_email(), *unlinked, *self.revoke_sessions("password reset")]

    @property
    def identities_to_unlink(self) -> tuple[tuple[str, str], ...]:
        """Those that were linked by somebody who may not be the one whose address this is."""
        return () if self.email_verified else self.identities

    def rehash_password(self, password_hash: str) -> list[AccountEvent]:
        return [PasswordRehashed(account_id=self.id, password_hash=password_hash)]

    def revoke_sessions(self, reason: str, *, spared: UUID | None = None) -> list[AccountEvent]:
        return [AllSessionsRevoked(account_id=self.id, reason=reason, spared=spared)]

    def link_identity(self, provider: str, identity: str) -> list[AccountEvent]:
        if (provider, identity) in self.identities:
            return []
        return [IdentityLinked(account_id=self.id, provider=provider, identity=identity)]

    # Moderation

    def suspend(self, reason: str, now: datetime) -> list[AccountEvent]:
        if self.suspended or self.erased:
            return []
        suspended = AccountSuspended(account_id=self.id, reason=reason, suspended_at=now)
        return [suspended, *self.revoke_sessions("account suspended")]

    def restore(self) -> list[AccountEvent]:
        """By an admin: after a suspension, or after a deletion that its owner asked for (C21)."""
        if self.erased:
            raise UserNotFoundError("User not found")
        if not self.suspended and self.deletion is None:
            raise NotSuspendedError("This account is not deleted")
        events: list[AccountEvent] = [AccountRestored(account_id=self.id)] if self.suspended else []
        if self.deletion is not None:
            events.append(AccountDeletionCancelled(account_id=self.id))
        return events

    def flag(self, flags: tuple[str, ...], note: str) -> list[AccountEvent]:
        if flags == self.flags and not note:
            return []
        return [AccountFlagged(account_id=self.id, flags=flags, note=note)]

    def impersonate(
        self, admin: Account, session_id: UUID, reason: str, now: datetime, until: datetime
    ) -> list[AccountEvent]:
        """An admin acts as this account; never as another admin, nor as one who could not act themselves (A25)."""
        if Role.ADMIN not in admin.roles or not admin.may_sign_in:
            raise ForbiddenError("This needs the role admin")
        if Role.ADMIN in self.roles:
            raise ForbiddenError("Nobody acts as an admin")
        self.require_may_sign_in()
        started = ImpersonationStarted(
            account_id=self.id,
            admin_id=admin.id,
            session_id=session_id,
            reason=reason,
            started_at=now,
            expires_at=until,
        )
        return [started]

    # The right to be forgotten

    def request_deletion(self, reason: str, now: datetime, grace: timedelta = GRACE) -> list[AccountEvent]:
        if self.deletion is not None or self.erased:
            return []
        requested = AccountDeletionRequested(
            account_id=self.id,
            number=self.deletions + 1,
            reason=reason,
            requested_at=now,
            erase_after=now + grace,
        )
        return [requested, *self.revoke_sessions("deletion requested")]

    def cancel_deletion(self, now: datetime, *, number: int | None = None) -> list[AccountEvent]:
        """By its owner; ``number`` is that of the link in the mail, if that is how they came."""
        if number is not None and number != self.deletions:
            raise InvalidTokenError("Invalid or expired token")
        if self.deletion is None or now >= self.deletion.erase_after:
            raise NothingToRestoreError("No deletion of this account is scheduled")
        return [AccountDeletionCancelled(account_id=self.id)]

    def erase(self, now: datetime) -> list[AccountEvent]:
        if self.erased:
            return []
        if self.deletion is None or now < self.deletion.erase_after:
            raise DeletionNotDueError("The deletion of this account is not due")
        return [AccountErased(account_id=self.id, erased_at=now)]

    @classmethod
    def evolve(cls, account: Account | None, event: AccountEvent) -> Account:
        if isinstance(event, AccountRegistered):
            return cls(
                id=event.account_id,
                number=event.number,
                email=event.email,
                username=event.username,
                password_hash=event.password_hash,
                profile=Profile(
                    first_name=event.first_name,
                    last_name=event.last_name,
                    display_name=event.display_name,
                    gender=event.gender,
                    phone=event.phone,
                    age=event.age,
                ),
                image=event.image,
                registered_at=event.registered_at,
            )
        assert account is not None, "an account's first event is AccountRegistered"
        match event:
            case RoleGranted(role=role):
                return replace(account, roles=(*_without(role, account.roles), role))
            case RoleRevoked(role=role):
                return replace(account, roles=_without(role, account.roles))
            case EmailVerificationRequested(number=number, expires_at=expires_at):
                return replace(account, verification=Verification(number=number, expires_at=expires_at))
            case EmailVerified():
                return replace(account, email_verified=True)
            case EmailChanged(email=email):
                return replace(account, email=email, email_verified=False)
            case UsernameChanged(username=username):
                return replace(account, username=username)
            case ProfileUpdated(profile=profile):
                return replace(account, profile=profile)
            case AvatarChanged(image=image):
                return replace(account, image=image)
            case PreferencesUpdated(preferences=preferences):
                return replace(account, preferences=preferences)
            case PrivacyUpdated(privacy=privacy):
                return replace(account, privacy=privacy)
            case AddressAdded(number=number, details=details, added_at=at):
                added = Address(number=number, details=details, added_at=at, updated_at=at)
                return replace(account, addresses=(*account.addresses, added))
            case AddressUpdated(number=number, details=details, updated_at=at):
                return replace(account, addresses=_updated(account.addresses, number, details, at))
            case AddressRemoved(number=number):
                kept = tuple(address for address in account.addresses if address.number != number)
                default = None if account.default_address == number else account.default_address
                return replace(account, addresses=kept, default_address=default)
            case DefaultAddressSet(number=number):
                return replace(account, default_address=number)
            case PasswordChanged() | PasswordReset() | PasswordRehashed():
                return replace(account, password_hash=event.password_hash)
            case AllSessionsRevoked(spared=spared):
                return replace(account, epoch=account.epoch + 1, spared=spared)
            case IdentityLinked(provider=provider, identity=identity):
                return replace(account, identities=(*account.identities, (provider, identity)))
            case IdentityUnlinked(provider=provider, identity=identity):
                kept_identities = tuple(each for each in account.identities if each != (provider, identity))
                return replace(account, identities=kept_identities)
            case AccountSuspended():
                return replace(account, suspended=True)
            case AccountRestored():
                return replace(account, suspended=False)
            case ImpersonationStarted():
                return account
            case AccountFlagged(flags=flags):
                return replace(account, flags=flags)
            case AccountDeletionRequested():
                deletion = Deletion(
                    number=event.number, requested_at=event.requested_at, erase_after=event.erase_after
                )
                return replace(account, deletion=deletion, deletions=event.number)
            case AccountDeletionCancelled():
                return replace(account, deletion=None)
            case AccountErased():
                return cls(
                    id=account.id,
                    number=account.number,
                    email="",
                    username="",
                    password_hash="",
                    registered_at=account.registered_at,
                    privacy=Privacy(profile_visibility="private"),
                    epoch=account.epoch if account.erased else account.epoch + 1,
                    erased=True,
                )
            case _:
                assert_never(event)


def _updated(
    addresses: tuple[Address, ...], number: int, details: PostalDetails, at: datetime
) -> tuple[Address, ...]:
    return tuple(
        replace(address, details=details, updated_at=at) if address.number == number else address
        for address in addresses
    )


def _without(role: Role, roles: tuple[Role, ...]) -> tuple[Role, ...]:
    return tuple(each for each in roles if each != role)


ACCOUNTS: Decider[Account, AccountEvent] = Decider("accounts", Account.evolve)
