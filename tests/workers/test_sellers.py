"""What the reactor does for sellers: the house is open, and nobody is followed by people who are gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from application.errors import LogUnavailableError
from application.follows.following import FollowSeller
from application.ports import Changed, Metadata
from application.sellers.opening import OpenHouseSeller
from domain.accounts.events import AccountErased
from domain.follows.events import SellerUnfollowed
from domain.sellers.events import HOUSE_SELLER
from domain.sellers.seller import SELLERS
from tests.application.shop import Shop
from workers.reactor import REACTIONS, open_the_house

FORGETTING = next(each for each in REACTIONS if each.name == "forget-follows")


class Flaky:
    """A bus whose log is away at first."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self.tries = 0

    async def handle(self, command: object, metadata: Metadata) -> Changed[Any]:
        self.tries += 1
        if self.tries == 1:
            raise LogUnavailableError("away")
        return await self._shop.handle(command, metadata)


async def test_the_house_is_opened_as_soon_as_the_log_is_there_and_once() -> None:
    shop = Shop()
    flaky = Flaky(shop)
    await open_the_house(flaky)  # type: ignore[arg-type]  # as much of a bus as is needed
    head = await shop.log.head()
    await open_the_house(shop.bus)
    assert (flaky.tries, await shop.log.head()) == (2, head)
    assert (await shop.now(SELLERS, HOUSE_SELLER)).sells


async def test_who_is_erased_follows_nobody_any_more() -> None:
    shop = Shop()
    await shop.handle(OpenHouseSeller())
    fan = await shop.buyer("fan")
    await shop.handle(FollowSeller(account_id=fan.account_id, seller_id=HOUSE_SELLER))
    head = await shop.log.head()
    erased = AccountErased(account_id=fan.account_id, erased_at=datetime(2026, 11, 21, tzinfo=UTC))
    (command,) = FORGETTING.policy(erased)
    for _ in range(2):
        await shop.handle(command)
    assert await shop.events_after(head) == [
        SellerUnfollowed(account_id=fan.account_id, seller_id=HOUSE_SELLER)
    ]
