"""Shops: applying to sell, being verified, keeping a shop, and following one."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Controller, HttpMethod, Request, delete, get, patch, post, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of, reader, seller, signed_in
from api.backend import Backend, BackendParts
from api.categories import Slug, slug_faults
from api.commands import Carried
from api.documentation import answers
from api.input import Body, Check, Price, PriceBound, decode_query, money
from api.models import FollowState, KeptShop, ShippingProfile, Shop, ShopPage
from api.paging import CursorQuery
from api.wire import answer, encode
from application.follows.following import FollowSeller, UnfollowSeller
from application.sellers.applying import ApplyToSell
from application.sellers.judging import ReinstateSeller, RejectSeller, SuspendSeller, VerifySeller
from application.sellers.keeping import (
    AddShippingProfile,
    ChangeSellerProfile,
    ChangeShippingProfile,
    RemoveShippingProfile,
    Shipping,
)
from application.sellers.naming import seller_called
from application.slugs import reference_kind
from domain.accounts.events import Caller
from domain.kernel import InvalidInputError, SellerId
from domain.money import Money
from domain.sellers import events
from domain.sellers.events import HOUSE_SELLER, SellerStatus, ShopProfile, seller_of
from domain.sellers.seller import Seller, SellerNotFoundError, ShippingProfileNotFoundError
from projections.ports import StaleReadError
from projections.sellers.query import (
    SellerFilter,
    SortSellers,
    followed_by,
    follower_count_of,
    follows_seller,
    seller_by,
    sellers_page,
)
from projections.sellers.shop import (
    FoundShop,
    own_body,
    public_body,
    seller_body,
    shipping_bodies,
    shipping_body,
)

HttpRequest = Request[Any, Any, Any]

_SCHEME: Final = re.compile(r"\s*[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_WEB: Final = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)


def _name_faults(name: str) -> list[str]:
    return [] if len(name.strip()) >= 2 else ["Must be at least 2 characters"]


def _link_faults(links: dict[str, str]) -> list[str]:
    """A name such as ``@vintage``, or an address of the web; nothing that a page would carry out."""
    wrong = [name for name, link in links.items() if _SCHEME.match(link) and not _WEB.fullmatch(link)]
    return [f"{name} must be a name or a web address" for name in wrong]


ShopName = Annotated[str, Meta(min_length=2, max_length=100, examples=["Vintage Vault"]), Check(_name_faults)]
SlugOrNone = Annotated[str, Meta(max_length=100), Check(lambda slug: slug_faults(slug) if slug else [])]
"""Empty as a personal shop has it and shows it, which changes nothing."""
ShopCategory = Annotated[str, Meta(max_length=100, examples=["Fashion"])]
ShopBio = Annotated[str, Meta(max_length=2000)]
Experience = Annotated[str, Meta(max_length=200, examples=["I sell occasionally"])]
Revenue = Annotated[str, Meta(max_length=100, examples=["$1000-$5000"])]
Platforms = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=20)]
SocialLinks = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=50)], Annotated[str, Meta(max_length=300)]],
    Meta(max_length=20),
    Check(_link_faults),
]
Reason = Annotated[str, Meta(min_length=1, max_length=1000)]
ShippingName = Annotated[str, Meta(min_length=1, max_length=100, examples=["Standard"])]
Countries = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=100)], ...], Meta(max_length=250)]
HandlingDays = Annotated[int, Meta(ge=0, le=60)]
Line = Annotated[str, Meta(max_length=200)]


class ReturnAddressBody(Body, frozen=True, kw_only=True):
    """As a whole: what is left out is empty."""

    full_name: Line = ""
    name: Line = ""
    first_name: Line = ""
    last_name: Line = ""
    address: Line = ""
    address_line2: Line = ""
    city: Line = ""
    state: Line = ""
    zip_code: Annotated[str, Meta(max_length=20)] = ""
    country: Line = ""
    phone: Annotated[str, Meta(max_length=40)] = ""

    def address_of(self) -> events.ReturnAddress:
        return events.ReturnAddress(
            full_name=self.full_name or self.name or f"{self.first_name} {self.last_name}".strip(),
            address=self.address,
            address_line2=self.address_line2,
            city=self.city,
            state=self.state,
            zip_code=self.zip_code,
            country=self.country,
            phone=self.phone,
        )


class ApplicationBody(Body, frozen=True, kw_only=True):
    """S3 §3. Without a ``slug`` the shop gets one made of its name."""

    shop_name: ShopName
    agreed_to_terms: bool
    category: ShopCategory = ""
    experience_level: Experience = ""
    monthly_revenue: Revenue = ""
    platforms: Platforms = ()
    social_links: SocialLinks = msgspec.field(default_factory=dict)
    return_address: ReturnAddressBody = ReturnAddressBody()
    bio: ShopBio = ""
    slug: Slug | None = None

    def command(self, caller: Caller) -> ApplyToSell:
        return ApplyToSell(
            caller=caller,
            agreed_to_terms=self.agreed_to_terms,
            profile=ShopProfile(
                shop_name=self.shop_name.strip(),
                slug=self.slug or "",
                category=self.category,
                bio=self.bio,
                experience_level=self.experience_level,
                monthly_revenue=self.monthly_revenue,
                platforms=self.platforms,
                social_links=self.social_links,
                return_address=self.return_address.address_of(),
            ),
        )


class ShopChangeBody(Body, frozen=True, kw_only=True):
    """``logoUrl`` is an address of the web, the key of one of your uploads, or empty for none."""

    shop_name: ShopName | None = None
    slug: SlugOrNone | None = None
    category: ShopCategory | None = None
    bio: ShopBio | None = None
    experience_level: Experience | None = None
    monthly_revenue: Revenue | None = None
    platforms: Platforms | None = None
    social_links: SocialLinks | None = None
    return_address: ReturnAddressBody | None = None
    logo_url: Annotated[str, Meta(max_length=2048)] | None = None

    def command(self, caller: Caller) -> ChangeSellerProfile:
        return ChangeSellerProfile(
            seller_id=_own(caller),
            shop_name=None if self.shop_name is None else self.shop_name.strip(),
            slug=self.slug or None,
            category=self.category,
            bio=self.bio,
            experience_level=self.experience_level,
            monthly_revenue=self.monthly_revenue,
            platforms=self.platforms,
            social_links=self.social_links,
            return_address=None if self.return_address is None else self.return_address.address_of(),
            logo=None if self.logo_url is None else _logo(self.logo_url, caller),
        )


class VerificationBody(Body, frozen=True, kw_only=True):
    """``status`` is ``verified`` or ``rejected``; the applicant reads the ``reason``."""

    status: str
    reason: Annotated[str, Meta(max_length=1000)] = ""

    def command(self, seller_id: SellerId) -> VerifySeller | RejectSeller:
        match self.status.lower():
            case SellerStatus.VERIFIED:
                return VerifySeller(seller_id=seller_id)
            case SellerStatus.REJECTED:
                return RejectSeller(seller_id=seller_id, reason=self.reason)
            case _:
                raise InvalidInputError({"status": ["Must be verified or rejected"]})


class SuspensionBody(Body, frozen=True, kw_only=True):
    reason: Reason


class ShippingBody(Body, frozen=True, kw_only=True):
    """``baseCost`` once per order, ``perItemCost`` for each unit after the first; no ``countries`` means everywhere."""

    name: ShippingName
    base_cost: PriceBound
    per_item_cost: PriceBound = 0
    free_over: Price | None = None
    countries: Countries = ()
    handling_days: HandlingDays = 1

    def profile(self) -> events.ShippingProfile:
        return events.ShippingProfile(
            name=self.name,
            base_cost=money(self.base_cost),
            per_item_cost=money(self.per_item_cost),
            free_over=_money(self.free_over),
            countries=self.countries,
            handling_days=self.handling_days,
        )


class ShippingChangeBody(Body, frozen=True, kw_only=True):
    name: ShippingName | None = None
    base_cost: PriceBound | None = None
    per_item_cost: PriceBound | None = None
    free_over: Price | None = None
    countries: Countries | None = None
    handling_days: HandlingDays | None = None


class SellersQuery(CursorQuery, frozen=True, kw_only=True):
    """``q`` and ``search`` look for words in the shop's name; ``sort`` is newest, oldest, followers or name."""

    q: Annotated[str, Meta(max_length=200)] = ""
    search: Annotated[str, Meta(max_length=200)] = ""
    sort: SortSellers = SortSellers.NEWEST

    def filter(self, status: SellerStatus | None) -> SellerFilter:
        return SellerFilter(
            status=status,
            words=(self.q or self.search).strip(),
            sort=self.sort,
        )


