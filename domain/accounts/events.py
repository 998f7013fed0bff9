"""What can happen to an account, to its sessions, and to those who try to sign in."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec

from domain.kernel import AccountId, Event, Personal, PersonalText


class Role(StrEnum):
    """What an account may do (C16). Admins pass every seller check; auditors read the whole history."""

    USER = "user"
    SELLER = "seller"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks for something: the account, its number, and what it may do."""

    account_id: AccountId
    number: int
    roles: frozenset[Role] = frozenset({Role.USER})

    @property
    def is_admin(self) -> bool:
        return Role.ADMIN in self.roles


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What people say of themselves (C18, C19)."""

    first_name: str = ""
    last_name: str = ""
    display_name: str = ""
    gender: str = ""
    phone: str = ""
    age: int | None = None
    bio: str = ""
    interests: tuple[str, ...] = ()


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """S2 §7.2.4 with the defaults of S2 §14.2; ``currency`` is for display only."""

    theme: Literal["light", "dark"] = "light"
    notifications: bool = True
    email_notifications: bool = True
    currency: str = "USD"
    language: str = "en"


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """What others see of a profile (C54). A name is shown unless its owner hides it; how to reach them is not."""

    profile_visibility: Literal["public", "private"] = "public"
    show_email: bool = False
    show_phone: bool = False
    show_name: bool = True
    allow_messages: bool = True


class PostalDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the address book (C20); street, city, postcode and country are always there."""

    label: str = ""
    first_name: str = ""
    last_name: str = ""
    address: str = ""
    address_line2: str = ""
    city: str = ""
    state: str = ""
    zip_code: str = ""
    country: str = ""
    phone: str = ""


class AccountRegistered(Event, frozen=True, kw_only=True, tag="account_registered"):
    """``password_hash`` is empty for somebody who signs in through a provider only."""

    subject = "account_id"

    account_id: AccountId
    number: int
    email: PersonalText
    username: PersonalText
    password_hash: PersonalText
    first_name: PersonalText = ""
    last_name: PersonalText = ""
    gender: PersonalText = ""
    image: PersonalText = ""
    phone: PersonalText = ""
    age: Annotated[int | None, Personal(erased=None)] = None
    display_name: PersonalText = ""
    registered_at: datetime | None = None


class EmailVerificationRequested(Event, frozen=True, kw_only=True, tag="email_verification_requested"):
    """A link is to be sent to ``email``; only the one with the highest ``number`` is good."""

    subject = "account_id"

    account_id: AccountId
    number: int
    email: PersonalText
    expires_at: datetime


class EmailVerified(Event, frozen=True, kw_only=True, tag="email_verified"):
    subject = "account_id"

    account_id: AccountId
    email: PersonalText


class EmailChanged(Event, frozen=True, kw_only=True, tag="email_changed"):
    subject = "account_id"

    account_id: AccountId
    email: PersonalText
    previous: PersonalText


class UsernameChanged(Event, frozen=True, kw_only=True, tag="username_changed"):
    subject = "account_id"

    account_id: AccountId
    username: PersonalText


class ProfileUpdated(Event, frozen=True, kw_only=True, tag="profile_updated"):
    """The whole profile as it is now; ``changed`` names the fields that are new."""

    subject = "account_id"

    account_id: AccountId
    profile: Annotated[Profile, Personal(erased=Profile())]
    changed: tuple[str, ...]


class AvatarChanged(Event, frozen=True, kw_only=True, tag="avatar_changed"):
    """``image`` is a key of the object store, the URL of a picture elsewhere, or empty."""

    subject = "account_id"

    account_id: AccountId
    image: PersonalText


class PreferencesUpdated(Event, frozen=True, kw_only=True, tag="preferences_updated"):
    subject = "account_id"

    account_id: AccountId
    preferences: Annotated[Preferences, Personal(erased=Preferences())]


