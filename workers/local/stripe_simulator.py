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
import itertools
import logging
import operator
import os
import secrets
import string
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import httpx
import msgspec
import uvicorn
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.handlers.http_handlers import HTTPRouteHandler
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect

from application.collecting import collect_rarely
from workers.local.process import LOOPBACK, Process, answers_http
from workers.local.process import Server as LocalServer
from workers.local.stripe_objects import Objects, StripeObject
from workers.local.stripe_webhooks import ALL_EVENTS, Webhooks, WebhookSettings

Params: TypeAlias = dict[str, Any]
HttpRequest: TypeAlias = Request[Any, Any, State]
Control = TypeVar("Control")

ALPHANUMERIC: Final = string.ascii_letters + string.digits
API_VERSION: Final = "2025-09-30.clover"
WEBHOOK_PATH: Final = "/api/v1/payments/stripe"
SETTLE_AFTER: Final = 2.0
KEPT_ALIVE: Final = 75
ENDED_WITHIN: Final = 5
MOST_METADATA, LONGEST_METADATA_KEY, LONGEST_METADATA_VALUE = 50, 40, 500
LONGEST_IDEMPOTENCY_KEY: Final = 255
KEYS_KEPT: Final = 24 * 60 * 60
"""Seconds after which a key is forgotten. At Stripe it may be later."""


