"""What admins decide on sellers. Whoever may sell has the role for it, given and taken in the same append."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from application.accounts.people import found
from application.ports import Changed, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.account import ACCOUNTS
from domain.accounts.events import Role
from domain.kernel import SellerId
from domain.sellers.events import SellerEvent
from domain.sellers.seller import SELLERS, HouseSellerError, Seller, SellerNotFoundError


class VerifySeller(msgspec.Struct, frozen=True, kw_only=True):
    seller_id: SellerId


class RejectSeller(msgspec.Struct, frozen=True, kw_only=True):
    seller_id: SellerId
    reason: str


class SuspendSeller(msgspec.Struct, frozen=True, kw_only=True):
    seller_id: SellerId
    reason: str


class ReinstateSeller(msgspec.Struct, frozen=True, kw_only=True):
    seller_id: SellerId


async def verify_seller(command: VerifySeller, metadata: Metadata, *, store: EventStore) -> Changed[Seller]:
    return await _judge(command.seller_id, Seller.verify, metadata, store)


async def reject_seller(command: RejectSeller, metadata: Metadata, *, store: EventStore) -> Changed[Seller]:
    return await _judge(command.seller_id, lambda seller: seller.reject(command.reason), metadata, store)


async def suspend_seller(command: SuspendSeller, metadata: Metadata, *, store: EventStore) -> Changed[Seller]:
    return await _judge(command.seller_id, lambda seller: seller.suspend(command.reason), metadata, store)


async def reinstate_seller(
    command: ReinstateSeller, metadata: Metadata, *, store: EventStore
) -> Changed[Seller]:
    return await _judge(command.seller_id, Seller.reinstate, metadata, store)


async def _judge(
    seller_id: SellerId, decide: Callable[[Seller], list[SellerEvent]], metadata: Metadata, store: EventStore
) -> Changed[Seller]:
    known: Seller | None = (await store.load(SELLERS, seller_id)).state
    if known is None:
        raise SellerNotFoundError("Seller not found")
    if known.account_id is None:
        raise HouseSellerError("The house is verified for ever")
    refs: list[StreamRef[Any, Any]] = [StreamRef(SELLERS, seller_id), StreamRef(ACCOUNTS, known.account_id)]

    def propose(loaded: Sequence[Loaded[Any]]) -> Proposal[Seller]:
        seller: Seller = loaded[0].present
        events = decide(seller)
        after = SELLERS.after(seller, events)
        account = found(loaded[1].state)
        role = account.grant(Role.SELLER) if after.entitled else account.revoke(Role.SELLER)
        return Proposal(outcome=after, events=[(refs[0], events), (refs[1], role)] if events else [])

    return await store.change_together(refs, propose, metadata)
