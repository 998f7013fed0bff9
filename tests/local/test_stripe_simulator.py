"""The Stripe simulator, seen through the real `stripe` package."""

import asyncio
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe

from tests.support import eventually
from workers.local.process import LOOPBACK
from workers.local.stripe_simulator import StripeSimulator, nested

ORDER = {"orderId": "0198c9a4-7d54-7f0b-8d2e-2f4f6c1f9a10"}


class Webhooks:
    """Where webhooks arrive: what came, and the answers to give first."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.events: list[stripe.Event] = []
        self.answers: list[int] = []
        self.url = ""

    def receive(self, body: bytes, signature: str) -> int:
        event = stripe.Webhook.construct_event(body, signature, self.secret)
        status = self.answers.pop(0) if self.answers else 200
        if status == httpx.codes.OK:
            self.events.append(event)
        return status

    @property
    def kinds(self) -> list[str]:
        return [event.type for event in self.events]


@pytest.fixture
def webhooks() -> Iterator[Webhooks]:
    received = Webhooks("whsec_simulator")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(received.receive(body, self.headers["Stripe-Signature"]))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing: the test looks at what was received."""

    with http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        received.url = f"http://{LOOPBACK}:{server.server_address[1]}/payments/stripe"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield received
        server.shutdown()
        thread.join()


@pytest.fixture
def client(stripe_simulator: StripeSimulator) -> stripe.StripeClient:
    return client_of(stripe_simulator)


def client_of(simulator: StripeSimulator, key: str | None = None) -> stripe.StripeClient:
    return stripe.StripeClient(
        key or simulator.key, base_addresses={"api": simulator.url}, max_network_retries=0
    )


def new_intent(
    client: stripe.StripeClient, amount: int = 1800, key: str | None = None
) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": "eur",
            "metadata": ORDER,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        },
        {} if key is None else {"idempotency_key": key},
    )


def events_of(client: stripe.StripeClient, intent: str) -> list[stripe.Event]:
    events = client.v1.events.list({"limit": 100}).data
    return [event for event in events if event.data.object["id"] == intent]


def pay(client: stripe.StripeClient, intent: str, card: str = "pm_card_visa") -> stripe.PaymentIntent:
    return client.v1.payment_intents.confirm(intent, {"payment_method": card, "expand": ["latest_charge"]})


class TestPaying:
    def test_a_new_intent_waits_for_a_payment_method(self, client: stripe.StripeClient) -> None:
        intent = new_intent(client)
        assert intent.id.startswith("pi_")
        assert intent.client_secret is not None
        assert intent.client_secret.startswith(f"{intent.id}_secret_")
        assert (intent.amount, intent.currency, intent.status) == (1800, "eur", "requires_payment_method")
        assert intent.metadata.to_dict() == ORDER
        assert client.v1.payment_intents.retrieve(intent.id) == intent

    def test_a_good_card_pays_it(self, client: stripe.StripeClient) -> None:
        intent = pay(client, new_intent(client).id)
        assert (intent.status, intent.amount_received) == ("succeeded", 1800)
        charge = intent.latest_charge
        assert isinstance(charge, stripe.Charge)
        assert charge.payment_method_details is not None
        assert charge.payment_method_details.card is not None
        card = charge.payment_method_details.card
        assert (card.brand, card.last4) == ("visa", "4242")

    @pytest.mark.parametrize(
        ("card", "code", "reason"),
        [
            ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
            ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
            ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
            ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ],
    )
    def test_a_bad_card_is_declined_and_another_may_be_tried(
        self, client: stripe.StripeClient, card: str, code: str, reason: str
    ) -> None:
        intent = new_intent(client)
        with pytest.raises(stripe.CardError) as refusal:
            pay(client, intent.id, card)
        assert (refusal.value.http_status, refusal.value.code) == (402, code)
        assert refusal.value.error is not None
        assert refusal.value.error.decline_code == reason
        declined = client.v1.payment_intents.retrieve(intent.id)
        assert declined.status == "requires_payment_method"
        assert declined.last_payment_error is not None
        assert declined.last_payment_error.code == code
        assert pay(client, intent.id).status == "succeeded"

    @pytest.mark.parametrize("card", ["pm_card_threeDSecure2Required", "pm_card_authenticationRequired"])
    def test_a_card_with_a_second_factor_waits_for_its_payer(
        self, client: stripe.StripeClient, stripe_simulator: StripeSimulator, card: str
    ) -> None:
        intent = pay(client, new_intent(client).id, card)
        assert intent.status == "requires_action"
        assert intent.next_action is not None
        assert intent.next_action.type == "use_stripe_sdk"
        answer = httpx.post(
            f"{stripe_simulator.url}/simulator/payment_intents/{intent.id}/authenticate",
            headers={"Authorization": f"Bearer {stripe_simulator.key}"},
        )
        assert answer.json()["status"] == "succeeded"
        assert client.v1.payment_intents.retrieve(intent.id).status == "succeeded"

    def test_a_paid_intent_is_neither_paid_again_nor_cancelled(self, client: stripe.StripeClient) -> None:
        intent = pay(client, new_intent(client).id)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            pay(client, intent.id)
        assert refusal.value.code == "payment_intent_unexpected_state"
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.payment_intents.cancel(intent.id)
        assert refusal.value.code == "payment_intent_unexpected_state"

    def test_an_unpaid_intent_is_cancelled(self, client: stripe.StripeClient) -> None:
        intent = client.v1.payment_intents.cancel(new_intent(client).id, {"cancellation_reason": "abandoned"})
        assert (intent.status, intent.cancellation_reason) == ("canceled", "abandoned")


