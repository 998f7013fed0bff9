"""Stripe, as far as we use it, without an account: same objects, same errors, same signed webhooks.

It is spoken to through the real `stripe` package, so that going live changes a key and an address and nothing else.
`python -m workers.local.stripe_simulator` runs it; its state lies in one SQLite file.
"""

import argparse
import asyncio
import base64
import binascii
import hashlib
import hmac
import json
import logging
import os
import secrets
import signal
import sqlite3
import string
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import httpx
import msgspec
import tenacity
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.handlers.http_handlers import HTTPRouteHandler
from litestar.params import FromPath

from workers.local.process import LOOPBACK, Process, answers_http
from workers.local.process import Server as LocalServer

log = logging.getLogger("stripe_simulator")

StripeObject: TypeAlias = dict[str, Any]
Params: TypeAlias = dict[str, Any]
HttpRequest: TypeAlias = Request[Any, Any, State]

API_VERSION: Final = "2025-09-30.clover"
WEBHOOK_PATH: Final = "/api/v1/payments/stripe"
FIRST_RETRY_AFTER: Final = 0.2
LONGEST_RETRY_AFTER: Final = 60.0
GIVE_UP_AFTER: Final = 3 * 24 * 3600.0  # Stripe's own limit


class Card(msgspec.Struct, frozen=True):
    """What a charge remembers of a card, and what happens when it is charged."""

    brand: str
    last4: str
    decline_code: str | None = None
    authenticates: bool = False


