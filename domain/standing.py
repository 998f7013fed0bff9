"""Decisions about a person that are not the account's alone: their shop and the roster of admins follow it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import AccountEvent, Role, RosterEvent
from domain.accounts.roster import Roster
from domain.sellers.events import SellerEvent, SellerStatus, ShopProfile
from domain.sellers.seller import Seller


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded, in the account, the shop and the roster; all of it or nothing."""

    after: Account
    account: Sequence[AccountEvent]
    seller: Sequence[SellerEvent] = ()
    roster: Sequence[RosterEvent] = ()


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """``seller`` is none for somebody who never wanted to sell."""

    account: Account
    seller: Seller | None
    roster: Roster

    def grant(self, role: Role) -> Consequences:
        return self._after(self.account.grant(role))

    def set_role(self, role: Role) -> Consequences:
        """``role`` becomes the highest one (S4 §3.5)."""
        events = self.account.grant(role)
        for higher in _HIGHER[role]:
            events += self.account.revoke(higher)
        return self._after(events)

    def suspend(self, reason: str, now: datetime) -> Consequences:
        return self._after(self.account.suspend(reason, now))

    def restore(self) -> Consequences:
        return self._after(self.account.restore())

    def request_deletion(self, reason: str, now: datetime, grace: timedelta) -> Consequences:
        return self._after(self.account.request_deletion(reason, now, grace))

    def cancel_deletion(self, now: datetime, *, number: int | None = None) -> Consequences:
        return self._after(self.account.cancel_deletion(now, number=number))

    def erase(self, now: datetime) -> Consequences:
        return self._after(self.account.erase(now))

    def begin(self) -> Consequences:
        """Of an account that is new: what its first roles bring with them."""
        return self._after([])

    def _after(self, events: list[AccountEvent]) -> Consequences:
        after = ACCOUNTS.fold(self.account, events)
        assert after is not None
        return Consequences(after=after, account=events, seller=self._shop(after), roster=self._admins(after))

    def _shop(self, after: Account) -> list[SellerEvent]:
        """Nobody buys from somebody who cannot sign in or may not sell any more; who is back sells again."""
        before, seller = self.account, self.seller
        if seller is None:
            return _personal_shop_of(after) if Role.SELLER in after.roles else []
        if after.erased:
            return seller.close()
        events: list[SellerEvent] = []
        if Role.SELLER in after.roles and Role.SELLER not in before.roles:
            events += _may_sell_again(seller)
        elif Role.SELLER in before.roles and Role.SELLER not in after.roles and seller.sells:
            events += seller.suspend("the role was taken away", cause="admin")
        if after.may_sign_in and not before.may_sign_in:
            events += seller.reinstate(cause="account")
        elif before.may_sign_in and not after.may_sign_in:
            events += seller.suspend("the account is not active", cause="account")
        return events

    def _admins(self, after: Account) -> list[RosterEvent]:
        """An admin who cannot sign in is none (C-1: there is always one)."""
        if _administers(after):
            return self.roster.add(after.id)
        return self.roster.remove(after.id) if _administers(self.account) else []


_HIGHER = {
    Role.ADMIN: (),
    Role.AUDITOR: (Role.ADMIN,),
    Role.SELLER: (Role.ADMIN, Role.AUDITOR),
    Role.USER: (Role.ADMIN, Role.AUDITOR, Role.SELLER),
}


def _personal_shop_of(account: Account) -> list[SellerEvent]:
    """Without a slug, so that nothing can be in its way; its owner gives it one (C24)."""
    name = account.profile.display_name or account.profile.first_name or account.username
    return Seller.open_personal(account.id, account.number, ShopProfile(shop_name=name[:100]))


def _may_sell_again(seller: Seller) -> list[SellerEvent]:
    if seller.stage is SellerStatus.PENDING:
        return seller.verify()
    return seller.reinstate(cause="admin") if seller.stage is SellerStatus.VERIFIED else []


def _administers(account: Account) -> bool:
    return Role.ADMIN in account.roles and account.may_sign_in
