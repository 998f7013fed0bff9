"""The roster of promotions that apply by themselves: one stream, so that a price is decided on all of them at once."""

from __future__ import annotations

from datetime import datetime
from typing import Final, assert_never

import msgspec

from domain.kernel import Decider, PromotionId, RuleViolatedError
from domain.promotions.events import Offer, OfferEvent, OfferPosted, OfferWithdrawn

MOST_OFFERS: Final = 50
"""Each is looked at for every price."""


class TooManyPromotionsError(RuleViolatedError):
    code = "TOO_MANY_PROMOTIONS"


class Offers(msgspec.Struct, frozen=True):
    posted: dict[PromotionId, Offer] = {}

    def running(self, at: datetime) -> tuple[Offer, ...]:
        return tuple(offer for offer in self.posted.values() if offer.terms.running(at))

    def post(self, offer: Offer, at: datetime) -> list[OfferEvent]:
        """Put it up as it is now; what has ended meanwhile is taken down."""
        ended: list[OfferEvent] = [
            OfferWithdrawn(promotion_id=other.promotion_id)
            for other in self.posted.values()
            if other.terms.ended(at) and other.promotion_id != offer.promotion_id
        ]
        if offer.terms.ended(at):
            return [*ended, *self.withdraw(offer.promotion_id)]
        if self.posted.get(offer.promotion_id) == offer:
            return ended
        if len(self.posted) - len(ended) >= MOST_OFFERS and offer.promotion_id not in self.posted:
            raise TooManyPromotionsError(f"At most {MOST_OFFERS} automatic promotions can be active")
        return [*ended, OfferPosted(offer=offer)]

    def withdraw(self, promotion_id: PromotionId) -> list[OfferEvent]:
        return [OfferWithdrawn(promotion_id=promotion_id)] if promotion_id in self.posted else []

    @classmethod
    def evolve(cls, offers: Offers | None, event: OfferEvent) -> Offers:
        posted = offers.posted if offers else {}
        match event:
            case OfferPosted(offer=offer):
                return cls({**posted, offer.promotion_id: offer})
            case OfferWithdrawn(promotion_id=gone):
                return cls({key: offer for key, offer in posted.items() if key != gone})
            case _:
                assert_never(event)


OFFERS: Decider[Offers, OfferEvent] = Decider("offers", Offers.evolve)