class Card(msgspec.Struct, frozen=True):
    """What a charge remembers of a card or a bank account, and what happens when it is charged.

    ``processing`` is what becomes in the end of what is not decided at once: ``succeeded``, ``nothing``, or why it
    fails. ``refund`` is what becomes of its refunds later, and ``dispute`` why its owner wants the money back.
    """

    brand: str
    last4: str
    decline_code: str | None = None
    authenticates: bool = False
    bank: bool = False
    processing: str = ""
    refund: str = ""
    dispute: str = ""


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
    "pm_card_visa_chargeDeclinedLostCard": Card("visa", "9987", decline_code="lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": Card("visa", "9979", decline_code="stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": Card("visa", "0069", decline_code="expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": Card("visa", "0127", decline_code="incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": Card("visa", "0119", decline_code="processing_error"),
    "pm_card_threeDSecure2Required": Card("visa", "3220", authenticates=True),
    "pm_card_authenticationRequired": Card("visa", "3184", authenticates=True),
    "pm_card_pendingRefund": Card("visa", "7726", refund="succeeded"),
    "pm_card_refundFail": Card("visa", "5126", refund="failed"),
    "pm_card_createDispute": Card("visa", "0259", dispute="fraudulent"),
    "pm_card_createDisputeProductNotReceived": Card("visa", "2685", dispute="product_not_received"),
    # Direct debits take days at Stripe. They need a mandate there, which is not asked for here.
    "pm_usBankAccount_success": Card("STRIPE TEST BANK", "6789", bank=True, processing="succeeded"),
    "pm_usBankAccount_accountClosed": Card(
        "STRIPE TEST BANK", "1113", bank=True, processing="account_closed"
    ),
    "pm_usBankAccount_noAccount": Card("STRIPE TEST BANK", "1116", bank=True, processing="no_account"),
    "pm_usBankAccount_insufficientFunds": Card(
        "STRIPE TEST BANK", "2227", bank=True, processing="insufficient_funds"
    ),
    "pm_usBankAccount_debitNotAuthorized": Card(
        "STRIPE TEST BANK", "3335", bank=True, processing="debit_not_authorized"
    ),
    "pm_usBankAccount_processing": Card("STRIPE TEST BANK", "1111", bank=True, processing="nothing"),
}
FINAL_CODES: Final = frozenset(
    {"payment_intent_unexpected_state", "charge_already_refunded", "charge_disputed"}
)
# For these Stripe's error code is the reason itself; the others are "card_declined" with the reason beside it.
OWN_ERROR_CODES: Final = frozenset({"expired_card", "incorrect_cvc", "processing_error"})
SMALLEST: Final[Mapping[str, int]] = {"usd": 50, "eur": 50, "gbp": 30}
"""The least that Stripe charges, in minor units; for currencies that are not here as for the first."""
LARGEST: Final = 99_999_999
CONFIRMABLE: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})
CANCELABLE: Final = CONFIRMABLE | {"requires_capture"}
"""Not what is processing; but for the bank account that stays so for ever, which is made to try that with."""
CANCELLATION_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer", "abandoned"})
REFUND_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer"})
OUTCOMES: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "payment_intents": ("payment_intent", frozenset({"succeeded", "failed"})),
    "refunds": ("refund", frozenset({"succeeded", "failed"})),
    "disputes": ("dispute", frozenset({"won", "lost"})),
}
PREFIXES: Final[Mapping[str, str]] = {"payment_intents": "pi_", "refunds": "re_", "disputes": "du_"}
EXPANDABLE: Final[Mapping[str, str]] = {
    "latest_charge": "charge",
    "charge": "charge",
    "payment_intent": "payment_intent",
}
NO_PARAMS: Final[frozenset[str]] = frozenset()
CHANGED_INTENT: Final = frozenset({"amount", "description", "metadata", "receipt_email"})
CONFIRMATION: Final = frozenset({"payment_method", "return_url"})
NEW_INTENT: Final = (
    CHANGED_INTENT
    | CONFIRMATION
    | {"automatic_payment_methods", "confirm", "currency", "payment_method_types"}
)
NEW_REFUND: Final = frozenset({"amount", "charge", "metadata", "payment_intent", "reason"})
LISTED: Final = frozenset({"limit", "starting_after", "ending_before", "created"})
LISTS: Final[Mapping[str, frozenset[str]]] = {
    "payment_intent": LISTED | {"customer"},
    "charge": LISTED | {"customer", "payment_intent"},
    "refund": LISTED | {"charge", "payment_intent"},
    "dispute": LISTED | {"charge", "payment_intent"},
    "event": LISTED | {"type", "types", "delivery_success"},
}
COMPARISONS: Final[Mapping[str, Callable[[int, int], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class StripeError(Exception):
    """An answer in Stripe's error shape."""

    def __init__(self, status: int, kind: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.status = status
        self.body: StripeObject = {"error": {"type": kind, "message": message, **details}}

    @property
    def final(self) -> bool:
        """As at Stripe, what was tried and came to nothing is repeated as it was; what validation refused is not."""
        code = self.body["error"].get("code")
        return self.status == httpx.codes.PAYMENT_REQUIRED or code in FINAL_CODES


class SimulatedStripe:
    """What Stripe decides and remembers."""

    def __init__(
        self, objects: Objects, webhooks: Webhooks, *, key: str, origin: str, clock: Callable[[], float]
    ) -> None:
        self.objects = objects
        self.webhooks = webhooks
        self._key = key
        self._origin = origin
        self._clock = clock
        self._settle_after: float | None = SETTLE_AFTER
        self._to_send: list[Callable[[], None]] = []

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
        """Act once per idempotency key and day: status, body, and whether it is a recorded answer."""
        if idempotency_key is None:
            with self._changing():
                return *_outcome_of(action), False
        if len(idempotency_key) > LONGEST_IDEMPOTENCY_KEY:
            message = f"Idempotency key is too long (limit: {LONGEST_IDEMPOTENCY_KEY} characters)."
            raise StripeError(400, "idempotency_error", message)
        known = self.objects.answer_to(idempotency_key, since=self._now - KEYS_KEPT)
        if known is None:
            with self._changing():
                status, body = _outcome_of(action)
                self.objects.remember_answer(idempotency_key, self._now, request, status, body)
            return status, body, False
        known_request, status, body = known
        if known_request != request:
            message = (
                "Keys for idempotent requests can only be used with the same parameters they were first used "
                f"with. Try using a key other than '{idempotency_key}' if you meant to execute a different "
                "request."
            )
            raise StripeError(400, "idempotency_error", message)
        return status, body, True

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """What happens in the block is told once it is committed."""
        try:
            with self.objects.transaction():
                yield
            for send in self._to_send:
                send()
        finally:
            self._to_send.clear()

    @property
    def _now(self) -> int:
        return int(self._clock())

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
        automatic = automatic_methods(params)
        intent: StripeObject = {
            "id": id_,
            "object": "payment_intent",
            "amount": amount,
            "amount_capturable": 0,
            "amount_received": 0,
            "automatic_payment_methods": automatic,
            "canceled_at": None,
            "cancellation_reason": None,
            "capture_method": "automatic_async",
            "client_secret": f"{id_}_secret_{random_text(25)}",
            "confirmation_method": "automatic",
            "created": self._now,
            "currency": currency.lower(),
            "customer": None,
            "description": params.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": metadata_of(params),
            "next_action": None,
            "payment_method": None,
            "payment_method_types": method_types(params, automatic, currency),
            "receipt_email": params.get("receipt_email"),
            "status": "requires_payment_method",
        }
        if "payment_method" in params:
            require_usable(params["payment_method"], intent)
            intent |= {"payment_method": params["payment_method"], "status": "requires_confirmation"}
        self._happened("payment_intent.created", intent)
        if params.get("confirm") == "true":
            return self.confirm_intent(id_, params)
        return intent

    def update_intent(self, id_: str, params: Params) -> StripeObject:
        intent = self.intent(id_)
        if "amount" in params:
            amount = positive_integer(params, "amount")
            if intent["status"] not in CONFIRMABLE:
                message = (
                    f"This PaymentIntent's amount could not be updated because it has a status of {intent['status']}. "
                    "You may only update the amount of a PaymentIntent with one of the following statuses: "
                    "requires_payment_method, requires_confirmation, requires_action."
                )
                code = "payment_intent_unexpected_state"
                raise StripeError(400, "invalid_request_error", message, code=code, payment_intent=intent)
            intent["amount"] = amount
            require_chargeable(amount, intent["currency"])
        intent["metadata"] = metadata_of(params, intent["metadata"])
        intent |= {name: params[name] for name in ("description", "receipt_email") if name in params}
        self.objects.save(intent)
        return intent

    def confirm_intent(self, id_: str, params: Params) -> StripeObject:
        intent = self.intent(id_)
        if intent["status"] not in CONFIRMABLE:
            raise unexpected_state(intent, "confirm", CONFIRMABLE)
        method = params.get("payment_method") or intent["payment_method"]
        if method is None:
            message = (
                "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update "
                "the PaymentIntent with a payment method and then confirm it again, or confirm it again directly "
                "with a payment method."
            )
            code = "payment_intent_unexpected_state"
            raise StripeError(400, "invalid_request_error", message, code=code, payment_intent=intent)
        card = require_usable(method, intent)
        require_return_url(intent, params)
        intent |= {"payment_method": method, "last_payment_error": None, "next_action": None}
        if card.authenticates:
            intent |= {"status": "requires_action", "next_action": next_action(intent, params, self._origin)}
            self._happened("payment_intent.requires_action", intent)
            return intent
        if card.decline_code is not None:
            raise self._decline(intent, card, card.decline_code)
        charge = new_charge(intent, card, self._now)
        if card.processing:
            return self._process(intent, charge, card)
        return self._succeed(intent, charge)

    def authenticate_payer(self, id_: str, *, succeeds: bool) -> StripeObject:
        """The simulator's stand-in for the payer's bank page: the second factor is given, or refused."""
        intent = self.intent(id_)
        if intent["status"] != "requires_action":
            raise unexpected_state(intent, "authenticate", {"requires_action"})
        intent["next_action"] = None
        if succeeds:
            return self._succeed(intent, new_charge(intent, card_of(intent["payment_method"]), self._now))
        message = (
            "We are unable to authenticate your payment method. "
            "Please choose a different payment method and try again."
        )
        return self._fail(intent, "payment_intent_authentication_failure", message)

    def cancel_intent(self, id_: str, params: Params) -> StripeObject:
        intent = self.intent(id_)
        undecided = (
            intent["status"] == "processing" and card_of(intent["payment_method"]).processing == "nothing"
        )
        if intent["status"] not in CANCELABLE and not undecided:
            raise unexpected_state(intent, "cancel", CANCELABLE)
        intent |= {
            "status": "canceled",
            "canceled_at": self._now,
            "cancellation_reason": one_of(params, "cancellation_reason", CANCELLATION_REASONS),
            "next_action": None,
        }
        self._happened("payment_intent.canceled", intent)
        return intent

    def intent(self, id_: str) -> StripeObject:
        return self._found("payment_intent", id_, param="intent")

    def _process(self, intent: StripeObject, charge: StripeObject, card: Card) -> StripeObject:
        charge |= {"status": "pending", "paid": False}
        intent |= {"status": "processing", "latest_charge": charge["id"]}
        self._happened("charge.pending", charge)
        self._happened("payment_intent.processing", intent)
        if card.processing != "nothing":
            self._expect(intent["id"], "succeeded" if card.processing == "succeeded" else "failed")
        return intent

    def _succeed(self, intent: StripeObject, charge: StripeObject) -> StripeObject:
        charge |= {"status": "succeeded", "paid": True}
        intent |= {"status": "succeeded", "amount_received": intent["amount"], "latest_charge": charge["id"]}
        dispute = card_of(intent["payment_method"]).dispute
        self._happened("charge.succeeded", charge)
        self._happened("payment_intent.succeeded", intent)
        if dispute:
            self._dispute(charge, dispute)
        return intent

    def _fail(self, intent: StripeObject, code: str, message: str) -> StripeObject:
        """What was tried came to nothing after a while, and another method may be."""
        failure = {"type": "invalid_request_error", "code": code, "message": message}
        intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": failure}
        self._happened("payment_intent.payment_failed", intent)
        return intent

    def _decline(self, intent: StripeObject, card: Card, decline_code: str) -> StripeError:
        code = decline_code if decline_code in OWN_ERROR_CODES else "card_declined"
        message = "Your card was declined."
        charge = failed_charge(new_charge(intent, card, self._now), code, message)
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
        reason = one_of(params, "reason", REFUND_REASONS)
        disputes = self.objects.newest("dispute", intent=charge["payment_intent"])
        if any(dispute["status"] != "won" for dispute in disputes):
            message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
            raise StripeError(400, "invalid_request_error", message, code="charge_disputed")
        left: int = charge["amount"] - charge["amount_refunded"]
        if not left:
            message = f"Charge {charge['id']} has already been refunded."
            raise StripeError(400, "invalid_request_error", message, code="charge_already_refunded")
        amount = positive_integer(params, "amount") if "amount" in params else left
        if amount > left:
            message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
            raise StripeError(400, "invalid_request_error", message, param="amount")
        later = card_of(charge["payment_method"]).refund
        refund: StripeObject = {
            "id": new_id("re"),
            "object": "refund",
            "amount": amount,
            "charge": charge["id"],
            "created": self._now,
            "currency": charge["currency"],
            "metadata": metadata_of(params),
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "pending" if later == "succeeded" else "succeeded",
        }
        self._give_back(charge, amount)
        self._happened("refund.created", refund)
        self._happened("charge.refunded", charge)
        if later:
            self._expect(refund["id"], later)
        return refund

    def update_refund(self, id_: str, params: Params) -> StripeObject:
        refund = self._found("refund", id_, param="id")
        refund["metadata"] = metadata_of(params, refund["metadata"])
        self._happened("refund.updated", refund)
        return refund

    def _give_back(self, charge: StripeObject, amount: int) -> None:
        charge["amount_refunded"] += amount
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        self.objects.save(charge)

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

    # Disputes

    def _dispute(self, charge: StripeObject, reason: str) -> None:
        dispute: StripeObject = {
            "id": new_id("du"),
            "object": "dispute",
            "amount": charge["amount"],
            "charge": charge["id"],
            "created": self._now,
            "currency": charge["currency"],
            "evidence": {"uncategorized_text": None},
            "is_charge_refundable": False,
            "livemode": False,
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "reason": reason,
            "status": "needs_response",
        }
        self.objects.save({**charge, "disputed": True})
        self._happened("charge.dispute.created", dispute)
        self._happened("charge.dispute.funds_withdrawn", dispute)

    def answer_dispute(self, id_: str, params: Params) -> StripeObject:
        """Stripe's own words for how it is to end: ``winning_evidence`` and ``losing_evidence``."""
        dispute = self._open_dispute(id_)
        evidence = params.get("evidence", {})
        if not isinstance(evidence, dict) or evidence.keys() - {"uncategorized_text"}:
            message = "Here a dispute is answered with evidence[uncategorized_text]."
            raise StripeError(400, "invalid_request_error", message, param="evidence")
        dispute["metadata"] = metadata_of(params, dispute["metadata"])
        if evidence:
            dispute["evidence"] = evidence
            if params.get("submit") != "false":
                dispute["status"] = "under_review"
                endings = {"winning_evidence": "won", "losing_evidence": "lost"}
                ending = endings.get(evidence["uncategorized_text"])
                if ending is not None:
                    self._expect(id_, ending)
        self._happened("charge.dispute.updated", dispute)
        return dispute

    def close_dispute(self, id_: str, _: Params) -> StripeObject:
        """To have nothing to say against it is to lose it."""
        return self._end_dispute(self._open_dispute(id_), "lost")

    def _open_dispute(self, id_: str) -> StripeObject:
        dispute = self._found("dispute", id_, param="dispute")
        if dispute["status"] not in {"needs_response", "under_review"}:
            message = "This dispute is already closed"
            raise StripeError(400, "invalid_request_error", message)
        return dispute

    def _end_dispute(self, dispute: StripeObject, status: str) -> StripeObject:
        self.objects.settled(dispute["id"])
        dispute["status"] = status
        self._happened("charge.dispute.closed", dispute)
        if status == "won":
            self._happened("charge.dispute.funds_reinstated", dispute)
        return dispute

    # What takes its time

    @property
    def settle_after(self) -> float | None:
        """After how many seconds what waits comes to its end; none: only when it is told to."""
        return self._settle_after

    @settle_after.setter
    def settle_after(self, seconds: float | None) -> None:
        self._settle_after = seconds
        for id_ in self.objects.expected():
            self._settle_in_time(id_)

    def _expect(self, id_: str, outcome: str) -> None:
        self.objects.expect(id_, outcome)
        self._to_send.append(lambda: self._settle_in_time(id_))

    def _settle_in_time(self, id_: str) -> None:
        if self._settle_after is not None:
            asyncio.get_running_loop().call_later(self._settle_after, self._settle_unless_done, id_)

    def _settle_unless_done(self, id_: str) -> None:
        outcome = self.objects.expected().get(id_)
        if outcome is None or self._settle_after is None:
            return
        resource = next(name for name, prefix in PREFIXES.items() if id_.startswith(prefix))
        with self._changing():
            self.settle(resource, id_, {"outcome": outcome})

    def settle(self, resource: str, id_: str, params: Params) -> StripeObject:
        """What waits comes to its end: to ``outcome``, or to what it waits for."""
        kind, words = OUTCOMES[resource]
        outcome = one_of(params, "outcome", words) or self.objects.expected().get(id_)
        if outcome is None:
            raise missing("outcome")
        thing = self._found(kind, id_, param="id")
        match kind:
            case "payment_intent":
                settled = self._settle_intent(thing, outcome)
            case "refund":
                settled = self._settle_refund(thing, outcome)
            case _:
                settled = self._end_dispute(self._open_dispute(id_), outcome)
        self.objects.settled(id_)
        return settled

    def _settle_intent(self, intent: StripeObject, outcome: str) -> StripeObject:
        if intent["status"] != "processing":
            raise unexpected_state(intent, "settle", {"processing"})
        charge = self._found("charge", intent["latest_charge"], param="charge")
        if outcome == "succeeded":
            return self._succeed(intent, charge)
        reason = card_of(intent["payment_method"]).processing
        code = "account_closed" if reason in {"succeeded", "nothing"} else reason
        message = "The customer's bank account could not be debited."
        self._happened("charge.failed", failed_charge(charge, code, message))
        return self._fail(intent, code, message)

    def _settle_refund(self, refund: StripeObject, outcome: str) -> StripeObject:
        """One that is pending comes to either end; one that has succeeded may fail yet, as at some banks."""
        if outcome == refund["status"] or refund["status"] == "failed":
            raise StripeError(400, "invalid_request_error", f"This refund has {refund['status']} already")
        refund["status"] = outcome
        if outcome == "failed":
            refund["failure_reason"] = "expired_or_canceled_card"
            self._give_back(self._found("charge", refund["charge"], param="charge"), -refund["amount"])
        self._happened("refund.updated", refund)
        if outcome == "failed":
            self._happened("refund.failed", refund)
        return refund

    # Reading

    def retrieve(self, kind: str, id_: str) -> StripeObject:
        if kind != "event":
            return self._found(kind, id_, param="id")
        event = self.objects.event(id_)
        if event is None:
            raise not_found("event", id_, param="id")
        return event

    def list_all(self, kind: str, path: str, params: Params) -> StripeObject:
        limit = positive_integer(params, "limit") if "limit" in params else 10
        if limit > 100:
            message, code = "This value must be less than or equal to 100.", "parameter_invalid_integer"
            raise StripeError(400, "invalid_request_error", message, code=code, param="limit")
        wanted = filter_of(params)
        things = (
            self.objects.newest_events()
            if kind == "event"
            else self.objects.newest(kind, intent=params.get("payment_intent", ""))
        )
        for name in ("starting_after", "ending_before"):
            if name in params:
                self.retrieve(kind, params[name])
        if "starting_after" in params:
            after = params["starting_after"]
            things = itertools.islice(
                itertools.dropwhile(lambda thing: thing["id"] != after, things), 1, None
            )
        if "ending_before" in params:
            before = params["ending_before"]
            newer = itertools.takewhile(lambda thing: thing["id"] != before, things)
            found = [thing for thing in newer if wanted(thing)]
            return {"object": "list", "url": path, "has_more": len(found) > limit, "data": found[-limit:]}
        found = list(itertools.islice((thing for thing in things if wanted(thing)), limit + 1))
        return {"object": "list", "url": path, "has_more": len(found) > limit, "data": found[:limit]}

    def expand(self, answer: StripeObject, names: Iterable[str]) -> StripeObject:
        """Put things themselves in the place of their ids, where the caller asked for it."""
        for name in names:
            if answer["object"] == "list" and name.startswith("data."):
                field = name.removeprefix("data.")
                answer = {**answer, "data": [self._expanded(thing, field) for thing in answer["data"]]}
            else:
                answer = self._expanded(answer, name)
        return answer

    def _expanded(self, thing: StripeObject, field: str) -> StripeObject:
        if field not in EXPANDABLE or field not in thing:
            message = f"This property cannot be expanded ({field})."
            raise StripeError(400, "invalid_request_error", message, param="expand")
        id_ = thing[field]
        return {**thing, field: self._found(EXPANDABLE[field], id_, param=field)} if id_ else thing

    def _found(self, kind: str, id_: str, *, param: str) -> StripeObject:
        thing = self.objects.find(kind, id_)
        if thing is None:
            raise not_found(kind, id_, param=param)
        return thing

    def _happened(self, kind: str, thing: StripeObject) -> None:
        self.objects.save(thing)
        event: StripeObject = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self._now,
            "data": {"object": dict(thing)},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }
        self._to_send.append(self.webhooks.record(event))

    def go_on(self) -> None:
        """What waited when a previous run ended goes on waiting."""
        for id_ in self.objects.expected():
            self._settle_in_time(id_)


def _outcome_of(action: Callable[[], StripeObject]) -> tuple[int, StripeObject]:
    try:
        return 200, action()
    except StripeError as error:
        if not error.final:
            raise
        return error.status, error.body


def new_charge(intent: StripeObject, card: Card, at: int) -> StripeObject:
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"],
        "amount_refunded": 0,
        "captured": True,
        "created": at,
        "currency": intent["currency"],
        "customer": None,
        "disputed": False,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": intent["metadata"],
        "paid": True,
        "payment_intent": intent["id"],
        "payment_method": intent["payment_method"],
        "payment_method_details": bank_details(card) if card.bank else card_details(card),
        "refunded": False,
        "status": "succeeded",
    }


def failed_charge(charge: StripeObject, code: str, message: str) -> StripeObject:
    return charge | {
        "status": "failed",
        "paid": False,
        "captured": False,
        "amount_captured": 0,
        "failure_code": code,
        "failure_message": message,
    }


def card_details(card: Card) -> StripeObject:
    return {
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
    }


def bank_details(account: Card) -> StripeObject:
    return {
        "type": "us_bank_account",
        "us_bank_account": {
            "account_holder_type": "individual",
            "account_type": "checking",
            "bank_name": account.brand,
            "last4": account.last4,
            "routing_number": "110000000",
        },
    }


def next_action(intent: StripeObject, params: Params, origin: str) -> StripeObject:
    if "return_url" in params:
        redirect = {
            "url": f"{origin}/simulator/payment_intents/{intent['id']}/authenticate",
            "return_url": params["return_url"],
        }
        return {"type": "redirect_to_url", "redirect_to_url": redirect}
    return {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}


def automatic_methods(params: Params) -> StripeObject | None:
    """What is on of itself, as soon as nobody names the types that are taken."""
    given = params.get("automatic_payment_methods")
    if given is None:
        return None if "payment_method_types" in params else {"enabled": True, "allow_redirects": "always"}
    if not isinstance(given, dict) or given.keys() - {"enabled", "allow_redirects"}:
        message = "Invalid automatic_payment_methods"
        raise StripeError(400, "invalid_request_error", message, param="automatic_payment_methods")
    if given.get("enabled") != "true":
        return None
    return {"enabled": True, "allow_redirects": given.get("allow_redirects", "always")}


def method_types(params: Params, automatic: StripeObject | None, currency: str) -> list[str]:
    if automatic is not None and "payment_method_types" in params:
        message = (
            "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."
        )
        raise StripeError(400, "invalid_request_error", message)
    possible = ["card", "us_bank_account"] if currency.lower() == "usd" else ["card"]
    if automatic is not None:
        return possible
    types = list_of(params.get("payment_method_types", {"0": "card"}))
    if not types or set(types) - set(possible):
        message = f"The payment method types {types} are not taken in {currency.lower()}."
        raise StripeError(400, "invalid_request_error", message, param="payment_method_types")
    return types


def require_usable(method: str, intent: StripeObject) -> Card:
    card = card_of(method)
    kind = "us_bank_account" if card.bank else "card"
    if kind not in intent["payment_method_types"]:
        message = f"The PaymentMethod provided ({kind}) is not allowed for this PaymentIntent."
        raise StripeError(400, "invalid_request_error", message, param="payment_method")
    return card


def require_return_url(intent: StripeObject, params: Params) -> None:
    automatic = intent["automatic_payment_methods"]
    if automatic is not None and automatic["allow_redirects"] == "always" and "return_url" not in params:
        message = (
            "This PaymentIntent is configured to accept payment methods that might redirect your customer off of your "
            "page: you must provide a `return_url`. If you don't want to accept redirect-based payment methods, set "
            "`automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to "
            "`never` when creating Payment Intents."
        )
        raise StripeError(400, "invalid_request_error", message)


def filter_of(params: Params) -> Callable[[StripeObject], bool]:
    """What a list is kept to, but for whose payment intent it is, which is looked up."""
    equal = {name: params[name] for name in ("type", "charge", "customer") if name in params}
    types = list_of(params["types"]) if "types" in params else None
    delivered = params.get("delivery_success")
    created = params.get("created", {})
    if not isinstance(created, dict):
        created = {"gte": created, "lte": created}
    if created.keys() - COMPARISONS.keys():
        raise StripeError(400, "invalid_request_error", "Invalid created", param="created")
    bounds = [(COMPARISONS[name], positive_integer(created, name)) for name in created]

    def wanted(thing: StripeObject) -> bool:
        return (
            all(thing.get(name) == value for name, value in equal.items())
            and (types is None or thing["type"] in types)
            and (delivered is None or (delivered == "true") is not bool(thing["pending_webhooks"]))
            and all(compare(thing["created"], bound) for compare, bound in bounds)
        )

    return wanted


def metadata_of(params: Params, before: Mapping[str, str] | None = None) -> dict[str, str]:
    """Merged into what there was; an empty value takes its key away."""
    given = params.get("metadata") or {}
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        message = "Invalid metadata: it is keys and values"
        raise StripeError(400, "invalid_request_error", message, param="metadata")
    merged = {name: value for name, value in {**(before or {}), **given}.items() if value}
    too_long = [
        name
        for name, value in merged.items()
        if len(name) > LONGEST_METADATA_KEY or len(value) > LONGEST_METADATA_VALUE
    ]
    if too_long or len(merged) > MOST_METADATA:
        message = (
            f"Metadata can have up to {MOST_METADATA} keys, of up to {LONGEST_METADATA_KEY} characters and with values "
            f"of up to {LONGEST_METADATA_VALUE} characters."
        )
        raise StripeError(400, "invalid_request_error", message, param="metadata")
    return merged


def list_of(given: Any) -> list[str]:
    """A list as ``nested`` reads it."""
    return list(given.values()) if isinstance(given, dict) else [given]


def one_of(params: Params, name: str, words: Iterable[str]) -> str | None:
    given = params.get(name)
    if given is None or given in words:
        return given
    message = f"Invalid {name}: must be one of {', '.join(sorted(words))}"
    raise StripeError(400, "invalid_request_error", message, param=name)


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
    if amount > LARGEST:
        message = f"Amount must be no more than {LARGEST / 100:,.2f} {currency.lower()}"
        raise StripeError(400, "invalid_request_error", message, code="amount_too_large", param="amount")


def missing(name: str) -> StripeError:
    message = f"Missing required param: {name}."
    return StripeError(400, "invalid_request_error", message, code="parameter_missing", param=name)


def not_found(kind: str, id_: str, *, param: str) -> StripeError:
    message = f"No such {kind}: '{id_}'"
    return StripeError(404, "invalid_request_error", message, code="resource_missing", param=param)


def unexpected_state(intent: StripeObject, verb: str, possible: Iterable[str]) -> StripeError:
    message = (
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}. Only a PaymentIntent "
        f"with one of the following statuses allows that: {', '.join(sorted(possible))}."
    )
    code = "payment_intent_unexpected_state"
    return StripeError(400, "invalid_request_error", message, code=code, payment_intent=intent)


def new_id(prefix: str) -> str:
    return f"{prefix}_{random_text(24)}"


def random_text(length: int) -> str:
    return "".join(ALPHANUMERIC[byte % len(ALPHANUMERIC)] for byte in secrets.token_bytes(length))


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
    request: HttpRequest,
    stripe: SimulatedStripe,
    action: Callable[[Params], StripeObject],
    *,
    known: frozenset[str] = NO_PARAMS,
) -> Response[StripeObject]:
    """What every endpoint has in common: the key, the parameters that it knows, idempotency, expansion."""
    stripe.authenticate(request.headers.get("Authorization", ""))
    params = await params_of(request)
    description = _describe([request.method, request.scope["path"], params]).decode()
    names = list_of(params.pop("expand", {}))
    for name in params.keys() - known:
        message, code = f"Received unknown parameter: {name}", "parameter_unknown"
        raise StripeError(400, "invalid_request_error", message, code=code, param=name)
    if request.method == "GET":
        return _answer(200, stripe.expand(action(params), names))
    key = request.headers.get("Idempotency-Key")
    status, body, replayed = stripe.answer(key, description, lambda: stripe.expand(action(params), names))
    return _answer(status, body, {"Idempotent-Replayed": "true"} if replayed else {})


