"""What goes back: goods to whoever sold them, and money to the buyer."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from litestar import Controller, HttpMethod, Request, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of, seller, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import (
    AnyReference,
    Body,
    Price,
    PriceBound,
    Quantity,
    decode_query,
    money,
    optional_body,
)
from api.models import OrderRefund, RefundPage, ReturnPage, WholeReturn
from api.paging import CursorQuery
from api.wire import answer, encode
from application.orders.references import known_order, order_called
from application.orders.refunding import (
    Refunded,
    RefundOrder,
    RetryRefund,
    RetryRefundOfPayment,
    payments_of,
)
from application.orders.returning import (
    ApproveReturn,
    ReceiveReturn,
    RejectReturn,
    RequestReturn,
    Returned,
    ReturnItem,
)
from domain.kernel import InvalidInputError
from domain.orders.events import ReturnStatus
from domain.orders.order import Order, ReturnNotFoundError
from domain.payments.payment import Payment, RefundState
from domain.sellers.events import seller_of
from projections.orders.query import order_by_id
from projections.refunds.query import refunds_page
from projections.returns.query import ReturnFilter, returns_page
from projections.returns.returned import bodies_for, return_body, return_of, returns_of
from projections.wire import time

HttpRequest = Request[Any, Any, Any]

Reason = Annotated[str, Meta(min_length=1, max_length=1000, examples=["It does not fit"])]
OptionalReason = Annotated[str, Meta(max_length=1000, examples=["It was worn"])]
StatusName = Literal["requested", "approved", "rejected", "received", "refunded"]


class ReturnItemBody(Body, frozen=True, kw_only=True):
    """``id`` and ``productId`` are the same: a product's integer id, uuid or slug."""

    id: AnyReference | None = None
    product_id: AnyReference | None = None
    quantity: Quantity = 1


class RequestReturnBody(Body, frozen=True, kw_only=True):
    """Without ``items`` it is all that can be returned."""

    reason: Reason
    items: Annotated[tuple[ReturnItemBody, ...], Meta(min_length=1, max_length=100)] | None = None


class RejectBody(Body, frozen=True, kw_only=True):
    reason: OptionalReason = ""


class ReceiveBody(Body, frozen=True, kw_only=True):
    """What is not fit to be sold again is received with ``restock`` false.

    ``amount`` is what goes back, where that is not what the goods were sold for: admins alone decide that.
    """

    restock: bool = True
    amount: PriceBound | None = None


class JudgeBody(Body, frozen=True, kw_only=True):
    """``reason`` is for a rejection; ``restock`` and ``amount`` are for what was received."""

    status: Literal["approved", "rejected", "received"]
    reason: OptionalReason = ""
    restock: bool = True
    amount: PriceBound | None = None


class RefundBody(Body, frozen=True, kw_only=True):
    """Without ``amount`` it is all that is left of the payment."""

    reason: Reason
    amount: Price | None = None


class ReturnQuery(CursorQuery, frozen=True, kw_only=True):
    status: StatusName | None = None

    def filter(self, seller_id: UUID | None = None) -> ReturnFilter:
        status = None if self.status is None else ReturnStatus(self.status)
        return ReturnFilter(status=status, seller_id=seller_id)


class RefundQuery(CursorQuery, frozen=True, kw_only=True):
    status: Literal["requested", "succeeded", "failed"] | None = None


