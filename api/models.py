"""The shapes of answers, for the documentation: what is sent is encoded where it is made, and tested against these."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

TrackingStatus = Literal["pending", "picked_up", "in_transit", "out_for_delivery", "delivered", "exception"]
ReturnStatus = Literal["none", "requested", "approved", "rejected", "received", "refunded"]


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class ProblemError(Shape, frozen=True, kw_only=True):
    code: str
    message: str
    details: dict[str, Any]


class Problem(Shape, frozen=True, kw_only=True):
    """The one envelope of every error. ``details`` names the fields in the way, each with its faults."""

    message: Annotated[str, Meta(examples=["Validation failed"])]
    status: Annotated[int, Meta(examples=[400])]
    code: Annotated[str, Meta(examples=["VALIDATION_ERROR"])]
    details: Annotated[dict[str, Any], Meta(examples=[{"email": ["Invalid email format"]}])]
    error: ProblemError
    request_id: str


class Preferences(Shape, frozen=True, kw_only=True):
    theme: Literal["light", "dark"]
    notifications: bool
    email_notifications: bool
    currency: Annotated[str, Meta(examples=["USD"])]
    language: Annotated[str, Meta(examples=["en"])]


class Privacy(Shape, frozen=True, kw_only=True):
    profile_visibility: Literal["public", "private"]
    profile_visible: bool
    show_email: bool
    show_phone: bool
    show_name: bool
    allow_messages: bool


class SavedAddress(Shape, frozen=True, kw_only=True):
    """``address``, ``addressLine1``, ``line1`` are the same, as are ``zipCode``, ``postalCode``, ``zip`` (C20)."""

    id: int
    uuid: UUID
    user_id: int
    label: str
    first_name: str
    last_name: str
    full_name: str
    address: str
    address_line1: str
    line1: str
    address_line2: str
    city: str
    state: str
    zip_code: str
    postal_code: str
    zip: str
    country: str
    phone: str
    is_default: bool
    created_at: str
    updated_at: str


class ProfileSummary(Shape, frozen=True, kw_only=True):
    avatar_url: str
    bio: str
    preferences: Preferences
    username: str
    gender: str
    interests: list[str]
    display_name: str


class ShopOfUser(Shape, frozen=True, kw_only=True):
    id: UUID
    shop_name: str
    slug: str
    kind: Literal["personal", "shop"]
    status: str


class User(Shape, frozen=True, kw_only=True):
    """C18: S2's flat user, and what the other documents call the same beside it.

    A command answers without ``updatedAt``.
    """

    id: Annotated[int, Meta(examples=[1])]
    uuid: UUID
    email: str
    email_verified: bool
    username: str
    first_name: str
    last_name: str
    name: str
    full_name: str
    display_name: str
    gender: str
    image: str
    avatar: str
    avatar_url: str
    phone: str
    age: int | None
    bio: str
    interests: list[str]
    role: Literal["user", "seller", "auditor", "admin"]
    roles: list[str]
    preferences: Preferences
    privacy: Privacy
    profile: ProfileSummary
    addresses: list[SavedAddress]
    seller: ShopOfUser | None
    created_at: str
    updated_at: str = ""


class PublicUser(Shape, frozen=True, kw_only=True):
    """C54: what is hidden is empty."""

    id: int
    uuid: UUID
    username: str
    first_name: str
    last_name: str
    display_name: str
    image: str
    avatar: str
    bio: str
    email: str
    phone: str
    created_at: str


class ManagedUser(User, frozen=True, kw_only=True):
    """With what admins see beside."""

    status: Literal["active", "suspended", "deletion_scheduled"]
    deleted: bool
    flags: list[str]
    erase_after: str | None


class Page(Shape, frozen=True, kw_only=True):
    """What every list tells of itself beside its entries, by ``skip`` and ``limit``."""

    total: int
    skip: int
    limit: int
    next_cursor: str | None


class UserPage(Page, frozen=True, kw_only=True):
    users: list[ManagedUser]


class Avatar(Shape, frozen=True, kw_only=True):
    """``avatar`` and ``avatarUrl`` are other documents' names for ``image``."""

    id: int
    uuid: UUID
    image: Annotated[str, Meta(examples=["https://cdn.example.com/avatars/user-1-avatar.webp"])]
    avatar: str
    avatar_url: str


class SignedUpload(Shape, frozen=True, kw_only=True):
    url: str
    method: Literal["PUT"]
    headers: dict[str, str]
    key: str
    media_id: UUID
    expires_at: str


class MediaVariant(Shape, frozen=True, kw_only=True):
    """A picture in one size, for everybody to see."""

    name: Annotated[str, Meta(examples=["thumbnail"])]
    url: str
    mime_type: str
    size_bytes: int
    width: int
    height: int


