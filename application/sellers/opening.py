"""Opening the house's own shop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from application.sellers.naming import SlugChoice, slugs_for
from domain.sellers.events import HOUSE_SELLER
from domain.sellers.seller import SELLERS, Seller


class OpenHouseSeller(msgspec.Struct, frozen=True, kw_only=True):
    """The shop that sells the catalogue (C57). Open already, it stays as it is."""

    shop_name: str = "Tradelog"


async def open_house_seller(
    command: OpenHouseSeller, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Seller]:
    ref = StreamRef(SELLERS, HOUSE_SELLER)
    before: Seller | None = (await store.load(SELLERS, HOUSE_SELLER)).state
    held = before.profile.slug if before else ""
    slug = SlugChoice.of(HOUSE_SELLER, slugs_for("house", HOUSE_SELLER, 0), held, keys)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Seller]:
        house: Seller | None = loaded[0].state
        if house is not None:
            return Proposal(outcome=house, events=[])
        chosen, claimed = slug.decided(loaded[1:], house)
        events = Seller.open_house(house, command.shop_name, chosen)
        opened = SELLERS.after(None, events)
        return Proposal(outcome=opened, events=[(ref, events), *claimed])

    return await store.change_together([ref, *slug.refs.values()], decide, metadata)
