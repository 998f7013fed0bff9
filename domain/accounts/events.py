"""What can happen to an account and to its sessions."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, TypeAlias
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


class AccountRegistered(Event, frozen=True, kw_only=True, tag="account_registered"):
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


class RoleGranted(Event, frozen=True, kw_only=True, tag="role_granted"):
    account_id: AccountId
    role: Role


class RoleRevoked(Event, frozen=True, kw_only=True, tag="role_revoked"):
    account_id: AccountId
    role: Role


class SessionStarted(Event, frozen=True, kw_only=True, tag="session_started"):
    subject = "account_id"

    session_id: UUID
    account_id: AccountId
    started_at: datetime
    expires_at: datetime
    device: PersonalText = ""
    address: PersonalText = ""


class RefreshTokenRotated(Event, frozen=True, kw_only=True, tag="refresh_token_rotated"):
    session_id: UUID
    generation: int
    rotated_at: datetime
    expires_at: datetime


class SessionRevoked(Event, frozen=True, kw_only=True, tag="session_revoked"):
    session_id: UUID
    reason: str


AccountEvent: TypeAlias = AccountRegistered | RoleGranted | RoleRevoked
SessionEvent: TypeAlias = SessionStarted | RefreshTokenRotated | SessionRevoked