class UploadedMedia(Shape, frozen=True, kw_only=True):
    """``mimeType`` and ``sizeBytes`` are of what was sent; ``url`` shows it once its ``status`` is ``ready``.

    ``width`` and ``height`` are what was said of it until then, and ``reason`` is why it could not be shown.
    """

    id: UUID
    key: str
    mime_type: str
    size_bytes: int
    width: int | None
    height: int | None
    url: str
    thumbnail_url: str
    status: Literal["requested", "processing", "ready", "failed"]
    purpose: Literal["product", "avatar", "logo", "cms"]
    reason: str
    variants: list[MediaVariant]
    attached: bool
    created_at: str


class ListingImage(Shape, frozen=True, kw_only=True):
    """``url`` and ``thumbnailUrl`` show it once it has been processed."""

    id: UUID
    media_id: UUID
    listing_id: int
    key: str
    order_index: int
    url: str
    thumbnail_url: str


class ListingImages(Shape, frozen=True, kw_only=True):
    images: list[ListingImage]


class Flags(Shape, frozen=True, kw_only=True):
    flags: list[str]


class Session(Shape, frozen=True, kw_only=True):
    id: UUID
    device: str
    user_agent: str
    ip: str
    method: Annotated[str, Meta(examples=["password", "registration", "google", "apple"])]
    created_at: str
    last_seen_at: str
    expires_at: str
    current: bool


class Impersonator(Shape, frozen=True, kw_only=True):
    id: int


class Impersonation(Shape, frozen=True, kw_only=True):
    """There is no refresh token."""

    token: str
    access_token: str
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Meta(examples=[900])]
    expires_at: str
    impersonator: Impersonator
    user: User


class PersonalExport(Shape, frozen=True, kw_only=True):
    """``history`` has every event that tells about the person; who of the staff did something is not told."""

    exported_at: str
    account: User
    identities: list[dict[str, str]]
    flags: list[str]
    sessions: list[Session]
    orders: list[dict[str, Any]]
    cart: dict[str, Any]
    reviews: list[dict[str, Any]]
    wishlist: list[dict[str, Any]]
    uploads: list[UploadedMedia]
    shop: dict[str, Any] | None
    following: list[UUID]
    history: list[dict[str, Any]]


class Done(Shape, frozen=True, kw_only=True):
    message: str


class Tokens(Shape, frozen=True, kw_only=True):
    token: str
    access_token: str
    refresh_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    expires_at: str


class SignedInAnswer(Tokens, frozen=True, kw_only=True):
    """The user's fields stand flat beside ``user`` too, as DummyJSON has them."""

    user: User
    id: int
    username: str
    email: str
    first_name: str
    last_name: str
    gender: str
    image: str


class CsrfToken(Shape, frozen=True, kw_only=True):
    csrf_token: str


class ValidToken(Shape, frozen=True, kw_only=True):
    is_valid: bool
    user: User


class PublicKey(Shape, frozen=True, kw_only=True):
    """``crv`` and ``x`` of an Ed25519 key, ``n`` and ``e`` of an RSA one."""

    kty: Literal["OKP", "RSA"]
    use: Literal["sig"]
    alg: Literal["EdDSA", "RS256"]
    kid: str
    crv: str = ""
    x: str = ""
    n: str = ""
    e: str = ""


class KeySet(Shape, frozen=True, kw_only=True):
    keys: list[PublicKey]


class CategoryAttribute(Shape, frozen=True, kw_only=True):
    """``options`` are for enum and multi, ``unit`` and the bounds, if there are any, for numbers."""

    key: Annotated[str, Meta(examples=["screenSize"])]
    label: Annotated[str, Meta(examples=["Screen size"])]
    type: Literal["string", "number", "boolean", "enum", "multi"]
    required: bool
    options: list[str]
    unit: Annotated[str, Meta(examples=["in"])]
    filterable: bool
    min: float = 0
    max: float = 0


class InheritedAttribute(CategoryAttribute, frozen=True, kw_only=True):
    """``category`` is the slug of the one that defines it."""

    inherited: bool
    category: str


class CategorySchema(Shape, frozen=True, kw_only=True):
    attributes: list[InheritedAttribute]


class ChangedCategory(Shape, frozen=True, kw_only=True):
    id: int
    uuid: UUID
    name: str
    slug: str
    description: str
    image: str
    active: bool
    order: int
    parent_id: int | None
    attributes: list[CategoryAttribute]


class CategoryNode(ChangedCategory, frozen=True, kw_only=True):
    """``attributes`` are its own ones; what it inherits stands at ``/categories/{id}/attributes``."""

    children: list[dict[str, Any]]


class KeptCategory(ChangedCategory, frozen=True, kw_only=True):
    """``visible`` says whether it and all above it are active."""

    visible: bool
    former_slugs: list[str]
    child_count: int


class KeptCategoryPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    categories: list[KeptCategory]


class Collection(Shape, frozen=True, kw_only=True):
    id: int
    uuid: UUID
    name: Annotated[str, Meta(examples=["Summer"])]
    slug: str
    description: str
    image: str
    active: bool
    order: int


class KeptCollection(Collection, frozen=True, kw_only=True):
    """``products`` are the uuids of all that are in it, in order, whether they can be seen just now or not."""

    former_slugs: list[str]
    product_count: int
    products: list[UUID]


class KeptCollectionPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    collections: list[KeptCollection]


class Review(Shape, frozen=True, kw_only=True):
    """``reviewerEmail`` is masked for everybody but its writer and admins."""

    id: int
    uuid: UUID
    rating: int
    comment: str
    date: str
    created_at: str
    reviewer_name: str
    reviewer_email: str
    verified_purchase: bool


class ListedReview(Review, frozen=True, kw_only=True):
    product_id: int
    product_uuid: UUID
    updated_at: str
    status: Literal["visible", "hidden"]


class KeptReview(ListedReview, frozen=True, kw_only=True):
    """``reason`` is what it is hidden for."""

    product: str
    reason: str


class ModeratedReview(Shape, frozen=True, kw_only=True):
    id: int
    uuid: UUID
    rating: int
    status: Literal["visible", "hidden"]
    reason: str


class ReviewPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    reviews: list[ListedReview]


class KeptReviewPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    reviews: list[KeptReview]


class PictureVariant(Shape, frozen=True, kw_only=True):
    name: Annotated[str, Meta(examples=["thumbnail"])]
    url: str
    mime_type: str
    width: int
    height: int
    size: int


class Picture(Shape, frozen=True, kw_only=True):
    """``url`` is empty until the picture has been processed."""

    media_id: UUID
    status: Literal["processing", "ready", "failed"]
    url: str
    mime_type: str
    size: int
    width: int
    height: int
    variants: list[PictureVariant]
    position: int
    is_thumbnail: bool


class Place(Shape, frozen=True, kw_only=True):
    lat: float
    lng: float
    city: str


class ProductSeller(Shape, frozen=True, kw_only=True):
    id: UUID
    shop_name: Annotated[str, Meta(examples=["Vintage Vault"])]
    slug: str
    logo_url: str


class Product(Shape, frozen=True, kw_only=True):
    """A command answers without ``collections``, ``seller`` and times: the listing itself does not know them.

    Besides there is what came with it from elsewhere: ``sku``, ``weight``, ``dimensions``, ``meta``, … ; and ``size``,
    ``gender``, ``condition``, ``material``, ``style`` where they are among its ``attributes``. ``images`` are first
    those of ``media`` that can be shown. ``seller`` is told of a single product.
    """

    id: Annotated[int, Meta(examples=[1])]
    uuid: UUID
    slug: Annotated[str, Meta(examples=["iphone-15-pro"])]
    title: str
    description: str
    description_short: str
    category: Annotated[str, Meta(examples=["smartphones"])]
    category_id: int | None
    categories: list[int | None]
    price: Annotated[float, Meta(examples=[1199.99])]
    currency: str
    discount_percentage: Annotated[float, Meta(examples=[5.5])]
    sale_price: float
    stock: int
    in_stock: bool
    availability_status: Literal["In Stock", "Low Stock", "Out of Stock"]
    unique: bool
    tags: list[str]
    brand: str
    attributes: dict[str, Any]
    images: list[str]
    thumbnail: str
    media: list[Picture]
    seller_id: UUID
    status: Literal["draft", "active", "sold", "expired"]
    location: Place | None
    shipping_profile_id: UUID | None
    expires_at: str | None
    collections: list[int | None] = []
    rating: float = 0
    review_count: int = 0
    reviews: list[Review] = []
    published_at: str | None = None
    sold_at: str | None = None
    created_at: str = ""
    updated_at: str = ""
    seller: ProductSeller | None = None


class KeptProduct(Product, frozen=True, kw_only=True):
    """``flagNote`` is for admins."""

    moderation: Literal["visible", "hidden", "removed"]
    moderation_reason: str
    flags: list[str]
    flag_note: str = ""
    is_deleted: bool
    deleted_on: str | None


class DeletedProduct(Product, frozen=True, kw_only=True):
    """C7."""

    is_deleted: bool
    deleted_on: str


class ModeratedProduct(KeptProduct, frozen=True, kw_only=True):
    """``hidden`` ones are out of sight, ``removed`` ones for good."""

    hidden: bool
    removed: bool


class ProductPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` as ``{products, nextCursor, limit}``."""

    products: list[Product]
    facets: dict[str, list[dict[str, Any]]] = {}


class KeptProductPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` as ``{products, nextCursor, limit}``."""

    products: list[KeptProduct]


class WishlistItem(Shape, frozen=True, kw_only=True):
    """``id`` is the product's: there is one of each."""

    id: int
    product_id: int
    product: Product
    created_at: str


class WishlistPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    items: list[WishlistItem]


class Shop(Shape, frozen=True, kw_only=True):
    """``following`` is there for whoever is signed in. A command answers without what others make of a shop."""

    id: UUID
    shop_name: Annotated[str, Meta(examples=["Vintage Vault"])]
    slug: str
    kind: Literal["personal", "shop", "house"]
    status: Literal["pending_verification", "verified", "rejected", "suspended", "closed"]
    logo_url: str
    bio: str
    category: str
    social_links: dict[str, str]
    rating: Annotated[float, Meta(examples=[4.8])] = 0
    review_count: int = 0
    follower_count: int = 0
    product_count: int = 0
    created_at: str = ""
    following: bool = False


