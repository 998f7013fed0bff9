"""Promotions: those that apply by themselves, for everybody to see; all of them, for admins to keep; and coupons."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Annotated, Any, ClassVar, Final

from litestar import Controller, HttpMethod, Request, delete, get, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Meta, UnsetType

from api.authentication import BEARER, admin, caller_of, signed_in
from api.backend import Backend, BackendParts
from api.carts import cart_view
from api.categories import Slug
from api.documentation import answers
from api.input import AnyReference, Body, Check, Faults, Price, PriceBound, decode_query, money, percentage
from api.limits import COUPON, charge_guess
from api.models import AppliedCoupon, Cart, KeptPromotion, Promotion, PromotionPage
from api.paging import CursorQuery
from api.wire import answer, encode
from application.carts.couponing import ApplyCoupon, RemoveCoupon
from application.promotions.keeping import ChangePromotion, CreatePromotion, DeletePromotion, ScopeWish
from application.slugs import reference_kind
from domain.accounts.events import Caller
from domain.kernel import InvalidInputError
from domain.money import Money
from domain.promotions.events import DiscountType, ScopeKind, Terms
from domain.promotions.promotion import PromotionNotFoundError
from projections.promotions.promotion import kept_body, promotion_body, public_body
from projections.promotions.query import PromotionFilter, promotion_by, promotions_page, running_promotions

HttpRequest = Request[Any, Any, Any]

_TYPES: Final = {
    "percent": DiscountType.PERCENTAGE,
    "percentage": DiscountType.PERCENTAGE,
    "fixed": DiscountType.FIXED,
    "free_shipping": DiscountType.FREE_SHIPPING,
    "freeshipping": DiscountType.FREE_SHIPPING,
}
_SCOPES: Final = {**{kind.value: kind for kind in ScopeKind}, "listings": ScopeKind.PRODUCTS}
_CODE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,49}")
_YEARS: Final = range(2000, 2200)


def _type_faults(name: str) -> list[str]:
    return [] if name.lower() in _TYPES else [f"Must be one of {', '.join(DiscountType)}"]


def _scope_faults(name: str) -> list[str]:
    return [] if name.lower() in _SCOPES else [f"Must be one of {', '.join(ScopeKind)}"]


def _code_faults(code: str) -> list[str]:
    plain = code.strip()
    return [] if not plain or _CODE.fullmatch(plain) else ["Must be 3 to 50 letters, digits, '-' or '_'"]


def _time_faults(text: str) -> list[str]:
    try:
        at = _parsed(text, time.min)
    except (ValueError, OverflowError):
        return ["Must be an ISO 8601 time"]
    return [] if at.year in _YEARS else [f"Must be in the years {_YEARS[0]} to {_YEARS[-1]}"]


def _parsed(text: str, of_day: time) -> datetime:
    """A time in UTC unless it says otherwise; of a date alone, ``of_day``."""
    at = datetime.fromisoformat(text)
    if len(text) <= len("2026-01-01"):
        at = datetime.combine(at.date(), of_day)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


PromotionName = Annotated[str, Meta(min_length=1, max_length=200, examples=["Summer sale"])]
Description = Annotated[str, Meta(max_length=5000)]
Image = Annotated[str, Meta(max_length=2048)]
Order = Annotated[int, Meta(ge=0, le=1_000_000)]
TypeName = Annotated[str, Meta(max_length=20, examples=["percentage"]), Check(_type_faults)]
Code = Annotated[str, Meta(max_length=100, examples=["SUMMER10"]), Check(_code_faults)]
Time = Annotated[str, Meta(max_length=40, examples=["2026-06-01T00:00:00Z"]), Check(_time_faults)]
Limit = Annotated[int, Meta(ge=1, le=1_000_000_000)]
ScopeName = Annotated[str, Meta(max_length=20, examples=["all"]), Check(_scope_faults)]
ScopeIds = Annotated[tuple[AnyReference, ...], Meta(max_length=200)]
Priority = Annotated[int, Meta(ge=-1000, le=1000)]


class PromotionBody(Body, frozen=True, kw_only=True):
    """Without a ``code`` it applies by itself. ``scopeIds`` are categories, products or sellers, as ``scope`` says.

    A date alone begins with its day, or ends with it. Without ``startDate`` it starts now.
    """

    name: PromotionName
    discount_type: TypeName
    discount_value: PriceBound = 0
    slug: Slug | None = None
    description: Description = ""
    image: Image = ""
    active: bool = True
    order: Order = 0
    start_date: Time | None = None
    end_date: Time | None = None
    code: Code = ""
    min_subtotal: PriceBound = 0
    max_discount: Price | None = None
    usage_limit: Limit | None = None
    per_user_limit: Limit | None = None
    scope: ScopeName = "all"
    scope_ids: ScopeIds = ()
    stackable: bool = False
    priority: Priority = 0

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        name = given.get("discountType")
        free = isinstance(name, str) and _TYPES.get(name.lower()) is DiscountType.FREE_SHIPPING
        return {} if free or "discountValue" in given else {"discountValue": ["Is required"]}

    def command(self, now: datetime) -> CreatePromotion:
        terms = Terms(
            name=self.name,
            slug=self.slug or "",
            description=self.description,
            image=self.image,
            order=self.order,
            code=self.code,
            discount_type=_TYPES[self.discount_type.lower()],
            percentage=percentage(self.discount_value),
            amount=money(self.discount_value),
            max_discount=_money(self.max_discount),
            min_subtotal=money(self.min_subtotal),
            usage_limit=self.usage_limit,
            per_customer_limit=self.per_user_limit,
            starts_at=now if self.start_date is None else _parsed(self.start_date, time.min),
            ends_at=None if self.end_date is None else _parsed(self.end_date, time.max),
            stackable=self.stackable,
            priority=self.priority,
        )
        return CreatePromotion(terms=terms, scope=_wish(self.scope, self.scope_ids), active=self.active)


class PromotionChangeBody(Body, frozen=True, kw_only=True):
    """The fields that are given change. Null clears ``code``, ``endDate`` and the limits; ``scope`` is given whole."""

    keeps_null: ClassVar[bool] = True

    name: PromotionName | UnsetType = UNSET
    discount_type: TypeName | UnsetType = UNSET
    discount_value: PriceBound | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    image: Image | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    order: Order | UnsetType = UNSET
    start_date: Time | UnsetType = UNSET
    end_date: Time | UnsetType | None = UNSET
    code: Code | UnsetType | None = UNSET
    min_subtotal: PriceBound | UnsetType | None = UNSET
    max_discount: Price | UnsetType | None = UNSET
    usage_limit: Limit | UnsetType | None = UNSET
    per_user_limit: Limit | UnsetType | None = UNSET
    scope: ScopeName | UnsetType = UNSET
    scope_ids: ScopeIds | UnsetType = UNSET
    stackable: bool | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {"scope": ["Is required"]} if "scopeIds" in given and "scope" not in given else {}

    def command(self, reference: str) -> ChangePromotion:
        fields: dict[str, Any] = {
            "name": self.name,
            "slug": self.slug,
            "description": self.description,
            "image": self.image,
            "order": self.order,
            "code": self.code if self.code is not None else "",
            "usage_limit": self.usage_limit,
            "per_customer_limit": self.per_user_limit,
            "stackable": self.stackable,
            "priority": self.priority,
        }
        if self.discount_type is not UNSET:
            fields["discount_type"] = _TYPES[self.discount_type.lower()]
        if self.discount_value is not UNSET:
            fields |= {"percentage": percentage(self.discount_value), "amount": money(self.discount_value)}
        if self.max_discount is not UNSET:
            fields["max_discount"] = _money(self.max_discount)
        if self.min_subtotal is not UNSET:
            fields["min_subtotal"] = money(self.min_subtotal or 0)
        if self.start_date is not UNSET:
            fields["starts_at"] = _parsed(self.start_date, time.min)
        if self.end_date is not UNSET:
            fields["ends_at"] = None if self.end_date is None else _parsed(self.end_date, time.max)
        scope = None
        if self.scope is not UNSET:
            scope = _wish(self.scope, () if self.scope_ids is UNSET else self.scope_ids)
        return ChangePromotion(
            reference=reference,
            fields={name: value for name, value in fields.items() if value is not UNSET},
            scope=scope,
            active=None if self.active is UNSET else self.active,
        )


class CouponBody(Body, frozen=True, kw_only=True):
    code: Annotated[str, Meta(max_length=100, examples=["SUMMER10"])] = ""
    coupon_code: Annotated[str, Meta(max_length=100)] = ""

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        named = [given.get(name) for name in ("code", "couponCode")]
        return {"code": ["Is required"]} if not any(name is not None and name != "" for name in named) else {}


class PromotionsQuery(CursorQuery, frozen=True, kw_only=True):
    """``q`` and ``search`` look for words in name, slug and code."""

    q: Annotated[str, Meta(max_length=200)] = ""
    search: Annotated[str, Meta(max_length=200)] = ""
    active: bool | None = None

    def filter(self) -> PromotionFilter:
        return PromotionFilter(active=self.active, words=(self.q or self.search).strip())


class PromotionController(Controller):
    tags = ("Promotions",)

    @get("/promotions", responses=answers(list[Promotion], 200))
    async def running(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What takes something off every order by itself, now. Coupons are not told."""
        position = await backend.reading.fresh(request, "promotions")
        found = await running_promotions(backend.read.reads, backend.write.clock.now())
        return answer(encode([public_body(promotion) for promotion in found]), position=position)