class PrivacyUpdated(Event, frozen=True, kw_only=True, tag="privacy_updated"):
    subject = "account_id"

    account_id: AccountId
    privacy: Annotated[Privacy, Personal(erased=Privacy(profile_visibility="private"))]


class AddressAdded(Event, frozen=True, kw_only=True, tag="address_added"):
    subject = "account_id"

    account_id: AccountId
    number: int
    details: Annotated[PostalDetails, Personal(erased=PostalDetails())]
    added_at: datetime


class AddressUpdated(Event, frozen=True, kw_only=True, tag="address_updated"):
    subject = "account_id"

    account_id: AccountId
    number: int
    details: Annotated[PostalDetails, Personal(erased=PostalDetails())]
    updated_at: datetime


class AddressRemoved(Event, frozen=True, kw_only=True, tag="address_removed"):
    account_id: AccountId
    number: int


class DefaultAddressSet(Event, frozen=True, kw_only=True, tag="default_address_set"):
    """The one before is no longer the default."""

    account_id: AccountId
    number: int


class PasswordChanged(Event, frozen=True, kw_only=True, tag="password_changed"):
    subject = "account_id"

    account_id: AccountId
    password_hash: PersonalText


class PasswordReset(Event, frozen=True, kw_only=True, tag="password_reset"):
    subject = "account_id"

    account_id: AccountId
    password_hash: PersonalText


class PasswordRehashed(Event, frozen=True, kw_only=True, tag="password_rehashed"):
    """The same password, hashed as we do it today (C15)."""

    subject = "account_id"

    account_id: AccountId
    password_hash: PersonalText


class AllSessionsRevoked(Event, frozen=True, kw_only=True, tag="all_sessions_revoked"):
    """Every session that was started before this is over, but for the one that is ``spared``."""

    account_id: AccountId
    reason: str
    spared: UUID | None = None


class RoleGranted(Event, frozen=True, kw_only=True, tag="role_granted"):
    account_id: AccountId
    role: Role


class RoleRevoked(Event, frozen=True, kw_only=True, tag="role_revoked"):
    account_id: AccountId
    role: Role


class IdentityLinked(Event, frozen=True, kw_only=True, tag="identity_linked"):
    """``identity`` is what the provider calls this person."""

    subject = "account_id"

    account_id: AccountId
    provider: str
    identity: PersonalText


class IdentityUnlinked(Event, frozen=True, kw_only=True, tag="identity_unlinked"):
    """The provider's word on that person is not taken for this account any more."""

    subject = "account_id"

    account_id: AccountId
    provider: str
    identity: PersonalText


class AccountSuspended(Event, frozen=True, kw_only=True, tag="account_suspended"):
    """An admin's soft delete: nobody signs in, nothing is lost."""

    subject = "account_id"

    account_id: AccountId
    reason: PersonalText
    suspended_at: datetime


class AccountRestored(Event, frozen=True, kw_only=True, tag="account_restored"):
    account_id: AccountId


class AccountFlagged(Event, frozen=True, kw_only=True, tag="account_flagged"):
    """The moderators' flags as they are now."""

    subject = "account_id"

    account_id: AccountId
    flags: tuple[str, ...]
    note: PersonalText = ""


class AccountDeletionRequested(Event, frozen=True, kw_only=True, tag="account_deletion_requested"):
    """From ``erase_after`` on the person is forgotten; until then token number ``number`` takes it back (C21)."""

    subject = "account_id"

    account_id: AccountId
    number: int
    reason: PersonalText
    requested_at: datetime
    erase_after: datetime


class AccountDeletionCancelled(Event, frozen=True, kw_only=True, tag="account_deletion_cancelled"):
    account_id: AccountId


class AccountErased(Event, frozen=True, kw_only=True, tag="account_erased"):
    """The person's key is destroyed because of this, and everything that knows the person forgets them."""

    erases = True

    account_id: AccountId
    erased_at: datetime


class AdminAdded(Event, frozen=True, kw_only=True, tag="admin_added"):
    account_id: AccountId


