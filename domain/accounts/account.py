"""An account: who somebody is, how they prove it, and what they may do."""

from __future__ import annotations

from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.accounts.events import AccountEvent, AccountRegistered, Role, RoleGranted, RoleRevoked
from domain.kernel import AccountId, AlreadyExistsError, Decider, NotFoundError


class EmailExistsError(AlreadyExistsError):
    code = "EMAIL_EXISTS"


class UsernameExistsError(AlreadyExistsError):
    code = "USERNAME_EXISTS"


class UserNotFoundError(NotFoundError):
    code = "USER_NOT_FOUND"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    id: AccountId
    number: int
    email: str
    username: str
    password_hash: str
    first_name: str
    last_name: str
    gender: str
    image: str
    phone: str
    age: int | None
    roles: frozenset[Role]

    @property
    def role(self) -> Role:
        """The highest role (C16)."""
        for role in (Role.ADMIN, Role.AUDITOR, Role.SELLER):
            if role in self.roles:
                return role
        return Role.USER

    def grant(self, role: Role) -> list[AccountEvent]:
        return [] if role in self.roles else [RoleGranted(account_id=self.id, role=role)]

    def revoke(self, role: Role) -> list[AccountEvent]:
        return [RoleRevoked(account_id=self.id, role=role)] if role in self.roles else []

    @classmethod
    def evolve(cls, account: Account | None, event: AccountEvent) -> Account:
        if isinstance(event, AccountRegistered):
            return cls(
                id=event.account_id,
                number=event.number,
                email=event.email,
                username=event.username,
                password_hash=event.password_hash,
                first_name=event.first_name,
                last_name=event.last_name,
                gender=event.gender,
                image=event.image,
                phone=event.phone,
                age=event.age,
                roles=frozenset({Role.USER}),
            )
        assert account is not None, "an account's first event is AccountRegistered"
        match event:
            case RoleGranted(role=role):
                return replace(account, roles=account.roles | {role})
            case RoleRevoked(role=role):
                return replace(account, roles=account.roles - {role})
            case _:
                assert_never(event)


ACCOUNTS: Decider[Account, AccountEvent] = Decider("accounts", Account.evolve)
