"""Shipping: who sends what, in which way, and what that costs before any promotion frees it (A25, C36).

Each seller sends a parcel of their own. One whose lines name a shipping profile costs the dearest rate among those
profiles, whatever else is in it. All other parcels are sent at one flat rate together, which is free from some subtotal
on. Both are judged on what the goods cost before promotions, or a discount could cost more in shipping than it takes
off. A faster method costs a surcharge once per order, which nothing frees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from domain.kernel import RuleViolatedError, SellerId
from domain.orders.events import OrderLine
from domain.orders.spreading import shared_out, spread
from domain.sellers.events import ShippingProfile


class ShippingNotAvailableError(RuleViolatedError):
    """Something of it cannot be sent where it is to go."""

    code = "SHIPPING_NOT_AVAILABLE"


class ShippingMethod(StrEnum):
    STANDARD = "standard"
    EXPRESS = "express"


DAYS: Final[Mapping[ShippingMethod, int]] = {ShippingMethod.STANDARD: 5, ShippingMethod.EXPRESS: 2}
"""How many days it takes until something arrives, with one that its seller needs to hand it over."""


class ShippingRates(msgspec.Struct, frozen=True, kw_only=True):
    """What sending costs that no seller has a profile for, in minor units.

    ``by_country`` is by ISO 3166's two letters; without ``elsewhere`` nothing is sent to countries that it lacks.
    From a subtotal of ``free_from`` on it is free. ``express`` is the surcharge of that method, whoever sends.
    """

    elsewhere: int | None = 500
    by_country: Mapping[str, int] = {}
    free_from: int = 15_000
    express: int = 1_000

    def flat(self, destination: str) -> int | None:
        """The flat rate to a country; where it is not known yet the general one, or else the first that there is."""
        if destination in self.by_country:
            return self.by_country[destination]
        if destination or self.elsewhere is not None:
            return self.elsewhere
        return next(iter(self.by_country.values()), 0)

    def surcharge(self, method: ShippingMethod) -> int:
        return self.express if method is ShippingMethod.EXPRESS else 0


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """Where an order is to go, and how; ``profiles`` are the shipping profiles of its sellers.

    ``destination`` is a country: ISO 3166's two letters, as ``countries`` of the profiles are; something else where
    that is not known, and empty where nobody has said yet: then it costs the general rate, and nothing is refused.
    """

    destination: str = ""
    method: ShippingMethod = ShippingMethod.STANDARD
    profiles: Mapping[UUID, ShippingProfile] = {}

    def profile_of(self, line: OrderLine) -> ShippingProfile | None:
        """One that was removed meanwhile is none."""
        return self.profiles.get(line.shipping_profile_id) if line.shipping_profile_id else None


ANYWHERE: Final = Sending()


class Freight(msgspec.Struct, frozen=True, kw_only=True):
    """What sending costs, in minor units: ``standard`` by seller, which can be free, and the ``surcharge`` on it.

    ``goods`` is what is in each parcel.
    """

    standard: Mapping[SellerId, int] = {}
    goods: Mapping[SellerId, int] = {}
    surcharge: int = 0

    @property
    def whole(self) -> int:
        return sum(self.standard.values())

    def parted(self, shipping: int) -> dict[SellerId, int]:
        """What of ``shipping``, which may be less than all of this, is each seller's, in the order of the lines."""
        sellers = sorted(self.standard)
        surcharge = min(self.surcharge, shipping)
        standard = spread(shipping - surcharge, [self.standard[seller] for seller in sellers])
        beside = shared_out(surcharge, [self.goods[seller] for seller in sellers])
        parts = {seller: rate + extra for seller, rate, extra in zip(sellers, standard, beside, strict=True)}
        return {seller: parts[seller] for seller in self.standard}


def freight_of(lines: Sequence[OrderLine], subtotal: int, rates: ShippingRates, sending: Sending) -> Freight:
    """What it costs to send these lines; of what cannot be sent, as if it could."""
    if not lines:
        return Freight()
    goods: dict[SellerId, int] = {}
    units: dict[SellerId, int] = {}
    profiles: dict[SellerId, list[ShippingProfile]] = {}
    for line in lines:
        seller = line.seller_id
        goods[seller] = goods.get(seller, 0) + line.discounted_total.minor
        units[seller] = units.get(seller, 0) + line.quantity
        profile = sending.profile_of(line)
        if profile is not None:
            profiles.setdefault(seller, []).append(profile)
    surcharge = rates.surcharge(sending.method)
    plain = sorted(seller for seller in goods if seller not in profiles)
    flat = (rates.flat(sending.destination) or 0) if plain and subtotal < rates.free_from else 0
    parts = dict(zip(plain, shared_out(flat, [goods[seller] for seller in plain]), strict=True))
    standard = {
        seller: (
            max(_rate(profile, goods[seller], units[seller]) for profile in profiles[seller])
            if seller in profiles
            else parts[seller]
        )
        for seller in goods
    }
    return Freight(standard=standard, goods=goods, surcharge=surcharge)


def days_of(lines: Sequence[OrderLine], sending: Sending) -> int:
    """In how many days the last of it has arrived, if whoever needs longest hands it over in time."""
    profiles = [profile for line in lines if (profile := sending.profile_of(line)) is not None]
    return DAYS[sending.method] + max((profile.handling_days - 1 for profile in profiles), default=0)


def require_sendable(lines: Sequence[OrderLine], rates: ShippingRates, sending: Sending) -> None:
    """Refused by ``ShippingNotAvailableError`` that names all that cannot go where it is to go."""
    if not sending.destination:
        return
    of_profiles = {line.seller_id for line in lines if sending.profile_of(line) is not None}
    flat = rates.flat(sending.destination) is not None
    left = [line for line in lines if not _goes(line, sending, flat=flat or line.seller_id in of_profiles)]
    if left:
        titles = ", ".join(f"'{line.title}'" for line in left)
        raise ShippingNotAvailableError(
            f"Not sent to {sending.destination}: {titles}",
            details={"country": sending.destination, "productIds": [line.number for line in left]},
        )


def _goes(line: OrderLine, sending: Sending, *, flat: bool) -> bool:
    profile = sending.profile_of(line)
    if profile is None:
        return flat
    return not profile.countries or sending.destination in profile.countries


def _rate(profile: ShippingProfile, goods: int, units: int) -> int:
    if profile.free_over is not None and goods >= profile.free_over.minor:
        return 0
    return profile.base_cost.minor + profile.per_item_cost.minor * max(units - 1, 0)
