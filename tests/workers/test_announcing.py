"""What the outside world is told of listings (C52): by a real reactor, on a real stream."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.js.errors import NotFoundError

from domain.accounts.events import Role
from domain.listings.events import (
    ListingDeleted,
    ListingHidden,
    ListingPriceChanged,
    ListingPublished,
    ListingRestored,
    ListingUnhidden,
    ListingUnpublished,
)
from domain.listings.listing import Listing
from domain.money import Money
from projections.product_search.announcements import Announcement
from tests.api.shop import Client, Shop, a_product, soon
from tests.conftest import FreshDatabase
from tests.domain.builders import NOW, a_listing_created, listing_id
from workers.announcing import STREAM, announcement_of
from workers.jetstream import connect

ID = listing_id(1)


def test_a_listing_is_created_when_everybody_can_find_it_and_deleted_when_nobody_can() -> None:
    listing = Listing.evolve(None, a_listing_created())
    told = [announcement_of(None, listing)]
    for event in (
        ListingPriceChanged(listing_id=ID, price=Money(900)),
        ListingPublished(listing_id=ID),
        ListingPriceChanged(listing_id=ID, price=Money(800)),
        ListingHidden(listing_id=ID),
        ListingPriceChanged(listing_id=ID, price=Money(700)),
        ListingUnhidden(listing_id=ID),
        ListingDeleted(listing_id=ID, deleted_at=NOW),
        ListingRestored(listing_id=ID),
        ListingUnpublished(listing_id=ID),
    ):
        after = Listing.evolve(listing, event)
        told.append(announcement_of(listing, after))
        listing = after
    created, updated, deleted = Announcement.CREATED, Announcement.UPDATED, Announcement.DELETED
    assert told == [None, None, created, updated, deleted, None, created, deleted, created, deleted]


@pytest.fixture(scope="module")
def shop(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Shop]:
    folder = servers_folder / "announcing-shop"
    with fresh_database() as url, Shop(url, folder) as shop:
        yield shop
    shutil.rmtree(folder, ignore_errors=True)


async def told(shop: Shop) -> list[dict[str, Any]]:
    """All that the stream holds, as it was published."""
    client = await connect(shop.nats.url, "listener")
    try:
        stream = client.jetstream()
        try:
            info = await stream.stream_info(STREAM)
        except NotFoundError:
            return []
        numbers = range(info.state.first_seq, info.state.last_seq + 1) if info.state.messages else ()
        messages = [await stream.get_msg(STREAM, number) for number in numbers]
        return [{"subject": each.subject, **msgspec.json.decode(each.data or b"")} for each in messages]
    finally:
        await client.close()


async def wiped(shop: Shop) -> None:
    client = await connect(shop.nats.url, "listener")
    try:
        await client.jetstream().delete_stream(STREAM)
    finally:
        await client.close()


def test_each_change_is_told_in_order_also_after_a_death_and_once_more_after_a_loss(shop: Shop) -> None:
    admin: Client = shop.staff(Role.ADMIN)
    category: str = admin.made("/admin/categories", {"name": "Lanterns"})["slug"]
    product = admin.made("/products", a_product(category, title="Storm lantern", status="draft"))

    def types() -> list[str]:
        return [news["type"] for news in shop.run(told(shop)) if news["id"] == product["id"]]

    with shop.also("workers.reactor") as reactor:
        assert admin.post(f"/products/{product['id']}/publish").status_code == 200
        soon(lambda: types() == ["listing.created"], "telling")
        admin.patch(f"/products/{product['id']}", {"price": 12.5})
        soon(lambda: types() == ["listing.created", "listing.updated"], "telling")
        reactor.kill()
    admin.post(f"/admin/products/{product['id']}/hide")
    admin.patch(f"/products/{product['id']}", {"price": 13.5})
    expected = ["listing.created", "listing.updated", "listing.deleted"]
    with shop.also("workers.reactor"):
        soon(lambda: types() == expected, "telling what was missed")
        news = [each for each in shop.run(told(shop)) if each["id"] == product["id"]]
        assert [each["subject"] for each in news] == [f"public.{kind}" for kind in expected]
        assert {each["uuid"] for each in news} == {product["uuid"]}
        assert [each["position"] for each in news] == sorted(each["position"] for each in news)
    shop.run(wiped(shop))
    with shop.also("workers.reactor"):
        soon(lambda: types() == expected, "telling all of it again")
