"""What is believed of the messages that come as Stripe's, and what Stripe is told, through its SDK."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any, Self
from uuid import uuid4

import aiohttp
import pytest
import stripe

from application.adapters import stripe_payments
from application.adapters.stripe_payments import InvalidSignatureError, StripePayments
from application.errors import PaymentProviderError
from application.ports import PaymentIntent
from domain.kernel import InvalidInputError
from domain.payments.payment import PaymentFailedError, PaymentNotFoundError
from workers.local.stripe_simulator import StripeSimulator, signature

PAID = b'{"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "data": {"object": {}}}'


class Opened(StripePayments):
    async def aclose(self) -> None:
        await self.close()


async def test_nothing_is_believed_where_no_secret_was_agreed_upon() -> None:
    async with aclosing(Opened("sk_test", "")) as payments:
        with pytest.raises(PaymentProviderError):
            payments.read_webhook(PAID, signature(PAID, ""))


async def test_a_signature_that_is_no_ascii_is_a_forged_one() -> None:
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        with pytest.raises(InvalidSignatureError):
            payments.read_webhook(PAID, f"t={int(time())},v1=\xe9")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"paid"',
        b'{"id": "evt_1"} {}',
        b'{"id": NaN}',
        b'{"id": "\xff"}',
        b'{"id": "\\ud800"}',
        b'\xef\xbb\xbf{"id": "evt_1"}',
    ],
)
async def test_what_is_no_object_is_no_message_whoever_signed_it(body: bytes) -> None:
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        with pytest.raises(InvalidSignatureError):
            payments.read_webhook(body, signature(body, "whsec_tests"))


async def test_a_notification_without_what_it_is_about_is_only_to_be_kept() -> None:
    event = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": "v1.billing.meter.error_report_triggered",
        "created": "2026-09-17T06:20:52.246Z",
        "related_object": {"id": "mtr_1", "type": "billing.meter"},
    }
    body = json.dumps(event).encode()
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        message = payments.read_webhook(body, signature(body, "whsec_tests"))
    assert (message.id, message.kind, message.created_at) == ("evt_1", event["type"], None)
    assert (message.object_id, message.command, message.redundant) == ("", None, False)


AN_INTENT = {
    "id": "pi_1",
    "amount": 500,
    "currency": "usd",
    "status": "succeeded",
    "created": 1_790_000_000,
    "metadata": {"orderId": "ORD-1"},
}
A_DISPUTE = {
    "id": "dp_1",
    "payment_intent": "pi_1",
    "amount": 500,
    "currency": "usd",
    "status": "lost",
}


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        *(
            ("payment_intent.succeeded", {**AN_INTENT, **odd})
            for odd in (
                {"amount": -5},
                {"amount": "500"},
                {"amount": 5.5},
                {"currency": None},
                {"created": 1e30},
                {"created": "soon"},
                {"metadata": {"orderId": 7}},
                {"id": 7},
            )
        ),
        *(
            ("charge.dispute.created", {**A_DISPUTE, **odd})
            for odd in ({"currency": None}, {"amount": -5}, {"status": 7})
        ),
    ],
)
async def test_what_is_not_as_we_know_it_is_only_to_be_kept(kind: str, said: dict[str, Any]) -> None:
    event = {"id": "evt_1", "object": "event", "type": kind, "created": 10**30, "data": {"object": said}}
    body = json.dumps(event).encode()
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        message = payments.read_webhook(body, signature(body, "whsec_tests"))
    assert (message.id, message.kind, message.created_at) == ("evt_1", kind, None)
    assert message.command is None
    assert not message.redundant


@pytest.mark.parametrize(
    ("kind", "said"), [("payment_intent.succeeded", AN_INTENT), ("charge.dispute.created", A_DISPUTE)]
)
async def test_what_is_as_we_know_it_is_carried_out(kind: str, said: dict[str, Any]) -> None:
    event = {"id": "evt_1", "object": "event", "type": kind, "created": 10, "data": {"object": said}}
    body = json.dumps(event).encode()
    async with aclosing(Opened("sk_test", "whsec_tests")) as payments:
        assert payments.read_webhook(body, signature(body, "whsec_tests")).command is not None


@dataclass
class Spoken:
    """An HTTP server that says what it is told to say, one thing to each request, and what it was asked.

    Where there is less of an answer than its head promises, the connection is closed after it.
    """

    answers: list[bytes]
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Of each request its line, and its ``Idempotency-Key``."""
    connections: int = 0
    url: str = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                line, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                said = {name.lower(): value for name, _, value in (each.partition(": ") for each in headers)}
                await reader.readexactly(int(said.get("content-length", 0)))
                self.asked.append((line, said.get("idempotency-key", "")))
                answer = self.answers.pop(0)
                writer.write(answer)
                if not whole(answer):
                    break
        writer.close()


def whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    return bool(head) and len(body) == int(head.rpartition(b": ")[2])


def an_answer(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


ANSWER = an_answer({**AN_INTENT, "object": "payment_intent"})


class TestALineThatBreaks:
    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0.0)
        for name in ("http_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    async def create(self, server: Spoken) -> PaymentIntent:
        async with aclosing(Opened("sk_test", "whsec_tests", api_base=server.url)) as payments:
            return await payments.create_intent(amount=500, currency="usd", metadata={}, idempotency_key="k")

    @pytest.mark.parametrize("broken", [b"", ANSWER[:20], ANSWER[:-20]])
    async def test_what_was_asked_is_asked_again_by_the_same_name(self, broken: bytes) -> None:
        async with Spoken([broken, ANSWER]) as server:
            assert (await self.create(server)).id == "pi_1"
        assert server.asked == [("POST /v1/payment_intents HTTP/1.1", "k")] * 2

    @pytest.mark.parametrize("broken", [b"", ANSWER[:20], ANSWER[:-20]])
    async def test_one_that_breaks_each_time_is_an_outage(self, broken: bytes) -> None:
        async with Spoken([broken] * 3) as server:
            with pytest.raises(PaymentProviderError):
                await self.create(server)
        assert server.asked == [("POST /v1/payment_intents HTTP/1.1", "k")] * 3

    @pytest.mark.parametrize("part", [0, 20, len(ANSWER) - 20])
    async def test_an_answer_that_does_not_come_is_an_outage(
        self, part: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stripe_payments, "ANSWERS_WITHIN", 0.05)
        silent = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER[:part])
            await silent.wait()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with aclosing(Opened("sk_test", "whsec_tests", api_base=url)) as payments:
                with pytest.raises(PaymentProviderError):
                    await payments.intent("pi_1")
            silent.set()

    async def test_who_gives_up_waiting_for_the_rest_leaves_no_connection_behind(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, left = asyncio.Event(), asyncio.Event()
        start = aiohttp.ClientResponse.start

        async def started(response: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
            answer = await start(response, connection)
            begun.set()
            return answer

        monkeypatch.setattr(aiohttp.ClientResponse, "start", started)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER[:-20])
            assert await reader.read() == b""
            left.set()
            writer.close()

        gc.disable()  # by what is collected it would be closed too, some day
        try:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
                async with aclosing(Opened("sk_test", "whsec_tests", api_base=url)) as payments:
                    asking = asyncio.create_task(payments.intent("pi_1"))
                    await begun.wait()
                    asking.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await asking
                    await left.wait()
        finally:
            gc.enable()

    async def test_a_connection_that_is_closed_while_nobody_asks_is_no_outage(self) -> None:
        async with (
            Spoken([ANSWER, b"", ANSWER]) as server,
            aclosing(Opened("sk_test", "whsec_tests", api_base=server.url)) as payments,
        ):
            for key in ("one", "two"):
                made = await payments.create_intent(
                    amount=500, currency="usd", metadata={}, idempotency_key=key
                )
                assert made.id == "pi_1"
        assert [key for _, key in server.asked] == ["one", "two", "two"]
        assert server.connections == 2

    @pytest.mark.parametrize("name", ["http_proxy", "all_proxy"])
    @pytest.mark.parametrize("scheme", ["http://", ""])
    async def test_it_goes_through_the_proxy_that_the_environment_names(
        self, name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with Spoken([ANSWER]) as proxy:
            monkeypatch.setenv(name, scheme + proxy.url.removeprefix("http://"))
            async with aclosing(Opened("sk", "whsec", api_base="http://stripe.test")) as payments:
                assert (await payments.intent("pi_1")).id == "pi_1"
        ((line, _),) = proxy.asked
        assert line.startswith("GET http://stripe.test/v1/payment_intents/pi_1")

    @pytest.mark.parametrize("port", [True, False])
    async def test_it_goes_past_the_proxy_where_the_environment_says_so(
        self, *, port: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with Spoken([ANSWER]) as server:
            monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
            named = server.url.removeprefix("http://")
            monkeypatch.setenv("no_proxy", named if port else named.partition(":")[0])
            async with aclosing(Opened("sk", "whsec", api_base=server.url)) as payments:
                assert (await payments.intent("pi_1")).id == "pi_1"
        ((line, _),) = server.asked
        assert line.startswith("GET /v1/payment_intents/pi_1")


class TestClosingAndSendingBack:
    @pytest.fixture
    async def payments(self, stripe_simulator: StripeSimulator) -> AsyncIterator[StripePayments]:
        payments = StripePayments(stripe_simulator.key, "whsec_tests", api_base=stripe_simulator.url)
        yield payments
        await payments.close()

    async def prepared(self, payments: StripePayments, amount: int = 1800) -> PaymentIntent:
        return await payments.create_intent(
            amount=amount, currency="usd", metadata={}, idempotency_key=uuid4().hex
        )

    async def test_a_payment_that_was_not_made_is_closed_for_good(self, payments: StripePayments) -> None:
        intent = await self.prepared(payments)
        for _ in range(2):
            assert (await payments.cancel_intent(intent.id)).status == "canceled"
        confirmed = await payments.confirm_intent(intent.id, "pm_card_visa", idempotency_key=uuid4().hex)
        assert confirmed.status == "canceled"
        with pytest.raises(PaymentNotFoundError):
            await payments.cancel_intent("pi_none")

    async def test_one_that_was_made_is_answered_as_that_and_sent_back_once(
        self, payments: StripePayments
    ) -> None:
        intent = await self.prepared(payments)
        await payments.confirm_intent(intent.id, "pm_card_visa", idempotency_key=uuid4().hex)
        closed = await payments.cancel_intent(intent.id)
        assert (closed.status, closed.brand, closed.last4) == ("succeeded", "visa", "4242")
        key = uuid4().hex
        ours = {"refundId": "r-1"}
        refunds = [
            await payments.refund(intent.id, 1800, idempotency_key=key, metadata=ours) for _ in range(2)
        ]
        assert refunds[0] == refunds[1]
        assert (refunds[0].amount, refunds[0].status) == (1800, "succeeded")
        assert [dict(refund.metadata) for refund in await payments.refunds(intent.id)] == [ours]
        recent = await payments.refunds_since(datetime.now(UTC) - timedelta(minutes=5))
        assert refunds[0] in recent
        assert all(refund.intent_id for refund in recent)
        with pytest.raises(PaymentFailedError) as refused:
            await payments.refund(intent.id, 1, idempotency_key=uuid4().hex, metadata={})
        assert refused.value.details == {"code": "charge_already_refunded"}

    async def test_too_little_is_refused(self, payments: StripePayments) -> None:
        with pytest.raises(InvalidInputError) as refused:
            await self.prepared(payments, 49)
        assert refused.value.details.keys() == {"amount"}

    async def test_a_card_that_takes_no_money_back_is_a_refusal_and_no_outage(
        self, payments: StripePayments, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refused(*_: Any) -> Any:
            raise stripe.CardError("No", "", "expired_card")  # type: ignore[no-untyped-call]  # the SDK leaves it untyped

        monkeypatch.setattr(stripe.RefundService, "create_async", refused)
        with pytest.raises(PaymentFailedError) as told:
            await payments.refund("pi_1", 1, idempotency_key="k", metadata={})
        assert told.value.details == {"code": "expired_card"}

    async def test_a_provider_that_is_away_is_told_from_one_that_refuses(self) -> None:
        payments = StripePayments("sk_test", "whsec_tests", api_base="http://127.0.0.1:9")
        try:
            with pytest.raises(PaymentProviderError):
                await payments.refund("pi_1", 1, idempotency_key="k", metadata={})
            with pytest.raises(PaymentProviderError):
                await payments.refunds("pi_1")
            with pytest.raises(PaymentProviderError):
                await payments.cancel_intent("pi_1")
        finally:
            await payments.close()
