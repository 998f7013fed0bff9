"""The shapes of answers, for the documentation: what is sent is encoded where it is made, and tested against these."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from msgspec import Meta


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


class User(Shape, frozen=True, kw_only=True):
    id: Annotated[int, Meta(examples=[1])]
    uuid: UUID
    email: str
    username: str
    first_name: str
    last_name: str
    gender: str
    image: str
    phone: str
    age: int | None
    role: Literal["user", "seller", "auditor", "admin"]
    roles: list[str]
    created_at: str = ""
    updated_at: str = ""


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


class LoggedOut(Shape, frozen=True, kw_only=True):
    message: Annotated[str, Meta(examples=["Logged out successfully"])]


class ValidToken(Shape, frozen=True, kw_only=True):
    is_valid: bool
    user: User


class CategoryNode(Shape, frozen=True, kw_only=True):
    id: int
    uuid: UUID
    name: str
    slug: str
    description: str
    image: str
    order: int
    parent_id: int | None
    children: list[dict[str, Any]]


class Review(Shape, frozen=True, kw_only=True):
    id: int
    rating: int
    comment: str
    date: str
    created_at: str
    reviewer_name: str
    reviewer_email: str


class Product(Shape, frozen=True, kw_only=True):
    """A command answers with what the listing itself knows: without ``rating``, ``reviews`` and times."""

    id: Annotated[int, Meta(examples=[1])]
    uuid: UUID
    slug: Annotated[str, Meta(examples=["iphone-15-pro"])]
    title: str
    description: str
    category: Annotated[str, Meta(examples=["smartphones"])]
    price: Annotated[float, Meta(examples=[1199.99])]
    currency: str
    discount_percentage: Annotated[float, Meta(examples=[5.5])]
    sale_price: float
    stock: int
    in_stock: bool
    tags: list[str]
    brand: str
    images: list[str]
    thumbnail: str
    seller_id: UUID
    status: Literal["draft", "active"]
    rating: float = 0
    reviews: list[Review] = []
    created_at: str = ""
    updated_at: str = ""


class ProductPage(Shape, frozen=True, kw_only=True):
    products: list[Product]
    total: int
    skip: int
    limit: int


class CartLine(Shape, frozen=True, kw_only=True):
    id: int
    uuid: UUID
    title: str
    price: float
    quantity: int
    total: float
    discount_percentage: float
    discounted_total: float
    thumbnail: str


class CartItem(Shape, frozen=True, kw_only=True):
    item_id: int
    product_id: int
    quantity: int


class Cart(Shape, frozen=True, kw_only=True):
    id: str
    products: list[CartLine]
    items: list[CartItem]
    total: float
    discounted_total: float
    user_id: int
    total_products: int
    total_quantity: int


class OrderLine(CartLine, frozen=True, kw_only=True):
    seller_id: UUID


class OrderItem(Shape, frozen=True, kw_only=True):
    product_id: int
    quantity: int
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


class Order(Shape, frozen=True, kw_only=True):
    id: Annotated[str, Meta(examples=["ORD-2025122401"])]
    number: str
    order_id: str
    uuid: UUID
    user_id: int
    products: list[OrderLine]
    items: list[OrderItem]
    subtotal: Annotated[float, Meta(examples=[2267.98])]
    tax: Annotated[float, Meta(examples=[181.44])]
    shipping: float
    total: Annotated[float, Meta(examples=[2449.42])]
    total_amount: float
    currency: str
    status: Literal["pending", "processing", "shipped", "delivered", "cancelled"]
    order_status: str
    payment_status: Literal["pending", "paid", "failed"]
    payment_method: str
    payment_intent_id: str | None
    shipping_address: Address
    created_at: str
    updated_at: str
    billing_address: Address | None = None
    confirmed_at: str | None = None


class PaymentIntent(Shape, frozen=True, kw_only=True):
    id: Annotated[str, Meta(examples=["pi_1234567890"])]
    client_secret: str
    amount: Annotated[int, Meta(examples=[244942])]
    currency: str
    status: Literal["requires_payment_method", "requires_confirmation", "processing", "succeeded", "failed"]
    created_at: str


class PlacedOrder(Order, frozen=True, kw_only=True):
    """``paymentIntent`` is null where the payment provider could not be reached; ask ``/payments/intents`` later."""

    client_secret: str | None
    payment_url: str | None
    payment_intent: PaymentIntent | None
    order_uuid: UUID = msgspec.field(name="order_id")


class OrderPage(Shape, frozen=True, kw_only=True):
    products: list[Order]
    orders: list[Order]
    total: int
    skip: int
    limit: int


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
    done_at: str | None = None
    outcome: str = ""


class ReplayStarted(Shape, frozen=True, kw_only=True):
    message: str
    requests: list[ProjectionRequest]


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
