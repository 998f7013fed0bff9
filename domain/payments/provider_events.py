"""What the payment provider told us that was about nothing of ours: kept, so that nobody wonders whether it came."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias

import msgspec

from domain.kernel import Decider, Event


class ProviderEventReceived(Event, frozen=True, kw_only=True, tag="provider_event_received"):
    """``kind`` is in the provider's words, ``object_id`` what it is about. Of what it said nothing else is kept.

    ``created_at`` is the provider's time, if it told one.
    """

    event_id: str
    kind: str
    object_id: str = ""
    created_at: datetime | None = None


ProviderEvent: TypeAlias = ProviderEventReceived


class KeptEvent(msgspec.Struct, frozen=True, kw_only=True):
    id: str

    @classmethod
    def evolve(cls, _: KeptEvent | None, event: ProviderEvent) -> KeptEvent:
        return cls(id=event.event_id)


def keep(kept: KeptEvent | None, event: ProviderEvent) -> list[ProviderEvent]:
    """Once, however often it comes."""
    return [] if kept is not None else [event]


PROVIDER_EVENTS: Decider[KeptEvent, ProviderEvent] = Decider("provider_events", KeptEvent.evolve)
