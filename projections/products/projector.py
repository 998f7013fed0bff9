"""How the catalogue is made from what happens to listings and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias, assert_never, cast, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    DateTime,
    Float,
    Index,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR

from domain.accounts.events import AccountErased
from domain.categories.events import CategoryDeleted, CategoryUpdated
from domain.collections.events import (
    CollectionProductsAdded,
    CollectionProductsArranged,
    CollectionProductsRemoved,
)
from domain.kernel import CategoryId, Event, Recorded, tag_of
from domain.listings.events import (
    ListingCreated,
    ListingEvent,
    ListingPublished,
    ListingSold,
    ListingStatus,
    LowStockReached,
)
from domain.listings.listing import Listing
from domain.media.events import MediaProcessed, MediaProcessingFailed
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
from projections.product_search.searchable import BRAND_START, TITLE_START, WORDS
from projections.products.effects import effects_on_lists
from projections.products.product import (
    KEPT,
    Opinion,
    Product,
    facts_of,
    features_of,
    kept_body,
    low_stock_of,
    product_body,
)
from projections.projection import Projection, Rows, read_model
from projections.wire import encode

CollectionContents: TypeAlias = (
    CollectionProductsAdded | CollectionProductsArranged | CollectionProductsRemoved
)

PRODUCT_EVENTS = (*get_args(ListingEvent), *get_args(ReviewEvent), *get_args(CollectionContents))

products = read_model(
    "products",
    Column("number", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("slug", Text, nullable=False),
    Column("former_slugs", ARRAY(Text), nullable=False),
    Column("seller_id", Uuid, nullable=False),
    Column("category_id", Uuid, nullable=False),
    Column("second_category_id", Uuid),
    Column("more_category_ids", ARRAY(Uuid)),
    Column("category_ids", ARRAY(Uuid), nullable=False),
    Column("brand", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("features", Text, nullable=False),
    Column("tag_list", ARRAY(Text), nullable=False),
    Column("facts", ARRAY(Text), nullable=False),
    Column("lat", Float),
    Column("lng", Float),
    Column("price_minor", BigInteger, nullable=False),
    Column("rating", Float, nullable=False),
    Column("stock", Integer, nullable=False),
    Column("in_stock", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("moderation", Text, nullable=False),
    Column("flags", ARRAY(Text), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("visible", Boolean, nullable=False),
    Column("readable", Boolean, nullable=False),
    Column("expires_at", DateTime(timezone=True)),
    Column("review_count", Integer, nullable=False),
    Column("rating_sum", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("kept", LargeBinary, nullable=False),
    Column("title_start", Text(collation="C"), Computed(TITLE_START, persisted=True)),
    Column("brand_start", Text(collation="C"), Computed(BRAND_START, persisted=True)),
    Column("words", TSVECTOR, Computed(WORDS, persisted=True)),
    Index("idx_products_number", "number", unique=True, postgresql_include=["deleted"]),
    Index("idx_products_slug", "slug", unique=True),
    Index("idx_products_former_slugs", "former_slugs", postgresql_using="gin"),
    # What everybody finds, with what is mostly asked for besides, so that counting needs no more than this.
    Index(
        "idx_products_shown",
        "number",
        postgresql_include=["in_stock", "price_minor", "rating"],
        postgresql_where=text("visible"),
    ),
    Index("idx_products_price", "price_minor", "number"),
    Index("idx_products_rating", "rating", "number"),
    # The dearest and the best first, and of those that are alike the oldest first all the same.
    Index("idx_products_price_down", text("(- price_minor)"), "number"),
    Index("idx_products_rating_down", text("(- rating)"), "number"),
    Index("idx_products_title", "title", "number"),
    Index("idx_products_brand", "brand", "number"),
    Index("idx_products_place", "lat", "lng", postgresql_where=text("visible AND lat IS NOT NULL")),
    # Lists of a category are what is asked for most: they are counted, and put in order, without looking at products.
    Index(
        "idx_products_category_shown",
        "category_id",
        "price_minor",
        "number",
        postgresql_include=["brand", "rating", "in_stock"],
        postgresql_where=text("visible"),
    ),
    Index("idx_products_category", "category_ids", postgresql_using="gin"),
    # Few are in a second one, and hardly any in more. What is found by an array is looked up one by one to see whether
    # it is wanted, which takes longer than all else, and this is asked in every list of a category.
    Index(
        "idx_products_second_category_shown",
        "second_category_id",
        "price_minor",
        "number",
        postgresql_include=["category_id", "brand", "rating", "in_stock"],
        postgresql_where=text("visible AND second_category_id IS NOT NULL"),
    ),
    Index(
        "idx_products_more_categories_shown",
        "more_category_ids",
        postgresql_using="gin",
        postgresql_where=text("visible AND more_category_ids IS NOT NULL"),
    ),
    Index("idx_products_tags", "tag_list", postgresql_using="gin"),
    Index("idx_products_facts", "facts", postgresql_using="gin"),
    Index("idx_products_words", "words", postgresql_using="gin"),
    Index("idx_products_title_start", "title_start", "number", postgresql_where=text("visible")),
    Index("idx_products_brand_start", "brand_start", "number", postgresql_where=text("visible")),
    Index(
        "idx_products_seller",
        "seller_id",
        "number",
        postgresql_include=["visible", "review_count", "rating_sum"],
    ),
    Index("idx_products_status", "status", "number"),
    Index("idx_products_moderation", "moderation", "number"),
    Index("idx_products_flags", "flags", postgresql_using="gin"),
    Index("idx_products_deleted", "number", postgresql_where=text("deleted")),
    Index("idx_products_due", "expires_at", postgresql_where=text("status = 'active' AND NOT deleted")),
)


def _renamed_category(updated: CategoryUpdated) -> UUID | None:
    """Nothing but its slug is shown with a product."""
    return None if updated.slug is None else updated.category_id


PRODUCT_CONCERNS: Mapping[type[Event], Callable[[Any], UUID | None]] = {
    AccountErased: lambda erased: erased.account_id,
    SellerSuspended: lambda suspended: suspended.seller_id,
    SellerReinstated: lambda reinstated: reinstated.seller_id,
    SellerClosed: lambda closed: closed.seller_id,
    CategoryUpdated: _renamed_category,
    CategoryDeleted: lambda deleted: deleted.category_id,
    CollectionProductsArranged: lambda arranged: arranged.collection_id,
    MediaProcessed: lambda processed: processed.media_id,
    MediaProcessingFailed: lambda failed: failed.media_id,
}


def product_keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    if isinstance(recorded.event, get_args(CollectionContents)):
        return cast("Sequence[UUID]", recorded.event.listings)
    return (recorded.event.listing_id,)


def fold_product(product: Product | None, recorded: Recorded[Any], key: UUID) -> Product | None:
    event = recorded.event
    if isinstance(event, ListingCreated):
        listing = Listing.evolve(None, event)
        return Product(
            listing=listing,
            created_at=recorded.timestamp,
            updated_at=recorded.timestamp,
            imported_rating=event.imported_rating,
            version=recorded.version,
            low_stock=low_stock_of(listing),
        )
    if product is None and isinstance(event, get_args(CollectionContents)):
        return None
    assert product is not None, "a product begins with ListingCreated"
    if isinstance(event, get_args(ListingEvent)):
        return _listed(product, recorded)
    if isinstance(event, get_args(ReviewEvent)):
        return replace(_reviewed(product, event), updated_at=recorded.timestamp)
    return _surrounded(product, event, key)


def product_subjects(product: Product) -> Collection[UUID]:
    """Its seller, where it is found, its pictures, and who said the last things of it.

    Of the others who said something it knows no more than stars.
    """
    listing = product.listing
    return {
        listing.seller_id,
        *listing.category_ids,
        *product.collections,
        *(media.media_id for media in listing.media),
        *(opinion.reviewer_id for opinion in product.opinions),
    }


def product_row(product: Product) -> dict[str, Any]:
    listing = product.listing
    place = listing.location
    return {
        "number": listing.number,
        "version": product.version,
        "slug": listing.slug,
        "former_slugs": list(listing.former_slugs),
        "seller_id": listing.seller_id,
        "category_id": listing.category_id,
        "second_category_id": next(iter(listing.further_category_ids), None),
        "more_category_ids": list(listing.further_category_ids[1:]) or None,
        "category_ids": list(listing.category_ids),
        "brand": listing.brand,
        "title": listing.title,
        "description": listing.description or listing.description_short,
        "tags": " ".join(listing.tags),
        "features": " ".join((listing.category, *features_of(listing))),
        "tag_list": list(listing.tags),
        "facts": facts_of(listing),
        "lat": None if place is None else place.lat,
        "lng": None if place is None else place.lng,
        "price_minor": listing.price.minor,
        "rating": product.rating,
        "stock": listing.available,
        "in_stock": listing.available > 0,
        "status": listing.status.value,
        "moderation": listing.moderation.value,
        "flags": list(listing.flags),
        "deleted": listing.deleted,
        "visible": product.visible,
        "readable": product.readable,
        "expires_at": listing.expires_at,
        "review_count": product.review_count,
        "rating_sum": product.rating_sum,
        "body": encode(product_body(product)),
        "kept": encode(kept_body(listing, for_admins=True)),
    }


def _listed(product: Product, recorded: Recorded[Any]) -> Product:
    event = recorded.event
    listing = Listing.evolve(product.listing, event)
    # That its seller was told of how few there are is no change of it.
    times: dict[str, Any] = {} if isinstance(event, LowStockReached) else {"updated_at": recorded.timestamp}
    if isinstance(event, ListingPublished):
        times["published_at"] = recorded.timestamp
    if isinstance(event, ListingSold):
        times["sold_at"] = recorded.timestamp
    elif listing.status is not ListingStatus.SOLD:
        times["sold_at"] = None
    return replace(product, listing=listing, version=recorded.version, **times)


def _surrounded(product: Product, event: Event, key: UUID) -> Product:
    """What happens around it, and is no change of it to whoever asks when it was changed."""
    match event:
        case AccountErased():
            around = replace(product, opinions=_forgotten(product.opinions, event.account_id))
        case SellerSuspended() | SellerReinstated():
            around = replace(product, hidden=isinstance(event, SellerSuspended))
        case SellerClosed():
            # Where it could be had is where somebody lives, who is forgotten now, and so is what was said of them.
            listing = replace(product.listing, location=None, moderation_reason="", flag_note="")
            around = replace(product, hidden=True, listing=listing)
        case CategoryUpdated() | CategoryDeleted():
            around = replace(product, listing=_recategorized(product.listing, event))
        case CollectionProductsAdded() | CollectionProductsArranged() | CollectionProductsRemoved():
            around = _collected(product, event, key)
        case MediaProcessed() | MediaProcessingFailed():
            around = _pictured(product, event)
        case _:
            raise AssertionError(f"{tag_of(type(event))} is not for products")
    return around


def _recategorized(listing: Listing, event: CategoryUpdated | CategoryDeleted) -> Listing:
    """The category is called otherwise now; or it is gone, and another one has what was in it."""
    if isinstance(event, CategoryUpdated):
        is_first = listing.category_id == event.category_id
        return replace(listing, category=event.slug) if is_first and event.slug else listing
    if event.successor_id is None:
        return listing
    ids: list[CategoryId] = list(
        dict.fromkeys(
            event.successor_id if each == event.category_id else each for each in listing.category_ids
        )
    )
    was_first = listing.category_id == event.category_id
    return replace(
        listing,
        category=event.successor_slug if was_first and event.successor_slug else listing.category,
        category_id=ids[0],
        further_category_ids=tuple(ids[1:]),
    )


def _collected(product: Product, event: CollectionContents, key: UUID) -> Product:
    others = tuple(each for each in product.collections if each != event.collection_id)
    is_in = key in event.listings and not isinstance(event, CollectionProductsRemoved)
    return replace(product, collections=(*others, event.collection_id) if is_in else others)


def _pictured(product: Product, event: MediaProcessed | MediaProcessingFailed) -> Product:
    if isinstance(event, MediaProcessingFailed):
        return replace(product, failed_media=(*product.failed_media, event.media_id))
    media = tuple(
        replace(each, width=event.width, height=event.height, variants=event.variants)
        if each.media_id == event.media_id
        else each
        for each in product.listing.media
    )
    failed = tuple(each for each in product.failed_media if each != event.media_id)
    return replace(product, listing=replace(product.listing, media=media), failed_media=failed)


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
    version=8,
    events=PRODUCT_EVENTS,
    document=Product,
    keys=product_keys,
    fold=fold_product,
    into=Rows(table=products, row=product_row),
    subjects=product_subjects,
    concerning=PRODUCT_CONCERNS,
    effects=effects_on_lists,
)
