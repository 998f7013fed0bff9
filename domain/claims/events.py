"""What can happen to a value that only one may hold."""

from typing import TypeAlias
from uuid import UUID

from domain.kernel import Event


class ValueClaimed(Event, frozen=True, kw_only=True, tag="value_claimed"):
    """``kind`` is what sort of value it is; the value itself is only in the stream's id, as a keyed hash."""

    kind: str
    owner: UUID


class ValueReleased(Event, frozen=True, kw_only=True, tag="value_released"):
    kind: str
    owner: UUID


ClaimEvent: TypeAlias = ValueClaimed | ValueReleased
