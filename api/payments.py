"""The money for orders."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts, Payments
from api.documentation import answers
from api.input import Body
from api.models import PaymentIntent, PaymentStatus, WebhookReceived
from api.wire import answer, encode
from application.errors import PaymentProviderError
from application.orders.references import order_called
from application.payments.paying import ConfirmPayment, RequestPayment
from domain.kernel import ForbiddenError, stream_id
from domain.money import Money
from domain.payments.payment import PAYMENTS, Payment, PaymentNotFoundError
from projections.wire import time

HttpRequest = Request[Any, Any, Any]


class IntentMetadata(Body, frozen=True, kw_only=True):
    order_id: Annotated[str, Meta(min_length=1, max_length=100, examples=["ORD-2025122401"])]


class CreateIntentBody(Body, frozen=True, kw_only=True):
    """``amount`` is in the smallest unit of the currency, and must be the order's total."""

    amount: Annotated[int, Meta(ge=1, le=10_000_000_000, examples=[244942])]
    metadata: IntentMetadata
    currency: Annotated[str, Meta(min_length=3, max_length=3)] = "usd"


class ConfirmIntentBody(Body, frozen=True, kw_only=True):
    payment_method_id: Annotated[str, Meta(min_length=1, max_length=255, examples=["pm_card_visa"])]


class PaymentController(Controller):
    path = "/payments/intents"
    tags = ("Payments",)
    guards = (signed_in,)
    security = BEARER

    @post("", status_code=201, responses=answers(PaymentIntent, 201, 401, 403, 404, 422))
    async def create(
        self, request: HttpRequest, data: JSONBody[CreateIntentBody], backend: Backend
    ) -> ASGIResponse:
        """Prepare the payment of an order. It is one intent per order, however often it is asked for."""
        _require(backend)
        command = RequestPayment(
            order_id=order_called(data.metadata.order_id),
            caller=caller_of(request),
            amount=Money(data.amount, data.currency.upper()),
        )
        return await backend.commands.answer(request, command, payment_body, status=201)

    @post(
        "/{intent_id:str}/confirm", status_code=200, responses=answers(PaymentIntent, 200, 401, 403, 404, 422)
    )
    async def confirm(
        self,
        request: HttpRequest,
        intent_id: FromPath[str],
        data: JSONBody[ConfirmIntentBody],
        backend: Backend,
    ) -> ASGIResponse:
        """Pay. The provider's own message of it may come before or after and changes nothing."""
        _require(backend)
        command = ConfirmPayment(
            intent_id=intent_id, payment_method=data.payment_method_id, caller=caller_of(request)
        )
        return await backend.commands.answer(request, command, payment_body)

    @get("/{intent_id:str}/status", responses=answers(PaymentStatus, 200, 401, 403, 404))
    async def status(self, request: HttpRequest, intent_id: FromPath[str], backend: Backend) -> ASGIResponse:
        """How far the payment is."""
        payment = (await backend.write.store.load(PAYMENTS, stream_id("payment", intent_id))).state
        if payment is None:
            raise PaymentNotFoundError("Payment not found")
        caller = caller_of(request)
        if not caller.is_admin and payment.account_id != caller.account_id:
            raise ForbiddenError("You don't have permission to view this payment")
        return answer(encode({"status": payment.status}))


class StripeWebhookController(Controller):
    tags = ("Payments",)

    @post(
        ["/payments/stripe", "/payments/webhook", "/webhooks/stripe"],
        status_code=200,
        responses=answers(WebhookReceived, 200),
    )
    async def receive(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What Stripe has to say, signed by it. Each event counts once, however often it comes."""
        payments = _require(backend)
        event_id, result = payments.read_webhook(
            await request.body(), request.headers.get("stripe-signature", "")
        )
        received = encode({"received": True})
        if result is not None:
            await backend.commands.once(request, result, actor="stripe", key=event_id, body=received)
        return answer(received)


def payment_body(payment: Payment) -> dict[str, Any]:
    return {
        "id": payment.intent_id,
        "clientSecret": payment.client_secret,
        "amount": payment.amount.minor,
        "currency": payment.amount.currency.lower(),
        "status": payment.status,
        "createdAt": time(payment.created_at),
    }


def _require(backend: BackendParts) -> Payments:
    if backend.payments is None:
        raise PaymentProviderError("No payment provider is configured")
    return backend.payments
