"""What somebody means to buy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from litestar import Controller, Request, delete, get, patch, post
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import AnyReference, Body, Faults, Quantity
from api.models import Cart
from api.wire import answer
from application.carts.filling import AddToCart, ChangeCartItem, PricedCart
from domain.accounts.events import Caller
from projections.carts.cart import cart_body
from projections.carts.query import cart_of_account

HttpRequest = Request[Any, Any, Any]


class CartItemBody(Body, frozen=True, kw_only=True):
    product_id: AnyReference | None = None
    id: AnyReference | None = None
    quantity: Quantity = 1

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"productId", "id"} else {"productId": ["Is required"]}

    @property
    def reference(self) -> str:
        return str(self.id if self.product_id is None else self.product_id)


class CartQuantityBody(Body, frozen=True, kw_only=True):
    quantity: Annotated[int, Meta(ge=0, le=999, examples=[2])]


class CartController(Controller):
    tags = ("Cart",)
    guards = (signed_in,)
    security = BEARER

    @get("/cart", responses=answers(Cart, 200, 401))
    async def cart(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """One's own cart, at the prices of now."""
        # Its prices and pictures are the products', and the promotions take something off it.
        position = await backend.reading.fresh(
            request, "carts", "products", "promotions", "redemptions", "categories"
        )
        caller, write = caller_of(request), backend.write
        body = await cart_of_account(
            backend.read.reads, caller.account_id, caller.number, write.tariff, write.clock.now()
        )
        return answer(body, position=position)

    @post(["/cart", "/cart/items"], status_code=201, responses=answers(Cart, 201, 401, 404, 422))
    async def add(self, request: HttpRequest, data: JSONBody[CartItemBody], backend: Backend) -> ASGIResponse:
        """Put a product into the cart; one that is in it already is there in the sum."""
        caller = caller_of(request)
        command = AddToCart(
            account_id=caller.account_id,
            listing_id=await backend.listing_called(data.reference),
            quantity=data.quantity,
        )
        return await backend.commands.answer(request, command, cart_view(caller, backend), status=201)

    @patch(
        ["/cart/items/{product_id:str}", "/cart/{product_id:str}"],
        responses=answers(Cart, 200, 401, 404, 422),
    )
    async def change(
        self,
        request: HttpRequest,
        product_id: FromPath[str],
        data: JSONBody[CartQuantityBody],
        backend: Backend,
    ) -> ASGIResponse:
        """Set how many of a product; 0 takes it out (C29)."""
        return await _set_quantity(request, product_id, data.quantity, backend)

    @delete(
        ["/cart/items/{product_id:str}", "/cart/{product_id:str}"],
        status_code=200,
        responses=answers(Cart, 200, 401, 404),
    )
    async def remove(self, request: HttpRequest, product_id: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take a product out of the cart."""
        return await _set_quantity(request, product_id, 0, backend)


async def _set_quantity(
    request: HttpRequest, reference: str, quantity: int, backend: BackendParts
) -> ASGIResponse:
    caller = caller_of(request)
    command = ChangeCartItem(
        account_id=caller.account_id,
        listing_id=await backend.listing_called(reference),
        quantity=quantity,
    )
    return await backend.commands.answer(request, command, cart_view(caller, backend))


def cart_view(caller: Caller, backend: BackendParts) -> Any:
    def view(priced: PricedCart) -> dict[str, Any]:
        write = backend.write
        deals = priced.dealt.at(write.clock.now(), write.tariff)
        return cart_body(priced.cart, priced.listings, caller.number, deals)

    return view
