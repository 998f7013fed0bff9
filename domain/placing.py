"""Placing an order: one decision over the order, the stock of every line, and the cart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.accounts.account import Account, AddressNotFoundError, UserNotFoundError
from domain.carts.cart import OwnListingError
from domain.categories.tree import CategoryTree
from domain.kernel import AccountId, InvalidInputError, ListingId, OrderId, SellerId, stream_id
from domain.listings.events import ListingEvent
from domain.listings.listing import Listing, ProductNotFoundError
from domain.money import Money
from domain.orders.events import OrderLine, OrderPlaced, PlacedParcel, PostalAddress
from domain.orders.order import PaymentTooSmallError, PriceChangedError
from domain.orders.pricing import Tariff, Totals, line_totals
from domain.orders.shipping import require_sendable
from domain.promotions.events import CouponFault
from domain.redeeming import Deals, quote
from domain.sellers.events import ShippingProfile, seller_of
from domain.sellers.seller import Seller

MOST_UNITS = 999


class WantedLine(msgspec.Struct, frozen=True, kw_only=True):
    """What the buyer asks for; ``price`` is the unit price that the client showed, if it says so."""

    listing_id: ListingId
    quantity: int
    price: Money | None = None


def order_of(
    wanted: Sequence[WantedLine],
    listings: Mapping[ListingId, Listing],
    deals: Deals,
    *,
    sellers: Mapping[SellerId, Seller],
    order_id: OrderId,
    number: str,
    buyer: Account | None,
    shipping_address: PostalAddress,
    billing_address: PostalAddress | None,
    payment_method: str,
    coupon_must_count: bool = True,
    expected_total: Money | None = None,
) -> tuple[OrderPlaced, dict[ListingId, list[ListingEvent]]]:
    """The order, and each listing's reservation; refused as a whole when one line cannot be had.

    It is refused also where its coupon takes nothing off for a reason: nobody pays more than they were shown. Only
    what is better for the buyer than the coupon needs no word, nor does a coupon without ``coupon_must_count``.
    ``expected_total`` is what the client showed last: with another one now, nobody has agreed to it.
    """
    account = require_may_buy(buyer)
    lines: list[OrderLine] = []
    reserved: dict[ListingId, list[ListingEvent]] = {}
    for line in wanted:
        if not 1 <= line.quantity <= MOST_UNITS:
            raise InvalidInputError({"quantity": [f"Must be between 1 and {MOST_UNITS}"]})
        listing = listings.get(line.listing_id)
        if listing is None:
            raise ProductNotFoundError("Product not found")
        require_on_sale(listing, sellers.get(listing.seller_id))
        require_not_own(listing, account.id)
        reserved[listing.id] = listing.reserve(order_id, line.quantity)
        lines.append(line_of(listing, line.quantity, deals.tree))
    require_sendable(lines, deals.tariff.shipping, deals.sending)
    quoted = quote(lines, deals)
    _require_prices(wanted, lines, quoted.totals)
    if coupon_must_count and quoted.fault is not CouponFault.BETTER_OFFER_APPLIES:
        quoted.require_coupon(deals.coupon)
    totals = quoted.totals
    _require_expected(totals, expected_total)
    _require_payable(totals, deals.tariff)
    if totals.shares:
        lines = [
            replace(line, promotion_discount=totals.shares.get(line.listing_id, Money(0))) for line in lines
        ]
    placed = OrderPlaced(
        order_id=order_id,
        number=number,
        account_id=account.id,
        account_number=account.number,
        lines=tuple(lines),
        subtotal=totals.subtotal,
        tax=totals.tax,
        shipping=totals.shipping,
        discount=totals.discount,
        promotions=totals.promotions,
        total=totals.total,
        payment_method=payment_method,
        shipping_address=shipping_address,
        billing_address=billing_address,
        placed_at=deals.at,
        shipping_method=deals.sending.method.value,
        parcels=tuple(
            PlacedParcel(seller_id=seller_id, shipping=shipping)
            for seller_id, shipping in totals.parcels.items()
        ),
        taxes=totals.taxes,
    )
    return placed, reserved


def line_of(listing: Listing, quantity: int, tree: CategoryTree | None) -> OrderLine:
    """A line as it costs now; where it is is the tree's to say, as far as there is one."""
    total, discounted = line_totals(listing.price, listing.discount_percentage, quantity)
    return OrderLine(
        listing_id=listing.id,
        number=listing.number,
        seller_id=listing.seller_id,
        title=listing.title,
        thumbnail=listing.thumbnail,
        price=listing.price,
        discount_percentage=listing.discount_percentage,
        quantity=quantity,
        total=total,
        discounted_total=discounted,
        category=listing.category,
        category_path=listing.category_ids if tree is None else tree.lineage(listing.category_ids),
        shipping_profile_id=listing.shipping_profile_id,
    )


