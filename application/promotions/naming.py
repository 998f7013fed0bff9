"""What promotions are called: the slug of each and the code of a coupon, and finding them by any of their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from application.claims import owner_of, stream_called
from application.errors import ConcurrentChangeError
from application.ports import EventStore, Keys, Loaded, StreamRef
from domain.carts.cart import HeldCoupon
from domain.categories.category import SlugExistsError
from domain.claims.claim import CLAIMS, Claim
from domain.claims.events import ClaimEvent
from domain.kernel import AlreadyExistsError, PromotionId
from domain.promotions.events import CouponFault
from domain.promotions.promotion import CouponExistsError, CouponInvalidError, PromotionNotFoundError

PROMOTION_SLUG: Final = "promotion-slug"
COUPON_CODE: Final = "coupon-code"

ClaimChanges = list[tuple[StreamRef[Any, Any], Sequence[ClaimEvent]]]


class Name(msgspec.Struct, frozen=True, kw_only=True):
    """A value of one kind that a promotion takes, the first of ``wished`` that is free, and gives up what it held."""

    kind: str
    owner: PromotionId
    wished: Sequence[str]
    held: str
    refs: Mapping[str, StreamRef[Any, Any]]

    @classmethod
    def of(cls, kind: str, owner: PromotionId, wished: Sequence[str], held: str, keys: Keys) -> Name:
        values = [value for value in dict.fromkeys((*wished, held)) if value]
        refs = {value: StreamRef(CLAIMS, keys.claim_id(kind, value)) for value in values}
        return cls(kind=kind, owner=owner, wished=wished, held=held, refs=refs)

    def decided(self, claims: Mapping[UUID, Loaded[Any]], holds: str) -> tuple[str, ClaimChanges]:
        """What it is called from now on, and what happens to the claims for it; ``holds`` is what it is called now."""
        if holds != self.held:
            raise ConcurrentChangeError("The promotion has changed meanwhile")
        for value in self.wished:
            changes: ClaimChanges = []
            if value:
                ref = self.refs[value]
                taken = Claim.take(claims[ref.id].state, self.kind, self.owner)
                if taken is None:
                    continue
                changes.append((ref, taken))
            if self.held and value != self.held:
                ref = self.refs[self.held]
                changes.append((ref, Claim.release(claims[ref.id].state, self.kind, self.owner)))
            return value, changes
        raise self._taken()

    def _taken(self) -> AlreadyExistsError:
        if self.kind == COUPON_CODE:
            return CouponExistsError("Code already taken", details={"code": ["Is already taken"]})
        return SlugExistsError()


async def promotion_called(reference: str, store: EventStore, keys: Keys) -> PromotionId:
    """The promotion of an integer id, a uuid or a slug. An id or uuid is not looked up: that is the command's."""
    stream = await stream_called(reference, "promotion", PROMOTION_SLUG, store, keys)
    if stream is None:
        raise PromotionNotFoundError("Promotion not found")
    return PromotionId(stream)


def plain_code(code: str) -> str:
    """A code as it is kept: people do not care for its capitals."""
    return code.strip().upper()


async def coupon_called(code: str, store: EventStore, keys: Keys) -> HeldCoupon:
    """Whose code it is; ``CouponInvalidError`` where it is nobody's."""
    plain = plain_code(code)
    owner = await owner_of(COUPON_CODE, plain, store, keys)
    if owner is None:
        raise CouponInvalidError(plain, CouponFault.NOT_VALID)
    return HeldCoupon(promotion_id=PromotionId(owner), code=plain)
