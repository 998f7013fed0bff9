"""Who sellers are, several at once: for whoever writes down who has sold something."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

import msgspec

from domain.kernel import SellerId
from domain.sellers.seller import Seller
from projections.ports import Reads
from projections.sellers.shop import Shop

_decode: Final = msgspec.json.Decoder(Shop).decode


async def sellers_of(reads: Reads, seller_ids: Collection[UUID]) -> dict[SellerId, Seller]:
    rows = await reads.all("SELECT key, document FROM sellers WHERE key = ANY(%s)", list(seller_ids))
    return {SellerId(key): _decode(document).seller for key, document in rows}
