"""Finding a payment by the provider's name for it."""

from __future__ import annotations

from typing import Any

from application.ports import StreamRef
from domain.kernel import stream_id
from domain.payments.payment import PAYMENTS


def payment_ref(intent_id: str) -> StreamRef[Any, Any]:
    return StreamRef(PAYMENTS, stream_id("payment", intent_id))