class ReturnAddress(Shape, frozen=True, kw_only=True):
    full_name: str
    address: str
    address_line2: str
    city: str
    state: str
    zip_code: str
    country: str
    phone: str


class ShippingProfile(Shape, frozen=True, kw_only=True):
    """``cost`` is another name of ``baseCost``."""

    id: UUID
    name: str
    cost: float
    base_cost: Annotated[float, Meta(examples=[5.0])]
    per_item_cost: float
    free_over: float | None
    currency: str
    countries: list[str]
    handling_days: int


class KeptShop(Shop, frozen=True, kw_only=True):
    """``reason`` is what the last rejection or suspension was explained with."""

    user_id: int | None
    user_uuid: UUID | None
    reason: str
    experience_level: str
    monthly_revenue: str
    platforms: list[str]
    return_address: ReturnAddress
    agreed_to_terms: bool
    agreed_at: str | None
    shipping_profiles: list[ShippingProfile]
    updated_at: str = ""


class ShopPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    sellers: list[Shop]


class FollowState(Shape, frozen=True, kw_only=True):
    following: bool
    follower_count: int


class PriceChange(Shape, frozen=True, kw_only=True, rename={"from_price": "from", "to_price": "to"}):
    """What one of it was sold for when it was last seen to cost that, and what it is sold for now."""

    from_price: float
    to_price: float


class CartLine(Shape, frozen=True, kw_only=True):
    """``salePrice`` is what one of it is sold for. What is not ``available`` is in no sum, and says why.

    ``availableQuantity`` says how many can be had of what is there in too small a number. Of what nobody may see any
    more, only its ids are told.
    """

    id: int
    uuid: UUID
    title: str
    price: float
    quantity: int
    total: float
    discount_percentage: float
    discounted_total: float
    thumbnail: str
    sale_price: float
    available: bool
    reason: Literal["sold", "unavailable", "out_of_stock", "insufficient_stock"] | None = None
    available_quantity: int | None = None
    price_changed: PriceChange | None = None


class CartItem(Shape, frozen=True, kw_only=True):
    item_id: int
    product_id: int
    quantity: int
    qty: int
    available: bool
    added_at: str | None


class CartNotice(
    Shape,
    frozen=True,
    kw_only=True,
    rename={"from_price": "from", "to_price": "to", "product_id": "productId"},
):
    """``quantity`` of so many as were ``requested`` could be had of what was brought along, for this ``reason``.

    ``productId`` is what the client called it where it is no product of ours. A ``price_changed`` is told until the
    quantity is set again, or ``POST /cart/acknowledge``.
    """

    type: Literal["unavailable", "reduced", "price_changed"]
    product_id: int | str
    reason: (
        Literal["sold", "unavailable", "out_of_stock", "insufficient_stock", "own_listing", "cart_full"]
        | None
    ) = None
    quantity: int | None = None
    requested: int | None = None
    from_price: float | None = None
    to_price: float | None = None


class AppliedPromotion(Shape, frozen=True, kw_only=True):
    """What took something off; ``code`` where it was a coupon."""

    id: int
    uuid: UUID
    name: str
    code: str | None
    discount: float
    free_shipping: bool


class CartCoupon(Shape, frozen=True, kw_only=True):
    """``reason`` says why it takes nothing off, where it does not."""

    code: str
    name: str
    applied: bool
    reason: (
        Literal[
            "NOT_VALID",
            "USAGE_LIMIT_REACHED",
            "CUSTOMER_LIMIT_REACHED",
            "MINIMUM_NOT_MET",
            "NOT_APPLICABLE",
            "BETTER_OFFER_APPLIES",
        ]
        | None
    )


class CartTotals(Shape, frozen=True, kw_only=True):
    """What an order of the cart would cost now; ``discount`` is what promotions and coupon take off."""

    subtotal: float
    discount: float
    tax: float
    shipping: float
    total: float


class Cart(Shape, frozen=True, kw_only=True):
    id: str
    products: list[CartLine]
    items: list[CartItem]
    total: float
    discounted_total: float
    user_id: int
    total_products: int
    total_quantity: int
    promotions: list[AppliedPromotion]
    coupon: CartCoupon | None
    coupon_discount: float
    totals: CartTotals
    notices: list[CartNotice]
    updated_at: str | None


class AppliedCoupon(CartTotals, frozen=True, kw_only=True):
    code: Annotated[str, Meta(examples=["SUMMER10"])]
    coupon_discount: float
    cart: Cart


class Promotion(Shape, frozen=True, kw_only=True):
    """``scopeIds`` are slugs of categories, or uuids of products or sellers."""

    id: int
    uuid: UUID
    name: Annotated[str, Meta(examples=["Summer sale"])]
    slug: Annotated[str, Meta(examples=["summer-sale"])]
    description: str
    image: str
    active: bool
    order: int
    discount_type: Literal["percentage", "fixed", "free_shipping"]
    discount_value: float
    start_date: str
    end_date: str | None
    min_subtotal: float
    max_discount: float | None
    scope: Literal["all", "categories", "products", "sellers"]
    scope_ids: list[str]


