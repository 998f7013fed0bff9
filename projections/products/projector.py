"""How the catalogue is made from what happens to listings and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, assert_never, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, Column, Computed, Float, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import TSVECTOR

from domain.accounts.events import AccountErased
from domain.kernel import Event, Recorded
from domain.listings.events import ListingCreated, ListingEvent
from domain.listings.listing import Listing
from domain.reviews.events import (
    ReviewDeleted,
    ReviewEdited,
    ReviewEvent,
    ReviewHidden,
    ReviewPurchaseVerified,
    ReviewSubmitted,
    ReviewUnhidden,
)
from domain.sellers.events import SellerClosed, SellerReinstated, SellerSuspended
from projections.products.effects import effects_on_lists
from projections.products.product import KEPT, Opinion, Product, product_body
from projections.projection import Projection, Rows, read_model
from projections.wire import encode

PRODUCT_EVENTS = (*get_args(ListingEvent), *get_args(ReviewEvent))

products = read_model(
    "products",
    Column("number", BigInteger, nullable=False),
    Column("slug", Text, nullable=False),
    Column("seller_id", Uuid, nullable=False),
    Column("category", Text, nullable=False),
    Column("brand", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("price_minor", BigInteger, nullable=False),
    Column("rating", Float, nullable=False),
    Column("stock", Integer, nullable=False),
    Column("visible", Boolean, nullable=False),
    Column("review_count", Integer, nullable=False),
    Column("rating_sum", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column(
        "words",
        TSVECTOR,
        Computed(
            "setweight(to_tsvector('english', title), 'A') || "
            "setweight(to_tsvector('english', brand || ' ' || tags), 'B') || "
            "setweight(to_tsvector('english', description), 'C')",
            persisted=True,
        ),
    ),
    Index("idx_products_number", "number", unique=True),
    Index("idx_products_slug", "slug", unique=True),
    Index("idx_products_category", "category", "number"),
    Index("idx_products_brand", "brand"),
    Index("idx_products_price", "price_minor", "number"),
    Index("idx_products_words", "words", postgresql_using="gin"),
    Index("idx_products_title", "title", "number"),
    Index("idx_products_rating", "rating", "number"),
    Index("idx_products_seller", "seller_id", postgresql_include=["visible", "review_count", "rating_sum"]),
)


PRODUCT_CONCERNS: Mapping[type[Event], Callable[[Any], UUID]] = {
    AccountErased: lambda erased: erased.account_id,
    SellerSuspended: lambda suspended: suspended.seller_id,
    SellerReinstated: lambda reinstated: reinstated.seller_id,
    SellerClosed: lambda closed: closed.seller_id,
}


def product_keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return (recorded.event.listing_id,)


def fold_product(product: Product | None, recorded: Recorded[Any], _: UUID) -> Product | None:
    event = recorded.event
    if isinstance(event, ListingCreated):
        return Product(
            listing=Listing.evolve(None, event),
            created_at=recorded.timestamp,
            updated_at=recorded.timestamp,
            imported_rating=event.imported_rating,
            extras=event.extras,
        )
    assert product is not None, "a product begins with ListingCreated"
    if isinstance(event, AccountErased):
        return replace(product, opinions=_forgotten(product.opinions, event.account_id))
    if isinstance(event, (SellerSuspended, SellerReinstated, SellerClosed)):
        return replace(product, hidden=not isinstance(event, SellerReinstated))
    if isinstance(event, get_args(ReviewEvent)):
        return replace(_reviewed(product, event), updated_at=recorded.timestamp)
    return replace(product, listing=Listing.evolve(product.listing, event), updated_at=recorded.timestamp)


def product_subjects(product: Product) -> Collection[UUID]:
    """Its seller, and who said the last things of it: of the others it knows no more than stars."""
    return {product.listing.seller_id, *(opinion.reviewer_id for opinion in product.opinions)}


def product_row(product: Product) -> dict[str, Any]:
    listing = product.listing
    return {
        "number": listing.number,
        "slug": listing.slug,
        "seller_id": listing.seller_id,
        "category": listing.category,
        "brand": listing.brand,
        "title": listing.title,
        "description": listing.description,
        "tags": " ".join(listing.tags),
        "price_minor": listing.price.minor,
        "rating": product.rating,
        "stock": listing.available,
        "visible": product.visible,
        "review_count": product.review_count,
        "rating_sum": product.rating_sum,
        "body": encode(product_body(product)),
    }


def _reviewed(product: Product, event: ReviewEvent) -> Product:
    match event:
        case ReviewSubmitted():
            kept = (*product.opinions, _opinion(event))[-KEPT:]
            return _counted(replace(product, opinions=kept), 1, event.rating, imported=event.imported)
        case ReviewEdited(rating=rating, comment=comment):
            edited = _changed(product, event.review_id, rating=rating, comment=comment)
            return replace(edited, rating_sum=edited.rating_sum + rating - event.former_rating)
        case ReviewPurchaseVerified():
            return _changed(product, event.review_id, verified_purchase=True)
        case ReviewHidden(rating=rating):
            hidden = _changed(product, event.review_id, hidden=True)
            return _counted(hidden, -1, -rating, imported=event.imported)
        case ReviewUnhidden(rating=rating):
            unhidden = _changed(product, event.review_id, hidden=False)
            return _counted(unhidden, 1, rating, imported=event.imported)
        case ReviewDeleted(rating=rating):
            left = tuple(opinion for opinion in product.opinions if opinion.id != event.review_id)
            without = replace(product, opinions=left)
            return without if event.hidden else _counted(without, -1, -rating, imported=event.imported)
        case _:
            assert_never(event)


def _counted(product: Product, reviews: int, stars: int, *, imported: bool) -> Product:
    return replace(
        product,
        review_count=product.review_count + reviews,
        rating_sum=product.rating_sum + stars,
        own_count=product.own_count + (0 if imported else reviews),
    )


def _changed(product: Product, review_id: UUID, **changes: Any) -> Product:
    """Nothing, where it is one of those that are not kept."""
    return replace(
        product,
        opinions=tuple(
            replace(opinion, **changes) if opinion.id == review_id else opinion
            for opinion in product.opinions
        ),
    )


def _opinion(event: ReviewSubmitted) -> Opinion:
    return Opinion(
        id=event.review_id,
        number=event.number,
        reviewer_id=event.reviewer_id,
        rating=event.rating,
        comment=event.comment,
        reviewer_name=event.reviewer_name,
        reviewer_email=event.reviewer_email,
        submitted_at=event.submitted_at,
        imported=event.imported,
        verified_purchase=event.verified_purchase,
    )


def _forgotten(opinions: Sequence[Opinion], person: UUID) -> tuple[Opinion, ...]:
    """As they read once the person's key is destroyed: the stars stay, the words and the name do not."""
    return tuple(
        replace(opinion, comment="", reviewer_name="", reviewer_email="")
        if opinion.reviewer_id == person
        else opinion
        for opinion in opinions
    )


PRODUCTS = Projection(
    name="products",
    version=3,
    events=PRODUCT_EVENTS,
    document=Product,
    keys=product_keys,
    fold=fold_product,
    into=Rows(table=products, row=product_row),
    subjects=product_subjects,
    concerning=PRODUCT_CONCERNS,
    effects=effects_on_lists,
)
