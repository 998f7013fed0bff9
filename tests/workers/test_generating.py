"""Made-up listings in bulk: as if each had come by a command of its own."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from application.adapters.codec import EventCodec
from application.adapters.keys import MasterKeys, PostgresPersonKeys
from application.bootstrap import write_side
from application.listings.creating import LISTING_SLUG
from domain.accounts.events import Role
from domain.attributes import faults_of_attributes
from domain.categories.events import ListingShelved, shelves_of
from domain.categories.shelf import CATEGORY_SHELVES
from domain.claims.claim import CLAIMS
from domain.kernel import Event, Recorded
from domain.listings.events import ListingCreated, ListingStatus
from domain.listings.listing import LISTINGS, Listing, described_by
from domain.registry import AGGREGATES, EVENTS
from domain.sellers.seller import SELLERS
from tests.api.shop import ADDRESS, Shop, soon
from tests.application.test_settings import GOOD
from tests.conftest import FreshDatabase
from workers.assortment import Assortment, Fate, schema_of
from workers.generating import Figures, NotHereError, generate_listings
from workers.seeding import Catalogue

LISTINGS_MADE = 200


class Generated:
    """A shop with generated listings, and what its log says of them."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.figures = [self.generate(120), self.generate(LISTINGS_MADE)]
        self.events = shop.run(self._events())
        self.listings = self._listings()

    def generate(self, listings: int) -> Figures:
        figures: Figures = self.shop.run(
            generate_listings(
                self.shop.environment(), Console(file=io.StringIO()), listings=listings, sellers=1, seed=3
            )
        )
        return figures

    async def _events(self) -> list[Recorded[Event]]:
        async with write_side(self.shop.settings) as write:
            keys = PostgresPersonKeys(
                write.database, MasterKeys.parse(self.shop.settings.tradelog_master_key)
            )
            return await EventCodec(EVENTS, AGGREGATES, keys).decode(await write.log.read(0, 100_000))

    def of_stream(self, stream: object) -> list[Any]:
        return [each.event for each in self.events if each.stream == stream]

    def _listings(self) -> list[Listing]:
        streams = [each.stream for each in self.events if isinstance(each.event, ListingCreated)]
        folded = [LISTINGS.fold(None, self.of_stream(stream)) for stream in streams]
        return [listing for listing in folded if listing is not None]


@pytest.fixture(scope="module")
def generated(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[Generated]:
    folder = servers_folder / "generated-shop"
    with fresh_database() as url, Shop(url, folder) as shop:
        yield Generated(shop)
    shutil.rmtree(folder, ignore_errors=True)


class TestTheLog:
    def test_it_holds_as_many_as_were_wanted(self, generated: Generated) -> None:
        """The second run was for more of the same, and went on where the first one had ended."""
        assert [sum(each.fates.values()) for each in generated.figures] == [120, LISTINGS_MADE]
        numbers = [listing.number for listing in generated.listings]
        assert len(numbers) == LISTINGS_MADE
        assert numbers == sorted(set(numbers))

    def test_every_listing_came_to_what_was_meant_for_it(self, generated: Generated) -> None:
        found: Counter[str] = Counter()
        for listing in generated.listings:
            if listing.deleted:
                found[Fate.DELETED] += 1
            elif listing.moderation != "visible":
                found[Fate(listing.moderation)] += 1
            else:
                found["on sale" if listing.status is ListingStatus.ACTIVE else listing.status] += 1
        meant = Counter(generated.figures[-1].fates)
        meant["draft"] += meant.pop(Fate.UNPUBLISHED, 0)
        assert found == meant
        assert {Fate.ON_SALE, Fate.SOLD, Fate.DRAFT} <= meant.keys()

    def test_every_slug_is_claimed_for_its_listing(self, generated: Generated) -> None:
        async def claims() -> list[object]:
            async with write_side(generated.shop.settings) as write:
                ids = [write.keys.claim_id(LISTING_SLUG, listing.slug) for listing in generated.listings]
            return [CLAIMS.fold(None, generated.of_stream(claim)) for claim in ids]

        owners = [getattr(claim, "owner", None) for claim in generated.shop.run(claims())]
        assert owners == [listing.id for listing in generated.listings]

    def test_every_listing_is_counted_on_its_shelves(self, generated: Generated) -> None:
        expected = Counter(each for listing in generated.listings for each in listing.category_ids)
        for category_id, count in expected.items():
            shelves = [
                CATEGORY_SHELVES.fold(None, generated.of_stream(shelf)) for shelf in shelves_of(category_id)
            ]
            assert sum(shelf.listings for shelf in shelves if shelf is not None) == count
        shelved = [each for each in generated.events if isinstance(each.event, ListingShelved)]
        assert len(shelved) == expected.total()

    def test_everybody_who_offers_something_may(self, generated: Generated) -> None:
        for seller_id in {listing.seller_id for listing in generated.listings}:
            seller = SELLERS.after(None, generated.of_stream(seller_id))
            assert seller.sells

    def test_what_they_say_of_themselves_is_as_their_category_wants_it(self, generated: Generated) -> None:
        for listing in generated.listings:
            schema = described_by(schema_of(listing.category))
            assert faults_of_attributes(schema, listing.attributes) == {}
            listing.require_publishable(schema)


class TestTheShop:
    def test_what_is_on_sale_is_listed_and_can_be_bought(self, generated: Generated) -> None:
        shop = generated.shop
        on_sale = generated.figures[-1].fates[Fate.ON_SALE]
        assert shop.guest.get("/products?limit=1").json()["total"] == on_sale
        listing = next(each for each in generated.listings if each.on_sale and each.stock > 1)
        buyer = shop.user()
        body = {"products": [{"id": listing.number, "quantity": 1}], "shippingAddress": ADDRESS}
        order = buyer.made("/orders", body)
        assert order["products"][0]["title"] == listing.title

    def test_after_a_rebuild_it_is_all_the_same(self, generated: Generated) -> None:
        admin = generated.shop.staff(Role.ADMIN)

        def active() -> dict[str, Any]:
            listed = admin.get("/admin/projections").json()["projections"]
            found: dict[str, Any] = next(each for each in listed if each["name"] == "products")["active"]
            return found

        first = active()["generation"]
        assert admin.post("/admin/projections/products/rebuild").status_code == 202
        soon(lambda: active()["generation"] == first + 1, "the switch to the new generation", within=60)

    def test_generating_the_same_again_changes_nothing(self, generated: Generated) -> None:
        head = generated.shop.head()
        assert generated.generate(LISTINGS_MADE).fates == generated.figures[-1].fates
        assert generated.shop.head() == head


async def test_nothing_is_made_up_in_production() -> None:
    with pytest.raises(NotHereError):
        await generate_listings(GOOD, Console(file=io.StringIO()), listings=1, sellers=1, seed=1)


def test_the_same_seed_makes_the_same_listings() -> None:
    catalogue = Catalogue.read()
    first, second, other = (Assortment(catalogue, sellers=9, seed=seed) for seed in (1, 1, 2))
    made = [first.article(index) for index in range(300)]
    assert made == [second.article(index) for index in range(300)]
    assert made != [other.article(index) for index in range(300)]
    assert len({article.title for article in made}) > 280
    assert len({article.category for article in made}) == len(catalogue.categories)
    assert any(article.stock == 0 for article in made)
