"""Checking out: what buyers send in order to buy, in every spelling of it, and what they are answered (C30, C31)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
import structlog
from litestar import Controller, Request, post
from litestar.params import JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta
from msgspec.structs import replace

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.commands import Carried
from api.documentation import answers
from api.fields import split_name
from api.input import AnyReference, Body, Faults, Price, PriceBound, Quantity, money
from api.limits import COUPON, charge_guess
from api.models import CheckedOutOrder, CheckoutPreview
from api.wire import answer, encode
from application.orders.placing import CheckedOut, CheckOut, PlaceOrder, SavedAddress
from application.orders.previewing import preview_order
from application.payments.paying import RequestPayment
from application.slugs import reference_kind
from domain.accounts.account import AddressNotFoundError
from domain.accounts.events import Caller
from domain.carts.cart import CartNotFoundError
from domain.carts.events import cart_of
from domain.kernel import DomainError, OrderId
from domain.orders.events import PostalAddress
from domain.orders.order import Order
from domain.orders.shipping import ShippingMethod
from domain.placing import WantedLine
from domain.redeeming import OfferedMethod
from projections.carts.cart import coupon_body
from projections.orders.order import order_body
from projections.payments.payment import payment_body

HttpRequest = Request[Any, Any, Any]

log = structlog.get_logger()

PROVIDER_PATIENCE: Final = 5.0
"""Seconds that an order waits for its payment intent; without one the client asks for it later."""

METHOD_NAMES: Final = {ShippingMethod.STANDARD: "Standard", ShippingMethod.EXPRESS: "Express"}

OptionalPart = Annotated[str, Meta(max_length=200)]
PaymentMethod = Annotated[str, Meta(min_length=1, max_length=50, examples=["card"])]
IntentId = Annotated[str, Meta(max_length=255, examples=["pi_1234567890"])]

_PREVIEWED: Final = (
    "products",
    "items",
    "subtotal",
    "discount",
    "couponCode",
    "promotions",
    "tax",
    "taxes",
    "shipping",
    "shippingMethod",
    "total",
    "totalAmount",
    "currency",
)
"""What a preview tells of an order, in the order's own words."""


class OrderLineBody(Body, frozen=True, kw_only=True):
    """``productId``, ``id`` and ``listingId`` are the same, as are ``quantity`` and ``qty``.

    ``price`` is the unit price that the client showed; another one in the catalogue is 409 ``PRICE_CHANGED``.
    """

    id: AnyReference | None = None
    product_id: AnyReference | None = None
    listing_id: AnyReference | None = None
    quantity: Quantity = 1
    price: Price | None = None

    @property
    def reference(self) -> AnyReference | None:
        given = (self.product_id, self.id, self.listing_id)
        return next((reference for reference in given if reference is not None), None)


class AddressBody(Body, frozen=True, kw_only=True):
    """Street, city, postcode and country are required (C20); each may be spelt as in the address book."""

    address: Annotated[str, Meta(min_length=1, max_length=200, examples=["123 Main St"])]
    city: Annotated[str, Meta(min_length=1, max_length=200, examples=["New York"])]
    zip_code: Annotated[str, Meta(min_length=1, max_length=200, examples=["10001"])]
    country: Annotated[str, Meta(min_length=1, max_length=200, examples=["USA"])]
    first_name: OptionalPart = ""
    last_name: OptionalPart = ""
    full_name: OptionalPart = ""
    name: OptionalPart = ""
    address_line2: OptionalPart = ""
    line2: OptionalPart = ""
    state: OptionalPart = ""
    phone: OptionalPart = ""

    def postal(self) -> PostalAddress:
        first, last = split_name(self.full_name or self.name)
        return PostalAddress(
            first_name=self.first_name or first,
            last_name=self.last_name or last,
            address=", ".join(filter(None, (self.address, self.address_line2 or self.line2))),
            city=self.city,
            state=self.state,
            zip_code=self.zip_code,
            country=self.country,
            phone=self.phone,
        )


class PaymentBody(Body, frozen=True, kw_only=True):
    """How an order is paid, for who says it in one object. There is no card in it: the provider alone takes those."""

    method: PaymentMethod | None = None
    intent_id: IntentId = ""
    payment_intent_id: IntentId = ""


