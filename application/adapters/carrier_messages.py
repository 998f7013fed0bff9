"""What carriers, or whoever speaks for them, tell us by themselves: signed as Stripe signs what it tells."""

from __future__ import annotations

from typing import Final

import stripe

from application.adapters.stripe_payments import InvalidSignatureError
from application.errors import CarrierNotConfiguredError

TOLERANCE: Final = 300
"""Seconds for which what was signed is good: whoever has overheard it cannot send it later."""


class SignedCarrierMessages:
    """HMAC-SHA256, with a secret that both sides have, of ``<seconds since 1970>.<body>``.

    The signature is ``t=<seconds since 1970>,v1=<hex digits>``.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def verify(self, body: bytes, signature: str) -> None:
        """``InvalidSignatureError`` for what was signed by nobody whom we know, or too long ago."""
        if not self._secret:
            # Anybody can sign with an empty secret.
            raise CarrierNotConfiguredError("No secret of a carrier is configured")
        try:
            stripe.WebhookSignature.verify_header(body.decode(), signature, self._secret, TOLERANCE)
        except (TypeError, ValueError, stripe.SignatureVerificationError) as forged:
            faults = {"Shipping-Signature": ["Is missing, too old, or not of this body"]}
            raise InvalidSignatureError(faults, "Invalid signature") from forged
