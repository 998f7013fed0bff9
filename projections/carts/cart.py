"""A cart on the wire (S2 §9.1, with the twins of C29), priced by the catalogue of the moment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

from domain.carts.cart import Cart
from domain.kernel import ListingId
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.pricing import line_totals


def cart_body(cart: Cart, listings: Mapping[ListingId, Listing], account_number: int) -> dict[str, Any]:
    """Lines whose listing the reader does not know yet are left out of products and sums."""
    lines = [
        (listings[listing_id], quantity, *_totals(listings[listing_id], quantity))
        for listing_id, quantity in cart.lines.items()
        if listing_id in listings
    ]
    nothing = Money(0)
    return {
        "id": str(cart.id),
        "products": [
            {
                "id": listing.number,
                "uuid": str(listing.id),
                "title": listing.title,
                "price": listing.price.units(),
                "quantity": quantity,
                "total": total.units(),
                "discountPercentage": float(listing.discount_percentage),
                "discountedTotal": discounted.units(),
                "thumbnail": listing.thumbnail,
            }
            for listing, quantity, total, discounted in lines
        ],
        "items": [
            {"itemId": listing.number, "productId": listing.number, "quantity": quantity}
            for listing, quantity, _, _ in lines
        ],
        "total": reduce(add, (total for _, _, total, _ in lines), nothing).units(),
        "discountedTotal": reduce(add, (discounted for _, _, _, discounted in lines), nothing).units(),
        "userId": account_number,
        "totalProducts": len(lines),
        "totalQuantity": sum(quantity for _, quantity, _, _ in lines),
    }


def _totals(listing: Listing, quantity: int) -> tuple[Money, Money]:
    return line_totals(listing.price, listing.discount_percentage, quantity)
