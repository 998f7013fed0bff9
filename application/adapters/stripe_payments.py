"""Payments at Stripe, through its SDK; ``api_base`` points it at the simulator instead."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import msgspec
import stripe

from application.errors import PaymentProviderError
from application.payments.noting import RecordDispute, RecordRefunds
from application.payments.paying import PaymentResult, RecordPaymentResult
from application.ports import PaymentIntent, ProviderDispute, ProviderMessage, ProviderRefund
from domain.kernel import InvalidInputError
from domain.payments.payment import PaymentFailedError, PaymentNotFoundError

T = TypeVar("T")

ANSWERS_WITHIN: Final = 10.0
"""Seconds that Stripe may take for one answer."""

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode

_RESULTS: Final = {
    "payment_intent.succeeded": PaymentResult.SUCCEEDED,
    "payment_intent.payment_failed": PaymentResult.FAILED,
    "payment_intent.requires_action": PaymentResult.ACTION_REQUIRED,
    "payment_intent.processing": PaymentResult.PROCESSING,
    "payment_intent.canceled": PaymentResult.CLOSED,
}
_OF_REFUNDS: Final = frozenset(
    {
        "charge.refunded",
        "charge.refund.updated",
        "refund.created",
        "refund.updated",
        "refund.failed",
    }
)
_REDUNDANT: Final = frozenset(
    {
        "payment_intent.created",
        "charge.pending",
        "charge.succeeded",
        "charge.failed",
        "charge.captured",
        "charge.updated",
    }
)
"""What a payment intent tells of itself: by these it would be told twice, for each of millions of payments."""
_OF_DISPUTES: Final = frozenset(
    {
        "charge.dispute.created",
        "charge.dispute.updated",
        "charge.dispute.closed",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
    }
)

WANTED_EVENTS: Final = frozenset({*_RESULTS, *_OF_REFUNDS, *_OF_DISPUTES})
"""What an endpoint at Stripe is to be told of (``enabled_events``); anything else is acknowledged and of no use."""


class InvalidSignatureError(InvalidInputError):
    code = "INVALID_SIGNATURE"


class StripePayments:
    def __init__(self, api_key: str, webhook_secret: str, *, api_base: str | None = None) -> None:
        self._webhook_secret = webhook_secret
        self._http = _Http(
            timeout=aiohttp.ClientTimeout(total=ANSWERS_WITHIN), proxy=_proxy_to(api_base or stripe.api_base)
        )
        self._client = stripe.StripeClient(
            api_key,
            http_client=self._http,
            max_network_retries=2,
            base_addresses={"api": api_base} if api_base else {},
        )

    async def create_intent(
        self, *, amount: int, currency: str, metadata: Mapping[str, str], idempotency_key: str
    ) -> PaymentIntent:
        return await _asked(
            self._client.v1.payment_intents.create_async(
                {
                    "amount": amount,
                    "currency": currency,
                    "metadata": dict(metadata),
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                },
                {"idempotency_key": idempotency_key},
            )
        )

    async def confirm_intent(
        self, intent_id: str, payment_method: str, *, idempotency_key: str, return_url: str = ""
    ) -> PaymentIntent:
        parameters: Any = {"payment_method": payment_method, "expand": ["latest_charge"]}
        if return_url:
            parameters["return_url"] = return_url

        async def confirmed() -> Any:
            try:
                return await self._client.v1.payment_intents.confirm_async(
                    intent_id, parameters, {"idempotency_key": idempotency_key}
                )
            except stripe.InvalidRequestError as refused:
                if refused.code != "payment_intent_unexpected_state":
                    raise
                return await self._retrieved(intent_id)
            except stripe.CardError as declined:
                intent = None if declined.error is None else declined.error.payment_intent
                if intent is None:
                    raise
                return intent

        return await _asked(confirmed())

    async def intent(self, intent_id: str) -> PaymentIntent:
        return await _asked(self._retrieved(intent_id))

    async def cancel_intent(self, intent_id: str) -> PaymentIntent:
        async def cancelled() -> Any:
            try:
                return await self._client.v1.payment_intents.cancel_async(intent_id)
            except stripe.InvalidRequestError as refused:
                if refused.code != "payment_intent_unexpected_state":
                    raise
                return await self._retrieved(intent_id)

        return await _asked(cancelled())

    async def refund(
        self, intent_id: str, amount: int, *, idempotency_key: str, metadata: Mapping[str, str]
    ) -> ProviderRefund:
        try:
            refund = await self._client.v1.refunds.create_async(
                {"payment_intent": intent_id, "amount": amount, "metadata": dict(metadata)},
                {"idempotency_key": idempotency_key},
            )
        except (stripe.InvalidRequestError, stripe.CardError) as refused:
            # It would refuse the next time too, and whoever waited for it would keep all other refunds waiting.
            raise PaymentFailedError(
                refused.user_message or str(refused), details={"code": refused.code or ""}
            ) from refused
        except stripe.StripeError as down:
            raise PaymentProviderError("The payment provider does not answer") from down
        return _refund(refund.to_dict())

    async def refunds(self, intent_id: str) -> list[ProviderRefund]:
        return [_refund(each) for each in await _listed(self._client.v1.refunds, payment_intent=intent_id)]

    async def disputes(self, intent_id: str) -> list[ProviderDispute]:
        return [_dispute(each) for each in await _listed(self._client.v1.disputes, payment_intent=intent_id)]

    async def refunds_since(self, moment: datetime) -> list[ProviderRefund]:
        since = {"gte": int(moment.timestamp())}
        return [_refund(each) for each in await _listed(self._client.v1.refunds, created=since)]

    async def disputes_since(self, moment: datetime) -> list[ProviderDispute]:
        since = {"gte": int(moment.timestamp())}
        found = await _listed(self._client.v1.disputes, created=since)
        return [_dispute(each) for each in found if each.get("payment_intent")]

    async def _retrieved(self, intent_id: str) -> Any:
        return await self._client.v1.payment_intents.retrieve_async(intent_id, {"expand": ["latest_charge"]})

    def read_webhook(self, body: bytes, signature: str) -> ProviderMessage:
        """What Stripe says. What is signed by it is believed, though not all of it need mean anything to us.

        ``InvalidSignatureError`` for a body that Stripe did not sign, or signed more than five minutes ago.
        """
        if not self._webhook_secret:
            # Anybody can sign with an empty secret, and say that anything is paid.
            raise PaymentProviderError("No webhook secret is configured")
        try:
            stripe.WebhookSignature.verify_header(
                body, signature, self._webhook_secret, stripe.Webhook.DEFAULT_TOLERANCE
            )
            # Without the SDK's objects: to make them takes as long as all the rest, and we would take them apart again.
            event = _decode(body)
        except (TypeError, ValueError, msgspec.DecodeError, stripe.SignatureVerificationError) as forged:
            # The first is a signature that is not even ASCII, the second a body that is no text.
            faults = {"Stripe-Signature": ["Is missing, too old, or not of this body"]}
            raise InvalidSignatureError(faults, "Invalid signature") from forged
        return _message(event, body)

    async def close(self) -> None:
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped


class _Http(stripe.AIOHTTPClient):
    """The SDK's own tells of an outage, and tries again, only where the head of the answer did not come either.

    It leaves the connection, too, to who collects garbage, where somebody gives up waiting for the rest.
    """

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        args, named = self._get_request_args_kwargs(method, url, headers, post_data)
        try:
            async with self._session.request(*args, **named) as response:
                return await response.read(), response.status, response.headers
        except (aiohttp.ClientError, OSError) as lost:  # the second is also that it took too long
            self._handle_request_error(lost)


def _proxy_to(address: str) -> str | None:
    """Through what the process is to go out, as everything else here reads it from the environment."""
    asked = urlsplit(address)
    if proxy_bypass(asked.netloc):
        return None
    known = getproxies()
    proxy = known.get(asked.scheme) or known.get("all")
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


async def _asked(call: Any) -> PaymentIntent:
    try:
        return _intent((await call).to_dict())
    except stripe.CardError as declined:
        raise PaymentFailedError(
            declined.user_message or "The payment failed", details={"code": declined.code}
        ) from declined
    except stripe.InvalidRequestError as refused:
        if refused.code == "resource_missing" and refused.http_status == 404:
            raise PaymentNotFoundError("Payment not found") from refused
        raise InvalidInputError(
            {refused.param or "payment": [refused.user_message or str(refused)]}
        ) from refused
    except stripe.StripeError as down:
        raise PaymentProviderError("The payment provider does not answer") from down


async def _listed(things: Any, **wanted: Any) -> list[Mapping[str, Any]]:
    """All of a kind that there are, page by page."""
    try:
        listed = await things.list_async({**wanted, "limit": 100})
        return [each.to_dict() async for each in listed.auto_paging_iter()]
    except stripe.InvalidRequestError as refused:
        if refused.code == "resource_missing":
            raise PaymentNotFoundError("Payment not found") from refused
        raise PaymentProviderError("The payment provider does not answer as agreed") from refused
    except stripe.StripeError as down:
        raise PaymentProviderError("The payment provider does not answer") from down


def _message(event: Mapping[str, Any], body: bytes) -> ProviderMessage:
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    if not isinstance(about, dict):
        about = {}
    kind = str(event.get("type") or "")
    try:
        command = _command(kind, about)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError):
        # Signed by Stripe, and yet not as we know it: somebody will want to see that it came.
        command = None
    return ProviderMessage(
        id=str(event.get("id") or f"sha256:{hashlib.sha256(body).hexdigest()}"),
        kind=kind,
        object_id=str(about.get("id") or ""),
        created_at=_moment(event.get("created")),
        command=command,
        redundant=kind in _REDUNDANT,
    )


def _moment(created: Any) -> datetime | None:
    """Nothing, where it is no time at all."""
    try:
        return datetime.fromtimestamp(created, UTC)
    except (TypeError, ValueError, ArithmeticError, OSError):
        return None


def _command(kind: str, about: Mapping[str, Any]) -> object | None:
    if kind in _RESULTS:
        intent = _intent(about)
        return RecordPaymentResult(
            result=_RESULTS[kind],
            intent=intent,
            failure_code=intent.failure_code,
            failure_message=intent.failure_message,
        )
    if kind in _OF_REFUNDS and about.get("payment_intent"):
        return RecordRefunds(intent_id=str(about["payment_intent"]))
    if kind in _OF_DISPUTES and about.get("payment_intent"):
        return RecordDispute(dispute=_dispute(about))
    return None


def _intent(intent: Mapping[str, Any]) -> PaymentIntent:
    charge = intent.get("latest_charge")
    card: Mapping[str, Any] = {}
    if charge and not isinstance(charge, str):
        card = (charge.get("payment_method_details") or {}).get("card") or {}
    error = intent.get("last_payment_error") or {}
    return _as_agreed(
        PaymentIntent,
        id=intent["id"],
        client_secret=intent.get("client_secret") or "",
        amount=intent["amount"],
        currency=intent["currency"],
        status=intent["status"],
        created_at=datetime.fromtimestamp(intent["created"], UTC),
        payment_method_id=intent.get("payment_method") or "",
        brand=card.get("brand") or "",
        last4=card.get("last4") or "",
        metadata=dict(intent.get("metadata") or {}),
        charge_id=(charge if isinstance(charge, str) else charge["id"]) if charge else "",
        action_url=((intent.get("next_action") or {}).get("redirect_to_url") or {}).get("url") or "",
        failure_code=error.get("code") or "",
        failure_message=error.get("message") or "",
    )


def _as_agreed(kind: type[T], **said: Any) -> T:
    """What Stripe says, as we know it; ``ValueError`` where it says something else."""
    try:
        known = msgspec.convert(said, kind)
    except msgspec.ValidationError as other:
        raise ValueError(f"not as we know it: {other}") from other
    if said["amount"] < 0:
        raise ValueError("not as we know it: less than nothing")
    return known


def _refund(refund: Mapping[str, Any]) -> ProviderRefund:
    return _as_agreed(
        ProviderRefund,
        id=refund["id"],
        amount=refund["amount"],
        status=refund.get("status") or "",
        intent_id=refund.get("payment_intent") or "",
        metadata=dict(refund.get("metadata") or {}),
        failure_code=refund.get("failure_reason") or "",
    )


def _dispute(dispute: Mapping[str, Any]) -> ProviderDispute:
    return _as_agreed(
        ProviderDispute,
        id=dispute["id"],
        intent_id=dispute["payment_intent"],
        amount=dispute["amount"],
        currency=dispute["currency"],
        reason=dispute.get("reason") or "",
        status=dispute["status"],
    )
