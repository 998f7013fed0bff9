"""The money for orders."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Controller, Request, get, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of, signed_in
from api.backend import Backend, BackendParts, Payments
from api.documentation import answers
from api.input import Body, OptionalUrl, decode_query, optional_body
from api.limits import charge_payment
from api.models import KeptPayment, Order, PaymentIntent, PaymentPage, PaymentStatus, WebhookReceived
from api.orders import buyer_of
from api.paging import CursorQuery
from api.wire import answer, encode
from application.accounts.people import account_called
from application.errors import PaymentProviderError
from application.orders.references import order_called
from application.payments.confirming import ConfirmOrder
from application.payments.linking import PreparePayment
from application.payments.noting import KeepProviderEvent
from application.payments.paying import ConfirmPayment, RequestPayment
from domain.kernel import ForbiddenError, InvalidInputError, stream_id
from domain.money import Money
from domain.orders.order import Order as OrderState
from domain.payments.payment import PAYMENTS, Payment, PaymentNotFoundError, PaymentState
from projections.orders.order import order_body
from projections.payments.payment import payment_body
from projections.payments.query import PaymentFilter, payment_by_id, payments_page

HttpRequest = Request[Any, Any, Any]


class IntentMetadata(Body, frozen=True, kw_only=True):
    """What else a client says of its payment is nothing to us, and is not kept."""

    order_id: Annotated[str, Meta(max_length=100, examples=["ORD-2025122401"])] = ""


class CreateIntentBody(Body, frozen=True, kw_only=True):
    """``amount`` is in the smallest unit of the currency, and must be the order's total.

    Without ``metadata.orderId`` the order is placed afterwards, with the payment's id as its ``paymentIntentId``.
    """

    amount: Annotated[int, Meta(ge=1, le=10_000_000_000, examples=[244942])]
    metadata: IntentMetadata = IntentMetadata()
    currency: Annotated[str, Meta(min_length=3, max_length=3)] = "usd"


class ConfirmIntentBody(Body, frozen=True, kw_only=True):
    """``returnUrl`` is where a payer comes back to whose bank wants to see them on a page of its own."""

    payment_method_id: Annotated[str, Meta(min_length=1, max_length=255, examples=["pm_card_visa"])]
    return_url: OptionalUrl = ""


class ConfirmOrderBody(Body, frozen=True, kw_only=True):
    """With ``paymentMethodId`` the order is paid by that, otherwise the provider is asked whether it is paid."""

    payment_intent_id: Annotated[str, Meta(max_length=255, examples=["pi_1234567890"])] = ""
    payment_method_id: Annotated[str, Meta(max_length=255, examples=["pm_card_visa"])] = ""
    return_url: OptionalUrl = ""


class PaymentQuery(CursorQuery, frozen=True, kw_only=True):
    status: Annotated[str, Meta(max_length=50)] = ""
    order_id: Annotated[str, Meta(max_length=100)] = ""
    user_id: Annotated[str, Meta(max_length=100)] = ""
    disputed: bool | None = None


class PaymentController(Controller):
    tags = ("Payments",)
    guards = (signed_in,)
    security = BEARER

    @post("/payments/intents", status_code=201, responses=answers(PaymentIntent, 201, 401, 403, 404, 422))
    async def create(
        self, request: HttpRequest, data: JSONBody[CreateIntentBody], backend: Backend
    ) -> ASGIResponse:
        """Prepare a payment. For an order it is one intent, however often it is asked for."""
        _require(backend)
        amount = Money(data.amount, data.currency.upper())
        caller = caller_of(request)
        command: RequestPayment | PreparePayment = PreparePayment(caller=caller, amount=amount)
        if data.metadata.order_id:
            command = RequestPayment(
                order_id=order_called(data.metadata.order_id), caller=caller, amount=amount
            )
        return await backend.commands.answer(request, command, payment_body, status=201, person=_payer)

    @post(
        "/payments/intents/{intent_id:str}/confirm",
        status_code=200,
        responses=answers(PaymentIntent, 200, 401, 403, 404, 422),
    )
    async def confirm(
        self,
        request: HttpRequest,
        intent_id: FromPath[str],
        data: JSONBody[ConfirmIntentBody],
        backend: Backend,
    ) -> ASGIResponse:
        """Pay. The provider's own message of it may come before or after and changes nothing.

        Where the payer has still something to do, ``nextAction`` says what. A card that is declined is 422, and another
        one may be tried.
        """
        _require(backend)
        command = ConfirmPayment(
            intent_id=intent_id,
            payment_method=data.payment_method_id,
            caller=caller_of(request),
            return_url=data.return_url,
        )
        return await backend.commands.answer(request, command, payment_body, person=_payer)

    @get("/payments/intents/{intent_id:str}/status", responses=answers(PaymentStatus, 200, 401, 403, 404))
    async def status(self, request: HttpRequest, intent_id: FromPath[str], backend: Backend) -> ASGIResponse:
        """How far the payment is."""
        payment = (await backend.write.store.load(PAYMENTS, stream_id("payment", intent_id))).state
        if payment is None:
            raise PaymentNotFoundError("Payment not found")
        caller = caller_of(request)
        if not caller.is_admin and payment.account_id != caller.account_id:
            raise ForbiddenError("You don't have permission to view this payment")
        return answer(encode({"status": payment.status}))

    @post(
        "/orders/{ref:str}/confirm",
        status_code=200,
        body=ConfirmOrderBody,
        responses=answers(Order, 200, 401, 403, 404, 409, 422),
    )
    async def confirm_order(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Say that an order is paid, or pay it. It is so when the provider says so; 409 where it does not."""
        _require(backend)
        asked = await optional_body(request, ConfirmOrderBody)
        if asked.payment_method_id:
            charge_payment(request, caller_of(request).account_id)
        command = ConfirmOrder(
            order_id=order_called(ref),
            caller=caller_of(request),
            intent_id=asked.payment_intent_id,
            payment_method=asked.payment_method_id,
            return_url=asked.return_url,
        )
        return await backend.commands.answer(request, command, _confirmed_body, person=buyer_of)


