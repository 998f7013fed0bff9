"""What sellers are called: the slugs of their shops, and finding them by any of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from application.claims import owner_of
from application.errors import ConcurrentChangeError
from application.ports import EventStore, Keys, Loaded, StreamRef
from application.slugs import reference_kind, slug_of
from domain.categories.category import SlugExistsError
from domain.claims.claim import CLAIMS, Claim
from domain.claims.events import ClaimEvent
from domain.kernel import AccountId, SellerId, stream_id
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS, Seller, SellerNotFoundError

SHOP_SLUG = "shop-slug"


class SlugChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The slugs that a seller would take, the dearest first, and the one that it has now, if any."""

    owner: SellerId
    wished: Sequence[str]
    held: str
    refs: Mapping[str, StreamRef[Any, Any]]

    @classmethod
    def of(cls, owner: SellerId, wished: Sequence[str], held: str, keys: Keys) -> SlugChoice:
        slugs = dict.fromkeys((*wished, held) if held else wished)
        refs = {slug: shop_claim(slug, keys) for slug in slugs}
        return cls(owner=owner, wished=wished, held=held, refs=refs)

    def decided(
        self, claims: Sequence[Loaded[Claim]], seller: Seller | None
    ) -> tuple[str, list[tuple[StreamRef[Any, Any], Sequence[ClaimEvent]]]]:
        """The first that is free, and what happens to the claims (in the order of ``refs``) for it."""
        if (seller.profile.slug if seller else "") != self.held:
            raise ConcurrentChangeError("The shop's slug has changed meanwhile")
        states = {slug: claim.state for slug, claim in zip(self.refs, claims, strict=True)}
        for slug in self.wished:
            taken = Claim.take(states[slug], SHOP_SLUG, self.owner)
            if taken is None:
                continue
            events: list[tuple[StreamRef[Any, Any], Sequence[ClaimEvent]]] = [(self.refs[slug], taken)]
            if self.held and slug != self.held:
                released = Claim.release(states[self.held], SHOP_SLUG, self.owner)
                events.append((self.refs[self.held], released))
            return slug, events
        raise SlugExistsError


def shop_claim(slug: str, keys: Keys) -> StreamRef[Any, Any]:
    """Where it stands whose slug this is."""
    return StreamRef(CLAIMS, keys.claim_id(SHOP_SLUG, slug))


def slugs_for(shop_name: str, owner: SellerId, number: int) -> list[str]:
    """What a shop's slug can be made of its name; the last one is nobody else's."""
    slug = slug_of(shop_name)
    return [slug, f"{slug}-{number}", f"{slug}-{owner.hex[:12]}"]


async def seller_called(reference: str, store: EventStore, keys: Keys) -> SellerId:
    """The seller of a seller's uuid, a shop's slug, or an account's integer id or uuid (C37).

    Whether there is one is the command's to find out; only of a uuid that may be either is it looked up.
    """
    match reference_kind(reference):
        case int() as number:
            return seller_of(AccountId(stream_id("account", number)))
        case str() as slug:
            owner = await owner_of(SHOP_SLUG, slug, store, keys)
            if owner is None:
                raise SellerNotFoundError("Seller not found")
            return SellerId(owner)
        case UUID() as stream:
            (found,) = await store.load_many([StreamRef(SELLERS, stream)])
            return SellerId(stream) if found.state is not None else seller_of(AccountId(stream))
