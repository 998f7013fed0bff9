"""Buying."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
import structlog
from litestar import Controller, HttpMethod, Request, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta
from msgspec.structs import replace

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.commands import Carried
from api.documentation import answers
from api.input import (
    AnyReference,
    Body,
    Faults,
    Price,
    PriceBound,
    Quantity,
    decode_query,
    money,
    optional_body,
)
from api.limits import COUPON, charge_guess
from api.models import Order, OrderPage, PlacedOrder
from api.paging import CursorQuery, Style, paged
from api.payments import payment_body
from api.wire import answer, encode
from application.listings.changing import listing_called
from application.orders.cancelling import CancelOrder
from application.orders.placing import PlaceOrder
from application.orders.references import order_called
from application.payments.paying import RequestPayment
from domain.accounts.events import Caller
from domain.kernel import DomainError, InvalidInputError, OrderId
from domain.orders.events import PostalAddress
from domain.orders.order import Order as OrderState
from domain.orders.order import OrderNotFoundError
from domain.placing import WantedLine
from projections.orders.order import order_body, seen_body
from projections.orders.query import FoundOrder, order_by_id, orders_of

HttpRequest = Request[Any, Any, Any]

log = structlog.get_logger()

PROVIDER_PATIENCE: Final = 5.0
"""Seconds that an order waits for its payment intent; without one the client asks for it later."""

OptionalPart = Annotated[str, Meta(max_length=200)]


class OrderLineBody(Body, frozen=True, kw_only=True):
    """``price`` is the unit price that the client showed; another one in the catalogue is 409 ``PRICE_CHANGED``."""

    id: AnyReference | None = None
    product_id: AnyReference | None = None
    quantity: Quantity = 1
    price: Price | None = None

    @property
    def reference(self) -> str:
        return str(self.id if self.product_id is None else self.product_id)


class AddressBody(Body, frozen=True, kw_only=True):
    """Street, city, postcode and country are required (C20)."""

    address: Annotated[str, Meta(min_length=1, max_length=200, examples=["123 Main St"])]
    city: Annotated[str, Meta(min_length=1, max_length=200, examples=["New York"])]
    zip_code: Annotated[str, Meta(min_length=1, max_length=200, examples=["10001"])]
    country: Annotated[str, Meta(min_length=1, max_length=200, examples=["USA"])]
    first_name: OptionalPart = ""
    last_name: OptionalPart = ""
    full_name: OptionalPart = ""
    state: OptionalPart = ""
    phone: OptionalPart = ""

    def postal(self) -> PostalAddress:
        first, _, last = self.full_name.strip().partition(" ")
        return PostalAddress(
            first_name=self.first_name or first,
            last_name=self.last_name or last.strip(),
            address=self.address,
            city=self.city,
            state=self.state,
            zip_code=self.zip_code,
            country=self.country,
            phone=self.phone,
        )


Lines = Annotated[tuple[OrderLineBody, ...], Meta(min_length=1, max_length=100)]


class PlaceOrderBody(Body, frozen=True, kw_only=True):
    """Without ``products`` or ``items`` the cart is bought (C31), with its coupon or that of ``couponCode``.

    The cart's coupon counts for what is named, too. ``expectedTotal`` is what the client showed last: another total now
    is 409 ``PRICE_CHANGED``, with the new one in ``details``.
    """

    shipping_address: AddressBody
    products: Lines | None = None
    items: Lines | None = None
    billing_address: AddressBody | None = None
    payment_method: Annotated[str, Meta(min_length=1, max_length=50, examples=["card"])] = "card"
    payment_intent_id: Annotated[str, Meta(max_length=255)] = ""
    coupon_code: Annotated[str, Meta(max_length=100, examples=["SUMMER10"])] = ""
    expected_total: PriceBound | None = None


class CancelBody(Body, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(max_length=1000, examples=["Changed my mind"])] = ""


class OrderController(Controller):
    tags = ("Orders",)
    guards = (signed_in,)
    security = BEARER

    @post("/orders", status_code=201, responses=answers(PlacedOrder, 201, 401, 404, 409, 422))
    async def place(
        self, request: HttpRequest, data: JSONBody[PlaceOrderBody], backend: Backend
    ) -> ASGIResponse:
        """Buy: the stock is reserved and the payment prepared. The order stands also where payment is to come later."""
        caller = caller_of(request)
        if data.coupon_code:
            await charge_guess(request, COUPON, caller.account_id)
        command = PlaceOrder(
            caller=caller,
            lines=await _lines(data, backend),
            shipping_address=data.shipping_address.postal(),
            billing_address=data.billing_address.postal() if data.billing_address else None,
            payment_method=data.payment_method,
            intent_id=data.payment_intent_id,
            coupon_code=data.coupon_code,
            expected_total=None if data.expected_total is None else money(data.expected_total),
        )
        placed = await backend.commands.carry_out(request, command, _placed_body, status=201)
        return (await _with_payment(request, placed, backend)).response()

    @get("/orders", query=CursorQuery, responses=answers(OrderPage, 200, 401))
    async def orders(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """One's own orders, newest first."""
        asked = decode_query(request.scope["query_string"], CursorQuery)
        account_id = caller_of(request).account_id
        position = await backend.reading.fresh(request, "orders")
        question = asked.question("orders", account_id)
        found = await orders_of(backend.read.reads, account_id, backend.cursors.piece(asked, question))
        entries = [msgspec.Raw(body) for (body,) in found.rows]
        cursor = backend.cursors.after(found.last, question)
        twin = {} if asked.style is Style.PAGE else {"orders": entries}
        body = paged("products", entries, asked, total=found.total, next_cursor=cursor, **twin)
        return answer(body, position=position)

    @get("/orders/{ref:str}", responses=answers(Order, 200, 401, 403, 404))
    async def order(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """An order by number or uuid: whole for its buyer and for admins, and what is theirs for those who sold it."""
        position = await backend.reading.fresh(request, "orders")
        found = await order_by_id(backend.read.reads, order_called(ref))
        if found is None:
            raise OrderNotFoundError("Order not found")
        return answer(_seen(found, caller_of(request)), position=position, version=found.version)

    @route(
        "/orders/{ref:str}/cancel",
        http_method=[HttpMethod.PUT, HttpMethod.POST],
        status_code=200,
        body=CancelBody,
        responses=answers(Order, 200, 401, 403, 404, 409, 422),
    )
    async def cancel(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Cancel an order that was not sent yet. The stock is free again, and what was paid goes back."""
        asked = await optional_body(request, CancelBody)
        command = CancelOrder(
            order_id=order_called(ref), caller=caller_of(request), reason=asked.reason.strip()
        )
        return await backend.commands.answer(
            request, command, _cancelled_body, conditional=True, person=buyer_of
        )


def buyer_of(order: OrderState) -> UUID:
    """Whom answers about an order tell about, whoever it is told: what is kept of them is forgotten with the buyer."""
    return order.account_id


async def _lines(data: PlaceOrderBody, backend: BackendParts) -> tuple[WantedLine, ...]:
    name, lines = ("products", data.products) if data.products is not None else ("items", data.items)
    faults: Faults = {
        f"{name}[{index}].productId": ["Is required"]
        for index, line in enumerate(lines or ())
        if line.id is None and line.product_id is None
    }
    if faults:
        raise InvalidInputError(faults)
    store, keys = backend.write.store, backend.write.keys
    return tuple(
        [
            WantedLine(
                listing_id=await listing_called(line.reference, store, keys),
                quantity=line.quantity,
                price=None if line.price is None else money(line.price),
            )
            for line in lines or ()
        ]
    )


def _cancelled_body(order: OrderState) -> dict[str, Any]:
    return order_body(order, order.cancelled_at or order.placed_at)


def _placed_body(order: OrderState) -> dict[str, Any]:
    return {
        **order_body(order, order.placed_at),
        # S3's name for the uuid (C32), whatever case the rest is in.
        "order_id": str(order.id),
        "clientSecret": None,
        "paymentUrl": None,
        "paymentIntent": None,
    }


async def _with_payment(request: HttpRequest, placed: Carried, backend: BackendParts) -> Carried:
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
    body |= {"paymentIntentId": intent["id"], "clientSecret": intent["clientSecret"], "paymentIntent": intent}
    return replace(
        placed, body=encode(body), position=max(placed.position, requested.position), version=linked
    )


def _seen(found: FoundOrder, caller: Caller) -> bytes:
    if caller.account_id == found.account_id and not caller.is_admin:
        return found.body
    document = found.document
    return encode(seen_body(document.order, document.updated_at, caller))