class KeptPromotion(Promotion, frozen=True, kw_only=True):
    """``usedCount`` is counted of coupons; what a change answers with is without it and the times."""

    code: str | None
    usage_limit: int | None
    per_user_limit: int | None
    stackable: bool
    priority: int
    used_count: int | None = None
    created_at: str | None = None
    updated_at: str | None = None


class PromotionPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    promotions: list[KeptPromotion]


class OrderLine(Shape, frozen=True, kw_only=True):
    """As it was when it was ordered. ``promotionDiscount`` is this line's part of what promotions took off."""

    id: Annotated[int, Meta(examples=[1])]
    uuid: UUID
    title: Annotated[str, Meta(examples=["iPhone 15 Pro"])]
    price: Annotated[float, Meta(examples=[1199.99])]
    quantity: Annotated[int, Meta(examples=[2])]
    total: Annotated[float, Meta(examples=[2399.98])]
    discount_percentage: Annotated[float, Meta(examples=[5.5])]
    discounted_total: Annotated[float, Meta(examples=[2267.98])]
    thumbnail: str
    seller_id: UUID
    promotion_discount: float


class OrderItem(Shape, frozen=True, kw_only=True):
    product_id: int
    quantity: int
    qty: int
    price_at_purchase: float


class Address(Shape, frozen=True, kw_only=True):
    first_name: str
    last_name: str
    address: str
    city: str
    state: str
    zip_code: str
    country: str
    phone: str


class TrackingEvent(Shape, frozen=True, kw_only=True):
    status: TrackingStatus
    location: str
    timestamp: str
    description: str


class ParcelLine(Shape, frozen=True, kw_only=True):
    product_id: int
    quantity: int


class Parcel(Shape, frozen=True, kw_only=True):
    """What one seller sends; ``number`` counts from 1 within the order."""

    number: int
    seller_id: UUID
    status: Literal["pending", "processing", "shipped", "delivered", "cancelled"]
    items: list[ParcelLine]
    shipping: float
    carrier: str | None
    tracking_number: str | None
    tracking_url: str | None
    estimated_delivery: str | None
    tracking_status: TrackingStatus
    shipped_at: str | None
    delivered_at: str | None
    events: list[TrackingEvent]


class Tracking(Shape, frozen=True, kw_only=True):
    """At its head one parcel: what is on its way, or else what is to be sent yet."""

    order_id: Annotated[str, Meta(examples=["ORD-2025122401"])]
    status: TrackingStatus
    carrier: str | None
    tracking_number: str | None
    tracking_url: str | None
    estimated_delivery: Annotated[str, Meta(examples=["2025-12-27"])] | None
    events: list[TrackingEvent]
    parcels: list[Parcel]


class OrderNote(Shape, frozen=True, kw_only=True):
    id: UUID
    order_id: str
    note: str
    author_id: int
    author: Literal["buyer", "seller", "admin"]
    visibility: Literal["everybody", "internal"]
    created_at: str


class OrderReturn(Shape, frozen=True, kw_only=True):
    """``refundAmount`` is known once the goods are back."""

    id: UUID
    status: ReturnStatus
    reason: str
    items: list[ParcelLine]
    refund_amount: float | None
    restocked: bool
    requested_at: str
    resolved_at: str | None
    received_at: str | None
    rejection_reason: str | None


class Tax(Shape, frozen=True, kw_only=True):
    """``amount`` is ``rate`` of ``base``; ``rate`` is a share: 0.08."""

    name: str
    rate: Annotated[float, Meta(examples=[0.08])]
    base: float
    amount: float


class Dispute(Shape, frozen=True, kw_only=True):
    id: str
    amount: float
    reason: str
    status: str


class SoldOrder(Shape, frozen=True, kw_only=True):
    """What a seller has to do with an order: their lines, and how far the parcel is that they send."""

    id: str
    number: str
    order_id: str
    uuid: UUID
    user_id: int
    products: list[OrderLine]
    items: list[OrderItem]
    subtotal: float
    shipping: float
    shipping_method: str
    currency: str
    status: Literal["pending", "processing", "shipped", "delivered", "cancelled"]
    order_status: str
    return_status: ReturnStatus
    returns: list[OrderReturn]
    shipping_address: Address
    carrier: str | None
    tracking_number: str | None
    tracking_url: str | None
    estimated_delivery: str | None
    shipped_at: str | None
    delivered_at: str | None
    tracking_status: TrackingStatus
    tracking: Tracking
    parcels: list[Parcel]
    notes: list[OrderNote]
    created_at: str
    updated_at: str
    cancelled_at: str | None = None


class SoldOrderPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    products: list[SoldOrder]
    orders: list[SoldOrder]


