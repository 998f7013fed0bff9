"""Carts that nobody has come back to are emptied, however many there are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from application.carts.abandoning import AbandonCart
from application.carts.filling import AddToCart
from application.errors import ConcurrentChangeError
from application.ports import Metadata
from application.settings import Settings, SettingsError
from domain.carts.cart import ABANDONED_AFTER
from domain.carts.events import CartAbandoned, cart_of
from domain.kernel import CartId
from tests.application.shop import Shop
from workers.jobs import abandon_idle_carts


class CartList:
    """The read model of carts, as far as the scheduler asks it; it has not heard of anything since."""

    def __init__(self, since: datetime, *idle: UUID) -> None:
        self.idle = [(since, cart_id) for cart_id in sorted(idle)]
        self.moments: list[datetime] = []

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        raise NotImplementedError

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        moment, *behind, limit = parameters
        self.moments.append(moment)
        return [row for row in self.idle if not behind or row > tuple(behind)][:limit]


class Emptying:
    """Remembers which carts were emptied; ``refusals`` are what it says to some."""

    def __init__(self, refusals: dict[UUID, Exception] | None = None) -> None:
        self.refusals = refusals or {}
        self.emptied: list[UUID] = []

    async def handle(self, command: object, metadata: Metadata) -> None:
        assert isinstance(command, AbandonCart)
        assert metadata.actor == "worker:scheduler"
        if command.cart_id in self.refusals:
            raise self.refusals[command.cart_id]
        self.emptied.append(command.cart_id)


async def test_all_that_are_due_are_emptied_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.jobs.MOST_AT_ONCE", 3)
    clock = Shop().clock
    idle = [uuid4() for _ in range(7)]
    bus, carts = Emptying(), CartList(clock.at, *idle)
    assert await abandon_idle_carts(bus, carts, clock, timedelta(days=30)) == 7
    assert bus.emptied == sorted(idle)
    assert len(carts.moments) == 4
    assert set(carts.moments) == {clock.at - timedelta(days=30)}


async def test_one_that_cannot_be_emptied_holds_up_no_other() -> None:
    broken, busy, due = sorted(uuid4() for _ in range(3))
    bus = Emptying({broken: KeyError("a bug"), busy: ConcurrentChangeError("busy")})
    clock = Shop().clock
    with pytest.raises(ExceptionGroup) as failed:
        await abandon_idle_carts(bus, CartList(clock.at, broken, busy, due), clock, ABANDONED_AFTER)
    assert bus.emptied == [due]
    assert [type(each) for each in failed.value.exceptions] == [KeyError, ConcurrentChangeError]


async def test_it_is_for_the_cart_to_decide_whatever_the_list_says() -> None:
    shop = Shop()
    listing, buyer = await shop.listing(), await shop.buyer()
    await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
    cart_id: CartId = cart_of(buyer.account_id)
    carts = CartList(shop.clock.at, cart_id)
    head = await shop.log.head()
    shop.clock.at += ABANDONED_AFTER - timedelta(seconds=1)
    await abandon_idle_carts(shop.bus, carts, shop.clock, ABANDONED_AFTER)
    assert await shop.log.head() == head
    shop.clock.at += timedelta(seconds=1)
    for _ in range(2):
        await abandon_idle_carts(shop.bus, carts, shop.clock, ABANDONED_AFTER)
    assert await shop.events_after(head) == [CartAbandoned(cart_id=cart_id, at=shop.clock.at)]


def test_how_long_is_a_setting() -> None:
    given = {
        "DATABASE_URL": "postgresql://localhost/shop",
        "JWT_SECRET": "j" * 32,
        "TRADELOG_MASTER_KEY": "m",
    }
    assert Settings.read(given).cart_patience == timedelta(days=30) == ABANDONED_AFTER
    assert Settings.read({**given, "CART_ABANDONED_AFTER": "12h"}).cart_patience == timedelta(hours=12)
    with pytest.raises(SettingsError, match="CART_ABANDONED_AFTER"):
        Settings.read({**given, "CART_ABANDONED_AFTER": "soon"})
