"""Keeping promotions. Those that apply by themselves are put on the roster in the same append."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from application.categories.creating import category_for_listings
from application.listings.changing import listing_called
from application.ports import Changed, Clock, EventStore, Keys, Loaded, Metadata, Numbers, Proposal, StreamRef
from application.promotions.dealing import OFFERS_REF
from application.promotions.naming import COUPON_CODE, PROMOTION_SLUG, Name, plain_code, promotion_called
from application.sellers.naming import seller_called
from application.slugs import slug_of
from domain.kernel import InvalidInputError, NotFoundError, PromotionId, stream_id
from domain.listings.listing import LISTINGS
from domain.promotions.events import OfferEvent, Scope, ScopeKind, Terms
from domain.promotions.offers import Offers
from domain.promotions.promotion import PROMOTIONS, Promotion, found
from domain.sellers.seller import SELLERS


class ScopeWish(msgspec.Struct, frozen=True, kw_only=True):
    """A scope as people say it: ``references`` are ids, uuids or slugs."""

    kind: ScopeKind
    references: tuple[str, ...] = ()


class CreatePromotion(msgspec.Struct, frozen=True, kw_only=True):
    """Without a slug it gets one made of its name. ``terms`` have no scope; that is ``scope``'s to say."""

    terms: Terms
    scope: ScopeWish
    active: bool = True


class ChangePromotion(msgspec.Struct, frozen=True, kw_only=True):
    """``reference`` is any name of it, ``fields`` are those of its terms that are given; the others stay."""

    reference: str
    fields: Mapping[str, Any]
    scope: ScopeWish | None = None
    active: bool | None = None


class DeletePromotion(msgspec.Struct, frozen=True, kw_only=True):
    """``reference`` is any name of it."""

    reference: str


async def create_promotion(
    command: CreatePromotion,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    clock: Clock,
) -> Changed[Promotion]:
    if metadata.once is not None:
        # What the scope names may be gone by the time the command is repeated.
        await store.raise_if_answered(metadata.once)
    wished = command.terms
    scope = await _scope(command.scope, store, keys)
    number = await numbers.next("promotions")
    promotion_id = PromotionId(stream_id("promotion", number))
    made = slug_of(wished.name)
    slugs = [wished.slug] if wished.slug else [made, f"{made}-{number}"]
    slug = Name.of(PROMOTION_SLUG, promotion_id, slugs, "", keys)
    code = Name.of(COUPON_CODE, promotion_id, [plain_code(wished.code)], "", keys)
    now = clock.now()
    # The promotion comes first, though there is none yet: its version is what the client may ask to be unchanged.
    ref = StreamRef(PROMOTIONS, promotion_id)
    refs: list[StreamRef[Any, Any]] = [ref, OFFERS_REF, *slug.refs.values(), *code.refs.values()]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Promotion]:
        states = {each.id: state for each, state in zip(refs, loaded, strict=True)}
        chosen, slug_claimed = slug.decided(states, "")
        coupon, code_claimed = code.decided(states, "")
        terms = replace(wished, slug=chosen, code=coupon, scope=scope)
        created = Promotion.create(promotion_id, number, terms, active=command.active)
        promotion = PROMOTIONS.after(None, created)
        offers: Offers = loaded[1].state or Offers()
        posted = offers.post(promotion.offer, now) if promotion.automatic and promotion.active else []
        return Proposal(
            outcome=promotion, events=[(ref, created), (OFFERS_REF, posted), *slug_claimed, *code_claimed]
        )

    return await store.change_together(refs, decide, metadata)