class OrderPayment(Shape, frozen=True, kw_only=True):
    """What ``paymentStatus``, ``paymentMethod`` and ``paymentIntentId`` say, as one (S0, S1)."""

    status: Literal["pending", "paid", "failed", "refunded", "partially_refunded"]
    method: Annotated[str, Meta(examples=["card"])]
    intent_id: str | None


class Order(Shape, frozen=True, kw_only=True):
    id: Annotated[str, Meta(examples=["ORD-2025122401"])]
    number: str
    order_id: str
    uuid: UUID
    user_id: int
    products: list[OrderLine]
    items: list[OrderItem]
    subtotal: Annotated[float, Meta(examples=[2267.98])]
    discount: float
    coupon_code: str | None
    promotions: list[AppliedPromotion]
    tax: Annotated[float, Meta(examples=[181.44])]
    taxes: list[Tax]
    shipping: float
    shipping_method: str
    total: Annotated[float, Meta(examples=[2449.42])]
    total_amount: float
    currency: str
    status: Literal["pending", "processing", "shipped", "delivered", "cancelled"]
    order_status: str
    payment_status: Literal["pending", "paid", "failed", "refunded", "partially_refunded"]
    payment_method: str
    payment_intent_id: str | None
    payment: OrderPayment
    return_status: ReturnStatus
    returns: list[OrderReturn]
    invoice_number: str | None
    shipping_address: Address
    tracking_number: str | None
    carrier: str | None
    tracking_url: str | None
    estimated_delivery: str | None
    tracking_status: TrackingStatus
    tracking: Tracking
    parcels: list[Parcel]
    notes: list[OrderNote]
    created_at: str
    updated_at: str
    billing_address: Address | None = None
    started_at: str | None = None
    confirmed_at: str | None = None
    shipped_at: str | None = None
    delivered_at: str | None = None
    refunded_amount: float | None = None
    cancelled_at: str | None = None
    cancelled_by: Literal["buyer", "admin", "payment_timeout"] | None = None
    cancel_reason: str | None = None


class KeptOrder(Order, frozen=True, kw_only=True):
    """The same for admins, with their own notes."""

    disputes: list[Dispute]


class KeptOrderPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    products: list[KeptOrder]
    orders: list[KeptOrder]


class ReturnItem(Shape, frozen=True, kw_only=True):
    id: int
    product_id: int
    uuid: UUID
    title: str
    quantity: int
    seller_id: UUID | None


class WholeReturn(Shape, frozen=True, kw_only=True):
    """``refundAmount`` is what goes back, once the goods were received; ``partial`` says that others sold the rest."""

    id: UUID
    order_id: Annotated[str, Meta(examples=["ORD-2025122401"])]
    order_uuid: UUID
    status: Literal["requested", "approved", "rejected", "received", "refunded"]
    reason: str
    items: list[ReturnItem]
    partial: bool
    refund_amount: float | None
    refund_id: str | None
    restocked: bool
    rejection_reason: str | None
    created_at: str
    requested_at: str
    resolved_at: str | None
    received_at: str | None


class ReturnPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    returns: list[WholeReturn]


class OrderRefund(Shape, frozen=True, kw_only=True):
    """One that is ``requested`` is on its way. What failed is tried again under another id: ``retryOf`` names it."""

    id: Annotated[str, Meta(examples=["pi_1234567890-1"])]
    payment_intent_id: str
    amount: Annotated[float, Meta(examples=[12.5])]
    currency: str
    reason: Annotated[str, Meta(examples=["order_returned"])]
    status: Literal["requested", "succeeded", "failed"]
    failure_reason: str | None
    retry_of: str | None
    created_at: str | None


class ListedRefund(Shape, frozen=True, kw_only=True):
    """``tries`` counts how often its money was tried to be sent; one that is ``retried`` is tried again already."""

    id: str
    payment_intent_id: str | None
    order_id: str | None
    amount: float
    currency: str
    reason: str
    status: Literal["requested", "succeeded", "failed"]
    tries: int
    retried: bool
    failure_reason: str | None
    created_at: str
    updated_at: str


class RefundPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    refunds: list[ListedRefund]


class NextAction(Shape, frozen=True, kw_only=True):
    """``url`` is where the payer has to go; without one the provider's script does it, with the client secret."""

    type: Literal["redirect_to_url", "use_stripe_sdk"]
    url: str | None


class PaymentRefund(Shape, frozen=True, kw_only=True):
    id: str
    amount: int
    reason: Annotated[str, Meta(examples=["order_cancelled"])]
    status: Literal["requested", "succeeded", "failed"]


class Payment(Shape, frozen=True, kw_only=True):
    """Amounts are in the smallest unit of the currency. Of a card nothing is known but ``brand`` and ``last4``."""

    id: Annotated[str, Meta(examples=["pi_1234567890"])]
    order_id: Annotated[str | None, Meta(examples=["ORD-2025122401"])]
    amount: Annotated[int, Meta(examples=[244942])]
    currency: str
    status: Literal["requires_payment_method", "requires_confirmation", "processing", "succeeded", "failed"]
    brand: str | None
    last4: str | None
    payment_url: str | None
    next_action: NextAction | None
    failure_code: str | None
    failure_message: str | None
    created_at: str


