"""How the list of accounts is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import BigInteger, Column, DateTime, Index, Text

from domain.accounts.account import Account
from domain.accounts.events import AccountEvent
from domain.kernel import Recorded
from domain.sellers.events import (
    PersonalSellerOpened,
    SellerApplied,
    SellerClosed,
    SellerProfileUpdated,
    SellerReinstated,
    SellerRejected,
    SellerStatus,
    SellerSuspended,
    SellerVerified,
)
from projections.accounts.account import AccountDocument, Shop, full_name, status_of
from projections.pieces import pieces_column, pieces_of
from projections.projection import Projection, Rows, read_model

accounts = read_model(
    "accounts",
    Column("number", BigInteger, nullable=False),
    Column("role", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("words", Text, nullable=False),
    Column("erase_after", DateTime(timezone=True)),
    Index("idx_accounts_number", "number", unique=True),
    Index("idx_accounts_role", "role", "number"),
    Index("idx_accounts_status", "status", "number"),
    Index("idx_accounts_erase_after", "erase_after"),
    *pieces_column("accounts"),
)
"""``words`` is what admins look for people by: e-mail address, username and name, in small letters."""

SHOP_EVENTS = (
    PersonalSellerOpened,
    SellerApplied,
    SellerVerified,
    SellerRejected,
    SellerSuspended,
    SellerReinstated,
    SellerProfileUpdated,
    SellerClosed,
)


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    account_id: UUID | None = recorded.event.account_id
    return () if account_id is None else (account_id,)


def _fold(document: AccountDocument | None, recorded: Recorded[Any], _: UUID) -> AccountDocument | None:
    event = recorded.event
    if isinstance(event, SHOP_EVENTS):
        return None if document is None else replace(document, shop=_shop(document.shop, event))
    account = Account.evolve(document.account if document else None, event)
    return AccountDocument(
        account=replace(account, password_hash="", identities=()),
        created_at=document.created_at if document else account.registered_at or recorded.timestamp,
        updated_at=recorded.timestamp,
        # With the shop goes SellerClosed. But whoever forgets must not depend on two events being together.
        shop=document.shop if document and not account.erased else None,
    )


def _shop(shop: Shop | None, event: Any) -> Shop | None:
    if isinstance(event, PersonalSellerOpened | SellerApplied):
        opened = isinstance(event, PersonalSellerOpened)
        return Shop(
            id=str(event.seller_id),
            shop_name=event.profile.shop_name,
            slug=event.profile.slug,
            kind="personal" if opened else "shop",
            status=SellerStatus.VERIFIED if opened else SellerStatus.PENDING,
        )
    if shop is None or isinstance(event, SellerClosed):
        return None
    if isinstance(event, SellerProfileUpdated):
        return replace(shop, shop_name=event.profile.shop_name, slug=event.profile.slug)
    return replace(shop, status=_STATUSES[type(event)])


_STATUSES: Mapping[type[Any], SellerStatus] = {
    SellerVerified: SellerStatus.VERIFIED,
    SellerRejected: SellerStatus.REJECTED,
    SellerSuspended: SellerStatus.SUSPENDED,
    SellerReinstated: SellerStatus.VERIFIED,
}


def _row(document: AccountDocument) -> dict[str, Any]:
    account = document.account
    names = (account.email, account.username, full_name(account.profile), account.profile.display_name)
    words = " ".join(names).lower()
    return {
        "number": account.number,
        "role": account.role,
        "status": status_of(account),
        "words": words,
        "pieces": pieces_of(words),
        "erase_after": None if account.deletion is None else account.deletion.erase_after,
    }


ACCOUNT_LIST = Projection(
    name="accounts",
    version=4,
    events=(*get_args(AccountEvent), *SHOP_EVENTS),
    document=AccountDocument,
    keys=_keys,
    fold=_fold,
    into=Rows(table=accounts, row=_row),
)
