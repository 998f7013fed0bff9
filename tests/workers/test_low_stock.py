"""From the inventory by the scheduler into the log: sellers are told once of what there are but few left of."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from application.errors import LogUnavailableError
from application.listings.noting_low_stock import NoteLowStock
from application.ports import Metadata
from domain.kernel import ListingId, RuleViolatedError, SellerId
from domain.listings.events import LowStockReached
from domain.listings.listing import Listing
from domain.sellers.events import HOUSE_SELLER
from projections.inventory.query import LowStock
from tests.application.shop import Shop
from workers.jobs import tell_low_stock

OTHER = SellerId(UUID(int=1))


class RefusedError(RuleViolatedError):
    code = "REFUSED"


class Inventory:
    """The read model, as far as the scheduler asks it; it has not heard of anything since."""

    def __init__(self, *low: LowStock) -> None:
        self.low = sorted(low, key=lambda each: (each.available, each.number))
        self.asked: list[tuple[Any, ...]] = []

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        raise NotImplementedError

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        self.asked.append(parameters)
        _, *behind, limit = parameters
        rows = [(each.available, each.number, each.listing_id, each.seller_id) for each in self.low]
        return [row for row in rows if not behind or row[:2] > tuple(behind)][:limit]


class Bus:
    """Remembers what it was told; ``refusals`` are what it says to the first of some listings."""

    def __init__(self, **refusals: Exception) -> None:
        self.refusals = refusals
        self.commands: list[NoteLowStock] = []

    async def handle(self, command: object, metadata: Metadata) -> None:
        assert isinstance(command, NoteLowStock)
        assert metadata.actor == "worker:scheduler"
        if (refusal := self.refusals.get(f"n{command.listing_ids[0].int}")) is not None:
            raise refusal
        self.commands.append(command)


def low(number: int, seller_id: SellerId = HOUSE_SELLER, available: int = 0) -> LowStock:
    return LowStock(available, number, ListingId(UUID(int=number)), seller_id)


def row_of(listing: Listing) -> LowStock:
    return LowStock(listing.available, listing.number, listing.id, listing.seller_id)


class TestTheJob:
    async def test_tells_each_seller_of_many_things_at_once_however_many_there_are(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("workers.jobs.MOST_AT_ONCE", 4)
        monkeypatch.setattr("workers.jobs.TOLD_TOGETHER", 2)
        bus, inventory = Bus(), Inventory(*(low(n) for n in range(1, 6)), low(6, OTHER), low(7, OTHER, 3))
        assert await tell_low_stock(bus, inventory, 5) == 4
        told = [
            (command.seller_id, [each.int for each in command.listing_ids], command.threshold)
            for command in bus.commands
        ]
        assert told == [
            (HOUSE_SELLER, [1, 2], 5),
            (HOUSE_SELLER, [3, 4], 5),
            (HOUSE_SELLER, [5], 5),
            (OTHER, [6, 7], 5),
        ]
        assert [asked[:1] for asked in inventory.asked] == [(5,)] * 3

    async def test_is_held_up_by_nobody_who_cannot_be_told(self) -> None:
        bus = Bus(n1=KeyError("a bug"))
        with pytest.raises(ExceptionGroup) as failed:
            await tell_low_stock(bus, Inventory(low(1), low(2, OTHER)), 5)
        assert [type(each) for each in failed.value.exceptions] == [KeyError]
        assert [command.seller_id for command in bus.commands] == [OTHER]
        assert await tell_low_stock(Bus(n1=RefusedError("no")), Inventory(low(1)), 5) == 0

    async def test_stops_where_the_log_does_not_answer(self) -> None:
        bus = Bus(n1=LogUnavailableError("down"))
        with pytest.raises(LogUnavailableError):
            await tell_low_stock(bus, Inventory(low(1), low(2, OTHER)), 5)
        assert bus.commands == []

    async def test_is_done_once_whatever_the_list_says(self) -> None:
        shop = Shop()
        thing, plenty = await shop.listing(stock=5), await shop.listing()
        head = await shop.log.head()
        for _ in range(2):
            await tell_low_stock(shop.bus, Inventory(row_of(thing), row_of(plenty)), 5)
        assert await shop.events_after(head) == [
            LowStockReached(listing_id=thing.id, seller_id=HOUSE_SELLER, available=5, threshold=5)
        ]