async def change_promotion(
    command: ChangePromotion, metadata: Metadata, *, store: EventStore, keys: Keys, clock: Clock
) -> Changed[Promotion]:
    promotion_id, before = await _kept(command.reference, metadata, store, keys)
    scope = None if command.scope is None else await _scope(command.scope, store, keys)
    slug_wished = command.fields.get("slug") or before.slug
    code_wished = plain_code(command.fields.get("code", before.code))
    slug = Name.of(PROMOTION_SLUG, promotion_id, [slug_wished], before.slug, keys)
    code = Name.of(COUPON_CODE, promotion_id, [code_wished], before.code, keys)
    now = clock.now()
    ref = StreamRef(PROMOTIONS, promotion_id)
    refs: list[StreamRef[Any, Any]] = [ref, OFFERS_REF, *slug.refs.values(), *code.refs.values()]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Promotion]:
        states = {each.id: state for each, state in zip(refs, loaded, strict=True)}
        promotion = found(loaded[0].state)
        chosen, slug_claimed = slug.decided(states, promotion.terms.slug)
        coupon, code_claimed = code.decided(states, promotion.terms.code)
        changes = {**command.fields, "slug": chosen, "code": coupon}
        if scope is not None:
            changes["scope"] = scope
        events = promotion.change(replace(promotion.terms, **changes))
        if command.active is not None:
            events += promotion.switch(active=command.active)
        after = PROMOTIONS.after(promotion, events)
        offers: Offers = loaded[1].state or Offers()
        shown: list[OfferEvent] = (
            offers.post(after.offer, now) if after.automatic and after.active else offers.withdraw(after.id)
        )
        return Proposal(
            outcome=after,
            events=[(ref, events), (OFFERS_REF, shown if events else []), *slug_claimed, *code_claimed],
        )

    return await store.change_together(refs, decide, metadata)


async def delete_promotion(
    command: DeletePromotion, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Promotion]:
    """Its slug and code are free again; orders keep what it took off them."""
    promotion_id, before = await _kept(command.reference, metadata, store, keys)
    slug = Name.of(PROMOTION_SLUG, promotion_id, [""], before.slug, keys)
    code = Name.of(COUPON_CODE, promotion_id, [""], before.code, keys)
    ref = StreamRef(PROMOTIONS, promotion_id)
    refs: list[StreamRef[Any, Any]] = [ref, OFFERS_REF, *slug.refs.values(), *code.refs.values()]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Promotion]:
        states = {each.id: state for each, state in zip(refs, loaded, strict=True)}
        promotion = found(loaded[0].state)
        _, slug_released = slug.decided(states, promotion.terms.slug)
        _, code_released = code.decided(states, promotion.terms.code)
        deleted = promotion.delete()
        after = PROMOTIONS.after(promotion, deleted)
        offers: Offers = loaded[1].state or Offers()
        return Proposal(
            outcome=after,
            events=[
                (ref, deleted),
                (OFFERS_REF, offers.withdraw(promotion.id)),
                *slug_released,
                *code_released,
            ],
        )

    return await store.change_together(refs, decide, metadata)


async def _kept(
    reference: str, metadata: Metadata, store: EventStore, keys: Keys
) -> tuple[PromotionId, Terms]:
    """Which one is meant, and its terms by now. A repeated command is answered though what it named may be gone."""
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    promotion_id = await promotion_called(reference, store, keys)
    return promotion_id, found((await store.load(PROMOTIONS, promotion_id)).state).terms


async def _scope(wish: ScopeWish, store: EventStore, keys: Keys) -> Scope:
    """The scope that is meant; each reference to something that is not there is a fault of its own."""
    if wish.kind is ScopeKind.ALL:
        return Scope()
    named: list[Any] = []
    faults: dict[str, list[str]] = {}
    for index, reference in enumerate(wish.references):
        try:
            named += await _in_scope(wish.kind, reference, store, keys)
        except NotFoundError:
            faults[f"scopeIds[{index}]"] = ["Does not exist"]
    if faults:
        raise InvalidInputError(faults)
    those = tuple(dict.fromkeys(named))
    match wish.kind:
        case ScopeKind.CATEGORIES:
            return Scope(kind=wish.kind, category_ids=those)
        case ScopeKind.PRODUCTS:
            return Scope(kind=wish.kind, listings=those)
        case ScopeKind.SELLERS:
            return Scope(kind=wish.kind, sellers=those)


async def _in_scope(kind: ScopeKind, reference: str, store: EventStore, keys: Keys) -> Sequence[Any]:
    if kind is ScopeKind.CATEGORIES:
        return [(await category_for_listings(reference, store, keys)).id]
    if kind is ScopeKind.PRODUCTS:
        listing_id = await listing_called(reference, store, keys)
        ref: StreamRef[Any, Any] = StreamRef(LISTINGS, listing_id)
    else:
        ref = StreamRef(SELLERS, await seller_called(reference, store, keys))
    if (await store.load(ref.decider, ref.id)).state is None:
        raise NotFoundError("Not found")
    return [ref.id]
