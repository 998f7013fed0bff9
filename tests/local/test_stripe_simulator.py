"""The Stripe simulator, seen through the real `stripe` package."""

import asyncio
import http.server
import threading
from collections import Counter
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
    def ids(self) -> list[str]:
        return [event.id for event in self.events]

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


def control(simulator: StripeSimulator, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What is the simulator's own, and not Stripe's."""
    answer = httpx.post(
        f"{simulator.url}/simulator/{path}",
        json=body,
        headers={"Authorization": f"Bearer {simulator.key}"},
    )
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def settle(
    simulator: StripeSimulator, resource: str, thing: str, outcome: str | None = None
) -> dict[str, Any]:
    answer = httpx.post(
        f"{simulator.url}/simulator/{resource}/{thing}/settle",
        data={} if outcome is None else {"outcome": outcome},
        headers={"Authorization": f"Bearer {simulator.key}"},
    )
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def new_intent(
    client: stripe.StripeClient, amount: int = 1800, key: str | None = None, currency: str = "eur"
) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {
            "amount": amount,
            "currency": currency,
            "metadata": ORDER,
            "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
        },
        {} if key is None else {"idempotency_key": key},
    )


def events_of(client: stripe.StripeClient, intent: str) -> list[stripe.Event]:
    events = client.v1.events.list({"limit": 100}).data
    return [event for event in events if event.data.object["id"] == intent]


def kinds_of(client: stripe.StripeClient, thing: str) -> list[str]:
    return [event.type for event in reversed(events_of(client, thing))]


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

    @pytest.mark.parametrize(
        ("outcome", "status"), [("succeeded", "succeeded"), ("failed", "requires_payment_method")]
    )
    def test_who_is_sent_to_the_bank_comes_back(
        self, client: stripe.StripeClient, outcome: str, status: str
    ) -> None:
        intent = client.v1.payment_intents.confirm(
            new_intent(client).id,
            {"payment_method": "pm_card_threeDSecure2Required", "return_url": "https://shop.example/orders"},
        )
        assert intent.next_action is not None
        assert intent.next_action.redirect_to_url is not None
        answer = httpx.get(str(intent.next_action.redirect_to_url.url), params={"outcome": outcome})
        assert (answer.status_code, answer.headers["location"]) == (303, "https://shop.example/orders")
        assert client.v1.payment_intents.retrieve(intent.id).status == status

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

    def test_a_card_that_is_none_of_its_kinds_is_refused(self, client: stripe.StripeClient) -> None:
        with pytest.raises(stripe.InvalidRequestError, match="us_bank_account"):
            pay(client, new_intent(client).id, "pm_usBankAccount_success")  # they are for dollars alone

    def test_who_may_be_sent_elsewhere_says_where_they_come_back(self, client: stripe.StripeClient) -> None:
        intent = client.v1.payment_intents.create({"amount": 1800, "currency": "usd"})
        with pytest.raises(stripe.InvalidRequestError, match="return_url"):
            pay(client, intent.id)

    def test_the_amount_stays_once_it_is_paid(self, client: stripe.StripeClient) -> None:
        intent = pay(client, new_intent(client).id)
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.payment_intents.update(intent.id, {"amount": 1900})
        assert refusal.value.code == "payment_intent_unexpected_state"
        assert client.v1.payment_intents.retrieve(intent.id).amount == 1800


@pytest.fixture
def _patient(stripe_simulator: StripeSimulator) -> Iterator[None]:
    """Nothing comes to its end by itself."""
    control(stripe_simulator, "pace", {"settle_after": None})
    yield
    control(stripe_simulator, "pace", {"settle_after": 2})


@pytest.mark.usefixtures("_patient")
class TestWhatTakesItsTime:
    """Direct debits are decided when somebody says so, or by themselves after a while."""

    def test_it_is_processing_until_it_is_paid(
        self, client: stripe.StripeClient, stripe_simulator: StripeSimulator
    ) -> None:
        intent = pay(client, new_intent(client, currency="usd").id, "pm_usBankAccount_success")
        charge = intent.latest_charge
        assert isinstance(charge, stripe.Charge)
        assert (intent.status, charge.status, charge.paid) == ("processing", "pending", False)
        for act in (client.v1.payment_intents.cancel, lambda id_: pay(client, id_)):
            with pytest.raises(stripe.InvalidRequestError) as refusal:
                act(intent.id)
            assert refusal.value.code == "payment_intent_unexpected_state"
        assert settle(stripe_simulator, "payment_intents", intent.id)["status"] == "succeeded"
        assert client.v1.charges.retrieve(charge.id).paid
        assert kinds_of(client, intent.id) == [
            "payment_intent.created",
            "payment_intent.processing",
            "payment_intent.succeeded",
        ]

    @pytest.mark.parametrize("told", ["failed", None])
    def test_it_fails_in_the_end_and_another_method_may_be_tried(
        self, client: stripe.StripeClient, stripe_simulator: StripeSimulator, told: str | None
    ) -> None:
        bank = "pm_usBankAccount_success" if told else "pm_usBankAccount_accountClosed"
        intent = pay(client, new_intent(client, currency="usd").id, bank)
        assert intent.status == "processing"
        assert (
            settle(stripe_simulator, "payment_intents", intent.id, told)["status"]
            == "requires_payment_method"
        )
        failed = client.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
        assert failed.last_payment_error is not None
        assert failed.last_payment_error.code == "account_closed"
        assert isinstance(failed.latest_charge, stripe.Charge)
        assert failed.latest_charge.status == "failed"
        assert pay(client, intent.id).status == "succeeded"

    def test_one_that_is_never_decided_can_be_cancelled(
        self, client: stripe.StripeClient, stripe_simulator: StripeSimulator
    ) -> None:
        intent = pay(client, new_intent(client, currency="usd").id, "pm_usBankAccount_processing")
        control(stripe_simulator, "pace", {"settle_after": 0})
        assert client.v1.payment_intents.cancel(intent.id).status == "canceled"

    async def test_it_ends_by_itself_also_after_a_restart(self, tmp_path: Path, webhooks: Webhooks) -> None:
        async with StripeSimulator(tmp_path, webhook_url=webhooks.url) as simulator:
            await asyncio.to_thread(control, simulator, "pace", {"settle_after": None})

            def act() -> stripe.PaymentIntent:
                client = client_of(simulator)
                return pay(client, new_intent(client, currency="usd").id, "pm_usBankAccount_success")

            intent = await asyncio.to_thread(act)
            simulator.kill()
            await simulator.start()
            await asyncio.to_thread(control, simulator, "pace", {"settle_after": 0.01})
            await eventually(lambda: "payment_intent.succeeded" in webhooks.kinds)
            found = await asyncio.to_thread(client_of(simulator).v1.payment_intents.retrieve, intent.id)
            assert found.status == "succeeded"

    @pytest.mark.parametrize(
        ("first", "card"), [("pending", "pm_card_pendingRefund"), ("succeeded", "pm_card_refundFail")]
    )
    def test_a_refund_has_its_end_later(
        self, client: stripe.StripeClient, stripe_simulator: StripeSimulator, first: str, card: str
    ) -> None:
        intent = pay(client, new_intent(client, amount=1000).id, card)
        refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 400, "metadata": ORDER})
        assert refund.status == first
        last = "succeeded" if first == "pending" else "failed"
        assert settle(stripe_simulator, "refunds", refund.id)["status"] == last
        (found,) = client.v1.refunds.list({"payment_intent": intent.id}).data
        assert (found.id, found.status) == (refund.id, last)
        assert found.metadata is not None
        assert found.metadata.to_dict() == ORDER
        kinds = kinds_of(client, refund.id)
        charge = client.v1.charges.retrieve(str(refund.charge))
        if last == "succeeded":
            assert (kinds, charge.amount_refunded) == (["refund.created", "refund.updated"], 400)
        else:
            assert kinds == ["refund.created", "refund.updated", "refund.failed"]
            assert charge.amount_refunded == 0
            assert client.v1.refunds.create({"payment_intent": intent.id}).amount == 1000
        with pytest.raises(AssertionError, match="has"):
            settle(stripe_simulator, "refunds", refund.id, last)


@pytest.mark.usefixtures("_patient")
class TestDisputes:
    def test_a_payer_wants_the_money_back_and_wins(
        self, client: stripe.StripeClient, stripe_simulator: StripeSimulator
    ) -> None:
        intent = pay(client, new_intent(client).id, "pm_card_createDispute")
        assert intent.status == "succeeded"
        (dispute,) = client.v1.disputes.list({"payment_intent": intent.id}).data
        assert (dispute.amount, dispute.reason, dispute.status) == (1800, "fraudulent", "needs_response")
        with pytest.raises(stripe.InvalidRequestError) as refusal:
            client.v1.refunds.create({"payment_intent": intent.id})
        assert refusal.value.code == "charge_disputed"
        assert settle(stripe_simulator, "disputes", dispute.id, "lost")["status"] == "lost"
        assert kinds_of(client, dispute.id) == [
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.closed",
        ]

    def test_evidence_wins_it(self, client: stripe.StripeClient, stripe_simulator: StripeSimulator) -> None:
        intent = pay(client, new_intent(client).id, "pm_card_createDisputeProductNotReceived")
        (dispute,) = client.v1.disputes.list({"payment_intent": intent.id}).data
        answered = client.v1.disputes.update(
            dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}}
        )
        assert answered.status == "under_review"
        assert settle(stripe_simulator, "disputes", dispute.id)["status"] == "won"
        assert kinds_of(client, dispute.id)[-2:] == [
            "charge.dispute.closed",
            "charge.dispute.funds_reinstated",
        ]
        assert client.v1.refunds.create({"payment_intent": intent.id}).status == "succeeded"
        with pytest.raises(stripe.InvalidRequestError, match="already closed"):
            client.v1.disputes.close(dispute.id)

    def test_who_has_nothing_to_say_loses_it(self, client: stripe.StripeClient) -> None:
        intent = pay(client, new_intent(client).id, "pm_card_createDispute")
        (dispute,) = client.v1.disputes.list({"payment_intent": intent.id}).data
        assert client.v1.disputes.close(dispute.id).status == "lost"


class TestLists:
    def test_they_are_paged_newest_first_and_expanded(self, client: stripe.StripeClient) -> None:
        intents = [pay(client, new_intent(client).id).id for _ in range(5)]
        newest = [*reversed(intents)]
        page = client.v1.payment_intents.list({"limit": 2, "expand": ["data.latest_charge"]})
        assert ([each.id for each in page.data], page.has_more) == (newest[:2], True)
        assert all(isinstance(each.latest_charge, stripe.Charge) for each in page.data)
        page = client.v1.payment_intents.list({"limit": 2, "starting_after": newest[1]})
        assert [each.id for each in page.data] == newest[2:4]
        page = client.v1.payment_intents.list({"limit": 2, "ending_before": newest[3]})
        assert ([each.id for each in page.data], page.has_more) == (newest[1:3], True)

    def test_they_are_kept_to_what_was_asked_for(self, client: stripe.StripeClient) -> None:
        intent = pay(client, new_intent(client).id)
        found = client.v1.events.list(
            {"types": ["payment_intent.succeeded"], "created": {"gte": intent.created}, "limit": 1}
        )
        assert [event.data.object["id"] for event in found.data] == [intent.id]
        assert client.v1.events.list({"created": {"lt": 1}}).data == []
        assert client.v1.charges.list({"payment_intent": intent.id}).data[0].payment_intent == intent.id

    def test_what_stripe_does_not_know_is_not_known_here(self, client: stripe.StripeClient) -> None:
        for params in (
            {"limit": 101},
            {"colour": "red"},
            {"starting_after": "pi_nobody"},
            {"expand": ["data.x"]},
        ):
            new_intent(client)
            with pytest.raises(stripe.InvalidRequestError):
                client.raw_request("get", "/v1/payment_intents", **params)


class TestIdempotency:
    def test_what_came_to_nothing_is_repeated_as_it_was(self, client: stripe.StripeClient) -> None:
        intent = pay(client, new_intent(client, amount=1000).id)
        client.v1.refunds.create({"payment_intent": intent.id})
        for _ in range(2):
            with pytest.raises(stripe.InvalidRequestError) as refusal:
                client.v1.refunds.create(
                    {"payment_intent": intent.id}, {"idempotency_key": f"again-{intent.id}"}
                )
            assert refusal.value.code == "charge_already_refunded"

    def test_the_same_request_gets_the_same_intent(self, client: stripe.StripeClient) -> None:
        first = new_intent(client, key="same-request")
        again = new_intent(client, key="same-request")
        assert again == first
        made = [event for event in events_of(client, first.id) if event.type == "payment_intent.created"]
        assert len(made) == 1

    def test_a_key_that_was_forgotten_makes_another_one(
        self, client: stripe.StripeClient, stripe_simulator: StripeSimulator
    ) -> None:
        first = new_intent(client, amount=1800, key="forgotten")
        control(stripe_simulator, "forget-keys", {})
        again = new_intent(client, amount=1900, key="forgotten")
        assert again.id != first.id
        assert new_intent(client, amount=1900, key="forgotten") == again

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


class TestBadWebhooks:
    """What is asked of `/simulator/webhooks` is done to what happens from then on."""

    async def told(self, folder: Path, webhooks: Webhooks, payments: int, **settings: Any) -> list[list[str]]:
        """What came of so many payments, and what came once what was dropped had been asked for."""
        webhooks.events.clear()
        async with StripeSimulator(folder, webhook_url=webhooks.url) as simulator:

            def act() -> dict[str, Any]:
                control(simulator, "webhooks", settings)
                client = client_of(simulator)
                for _ in range(payments):
                    pay(client, new_intent(client).id)
                return now(simulator)

            counts = (await asyncio.to_thread(act))["events"]
            assert sum(counts.values()) == 3 * payments
            await eventually(lambda: now(simulator)["events"]["pending"] == 0)
            await eventually(lambda: len(set(webhooks.ids)) == 3 * payments - counts["dropped"])
            first = list(webhooks.kinds)
            redelivered = await asyncio.to_thread(control, simulator, "webhooks/redeliver", {})
            assert redelivered == {"redelivered": counts["dropped"]}
            await eventually(lambda: len(set(webhooks.ids)) == 3 * payments)
            await eventually(lambda: now(simulator)["events"]["done"] == 3 * payments)
            return [first, webhooks.kinds[len(first) :]]

    async def test_they_are_dropped_by_type(self, tmp_path: Path, webhooks: Webhooks) -> None:
        dropped = ["payment_intent.succeeded"]
        first, later = await self.told(tmp_path, webhooks, 2, drop=dropped)
        assert (Counter(first), later) == (
            {"payment_intent.created": 2, "charge.succeeded": 2},
            dropped * 2,
        )

    async def test_they_are_dropped_by_number(self, tmp_path: Path, webhooks: Webhooks) -> None:
        first, later = await self.told(tmp_path, webhooks, 1, drop=2)
        assert (first, later) == (
            ["payment_intent.succeeded"],
            ["payment_intent.created", "charge.succeeded"],
        )

    async def test_the_same_seed_drops_and_repeats_the_same(self, tmp_path: Path, webhooks: Webhooks) -> None:
        settings = {"drop": 0.5, "duplicate": 0.5, "seed": 7}
        found = []
        for name in ("one", "two"):
            first, later = await self.told(tmp_path / name, webhooks, 4, **settings)
            found.append((Counter(first), Counter(later)))
            assert first
            assert later
            assert len(webhooks.kinds) > 12
        assert found[0] == found[1]

    async def test_each_comes_as_often_as_it_was_asked_for(self, tmp_path: Path, webhooks: Webhooks) -> None:
        await self.told(tmp_path, webhooks, 1, duplicate=2)
        await eventually(lambda: len(webhooks.ids) == 9)
        assert set(Counter(webhooks.ids).values()) == {3}

    async def test_they_overtake_each_other(self, tmp_path: Path, webhooks: Webhooks) -> None:
        first, _ = await self.told(tmp_path, webhooks, 5, reorder=True, seed=1)
        plain = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"] * 5
        assert (Counter(first), first != plain) == (Counter(plain), True)

    async def test_they_come_late_and_only_those_that_are_wanted(
        self, tmp_path: Path, webhooks: Webhooks
    ) -> None:
        wanted = ["payment_intent.succeeded"]
        async with StripeSimulator(tmp_path, webhook_url=webhooks.url) as simulator:

            def act() -> dict[str, Any]:
                control(simulator, "webhooks", {"delay": 0.3, "enabled_events": wanted})
                client = client_of(simulator)
                pay(client, new_intent(client).id)
                return now(simulator)

            counts = (await asyncio.to_thread(act))["events"]
            assert counts == {"pending": 1, "dropped": 0, "done": 2}
            await eventually(lambda: webhooks.kinds == wanted)

    async def test_an_endpoint_that_wants_some_is_told_of_those(
        self, tmp_path: Path, webhooks: Webhooks
    ) -> None:
        wanted = ["payment_intent.succeeded", "refund.created"]
        simulator = StripeSimulator(tmp_path, webhook_url=webhooks.url, webhook_events=wanted)
        async with simulator:

            def act() -> None:
                control(simulator, "webhooks", {"delay": 0.0})
                client = client_of(simulator)
                intent = new_intent(client)
                pay(client, intent.id)
                client.v1.refunds.create({"payment_intent": intent.id})

            await asyncio.to_thread(act)
            await eventually(lambda: webhooks.kinds == wanted)

    @pytest.mark.parametrize("wrong", [{"drop": 1.5}, {"duplicate": -1}, {"delay": -1}, {"colour": "red"}])
    def test_what_it_does_not_know_is_refused(
        self, stripe_simulator: StripeSimulator, wrong: dict[str, Any]
    ) -> None:
        before = now(stripe_simulator)
        with pytest.raises(AssertionError, match="invalid_request_error"):
            control(stripe_simulator, "webhooks", wrong)
        assert now(stripe_simulator) == before


def now(simulator: StripeSimulator) -> dict[str, Any]:
    answer = httpx.get(
        f"{simulator.url}/simulator/webhooks", headers={"Authorization": f"Bearer {simulator.key}"}
    )
    found: dict[str, Any] = answer.json()
    return found


def test_form_fields_with_brackets_are_nested() -> None:
    pairs = [("amount", "1"), ("metadata[a]", "x"), ("metadata[b]", "y"), ("expand[0]", "z"), ("list[]", "q")]
    assert nested(pairs) == {
        "amount": "1",
        "metadata": {"a": "x", "b": "y"},
        "expand": {"0": "z"},
        "list": {"0": "q"},
    }
