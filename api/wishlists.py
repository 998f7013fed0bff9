"""One's wishlist: what one would like to have, at the prices of now."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, delete, get, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend
from api.documentation import answers
from api.input import AnyReference, Body, decode_query
from api.models import WishlistItem, WishlistPage
from api.paging import CursorQuery
from application.wishlists.wishing import AddToWishlist, RemoveFromWishlist, Wished
from projections.products.product import listing_body
from projections.wishlists.query import wish_body, wishlist_page

HttpRequest = Request[Any, Any, Any]


class WishBody(Body, frozen=True, kw_only=True):
    """``productId`` is an integer id, a uuid or a slug."""

    product_id: AnyReference


class WishlistController(Controller):
    path = "/wishlist"
    tags = ("Wishlist",)
    guards = (signed_in,)
    security = BEARER

    @get(query=CursorQuery, responses=answers(WishlistPage, 200, 401))
    async def wishes(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What you wish for, the last first. What cannot be seen for now is not in it, and comes back."""
        asked = decode_query(request.scope["query_string"], CursorQuery)
        position = await backend.reading.fresh(request, "wishlist_items", "products")
        account_id = caller_of(request).account_id
        question = asked.question("wishlist", account_id)
        found = await wishlist_page(backend.read.reads, account_id, backend.cursors.piece(asked, question))
        bodies = [item.body(backend.addressed) for item in found.items]
        return backend.cursors.answer("items", bodies, asked, question, found, position=position)

    @post(status_code=201, responses=answers(WishlistItem, 201, 401, 404, 422))
    async def add(self, request: HttpRequest, data: JSONBody[WishBody], backend: Backend) -> ASGIResponse:
        """Wish for a product; to do so again changes nothing."""
        command = AddToWishlist(
            account_id=caller_of(request).account_id,
            listing_id=await backend.listing_called(str(data.product_id)),
        )
        return await backend.commands.answer(request, command, _view, status=201)

    @delete("/{ref:str}", status_code=200, responses=answers(None, 204, 401, 404))
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take a product off the list, by the entry's or the product's id, which are the same."""
        command = RemoveFromWishlist(
            account_id=caller_of(request).account_id,
            listing_id=await backend.listing_called(ref),
        )
        return await backend.commands.answer(request, command, None, status=204)


def _view(wished: Wished) -> dict[str, Any]:
    return wish_body(wished.listing.number, listing_body(wished.listing), wished.added_at)
