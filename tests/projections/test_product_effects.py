"""Which lists a change of one product may concern that do not show it."""

from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.kernel import CategoryId, Event, ListingId, Recorded, SellerId
from domain.listings.events import ListingCreated, ListingPublished
from domain.money import Money
from projections.products.effects import IN_STOCK, LISTED, RATED, effects_on_lists
from projections.products.product import Product
from projections.products.projector import fold_product

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PHONE = ListingId(UUID(int=1))


def folded(*events: Event) -> Product:
    product: Product | None = None
    for version, event in enumerate(events, 1):
        recorded: Recorded[Event] = Recorded(
            event=event,
            id=UUID(int=0),
            stream=PHONE,
            aggregate="listings",
            version=version,
            position=version,
            timestamp=NOON,
            actor="",
        )
        product = fold_product(product, recorded, PHONE)
    assert product is not None
    return product


CREATED = ListingCreated(
    listing_id=PHONE,
    number=1,
    seller_id=SellerId(UUID(int=2)),
    slug="phone",
    title="Phone",
    description="A phone",
    price=Money(100),
    category_id=CategoryId(UUID(int=3)),
    category="phones",
    stock=5,
)
DRAFT = folded(CREATED)
ACTIVE = folded(CREATED, ListingPublished(listing_id=PHONE))


def listing(**changes: object) -> Product:
    return replace(ACTIVE, listing=replace(ACTIVE.listing, **changes))


@pytest.mark.parametrize(
    ("before", "after", "effects"),
    [
        (None, DRAFT, ()),
        (DRAFT, replace(DRAFT, updated_at=NOON, hidden=True), ()),
        (None, ACTIVE, {LISTED}),
        (DRAFT, ACTIVE, {LISTED}),
        (ACTIVE, replace(ACTIVE, hidden=True), {LISTED}),
        (ACTIVE, None, {LISTED}),
        (ACTIVE, listing(price=Money(99)), {LISTED}),
        (ACTIVE, listing(title="Telephone"), {LISTED}),
        (ACTIVE, listing(reserved=1), ()),
        (ACTIVE, listing(stock=4), ()),
        (ACTIVE, listing(reserved=5), {IN_STOCK}),
        (listing(stock=0), ACTIVE, {IN_STOCK}),
        (ACTIVE, listing(stock=0, price=Money(1)), {LISTED, IN_STOCK}),
        (ACTIVE, replace(ACTIVE, rating_sum=3, review_count=1, own_count=1), {RATED}),
        (ACTIVE, replace(ACTIVE, updated_at=datetime.now(UTC)), ()),
    ],
)
def test_effects(before: Product | None, after: Product | None, effects: Collection[str]) -> None:
    assert set(effects_on_lists(before, after)) == set(effects)
