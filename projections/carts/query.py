"""Questions to the carts."""

from __future__ import annotations

from uuid import UUID

import msgspec

from domain.carts.cart import Cart
from domain.carts.events import cart_of
from domain.kernel import AccountId
from domain.listings.listing import Listing
from projections.carts.cart import cart_body
from projections.ports import Reads
from projections.wire import encode


class _Priced(msgspec.Struct, frozen=True, kw_only=True):
    """What a cart asks of a product; its reviews may be many."""

    listing: Listing
    hidden: bool = False


_CART = msgspec.json.Decoder(Cart)
_PRODUCT = msgspec.json.Decoder(_Priced)

_WITH_PRODUCTS = """
SELECT document, ARRAY(SELECT p.document FROM products p WHERE p.key = ANY(c.listing_ids))
FROM carts c WHERE c.key = %s
"""


async def cart_of_account(reads: Reads, account_id: UUID, account_number: int) -> bytes:
    """The cart as clients read it, at the prices of now; an empty one where nothing was ever put into it.

    Lines of a seller who is suspended are not shown, and are there again once the seller is reinstated.
    """
    cart_id = cart_of(AccountId(account_id))
    row = await reads.one(_WITH_PRODUCTS, cart_id)
    if row is None:
        empty = Cart(id=cart_id, account_id=AccountId(account_id), lines={})
        return encode(cart_body(empty, {}, account_number))
    products = [_PRODUCT.decode(document) for document in row[1]]
    listings = [product.listing for product in products if not product.hidden]
    return encode(
        cart_body(_CART.decode(row[0]), {listing.id: listing for listing in listings}, account_number)
    )
