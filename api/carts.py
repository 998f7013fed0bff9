"""What somebody means to buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from litestar import Controller, HttpMethod, Request, delete, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import AnyReference, Body, Faults, Price, Quantity, money
from api.models import Cart
from api.wire import answer
from application.carts.filling import (
    AcknowledgePrices,
    AddToCart,
    ChangeCartItem,
    ClearCart,
    MergeCart,
    PricedCart,
    SyncCart,
)
from domain.accounts.events import Caller
from domain.filling import Wish
from domain.orders.shipping import Sending
from domain.placing import profiles_of
from projections.carts.cart import cart_body
from projections.carts.query import cart_of_account

HttpRequest = Request[Any, Any, Any]


Lines = Annotated[tuple["CartLineBody", ...], Meta(max_length=100)]


class CartLineBody(Body, frozen=True, kw_only=True):
    """``price`` is the unit price that the client shows: where it is another one now, the cart tells of it."""

    id: AnyReference | None = None
    product_id: AnyReference | None = None
    item_id: AnyReference | None = None
    quantity: Quantity = 1
    price: Price | None = None

    @property
    def reference(self) -> str:
        """Empty where it does not say what it is."""
        named = (self.product_id, self.id, self.item_id)
        return next((str(name) for name in named if name is not None), "")


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


class CartBody(Body, frozen=True, kw_only=True):
    """Either ``productId`` and ``quantity``: put so many of a product into the cart, which answers with 201.

    Or ``products`` (or ``items``): a cart that the client has kept by itself, which answers with 200. It takes the
    place of what is in the cart, all of it or nothing: what cannot be had is refused. With ``merge`` it is added to
    what is in the cart. So a client brings along, after signing in, what somebody put into their cart before; sent with
    an ``Idempotency-Key`` it is added once, however often that is tried. Then what cannot be had is left out or
    reduced, and ``notices`` say so. A whole cart may be sent as it was answered.
    """

    product_id: AnyReference | None = None
    id: AnyReference | None = None
    quantity: Quantity = 1
    products: Lines | None = None
    items: Lines | None = None
    merge: bool = False

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        listed = given.keys() & {"products", "items"}
        if not listed:
            return CartItemBody.absent(given)
        if "productId" in given:
            return {"productId": ["Must not be there beside products or items"]}
        name = "products" if "products" in given else "items"
        lines = given[name] if isinstance(given[name], list) else []
        return {
            f"{name}[{index}].productId": ["Is required"]
            for index, line in enumerate(lines)
            if isinstance(line, dict) and not line.keys() & {"id", "productId", "itemId"}
        }

    @property
    def lines(self) -> tuple[CartLineBody, ...] | None:
        return self.items if self.products is None else self.products


class CartQuantityBody(Body, frozen=True, kw_only=True):
    quantity: Annotated[int, Meta(ge=0, le=999, examples=[2])]


class CartController(Controller):
    tags = ("Cart",)
    guards = (signed_in,)
    security = BEARER

    @get("/cart", responses=answers(Cart, 200, 401))
    async def cart(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """One's own cart, at the prices of now; what cannot be had any more is marked, and not in the sums."""
        # Its prices and pictures are the products', the promotions take something off it, and the sellers send it.
        position = await backend.reading.fresh(
            request, "carts", "products", "promotions", "redemptions", "categories", "sellers"
        )
        caller, write = caller_of(request), backend.write
        body = await cart_of_account(
            backend.read.reads, caller.account_id, caller.number, write.tariff, write.clock.now()
        )
        return answer(body, position=position)

    @post(
        "/cart",
        status_code=201,
        responses={**answers(Cart, 201, 401, 404, 409, 422), **answers(Cart, 200)},
    )
    async def fill(self, request: HttpRequest, data: JSONBody[CartBody], backend: Backend) -> ASGIResponse:
        """Put a product into the cart (201), or all that a client has kept by itself (200).

        ``products`` or ``items`` take the place of what is in it, all of them or nothing. With ``merge`` they are added
        to it, as far as they can be had, and ``notices`` tell of the rest: so what somebody put into a cart before they
        signed in comes along once they are.
        """
        caller = caller_of(request)
        if data.lines is None:
            return await _add(
                request, str(data.id if data.product_id is None else data.product_id), data.quantity, backend
            )
        wishes = await _wishes(data.lines, backend)
        kind = MergeCart if data.merge else SyncCart
        command = kind(account_id=caller.account_id, wishes=wishes)
        return await backend.commands.answer(request, command, cart_view(caller, backend))

    @post("/cart/items", status_code=201, responses=answers(Cart, 201, 401, 404, 409, 422))
    async def add(self, request: HttpRequest, data: JSONBody[CartItemBody], backend: Backend) -> ASGIResponse:
        """Put a product into the cart; one that is in it already is there in the sum."""
        return await _add(request, data.reference, data.quantity, backend)

    @post("/cart/acknowledge", status_code=200, responses=answers(Cart, 200, 401))
    async def acknowledge(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The prices of now were seen: those that have changed are told of no more."""
        caller = caller_of(request)
        command = AcknowledgePrices(account_id=caller.account_id)
        return await backend.commands.answer(request, command, cart_view(caller, backend))

    @route(
        ["/cart/items/{product_id:str}", "/cart/{product_id:str}"],
        http_method=[HttpMethod.PATCH, HttpMethod.PUT],
        status_code=200,
        responses=answers(Cart, 200, 401, 404, 409, 422),
    )
    async def change(
        self,
        request: HttpRequest,
        product_id: FromPath[str],
        data: JSONBody[CartQuantityBody],
        backend: Backend,
    ) -> ASGIResponse:
        """Set how many of a product, at the price of now; 0 takes it out (C29)."""
        return await _set_quantity(request, product_id, data.quantity, backend)

    @delete(
        ["/cart/items/{product_id:str}", "/cart/{product_id:str}"],
        status_code=200,
        responses=answers(Cart, 200, 401, 404),
    )
    async def remove(self, request: HttpRequest, product_id: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take a product out of the cart."""
        return await _set_quantity(request, product_id, 0, backend)

    @delete(["/cart", "/cart/items"], status_code=200, responses=answers(Cart, 200, 401))
    async def clear(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Take everything out of the cart, its coupon too."""
        caller = caller_of(request)
        command = ClearCart(account_id=caller.account_id)
        return await backend.commands.answer(request, command, cart_view(caller, backend))


async def _add(request: HttpRequest, reference: str, quantity: int, backend: BackendParts) -> ASGIResponse:
    caller = caller_of(request)
    command = AddToCart(
        account_id=caller.account_id,
        listing_id=await backend.listing_called(reference),
        quantity=quantity,
    )
    return await backend.commands.answer(request, command, cart_view(caller, backend), status=201)


async def _wishes(lines: Sequence[CartLineBody], backend: BackendParts) -> tuple[Wish, ...]:
    listing_ids = await backend.listings_called([line.reference for line in lines])
    return tuple(
        Wish(
            reference=line.reference,
            listing_id=listing_id,
            quantity=line.quantity,
            price=None if line.price is None else money(line.price),
        )
        for line, listing_id in zip(lines, listing_ids, strict=True)
    )


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
        write, shelf = backend.write, priced.shelf
        sending = Sending(profiles=profiles_of(shelf.sellers.values()))
        deals = priced.dealt.at(write.clock.now(), write.tariff, sending)
        return cart_body(
            priced.cart,
            shelf.listings,
            caller.number,
            deals,
            hidden=shelf.hidden,
            left_out=priced.left_out,
        )

    return view