class PaymentIntent(Payment, frozen=True, kw_only=True):
    client_secret: str
    refunds: list[PaymentRefund]


class KeptRefund(PaymentRefund, frozen=True, kw_only=True):
    provider_id: str | None
    retry_of: str | None


class PaymentDispute(Shape, frozen=True, kw_only=True):
    """``status`` and ``reason`` are in the provider's words."""

    id: str
    amount: int
    reason: str
    status: Annotated[str, Meta(examples=["needs_response"])]
    updated_at: str


class KeptPayment(Payment, frozen=True, kw_only=True):
    """``unsettled`` ones are compared with the provider until they are."""

    uuid: UUID
    order_uuid: UUID | None
    user_id: int | None
    user_uuid: UUID
    closed: bool
    unsettled: bool
    refundable_amount: int
    refunds: list[KeptRefund]
    disputed: bool
    disputes: list[PaymentDispute]
    updated_at: str


class PaymentPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    payments: list[KeptPayment]


class ShippingRate(Shape, frozen=True, kw_only=True):
    method_id: Literal["standard", "express"]
    name: str
    amount: float
    currency: str
    estimated_days: int


class ShippingMethod(Shape, frozen=True, kw_only=True):
    id: Literal["standard", "express"]
    name: str
    description: str
    base_amount: float
    currency: str
    estimated_days: int


class CheckoutPreview(Shape, frozen=True, kw_only=True):
    """What an order would come to if it were placed now; ``shippingMethods`` tells what it costs to send it."""

    products: list[OrderLine]
    items: list[OrderItem]
    subtotal: Annotated[float, Meta(examples=[100.0])]
    discount: float
    coupon_code: str | None
    coupon: CartCoupon | None
    promotions: list[AppliedPromotion]
    tax: Annotated[float, Meta(examples=[8.0])]
    taxes: list[Tax]
    shipping: Annotated[float, Meta(examples=[5.0])]
    shipping_method: Literal["standard", "express"]
    shipping_methods: list[ShippingRate]
    total: Annotated[float, Meta(examples=[113.0])]
    total_amount: float
    currency: str


class PlacedOrder(Order, frozen=True, kw_only=True):
    """``paymentIntent`` is null where the payment provider could not be reached; ask ``/payments/intents`` later."""

    client_secret: str | None
    payment_url: str | None
    payment_intent: PaymentIntent | None
    # S3's own words, in whatever case the rest is.
    order_uuid: UUID = msgspec.field(name="order_id")
    payment_address: str | None = msgspec.field(name="payment_url")


class CheckedOutOrder(PlacedOrder, frozen=True, kw_only=True):
    """All that the preview said, and the order; which is there once more as ``order`` (S0)."""

    order: Order
    coupon: CartCoupon | None
    taxes: list[Tax]
    shipping_method: Literal["standard", "express"]
    shipping_methods: list[ShippingRate]


class OrderPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    products: list[Order]
    orders: list[Order]


class PaymentStatus(Shape, frozen=True, kw_only=True):
    status: str


class WebhookReceived(Shape, frozen=True, kw_only=True):
    received: bool


class RecordedEvent(Shape, frozen=True, kw_only=True):
    position: int
    id: UUID
    stream: UUID
    aggregate: str
    version: int
    type: Annotated[str, Meta(examples=["order_placed"])]
    at: str
    actor: str
    impersonator: str | None
    request_id: str
    cause: int | None
    schema: int
    data: dict[str, Any]


class AuditPage(Shape, frozen=True, kw_only=True):
    events: list[RecordedEvent]
    next_cursor: str | None
    limit: int


class StreamHistory(Shape, frozen=True, kw_only=True):
    stream: UUID
    aggregate: str
    version: int
    as_of: str
    state: dict[str, Any]
    events: list[RecordedEvent]


class GenerationView(Shape, frozen=True, kw_only=True):
    name: str
    generation: int
    version: int
    engine: str
    state: str
    position: int
    target: int
    paused: bool
    rate: float
    lag: int
    eta: float | None
    error: str
    comparison: str


class ProjectionView(Shape, frozen=True, kw_only=True):
    name: str
    position: int
    lag: int
    parked: int
    active: GenerationView
    building: GenerationView | None
    previous: GenerationView | None
    latest: GenerationView


class ProjectionList(Shape, frozen=True, kw_only=True):
    head: int
    projections: list[ProjectionView]


class ProjectionRequest(Shape, frozen=True, kw_only=True):
    id: int
    name: str
    action: str
    letter: int | None = None
    actor: str = ""
    requested_at: str | None = None
    done_at: str | None = None
    outcome: str = ""


class ReplayStarted(Shape, frozen=True, kw_only=True):
    message: str
    replayed: int
    dry_run: bool
    requests: list[ProjectionRequest]


class SuggestionView(Shape, frozen=True, kw_only=True):
    text: str
    kind: Literal["product", "brand", "category"]
    slug: str


