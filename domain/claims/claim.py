"""A claim: whose a unique value is. The log refuses the second first event of its stream, so nobody can share one."""

from __future__ import annotations

from typing import assert_never
from uuid import UUID

import msgspec

from domain.claims.events import ClaimEvent, ValueClaimed, ValueReleased
from domain.kernel import Decider


class Claim(msgspec.Struct, frozen=True):
    owner: UUID | None

    @staticmethod
    def take(claim: Claim | None, kind: str, owner: UUID) -> list[ClaimEvent] | None:
        """The events by which ``owner`` takes it: none if it is theirs already, ``None`` if somebody else holds it."""
        if claim is None or claim.owner is None:
            return [ValueClaimed(kind=kind, owner=owner)]
        return [] if claim.owner == owner else None

    @staticmethod
    def release(claim: Claim | None, kind: str, owner: UUID) -> list[ClaimEvent]:
        """Free for everybody again; nothing where ``owner`` does not have it."""
        if claim is None or claim.owner != owner:
            return []
        return [ValueReleased(kind=kind, owner=owner)]

    @classmethod
    def evolve(cls, _: Claim | None, event: ClaimEvent) -> Claim:
        match event:
            case ValueClaimed(owner=owner):
                return cls(owner)
            case ValueReleased():
                return cls(None)
            case _:
                assert_never(event)


CLAIMS: Decider[Claim, ClaimEvent] = Decider("claims", Claim.evolve)