Lines = Annotated[tuple[OrderLineBody, ...], Meta(min_length=1, max_length=100)]


class PlaceOrderBody(Body, frozen=True, kw_only=True):
    """What is bought is in ``products`` or ``items``; or else it is the cart, be it named by ``cartId`` (C31).

    It goes to ``shippingAddress``, to the one of one's own that ``addressId`` or ``shippingAddressId`` names (integer
    or uuid), or else to one's default one. The cart's coupon counts unless ``couponCode`` names another one, for what
    is named, too. ``expectedTotal`` is what the client showed last: another total now is 409 ``PRICE_CHANGED``, with
    the new one in ``details``. ``paymentMethod`` and ``paymentIntentId`` may stand in ``payment``, as ``method`` and
    ``intentId``.
    """

    products: Lines | None = None
    items: Lines | None = None
    cart_id: AnyReference | None = None
    shipping_address: AddressBody | None = None
    shipping_address_id: AnyReference | None = None
    address_id: AnyReference | None = None
    billing_address: AddressBody | None = None
    billing_address_id: AnyReference | None = None
    shipping_method: ShippingMethod = ShippingMethod.STANDARD
    payment_method: PaymentMethod | None = None
    payment_intent_id: IntentId = ""
    payment: PaymentBody = PaymentBody()
    coupon_code: Annotated[str, Meta(max_length=100, examples=["SUMMER10"])] = ""
    expected_total: PriceBound | None = None

    async def wanted(self, caller: Caller, backend: BackendParts) -> PlaceOrder:
        """The order that is asked for."""
        if self.cart_id is not None and str(self.cart_id).lower() != str(cart_of(caller.account_id)):
            raise CartNotFoundError("Cart not found")
        shipping_id = self.address_id if self.shipping_address_id is None else self.shipping_address_id
        billing: PostalAddress | SavedAddress | None = None
        if self.billing_address is not None or self.billing_address_id is not None:
            billing = address_given(self.billing_address, self.billing_address_id)
        name, lines = ("items", self.items) if self.products is None else ("products", self.products)
        return PlaceOrder(
            caller=caller,
            lines=await wanted_lines(name, lines, backend),
            shipping_address=address_given(self.shipping_address, shipping_id),
            billing_address=billing,
            shipping_method=self.shipping_method,
            payment_method=self.payment_method or self.payment.method or "card",
            intent_id=self.payment_intent_id or self.payment.intent_id or self.payment.payment_intent_id,
            coupon_code=self.coupon_code,
            expected_total=None if self.expected_total is None else money(self.expected_total),
        )


class CheckoutBody(PlaceOrderBody, frozen=True, kw_only=True):
    """``mode`` says what is meant. Without it ``shippingAddressId`` is what S3 sends to see what it would cost; a
    ``cartId``, or ``items`` without that, is what S0 sends to buy.
    """

    mode: Literal["preview", "create"] | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        lines = bool(given.keys() & {"items", "products"})
        if lines is not ("cartId" in given):
            return {}
        fault = ["Give one of these: items, cartId"]
        return {"items": fault, "cartId": fault} if lines else {"items": fault}

    @property
    def previews(self) -> bool:
        if self.mode is not None:
            return self.mode == "preview"
        return self.cart_id is None and self.shipping_address_id is not None


class CheckoutController(Controller):
    tags = ("Orders",)
    guards = (signed_in,)
    security = BEARER

    @post(
        "/orders/checkout",
        status_code=201,
        forms={
            "Buy the cart": {"required": ["cartId"]},
            "Buy what is named": {"required": ["items"], "not": {"required": ["shippingAddressId"]}},
            "See what it would cost": {"required": ["items", "shippingAddressId"]},
        },
        responses={
            **answers(CheckoutPreview, 200),
            **answers(CheckedOutOrder, 201, 401, 403, 404, 409, 422),
        },
    )
    async def check_out(
        self, request: HttpRequest, data: JSONBody[CheckoutBody], backend: Backend
    ) -> ASGIResponse:
        """Buy (201), or see what it would cost (200), which records and reserves nothing. Both decide alike.

        To buy without an address, be it that one has no default one, is possible here and only here.
        """
        caller = caller_of(request)
        if data.coupon_code:
            await charge_guess(request, COUPON, caller.account_id)
        wanted = replace(await data.wanted(caller, backend), may_lack_address=True)
        if data.previews:
            write = backend.write
            found = await preview_order(
                wanted, store=write.store, keys=write.keys, clock=write.clock, conditions=write.conditions
            )
            return answer(encode(_preview_body(found)))
        placed = await backend.commands.carry_out(
            request, CheckOut(order=wanted), _checked_out_body, status=201
        )
        return (await with_payment(request, placed, backend)).response()


