"""What an order costs: one pure calculation, in minor units, that cart, checkout and order all use (C48).

Taken off in this order: a product's own discount, promotions that apply by themselves, the coupon; then comes the tax
(A25). Rounding is one rule: what a line contributes is its amount times a rate, rounded half up to a whole minor unit.
Of a percentage the rate is given. A sum is spread at the one rate at which the lines' parts come to that sum exactly.
(Spreading by largest remainders would take less off one line where more is taken off the whole, and so a larger
discount could end in a larger total.)

No provider takes a payment below some minimum (at Stripe 0.50 USD). So a total is nothing at all, or at least that
much: what would leave less to pay takes off less. First the goods cost more again, of the promotions the last one
giving back first; where they are worth too little, free shipping is not all free. Nothing ever costs more than without
promotions; what is too small even then cannot be ordered.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, reduce
from operator import add

import msgspec

from domain.kernel import ListingId, SellerId
from domain.money import Money
from domain.orders.events import AppliedPromotion, OrderLine, TaxLine
from domain.orders.shipping import ANYWHERE, Freight, Sending, ShippingRates, freight_of
from domain.orders.spreading import spread
from domain.orders.taxes import FlatTax, Taxes
from domain.promotions.events import CouponFault, DiscountType, Offer, Terms


class Tariff(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to the goods: taxes and shipping (A25, C36).

    ``smallest_payment`` is the least that the payment provider takes, in minor units.
    """

    taxes: Taxes = FlatTax()
    shipping: ShippingRates = ShippingRates()
    smallest_payment: int = 50


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """``subtotal`` is before order-level discounts (A25); ``shares`` is what each line bears of ``discount``, if any.

    ``taxes`` come to ``tax``, and ``parcels``, what each seller has of it, to ``shipping``. ``exclusive`` says that a
    promotion applies which stands no other beside it.
    """

    subtotal: Money
    tax: Money
    shipping: Money
    total: Money
    discount: Money = Money(0)
    shares: Mapping[ListingId, Money] = {}
    promotions: tuple[AppliedPromotion, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    parcels: Mapping[SellerId, Money] = {}
    exclusive: bool = False


@lru_cache(maxsize=16_384)
def line_totals(price: Money, discount_percentage: Decimal, quantity: int) -> tuple[Money, Money]:
    """A line at list price and as charged (S2 §6.2.1: 2 at 1199.99 less 5.5 % are 2399.98 and 2267.98)."""
    total = price * quantity
    return total, total.less(discount_percentage)


def totals_of(
    lines: Sequence[OrderLine],
    tariff: Tariff,
    *,
    offers: Iterable[Offer] = (),
    coupon: Offer | None = None,
    sending: Sending = ANYWHERE,
) -> Totals:
    """The lowest total that ``offers`` and ``coupon``, all of which are running, allow.

    All that stack apply together, the coupon last; one that does not stack applies alone. What takes nothing off is
    not among the ``promotions`` of the result.
    """
    subtotal = _subtotal(lines)
    automatic = sorted((offer for offer in offers if _unmet(offer.terms, lines, subtotal) is None), key=_rank)
    own = [coupon] if coupon is not None and _unmet(coupon.terms, lines, subtotal) is None else []
    ranked = [*automatic, *own]
    together = [offer for offer in ranked if offer.terms.stackable]
    alone = [[offer] for offer in ranked if not offer.terms.stackable]
    bill = _Bill.of(lines, subtotal, tariff, sending)
    priced = [_priced(lines, bill, combination) for combination in [together, *alone]]
    return min(priced, key=lambda totals: totals.total.minor)


def coupon_fault(lines: Sequence[OrderLine], coupon: Offer, totals: Totals) -> CouponFault | None:
    """Why a coupon that is running is not among the promotions of ``totals``; no fault, where it is worth nothing."""
    if any(applied.promotion_id == coupon.promotion_id for applied in totals.promotions):
        return None
    unmet = _unmet(coupon.terms, lines, totals.subtotal)
    if unmet is None and totals.promotions and (totals.exclusive or not coupon.terms.stackable):
        return CouponFault.BETTER_OFFER_APPLIES
    return unmet


def _subtotal(lines: Sequence[OrderLine]) -> Money:
    return reduce(add, (line.discounted_total for line in lines)) if lines else Money(0)


def _rank(offer: Offer) -> tuple[int, int]:
    return -offer.terms.priority, offer.number


def _unmet(terms: Terms, lines: Sequence[OrderLine], subtotal: Money) -> CouponFault | None:
    """Which condition of it the order does not meet."""
    if not any(_in_scope(terms, line) for line in lines):
        return CouponFault.NOT_APPLICABLE
    return CouponFault.MINIMUM_NOT_MET if subtotal < terms.min_subtotal else None


def _in_scope(terms: Terms, line: OrderLine) -> bool:
    return terms.scope.holds(line.listing_id, line.seller_id, line.category, line.category_path)


class _Cut(msgspec.Struct):
    """What one promotion takes off, of which line how much."""

    offer: Offer
    off: dict[ListingId, int]
    frees: bool

    def give_back(self, amount: int) -> int:
        """Take off less by so much, or nothing at all; says by how much that is less."""
        given = min(amount, sum(self.off.values()))
        parts = zip(self.off.items(), spread(given, [*self.off.values()]), strict=True)
        self.off = {listing_id: off - part for (listing_id, off), part in parts}
        return given


class _Bill(msgspec.Struct, frozen=True):
    """What an order costs that no promotion changes, and how what they change is taxed."""

    subtotal: Money
    freight: Freight
    taxes: Taxes
    destination: str
    smallest_payment: int

    @classmethod
    def of(cls, lines: Sequence[OrderLine], subtotal: Money, tariff: Tariff, sending: Sending) -> _Bill:
        freight = freight_of(lines, subtotal.minor, tariff.shipping, sending)
        return cls(subtotal, freight, tariff.taxes, sending.destination, tariff.smallest_payment)

    def taxes_on(self, goods: int) -> tuple[TaxLine, ...]:
        return self.taxes.on(Money(goods, self.subtotal.currency), self.destination)

    def with_tax(self, goods: int) -> int:
        return goods + sum(tax.amount.minor for tax in self.taxes_on(goods))


def _priced(lines: Sequence[OrderLine], bill: _Bill, combination: Sequence[Offer]) -> Totals:
    subtotal, freight = bill.subtotal, bill.freight
    currency = subtotal.currency
    left = {line.listing_id: line.discounted_total.minor for line in lines}
    shipping = freight.whole
    cuts: list[_Cut] = []
    for offer in combination:
        terms = offer.terms
        scoped = sorted(line.listing_id for line in lines if _in_scope(terms, line))
        taken = _taken(terms, [left[listing_id] for listing_id in scoped])
        for listing_id, part in zip(scoped, taken, strict=True):
            left[listing_id] -= part
        frees = terms.discount_type is DiscountType.FREE_SHIPPING and shipping > 0
        if frees:
            shipping = 0
        cuts.append(_Cut(offer, dict(zip(scoped, taken, strict=True)), frees))
    reduced = sum(left.values())
    goods, shipping = _payable(reduced, shipping + freight.surcharge, bill)
    for cut in reversed(cuts):
        reduced += cut.give_back(goods - reduced)
    shares: dict[ListingId, int] = {}
    for cut in cuts:
        for listing_id, off in cut.off.items():
            shares[listing_id] = shares.get(listing_id, 0) + off
    applied = tuple(
        AppliedPromotion(
            promotion_id=cut.offer.promotion_id,
            number=cut.offer.number,
            name=cut.offer.terms.name,
            code=cut.offer.terms.code,
            discount=Money(sum(cut.off.values()), currency),
            free_shipping=cut.frees,
        )
        for cut in cuts
        if cut.frees or any(cut.off.values())
    )
    taxes = bill.taxes_on(goods)
    tax = sum(line.amount.minor for line in taxes)
    return Totals(
        subtotal=subtotal,
        discount=Money(subtotal.minor - goods, currency),
        shares={listing_id: Money(share, currency) for listing_id, share in shares.items() if share},
        promotions=applied,
        tax=Money(tax, currency),
        shipping=Money(shipping, currency),
        total=Money(goods + tax + shipping, currency),
        taxes=taxes,
        parcels={seller: Money(part, currency) for seller, part in freight.parted(shipping).items()},
        exclusive=any(not offer.terms.stackable for offer in combination) and bool(applied),
    )


def _payable(goods: int, shipping: int, bill: _Bill) -> tuple[int, int]:
    """What goods and shipping cost, so that it is nothing or can be paid: at most what they cost without promotions."""
    due = bill.with_tax(goods) + shipping
    if not due or due >= bill.smallest_payment:
        return goods, shipping
    whole_goods = bill.subtotal.minor
    whole_shipping = bill.freight.whole + bill.freight.surcharge
    least = min(bill.smallest_payment, bill.with_tax(whole_goods) + whole_shipping)
    dearer = goods + bisect_left(range(goods, whole_goods + 1), least - shipping, key=bill.with_tax)
    if dearer <= whole_goods:
        return dearer, shipping
    return whole_goods, least - bill.with_tax(whole_goods)


def _taken(terms: Terms, amounts: Sequence[int]) -> list[int]:
    """What is taken off each of the lines that it is for."""
    match terms.discount_type:
        case DiscountType.PERCENTAGE:
            rate, of = terms.percentage.as_integer_ratio()
            of *= 100
            parts = [(2 * amount * rate + of) // (2 * of) for amount in amounts]
            most = terms.max_discount
            return parts if most is None or sum(parts) <= most.minor else spread(most.minor, amounts)
        case DiscountType.FIXED:
            return spread(min(terms.amount.minor, sum(amounts)), amounts)
        case DiscountType.FREE_SHIPPING:
            return [0] * len(amounts)