class AdminRemoved(Event, frozen=True, kw_only=True, tag="admin_removed"):
    account_id: AccountId


class ImpersonationStarted(Event, frozen=True, kw_only=True, tag="impersonation_started"):
    """An admin acts as this account for a while, in session ``session_id``; what they do then bears both names."""

    subject = "account_id"

    account_id: AccountId
    admin_id: AccountId
    session_id: UUID
    reason: PersonalText
    started_at: datetime
    expires_at: datetime


class SessionStarted(Event, frozen=True, kw_only=True, tag="session_started"):
    """``epoch`` counts how often all sessions of the account had been revoked by then."""

    subject = "account_id"

    session_id: UUID
    account_id: AccountId
    started_at: datetime
    expires_at: datetime
    device: PersonalText = ""
    address: PersonalText = ""
    epoch: int = 0
    method: str = "password"
    impersonator: AccountId | None = None


class RefreshTokenRotated(Event, frozen=True, kw_only=True, tag="refresh_token_rotated"):
    session_id: UUID
    generation: int
    rotated_at: datetime
    expires_at: datetime


class RefreshTokenReused(Event, frozen=True, kw_only=True, tag="refresh_token_reused"):
    """Somebody came with a token that had been exchanged already: it was stolen, or its thief was first."""

    session_id: UUID
    generation: int


class SessionRevoked(Event, frozen=True, kw_only=True, tag="session_revoked"):
    session_id: UUID
    reason: str


class LoginFailed(Event, frozen=True, kw_only=True, tag="login_failed"):
    """``account_id`` is none where nobody is known by that name; ``subject_id`` stands for the name then."""

    subject_id: UUID
    account_id: AccountId | None
    failed_at: datetime


class LoginSucceeded(Event, frozen=True, kw_only=True, tag="login_succeeded"):
    """Recorded where it ends a row of failures: every session tells of its own start anyway."""

    subject_id: UUID


class AccountLocked(Event, frozen=True, kw_only=True, tag="account_locked"):
    subject_id: UUID
    account_id: AccountId | None
    until: datetime


class AccountUnlocked(Event, frozen=True, kw_only=True, tag="account_unlocked"):
    subject_id: UUID


class PasswordResetRequested(Event, frozen=True, kw_only=True, tag="password_reset_requested"):
    """Only the token with the highest ``number`` is good, once, and until ``expires_at``."""

    subject_id: UUID
    account_id: AccountId | None
    number: int
    expires_at: datetime


class PasswordResetUsed(Event, frozen=True, kw_only=True, tag="password_reset_used"):
    subject_id: UUID
    number: int


class PasswordResetWithdrawn(Event, frozen=True, kw_only=True, tag="password_reset_withdrawn"):
    """It went to an address that the account has no more."""

    subject_id: UUID
    number: int


AccountEvent: TypeAlias = (
    AccountRegistered
    | EmailVerificationRequested
    | EmailVerified
    | EmailChanged
    | UsernameChanged
    | ProfileUpdated
    | AvatarChanged
    | PreferencesUpdated
    | PrivacyUpdated
    | AddressAdded
    | AddressUpdated
    | AddressRemoved
    | DefaultAddressSet
    | PasswordChanged
    | PasswordReset
    | PasswordRehashed
    | AllSessionsRevoked
    | RoleGranted
    | RoleRevoked
    | IdentityLinked
    | IdentityUnlinked
    | AccountSuspended
    | AccountRestored
    | AccountFlagged
    | ImpersonationStarted
    | AccountDeletionRequested
    | AccountDeletionCancelled
    | AccountErased
)
SessionEvent: TypeAlias = SessionStarted | RefreshTokenRotated | RefreshTokenReused | SessionRevoked
SignInEvent: TypeAlias = (
    LoginFailed
    | LoginSucceeded
    | AccountLocked
    | AccountUnlocked
    | PasswordResetRequested
    | PasswordResetUsed
    | PasswordResetWithdrawn
)
RosterEvent: TypeAlias = AdminAdded | AdminRemoved