class KeptPaymentController(Controller):
    path = "/admin/payments"
    tags = ("Payments",)
    guards = (admin,)
    security = BEARER

    @get(query=PaymentQuery, responses=answers(PaymentPage, 200, 401, 403))
    async def payments(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All payments, newest first; by status, order, payer, and whether somebody's bank has asked for it back."""
        asked = decode_query(request.scope["query_string"], PaymentQuery)
        statuses = [state.value for state in PaymentState]
        if asked.status and asked.status not in statuses:
            raise InvalidInputError({"status": [f"Must be one of {', '.join(statuses)}"]})
        store, keys = backend.write.store, backend.write.keys
        wanted = PaymentFilter(
            status=asked.status,
            order_id=order_called(asked.order_id) if asked.order_id else None,
            account_id=await account_called(asked.user_id, store, keys) if asked.user_id else None,
            disputed=asked.disputed,
        )
        position = await backend.reading.fresh(request, "payments")
        question = asked.question("payments")
        found = await payments_page(backend.read.reads, wanted, backend.cursors.piece(asked, question))
        entries = [msgspec.Raw(body) for (body,) in found.rows]
        return backend.cursors.answer("payments", entries, asked, question, found, position=position)

    @get("/{intent_id:str}", responses=answers(KeptPayment, 200, 401, 403, 404))
    async def payment(self, request: HttpRequest, intent_id: FromPath[str], backend: Backend) -> ASGIResponse:
        """A payment with its refunds and disputes, by the provider's id of it."""
        position = await backend.reading.fresh(request, "payments")
        body = await payment_by_id(backend.read.reads, stream_id("payment", intent_id))
        if body is None:
            raise PaymentNotFoundError("Payment not found")
        return answer(body, position=position)


class StripeWebhookController(Controller):
    tags = ("Payments",)

    @post(
        ["/payments/stripe", "/payments/webhook", "/webhooks/stripe"],
        status_code=200,
        responses=answers(WebhookReceived, 200),
    )
    async def receive(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What Stripe has to say, signed by it. Each event counts once, however often it comes.

        What is about nothing of ours is acknowledged and kept, with what it was about, and without what it said. A
        charge that was made says nothing that its payment does not say: it is acknowledged.
        """
        payments = _require(backend)
        message = payments.read_webhook(await request.body(), request.headers.get("stripe-signature", ""))
        received = encode({"received": True})
        if message.redundant:
            return answer(received)
        if message.command is not None:
            changed = await backend.commands.once(
                request, message.command, actor="stripe", key=message.id, body=received, person=_payer
            )
            if changed is None or changed.state is not None:
                return answer(received)
        await backend.commands.also(request, KeepProviderEvent(message=message), actor="stripe")
        return answer(received)


def _payer(payment: Payment) -> UUID:
    """Whom an answer about a payment tells about, also where an admin asks."""
    return payment.account_id


def _confirmed_body(order: OrderState) -> dict[str, Any]:
    return order_body(order, order.confirmed_at or order.placed_at)


def _require(backend: BackendParts) -> Payments:
    if backend.payments is None:
        raise PaymentProviderError("No payment provider is configured")
    return backend.payments