class ReturnController(Controller):
    tags = ("Orders",)
    guards = (signed_in,)
    security = BEARER

    @post(
        ["/orders/{ref:str}/return", "/orders/{ref:str}/returns"],
        status_code=201,
        responses=answers(WholeReturn, 201, 401, 403, 404, 409, 422),
    )
    async def ask(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[RequestReturnBody], backend: Backend
    ) -> ASGIResponse:
        """Ask to send something back that has arrived: all of it, or ``items``."""
        command = RequestReturn(
            order_id=order_called(ref),
            caller=caller_of(request),
            reason=_said(data.reason),
            items=await _items(data, backend),
        )
        return await backend.commands.answer(request, command, _return_body, status=201, person=_buyer)

    @get("/orders/{ref:str}/returns", responses=answers(list[WholeReturn], 200, 401, 403, 404))
    async def returns(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """What comes back of an order, for its buyer and admins; for who sold some of it, as far as that is theirs."""
        position = await backend.reading.fresh(request, "orders")
        order = await _order(ref, backend)
        caller = caller_of(request)
        found = returns_of(order)
        if not caller.is_admin and not order.owned_by(caller) and order.sold_by(caller):
            return answer(encode(bodies_for(found, seller_of(caller.account_id))), position=position)
        order.require_visible_to(caller)
        return answer(encode([return_body(each) for each in found]), position=position)

    @route(
        "/orders/{ref:str}/returns/{return_ref:str}/approve",
        http_method=[HttpMethod.POST, HttpMethod.PUT],
        status_code=200,
        responses=answers(WholeReturn, 200, 401, 403, 404, 409, 422),
    )
    async def approve(
        self, request: HttpRequest, ref: FromPath[str], return_ref: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Let the buyer send it: by an admin, or the seller of all that is in it; so are the others below."""
        command = ApproveReturn(
            order_id=order_called(ref), return_id=_return_called(return_ref), caller=caller_of(request)
        )
        return await _judged(request, command, backend)

    @route(
        "/orders/{ref:str}/returns/{return_ref:str}/reject",
        http_method=[HttpMethod.POST, HttpMethod.PUT],
        status_code=200,
        body=RejectBody,
        responses=answers(WholeReturn, 200, 401, 403, 404, 409, 422),
    )
    async def reject(
        self, request: HttpRequest, ref: FromPath[str], return_ref: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Refuse it, also when it has been approved and turns out not to be as it should."""
        asked = await optional_body(request, RejectBody)
        command = RejectReturn(
            order_id=order_called(ref),
            return_id=_return_called(return_ref),
            caller=caller_of(request),
            reason=asked.reason.strip(),
        )
        return await _judged(request, command, backend)

    @route(
        "/orders/{ref:str}/returns/{return_ref:str}/receive",
        http_method=[HttpMethod.POST, HttpMethod.PUT],
        status_code=200,
        body=ReceiveBody,
        responses=answers(WholeReturn, 200, 401, 403, 404, 409, 422),
    )
    async def receive(
        self, request: HttpRequest, ref: FromPath[str], return_ref: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """The goods are here: they are on sale again, and their money goes back."""
        asked = await optional_body(request, ReceiveBody)
        command = ReceiveReturn(
            order_id=order_called(ref),
            return_id=_return_called(return_ref),
            caller=caller_of(request),
            restock=asked.restock,
            amount=None if asked.amount is None else money(asked.amount),
        )
        return await _judged(request, command, backend)

    @route(
        "/orders/{ref:str}/returns/{return_ref:str}",
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        responses=answers(WholeReturn, 200, 401, 403, 404, 409, 422),
    )
    async def judge(
        self,
        request: HttpRequest,
        ref: FromPath[str],
        return_ref: FromPath[str],
        data: JSONBody[JudgeBody],
        backend: Backend,
    ) -> ASGIResponse:
        """The same three by the status that it is to have."""
        named: dict[str, Any] = {
            "order_id": order_called(ref),
            "return_id": _return_called(return_ref),
            "caller": caller_of(request),
        }
        command: ApproveReturn | RejectReturn | ReceiveReturn
        match data.status:
            case "approved":
                command = ApproveReturn(**named)
            case "rejected":
                command = RejectReturn(**named, reason=data.reason.strip())
            case "received":
                amount = None if data.amount is None else money(data.amount)
                command = ReceiveReturn(**named, restock=data.restock, amount=amount)
        return await _judged(request, command, backend)

    @get(
        "/sellers/me/returns",
        guards=[seller],
        query=ReturnQuery,
        responses=answers(ReturnPage, 200, 401, 403),
    )
    async def of_seller(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What comes back of what you sold, the last that was asked for first."""
        return await _page(request, backend, seller_of(caller_of(request).account_id))

    @get("/admin/returns", guards=[admin], query=ReturnQuery, responses=answers(ReturnPage, 200, 401, 403))
    async def of_all(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All that comes back, the last that was asked for first."""
        return await _page(request, backend, None)


class RefundController(Controller):
    tags = ("Payments",)
    guards = (signed_in,)
    security = BEARER

    @get("/orders/{ref:str}/refunds", responses=answers(list[OrderRefund], 200, 401, 403, 404))
    async def refunds(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """What of an order's money has gone back, or is to, for its buyer and admins."""
        await backend.reading.fresh(request, "orders")
        order = await _order(ref, backend)
        order.require_visible_to(caller_of(request))
        payments = await payments_of(order, backend.write.store)
        bodies = [_refund_body(payment, name) for payment in payments for name in payment.refunds]
        return answer(encode(bodies))

    @get("/admin/refunds", guards=[admin], query=RefundQuery, responses=answers(RefundPage, 200, 401, 403))
    async def of_all(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All that goes back, the last that changed first: what ``failed`` may need to be looked after.

        By its payment it can be tried again.
        """
        asked = decode_query(request.scope["query_string"], RefundQuery)
        position = await backend.reading.fresh(request, "refunds", "orders", "payments")
        question = asked.question("refunds")
        status = None if asked.status is None else RefundState(asked.status)
        found = await refunds_page(backend.read.reads, status, backend.cursors.piece(asked, question))
        return backend.cursors.answer("refunds", found.bodies, asked, question, found, position=position)

    @post(
        "/orders/{ref:str}/refunds",
        guards=[admin],
        status_code=201,
        responses=answers(OrderRefund, 201, 401, 403, 404, 422),
    )
    async def refund(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[RefundBody], backend: Backend
    ) -> ASGIResponse:
        """Send money back though no goods come back: all that is left of the payment, or ``amount``."""
        command = RefundOrder(
            order_id=order_called(ref),
            reason=_said(data.reason),
            amount=None if data.amount is None else money(data.amount),
        )
        return await backend.commands.answer(request, command, _asked_body, status=201, person=_payer)

    @post(
        "/orders/{ref:str}/refunds/{refund_id:str}/retry",
        guards=[admin],
        status_code=200,
        responses=answers(OrderRefund, 200, 401, 403, 404, 422),
    )
    async def retry(
        self, request: HttpRequest, ref: FromPath[str], refund_id: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Try once more what failed, without waiting until it is tried again by itself: the new try is the answer."""
        command = RetryRefund(order_id=order_called(ref), refund_id=refund_id)
        return await backend.commands.answer(request, command, _asked_body, person=_payer)

    @post(
        "/admin/payments/{intent_id:str}/refunds/{refund_id:str}/retry",
        guards=[admin],
        status_code=200,
        responses=answers(OrderRefund, 200, 401, 403, 404, 422),
    )
    async def retry_of_payment(
        self, request: HttpRequest, intent_id: FromPath[str], refund_id: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Try once more what failed, by the payment that it goes back of: also where there is no order for it.

        By itself it is tried 24 times; here, as often as you like. The new try is the answer, or the one that has been
        asked for already.
        """
        command = RetryRefundOfPayment(intent_id=intent_id, refund_id=refund_id)
        return await backend.commands.answer(request, command, _asked_body, person=_payer)


async def _judged(
    request: HttpRequest, command: ApproveReturn | RejectReturn | ReceiveReturn, backend: BackendParts
) -> ASGIResponse:
    return await backend.commands.answer(request, command, _return_body, conditional=True, person=_buyer)


async def _page(request: HttpRequest, backend: BackendParts, seller_id: UUID | None) -> ASGIResponse:
    asked = decode_query(request.scope["query_string"], ReturnQuery)
    position = await backend.reading.fresh(request, "returns")
    question = asked.question("returns", seller_id)
    piece = backend.cursors.piece(asked, question)
    found = await returns_page(backend.read.reads, asked.filter(seller_id), piece)
    bodies = (
        [return_body(each) for each in found.returns]
        if seller_id is None
        else bodies_for(found.returns, seller_of(caller_of(request).account_id))
    )
    return backend.cursors.answer("returns", bodies, asked, question, found, position=position)


async def _order(ref: str, backend: BackendParts) -> Order:
    return known_order(await order_by_id(backend.read.reads, order_called(ref))).document.order


async def _items(data: RequestReturnBody, backend: BackendParts) -> tuple[ReturnItem, ...]:
    items = data.items or ()
    named = [item.id if item.product_id is None else item.product_id for item in items]
    listing_ids = await backend.products_named("items", named)
    return tuple(
        ReturnItem(listing_id=listing_id, quantity=item.quantity)
        for item, listing_id in zip(items, listing_ids, strict=True)
    )


def _return_called(reference: str) -> UUID:
    try:
        return UUID(reference)
    except ValueError:
        raise ReturnNotFoundError("Return not found") from None


def _said(reason: str) -> str:
    """Blanks alone say nothing."""
    said = reason.strip()
    if not said:
        raise InvalidInputError({"reason": ["Must not be empty"]})
    return said


def _return_body(returned: Returned) -> dict[str, Any]:
    return return_of(returned.order, returned.return_id)


def _buyer(returned: Returned) -> UUID:
    return returned.order.account_id


def _payer(refunded: Refunded) -> UUID:
    return refunded.payment.account_id


def _asked_body(refunded: Refunded) -> dict[str, Any]:
    return _refund_body(refunded.payment, refunded.refund_id)


def _refund_body(payment: Payment, refund_id: str) -> dict[str, Any]:
    refund = payment.refunds[refund_id]
    return {
        "id": refund_id,
        "paymentIntentId": payment.intent_id,
        "amount": refund.amount.units(),
        "currency": refund.amount.currency,
        "reason": refund.note or refund.reason,
        "status": refund.status,
        "failureReason": refund.failure or None,
        "retryOf": refund.retry_of or None,
        "createdAt": None if refund.requested_at is None else time(refund.requested_at),
    }