async def wanted_lines(
    name: str, lines: tuple[OrderLineBody, ...] | None, backend: BackendParts
) -> tuple[WantedLine, ...]:
    """None, where none are given. ``name`` is by what the client calls them."""
    given = lines or ()
    listing_ids = await backend.products_named(name, [line.reference for line in given])
    return tuple(
        WantedLine(
            listing_id=listing_id,
            quantity=line.quantity,
            price=None if line.price is None else money(line.price),
        )
        for line, listing_id in zip(given, listing_ids, strict=True)
    )


def address_given(body: AddressBody | None, reference: AnyReference | None) -> PostalAddress | SavedAddress:
    """What is written out, or what is named; or the default one. What can be the name of none is none."""
    if body is not None:
        return body.postal()
    if reference is None:
        return SavedAddress()
    kind = reference_kind(str(reference))
    if isinstance(kind, str):
        raise AddressNotFoundError("Address not found")
    return SavedAddress(named=kind)


def placed_body(order: Order) -> dict[str, Any]:
    """``order_id`` is S3's name for the uuid, and ``payment_url`` of where to pay, whatever case the rest is in."""
    return {
        **order_body(order, order.placed_at),
        "order_id": str(order.id),
        "clientSecret": None,
        "paymentUrl": None,
        "payment_url": None,
        "paymentIntent": None,
    }


async def with_payment(request: HttpRequest, placed: Carried, backend: BackendParts) -> Carried:
    """The order's answer with its payment intent, which is the same however often it is asked for."""
    if backend.payments is None or not placed.body:
        return placed
    body: dict[str, Any] = msgspec.json.decode(placed.body)
    if not body["total"]:
        return placed
    command = RequestPayment(order_id=OrderId(UUID(body["uuid"])), caller=caller_of(request))
    try:
        async with asyncio.timeout(PROVIDER_PATIENCE):
            requested = await backend.commands.also(request, command)
    except (DomainError, TimeoutError) as refusal:
        # The order is recorded, so this is no fault of the request: the intent can be asked for later.
        log.warning("no payment intent", order=body["id"], error=repr(refusal))
        return placed
    intent = payment_body(requested.state)
    # An order that was not paid by an intent when it was placed has been linked to this one since, which is one event.
    linked = placed.version and placed.version + (body["paymentIntentId"] is None)
    paid_by: dict[str, Any] = {
        "paymentIntentId": intent["id"],
        "payment": {**body["payment"], "intentId": intent["id"]},
    }
    body |= {
        **paid_by,
        "clientSecret": intent["clientSecret"],
        "paymentUrl": intent["paymentUrl"],
        "payment_url": intent["paymentUrl"],
        "paymentIntent": intent,
    }
    if "order" in body:
        body["order"] |= paid_by
    return replace(
        placed, body=encode(body), position=max(placed.position, requested.position), version=linked
    )


def method_body(offered: OfferedMethod, currency: str) -> dict[str, Any]:
    """S2-SHIP-01."""
    return {
        "methodId": offered.method,
        "name": METHOD_NAMES[offered.method],
        "amount": offered.shipping.units(),
        "currency": currency,
        "estimatedDays": offered.days,
    }


def _preview_body(checked: CheckedOut) -> dict[str, Any]:
    order = checked.order
    told = order_body(order, order.placed_at)
    return {
        "shippingMethods": [method_body(each, order.total.currency) for each in checked.methods],
        "coupon": None if checked.coupon is None else coupon_body(checked.coupon, checked.quoted),
        **{name: told[name] for name in _PREVIEWED if name in told},
    }


def _checked_out_body(checked: CheckedOut) -> dict[str, Any]:
    placed = placed_body(checked.order)
    # S0 has the order in an object of its own.
    return {**_preview_body(checked), **placed, "order": order_body(checked.order, checked.order.placed_at)}