class KeptPromotionController(Controller):
    path = "/admin/promotions"
    tags = ("Promotions",)
    guards = (admin,)
    security = BEARER

    @get(query=PromotionsQuery, responses=answers(PromotionPage, 200, 401, 403))
    async def promotions(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All promotions and coupons, also those that are off, in the order in which they are shown."""
        asked = decode_query(request.scope["query_string"], PromotionsQuery)
        position = await _fresh(request, backend)
        question = asked.question("kept promotions")
        piece = backend.cursors.piece(asked, question)
        found = await promotions_page(backend.read.reads, asked.filter(), piece)
        bodies = [kept_body(each.document, each.used) for each in found.promotions]
        return backend.cursors.answer("promotions", bodies, asked, question, found, position=position)

    @post(status_code=201, responses=answers(KeptPromotion, 201, 401, 403, 409, 422))
    async def create(
        self, request: HttpRequest, data: JSONBody[PromotionBody], backend: Backend
    ) -> ASGIResponse:
        """Create a promotion, or a coupon by giving it a ``code``."""
        command = data.command(backend.write.clock.now())
        return await backend.commands.answer(request, command, promotion_body, status=201)

    @get("/{ref:str}", responses=answers(KeptPromotion, 200, 401, 403, 404))
    async def promotion(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A promotion by integer id, uuid or slug."""
        position = await _fresh(request, backend)
        found = await promotion_by(backend.read.reads, reference_kind(ref))
        if found is None:
            raise PromotionNotFoundError("Promotion not found")
        return answer(encode(kept_body(found.document, found.used)), position=position)

    @route(
        "/{ref:str}",
        http_method=[HttpMethod.PATCH, HttpMethod.PUT],
        status_code=200,
        responses=answers(KeptPromotion, 200, 401, 403, 404, 409, 422),
    )
    async def change(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[PromotionChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change the fields that are given; ``active`` switches it on and off."""
        return await backend.commands.answer(request, data.command(ref), promotion_body, conditional=True)

    @delete("/{ref:str}", status_code=200, responses=answers(None, 204, 401, 403, 404))
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Delete a promotion. Orders keep what it took off them; its slug and code are free again."""
        return await backend.commands.answer(request, DeletePromotion(reference=ref), None, status=204)


class CouponController(Controller):
    path = "/checkout"
    tags = ("Cart",)
    guards = (signed_in,)
    security = BEARER

    @post("/apply-coupon", status_code=200, responses=answers(AppliedCoupon, 200, 401, 422))
    async def apply(self, request: HttpRequest, data: JSONBody[CouponBody], backend: Backend) -> ASGIResponse:
        """Put a coupon into the cart, in the place of the one before; 422 tells in ``details.reason`` why not."""
        caller = caller_of(request)
        await charge_guess(request, COUPON, caller.account_id)
        command = ApplyCoupon(account_id=caller.account_id, code=data.code or data.coupon_code)
        return await backend.commands.answer(request, command, _applied_view(caller, backend))

    @delete("/remove-coupon", status_code=200, responses=answers(Cart, 200, 401, 404))
    async def remove(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Take the coupon out of the cart."""
        caller = caller_of(request)
        command = RemoveCoupon(account_id=caller.account_id)
        return await backend.commands.answer(request, command, cart_view(caller, backend))


async def _fresh(request: HttpRequest, backend: BackendParts) -> int:
    """A coupon says also how often it was used."""
    return await backend.reading.fresh(request, "promotions", "redemptions")


def _applied_view(caller: Caller, backend: BackendParts) -> Any:
    whole = cart_view(caller, backend)

    def view(priced: Any) -> dict[str, Any]:
        cart = whole(priced)
        return {
            "code": cart["coupon"]["code"],
            **cart["totals"],
            "couponDiscount": cart["couponDiscount"],
            "cart": cart,
        }

    return view


def _wish(scope: str, references: tuple[int | str, ...]) -> ScopeWish:
    kind = _SCOPES[scope.lower()]
    if kind is ScopeKind.ALL and references:
        raise InvalidInputError({"scopeIds": ["Is for a scope other than all"]})
    return ScopeWish(kind=kind, references=tuple(str(reference) for reference in references))


def _money(amount: float | None) -> Money | None:
    return None if amount is None else money(amount)
