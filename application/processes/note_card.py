"""A payment was made, and nobody said with what: whoever pays by a browser tells the provider alone."""

from __future__ import annotations

from application.payments.noting import NoteCard
from domain.payments.events import PaymentSucceeded


def note_card_of(event: PaymentSucceeded) -> list[NoteCard]:
    return [] if event.last4 else [NoteCard(payment_id=event.payment_id)]