class Suggestions(Shape, frozen=True, kw_only=True):
    suggestions: list[SuggestionView]


class DeadLetter(Shape, frozen=True, kw_only=True):
    id: int
    name: str
    generation: int
    stream: UUID
    stream_version: int
    position: int
    tag: str
    error: str
    at: str


class DeadLetters(Shape, frozen=True, kw_only=True):
    dead_letters: list[DeadLetter]


class Mail(Shape, frozen=True, kw_only=True):
    """``cause`` is the position of the event that it is owed for; it says to whom and about what."""

    cause: int
    template: Annotated[str, Meta(examples=["verify-email"])]
    account_id: UUID
    state: Literal["waiting", "sent", "dead", "dropped"]
    attempts: int
    next_at: str
    error: Annotated[str, Meta(examples=["the mail server refused the recipient: 550 5.1.1"])]
    created_at: str
    sent_at: str | None = None


class Mails(Shape, frozen=True, kw_only=True):
    mails: list[Mail]
    waiting: int
    dead: int
    oldest_waiting_seconds: int


class InventoryReportLine(Shape, frozen=True, kw_only=True):
    """``stock`` units are on hand, ``reserved`` of them for open orders; ``inventoryCount`` are ``available``."""

    product_id: int
    uuid: UUID
    title: str
    inventory_count: Annotated[int, Meta(examples=[2])]
    stock: Annotated[int, Meta(examples=[5])]
    reserved: Annotated[int, Meta(examples=[3])]
    available: Annotated[int, Meta(examples=[2])]
    seller_id: UUID
    status: Literal["active"]


class InventoryReportPage(Page, frozen=True, kw_only=True):
    """With ``page`` the same as ``{data, pagination}``, with ``cursor`` without ``total`` and ``skip``."""

    products: list[InventoryReportLine]


class Job(Shape, frozen=True, kw_only=True):
    """``every`` is in seconds. A job with ``dailyAt`` is due at that time of UTC."""

    name: Annotated[str, Meta(examples=["erase-accounts"])]
    description: str
    every: int
    daily_at: Annotated[str | None, Meta(examples=["00:10Z"])]
    last_run: str | None
    last_outcome: Literal["running", "succeeded", "failed", "broken_off"] | None
    last_success: str | None
    next_due: str
    failures_in_a_row: int
    running: bool


class JobList(Shape, frozen=True, kw_only=True):
    jobs: list[Job]


class JobRun(Shape, frozen=True, kw_only=True):
    """``done`` counts what there was to do; ``broken_off`` is what a scheduler did not bring to its end."""

    id: int
    job: str
    started_at: str
    ended_at: str | None
    outcome: Literal["running", "succeeded", "failed", "broken_off"]
    done: int | None
    error: Annotated[
        str, Meta(examples=["LogUnavailableError at database.py:71: The database does not answer"])
    ]
    instance: str


class JobRunPage(Page, frozen=True, kw_only=True):
    runs: list[JobRun]


class JobRunRequest(Shape, frozen=True, kw_only=True):
    """``requests`` counts how often a run of this job was asked for."""

    name: str
    requests: int


class SalesFigures(Shape, frozen=True, kw_only=True):
    """``netRevenue`` is ``revenue`` without ``refunds`` and ``lostDisputes``: what payers' banks took back for good.

    Both are less than nothing where more came to us again.
    """

    orders: int
    items: int
    revenue: float
    refunds: float
    lost_disputes: float
    net_revenue: float


class SalesDay(SalesFigures, frozen=True, kw_only=True):
    date: Annotated[str, Meta(examples=["2026-11-21"])]


class SellerShare(SalesFigures, frozen=True, kw_only=True):
    seller_id: UUID
    number: int | None
    shop_name: str | None


class ProductShare(SalesFigures, frozen=True, kw_only=True):
    uuid: UUID
    id: int | None
    title: str | None


class SalesReport(SalesFigures, frozen=True, kw_only=True):
    """``orders`` are those whose money came in these days, the rest is what went back in them, of whichever orders."""

    start: Annotated[str, Meta(examples=["2026-10-23"])]
    end: Annotated[str, Meta(examples=["2026-11-21"])]
    timezone: Literal["UTC"]
    currency: Annotated[str, Meta(examples=["USD"])]
    average_order_value: float
    by_day: list[SalesDay]
    sellers: list[SellerShare] = []
    products: list[ProductShare] = []


class SellerSalesReport(SalesFigures, frozen=True, kw_only=True):
    """What one's own goods were sold for, without tax and shipping, and what they bear of what went back."""

    start: str
    end: str
    timezone: Literal["UTC"]
    currency: Annotated[str, Meta(examples=["USD"])]
    by_day: list[SalesDay]


class DependencyReport(Shape, frozen=True, kw_only=True):
    status: Literal["ok", "down"]
    ms: float
    engine: str = ""
    error: str = ""


class HealthReport(Shape, frozen=True, kw_only=True):
    status: Literal["ok", "degraded", "down"]
    version: str
    uptime: float
    dependencies: dict[str, DependencyReport]
