"""How the catalogue is made from what happens to listings and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, Column, Computed, Float, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import TSVECTOR

from domain.accounts.events import AccountErased
from domain.kernel import Event, Recorded
from domain.listings.events import ListingCreated, ListingEvent
from domain.listings.listing import Listing
from domain.reviews.events import ReviewSubmitted
from domain.sellers.events import SellerClosed, SellerReinstated, SellerSuspended
from projections.products.product import Opinion, Product, product_body
from projections.projection import Projection, Rows, read_model
from projections.wire import encode

PRODUCT_EVENTS = (*get_args(ListingEvent), ReviewSubmitted)

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
        return replace(product, reviews=_forgotten(product.reviews, event.account_id))
    if isinstance(event, (SellerSuspended, SellerReinstated, SellerClosed)):
        return replace(product, hidden=not isinstance(event, SellerReinstated))
    if isinstance(event, ReviewSubmitted):
        return replace(product, reviews=(*product.reviews, _opinion(event)), updated_at=recorded.timestamp)
    return replace(product, listing=Listing.evolve(product.listing, event), updated_at=recorded.timestamp)


def product_subjects(product: Product) -> Collection[UUID]:
    """Its seller, and whoever says something of it."""
    return {product.listing.seller_id, *(review.reviewer_id for review in product.reviews)}


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
        "review_count": len(product.reviews),
        "rating_sum": sum(review.rating for review in product.reviews),
        "body": encode(product_body(product)),
    }


def _opinion(event: ReviewSubmitted) -> Opinion:
    return Opinion(
        number=event.number,
        reviewer_id=event.reviewer_id,
        rating=event.rating,
        comment=event.comment,
        reviewer_name=event.reviewer_name,
        reviewer_email=event.reviewer_email,
        submitted_at=event.submitted_at,
        imported=event.imported,
    )


def _forgotten(reviews: Sequence[Opinion], person: UUID) -> tuple[Opinion, ...]:
    """As they read once the person's key is destroyed: the stars and the words stay, the name does not."""
    return tuple(
        replace(review, reviewer_name="", reviewer_email="") if review.reviewer_id == person else review
        for review in reviews
    )


PRODUCTS = Projection(
    name="products",
    version=2,
    events=PRODUCT_EVENTS,
    document=Product,
    keys=product_keys,
    fold=fold_product,
    into=Rows(table=products, row=product_row),
    subjects=product_subjects,
    concerning=PRODUCT_CONCERNS,
)
