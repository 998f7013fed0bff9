"""In which ways the shop sends things, and what that costs."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Controller, Request, get, post
from litestar.params import JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, caller_of, signed_in
from api.backend import Backend
from api.checkout import METHOD_NAMES, Lines, address_given, method_body, wanted_lines
from api.documentation import answers
from api.input import AnyReference, Body
from api.models import ShippingMethod as ShippingMethodShape
from api.models import ShippingRate
from api.ready import CATEGORIES_FOR, share
from api.wire import answer, encode
from application.orders.placing import PlaceOrder, SavedAddress
from application.orders.previewing import shipping_rates
from domain.money import Money
from domain.orders.events import PostalAddress
from domain.orders.shipping import DAYS, ShippingMethod

HttpRequest = Request[Any, Any, Any]

_DESCRIPTIONS: Final = {
    ShippingMethod.STANDARD: "The usual way, which large orders and some promotions make free",
    ShippingMethod.EXPRESS: "Faster, at a surcharge",
}


class DestinationBody(Body, frozen=True, kw_only=True):
    """Of an address only the country counts; the rest is welcome."""

    country: Annotated[str, Meta(min_length=1, max_length=200, examples=["USA"])]


class RatesBody(Body, frozen=True, kw_only=True):
    """What is sent are ``items`` or ``products``, or else what is in the cart.

    It goes to ``address`` or ``shippingAddress``, or to the one of one's own that is named, or to one's default one.
    """

    address: DestinationBody | None = None
    shipping_address: DestinationBody | None = None
    address_id: AnyReference | None = None
    shipping_address_id: AnyReference | None = None
    items: Lines | None = None
    products: Lines | None = None

    @property
    def destination(self) -> PostalAddress | SavedAddress:
        given = self.address or self.shipping_address
        if given is not None:
            return PostalAddress(country=given.country)
        return address_given(None, self.shipping_address_id if self.address_id is None else self.address_id)


class ShippingController(Controller):
    path = "/shipping"
    tags = ("Shipping",)

    @get("/methods", responses=answers(list[ShippingMethodShape], 200, 304))
    async def methods(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All ways to send an order, with what they cost where no seller has rates of their own and nothing is free."""
        rates = backend.write.conditions.tariff.shipping
        flat = rates.flat("") or 0
        share(request, seconds=CATEGORIES_FOR)
        body = [
            {
                "id": method,
                "name": METHOD_NAMES[method],
                "description": _DESCRIPTIONS[method],
                "baseAmount": Money(flat + rates.surcharge(method)).units(),
                "currency": Money(0).currency,
                "estimatedDays": DAYS[method],
            }
            for method in ShippingMethod
        ]
        return answer(encode(body))

    @post(
        "/rates",
        status_code=200,
        guards=[signed_in],
        security=BEARER,
        responses=answers(list[ShippingRate], 200, 401, 404, 422),
    )
    async def rates(self, request: HttpRequest, data: JSONBody[RatesBody], backend: Backend) -> ASGIResponse:
        """What each way to send it costs to some destination, with all that makes it free."""
        name, lines = ("items", data.items) if data.products is None else ("products", data.products)
        wanted = PlaceOrder(
            caller=caller_of(request),
            lines=await wanted_lines(name, lines, backend),
            shipping_address=data.destination,
        )
        write = backend.write
        offered = await shipping_rates(
            wanted, store=write.store, keys=write.keys, clock=write.clock, conditions=write.conditions
        )
        return answer(encode([method_body(each, Money(0).currency) for each in offered]))
