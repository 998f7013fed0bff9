"""Decisions about a person that are not the account's alone: their shop and the roster of admins follow it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import AccountEvent, Role, RosterEvent
from domain.accounts.roster import ADMINS, Roster
from domain.sellers.events import SellerEvent, SellerStatus, ShopProfile
from domain.sellers.seller import SELLERS, Seller


class Consequences(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded, in the account, the shop and the roster; all of it or nothing."""

    after: Account
    account: Sequence[AccountEvent]
    seller: Sequence[SellerEvent] = ()
    roster: Sequence[RosterEvent] = ()


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """``seller`` is none for somebody who never wanted to sell; ``by`` is who decides on them, if an account does."""

    account: Account
    seller: Seller | None
    roster: Roster
    by: Account | None = None

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
        after = ACCOUNTS.after(self.account, events)
        return Consequences(after=after, account=events, seller=self._shop(after), roster=self._admins(after))

    def _shop(self, after: Account) -> list[SellerEvent]:
        """Nobody buys from somebody who cannot sign in or may not sell any more; who is back sells again."""
        before, seller = self.account, self.seller
        if seller is None:
            return _shop_of(after) if Role.SELLER in after.roles else []
        if after.erased:
            return seller.close()
        events: list[SellerEvent] = []
        if Role.SELLER in after.roles and Role.SELLER not in before.roles:
            events += _may_sell_again(seller)
        elif Role.SELLER in before.roles and Role.SELLER not in after.roles and seller.entitled:
            events += seller.suspend("the role was taken away", cause="admin")
        if after.may_sign_in and not before.may_sign_in:
            events += seller.reinstate(cause="account")
        elif before.may_sign_in and not after.may_sign_in:
            events += _closed_with_the_account(seller)
        return events

    def _admins(self, after: Account) -> list[RosterEvent]:
        """An admin who cannot sign in is none (C-1: there is always one)."""
        if not (_administers(after) or _administers(self.account)):
            return []
        # An admin from before there was a roster gets onto it by acting as one.
        events = self.roster.add(self.by.id) if self.by is not None and _administers(self.by) else []
        roster = ADMINS.fold(self.roster, events) or self.roster
        return [*events, *(roster.add(after.id) if _administers(after) else roster.remove(after.id))]


_HIGHER = {
    Role.ADMIN: (),
    Role.AUDITOR: (Role.ADMIN,),
    Role.SELLER: (Role.ADMIN, Role.AUDITOR),
    Role.USER: (Role.ADMIN, Role.AUDITOR, Role.SELLER),
}


def _shop_of(account: Account) -> list[SellerEvent]:
    """Without a slug, so that nothing can be in its way; its owner gives it one (C24).

    Who had the role before sellers had events may have things for sale: they are closed with the account too.
    """
    name = account.profile.display_name or account.profile.first_name or account.username
    opened = Seller.open_personal(account.id, account.number, ShopProfile(shop_name=name[:100]))
    seller = SELLERS.after(None, opened)
    return opened if account.may_sign_in else [*opened, *_closed_with_the_account(seller)]


def _closed_with_the_account(seller: Seller) -> list[SellerEvent]:
    return seller.suspend("the account is not active", cause="account")


def _may_sell_again(seller: Seller) -> list[SellerEvent]:
    if seller.stage is SellerStatus.PENDING:
        return seller.verify()
    return seller.reinstate(cause="admin") if seller.stage is SellerStatus.VERIFIED else []


def _administers(account: Account) -> bool:
    return Role.ADMIN in account.roles and account.may_sign_in
