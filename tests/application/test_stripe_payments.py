"""What is believed of the messages that come as Stripe's."""

from __future__ import annotations

from contextlib import aclosing
from time import time

import pytest

from application.adapters.stripe_payments import InvalidSignatureError, StripePayments
from application.errors import PaymentProviderError
from workers.local.stripe_simulator import signature

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