CARDS: Final[Mapping[str, Card]] = {
    "pm_card_visa": Card("visa", "4242"),
    "pm_card_visa_debit": Card("visa", "5556"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_amex": Card("amex", "8431"),
    "pm_card_discover": Card("discover", "9424"),
    "pm_card_chargeDeclined": Card("visa", "0002", decline_code="generic_decline"),
    "pm_card_visa_chargeDeclined": Card("visa", "0002", decline_code="generic_decline"),
    "pm_card_chargeDeclinedInsufficientFunds": Card("visa", "9995", decline_code="insufficient_funds"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": Card("visa", "9995", decline_code="insufficient_funds"),
    "pm_card_chargeDeclinedExpiredCard": Card("visa", "0069", decline_code="expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": Card("visa", "0127", decline_code="incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": Card("visa", "0119", decline_code="processing_error"),
    "pm_card_threeDSecure2Required": Card("visa", "3220", authenticates=True),
    "pm_card_authenticationRequired": Card("visa", "3184", authenticates=True),
}
# For these Stripe's error code is the reason itself; the others are "card_declined" with the reason beside it.
OWN_ERROR_CODES: Final = frozenset({"expired_card", "incorrect_cvc", "processing_error"})
SMALLEST: Final[Mapping[str, int]] = {"usd": 50, "eur": 50, "gbp": 30}
"""The least that Stripe charges, in minor units; for currencies that are not here as for the first."""
CONFIRMABLE: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
CANCELABLE: Final = CONFIRMABLE | {"requires_capture", "processing"}


class StripeError(Exception):
    """An answer in Stripe's error shape."""

    def __init__(self, status: int, kind: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.body: StripeObject = {"error": {"type": kind, "message": message, **details}}


class Objects:
    """Everything the simulator knows, in one SQLite file, in the order it was made."""

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(":memory:" if path is None else path, isolation_level=None)
        self._database.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS objects (
                position INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL
            );
            CREATE TABLE IF NOT EXISTS answers (
                key TEXT PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL
            );
            """
        )

    def save(self, thing: StripeObject) -> None:
        self._database.execute(
            "INSERT INTO objects (id, kind, body) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body",
            (thing["id"], thing["object"], json.dumps(thing)),
        )

    def find(self, kind: str, id_: str) -> StripeObject | None:
        query = "SELECT body FROM objects WHERE kind = ? AND id = ?"
        row = self._database.execute(query, (kind, id_)).fetchone()
        return None if row is None else json.loads(row[0])

    def all(self, kind: str) -> list[StripeObject]:
        """Newest first, as Stripe lists."""
        query = "SELECT body FROM objects WHERE kind = ? ORDER BY position DESC"
        return [json.loads(row[0]) for row in self._database.execute(query, (kind,))]

    def answer_to(self, key: str) -> tuple[str, int, StripeObject] | None:
        query = "SELECT request, status, body FROM answers WHERE key = ?"
        row = self._database.execute(query, (key,)).fetchone()
        return None if row is None else (row[0], row[1], json.loads(row[2]))

    def remember_answer(self, key: str, request: str, status: int, body: StripeObject) -> None:
        query = "INSERT INTO answers (key, request, status, body) VALUES (?, ?, ?, ?)"
        self._database.execute(query, (key, request, status, json.dumps(body)))

    def close(self) -> None:
        self._database.close()


class Webhooks:
    """The one place where events leave for our API: in the order they happened, again and again until accepted."""

    def __init__(self, objects: Objects, *, url: str | None, secret: str) -> None:
        self._objects = objects
        self._url = url
        self._secret = secret
        self._queue: asyncio.Queue[StripeObject] = asyncio.Queue()
        self._retries: set[asyncio.Task[None]] = set()

    def hand_over(self, event: StripeObject) -> None:
        if self._url is not None:
            self._queue.put_nowait(event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver while the block lasts, beginning with what a previous run left undelivered."""
        for event in reversed(self._objects.all("event")):
            if event["pending_webhooks"]:
                self.hand_over(event)
        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            first_attempts = asyncio.create_task(self._deliver_in_order(client))
            try:
                yield
            finally:
                tasks = [first_attempts, *self._retries]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver_in_order(self, client: httpx.AsyncClient) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._attempt(client, event)
            except httpx.HTTPError:
                retry = asyncio.create_task(self._retry(client, event))
                self._retries.add(retry)
                retry.add_done_callback(self._retries.discard)

    async def _retry(self, client: httpx.AsyncClient, event: StripeObject) -> None:
        attempts = tenacity.AsyncRetrying(
            wait=tenacity.wait_exponential(multiplier=FIRST_RETRY_AFTER, max=LONGEST_RETRY_AFTER),
            stop=tenacity.stop_after_delay(GIVE_UP_AFTER),
            retry=tenacity.retry_if_exception_type(httpx.HTTPError),
        )
        await asyncio.sleep(FIRST_RETRY_AFTER)
        try:
            await attempts(self._attempt, client, event)
        except tenacity.RetryError:
            log.warning("gave up delivering %s (%s)", event["id"], event["type"])

    async def _attempt(self, client: httpx.AsyncClient, event: StripeObject) -> None:
        assert self._url is not None
        body = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(body, self._secret)}
        try:
            answer = await client.post(self._url, content=body, headers=headers)
            answer.raise_for_status()
        except httpx.HTTPError as failure:
            log.info("webhook %s (%s) was not accepted: %s", event["id"], event["type"], failure)
            raise
        log.info("webhook %s (%s) delivered", event["id"], event["type"])
        self._objects.save({**event, "pending_webhooks": 0})


class SimulatedStripe:
    """What Stripe decides and remembers."""

    def __init__(self, objects: Objects, webhooks: Webhooks, *, key: str) -> None:
        self.objects = objects
        self.webhooks = webhooks
        self._key = key

    def authenticate(self, authorization: str) -> None:
        scheme, _, credentials = authorization.partition(" ")
        key = credentials
        if scheme.lower() == "basic":
            try:
                key = base64.b64decode(credentials, validate=True).decode().partition(":")[0]
            except (binascii.Error, UnicodeDecodeError):
                key = ""
        if not key:
            message = "You did not provide an API key. You need to provide your API key in the Authorization header."
            raise StripeError(401, "invalid_request_error", message)
        if not hmac.compare_digest(key.encode(), self._key.encode()):
            raise StripeError(
                401, "invalid_request_error", f"Invalid API Key provided: {key[:8]}****{key[-4:]}"
            )

    def answer(
        self, idempotency_key: str | None, request: str, action: Callable[[], StripeObject]
    ) -> tuple[int, StripeObject, bool]:
        """Act once per idempotency key: status, body, and whether it is a recorded answer."""
        if idempotency_key is not None:
            known = self.objects.answer_to(idempotency_key)
            if known is not None:
                known_request, status, body = known
                if known_request != request:
                    message = (
                        "Keys for idempotent requests can only be used with the same parameters they were first used "
                        f"with. Try using a key other than '{idempotency_key}' if you meant to execute a different "
                        "request."
                    )
                    raise StripeError(400, "idempotency_error", message)
                return status, body, True
        try:
            status, body = 200, action()
        except StripeError as error:
            if error.status != httpx.codes.PAYMENT_REQUIRED:
                raise  # as at Stripe, a request refused by validation may be sent again, corrected
            status, body = error.status, error.body
        if idempotency_key is not None:
            self.objects.remember_answer(idempotency_key, request, status, body)
        return status, body, False

    # Payment intents

    def create_intent(self, params: Params) -> StripeObject:
        amount = positive_integer(params, "amount")
        currency = params.get("currency")
        if not isinstance(currency, str):
            raise missing("currency")
        if len(currency) != 3 or not currency.isalpha():
            message = f"Invalid currency: {currency}."
            raise StripeError(400, "invalid_request_error", message, param="currency")
        require_chargeable(amount, currency)
        id_ = new_id("pi")
        intent: StripeObject = {
            "id": id_,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "automatic_payment_methods": automatic_methods(params),
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic_async",
            "client_secret": f"{id_}_secret_{random_text(25)}",
            "confirmation_method": "automatic",
            "created": int(time.time()),
            "currency": currency.lower(),
            "customer": params.get("customer"),
            "description": params.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": params.get("metadata") or {},
            "next_action": None,
            "payment_method": None,
            "payment_method_types": ["card"],
            "receipt_email": params.get("receipt_email"),
            "status": "requires_payment_method",
        }
        if "payment_method" in params:
            card_of(params["payment_method"])
            intent |= {"payment_method": params["payment_method"], "status": "requires_confirmation"}
        self._happened("payment_intent.created", intent)
        if params.get("confirm") == "true":
            return self.confirm_intent(id_, params)
        return intent

    def update_intent(self, id_: str, params: Params) -> StripeObject:
        intent = self.intent(id_)
        if "amount" in params:
            intent["amount"] = positive_integer(params, "amount")
            require_chargeable(intent["amount"], intent["currency"])
        if isinstance(params.get("metadata"), dict):
            merged = {**intent["metadata"], **params["metadata"]}
            intent["metadata"] = {name: value for name, value in merged.items() if value != ""}
        intent |= {name: params[name] for name in ("description", "receipt_email") if name in params}
        self.objects.save(intent)
        return intent

    def confirm_intent(self, id_: str, params: Params) -> StripeObject:
        intent = self.intent(id_)
        if intent["status"] not in CONFIRMABLE:
            raise unexpected_state(intent, "confirm")
        method = params.get("payment_method") or intent["payment_method"]
        if method is None:
            message = (
                "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update "
                "the PaymentIntent with a payment method and then confirm it again, or confirm it again directly "
                "with a payment method."
            )
            code = "payment_intent_unexpected_state"
            raise StripeError(400, "invalid_request_error", message, code=code, payment_intent=intent)
        card = card_of(method)
        intent |= {"payment_method": method, "last_payment_error": None, "next_action": None}
        if card.authenticates:
            intent |= {"status": "requires_action", "next_action": next_action(intent, params)}
            self._happened("payment_intent.requires_action", intent)
            return intent
        if card.decline_code is not None:
            raise self._decline(intent, card, card.decline_code)
        return self._charge(intent, card)

    def authenticate_payer(self, id_: str, *, succeeds: bool) -> StripeObject:
        """The simulator's stand-in for the payer's bank page: the second factor is given, or refused."""
        intent = self.intent(id_)
        if intent["status"] != "requires_action":
            raise unexpected_state(intent, "authenticate")
        intent["next_action"] = None
        if succeeds:
            return self._charge(intent, card_of(intent["payment_method"]))
        message = (
            "We are unable to authenticate your payment method. "
            "Please choose a different payment method and try again."
        )
        failure = {
            "type": "invalid_request_error",
            "code": "payment_intent_authentication_failure",
            "message": message,
        }
        intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": failure}
        self._happened("payment_intent.payment_failed", intent)
        return intent

    def cancel_intent(self, id_: str, params: Params) -> StripeObject:
        intent = self.intent(id_)
        if intent["status"] not in CANCELABLE:
            raise unexpected_state(intent, "cancel")
        intent |= {
            "status": "canceled",
            "canceled_at": int(time.time()),
            "cancellation_reason": params.get("cancellation_reason"),
            "next_action": None,
        }
        self._happened("payment_intent.canceled", intent)
        return intent

    def intent(self, id_: str) -> StripeObject:
        return self._found("payment_intent", id_, param="intent")

    def _charge(self, intent: StripeObject, card: Card) -> StripeObject:
        charge = new_charge(intent, card)
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
        self._happened("charge.succeeded", charge)
        self._happened("payment_intent.succeeded", intent)
        return intent

    def _decline(self, intent: StripeObject, card: Card, decline_code: str) -> StripeError:
        code = decline_code if decline_code in OWN_ERROR_CODES else "card_declined"
        message = "Your card was declined."
        charge = new_charge(intent, card) | {
            "status": "failed",
            "paid": False,
            "captured": False,
            "amount_captured": 0,
            "failure_code": code,
            "failure_message": message,
        }
        failure: StripeObject = {
            "type": "card_error",
            "code": code,
            "decline_code": decline_code,
            "message": message,
            "charge": charge["id"],
            "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        }
        intent |= {
            "status": "requires_payment_method",
            "payment_method": None,
            "latest_charge": charge["id"],
            "last_payment_error": failure,
        }
        self._happened("charge.failed", charge)
        self._happened("payment_intent.payment_failed", intent)
        details = {name: value for name, value in failure.items() if name not in {"type", "message"}}
        return StripeError(402, "card_error", message, **details, payment_intent=intent)

    # Refunds

    def create_refund(self, params: Params) -> StripeObject:
        charge = self._charge_to_refund(params)
        left: int = charge["amount"] - charge["amount_refunded"]
        if not left:
            message = f"Charge {charge['id']} has already been refunded."
            raise StripeError(400, "invalid_request_error", message, code="charge_already_refunded")
        amount = positive_integer(params, "amount") if "amount" in params else left
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise StripeError(400, "invalid_request_error", message, param="amount")
        refund: StripeObject = {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "created": int(time.time()),
            "currency": charge["currency"],
            "metadata": params.get("metadata") or {},
            "payment_intent": charge["payment_intent"],
            "reason": params.get("reason"),
            "status": "succeeded",
        }
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self._happened("refund.created", refund)
        self._happened("charge.refunded", charge)
        return refund

    def _charge_to_refund(self, params: Params) -> StripeObject:
        if "charge" in params:
            return self._found("charge", params["charge"], param="charge")
        if "payment_intent" not in params:
            message = (
                "One of the following params should be provided for this request: payment_intent or charge."
            )
            raise StripeError(400, "invalid_request_error", message)
        intent = self._found("payment_intent", params["payment_intent"], param="payment_intent")
        if intent["status"] != "succeeded":
            message = f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund."
            raise StripeError(400, "invalid_request_error", message, code="payment_intent_unexpected_state")
        return self._found("charge", intent["latest_charge"], param="charge")

    # Reading

    def retrieve(self, kind: str, id_: str) -> StripeObject:
        return self._found(kind, id_, param="id")

    def list_all(self, kind: str, path: str, params: Params) -> StripeObject:
        things = [thing for thing in self.objects.all(kind) if matches(thing, params)]
        if "starting_after" in params:
            places = [place for place, thing in enumerate(things) if thing["id"] == params["starting_after"]]
            things = things[places[0] + 1 :] if places else []
        limit = min(positive_integer(params, "limit") if "limit" in params else 10, 100)
        return {"object": "list", "url": path, "has_more": len(things) > limit, "data": things[:limit]}

    def expand(self, thing: StripeObject, names: Iterable[str]) -> StripeObject:
        """Put the charge itself in the place of its id, where the caller asked for it."""
        charge = thing.get("latest_charge")
        if "latest_charge" in names and isinstance(charge, str):
            return {**thing, "latest_charge": self._found("charge", charge, param="latest_charge")}
        return thing

    def _found(self, kind: str, id_: str, *, param: str) -> StripeObject:
        thing = self.objects.find(kind, id_)
        if thing is None:
            message = f"No such {kind}: '{id_}'"
            raise StripeError(404, "invalid_request_error", message, code="resource_missing", param=param)
        return thing

    def _happened(self, kind: str, thing: StripeObject) -> None:
        self.objects.save(thing)
        event: StripeObject = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(time.time()),
            "data": {"object": dict(thing)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self.objects.save(event)
        self.webhooks.hand_over(event)


def new_charge(intent: StripeObject, card: Card) -> StripeObject:
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"],
        "amount_refunded": 0,
        "captured": True,
        "created": int(time.time()),
        "currency": intent["currency"],
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": intent["metadata"],
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": {
            "type": "card",
            "card": {
                "brand": card.brand,
                "country": "US",
                "exp_month": 12,
                "exp_year": 2034,
                "funding": "credit",
                "last4": card.last4,
                "network": card.brand,
            },
        },
        "refunded": False,
        "status": "succeeded",
    }


def next_action(intent: StripeObject, params: Params) -> StripeObject:
    if "return_url" in params:
        redirect = {
            "url": f"/simulator/payment_intents/{intent['id']}/authenticate",
            "return_url": params["return_url"],
        }
        return {"type": "redirect_to_url", "redirect_to_url": redirect}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}


def automatic_methods(params: Params) -> StripeObject | None:
    given = params.get("automatic_payment_methods")
    if not isinstance(given, dict) or given.get("enabled") != "true":
        return None
    return {"enabled": True, "allow_redirects": given.get("allow_redirects", "always")}


def matches(thing: StripeObject, params: Params) -> bool:
    wanted = {
        name: params[name] for name in ("type", "payment_intent", "charge", "customer") if name in params
    }
    return all(thing.get(name) == value for name, value in wanted.items())


def card_of(method: str) -> Card:
    card = CARDS.get(method)
    if card is None:
        message = f"No such PaymentMethod: '{method}'"
        code = "resource_missing"
        raise StripeError(400, "invalid_request_error", message, code=code, param="payment_method")
    return card


def positive_integer(params: Params, name: str) -> int:
    if name not in params:
        raise missing(name)
    try:
        number = int(params[name])
    except (TypeError, ValueError):
        message, code = f"Invalid integer: {params[name]}", "parameter_invalid_integer"
        raise StripeError(400, "invalid_request_error", message, code=code, param=name) from None
    if number < 1:
        message, code = "This value must be greater than or equal to 1.", "parameter_invalid_integer"
        raise StripeError(400, "invalid_request_error", message, code=code, param=name)
    return number


def require_chargeable(amount: int, currency: str) -> None:
    smallest = SMALLEST.get(currency.lower(), SMALLEST["usd"])
    if amount < smallest:
        message = f"Amount must be at least {smallest / 100:.2f} {currency.lower()}"
        raise StripeError(400, "invalid_request_error", message, code="amount_too_small", param="amount")


def missing(name: str) -> StripeError:
    message = f"Missing required param: {name}."
    return StripeError(400, "invalid_request_error", message, code="parameter_missing", param=name)


def unexpected_state(intent: StripeObject, verb: str) -> StripeError:
    message = f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}."
    code = "payment_intent_unexpected_state"
    return StripeError(400, "invalid_request_error", message, code=code, payment_intent=intent)


def new_id(prefix: str) -> str:
    return f"{prefix}_{random_text(24)}"


def random_text(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def signature(body: bytes, secret: str, *, at: int | None = None) -> str:
    """The `Stripe-Signature` header: when, and an HMAC over when and what."""
    timestamp = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def nested(pairs: Iterable[tuple[str, str]]) -> Params:
    """Stripe's form encoding: `metadata[orderId]=7` and `expand[0]=latest_charge` are objects and lists."""
    params: Params = {}
    for name, value in pairs:
        *path, last = name.replace("]", "").split("[")
        place = params
        for step in path:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise StripeError(400, "invalid_request_error", f"Invalid parameter: {name}", param=name)
        place[last or str(len(place))] = value
    return params


async def params_of(request: HttpRequest) -> Params:
    encoded = await request.body() if request.method == "POST" else request.scope["query_string"]
    try:
        return nested(parse_qsl(encoded.decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        raise StripeError(400, "invalid_request_error", "Invalid request body") from None


async def respond(
    request: HttpRequest, stripe: SimulatedStripe, action: Callable[[Params], StripeObject]
) -> Response[StripeObject]:
    """What every endpoint has in common: the key, the parameters, idempotency, expansion."""
    stripe.authenticate(request.headers.get("Authorization", ""))
    params = await params_of(request)
    expand = params.pop("expand", {})
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    description = json.dumps([request.method, request.url.path, params], sort_keys=True)
    status, body, replayed = stripe.answer(key, description, lambda: action(params))
    headers = {"Request-Id": new_id("req")} | ({"Idempotent-Replayed": "true"} if replayed else {})
    names = expand.values() if isinstance(expand, dict) else ()
    return Response(stripe.expand(body, names), status_code=status, headers=headers)


Stripe: TypeAlias = NamedDependency[SimulatedStripe]


@post("/v1/payment_intents")
async def create_intent(request: HttpRequest, stripe: Stripe) -> Response[StripeObject]:
    return await respond(request, stripe, stripe.create_intent)


@post("/v1/payment_intents/{intent_id:str}")
async def update_intent(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(request, stripe, lambda params: stripe.update_intent(intent_id, params))


@post("/v1/payment_intents/{intent_id:str}/confirm")
async def confirm_intent(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(request, stripe, lambda params: stripe.confirm_intent(intent_id, params))


@post("/v1/payment_intents/{intent_id:str}/cancel")
async def cancel_intent(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(request, stripe, lambda params: stripe.cancel_intent(intent_id, params))


@post("/v1/refunds")
async def create_refund(request: HttpRequest, stripe: Stripe) -> Response[StripeObject]:
    return await respond(request, stripe, stripe.create_refund)


@post("/simulator/payment_intents/{intent_id:str}/authenticate")
async def authenticate_payer(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    """Not Stripe's: play the payer at the bank's page (`outcome=failed` refuses)."""

    def act(params: Params) -> StripeObject:
        return stripe.authenticate_payer(intent_id, succeeds=params.get("outcome") != "failed")

    return await respond(request, stripe, act)


@get("/simulator/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


def readers(resource: str, kind: str) -> list[HTTPRouteHandler]:
    """`GET /v1/<resource>` and `GET /v1/<resource>/{id}`."""
    path = f"/v1/{resource}"

    @get(path, name=f"list {resource}")
    async def list_all(request: HttpRequest, stripe: Stripe) -> Response[StripeObject]:
        return await respond(request, stripe, lambda params: stripe.list_all(kind, path, params))

    @get(f"{path}/{{thing_id:str}}", name=f"retrieve {resource}")
    async def retrieve(
        request: HttpRequest, stripe: Stripe, thing_id: FromPath[str]
    ) -> Response[StripeObject]:
        return await respond(request, stripe, lambda _: stripe.retrieve(kind, thing_id))

    return [list_all, retrieve]


def stripe_error_response(_: HttpRequest, error: StripeError) -> Response[StripeObject]:
    return Response(error.body, status_code=error.status, headers={"Request-Id": new_id("req")})


def create_app(*, key: str, webhook_url: str | None, webhook_secret: str, state: Path | None) -> Litestar:
    objects = Objects(state)
    webhooks = Webhooks(objects, url=webhook_url, secret=webhook_secret)
    stripe = SimulatedStripe(objects, webhooks, key=key)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with webhooks.running():
            yield
        objects.close()

    async def provide_stripe() -> SimulatedStripe:
        return stripe

    return Litestar(
        [
            create_intent,
            update_intent,
            confirm_intent,
            cancel_intent,
            create_refund,
            authenticate_payer,
            health,
            *readers("payment_intents", "payment_intent"),
            *readers("charges", "charge"),
            *readers("refunds", "refund"),
            *readers("events", "event"),
        ],
        dependencies={"stripe": Provide(provide_stripe)},
        exception_handlers={StripeError: stripe_error_response},
        lifespan=[lifespan],
        openapi_config=None,
    )


class StripeSimulator(LocalServer):
    """The simulator as a process of its own: point the `stripe` package at `url` with `key`."""

    name = "stripe"

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        key: str = "sk_test_simulator",
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_simulator",
        log_path: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log_path=log_path)
        self.key = key
        self.webhook_url = webhook_url
        self.webhook_secret = webhook_secret

    def make_process(self) -> Process:
        command = [sys.executable, "-m", "workers.local.stripe_simulator", "--port", str(self.port)]
        command += ["--state", str(self.folder / "stripe.sqlite3")]
        if self.webhook_url is not None:
            command += ["--webhook-url", self.webhook_url]
        # By environment: everybody on the machine can read a command line.
        secrets_ = {"STRIPE_SECRET_KEY": self.key, "STRIPE_WEBHOOK_SECRET": self.webhook_secret}
        return Process(self.name, command, log_path=self.log_path, environment={**os.environ, **secrets_})

    async def answers(self) -> bool:
        return await answers_http(f"{self.url}/simulator/health")


async def serve(app: Litestar, host: str, port: int) -> None:
    server = Server(app, address=host, port=port, interface=Interfaces.ASGI, log_enabled=False)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    await server.serve()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, help="an SQLite file; without one nothing outlives the process")
    parser.add_argument("--webhook-url")
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app = create_app(
        key=os.environ["STRIPE_SECRET_KEY"],
        webhook_url=chosen.webhook_url,
        webhook_secret=os.environ["STRIPE_WEBHOOK_SECRET"],
        state=chosen.state,
    )
    asyncio.run(serve(app, chosen.host, chosen.port))


if __name__ == "__main__":
    main()