def profiles_of(sellers: Iterable[Seller]) -> dict[UUID, ShippingProfile]:
    """The shipping profiles of all of them, by which ``Sending`` knows what their parcels cost."""
    return {profile_id: profile for seller in sellers for profile_id, profile in seller.shipping.items()}


def postal_of(buyer: Account, named: int | UUID | None) -> PostalAddress | None:
    """An entry of the buyer's address book as it is now, by number or uuid; their default one, if none is named."""
    if named is None:
        if buyer.default_address is None:
            return None
        named = buyer.default_address
    found = next(
        (each for each in buyer.addresses if named in (each.number, stream_id("address", each.number))), None
    )
    if found is None:
        raise AddressNotFoundError("Address not found")
    details = found.details
    return PostalAddress(
        first_name=details.first_name,
        last_name=details.last_name,
        address=", ".join(filter(None, (details.address, details.address_line2))),
        city=details.city,
        state=details.state,
        zip_code=details.zip_code,
        country=details.country,
        phone=details.phone,
    )


def require_may_buy(buyer: Account | None) -> Account:
    """Whoever is forgotten, suspended or about to leave buys nothing, though a request of theirs is still under way."""
    if buyer is None or buyer.erased:
        raise UserNotFoundError("User not found")
    buyer.require_may_sign_in()
    return buyer


def require_not_own(listing: Listing, account_id: AccountId) -> None:
    if listing.seller_id == seller_of(account_id):
        raise OwnListingError("You cannot buy what you sell", details={"productId": listing.number})


def sells(seller: Seller | None) -> bool:
    """What a seller offers is there as long as the seller is (C-2); of some sellers there are no events."""
    return seller is None or seller.sells


def require_on_sale(listing: Listing, seller: Seller | None) -> None:
    if not sells(seller):
        raise ProductNotFoundError("Product not found", details={"productId": listing.number})


def _require_prices(wanted: Sequence[WantedLine], lines: Sequence[OrderLine], totals: Totals) -> None:
    for shown, line in zip(wanted, lines, strict=True):
        if shown.price is not None and shown.price != line.price:
            raise PriceChangedError(
                f"The price of '{line.title}' has changed",
                details={"productId": line.number, "price": line.price.units(), **_told(totals)},
            )


def _require_expected(totals: Totals, expected: Money | None) -> None:
    if expected is not None and totals.total != expected:
        raise PriceChangedError("The total has changed", details=_told(totals))


def _told(totals: Totals) -> dict[str, float]:
    """What it would cost now, for the client to show and to ask again."""
    named = ("subtotal", "discount", "tax", "shipping", "total")
    return {name: getattr(totals, name).units() for name in named}


def _require_payable(totals: Totals, tariff: Tariff) -> None:
    if 0 < totals.total.minor < tariff.smallest_payment:
        raise PaymentTooSmallError(
            "The order is too small to be paid for",
            details={"total": totals.total.units(), "smallest": Money(tariff.smallest_payment).units()},
        )


def merged(wanted: Sequence[WantedLine]) -> list[WantedLine]:
    """One line per listing: the same listing asked for twice is asked for once, in the sum."""
    by_listing: dict[ListingId, WantedLine] = {}
    for line in wanted:
        before = by_listing.get(line.listing_id)
        if before is None:
            by_listing[line.listing_id] = line
            continue
        prices = {one.price for one in (before, line) if one.price is not None}
        if len(prices) > 1:
            raise InvalidInputError({"price": ["Must be the same for the same product"]})
        by_listing[line.listing_id] = replace(
            before, quantity=before.quantity + line.quantity, price=next(iter(prices), None)
        )
    return list(by_listing.values())
