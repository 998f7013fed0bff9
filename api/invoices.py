"""Invoices, to be printed or kept."""

from __future__ import annotations

from typing import Any, Final

from litestar import Controller, Request, get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.response.base import ASGIResponse

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from application.orders.invoicing import invoice_of
from application.orders.references import known_order, order_called
from domain.kernel import stream_id
from domain.orders.order import Order
from domain.payments.payment import PAYMENTS, Payment
from projections.orders.query import order_by_id
from projections.sellers.profiles import sellers_of

HttpRequest = Request[Any, Any, Any]

_PDF: Final = {
    **answers(None, 200, 401, 403, 404),
    200: ResponseSpec(
        bytes, generate_examples=False, description="The invoice", media_type="application/pdf"
    ),
}


class InvoiceController(Controller):
    tags = ("Orders",)
    guards = (signed_in,)
    security = BEARER

    @get("/orders/{ref:str}/invoice", responses=_PDF)
    async def invoice(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """The invoice of an order as PDF, for its buyer and admins; of one that is not paid it is pro forma."""
        position = await backend.reading.fresh(request, "orders", "sellers")
        order = known_order(await order_by_id(backend.read.reads, order_called(ref))).document.order
        order.require_visible_to(caller_of(request))
        sellers = await sellers_of(backend.read.reads, order.seller_ids)
        content = invoice_of(
            order,
            {each: seller.profile for each, seller in sellers.items()},
            await _card(order, backend),
            numbers={each: seller.account_number for each, seller in sellers.items()},
        )
        return ASGIResponse(
            body=await backend.write.invoices.pdf(content),
            encoded_headers=[
                (b"content-type", b"application/pdf"),
                (b"content-disposition", f'attachment; filename="invoice-{order.number}.pdf"'.encode()),
                (b"x-log-position", b"%d" % position),
            ],
        )


async def _card(order: Order, backend: BackendParts) -> str:
    """What it was paid with: ``Visa ending in 4242``, or nothing where we do not know."""
    if not order.paid or not order.paying_intent:
        return ""
    paid = await backend.write.store.load(PAYMENTS, stream_id("payment", order.paying_intent))
    payment: Payment | None = paid.state
    if payment is None or not payment.brand:
        return ""
    return f"{payment.brand.capitalize()} ending in {payment.last4}" if payment.last4 else payment.brand