def _answer(
    status: int, body: StripeObject, headers: Mapping[str, str] | None = None
) -> Response[StripeObject]:
    return Response(body, status_code=status, headers={"Request-Id": new_id("req"), **(headers or {})})


_describe = msgspec.json.Encoder(order="sorted").encode

Stripe: TypeAlias = NamedDependency[SimulatedStripe]


@post("/v1/payment_intents")
async def create_intent(request: HttpRequest, stripe: Stripe) -> Response[StripeObject]:
    return await respond(request, stripe, stripe.create_intent, known=NEW_INTENT)


@post("/v1/payment_intents/{intent_id:str}")
async def update_intent(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(
        request, stripe, lambda params: stripe.update_intent(intent_id, params), known=CHANGED_INTENT
    )


@post("/v1/payment_intents/{intent_id:str}/confirm")
async def confirm_intent(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(
        request, stripe, lambda params: stripe.confirm_intent(intent_id, params), known=CONFIRMATION
    )


@post("/v1/payment_intents/{intent_id:str}/cancel")
async def cancel_intent(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(
        request,
        stripe,
        lambda params: stripe.cancel_intent(intent_id, params),
        known=frozenset({"cancellation_reason"}),
    )


@post("/v1/refunds")
async def create_refund(request: HttpRequest, stripe: Stripe) -> Response[StripeObject]:
    return await respond(request, stripe, stripe.create_refund, known=NEW_REFUND)


@post("/v1/refunds/{refund_id:str}")
async def update_refund(
    request: HttpRequest, stripe: Stripe, refund_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(
        request,
        stripe,
        lambda params: stripe.update_refund(refund_id, params),
        known=frozenset({"metadata"}),
    )


@post("/v1/disputes/{dispute_id:str}")
async def answer_dispute(
    request: HttpRequest, stripe: Stripe, dispute_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(
        request,
        stripe,
        lambda params: stripe.answer_dispute(dispute_id, params),
        known=frozenset({"evidence", "metadata", "submit"}),
    )


@post("/v1/disputes/{dispute_id:str}/close")
async def close_dispute(
    request: HttpRequest, stripe: Stripe, dispute_id: FromPath[str]
) -> Response[StripeObject]:
    return await respond(request, stripe, lambda params: stripe.close_dispute(dispute_id, params))


@post("/simulator/payment_intents/{intent_id:str}/authenticate")
async def authenticate_payer(
    request: HttpRequest, stripe: Stripe, intent_id: FromPath[str]
) -> Response[StripeObject]:
    """Not Stripe's: play the payer at the bank's page (`outcome=failed` refuses)."""

    def act(params: Params) -> StripeObject:
        return stripe.authenticate_payer(intent_id, succeeds=params.get("outcome") != "failed")

    return await respond(request, stripe, act, known=frozenset({"outcome"}))


class Pace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """After how many seconds what takes its time comes to its end; ``null``: only when it is told to."""

    settle_after: Annotated[float, msgspec.Meta(ge=0)] | None


@post("/simulator/pace", status_code=200)
async def change_pace(request: HttpRequest, stripe: Stripe) -> Pace:
    """Not Stripe's: how long direct debits, refunds that are pending, and disputes take."""
    pace = await json_of(request, stripe, Pace)
    stripe.settle_after = pace.settle_after
    return pace


@post("/simulator/webhooks", status_code=200)
async def change_webhooks(request: HttpRequest, stripe: Stripe) -> StripeObject:
    """Not Stripe's: delay, duplicate, reorder or drop what happens from now on."""
    stripe.webhooks.settings = await json_of(request, stripe, WebhookSettings)
    return webhooks_now(stripe)


@post("/simulator/forget", status_code=200)
async def forget(request: HttpRequest, stripe: Stripe) -> StripeObject:
    """Not Stripe's: nothing has happened yet."""
    stripe.authenticate(request.headers.get("Authorization", ""))
    stripe.objects.clear()
    return {}


@post("/simulator/forget-keys", status_code=200)
async def forget_keys(request: HttpRequest, stripe: Stripe) -> StripeObject:
    """Not Stripe's: no idempotency key was used before, as if a day had passed."""
    stripe.authenticate(request.headers.get("Authorization", ""))
    stripe.objects.forget_answers()
    return {}


@get("/simulator/webhooks")
async def show_webhooks(request: HttpRequest, stripe: Stripe) -> StripeObject:
    """Not Stripe's: what is done to webhooks now, and how many events are `pending`, `dropped` and `done`."""
    stripe.authenticate(request.headers.get("Authorization", ""))
    return webhooks_now(stripe)


@post("/simulator/webhooks/redeliver", status_code=200)
async def redeliver_webhooks(request: HttpRequest, stripe: Stripe) -> StripeObject:
    """Not Stripe's: send what was dropped."""
    stripe.authenticate(request.headers.get("Authorization", ""))
    return {"redelivered": stripe.webhooks.redeliver()}


def webhooks_now(stripe: SimulatedStripe) -> StripeObject:
    settings: StripeObject = msgspec.to_builtins(stripe.webhooks.settings)
    return {**settings, "events": stripe.objects.deliveries()}


async def json_of(request: HttpRequest, stripe: SimulatedStripe, kind: type[Control]) -> Control:
    stripe.authenticate(request.headers.get("Authorization", ""))
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as wrong:
        raise StripeError(400, "invalid_request_error", str(wrong)) from None


@get("/simulator/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


def readers(resource: str, kind: str) -> list[HTTPRouteHandler]:
    """`GET /v1/<resource>` and `GET /v1/<resource>/{id}`."""
    path = f"/v1/{resource}"

    @get(path, name=f"list {resource}")
    async def list_all(request: HttpRequest, stripe: Stripe) -> Response[StripeObject]:
        return await respond(
            request, stripe, lambda params: stripe.list_all(kind, path, params), known=LISTS[kind]
        )

    @get(f"{path}/{{thing_id:str}}", name=f"retrieve {resource}")
    async def retrieve(
        request: HttpRequest, stripe: Stripe, thing_id: FromPath[str]
    ) -> Response[StripeObject]:
        return await respond(request, stripe, lambda _: stripe.retrieve(kind, thing_id))

    return [list_all, retrieve]


@get("/simulator/payment_intents/{intent_id:str}/authenticate")
async def bank_page(
    stripe: Stripe, intent_id: FromPath[str], outcome: FromQuery[str] = "succeeded"
) -> Redirect:
    """Not Stripe's: where the payer is sent, who gives the second factor, or refuses it, and is sent back."""
    action = stripe.intent(intent_id)["next_action"] or {}
    if "redirect_to_url" not in action:
        raise StripeError(400, "invalid_request_error", "Nobody is sent here for this PaymentIntent")
    stripe.answer(None, "", lambda: stripe.authenticate_payer(intent_id, succeeds=outcome != "failed"))
    return Redirect(action["redirect_to_url"]["return_url"], status_code=303)


def settler(resource: str) -> HTTPRouteHandler:
    """`POST /simulator/<resource>/{id}/settle`."""

    @post(f"/simulator/{resource}/{{thing_id:str}}/settle", name=f"settle {resource}")
    async def settle(request: HttpRequest, stripe: Stripe, thing_id: FromPath[str]) -> Response[StripeObject]:
        """Not Stripe's: what takes its time comes to its end now.

        A payment intent that is processing and a refund: `outcome=succeeded` or `failed`; a dispute: `won` or `lost`.
        """
        return await respond(
            request,
            stripe,
            lambda params: stripe.settle(resource, thing_id, params),
            known=frozenset({"outcome"}),
        )

    return settle


def stripe_error_response(_: HttpRequest, error: StripeError) -> Response[StripeObject]:
    return Response(error.body, status_code=error.status, headers={"Request-Id": new_id("req")})


def create_app(
    *,
    key: str,
    webhook_url: str | None,
    webhook_secret: str,
    state: Path | None,
    webhook_events: Collection[str] = (ALL_EVENTS,),
    origin: str = "",
    clock: Callable[[], float] = time.time,
) -> Litestar:
    objects = Objects(state)
    webhooks = Webhooks(
        objects,
        url=webhook_url,
        events=webhook_events,
        sign=lambda body: signature(body, webhook_secret),
    )
    stripe = SimulatedStripe(objects, webhooks, key=key, origin=origin, clock=clock)

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with webhooks.running():
            stripe.go_on()
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
            update_refund,
            answer_dispute,
            close_dispute,
            authenticate_payer,
            bank_page,
            *map(settler, OUTCOMES),
            change_pace,
            change_webhooks,
            forget,
            forget_keys,
            show_webhooks,
            redeliver_webhooks,
            health,
            *readers("payment_intents", "payment_intent"),
            *readers("charges", "charge"),
            *readers("refunds", "refund"),
            *readers("disputes", "dispute"),
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
        webhook_events: Collection[str] = (ALL_EVENTS,),
        webhook_secret: str = "whsec_simulator",
        log_path: Path | None = None,
    ) -> None:
        super().__init__(folder, port=port, log_path=log_path)
        self.key = key
        self.webhook_url = webhook_url
        self.webhook_events = webhook_events
        self.webhook_secret = webhook_secret

    def make_process(self) -> Process:
        command = [sys.executable, "-m", "workers.local.stripe_simulator", "--port", str(self.port)]
        command += ["--state", str(self.folder / "stripe.sqlite3")]
        if self.webhook_url is not None:
            command += ["--webhook-url", self.webhook_url, "--webhook-events", *sorted(self.webhook_events)]
        # By environment: everybody on the machine can read a command line.
        secrets_ = {"STRIPE_SECRET_KEY": self.key, "STRIPE_WEBHOOK_SECRET": self.webhook_secret}
        return Process(self.name, command, log_path=self.log_path, environment={**os.environ, **secrets_})

    async def answers(self) -> bool:
        return await answers_http(f"{self.url}/simulator/health")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--state", type=Path, help="an SQLite file; without one nothing outlives the process")
    parser.add_argument("--webhook-url")
    parser.add_argument(
        "--webhook-events", nargs="+", default=[ALL_EVENTS], help="as Stripe's enabled_events"
    )
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    app = create_app(
        key=os.environ["STRIPE_SECRET_KEY"],
        webhook_url=chosen.webhook_url,
        webhook_events=chosen.webhook_events,
        webhook_secret=os.environ["STRIPE_WEBHOOK_SECRET"],
        state=chosen.state,
        origin=f"http://{chosen.host}:{chosen.port}",
    )
    collect_rarely()
    uvicorn.run(
        app,
        host=chosen.host,
        port=chosen.port,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=ENDED_WITHIN,
    )


if __name__ == "__main__":
    main()