class TestIdempotency:
    def test_the_same_request_gets_the_same_intent(self, client: stripe.StripeClient) -> None:
        first = new_intent(client, key="same-request")
        again = new_intent(client, key="same-request")
        assert again == first
        made = [event for event in events_of(client, first.id) if event.type == "payment_intent.created"]
        assert len(made) == 1

    def test_another_request_with_the_same_key_is_refused(self, client: stripe.StripeClient) -> None:
        new_intent(client, amount=1800, key="other-request")
        with pytest.raises(stripe.IdempotencyError) as refusal:
            new_intent(client, amount=1900, key="other-request")
        assert refusal.value.http_status == 400

    def test_a_decline_is_repeated_not_tried_again(self, client: stripe.StripeClient) -> None:
        intent = new_intent(client)
        for _ in range(2):
            with pytest.raises(stripe.CardError):
                client.v1.payment_intents.confirm(
                    intent.id,
                    {"payment_method": "pm_card_chargeDeclined"},
                    {"idempotency_key": f"pay-{intent.id}"},
                )
        failed = [
            event for event in events_of(client, intent.id) if event.type == "payment_intent.payment_failed"
        ]
        assert len(failed) == 1


class TestRefunds:
    def test_a_payment_is_refunded_in_parts_until_nothing_is_left(self, client: stripe.StripeClient) -> None:
        intent = pay(client, new_intent(client, amount=1000).id)
        first = client.v1.refunds.create({"payment_intent": intent.id, "amount": 400})
        assert (first.amount, first.status) == (400, "succeeded")
        with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
            client.v1.refunds.create({"payment_intent": intent.id, "amount": 700})
        assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 600
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.refunds.create({"payment_intent": intent.id})
        assert refusal.value.code == "charge_already_refunded"

    def test_an_unpaid_intent_has_nothing_to_refund(self, client: stripe.StripeClient) -> None:
        with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
            client.v1.refunds.create({"payment_intent": new_intent(client).id})


class TestRefusals:
    def test_a_wrong_key_is_refused(self, stripe_simulator: StripeSimulator) -> None:
        with pytest.raises(stripe.AuthenticationError):
            new_intent(client_of(stripe_simulator, "sk_test_somebody_else"))

    def test_an_unknown_intent_is_not_found(self, client: stripe.StripeClient) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.payment_intents.retrieve("pi_nobody")
        assert (refusal.value.http_status, refusal.value.code) == (404, "resource_missing")

    @pytest.mark.parametrize("amount", [1, 49])
    def test_an_amount_is_worth_a_charge(self, client: stripe.StripeClient, amount: int) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            new_intent(client, amount=amount)
        assert (refusal.value.code, refusal.value.param) == ("amount_too_small", "amount")
        intent = new_intent(client, amount=50)
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.payment_intents.update(intent.id, {"amount": amount})
        assert client.v1.payment_intents.retrieve(intent.id).amount == 50

    @pytest.mark.parametrize("amount", [0, -1])
    def test_an_amount_is_positive(self, client: stripe.StripeClient, amount: int) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            new_intent(client, amount=amount)
        assert refusal.value.param == "amount"

    def test_an_unknown_payment_method_is_refused(self, client: stripe.StripeClient) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            pay(client, new_intent(client).id, "pm_card_nobody")
        assert refusal.value.param == "payment_method"


class TestWebhooks:
    async def test_what_happens_is_told_in_order_and_signed(self, tmp_path: Path, webhooks: Webhooks) -> None:
        async with StripeSimulator(tmp_path, webhook_url=webhooks.url) as simulator:
            client = client_of(simulator)

            def act() -> str:
                intent = new_intent(client)
                pay(client, intent.id)
                client.v1.refunds.create({"payment_intent": intent.id})
                return intent.id

            intent_id = await asyncio.to_thread(act)
            expected = [
                "payment_intent.created",
                "charge.succeeded",
                "payment_intent.succeeded",
                "refund.created",
                "charge.refunded",
            ]
            await eventually(lambda: webhooks.kinds == expected)
            paid = webhooks.events[2].data.object
            assert (paid["id"], paid["status"], paid["metadata"]["orderId"]) == (
                intent_id,
                "succeeded",
                ORDER["orderId"],
            )

    async def test_a_refused_webhook_comes_again(self, tmp_path: Path, webhooks: Webhooks) -> None:
        webhooks.answers = [500, 503]
        async with StripeSimulator(tmp_path, webhook_url=webhooks.url) as simulator:
            intent = await asyncio.to_thread(new_intent, client_of(simulator))
            await eventually(lambda: webhooks.kinds == ["payment_intent.created"])
            assert webhooks.events[0].data.object["id"] == intent.id
            assert webhooks.answers == []

    async def test_a_restart_keeps_what_happened_and_delivers_what_was_not(
        self, tmp_path: Path, webhooks: Webhooks
    ) -> None:
        nobody_listens_here = "http://127.0.0.1:1/"
        async with StripeSimulator(tmp_path, webhook_url=nobody_listens_here) as simulator:
            intent = await asyncio.to_thread(new_intent, client_of(simulator))
            simulator.kill()
            simulator.webhook_url = webhooks.url
            await simulator.start()
            await eventually(lambda: webhooks.kinds == ["payment_intent.created"])
            found = await asyncio.to_thread(client_of(simulator).v1.payment_intents.retrieve, intent.id)
            assert found == intent


def test_form_fields_with_brackets_are_nested() -> None:
    pairs = [("amount", "1"), ("metadata[a]", "x"), ("metadata[b]", "y"), ("expand[0]", "z"), ("list[]", "q")]
    assert nested(pairs) == {
        "amount": "1",
        "metadata": {"a": "x", "b": "y"},
        "expand": {"0": "z"},
        "list": {"0": "q"},
    }