class ApplicationsQuery(SellersQuery, frozen=True, kw_only=True):
    """``status`` none means any; the first who applied comes first."""

    status: str = ""
    sort: SortSellers = SortSellers.OLDEST

    @property
    def wanted(self) -> SellerStatus | None:
        if not self.status:
            return None
        try:
            return SellerStatus(self.status.lower())
        except ValueError:
            raise InvalidInputError({"status": [f"Must be one of {', '.join(SellerStatus)}"]}) from None


SHOWN: Final = ("sellers", "products")
"""A shop's page says also what the catalogue knows of it."""


class SellerController(Controller):
    tags = ("Sellers",)

    @get("/sellers", query=SellersQuery, responses=answers(ShopPage, 200))
    async def shops(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The verified shops, the newest first."""
        asked = decode_query(request.scope["query_string"], SellersQuery)
        await reader(request)
        position = await _fresh(request, backend)
        question = asked.question("sellers")
        wanted, piece = asked.filter(SellerStatus.VERIFIED), backend.cursors.piece(asked, question)
        found = await sellers_page(backend.read.reads, wanted, piece)
        bodies = [public_body(shop, backend.settings.public_url) for shop in found.shops]
        return backend.cursors.answer("sellers", bodies, asked, question, found, position=position)

    @post(
        "/sellers/apply",
        status_code=201,
        guards=[signed_in],
        security=BEARER,
        responses=answers(KeptShop, 201, 401, 409),
    )
    async def apply(
        self, request: HttpRequest, data: JSONBody[ApplicationBody], backend: Backend
    ) -> ASGIResponse:
        """Apply to become a seller; an admin decides. Whoever was rejected may apply again."""
        carried = await backend.commands.carry_out(
            request, data.command(caller_of(request)), _view(backend), status=201
        )
        return _judged(carried, backend)

    @get("/sellers/me", guards=[signed_in], security=BEARER, responses=answers(KeptShop, 200, 401, 404))
    async def own(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Your own shop, and what became of your application. Admins keep the house's."""
        position = await _fresh(request, backend)
        found = await seller_by(backend.read.reads, _own(caller_of(request)))
        if found is None:
            raise SellerNotFoundError("You have not applied to sell")
        return answer(encode(own_body(found, backend.settings.public_url)), position=position)

    @route(
        "/sellers/me",
        http_method=[HttpMethod.PATCH, HttpMethod.PUT],
        status_code=200,
        guards=[seller],
        security=BEARER,
        responses=answers(KeptShop, 200, 401, 403, 404, 409),
    )
    async def change(
        self, request: HttpRequest, data: JSONBody[ShopChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change the fields of your shop that are given."""
        command = data.command(caller_of(request))
        return await backend.commands.answer(request, command, _view(backend), conditional=True)

    @get("/sellers/{ref:str}", responses=answers(Shop, 200, 404))
    async def shop(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """A shop by its uuid or slug, or by its owner's integer id or uuid. One that is not verified is not seen."""
        caller = await reader(request)
        position = await _fresh(request, backend)
        found = await seller_by(backend.read.reads, reference_kind(ref))
        if found is None:
            raise SellerNotFoundError("Seller not found")
        body = _shown(found, caller, backend)
        if caller is not None:
            position = min(position, await backend.reading.fresh(request, "follows"))
            seller_id = found.shop.seller.id
            body["following"] = await follows_seller(backend.read.reads, caller.account_id, seller_id)
        return answer(encode(body), position=position)

    @get(
        "/admin/sellers",
        query=ApplicationsQuery,
        guards=[admin],
        security=BEARER,
        responses=answers(ShopPage, 200, 401, 403),
    )
    async def applications(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """All sellers, or those of a status: ``pending_verification`` is what waits for a decision."""
        asked = decode_query(request.scope["query_string"], ApplicationsQuery)
        position = await _fresh(request, backend)
        question = asked.question("kept sellers")
        wanted, piece = asked.filter(asked.wanted), backend.cursors.piece(asked, question)
        found = await sellers_page(backend.read.reads, wanted, piece)
        bodies = [own_body(shop, backend.settings.public_url) for shop in found.shops]
        return backend.cursors.answer("sellers", bodies, asked, question, found, position=position)

    @patch(
        "/admin/sellers/{ref:str}/verification",
        guards=[admin],
        security=BEARER,
        responses=answers(KeptShop, 200, 401, 403, 404, 409, 422),
    )
    async def verification(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[VerificationBody], backend: Backend
    ) -> ASGIResponse:
        """Verify an applicant, who may sell from then on, or reject them."""
        command = data.command(await _called(ref, backend))
        return await _judge(request, command, backend)

    @post(
        "/admin/sellers/{ref:str}/suspend",
        status_code=200,
        guards=[admin],
        security=BEARER,
        responses=answers(KeptShop, 200, 401, 403, 404, 422),
    )
    async def suspend(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[SuspensionBody], backend: Backend
    ) -> ASGIResponse:
        """Take a seller and all that they offer out of sight."""
        command = SuspendSeller(seller_id=await _called(ref, backend), reason=data.reason)
        return await _judge(request, command, backend)

    @post(
        "/admin/sellers/{ref:str}/reinstate",
        status_code=200,
        guards=[admin],
        security=BEARER,
        responses=answers(KeptShop, 200, 401, 403, 404, 422),
    )
    async def reinstate(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Let a suspended seller go on: what they offered can be seen again."""
        return await _judge(request, ReinstateSeller(seller_id=await _called(ref, backend)), backend)


class FollowController(Controller):
    tags = ("Sellers",)
    guards = (signed_in,)
    security = BEARER

    @post("/sellers/{ref:str}/follow", status_code=200, responses=answers(FollowState, 200, 401, 404, 422))
    async def follow(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Follow a seller; to do so again changes nothing."""
        seller_id = await _called(ref, backend)
        command = FollowSeller(account_id=caller_of(request).account_id, seller_id=seller_id)
        carried = await backend.commands.carry_out(request, command, lambda _: {"following": True})
        count = await _followers(request, seller_id, backend)
        body = encode({"following": True, "followerCount": count})
        return msgspec.structs.replace(carried, body=body).response()

    @delete("/sellers/{ref:str}/follow", status_code=200, responses=answers(None, 204, 401, 404))
    async def unfollow(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Follow a seller no more."""
        command = UnfollowSeller(
            account_id=caller_of(request).account_id, seller_id=await _called(ref, backend)
        )
        return await backend.commands.answer(request, command, None, status=204)

    @get("/users/me/following", query=CursorQuery, responses=answers(ShopPage, 200, 401))
    async def following(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """The sellers whom you follow, the last one first."""
        asked = decode_query(request.scope["query_string"], CursorQuery)
        position = await backend.reading.fresh(request, *SHOWN, "follows")
        account_id = caller_of(request).account_id
        question = asked.question("following", account_id)
        found = await followed_by(backend.read.reads, account_id, backend.cursors.piece(asked, question))
        bodies = [
            {**public_body(shop, backend.settings.public_url), "following": True} for shop in found.shops
        ]
        return backend.cursors.answer("sellers", bodies, asked, question, found, position=position)


class ShippingProfileController(Controller):
    path = "/shipping-profiles"
    tags = ("Sellers",)
    guards = (seller,)
    security = BEARER

    @get(responses=answers(list[ShippingProfile], 200, 401, 403))
    async def profiles(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Your shipping profiles."""
        found, position = await _own_shop(request, backend)
        bodies = [] if found is None else shipping_bodies(found.shop.seller)
        return answer(encode(bodies), position=position)

    @get("/{ref:str}", responses=answers(ShippingProfile, 200, 401, 403, 404))
    async def profile(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """One of your shipping profiles."""
        found, position = await _own_shop(request, backend)
        profile_id = _profile_called(ref)
        if found is None:
            raise ShippingProfileNotFoundError("Shipping profile not found")
        profile = found.shop.seller.shipping_profile(profile_id)
        return answer(encode(shipping_body(profile_id, profile)), position=position)

    @post(status_code=201, responses=answers(ShippingProfile, 201, 401, 403, 422))
    async def add(self, request: HttpRequest, data: JSONBody[ShippingBody], backend: Backend) -> ASGIResponse:
        """Say what it costs to send something."""
        command = AddShippingProfile(seller_id=_own(caller_of(request)), profile=data.profile())
        return await backend.commands.answer(request, command, _shipping_view, status=201)

    @route(
        "/{ref:str}",
        http_method=[HttpMethod.PATCH, HttpMethod.PUT],
        status_code=200,
        responses=answers(ShippingProfile, 200, 401, 403, 404),
    )
    async def change(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ShippingChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change the fields of a shipping profile that are given."""
        command = ChangeShippingProfile(
            seller_id=_own(caller_of(request)),
            profile_id=_profile_called(ref),
            name=data.name,
            base_cost=_money(data.base_cost),
            per_item_cost=_money(data.per_item_cost),
            free_over=_money(data.free_over),
            countries=data.countries,
            handling_days=data.handling_days,
        )
        return await backend.commands.answer(request, command, _shipping_view, conditional=True)

    @delete("/{ref:str}", status_code=200, responses=answers(None, 204, 401, 403, 404))
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Send nothing this way any more."""
        command = RemoveShippingProfile(seller_id=_own(caller_of(request)), profile_id=_profile_called(ref))
        return await backend.commands.answer(request, command, None, status=204)


def _own(caller: Caller) -> SellerId:
    """For whom somebody sells: an admin for the house, as with the catalogue's products."""
    return HOUSE_SELLER if caller.is_admin else seller_of(caller.account_id)


async def _called(reference: str, backend: BackendParts) -> SellerId:
    return await seller_called(reference, backend.write.store, backend.write.keys)


async def _fresh(request: HttpRequest, backend: BackendParts) -> int:
    return await backend.reading.fresh(request, *SHOWN)


async def _own_shop(request: HttpRequest, backend: BackendParts) -> tuple[FoundShop | None, int]:
    position = await _fresh(request, backend)
    return await seller_by(backend.read.reads, _own(caller_of(request))), position


async def _followers(request: HttpRequest, seller_id: SellerId, backend: BackendParts) -> int:
    """The count with the caller in it; where the read model is far behind, as it has come to be so far."""
    with suppress(StaleReadError):
        await backend.reading.fresh(request, "sellers")
    return await follower_count_of(backend.read.reads, seller_id)


def _shown(found: FoundShop, caller: Caller | None, backend: BackendParts) -> dict[str, Any]:
    """The shop as far as the caller may see it."""
    shop = found.shop.seller
    if caller is not None and (caller.is_admin or shop.account_id == caller.account_id):
        return own_body(found, backend.settings.public_url)
    if not shop.sells:
        raise SellerNotFoundError("Seller not found")
    return public_body(found, backend.settings.public_url)


async def _judge(request: HttpRequest, command: object, backend: BackendParts) -> ASGIResponse:
    carried = await backend.commands.carry_out(
        request, command, _view(backend), conditional=True, person=_owner_of
    )
    return _judged(carried, backend)


def _owner_of(seller: Seller) -> UUID:
    assert seller.account_id is not None, "the house is not judged"
    return seller.account_id


def _judged(carried: Carried, backend: BackendParts) -> ASGIResponse:
    """What somebody may do has changed with it, and holds from the next request on."""
    judged: Seller | None = carried.changed.state if carried.changed else None
    if judged is not None and judged.account_id is not None:
        backend.authenticator.changed(judged.account_id)
    return carried.response()


def _view(backend: BackendParts) -> Any:
    def view(changed: Seller) -> dict[str, Any]:
        return seller_body(changed, backend.settings.public_url)

    return view


def _shipping_view(shipping: Shipping) -> dict[str, Any]:
    assert shipping.profile is not None, "it was added or changed just now"
    return shipping_body(shipping.id, shipping.profile)


def _profile_called(reference: str) -> UUID:
    kind = reference_kind(reference)
    if not isinstance(kind, UUID):
        raise ShippingProfileNotFoundError("Shipping profile not found")
    return kind


def _money(price: float | None) -> Money | None:
    return None if price is None else money(price)


def _logo(logo: str, caller: Caller) -> str:
    """A picture elsewhere, or a file of the caller's own: what is theirs is deleted with them."""
    own = tuple(f"{folder}/{caller.account_id}/" for folder in ("uploads", "avatars"))
    if not logo or _WEB.fullmatch(logo) or (logo.startswith(own) and ".." not in logo):
        return logo
    raise InvalidInputError({"logoUrl": ["Must be a web address, or the key of a file of yours"]})
