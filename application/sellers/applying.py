"""Applying to sell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from application.accounts.people import found
from application.ports import Changed, Clock, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from application.sellers.naming import SlugChoice, slugs_for
from domain.accounts.account import ACCOUNTS
from domain.accounts.events import Caller, Role
from domain.kernel import Event
from domain.sellers.events import ShopProfile, seller_of
from domain.sellers.seller import SELLERS, Seller, SellerAlreadyAppliedError


class ApplyToSell(msgspec.Struct, frozen=True, kw_only=True):
    """``profile`` has the slug that is wished, or none: it is then made from the shop's name."""

    caller: Caller
    profile: ShopProfile
    agreed_to_terms: bool


async def apply_to_sell(
    command: ApplyToSell,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    clock: Clock,
    auto_approve: bool,
) -> Changed[Seller]:
    """With ``auto_approve`` the applicant is verified at once (C24)."""
    caller, profile = command.caller, command.profile
    if caller.is_admin:
        raise SellerAlreadyAppliedError("Admins sell for the house")
    seller_id = seller_of(caller.account_id)
    seller_ref, account_ref = StreamRef(SELLERS, seller_id), StreamRef(ACCOUNTS, caller.account_id)
    before: Seller | None = (await store.load(SELLERS, seller_id)).state
    wished = [profile.slug] if profile.slug else slugs_for(profile.shop_name, seller_id, caller.number)
    slug = SlugChoice.of(seller_id, wished, before.profile.slug if before else "", keys)
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Seller]:
        seller: Seller | None = loaded[0].state
        account = found(loaded[1].state)
        account.require_may_sign_in()

        def applied(chosen: str) -> list[Any]:
            return Seller.apply(
                seller,
                caller.account_id,
                caller.number,
                replace(profile, slug=chosen),
                agreed_to_terms=command.agreed_to_terms,
                at=now,
            )

        applied("")  # refused for what it is, whatever becomes of the slug
        chosen, claimed = slug.decided(loaded[2:], seller)
        events = applied(chosen)
        after = SELLERS.after(seller, events)
        proposed: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [(seller_ref, events), *claimed]
        if auto_approve:
            verified = after.verify()
            events += verified
            after = SELLERS.after(after, verified)
            proposed.append((account_ref, account.grant(Role.SELLER)))
        return Proposal(outcome=after, events=proposed)

    return await store.change_together([seller_ref, account_ref, *slug.refs.values()], decide, metadata)
