"""Who sellers are, several at once: for whoever writes down who has sold something."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import msgspec

from domain.kernel import SellerId
from domain.sellers.events import ShopProfile
from projections.ports import Reads
from projections.sellers.shop import Shop

_decode: Final = msgspec.json.Decoder(Shop).decode


async def profiles_of(reads: Reads, seller_ids: Collection[UUID]) -> dict[SellerId, ShopProfile]:
    rows = await reads.all("SELECT key, document FROM sellers WHERE key = ANY(%s)", list(seller_ids))
    return {SellerId(key): _decode(document).seller.profile for key, document in rows}
