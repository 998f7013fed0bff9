"""Buying."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, HttpMethod, Request, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend
from api.checkout import PlaceOrderBody, placed_body, with_payment
from api.documentation import answers
from api.input import (
    Body,
    decode_query,
    optional_body,
)
from api.limits import COUPON, charge_guess
from api.models import KeptOrder, Order, OrderPage, PlacedOrder, SoldOrder
from api.paging import CursorQuery, Style, paged
from api.wire import answer, encode
from api.words import StatusWord, order_word
from application.orders.cancelling import CancelOrder
from application.orders.references import known_order, order_called
from domain.accounts.events import Caller
from domain.orders.order import Order as OrderState
from projections.orders.order import order_body, seen_body
from projections.orders.query import FoundOrder, order_by_id, orders_of

HttpRequest = Request[Any, Any, Any]


class CancelBody(Body, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(max_length=1000, examples=["Changed my mind"])] = ""


class OwnOrderQuery(CursorQuery, frozen=True, kw_only=True):
    status: StatusWord = ""


class OrderController(Controller):
    tags = ("Orders",)
    guards = (signed_in,)
    security = BEARER

    @post("/orders", status_code=201, responses=answers(PlacedOrder, 201, 401, 403, 404, 409, 422))
    async def place(
        self, request: HttpRequest, data: JSONBody[PlaceOrderBody], backend: Backend
    ) -> ASGIResponse:
        """Buy: the stock is reserved and the payment prepared. The order stands also where payment is to come later."""
        caller = caller_of(request)
        if data.coupon_code:
            await charge_guess(request, COUPON, caller.account_id)
        command = await data.wanted(caller, backend)
        placed = await backend.commands.carry_out(request, command, placed_body, status=201)
        return (await with_payment(request, placed, backend)).response()

    @get("/orders", query=OwnOrderQuery, responses=answers(OrderPage, 200, 401))
    async def orders(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """One's own orders, newest first."""
        asked = decode_query(request.scope["query_string"], OwnOrderQuery)
        account_id = caller_of(request).account_id
        position = await backend.reading.fresh(request, "orders")
        question = asked.question("orders", account_id)
        piece = backend.cursors.piece(asked, question)
        found = await orders_of(backend.read.reads, account_id, piece, status=order_word(asked.status))
        entries = [msgspec.Raw(body) for (body,) in found.rows]
        cursor = backend.cursors.after(found.last, question)
        twin = {} if asked.style is Style.PAGE else {"orders": entries}
        body = paged("products", entries, asked, total=found.total, next_cursor=cursor, **twin)
        return answer(body, position=position)

    @get("/orders/{ref:str}", responses=answers(Order | KeptOrder | SoldOrder, 200, 401, 403, 404))
    async def order(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """An order by number or uuid: whole for its buyer and for admins, and what is theirs for those who sold it."""
        position = await backend.reading.fresh(request, "orders")
        found = known_order(await order_by_id(backend.read.reads, order_called(ref)))
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


def _cancelled_body(order: OrderState) -> dict[str, Any]:
    return order_body(order, order.cancelled_at or order.placed_at)


def _seen(found: FoundOrder, caller: Caller) -> bytes:
    if caller.account_id == found.account_id and not caller.is_admin:
        return found.body
    document = found.document
    return encode(seen_body(document.order, document.updated_at, caller))
